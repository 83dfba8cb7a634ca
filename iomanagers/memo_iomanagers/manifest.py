"""The manifest of a stored output: what it names, how it is written, how it is read back.

It is a line of JSON: the fields of `Manifest`; where there is a key, ``signature``, which tells who wrote all of those
(`memo_iomanagers.signing`); and at the end ``check``, the digest of all before it, so that what a failing disk changes
shows whenever it is read, with a key and without.

A small pickle stands in the manifest itself: one file then takes the place of two, to be written, found, fetched and
removed, and planning has the value's own bytes under its eyes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder, Encoder

from memo.contracts.io_manager import Provenance
from memo.hashing import bytes_digest
from memo_iomanagers.naming import address_of, data_path, is_data_of, manifest_path
from memo_iomanagers.signing import check_manifest, sign_manifest

if TYPE_CHECKING:
    from collections.abc import Collection

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.signing import SigningKey

__all__ = [
    "FORMAT",
    "LARGEST_VALUE",
    "Manifest",
    "check_fits",
    "data_of",
    "decode",
    "encode",
    "file_of",
    "is_text",
    "manifest_of",
    "read",
    "sealed",
    "stamp_of",
]

FORMAT = 1
"""The number of this layout; a manifest with another one was written by another memo, and counts as not stored.

