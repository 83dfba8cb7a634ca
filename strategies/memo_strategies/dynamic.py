"""What code asks for in ways that cannot be followed, and what to do about it."""

from __future__ import annotations

from memo.contracts.version_strategy import BlindSpot
from memo_strategies.flags import ANNOTATIONS, ORDER, REFLECTS, TEXTS

MODULE_FACTS = frozenset({
    "__builtins__", "__cached__", "__debug__", "__file__", "__loader__", "__name__", "__package__", "__path__",
    "__spec__",
})  # fmt: skip
"""Globals that say where a module is, not what it holds: they do not count, so that moves and scripts hit."""

_CODE, _NAMED_CODE = "runs code made at run time", "finds code by a name made at run time"
_FILE, _MAYBE_FILE, _FOLDER = "reads or writes a file", "may read a file", "reads a folder"
_ENVIRONMENT, _CLOCK, _NETWORK, _PROGRAM = (
    "reads the environment", "reads the clock", "reaches the network", "runs a program",
)  # fmt: skip
_ARGUMENTS, _MACHINE, _CHANCE = "reads the command line", "asks which machine it is", "is random, and not seeded here"

_DECLARED = {
    _FILE: ("file", "Source.file(…)"),
    "reads a file": ("file", "Source.file(…)"),
    _MAYBE_FILE: ("file", "Source.file(…)"),
    _FOLDER: ("file", "Source.folder(…)"),
    _ENVIRONMENT: ("environment", "Source.env(…)"),
    _CLOCK: ("time", "Source.every(…)"),
    _NETWORK: ("network", "Source.url(…)"),
    _PROGRAM: ("process", "a @source"),
}
"""Of what such a thing reads, the kind, and what declares it."""

_REMEDIES = {_ARGUMENTS: "give it as config", _MACHINE: "give it as config", _CHANCE: "seed it"}
_REACHES_CODE = "name what it reaches in depends_on=[…], or declare version= and raise it when that changes"

