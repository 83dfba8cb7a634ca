"""The IO manager that keeps outputs in the home, with a place behind it that is shared with other homes.

What a step made is stored in the home, and then put into the shared place: the data first, then the manifest, under the
same names and byte for byte the same. What the home does not have is looked for there; all outputs of a plan with one
listing. What is read is fetched into the home, checked, and mapped from there from then on: the fetched file is given
the time of modification that its manifest tells, so that it counts as what it was where it was made.

Two homes may make one version at the same moment, or one while it could not reach the shared place. Where both contents
are equal there is nothing to decide. Where they differ, the shared place holds one of them, and what other homes made
of it: so the one that is there stays, and this home takes it in the place of its own, before anything here has read it.
Its own takes the place of the other only where it is known to be the newer one: where the run was told to make it anew
(`OutputContext.replaces`), or was given other contents than the one that is there was made of.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.contracts.io_manager import run_log
from memo.contracts.sharing import Content, SharingIOManager
from memo.errors import OutputLostError
from memo.hashing import Hasher
from memo_iomanagers import manifest as manifests
from memo_iomanagers.encodings import AUTO, NAMES, encoding_named
from memo_iomanagers.encodings.path import restore_seals
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.link import UnreachableError
from memo_iomanagers.manifest import data_of, file_of
from memo_iomanagers.naming import SIDE, address_of, manifest_path
from memo_iomanagers.places import NOT_THERE, aside_of, place_at
from memo_iomanagers.signing import SignatureError
from memo_iomanagers.telling import lost, where_of
from memo_iomanagers.writing import remove_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from io import BufferedIOBase

    from memo.contracts.io_manager import InputContext, OutputContext
    from memo.contracts.sharing import SharedObjects
    from memo_iomanagers.link import Link
    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place, WritableFile
    from memo_iomanagers.signing import SigningKey

__all__ = ["SharedIOManager"]

_SLICE = 1 << 20
_UNUSABLE = ".unusable"
"""What is added to the name of a shared manifest that was found damaged and could not be set aside."""


class SharedIOManager(SharingIOManager):
    """Keeps outputs in files of the home, and shares those that have a version.

    Args:
        folder: The home's storage.
        link: To the shared place.
        encoding: As of `FsIOManager`.
        verify: As of `FsIOManager`.
        signing_key: As of `FsIOManager`; what other homes stored must be signed with it too.
    """

    def __init__(
        self,
        folder: str,
        link: Link,
        encoding: str = AUTO,
        *,
        verify: bool = False,
        signing_key: SigningKey | None = None,
    ) -> None:
        self._place = place_at(folder)
        self._here = FsIOManager(self._place, encoding, verify=verify, signing_key=signing_key)
        self._link = link
        self._key = signing_key

    @property
    def objects(self) -> SharedObjects:
        """The place for small objects, the same for all IO managers of a run."""
        return self._link

    def sweep(self) -> None:
        """Remove what processes that are gone were storing in the home and did not finish."""
        self._here.sweep()

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a value in the home, and put it into the shared place where it may go there."""
        self._here.handle_output(context, obj)
        if context.version is not None and context.shares and self._link.takes:
            self._put(context)

    def load_input(self, context: InputContext) -> Any:
        """Load the value of ``context.upstream_output``, fetched into the home first where it is not there."""
        output = context.upstream_output
        if output is None or output.version is None:
            return self._here.load_input(context)
        mine = self._raw_here(output)
        if mine is None:
            self._fetch(output)
            return self._here.load_input(context)
        try:
            return self._here.load_input(context)
        except OutputLostError:
            if not self._fetch_again(output, mine):
                raise
            return self._here.load_input(context)

    def content_digest_of(self, context: OutputContext, obj: Any) -> str | None:
        """Of a path: the digest of the file or folder that it leads to."""
        return self._here.content_digest_of(context, obj)

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored, in the home or in the shared place."""
        return self.has_outputs([context])[0]

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many: of the shared place, from one listing."""
        answers = list(self._here.has_outputs(contexts))
        missing = [index for index, there in enumerate(answers) if not there and contexts[index].version is not None]
        # What the home has and is not whole may be other than what is shared: it counts as lost.
        paths = {index: path for index in missing if not self._is_spoilt(path := manifest_path(contexts[index]))}
        there = self._link.stored(list(paths.values()))
        if self._link.is_distrusted:
            there -= self._untrusted({path: contexts[index] for index, path in paths.items() if path in there})
        for index, path in paths.items():
            answers[index] = path in there
        return answers

    def _untrusted(self, contexts: Mapping[str, OutputContext]) -> set[str]:
        """Those of these manifests of the shared place that this home's key has not signed."""
        raws = self._link.manifests(list(contexts))
        with self._link.untrusted.together():
            return {path for path, raw in raws.items() if self._is_untrusted(contexts[path], raw)}

    def _is_untrusted(self, context: OutputContext, raw: bytes) -> bool:
        try:
            self._decoded(context, raw)
        except SignatureError as error:
            self._link.untrusted.add(self._link.full_name(manifest_path(context)), error)
            return True
        except ValueError:
            return False  # what is wrong with it shows when it is fetched
        return False

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content that the manifests of stored outputs tell."""
        found = list(self._here.content_digests(contexts))
        missing = [
            index
            for index, context in enumerate(contexts)
            if found[index] is None and context.version is not None and not self._is_spoilt(manifest_path(context))
        ]
        for index, content in zip(missing, self.there([contexts[index] for index in missing]), strict=True):
            found[index] = None if content is None else content.content_digest
        return found

    # What the engine asks to keep homes in step

    def here(self, contexts: Sequence[OutputContext]) -> Sequence[Content | None]:
        """What the home itself has, as its manifests tell."""
        return [_content(self._manifest(context, self._raw_here(context))) for context in contexts]

    def there(self, contexts: Sequence[OutputContext]) -> Sequence[Content | None]:
        """What the shared place has, as its manifests tell."""
        raws = self._link.manifests([manifest_path(context) for context in contexts])
        with self._link.untrusted.together():
            return [
                _content(self._manifest(context, raws.get(manifest_path(context)), is_here=False))
                for context in contexts
            ]

    def share(self, contexts: Sequence[OutputContext]) -> bool | None:
        """Put the stored outputs of one step into the shared place; what is there already stays."""
        if not self._link.takes:
            return None
        there = self._link.stored([manifest_path(context) for context in contexts])
        try:
            return all(self._share(context, is_there=manifest_path(context) in there) for context in contexts)
        except (UnreachableError, OSError):
            return None
        except SignatureError as error:  # Only what is made anew takes the place of what others have signed.
            self._link.untrusted.add(self._link.full_name(manifest_path(contexts[0])), error)
            return None

    def _share(self, context: OutputContext, *, is_there: bool) -> bool:
        raw = self._raw_here(context)
        manifest = self._manifest(context, raw)
        if raw is None or manifest is None:
            # What is there is all that there is.
            if not is_there:
                raise FileNotFoundError(manifest_path(context))
            return True
        if not is_there and self._put_new(context, raw, manifest):
            return True
        other = self._theirs(context, must_be_trusted=True)
        if other is not None and _equal(other, manifest):
            return True
        if other is None:
            self._replace(context, raw, manifest, other)
        return other is None

    def forget_here(self, contexts: Sequence[OutputContext]) -> None:
        """Remove what the home has, so that what the shared place has counts."""
        for context in contexts:
            manifest = self._manifest(context, self._raw_here(context))
            self._place.remove(manifest_path(context))
            if manifest is not None:
                _remove(self._place, context, manifest)

    # Putting

    def _put(self, context: OutputContext) -> None:
        """Put what has just been stored; where the shared place cannot be used, it stays here."""
        raw = self._raw_here(context)
        manifest = self._manifest(context, raw)
        if raw is None or manifest is None or context.stored is None:
            return
        try:
            if not context.replaces and self._put_new(context, raw, manifest):
                context.report_stored(replace(context.stored, shared=True))
                return
            other = self._theirs(context)
            if other is not None and _equal(other, manifest):
                context.report_stored(replace(context.stored, shared=True))
            elif other is not None and self._is_right(other, context):
                self._take_theirs(context, raw, manifest)
            else:
                self._replace(context, raw, manifest, other)
        except UnreachableError:
            return

    def _is_right(self, other: Manifest, context: OutputContext) -> bool:
        """Whether what is there was made of what this one was made of, and is not to be made anew."""
        return not context.replaces and other.provenance.content_key == context.provenance.content_key

    def _put_new(self, context: OutputContext, raw: bytes, manifest: Manifest) -> bool:
        """Put an output that is not there yet; False where one is, of which nothing is known yet."""
        path = manifest_path(context)
        self._give_data(context, manifest)
        is_new = self._link.give(lambda place: place.put(path, raw, aside=aside_of(path), replace=False))
        self._link.note(path, there=True)
        if not is_new and (other := self._theirs(context)) is not None and other.data != manifest.data:
            self._link.give(lambda place: _remove(place, context, manifest))
        return is_new

    def _theirs(self, context: OutputContext, *, must_be_trusted: bool = False) -> Manifest | None:
        """The manifest that is there; None where there is none, or none that is whole.

        Raises:
            SignatureError: It is not signed, where that is not to count as if there were none.
        """
        try:
            raw = self._link.ask(lambda place: place.read(manifest_path(context)))
        except NOT_THERE:
            return None
        try:
            return self._decoded(context, raw)
        except SignatureError as error:
            if must_be_trusted:
                raise
            self._link.untrusted.add(self._link.full_name(manifest_path(context)), error)
        except ValueError as error:
            run_log().warning("a manifest of %s %s", where_of(context), error)
        return None

    def _replace(self, context: OutputContext, raw: bytes, manifest: Manifest, other: Manifest | None) -> None:
        path = manifest_path(context)
        self._give_data(context, manifest)
        self._link.give(lambda place: place.put(path, raw, aside=aside_of(path)))
        if other is not None and other.data != manifest.data:
            with suppress(UnreachableError):
                self._link.give(lambda place: _remove(place, context, other))
        if context.stored is not None:
            context.report_stored(replace(context.stored, shared=True, replaced=True))

    def _take_theirs(self, context: OutputContext, raw: bytes, manifest: Manifest) -> None:
        """Take what is there in the place of what was just made here, so that all homes go on from one content."""
        try:
            taken = self._fetch(context)
        except OutputLostError:  # What was there is damaged, and has been set aside.
            if self._put_new(context, raw, manifest) and context.stored is not None:
                context.report_stored(replace(context.stored, shared=True))
            return
        _remove(self._place, context, manifest)
        provenance = taken.provenance
        context.provenance = replace(context.provenance, content_digest=provenance.content_digest)
        name = self._place.full_name(file_of(context, taken))
        assert context.stored is not None
        context.report_stored(
            replace(
                context.stored,
                place=name,
                size=taken.size,
                digest=taken.digest,
                content_digest=provenance.content_digest,
                shared=True,
            )
        )

    def _give_data(self, context: OutputContext, manifest: Manifest) -> None:
        if manifest.value is None:
            self._link.give(lambda place: self._upload(place, context, manifest), is_long=True)

    def _upload(self, place: Place, context: OutputContext, manifest: Manifest) -> None:
        path = data_of(context, manifest)
        sides = self._place.list(f"{path}{SIDE}/") if encoding_named(manifest.encoding).has_side_files else {}
        for each in (*sides, path):
            if os.path.islink(self._place.full_name(each)):
                continue  # the listing of the files tells where it leads
            with self._place.open(each) as file:
                try:
                    _copy(file, place, each)
                except FileExistsError:  # A run that was killed began to put it there.
                    place.remove(each)
                    file.seek(0)
                    _copy(file, place, each)

    # Fetching

    def _fetch(self, output: OutputContext) -> Manifest:
        """Bring an output from the shared place into the home, whole and checked.

        Raises:
            OutputLostError: It is not there, or not whole, or the place no longer answers.
        """
        path = manifest_path(output)
        seen = None
        while True:
            raw = self._read_there(output)
            manifest, wrong = self._brought(output, raw)
            if manifest is not None:
                self._place.put(path, raw, aside=aside_of(path))
                return manifest
            if raw == seen:
                break
            seen = raw  # It may have been replaced, and its data removed, between the two questions.
        self._set_aside(path, raw)
        raise lost(output, f"{self._link.full_name(path)} {wrong}")

    def _read_there(self, output: OutputContext) -> bytes:
        path = manifest_path(output)
        try:
            return self._link.ask(lambda place: place.read(path))
        except NOT_THERE:
            self._link.note(path, there=False)
            raise OutputLostError(
                f"is not stored, there is no {self._link.full_name(path)}", where=where_of(output)
            ) from None
        except UnreachableError:
            raise self._not_fetched(output) from None

    def _brought(self, output: OutputContext, raw: bytes) -> tuple[Manifest | None, str]:
        """Copy the data that a manifest names into the home.

        Returns:
            The manifest, and what is wrong with it or its data, as the end of a sentence: one of the two is empty.
        """
        path = manifest_path(output)
        try:
            manifest = self._decoded(output, raw)
            if manifest.value is not None:
                return manifest, ""
            wrong = self._link.ask(lambda place: self._bring(place, output, manifest), is_long=True)
        except SignatureError as error:  # it may be whole: our key may be the wrong one
            self._pass_over(path, raw, is_untrusted=True)
            name = self._link.full_name(path)
            raise OutputLostError(f"{name} {error}; it counts as not stored", where=where_of(output)) from None
        except ValueError as error:
            return None, str(error)
        except NOT_THERE:
            return None, "names data that is gone"
        except UnreachableError:
            raise self._not_fetched(output) from None
        return (manifest, "") if wrong is None else (None, wrong)

    def _not_fetched(self, output: OutputContext) -> OutputLostError:
        name = self._link.full_name(manifest_path(output))
        return OutputLostError(
            f"is stored as {name} and cannot be fetched now; it is made again here", where=where_of(output)
        )

    def _fetch_again(self, output: OutputContext, mine: bytes) -> bool:
        """Fetch what was damaged here, where the shared place has the very same."""
        manifest = self._manifest(output, mine)
        (other,) = self.there([output])
        if manifest is None or other is None or other.digest != manifest.digest:
            return False
        self._fetch(output)
        return True

    def _bring(self, place: Place, output: OutputContext, manifest: Manifest) -> str | None:
        """Copy data into the home; say in what it is not what its manifest tells, as the end of a sentence."""
        path = data_of(output, manifest)
        folder, token = self._place.full_name(path + SIDE), os.urandom(8).hex()
        aside = f"{path}.{token}.tmp"
        try:
            with place.open(path, manifest.size) as file:
                size, found = _copy(file, self._place, aside)
            if (size, found) != (manifest.size, manifest.digest):
                return "names data that does not hold what was stored: its size or digest differs"
            if encoding_named(manifest.encoding).has_side_files:
                with self._place.open(aside) as listing:
                    wrong = self._bring_sides(place, path, listing.read(), f"{folder}.{token}")
                if wrong:
                    return wrong
                # Another process may have been faster; what it fetched is the same.
                with suppress(OSError):
                    os.rename(f"{folder}.{token}", folder)
            name = self._place.full_name(aside)
            if manifest.mtime_ns is not None:
                os.utime(name, ns=(manifest.mtime_ns, manifest.mtime_ns))
            os.replace(name, self._place.full_name(path))
        finally:
            self._place.remove(aside)
            self._place.remove_folder(f"{path}{SIDE}.{token}")
        return None

    def _bring_sides(self, place: Place, path: str, listing: bytes, folder: str) -> str | None:
        def fetch(name: str, target: str) -> None:
            with place.open(f"{path}{SIDE}/{name}") as file, open(target, "xb") as copy:
                copy.writelines(_pieces(file))

        os.makedirs(folder)
        try:
            restore_seals(listing, folder, fetch)
        except ValueError as error:
            return str(error)
        return None

    def _set_aside(self, path: str, raw: bytes) -> None:
        """Take the manifest of a damaged output away, where that is allowed, so that it can be put there again.

        Where it is not allowed, this home remembers not to ask for it again.
        """
        self._pass_over(path, raw)
        with suppress(UnreachableError, *NOT_THERE):
            if self._link.takes and self._link.ask(lambda place: place.read(path)) == raw:
                self._link.give(lambda place: place.put(f"{path}.damaged", raw, aside=aside_of(path)))
                self._link.give(lambda place: place.remove(path))

    def _pass_over(self, path: str, raw: bytes, *, is_untrusted: bool = False) -> None:
        """Have it made again here; it then takes the place of what is there, where that is allowed."""
        self._link.note(path, there=False)
        if is_untrusted or not self._link.takes:
            with suppress(OSError):
                self._place.put(f"{path}{_UNUSABLE}", raw, aside=aside_of(path))

    # Manifests

    def _is_spoilt(self, path: str) -> bool:
        """Whether the home has it, and not whole, or has found that the shared place has it so."""
        name = self._place.full_name(path)
        return os.path.lexists(name) or os.path.lexists(f"{name}{_UNUSABLE}")

    def _raw_here(self, context: OutputContext) -> bytes | None:
        try:
            return self._place.read(manifest_path(context))
        except OSError:
            return None

    def _manifest(self, context: OutputContext, raw: bytes | None, *, is_here: bool = True) -> Manifest | None:
        """Read a manifest; None where there is none, or none that can be trusted."""
        if raw is None:
            return None
        try:
            return self._decoded(context, raw)
        except SignatureError as error:
            if not is_here:  # Of those here, `FsIOManager` tells.
                self._link.untrusted.add(self._link.full_name(manifest_path(context)), error)
            return None
        except ValueError as error:
            run_log().warning("a manifest of %s %s", where_of(context), error)
            return None

    def _decoded(self, context: OutputContext, raw: bytes) -> Manifest:
        return manifests.decode(raw, context, address_of(context), encodings=NAMES, key=self._key)


def _content(manifest: Manifest | None) -> Content | None:
    if manifest is None:
        return None
    told = manifest.provenance
    return Content(
        manifest.digest,
        told.content_digest,
        told.content_key,
        manifest.run_id,
        manifest.size,
        told.marks,
        told.seconds,
        told.created_at,
    )


def _equal(one: Manifest, other: Manifest) -> bool:
    first, second = _content(one), _content(other)
    return first is not None and second is not None and first.equals(second)


def _copy(file: BufferedIOBase, place: Place, path: str) -> tuple[int, str]:
    """Copy an open file into a place under a new name, and give its size and digest."""
    hasher = Hasher()
    target: WritableFile = place.create(path)
    try:
        for piece in _pieces(file):
            hasher.write(piece)
            target.write(piece)
        target.close()
    except BaseException:
        target.abandon()
        raise
    return hasher.size, hasher.hexdigest()


def _pieces(file: BufferedIOBase) -> Iterator[bytes]:
    while piece := file.read(_SLICE):
        yield piece


def _remove(place: Place, context: OutputContext, manifest: Manifest) -> None:
    if manifest.value is None:
        remove_data(place, data_of(context, manifest), manifest.encoding)