A field is added without a new one where a memo that does not know it may pass over it.
"""


LARGEST_VALUE = 2048
"""Bytes up to which a value stands in its manifest, which so fits into one block of a file system, of 4,096 bytes."""


class Manifest(Struct, frozen=True, omit_defaults=True):
    """One stored output. The appearance of its manifest is what makes an output stored.

    Attributes:
        format: The layout of this record.
        encoding: How the value is encoded in the data file: `pickle`, `arrow`, `numpy` and so on.
        data: The name of the data file, which lies where `naming.data_path` says; no other manifest ever had it.
        size: Bytes of data.
        digest: xxh3-128 of the data, as 32 hexadecimal digits.
        output: The output's name.
        step_key: The step that stored it; another step of the same version may have made it its own since.
        version: The output's version, None where it is stored under its run.
        run_id: The run that stored it.
        form: Which of the types that the encoding takes the value was.
        mtime_ns: The time of modification that the data file was given (`Place.seal`): as long as it has it, nobody
            has written to the file since.
        sha256: SHA-256 of the data, where the manifest was signed: xxh3 guards against accident alone.
        value: The data itself, where it is so little that there is no data file.
    """

    format: int
    encoding: str
    data: str
    size: Annotated[int, Meta(ge=0)]
    digest: str
    output: str
    step_key: str
    version: str | None = None
    run_id: str | None = None
    mapping_key: str | None = None
    provenance: Provenance = Provenance()
    form: str = ""
    mtime_ns: int | None = None
    sha256: str | None = None
    value: bytes | None = None


_encode = Encoder().encode
_decoder = Decoder(Manifest)


def _closing(body: bytes) -> bytes:
    """What a record of JSON ends with whose last brace has been taken off."""
    return f',"check":"{stamp_of(body)}"}}'.encode()


def encode(manifest: Manifest, key: SigningKey | None = None) -> bytes:
    """Write a manifest out: signed where there is a key, then closed with its digest."""
    record = _encode(manifest)
    return sealed(record if key is None else sign_manifest(record, key))


def sealed(record: bytes) -> bytes:
    """Add to a record of JSON its digest, as the last field."""
    body = record[:-1]
    return body + _closing(body)


def stamp_of(raw: bytes) -> str:
    """The digest of a manifest as it stands in its file, by which it is told from a later one."""
    return bytes_digest(raw)


_LENGTH = len(_closing(b""))


def read(raw: bytes, key: SigningKey | None = None) -> Manifest:
    """Read a manifest, of whatever output it is.

    Args:
        raw: What stands in its file.
        key: What it must be signed with. That is seen to before anything else is.

    Raises:
        SignatureError: It is not signed with the key.
        ValueError: What is wrong with it, as the end of a sentence.
    """
    if key is not None:
        check_manifest(raw[:-_LENGTH] + b"}", key)
    try:
        manifest = _decoder.decode(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is not a whole manifest ({error})") from None
    if manifest.format != FORMAT:
        raise ValueError(f"has format {manifest.format}, and this memo reads format {FORMAT}")
    if not raw.endswith(_closing(raw[:-_LENGTH])):
        raise ValueError("is not the manifest that was written: its digest differs")
    return manifest


def manifest_of(
    context: OutputContext,
    *,
    encoding: str,
    form: str,
    data: str,
    size: int,
    digest: str,
    mtime_ns: int | None,
    sha256: str | None = None,
    value: bytes | None = None,
) -> Manifest:
    """Make the manifest of a value that is encoded, and written where it has a data file."""
    return Manifest(
        FORMAT,
        encoding,
        data,
        size,
        digest,
        _text(context.name),
        _text(context.step_key),
        _optional(context.version),
        _optional(context.run_id),
        _optional(context.mapping_key or None),
        context.provenance,
        form,
        mtime_ns,
        sha256,
        value,
    )


def decode(
    raw: bytes,
    context: OutputContext,
    address: str,
    *,
    encodings: Collection[str],
    key: SigningKey | None = None,
) -> Manifest:
    """Read a manifest, and see that it is one of this very output.

    Args:
        raw: What stands in the manifest's file.
        context: The output that it must belong to.
        address: Of that output.
        encodings: Those that the reader can read.
        key: What it must be signed with. That is seen to before anything else is.

    Raises:
        SignatureError: It is not signed with the key.
        ValueError: What is wrong with it, as the end of a sentence.
    """
    manifest = read(raw, key)
    check_fits(manifest, context, address, encodings=encodings)
    return manifest


def check_fits(manifest: Manifest, context: OutputContext, address: str, *, encodings: Collection[str]) -> None:
    """See that a manifest is one of this very output, and can be followed.

    Args:
        manifest: The manifest.
        context: The output that it must belong to.
        address: Where it lies: its data lies in the folder of that address, nowhere else.
        encodings: Those that the reader can read.

    Raises:
        ValueError: What is wrong with it, as the end of a sentence.
    """
    if manifest.encoding not in encodings:
        known = " or ".join(map(repr, sorted(encodings)))
        raise ValueError(f"names a value encoded as {manifest.encoding!r}; this IO manager reads {known}")
    if not is_data_of(address, manifest.data):
        raise ValueError(f"names the data file {manifest.data!r}, which cannot be its own")
    version, name, mapping_key = context.version, context.name, context.mapping_key or None
    told = (manifest.version, manifest.output, manifest.mapping_key)
    is_ours = told == (version, name, mapping_key) or told == (_optional(version), _text(name), _optional(mapping_key))
    if not is_ours or (version is None and (manifest.run_id, manifest.step_key) != _run_and_step(context)):
        raise ValueError(
            f"belongs to another output: {manifest.output!r} of {manifest.step_key!r}, {manifest.version!r}",
        )


def data_of(context: OutputContext, manifest: Manifest) -> str:
    """Name the place of the data file of an output's manifest, below the storage."""
    return data_path(address_of(context), manifest.data)


def file_of(context: OutputContext, manifest: Manifest) -> str:
    """Name the file that an output's data is in: its data file, or its manifest."""
    return data_of(context, manifest) if manifest.value is None else manifest_path(context)


def is_text(manifest: Manifest) -> bool:
    r"""Whether the names in a manifest are its output's as they are, and none is written as ``\udc80``."""
    names = (manifest.output, manifest.step_key, manifest.version, manifest.run_id, manifest.mapping_key)
    return not any(name is not None and "\\ud" in name for name in names)


def _run_and_step(context: OutputContext) -> tuple[str | None, str]:
    return _optional(context.run_id), _text(context.step_key)


def _text(name: str) -> str:
    """A name as JSON can hold it: any string of Python may be one, lone surrogates included."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _optional(name: str | None) -> str | None:
    return None if name is None else _text(name)