_BUILT_IN = {
    "builtins.eval": ("eval()", _CODE),
    "builtins.exec": ("exec()", _CODE),
    "builtins.input": ("input()", _ARGUMENTS),
    "builtins.open": ("open()", _FILE),
    "bz2.open": ("bz2.open()", _FILE),
    "codecs.open": ("codecs.open()", _FILE),
    "datetime.date.today": ("date.today()", _CLOCK),
    "datetime.datetime.now": ("datetime.now()", _CLOCK),
    "datetime.datetime.today": ("datetime.today()", _CLOCK),
    "datetime.datetime.utcnow": ("datetime.utcnow()", _CLOCK),
    "getpass.getuser": ("getuser()", _MACHINE),
    "glob.glob": ("glob()", _FOLDER),
    "glob.iglob": ("iglob()", _FOLDER),
    "gzip.open": ("gzip.open()", _FILE),
    "http.client.HTTPConnection": ("HTTPConnection()", _NETWORK),
    "http.client.HTTPSConnection": ("HTTPSConnection()", _NETWORK),
    "importlib.import_module": ("import_module()", _NAMED_CODE),
    "builtins.__import__": ("__import__()", _NAMED_CODE),
    "importlib.reload": ("reload()", _CODE),
    "io.open": ("open()", _FILE),
    "_io.open": ("open()", _FILE),
    "lzma.open": ("lzma.open()", _FILE),
    "os.environ": ("os.environ", _ENVIRONMENT),
    "os.environb": ("os.environb", _ENVIRONMENT),
    "os.getenv": ("os.getenv()", _ENVIRONMENT),
    "os.popen": ("os.popen()", _PROGRAM),
    "os.walk": ("os.walk()", _FOLDER),
    "genericpath.getmtime": ("getmtime()", "reads a file"),
    "genericpath.getsize": ("getsize()", "reads a file"),
    "platform.node": ("platform.node()", _MACHINE),
    "runpy.run_module": ("run_module()", _CODE),
    "runpy.run_path": ("run_path()", _CODE),
    "shelve.open": ("shelve.open()", _FILE),
    "_socket.gethostname": ("gethostname()", _MACHINE),
    "socket.create_connection": ("create_connection()", _NETWORK),
    "socket.socket": ("socket()", _NETWORK),
    "sqlite3.connect": ("sqlite3.connect()", _FILE),
    "_sqlite3.connect": ("sqlite3.connect()", _FILE),
    "sys.argv": ("sys.argv", _ARGUMENTS),
    "sys.modules": ("sys.modules", _NAMED_CODE),
    "tarfile.open": ("tarfile.open()", _FILE),
    "urllib.request.urlopen": ("urlopen()", _NETWORK),
    "urllib.request.urlretrieve": ("urlretrieve()", _NETWORK),
    "uuid.uuid1": ("uuid1()", _CHANCE),
    "uuid.uuid4": ("uuid4()", _CHANCE),
    "zipfile.ZipFile": ("ZipFile()", _FILE),
    **{f"{module}.{name}": (f"os.{name}()", what)
       for module in ("os", "posix", "nt")
       for name, what in (("listdir", _FOLDER), ("open", _FILE), ("scandir", _FOLDER), ("system", _PROGRAM))},
    **{f"subprocess.{name}": (f"subprocess.{name}()", _PROGRAM)
       for name in ("Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "run")},
}  # fmt: skip
"""What reads the world, by qualified name, for what the standard library is: what to call it, and what it does.

Left out is what mostly measures (`time.time`, `time.perf_counter`) or asks before it writes (`os.path.exists`).
"""

_INSTALLED = {
    "PIL.open": _FILE, "aiohttp.ClientSession": _NETWORK, "boto3.client": _NETWORK, "boto3.resource": _NETWORK,
    "cv2.imread": _FILE, "duckdb.connect": _FILE, "duckdb.execute": _MAYBE_FILE, "duckdb.query": _MAYBE_FILE,
    "duckdb.sql": _MAYBE_FILE, "h5py.File": _FILE, "imageio.imread": _FILE, "joblib.load": _FILE,
    "numpy.fromfile": _FILE, "numpy.genfromtxt": _FILE, "numpy.load": _FILE, "numpy.loadtxt": _FILE,
    "numpy.memmap": _FILE, "pandas.now": _CLOCK, "pandas.today": _CLOCK, "pandas.utcnow": _CLOCK,
    "polars.SQLContext": _MAYBE_FILE, "polars.sql": _MAYBE_FILE, "pyarrow.OSFile": _FILE, "pyarrow.ParquetFile": _FILE,
    "pyarrow.dataset": _FILE, "pyarrow.memory_map": _FILE, "pyarrow.parquet_dataset": _FILE,
    "psycopg.connect": _NETWORK, "psycopg2.connect": _NETWORK, "pymongo.MongoClient": _NETWORK,
    "pyodbc.connect": _NETWORK, "redis.Redis": _NETWORK, "skimage.imread": _FILE, "sqlalchemy.create_engine": _NETWORK,
    "torch.load": _FILE,
    **{f"{package}.{name}": _NETWORK
       for package in ("requests", "httpx")
       for name in ("get", "post", "put", "patch", "delete", "head", "options", "request", "stream", "session",
                    "Session", "Client", "AsyncClient")},
}  # fmt: skip
"""The same of distributions, by the package and the last part of the name: what lies between is theirs to change."""

_UNSEEN = frozenset({"getmtime()", "getsize()"})
_PACKAGES = frozenset(name.partition(".")[0] for name in _INSTALLED)
_READERS = ("read_", "scan_", "open_")
_CHANCES = ("random.", "numpy.random.", "secrets.")
_NO_CHANCE = frozenset({"seed", "default_rng", "getstate", "setstate", "get_state", "set_state", "compare_digest"})

IMPORTERS = frozenset({"importlib.import_module", "builtins.__import__"})
"""What imports by a text, which is followed where it is written out."""

_SHOWING_TEXT = ("inspect.getsource", "inspect.getcomments", "inspect.findsource", "inspect.getblock")
_REFLECTING_MODULES = ("inspect.", "pydoc.", "builtins.help")

_LOOKS_AT = {
    "builtins.globals": ORDER,
    "builtins.vars": ORDER,
    "types.get_original_bases": ANNOTATIONS,
    "typing.get_type_hints": ANNOTATIONS,
}


def what_cannot_be_followed(name: str) -> str | None:
    """Say what the thing of this qualified name hides, or None where it hides nothing.

    >>> what_cannot_be_followed("os.getenv")
    'os.getenv() reads the environment'
    """
    whole, last = name, name.rpartition(".")[2]
    while name:
        found = _BUILT_IN.get(name)
        if found is not None:
            return " ".join(found)
        name = name.rpartition(".")[0]
    top = whole.partition(".")[0]
    last = last.removeprefix("module_")  # as DuckDB calls what it offers for its default connection
    what = _INSTALLED.get(f"{top}.{last}")
    if what is not None:
        return f"{top}.{last}() {what}"
    if last.startswith(_READERS) and top != "builtins":
        return f"{last}() {_MAYBE_FILE}"
    if whole.startswith(_CHANCES) and last.islower() and last not in _NO_CHANCE:
        return f"{whole if top != 'numpy' else f'numpy.random.{last}'}() {_CHANCE}"
    return None


def is_chance(what: str) -> bool:
    """Whether this is said of a random number, which code may have seeded."""
    return what.endswith(_CHANCE)


READING_METHODS = {
    "glob": f".glob() {_FOLDER}",
    "iterdir": f".iterdir() {_FOLDER}",
    "read_bytes": ".read_bytes() reads a file",
    "read_text": ".read_text() reads a file",
    "rglob": f".rglob() {_FOLDER}",
}
"""Methods whose names give away that they read files: whose they are is not known."""


def reflection(name: str) -> int:
    """What the thing of this qualified name looks at in other things, as `memo_strategies.flags`."""
    if name.startswith("inspect.is"):  # asks what kind of thing something is
        return 0
    if name.startswith(_SHOWING_TEXT):
        return TEXTS
    if name.startswith(_REFLECTING_MODULES):
        return REFLECTS
    return _LOOKS_AT.get(name, 0)


def blind_spot(what: str, where: str) -> BlindSpot:
    """What is to be said of something that cannot be followed.

    Args:
        what: In the words of this room, or what else is there.
        where: As ``file:line``.
    """
    name, _, phrase = what.partition(" ")
    if phrase in _DECLARED:
        kind, source = _DECLARED[phrase]
        # What libraries open in C nobody tells, nor who asks for a file's times; what the standard library opens, it
        # opens through Python.
        shows = (
            kind != "time" and phrase != _MAYBE_FILE and name not in _UNSEEN and name.partition(".")[0] not in _PACKAGES
        )
        return BlindSpot(what, where, kind, f"declare it with depends_on=[{source}]", shows)
    return BlindSpot(what, where, remedy=_REMEDIES.get(phrase, _REACHES_CODE))
