"""All that a place holds: listed from its manifests, read through, let go, moved aside.

What is damaged is moved below ``quarantine/``, in a folder of its own: ``manifest.json``, the data file, and the folder
of the files beside it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from memo.contracts.inventory import Inventory, StoredOutput, UnnamedFile
from memo.contracts.io_manager import OutputContext
from memo.errors import StorageError
from memo_iomanagers import manifest as manifests
from memo_iomanagers.encodings import NAMES, encoding_named
from memo_iomanagers.naming import DATA, MANIFEST, RUNS, SIDE, VERSIONED, address_of, data_path, is_data_of
from memo_iomanagers.places import NOT_THERE, reason
from memo_iomanagers.signing import SignatureError
from memo_iomanagers.stored import Stored, digest_of
from memo_iomanagers.writing import remove_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from io import BufferedIOBase

    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place
    from memo_iomanagers.signing import SigningKey

__all__ = ["discard", "examine", "quarantine", "remove_unnamed", "take_inventory"]

_QUARANTINE = "quarantine/"


def take_inventory(place: Place, key: SigningKey | None = None) -> Inventory:
    """List all that a place holds of outputs; whatever else lies there is none of it.

    With a key, what it did not sign is told to be wrong.

    Raises:
        StorageError: It cannot be asked.
    """
    try:
        # The data after the manifests: what is stored meanwhile is then unnamed, and not a manifest without data.
        beside = {path: size for prefix in (VERSIONED, RUNS) for path, size in place.list(prefix).items()}
        raws = place.fetch([path for path in beside if path.endswith(MANIFEST)])
        data = _together(place.list(DATA))
        quarantined = sum(place.list(_QUARANTINE).values())
    except Exception as error:
        raise StorageError(f"{place.full_name('')} could not be asked what it holds: {reason(error)}") from error
    outputs = tuple([_output(place, path, raw, key, data, beside) for path, raw in raws.items()])
    left = {**data, **{path: size for path, size in beside.items() if path not in raws and not path.endswith(MANIFEST)}}
    unnamed = tuple([UnnamedFile(path, size, _written_at(place, path)) for path, size in left.items()])
    return Inventory(outputs, unnamed, quarantined)


def examine(place: Place, output: StoredOutput, key: SigningKey | None = None) -> str | None:
    """Read all the bytes of an output, and say what is wrong with them; see `InventoryIOManager.examine`.

    Raises:
        StorageError: It could not be read; or there is a key, which did not sign it.
    """
    raw = _raw(place, output)
    if raw is None:
        return None
    try:
        manifest = _own(raw, output.address, key)
    except SignatureError as error:  # it may be whole: our key may be the wrong one
        raise StorageError(f"{place.full_name(output.address + MANIFEST)} {error}; it counts as not stored") from error
    except ValueError as error:
        return str(error)
    path = data_path(output.address, manifest.data)
    try:
        with place.open(path, manifest.size) as file:
            stored = Stored(place, path, file, manifest.size, signed=key is not None)
            return _differing(file, stored, manifest) or encoding_named(manifest.encoding).lost(stored, thorough=True)
    except NOT_THERE:
        return None if _raw(place, output) is None else f"names {manifest.data}, which is gone"
    except Exception as error:
        raise _not_done(place, path, "read", error) from error


def _differing(file: BufferedIOBase, stored: Stored, manifest: Manifest) -> str | None:
    size, found = digest_of(file, manifest.size)
    if size != manifest.size:
        return f"names a file of {manifest.size:,} bytes, and it has {size:,}"
    if found != manifest.digest or (stored.signed and stored.sha256() != manifest.sha256):
        return "names a file that does not hold what was stored: its digest differs"
    return None


def discard(place: Place, output: StoredOutput) -> bool:
    """Remove an output, if it is still this one; see `InventoryIOManager.discard`.

    Raises:
        StorageError: It could not be removed.
    """
    raw = _raw(place, output)
    if raw is None:
        return False
    # The manifest first: whatever happens then, the output is gone, and its data is nobody's.
    _remove(place, output.address + MANIFEST)
    path = _data_of(raw, output.address)
    if path is not None:
        remove_data(place, path)
    if output.version is None:
        # Nobody stores for a run that has ended; folders of versions are shared, and stay.
        for each in (output.address, path):
            folder = None if each is None else place.folder(each.rpartition("/")[0])
            if folder is not None:
                with suppress(OSError):  # there are others in it
                    os.rmdir(folder)
    return True


def quarantine(place: Place, output: StoredOutput) -> str | None:
    """Move an output aside, if it is still this one; see `InventoryIOManager.quarantine`.

    Raises:
        StorageError: It could not be moved.
    """
    raw = _raw(place, output)
    if raw is None:
        return None
    folder = f"{_QUARANTINE}{output.address.rpartition('/')[2]}.{output.stamp[:16]}"
    path = _data_of(raw, output.address)
    try:
        # The manifest last: what is interrupted half-way goes on there the next time.
        if path is not None:
            for each in (path, *place.list(f"{path}{SIDE}/")):
                with suppress(*NOT_THERE):
                    place.move(each, f"{folder}/{each.removeprefix(path.rpartition('/')[0] + '/')}")
            place.remove_folder(path + SIDE)
        if _raw(place, output) is not None:
            place.move(output.address + MANIFEST, f"{folder}/manifest.json")
    except StorageError:
        raise
    except Exception as error:
        raise _not_done(place, output.address + MANIFEST, "moved aside", error) from error
    return place.full_name(folder)


def remove_unnamed(place: Place, files: Iterable[UnnamedFile]) -> int:
    """Remove files that no manifest names; see `InventoryIOManager.remove_unnamed`."""
    freed = 0
    for file in files:
        remove_data(place, file.path)
        freed += file.size
    return freed


def _together(sizes: Mapping[str, int]) -> dict[str, int]:
    """The size of each data file with those beside it."""
    found: dict[str, int] = {}
    for path, size in sizes.items():
        # No folder above a data file has a dot in its name.
        head, side, _ = path.partition(f"{SIDE}/")
        whole = head if side else path
        found[whole] = found.get(whole, 0) + size
    return found


def _output(
    place: Place,
    path: str,
    raw: bytes,
    key: SigningKey | None,
    data: dict[str, int],
    beside: Mapping[str, int],
) -> StoredOutput:
    """Describe what a manifest tells of, and take its data from what nobody has named so far."""
    address, size, stamp = path.removesuffix(MANIFEST), beside[path], manifests.stamp_of(raw)
    try:
        manifest = _own(raw, address, key)
    except ValueError as error:
        named = _data_of(raw, address)
        size += data.pop(named, 0) if named is not None else 0
        return StoredOutput(address, stamp, place.full_name(path), size, wrong=str(error))
    named = data_path(address, manifest.data)
    held = data.pop(named, None)
    wrong = None
    if held is None:
        wrong = f"names {manifest.data}, which is gone"
    elif held < manifest.size:
        wrong = f"names a file of {manifest.size:,} bytes, and it has {held:,}"
    return StoredOutput(
        address,
        stamp,
        place.full_name(named),
        size + (held or 0),
        manifest.output,
        manifest.step_key,
        manifest.version,
        manifest.run_id,
        manifest.mapping_key,
        manifest.digest,
        manifest.provenance,
        wrong,
    )


def _own(raw: bytes, address: str, key: SigningKey | None) -> Manifest:
    """Read a manifest, and see that it is that of the output in whose place it lies.

    Raises:
        SignatureError: There is a key, which did not sign it.
        ValueError: What is wrong with it.
    """
    manifest = manifests.read(raw, key)
    context = OutputContext(manifest.step_key, manifest.output, manifest.version, manifest.run_id, manifest.mapping_key)
    manifests.check_fits(manifest, context, address, encodings=NAMES)
    # A name that is no text stands in the manifest otherwise than in the address.
    if manifests.is_text(manifest) and address_of(context) != address:
        raise ValueError(f"belongs to another output: {manifest.output!r} of {manifest.step_key!r}")
    return manifest


def _data_of(raw: bytes, address: str) -> str | None:
    """The data file of a manifest that may be damaged; None where that does not tell."""
    from msgspec import DecodeError
    from msgspec.json import decode

    try:
        found = decode(raw)
    except (DecodeError, UnicodeDecodeError):
        return None
    name = found.get("data") if isinstance(found, dict) else None
    return data_path(address, name) if isinstance(name, str) and is_data_of(address, name) else None


def _raw(place: Place, output: StoredOutput) -> bytes | None:
    """The manifest of an output, if it is still the one that was seen."""
    path = output.address + MANIFEST
    try:
        raw = place.read(path)
    except NOT_THERE:
        return None
    except Exception as error:
        raise _not_done(place, path, "read", error) from error
    return raw if manifests.stamp_of(raw) == output.stamp else None


def _remove(place: Place, path: str) -> None:
    place.remove(path)
    try:
        place.size(path)
    except NOT_THERE:
        return
    except Exception as error:
        raise _not_done(place, path, "removed", error) from error
    raise StorageError(f"{place.full_name(path)} could not be removed: it is there still; see who may write there")


def _written_at(place: Place, path: str) -> float | None:
    """When a data file or one of those beside it was last written to."""
    if not path.startswith(DATA):
        return place.written_at(path)
    times = [place.written_at(each) for each in (path, *place.list(f"{path}{SIDE}/"))]
    known = [each for each in times if each is not None]
    return max(known, default=None)


def _not_done(place: Place, path: str, done: str, error: Exception) -> StorageError:
    return StorageError(f"{place.full_name(path)} could not be {done}: {reason(error)}")
