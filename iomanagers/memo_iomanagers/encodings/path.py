"""The path encoding: the file or folder that an op wrote and returned the path of.

The data file is a listing, in JSON, of every file with its size and digest; the files themselves lie in the folder
beside it: under their own names on this machine, under numbers elsewhere. What is loaded is a path to the stored
copy, or to one that was fetched once for this process. Its files may only be read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from memo.hashing import digest
from memo_iomanagers.encodings.encoding import CannotEncodeError, Encoding, Written, type_name
from memo_iomanagers.stored import digest_of, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memo_iomanagers.encodings.encoding import Writable
    from memo_iomanagers.stored import Stored

__all__ = ["PathEncoding", "restore_seals"]

_CHUNK = 1 << 20
_TEXT = "str"
_fetched: dict[tuple[str, bool], str] = {}
"""Full name of a listing, and whether it is signed -> the folder that its files were fetched to, for as long as this
process lives."""


class Entry(Struct, frozen=True, omit_defaults=True):
    """One file, folder or link.

    Attributes:
        path: Below the folder beside the listing, with ``/``; the first entry is the file or folder itself.
        target: Of a link, relative to the folder it is in.
        mtime_ns: The seal of the stored file (`memo_iomanagers.places.Place.seal`).
        sha256: Of the file, where the listing is signed.
    """

    path: str
    kind: Literal["file", "folder", "link"]
    size: int = 0
    digest: str = ""
    executable: bool = False
    target: str = ""
    mtime_ns: int | None = None
    sha256: str = ""


_encode = Encoder().encode
_decoder = Decoder(list[Entry])


class PathEncoding(Encoding):
    """Paths to files and folders, kept with all that they lead to."""

    name = "path"
    suffix = "tree.json"
    takes = "a pathlib.Path or str that leads to a file or a folder"
    has_side_files = True

    def refusal(self, value: Any) -> str | None:
        """Refuse what is no path, and paths that lead nowhere."""
        from pathlib import Path

        if type(value) is not str and not isinstance(value, Path):
            return f"it is a {type_name(value)}"
        name = os.fspath(value)
        if "\0" in name or not os.path.exists(name):
            return f"there is nothing at {name!r}"
        return None

    def dump(self, value: Any, file: Writable) -> Written:
        """Copy the file or folder, hashing it on the way, and write the listing."""
        root = os.path.realpath(value)
        name = os.path.basename(os.path.abspath(value)) or "root"
        entries: list[Entry] = []
        for number, (path, source) in enumerate(_walk(root, name)):
            entries.append(_kept(path, source, root, number, file))
        file.write(_encode(entries))
        content = [part for each in entries for part in _content(each)]
        size = sum(entry.size for entry in entries)
        return Written(_TEXT if type(value) is str else "", digest("path", *content), size)

    def load(self, stored: Stored, form: str, wanted: object) -> Any:  # noqa: ARG002 - the form is all that is asked for
        """Give the path to the stored copy, once it is known to be whole."""
        entries = _entries(stored)
        if stored.folder is None:
            known = (stored.name, stored.signed)
            folder = _fetched.get(known)
            if folder is None or _lost(entries, folder):
                folder = _fetched[known] = _fetch(entries, stored)
        else:
            folder = stored.folder
            lost = _lost(entries, folder, reads=_always if stored.signed else _written_to, signed=stored.signed)
            if lost:
                raise ValueError(lost)
        path = f"{folder}/{entries[0].path}"
        if form == _TEXT:
            return path
        from pathlib import Path

        return Path(path)

    def lost(self, stored: Stored, *, thorough: bool = False) -> str | None:
        """Say what is missing in the folder of the files, without reading them unless it is to be thorough."""
        try:
            if stored.folder is not None:
                reads = _always if thorough else _never
                return _lost(_entries(stored), stored.folder, reads=reads, signed=stored.signed)
            if thorough:
                for number, entry in enumerate(_entries(stored)):
                    if entry.kind == "file":
                        _check_far(entry, str(number), stored)
        except ValueError as error:
            return str(error)
        except CannotEncodeError as error:
            return f"cannot be followed ({error})"
        return None

    def explain_load(self, stored: Stored, error: Exception) -> tuple[bool, str]:  # noqa: ARG002 - the error tells all
        """Name the file that is not whole."""
        return True, str(error) if isinstance(error, ValueError) else f"cannot be followed ({error})"


def _walk(root: str, name: str) -> Iterator[tuple[str, str]]:
    """Every (path below the stored folder, place it is now), folders before what they hold, in order of names."""
    from stat import S_ISDIR

    try:
        name.encode()
    except UnicodeEncodeError:
        raise CannotEncodeError(f"the name of {root!r} is not UTF-8") from None
    yield name, root
    try:
        names = sorted(os.listdir(root)) if S_ISDIR(os.lstat(root).st_mode) else []
    except OSError as error:
        raise CannotEncodeError(f"{root!r} cannot be read ({error.strerror})") from error
    for each in names:
        for path, source in _walk(f"{root}/{each}", each):
            yield f"{name}/{path}", source


def _kept(path: str, source: str, root: str, number: int, file: Writable) -> Entry:
    from stat import S_ISDIR, S_ISLNK, S_ISREG

    try:
        status = os.lstat(source)
        if S_ISLNK(status.st_mode):
            return _linked(path, source, root, file)
        if S_ISDIR(status.st_mode):
            if file.folder is not None:
                os.makedirs(f"{file.folder}/{path}")
            return Entry(path, "folder")
        if not S_ISREG(status.st_mode):
            raise CannotEncodeError(f"{source!r} is neither a file nor a folder nor a link")
        opened = open(source, "rb", buffering=0)  # noqa: SIM115 - closed below, whatever is raised on the way
    except OSError as error:
        raise CannotEncodeError(f"{source!r} cannot be kept ({error.strerror})") from error
    with opened:
        executable = bool(status.st_mode & 0o100)
        side = file.beside(path if file.folder is not None else str(number))
        while data := _next(opened, source):
            side.write(data)
        size, found, sha256, seal = side.end(mode=0o555 if executable else 0o444)
    return Entry(path, "file", size, found, executable, mtime_ns=seal, sha256=sha256)


def _next(opened: Any, source: str) -> bytes:
    try:
        data: bytes = opened.read(_CHUNK)
    except OSError as error:
        raise CannotEncodeError(f"{source!r} cannot be read ({error.strerror})") from error
    return data


def _linked(path: str, source: str, root: str, file: Writable) -> Entry:
    target = os.readlink(source)
    leads = os.path.normpath(os.path.join(os.path.dirname(source), target))
    if os.path.isabs(target) or not _within(leads, root) or not _within(os.path.realpath(source), root):
        raise CannotEncodeError(
            f"{source!r} is a link to {target!r}, out of the folder that is kept: copy what it means"
        )
    if file.folder is not None:
        os.makedirs(os.path.dirname(f"{file.folder}/{path}"), exist_ok=True)
        os.symlink(target, f"{file.folder}/{path}")
    return Entry(path, "link", target=target)


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _content(entry: Entry) -> tuple[str, ...]:
    return entry.path, entry.kind, str(entry.size), entry.digest, str(entry.executable), entry.target


def _entries(stored: Stored) -> list[Entry]:
    """Read a listing, and see that it leads nowhere but into its own folder.

    Raises:
        ValueError: It does not, or it is none.
    """
    return _checked(_decoder.decode(stored.read()))


def _checked(entries: list[Entry]) -> list[Entry]:
    root = entries[0].path if entries else ""
    for entry in entries:
        parts = entry.path.split("/")
        leads = os.path.normpath(f"{'/'.join(parts[:-1])}/{entry.target}")
        if {"", ".", ".."} & {*parts} or "\0" in entry.path or not _within(entry.path, root):
            raise ValueError(f"tells of {entry.path!r}, which is no place of its own")
        if entry.kind == "link" and (os.path.isabs(entry.target) or not _within(leads, root)):
            raise ValueError(f"tells of a link to {entry.target!r}, which is no place of its own")
    if not entries:
        raise ValueError("tells of no file")
    return entries


def _never(_entry: Entry, _mtime_ns: int) -> bool:
    return False


def _always(_entry: Entry, _mtime_ns: int) -> bool:
    return True


def _written_to(entry: Entry, mtime_ns: int) -> bool:
    """Whether a stored file may have been written to, as its time of modification tells."""
    return entry.mtime_ns is None or mtime_ns != entry.mtime_ns


def _lost(
    entries: list[Entry], folder: str, *, reads: Callable[[Entry, int], bool] = _never, signed: bool = False
) -> str | None:
    """Say which of the files is not as the listing tells, as the end of a sentence.

    Args:
        entries: The listing.
        folder: Where the files are.
        reads: Which files to read, by their entry and time of modification.
        signed: Compare what was signed of those.
    """
    from stat import S_ISDIR, S_ISLNK, S_ISREG

    root = entries[0].path
    kinds = {"file": S_ISREG, "folder": S_ISDIR, "link": S_ISLNK}
    there = {path for name in _names(folder) for path, _ in _walk(f"{folder}/{name}", name)}
    for entry in entries:
        path = f"{folder}/{entry.path}"
        if entry.path not in there:
            return f"tells of {path}, which is gone"
        status = os.lstat(path)
        if not kinds[entry.kind](status.st_mode):
            return f"tells of {path}, which is no {entry.kind} now"
        if entry.kind == "link" and (astray := _astray(entry, path, f"{folder}/{root}")):
            return f"tells of {path}, which {astray}"
        if entry.kind == "file" and status.st_size != entry.size:
            return f"tells of {path}, which has {status.st_size:,} bytes, and {entry.size:,} were stored"
        if entry.kind == "file" and reads(entry, status.st_mtime_ns) and _differs(entry, path, signed=signed):
            return f"tells of {path}, which does not hold what was stored: its digest differs"
    strange = sorted(there - {entry.path for entry in entries})
    return f"does not tell of {folder}/{strange[0]}, which is there" if strange else None


def _astray(link: Entry, path: str, root: str) -> str | None:
    """Say where a link leads that should not; of several, each may look harmless, and together they lead anywhere."""
    if os.readlink(path) != link.target:
        return "leads elsewhere now"
    return None if _within(os.path.realpath(path), os.path.realpath(root)) else "leads out of its folder"


def _differs(entry: Entry, path: str, *, signed: bool) -> bool:
    with open(path, "rb") as file:
        if signed:
            return sha256_of(file) != entry.sha256
        return digest_of(file, entry.size) != (entry.size, entry.digest)


def _names(folder: str) -> list[str]:
    try:
        return [] if os.path.islink(folder) else os.listdir(folder)
    except FileNotFoundError:
        return []


def _check_far(entry: Entry, key: str, stored: Stored) -> None:
    """Read a file that lies elsewhere.

    Raises:
        ValueError: It is not what the listing tells.
    """
    try:
        with stored.beside(key) as file:
            found = digest_of(file, entry.size)
    except FileNotFoundError:
        raise ValueError(f"tells of {entry.path!r}, which is gone") from None
    if found != (entry.size, entry.digest):
        raise ValueError(f"tells of {entry.path!r}, which does not hold what was stored: its digest differs")


def restore_seals(listing: bytes, folder: str, fetch: Callable[[str, str], None]) -> None:
    """Rebuild the folder of a listing of this machine's kind, file by file, each with the seal that the listing tells.

    Args:
        listing: What stands in the data file.
        folder: An empty one.
        fetch: Given a file's path below the folder that was kept and where to put it, puts it there.

    Raises:
        ValueError: A file is not what the listing tells, or the listing is none.
        FileNotFoundError: One is gone.
    """
    try:
        entries = _checked(_decoder.decode(listing))
    except DecodeError as error:
        raise ValueError(f"is no whole listing ({error})") from None
    for entry in entries:
        path = f"{folder}/{entry.path}"
        if entry.kind == "folder":
            os.mkdir(path)
        elif entry.kind == "file":
            fetch(entry.path, path)
            with open(path, "rb") as file:
                if digest_of(file, entry.size) != (entry.size, entry.digest):
                    raise ValueError(
                        f"tells of {entry.path!r}, which does not hold what was stored: its digest differs"
                    )
            os.chmod(path, 0o555 if entry.executable else 0o444)
            if entry.mtime_ns is not None:
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    for entry in entries:  # last, so that nothing is written through one
        if entry.kind == "link":
            os.symlink(entry.target, f"{folder}/{entry.path}")


def _fetch(entries: list[Entry], stored: Stored) -> str:
    """Fetch the files to a folder of this machine that goes with this process.

    Raises:
        ValueError: One is not what the listing tells.
    """
    import atexit
    from shutil import rmtree
    from tempfile import mkdtemp

    folder = mkdtemp(prefix="memo-path-")
    atexit.register(rmtree, folder, ignore_errors=True)
    for number, entry in enumerate(entries):
        path = f"{folder}/{entry.path}"
        if entry.kind == "folder":
            os.mkdir(path)
        elif entry.kind == "file":
            _fetch_file(entry, str(number), path, stored)
    for entry in entries:  # last, so that nothing is written through one
        if entry.kind == "link":
            os.symlink(entry.target, f"{folder}/{entry.path}")
    lost = _lost(entries, folder)
    if lost:
        raise ValueError(lost)
    return folder


def _fetch_file(entry: Entry, key: str, path: str, stored: Stored) -> None:
    from shutil import copyfileobj

    try:
        remote = stored.beside(key)
    except FileNotFoundError:
        raise ValueError(f"tells of {entry.path!r}, which is gone") from None
    with remote, open(path, "xb") as file:
        copyfileobj(remote, file, _CHUNK)
    if _differs(entry, path, signed=stored.signed):
        raise ValueError(f"tells of {entry.path!r}, which does not hold what was stored: its digest differs")
    os.chmod(path, 0o555 if entry.executable else 0o444)
