"""All that a place holds: listed from its manifests, read through, let go, moved aside.

What is damaged is moved below ``quarantine/``, in a folder of its own: ``manifest.json``, the data file, and the folder
of the files beside it. Where a damaged manifest does not tell its data file, all that carry its address are its own.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from memo.contracts.inventory import Inventory, StoredOutput, UnnamedFile, Unreadable
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
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedIOBase

    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place
    from memo_iomanagers.signing import SigningKey

__all__ = ["discard", "examine", "quarantine", "remove_unnamed", "take_inventory"]

_QUARANTINE = "quarantine/"
_TOKEN = re.compile("[0-9a-f]{16}").fullmatch


def take_inventory(place: Place, key: SigningKey | None = None) -> Inventory:
    """List all that a place holds of outputs; whatever else lies there is none of it.

    What cannot be read is told with the rest. With a key, what it did not sign is told to be untrusted.

    Raises:
        StorageError: It cannot be asked at all.
    """
    failed: dict[str, Exception] = {}
    try:
        # The data after the manifests: what is stored meanwhile is then unnamed, and not a manifest without data.
        beside = {path: size for prefix in (VERSIONED, RUNS) for path, size in place.list(prefix, failed).items()}
        raws = _read(place, [path for path in beside if path.endswith(MANIFEST)], failed)
        data = _together(place.list(DATA, failed))
        quarantined = sum(place.list(_QUARANTINE, failed).values())
    except Exception as error:
        raise StorageError(f"{place.full_name('')} could not be asked what it holds: {reason(error)}") from error
    return _Stock(place, key, beside, data, failed).inventory(raws, quarantined)


class _Stock:
    """What a place holds, as it was listed: each output takes its own from it, and the rest is unnamed."""

    def __init__(
        self,
        place: Place,
        key: SigningKey | None,
        beside: dict[str, int],
        data: dict[str, int],
        failed: Mapping[str, Exception],
    ) -> None:
        self._place = place
        self._key = key
        self._beside = beside
        self._data = data
        self._failed = failed
        self._hidden = dict.fromkeys(failed, 0)
        """Bytes of what may belong to that which could not be read."""

    def inventory(self, raws: Mapping[str, bytes], quarantined: int) -> Inventory:
        outputs: list[StoredOutput] = []
        damaged: list[tuple[str, bytes, str]] = []
        for path, raw in raws.items():
            address = path.removesuffix(MANIFEST)
            try:
                manifest, untrusted = self._own(raw, address)
            except ValueError as error:
                damaged.append((address, raw, str(error)))
                continue
            output = self._output(address, raw, manifest, untrusted=untrusted)
            if output is not None:
                outputs.append(output)
        if damaged:
            outputs += self._damaged(damaged)
        left = self._data | {
            path: size for path, size in self._beside.items() if path not in raws and path not in self._failed
        }
        unnamed = [
            UnnamedFile(path, size, _written_at(self._place, path))
            for path, size in left.items()
            if not (self._failed and self._hides(size, path.removeprefix(DATA), f"{_address_of(path)}{MANIFEST}"))
            and not (path.endswith(MANIFEST) and not path.startswith(DATA))  # gone meanwhile
        ]
        for path in self._failed:
            self._hidden[path] += self._beside.get(path, 0)
        unreadable = [
            Unreadable(self._place.full_name(path), reason(error), self._hidden[path])
            for path, error in self._failed.items()
        ]
        return Inventory(tuple(outputs), tuple(unnamed), quarantined, tuple(unreadable))

    def _own(self, raw: bytes, address: str) -> tuple[Manifest, bool]:
        """Read a manifest, and say whether it is not signed with the key; see the function of this name."""
        try:
            return _own(raw, address, self._key), False
        except SignatureError:
            return _own(raw, address, None), True

    def _output(self, address: str, raw: bytes, manifest: Manifest, *, untrusted: bool) -> StoredOutput | None:
        """Describe what a manifest tells of, and take its data; None where that could not be read."""
        size, named = self._beside[address + MANIFEST], data_path(address, manifest.data)
        held = self._data.pop(named, None)
        wrong = None
        if manifest.value is not None:
            named = address + MANIFEST
        elif held is None and self._hides(size, named):
            return None
        elif held is None or held < manifest.size:
            there = _size(self._place, named)  # where a link leads to it, that counts
            if there is None:
                wrong = f"names {manifest.data}, which is gone"
            elif there < manifest.size:
                wrong = f"names a file of {manifest.size:,} bytes, and it has {there:,}"
        return StoredOutput(
            address,
            manifests.stamp_of(raw),
            self._place.full_name(named),
            size + (held or 0),
            manifest.output,
            manifest.step_key,
            manifest.version,
            manifest.run_id,
            manifest.mapping_key,
            manifest.digest,
            manifest.provenance,
            wrong,
            untrusted,
        )

    def _damaged(self, found: Iterable[tuple[str, bytes, str]]) -> Iterator[StoredOutput]:
        """Describe outputs by manifests that are not whole, once all others have what is theirs."""
        by_address: dict[str, list[str]] = {}
        for path in self._data:
            by_address.setdefault(_address_of(path), []).append(path)
        for address, raw, wrong in found:
            named = _data_of(raw, address)
            owned = [named] if named in self._data else by_address.get(address, [])
            size = self._beside[address + MANIFEST] + sum(self._data.pop(path, 0) for path in owned)
            yield StoredOutput(
                address, manifests.stamp_of(raw), self._place.full_name(address + MANIFEST), size, wrong=wrong
            )

    def _hides(self, size: int, *paths: str) -> bool:
        """Whether one of these files is among what could not be read; then the bytes are counted with that."""
        for path in paths:
            for each in self._failed:
                if path == each or path.startswith(f"{each}/"):
                    self._hidden[each] += size
                    return True
        return False


def examine(place: Place, output: StoredOutput, key: SigningKey | None = None) -> str | None:
    """Read all the bytes of an output, and say what is wrong with them; see `InventoryIOManager.examine`.

    Raises:
        StorageError: It could not be read; or there is a key, which did not sign it.
    """
    raw = _raw(place, output)
    if raw is None:
        return None
    try:
        manifest = _own(raw, output.address, None)
        if key is not None:
            _own(raw, output.address, key)
    except SignatureError as error:  # it may be whole: our key may be the wrong one
        raise StorageError(f"{place.full_name(output.address + MANIFEST)} {error}; it counts as not stored") from error
    except ValueError as error:
        return str(error)
    path = data_path(output.address, manifest.data)
    try:
        with place.open(path, manifest.size) if manifest.value is None else BytesIO(manifest.value) as file:
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
            if each is not None:
                _remove_empty(place, each.rpartition("/")[0])
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
    try:
        # The manifest last: what is interrupted half-way goes on there the next time.
        for path in _all_data_of(place, raw, output.address):
            for each in place.list(path):  # with what lies beside it; not what a link leads to
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


def _read(place: Place, paths: list[str], failed: dict[str, Exception]) -> Mapping[str, bytes]:
    """Read manifests; of this machine, one that cannot be read keeps nobody from the others."""
    try:
        return place.fetch(paths)
    except Exception:
        if place.remote:
            raise
    found: dict[str, bytes] = {}
    for path in paths:
        try:
            found[path] = place.read(path)
        except NOT_THERE:
            continue
        except Exception as error:  # noqa: BLE001 - told with the inventory
            failed[path] = error
    return found


def _together(sizes: Mapping[str, int]) -> dict[str, int]:
    """The size of each data file with those beside it."""
    found: dict[str, int] = {}
    for path, size in sizes.items():
        # No folder above a data file has a dot in its name. What ends so itself is a link where the folder should be.
        head, side, _ = f"{path}/".partition(f"{SIDE}/")
        whole = head if side else path
        found[whole] = found.get(whole, 0) + size
    return found


def _size(place: Place, path: str) -> int | None:
    try:
        return place.size(path)
    except Exception:  # noqa: BLE001 - it was not listed either
        return None


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
    """The data file of a manifest that may be damaged; None where that does not tell, or has the data itself."""
    from msgspec import DecodeError
    from msgspec.json import decode

    try:
        found = decode(raw)
    except (DecodeError, UnicodeDecodeError):
        return None
    name = found.get("data") if isinstance(found, dict) and "value" not in found else None
    return data_path(address, name) if isinstance(name, str) and is_data_of(address, name) else None


def _all_data_of(place: Place, raw: bytes, address: str) -> list[str]:
    """The data files of a manifest: the one that it names, and where it is damaged, all that carry its address."""
    named = _data_of(raw, address)
    try:
        _own(raw, address, None)
    except ValueError:
        beginning = data_path(address, f"{address.rpartition('/')[2]}.")
        carrying = [path for path in _together(place.list(beginning)) if _address_of(path) == address]
        return [named] if named in carrying else carrying
    return [] if named is None else [named]


def _address_of(path: str) -> str:
    """The address that the name of a data file carries; empty where it is no name of one."""
    folder, _, name = path.removeprefix(DATA).rpartition("/")
    for suffix in _suffixes():
        stem, _, token = name.removesuffix(suffix).rpartition(".")
        if name.endswith(suffix) and stem and _TOKEN(token):
            return f"{folder}/{stem}"
    return ""


@cache
def _suffixes() -> tuple[str, ...]:
    return tuple([f".{encoding_named(name).suffix}" for name in NAMES])


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


def _remove_empty(place: Place, path: str) -> None:
    """Remove a folder of this machine that nothing is in, unless a link leads to it."""
    root, folder = place.folder(""), place.folder(path)
    if root is not None and folder is not None and os.path.realpath(folder) == f"{os.path.realpath(root)}/{path}":
        with suppress(OSError):  # there are others in it
            os.rmdir(folder)


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
