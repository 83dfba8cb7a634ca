"""The shared place as one run asks it: the first failure is told of, and then nothing more is asked in vain."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from memo.contracts.io_manager import run_log
from memo.contracts.sharing import SharedObjects
from memo.hashing import Hasher
from memo_iomanagers.naming import VERSIONED
from memo_iomanagers.places import NOT_THERE, aside_of, place_at, reason
from memo_iomanagers.signing import SignatureError, Untrusted, key_of, sign, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from memo.contracts.io_manager import Storage
    from memo_iomanagers.places import Place
    from memo_iomanagers.signing import SigningKey

__all__ = ["FIRST_ANSWER_SECONDS", "Link", "UnreachableError", "link_of"]

FIRST_ANSWER_SECONDS = 15.0
"""How long the place may take to answer for the first time: a run must not wait for minutes for what is not there."""

_MARK = b"memo 1 "
_RUNS_KEPT = 4
_FEW = 12
"""Folders: of more of them, everything is listed at once."""

_A = TypeVar("_A")


class UnreachableError(Exception):
    """The shared place has failed to answer, now or earlier in the run; it has been told of."""


class Link(SharedObjects):
    """The shared place, for one run in one process.

    Args:
        place: Where it is.
        read_only: Whether nothing is to be put there.
        patience: Seconds until the first answer must be there.
        signing_key: Signs all small objects; what it did not sign is passed over.
    """

    def __init__(
        self,
        place: Place,
        *,
        read_only: bool,
        patience: float = FIRST_ANSWER_SECONDS,
        signing_key: SigningKey | None = None,
    ) -> None:
        self._place = place
        self._key = signing_key
        self._patience = patience
        self._up = True
        self._takes = not read_only
        self._met = False
        self._lock = Lock()
        self._known: set[str] = set()
        self._distrusted: set[str] = set()
        self._told: set[str] = set()
        self.untrusted = Untrusted(place.full_name(""))
        """Told of every manifest there that this home's key has not signed."""

    @property
    def is_up(self) -> bool:
        """Whether the place has answered so far."""
        return self._up

    @property
    def takes(self) -> bool:
        """Whether something can be put there."""
        return self._up and self._takes

    @property
    def is_distrusted(self) -> bool:
        """Whether anything was found there that this home's key has not signed: outputs may be such too."""
        return bool(self._distrusted)

    def full_name(self, path: str) -> str:
        """Name a file there so that a person finds it."""
        return self._place.full_name(path)

    def ask(self, question: Callable[[Place], _A], *, is_long: bool = False) -> _A:
        """Ask the place something.

        Args:
            question: Put to the place.
            is_long: Whether the answer may take its time, as of large data.

        Raises:
            FileNotFoundError: What was asked for is not there.
            UnreachableError: It did not answer.
        """
        if not self._up:
            raise UnreachableError
        self._meet(before=is_long)
        try:
            answer = question(self._place) if self._met else self._first(question)
        except NOT_THERE:
            self._met = True
            raise
        except Exception as error:
            self._stop("cannot be asked", error, "what is here is used, and nothing more is looked for there")
            raise UnreachableError from error
        self._met = True
        return answer

    def give(self, action: Callable[[Place], _A], *, is_long: bool = False) -> _A:
        """Change something there.

        Args:
            action: What to do to the place.
            is_long: Whether it may take its time, as of large data.

        Raises:
            UnreachableError: It cannot be changed.
        """
        if not self.takes:
            raise UnreachableError
        self._meet(before=is_long)
        try:
            answer = action(self._place) if self._met else self._first(action)
        except Exception as error:
            with self._lock:
                first, self._takes = self._takes, False
            if first:
                _warn(self._place, "takes nothing", error, "what this run makes stays here; the next run puts it there")
            raise UnreachableError from error
        self._met = True
        return answer

    def _meet(self, *, before: bool) -> None:
        """See whether the place answers at all, before something is asked of it that takes long."""
        if before and not self._met:
            self.ask(lambda place: place.list("history/=none/"))

    def _first(self, question: Callable[[Place], _A]) -> _A:
        """Wait for the first answer, and not for long: some servers that are not there are never heard of."""
        from threading import Thread

        answers: list[_A] = []
        errors: list[Exception] = []

        def ask() -> None:
            try:
                answers.append(question(self._place))
            except Exception as error:  # noqa: BLE001 - raised where it was asked
                errors.append(error)

        thread = Thread(target=ask, name="memo shared place", daemon=True)
        thread.start()
        thread.join(self._patience)
        if errors:
            raise errors[0]
        if not answers:
            raise TimeoutError(f"no answer in {self._patience:g} s")
        return answers[0]

    def _stop(self, what: str, error: Exception, outcome: str) -> None:
        with self._lock:
            first, self._up = self._up, False
        if first:
            _warn(self._place, what, error, outcome)

    # Manifests

    def stored(self, paths: Sequence[str]) -> set[str]:
        """Which of these manifests are there. What has been seen there once is not asked for again in the run."""
        unknown = [path for path in paths if path not in self._known]
        if unknown and self._up:
            try:
                self._known |= self.ask(lambda place: _listed(place, unknown))
            except (OSError, UnreachableError) as error:
                if not isinstance(error, UnreachableError):
                    self._stop("cannot be listed", error, "what is here is used")
        return {path for path in paths if path in self._known} if self._up else set()

    def note(self, path: str, *, there: bool) -> None:
        """Take note that a manifest has been put there, or is there no more."""
        if there:
            self._known.add(path)
        else:
            self._known.discard(path)

    def manifests(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read manifests, many at once; those that are not there are left out."""
        try:
            return self.ask(lambda place: place.fetch(paths)) if paths else {}
        except (OSError, UnreachableError):
            return {}

    # Small objects

    def put(self, name: str, data: bytes, *, replace: bool = False) -> bool | None:
        """Put an object; False where one of this name is there already, None where nothing could be put."""
        raw = sign(sealed(data), name, self._key)
        try:
            return self.give(lambda place: place.put(name, raw, aside=aside_of(name), replace=replace))
        except UnreachableError:
            return None

    def names(self, folder: str) -> Sequence[str]:
        """The names of all objects in a folder, in order."""
        try:
            found = self.ask(lambda place: place.list(f"{folder}/"))
        except UnreachableError:
            return []
        except OSError as error:
            self._stop("cannot be listed", error, "what is here is used")
            return []
        return sorted(name for name in found if not name.endswith(".tmp"))

    def fetch(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Read objects, many at once; those that are not there are left out, and those that are damaged."""
        found: dict[str, bytes] = {}
        refused: dict[str, SignatureError] = {}
        for name, data in self.manifests(names).items():
            self._distrusted.discard(name)
            try:
                found[name] = opened(verify(data, name, self._key))
            except SignatureError as error:
                refused[name] = error
            except ValueError as error:
                run_log().warning("%s %s; it is passed over", self._place.full_name(name), error)
        self._distrusted |= refused.keys()
        self._tell_of(refused)
        return found

    def _tell_of(self, refused: Mapping[str, SignatureError]) -> None:
        """Tell once in a run of each folder with objects that the key has not signed."""
        for folder in sorted({name.partition("/")[0] for name in refused} - self._told):
            self._told.add(folder)
            names = [name for name in refused if name.startswith(f"{folder}/")]
            first, error = self._place.full_name(names[0]), refused[names[0]]
            if len(names) == 1:
                run_log().warning("%s %s; it is passed over", first, error)
            else:
                text = "%s objects in %s %s, the first is %s; they are passed over"
                run_log().warning(text, f"{len(names):,}", self._place.full_name(folder), error.of_many, first)

    def distrusted(self, names: Sequence[str]) -> set[str]:
        """Those of them that were read, and that this home's key has not signed."""
        return self._distrusted.intersection(names)

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects."""

        def remove(place: Place) -> None:
            for name in names:
                place.remove(name)

        with suppress(UnreachableError):
            self.give(remove)


def sealed(data: bytes) -> bytes:
    """Close a small object, so that damage shows when it is opened."""
    return b"%s%s\n%s" % (_MARK, _digest(data), data)


def opened(raw: bytes) -> bytes:
    """Open what `sealed` closed.

    Raises:
        ValueError: It is not whole, as the end of a sentence.
    """
    head, _, data = raw.partition(b"\n")
    if head != _MARK + _digest(data):
        raise ValueError("is not whole")
    return data


def _digest(data: bytes) -> bytes:
    hasher = Hasher()
    hasher.write(data)
    return hasher.hexdigest().encode()


def _listed(place: Place, paths: Sequence[str]) -> set[str]:
    folders = {path.rpartition("/")[0] for path in paths}
    if len(folders) > _FEW:
        return set(place.list(VERSIONED))
    wanted, view = set(paths), place.view(paths)
    return {path for path in wanted if view.has(path)}


def _warn(place: Place, what: str, error: Exception, outcome: str) -> None:
    run_log().warning("the shared place %s %s: %s; %s", place.full_name(""), what, reason(error), outcome)


_links: dict[tuple[str, bool, str], Link] = {}
_linking = Lock()


def link_of(storage: Storage, run_id: str) -> Link:
    """Find the link of a run: all its IO managers in one process ask through the same.

    Raises:
        StorageError: No such place can be used from here.
    """
    assert storage.remote is not None
    at = (storage.remote, storage.read_only, run_id)
    with _linking:
        link = _links.get(at)
        if link is None:
            place = place_at(storage.remote, named=_setting())
            link = Link(place, read_only=storage.read_only, signing_key=key_of(storage))
            for old in _first(_links, len(_links) - _RUNS_KEPT + 1):
                del _links[old]
            _links[at] = link
        return link


def _setting() -> str:
    """What set where the shared place is."""
    variable = "MEMO_STORAGE_REMOTE"
    return variable if os.environ.get(variable) else "storage.remote in memo.toml or pyproject.toml:"


def _first(keys: Iterable[tuple[str, bool, str]], count: int) -> list[tuple[str, bool, str]]:
    return list(keys)[: max(0, count)]
