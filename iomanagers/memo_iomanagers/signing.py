"""Signatures: the key, what is signed with it, and how what does not fit it is reported.

What is signed is signed as the bytes that are stored, with HMAC-SHA256, under a word that says what they are: the
signature of one kind of thing never fits another. `docs/trust.md` says what this guards against, and what not.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memo.contracts.io_manager import run_log
from memo.errors import StorageError
from memo_iomanagers.telling import REMEDY

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import NoReturn

    from memo.contracts.io_manager import Storage

__all__ = [
    "VARIABLE",
    "SignatureError",
    "SigningKey",
    "Untrusted",
    "check_manifest",
    "key_of",
    "sign",
    "sign_manifest",
    "verify",
]

VARIABLE = "MEMO_SIGNING_KEY"
"""Where the key is looked for first: its text is the key."""

_SHORTEST = 16
_NEW_KEY = 'make one with: python -c "import secrets; print(secrets.token_hex(32))"'
_MANIFEST = "manifest"
_BEFORE, _AFTER = b',"signature":"', b'"}'
_TAIL = len(_BEFORE) + 64 + len(_AFTER)
_ENVELOPE = b"memo-signed-1 "
_UNSIGNED = "-"
_ONE_BY_ONE = 10
"""Warnings of single outputs, after which an IO manager says no more of others."""


class SignatureError(ValueError):
    """Something is not signed with the key; the text says so, as the end of a sentence.

    Attributes:
        of_many: The same, said of more than one.
    """

    def __init__(self, text: str, of_many: str) -> None:
        super().__init__(text)
        self.of_many = of_many


class SigningKey:
    """A key, ready to sign. Its bytes can neither be read from it nor be stored with it.

    Args:
        secret: The key, of at least 16 bytes.
        where: Where it stands, for the front of errors.

    Raises:
        StorageError: It is shorter.
    """

    __slots__ = ("_begun",)

    def __init__(self, secret: bytes, *, where: str = "signing_key") -> None:
        if len(secret) < _SHORTEST:
            found = f"has {len(secret)} bytes" if secret else "is empty"
            raise StorageError(f"the signing key {found}, and at least {_SHORTEST} are needed: {_NEW_KEY}", where=where)
        import hmac

        self._begun = hmac.new(secret, digestmod="sha256")

    def __repr__(self) -> str:
        return "SigningKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not sent or stored: whoever needs it reads it from where it is kept")

    def signature(self, what: str, data: bytes) -> str:
        """Sign bytes as what they are, in 64 hexadecimal digits."""
        said = what.encode("utf-8", "surrogatepass")
        made = self._begun.copy()
        made.update(b"memo %d:%b" % (len(said), said))
        made.update(data)
        return made.hexdigest()

    def fits(self, signature: bytes, what: str, data: bytes) -> bool:
        """Whether a signature is the one of these bytes, told in a time that does not say how nearly."""
        from hmac import compare_digest

        return compare_digest(signature, self.signature(what, data).encode())


def key_of(storage: Storage) -> SigningKey | None:
    """Read the key: the text of ``MEMO_SIGNING_KEY``, else what the file holds that the settings name.

    Spaces and line ends around it do not count.

    Raises:
        StorageError: The file cannot be read, or the key is empty or too short.
    """
    text = os.environ.get(VARIABLE)
    if text is not None:
        return SigningKey(text.strip().encode("utf-8", "surrogateescape"), where=VARIABLE)
    path = storage.signing_key_file
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read().strip()
    except OSError as error:
        raise StorageError(f"the signing key cannot be read ({error.strerror})", where=path) from error
    key = SigningKey(secret, where=path)
    if mode & 0o066 and path not in _told and _WORKER not in os.environ:
        _told.add(path)
        run_log().warning("%s: others can read or change the signing key: chmod 600 it, and make a new one", path)
    return key


_told: set[str] = set()
_WORKER = "MEMO_WORKER"
"""Set in worker processes, whose coordinator has told what there is to be told of the key."""


def sign_manifest(raw: bytes, key: SigningKey) -> bytes:
    """Put a signature into the record of a manifest, as its last member so far."""
    signature = key.signature(_MANIFEST, raw).encode()
    return b"".join((raw.removesuffix(b"}"), _BEFORE, signature, _AFTER))


def check_manifest(raw: bytes, key: SigningKey) -> None:
    """See that a manifest is the very bytes that were signed with the key.

    Raises:
        SignatureError: It is not.
    """
    tail = raw[-_TAIL:]
    if not (tail.startswith(_BEFORE) and tail.endswith(_AFTER)):
        raise _unsigned()
    if not key.fits(tail[len(_BEFORE) : -len(_AFTER)], _MANIFEST, raw[:-_TAIL] + b"}"):
        raise _misfit()


def sign(data: bytes, name: str, key: SigningKey | None) -> bytes:
    """Put bytes that are kept in a shared place into an envelope: one line, and the bytes.

    Args:
        data: Any bytes.
        name: What they are and where they belong, so that nobody can put them elsewhere: ``journal/<home>/7``.
        key: Without one the envelope says that it is not signed.
    """
    signature = _UNSIGNED if key is None else key.signature(f"envelope {name}", data)
    return b"".join((_ENVELOPE, signature.encode(), b"\n", data))


def verify(envelope: bytes, name: str, key: SigningKey | None) -> bytes:
    """Take bytes out of an envelope that `sign` made under the same name.

    Args:
        envelope: What `sign` gave.
        name: As it was signed.
        key: Without one any signature is taken.

    Raises:
        SignatureError: There is a key, and it did not sign these bytes under this name.
        ValueError: It is no envelope. Either text is the end of a sentence.
    """
    line, ended, data = envelope.partition(b"\n")
    if not (ended and line.startswith(_ENVELOPE)):
        raise ValueError("is no whole envelope")
    signature = line.removeprefix(_ENVELOPE)
    if key is None:
        return data
    if signature == _UNSIGNED.encode():
        raise _unsigned()
    if not key.fits(signature, f"envelope {name}", data):
        raise _misfit()
    return data


def _unsigned() -> SignatureError:
    return SignatureError("is not signed", "are not signed")


def _misfit() -> SignatureError:
    return SignatureError(
        "cannot be trusted: its signature does not fit the key",
        "cannot be trusted: their signatures do not fit the key",
    )


class Untrusted:
    """Reports outputs whose manifests do not fit the key: each once, those of one question in one line.

    Args:
        place: Where the outputs are, for people.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._seen: set[str] = set()
        self._alone = 0
        self._gathered: dict[str, list[tuple[str, SignatureError]]] | None = None

    def add(self, name: str, error: SignatureError) -> None:
        """Report one, by the full name of its manifest."""
        if name in self._seen:
            return
        self._seen.add(name)
        if self._gathered is not None:
            self._gathered.setdefault(error.of_many, []).append((name, error))
            return
        self._alone += 1
        if self._alone <= _ONE_BY_ONE:
            last = "; further ones of this kind are not named" if self._alone == _ONE_BY_ONE else ""
            run_log().warning("%s %s; %s%s", name, error, REMEDY, last)

    @contextmanager
    def together(self) -> Generator[None]:
        """Report those of one question when it is answered."""
        if self._gathered is not None:
            yield
            return
        gathered = self._gathered = {}
        try:
            yield
        finally:
            self._gathered = None
            for of_many, found in gathered.items():
                self._report(of_many, found)

    def _report(self, of_many: str, found: list[tuple[str, SignatureError]]) -> None:
        name, error = found[0]
        if len(found) == 1:
            self._seen.discard(name)
            self.add(name, error)
            return
        run_log().warning(
            "%s outputs in %s %s, the first is %s; they count as not stored, and are made again when they are needed",
            f"{len(found):,}",
            self._place,
            of_many,
            name,
        )
