"""What code asks for in ways that cannot be followed, and what to do about it."""

from __future__ import annotations

from memo_strategies.flags import ANNOTATIONS, REFLECTS

MODULE_FACTS = frozenset({
    "__builtins__", "__cached__", "__debug__", "__file__", "__loader__", "__name__", "__package__", "__path__",
    "__spec__",
})  # fmt: skip
"""Globals that say where a module is, not what it holds: they do not count, so that moves and scripts hit."""

_BUILT_IN = {
    "builtins.eval": "eval() runs code made at run time",
    "builtins.exec": "exec() runs code made at run time",
    "builtins.open": "open() reads or writes a file",
    "io.open": "open() reads or writes a file",
    "_io.open": "open() reads or writes a file",
    "os.open": "os.open() reads or writes a file",
    "posix.open": "os.open() reads or writes a file",
    "os.listdir": "os.listdir() reads a folder",
    "posix.listdir": "os.listdir() reads a folder",
    "os.scandir": "os.scandir() reads a folder",
    "posix.scandir": "os.scandir() reads a folder",
    "os.walk": "os.walk() reads a folder",
    "glob.glob": "glob() reads a folder",
    "glob.iglob": "iglob() reads a folder",
    "os.getenv": "os.getenv() reads the environment",
    "os.environ": "os.environ reads the environment",
    "os.environb": "os.environb reads the environment",
    "sys.modules": "sys.modules finds code by a name made at run time",
    "sys.argv": "sys.argv reads the command line",
    "importlib.import_module": "import_module() finds code by a name made at run time",
    "builtins.__import__": "__import__() finds code by a name made at run time",
    "importlib.reload": "reload() runs code made at run time",
    "runpy.run_path": "run_path() runs code made at run time",
    "runpy.run_module": "run_module() runs code made at run time",
}

IMPORTERS = frozenset({"importlib.import_module", "builtins.__import__"})
"""What imports by a text, which is followed where it is written out."""

_REFLECTING_MODULES = ("inspect.", "pydoc.", "builtins.help")


def what_cannot_be_followed(name: str) -> str | None:
    """Say what the thing of this qualified name hides, or None where it hides nothing.

    >>> what_cannot_be_followed("os.getenv")
    'os.getenv() reads the environment'
    """
    whole = name
    while name:
        found = _BUILT_IN.get(name)
        if found is not None:
            return found
        name = name.rpartition(".")[0]
    last = whole.rpartition(".")[2]
    if last.startswith(("read_", "scan_")) and not whole.startswith("builtins."):
        return f"{last}() may read a file"
    return None


def reflection(name: str) -> int:
    """What the thing of this qualified name looks at in other things, as `memo_strategies.flags`."""
    if name.startswith(_REFLECTING_MODULES):
        return REFLECTS
    return ANNOTATIONS if name == "typing.get_type_hints" else 0


_MOST_SHOWN = 4


def warning(found: list[tuple[str, str]]) -> str:
    """One sentence on all that one op does which cannot be followed.

    Args:
        found: Pairs of ``file:line`` and what is there, the op's own lines first.
    """
    shown: dict[str, list[str]] = {}
    for where, what in found[:_MOST_SHOWN]:
        shown.setdefault(where, []).append(what)
    text = "; ".join(f"{where}: {', '.join(whats)}" for where, whats in shown.items())
    more = f"; and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
    return (
        f"{text}{more}. What changes behind that is not seen: give what is read as config or as an input, or declare "
        "version= and raise it when it changes"
    )
