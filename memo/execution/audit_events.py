"""What Python's audit events say of what an op reads, writes and starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from memo.execution.attribution import reader_of, variable_reader_of
from memo.execution.coverage import ENVIRONMENT, FILE, NETWORK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from memo.execution.watching import Watch

__all__ = ["HEARD", "PROBES", "VARIABLE_READ", "text_of"]

_NAMELESS = getattr(os, "O_TMPFILE", -1)
"""Of a file without a name, which nobody else can have written."""

PROBES = frozenset({
    "cc", "fc-list", "gcc", "ld", "ldconfig", "ldd", "lsb_release", "lscpu", "nvidia-smi", "sysctl", "uname", "which",
})  # fmt: skip
"""Programs by which libraries find out where they run."""


def _on_open(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    path, flags = text_of(args[0]), args[2]
    if not path or type(flags) is not int or flags & _NAMELESS == _NAMELESS or flags & os.O_DIRECTORY:
        return
    access = flags & os.O_ACCMODE
    if access != os.O_RDONLY:
        place = os.path.abspath(path)
        if flags & (os.O_TRUNC | os.O_EXCL) or (flags & os.O_CREAT and not os.path.lexists(place)):
            watch.make(FILE, place)
            return
    if access != os.O_WRONLY:
        watch.read_file(path, frame)


def _on_list(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    path = "." if args[0] is None else text_of(args[0])
    if path:
        watch.read_file(path, frame, is_listing=True)


def _on_sqlite(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    path = text_of(args[0]) or ""
    if path.startswith("file:"):
        path, _, query = path.removeprefix("file:").removeprefix("//").partition("?")
        path = "" if "mode=memory" in query else path
    if not path or path == ":memory:":
        return
    if os.path.lexists(path):
        watch.read_file(path, frame)
    else:
        watch.make(FILE, os.path.abspath(path))


def _on_mkdir(watch: Watch, args: tuple[Any, ...], _frame: FrameType) -> None:
    path = text_of(args[0])
    if path and not os.path.lexists(path):
        watch.make(FILE, os.path.abspath(path))


def _on_remove_tree(watch: Watch, args: tuple[Any, ...], _frame: FrameType) -> None:
    if path := text_of(args[0]):
        watch.make(FILE, os.path.abspath(path))


def _on_rename(watch: Watch, args: tuple[Any, ...], _frame: FrameType) -> None:
    before, after = text_of(args[0]), text_of(args[1])
    if before and after and watch.made(FILE, os.path.abspath(before)):
        watch.make(FILE, os.path.abspath(after))


def _on_set_variable(watch: Watch, args: tuple[Any, ...], _frame: FrameType) -> None:
    watch.make(ENVIRONMENT, os.fsdecode(args[0]))


def _on_connect(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    watch.connect(args[1], frame)


def _on_look_up(watch: Watch, args: tuple[Any, ...], _frame: FrameType) -> None:
    if host := text_of(args[0]):
        watch.look_up(host, args[1])


def _on_request(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    from urllib.parse import urlsplit

    url = urlsplit(text_of(args[0]) or "")
    reader = reader_of(frame)
    if reader is not None and url.hostname:
        # Without user and password, and without the query, which may hold a key.
        watch.note(NETWORK, f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}", reader)


def _on_program(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    given = args[1]
    words = [text_of(each) or "" for each in given] if isinstance(given, list | tuple) else [text_of(given) or ""]
    name = words[0] if words else ""
    if words[1:2] == ["-c"] and len(words) > 2 and os.path.basename(name) in {"sh", "bash"}:
        name = _first_program(words[2])
    watch.run_program(name or text_of(args[0]) or "", frame)


def _on_spawn(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    if frame.f_globals.get("__name__") != "subprocess":  # which has told of it
        _on_program(watch, args, frame)


def _on_shell(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    watch.run_program(_first_program(text_of(args[0]) or ""), frame)


def _on_fork(watch: Watch, _args: tuple[Any, ...], _frame: FrameType) -> None:
    watch.fork()


def _on_turn(watch: Watch, _args: tuple[Any, ...], _frame: FrameType) -> None:
    watch.turn()


def _on_variable(watch: Watch, args: tuple[Any, ...], frame: FrameType) -> None:
    name = os.fsdecode(args[0])
    reader = variable_reader_of(frame, name)
    if reader is not None and not watch.made(ENVIRONMENT, name):
        watch.note(ENVIRONMENT, name, reader)


VARIABLE_READ = "a variable is read"
"""Our own event, which Python does not have."""

HEARD: dict[str, Callable[[Watch, tuple[Any, ...], FrameType], None]] = {
    "open": _on_open,
    "os.listdir": _on_list,
    "os.scandir": _on_list,
    "sqlite3.connect": _on_sqlite,
    "os.mkdir": _on_mkdir,
    "shutil.rmtree": _on_remove_tree,
    "os.rename": _on_rename,
    "os.link": _on_rename,
    "os.symlink": _on_rename,
    "os.putenv": _on_set_variable,
    "os.unsetenv": _on_set_variable,
    "os.chdir": _on_turn,
    "os.fchdir": _on_turn,
    "socket.connect": _on_connect,
    "socket.getaddrinfo": _on_look_up,
    "urllib.Request": _on_request,
    "subprocess.Popen": _on_program,
    "os.posix_spawn": _on_spawn,
    "os.exec": _on_program,
    "os.system": _on_shell,
    "os.fork": _on_fork,
    "os.forkpty": _on_fork,
    VARIABLE_READ: _on_variable,
}


def _first_program(command: str) -> str:
    """The program that a shell's command begins with; what it is given may hold a password."""
    return next((word for word in command.split() if "=" not in word), "")


def text_of(path: object) -> str | None:
    """A path as text, without calling anything of the user's; None where it is none."""
    if isinstance(path, str):
        return str.__str__(path)
    if type(path) is bytes:
        return os.fsdecode(path)
    is_path = type(path).__module__.startswith("pathlib")
    return str(path) if is_path else None
