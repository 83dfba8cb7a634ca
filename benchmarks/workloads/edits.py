"""W7: edits of code, and which systems run again what they must, and only that: stale, spurious or right.

Every edit has modules of its own, before and after it. A system runs all of them as one pipeline, sees the files
edited, and runs again. Whether the edit changes what the function gives is found by calling it, before and after. This
is about correctness, not about time.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.measuring import measure
from benchmarks.results import Result
from benchmarks.workloads.runs import memo_environment

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

WORKLOAD = "edits"


class Edit(Struct, frozen=True):
    """One edit.

    Attributes:
        name: What is edited.
        before: The files; ``ops.py`` holds the function, ``@STEP`` stands for what makes it a step. A ``K`` that
            stands alone in a name is the edit's number.
        after: Those that differ after it.
        renamed: What the function is called then, where it is not ``answer_K``.
    """

    name: str
    before: dict[str, str]
    after: dict[str, str]
    renamed: str = "answer_K"


def _helped(helper: str, call: str = "helped(2)", head: str = "from helpers_K import helped") -> dict[str, str]:
    return {"ops": f"{head}\n\n@STEP\ndef answer_K() -> int:\n    return {call}\n", "helpers": helper}


def _edited(name: str, before: dict[str, str], old: str, new: str, file: str = "ops") -> Edit:
    assert old in before[file], name
    return Edit(name, before, {file: before[file].replace(old, new)})


_OWN = {
    "ops": """\
        RATE = 2
        TABLE = {"low": 1, "high": [5, 6]}

        def _local(x, more=1):
            return x + more

        def _maker(n):
            def _scaled(x):
                return x * n
            return _scaled

        _closure = _maker(3)

        class _Model:
            weight = 4

            def run(self, x):
                return x * self.weight

        @STEP
        def answer_K() -> int:
            low = TABLE["low"]
            return _local(7) * RATE + low + _closure(2) + _Model().run(3)
        """
}
_OWN = {"ops": textwrap.dedent(_OWN["ops"])}
_TWO = {
    "ops": "from helpers_K import helped\n\n@STEP\ndef answer_K() -> int:\n    return helped(2)\n",
    "helpers": "from deeper_K import deeper\nFACTOR = 3\n\ndef helped(x):\n    return deeper(x) * FACTOR\n",
    "deeper": "def deeper(x):\n    return x + 1\n",
}
_WRAPPED = _helped(
    "import functools\n\ndef adds(function):\n    @functools.wraps(function)\n    def wrapper(*args):\n"
    "        return function(*args) + 1\n    return wrapper\n\n@adds\ndef helped(x):\n    return x * 2\n"
)
_PARTIAL = _helped(
    "def helped(x, y):\n    return x * y\n",
    "_twice(5)",
    "from functools import partial\nfrom helpers_K import helped\n_twice = partial(helped, 2)",
)
_METHOD = _helped(
    "class Model:\n    def run(self, x):\n        return x + 1\n", "Model().run(2)", "from helpers_K import Model"
)
_PACKAGE = {
    "ops": "import vended_K\n\n@STEP\ndef answer_K() -> int:\n    return vended_K.value()\n",
    "site-packages/vended_K/__init__": "def value():\n    return 1\n",
}
_READS = {
    "ops": "@STEP\ndef answer_K() -> int:\n    with open('data_K.txt') as file:\n        return int(file.read())\n",
    "data.txt": "1\n",
}

EDITS = (
    _edited("its own body", _OWN, "* RATE + low", "* RATE + low + 1"),
    _edited("helper in the same module", _OWN, "return x + more", "return x + more + 1"),
    _edited("helper in another module", _TWO, "deeper(x) * FACTOR", "deeper(x) * FACTOR + 1", "helpers"),
    _edited("helper of a helper", _TWO, "x + 1", "x + 2", "deeper"),
    _edited("constant", _OWN, "RATE = 2", "RATE = 3"),
    _edited("constant of another module", _TWO, "FACTOR = 3", "FACTOR = 4", "helpers"),
    _edited("value in a table", _OWN, '"low": 1', '"low": 2'),
    _edited("closure", _OWN, "_maker(3)", "_maker(4)"),
    _edited("class attribute", _OWN, "weight = 4", "weight = 5"),
    _edited("method", _METHOD, "x + 1", "x + 2", "helpers"),
    _edited("default argument", _OWN, "more=1", "more=2"),
    _edited("argument of a partial", _PARTIAL, "partial(helped, 2)", "partial(helped, 3)"),
    _edited("decorator of a helper", _WRAPPED, "+ 1", "+ 2", "helpers"),
    Edit("version of a package", _PACKAGE, {"site-packages/vended_K/__init__": "def value():\n    return 2\n"}),
    _edited("comment", _OWN, "    low = TABLE", "    # the lower one\n    low = TABLE"),
    _edited("layout", _OWN, "_local(7) * RATE + low", "(\n        _local( 7 )\n        * RATE + low)"),
    _edited("docstring", _OWN, "-> int:\n", '-> int:\n    """What is asked for."""\n'),
    _edited("docstring of a helper", _TWO, "def deeper(x):\n", 'def deeper(x):\n    """Add one."""\n', "deeper"),
    _edited("annotation of a helper", _TWO, "def deeper(x):", "def deeper(x: int) -> int:", "deeper"),
    _edited("other function in the module", _OWN, "class _Model", "def _unused():\n    return 0\n\nclass _Model"),
    _edited("rewritten to the same effect", _OWN, "return x + more", "return more + x"),
    Edit("file it reads, declared nowhere", _READS, {"data.txt": "2\n"}),
    Edit(
        "helper renamed",
        _TWO,
        {name: text.replace("helped", "assisted") for name, text in _TWO.items() if name != "deeper"},
    ),
    Edit(
        "helper moved to another module",
        _TWO,
        {
            "helpers": _TWO["deeper"] + _TWO["helpers"].partition("\n")[2],
            "deeper": "",
        },
    ),
    Edit("function renamed", _TWO, {"ops": _TWO["ops"].replace("answer_K", "reply_K")}, "reply_K"),
)


class Wrapping(Struct, frozen=True):
    """How functions become steps of a system.

    Attributes:
        environment: Where the system is installed.
        head: What every module of steps begins with.
        step: What stands above a function.
        main: The script; ``NAMES`` is the functions, ``MODULES`` their modules.
    """

    environment: str
    head: str
    step: str
    main: str


_IMPORTS = """\
import sys; sys.path.insert(0, 'site-packages')
from importlib import import_module
functions = {name: getattr(import_module(module), name) for module, name in zip(MODULES, NAMES)}
"""

WRAPPINGS = {
    "": Wrapping("memo", "", "", f"{_IMPORTS}for name in NAMES: print('VALUE', name, functions[name]())\n"),
    "memo": Wrapping(
        "memo",
        "from memo import op",
        "@op",
        f"{_IMPORTS}from memo import execute_job, job\n@job\ndef edits():\n    for name in NAMES: functions[name]()\n"
        "for name in execute_job(edits, 'home', raise_on_error=True).executed:\n"
        "    print('RAN', name.rpartition('_')[2])\n",
    ),
    "Dagster 1.2.7": Wrapping(
        "dagster",
        "from dagster import op",
        "@op",
        "import os; os.environ['DAGSTER_HOME'] = os.path.abspath('home'); os.makedirs('home', exist_ok=True)\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        f"{_IMPORTS}from dagster import DagsterInstance, SourceHashVersionStrategy, in_process_executor, job\n"
        "from dagster._core.storage.memoizable_io_manager import versioned_filesystem_io_manager\n"
        "manager = versioned_filesystem_io_manager.configured({'base_dir': 'outputs'})\n"
        "@job(version_strategy=SourceHashVersionStrategy(), executor_def=in_process_executor,\n"
        "     resource_defs={'io_manager': manager})\ndef edits():\n    for name in NAMES: functions[name]()\n"
        "assert edits.execute_in_process(instance=DagsterInstance.get()).success\n",
    ),
    "joblib": Wrapping(
        "light",
        "from joblib import Memory\nmemory = Memory('store', verbose=0)",
        "@memory.cache",
        f"{_IMPORTS}for name in NAMES: functions[name]()\n",
    ),
    "Hamilton": Wrapping(
        "hamilton",
        "",
        "",
        f"{_IMPORTS}from hamilton import driver\n"
        "modules = [import_module(module) for module in MODULES]\n"
        "driver.Builder().with_modules(*modules).with_cache(path='store').build().execute(NAMES)\n",
    ),
    "redun": Wrapping(
        "redun",
        "from redun import task\nredun_namespace = 'bench'",
        "@task()",
        f"{_IMPORTS}from redun import Scheduler\nfrom redun.config import Config\n"
        "scheduler = Scheduler(config=Config({'backend': {'db_uri': 'sqlite:///redun.db'}}))\nscheduler.load()\n"
        "scheduler.run([functions[name]() for name in NAMES])\n",
    ),
    "Prefect 3": Wrapping(
        "prefect",
        "from prefect import task\nfrom prefect.cache_policies import INPUTS, TASK_SOURCE",
        "@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)",
        "import os\nhere = os.getcwd()\nos.environ.update(PREFECT_HOME=f'{here}/home', "
        "PREFECT_LOCAL_STORAGE_PATH=f'{here}/store', PREFECT_LOGGING_LEVEL='ERROR', "
        "PREFECT_LOGGING_TO_API_ENABLED='false', PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS='180')\n"
        f"{_IMPORTS}from prefect import flow\n@flow\ndef edits():\n    for name in NAMES: functions[name]()\nedits()\n",
    ),
}


def write_edits(folder: Path, wrapping: Wrapping, *, edited: bool) -> None:
    """Write the modules of all edits, and the script that runs them."""
    names = []
    for number, edit in enumerate(EDITS):
        names.append((edit.renamed if edited else "answer_K").replace("K", str(number)))
        for stem, text in {**edit.before, **(edit.after if edited else {})}.items():
            text = re.sub(r"(?<=_)K\b", str(number), text)  # noqa: PLW2901 - the same text, made ready
            if stem == "ops":
                says = f"    print('RAN', {number}, flush=True)\n    "
                text = re.sub(r"(?<=-> int:\n)    (?!\"\"\")", says, text)  # noqa: PLW2901
                text = re.sub(r'(""".*"""\n)    ', rf"\1{says}", text)  # noqa: PLW2901
                text = f"{wrapping.head}\n{text.replace('@STEP', wrapping.step)}"  # noqa: PLW2901
            path = folder / _file_name(stem, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
            if path.parent.name.startswith("vended"):
                _write_metadata(path.parent, "2.0" if edited else "1.0")
    modules = [f"ops_{number}" for number in range(len(EDITS))]
    (folder / "main.py").write_text(f"NAMES = {names}\nMODULES = {modules}\n{wrapping.main}", encoding="utf-8")
    (folder / "memo.toml").touch()


def _file_name(stem: str, number: int) -> str:
    if "/" in stem:
        return re.sub(r"(?<=_)K\b", str(number), f"{stem}.py")
    name, _, suffix = stem.partition(".")
    return f"{name}_{number}.{suffix or 'py'}"


def _write_metadata(package: Path, version: str) -> None:
    for former in package.parent.glob(f"{package.name}-*.dist-info"):
        for file in former.iterdir():
            file.unlink()
        former.rmdir()
    told = package.parent / f"{package.name}-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {version}\n", encoding="utf-8"
    )
    (told / "RECORD").write_text(f"{package.name}/__init__.py,,\n", encoding="utf-8")
    (told / "top_level.txt").write_text(f"{package.name}\n", encoding="utf-8")


def verdict(*, ran: bool, changes: bool) -> str:
    """What became of an edit that changes what the function gives, or does not."""
    if ran == changes:
        return "right"
    return "spurious" if ran else "stale"


def measure_edits(session: Session) -> None:
    """Have every system run before and after the edits."""
    with session.folder("truth") as folder:
        wrapping = WRAPPINGS[""]
        values = []
        for edited in (False, True):
            write_edits(folder, wrapping, edited=edited)
            output, problem = _run(session, wrapping, folder)
            assert not problem, f"{problem}\n{output}"
            values.append(re.findall(r"^VALUE \w+ (.*)$", output, flags=re.MULTILINE))
        assert len(values[0]) == len(values[1]) == len(EDITS)
    changes = [before != after for before, after in zip(*values, strict=True)]
    for system, wrapping in WRAPPINGS.items():
        if system and session.measures(system):
            session.say(f"edits: {system}")
            problem = session.environment(wrapping.environment).problem or _measure_system(session, system, changes)
            if problem:
                for edit in EDITS:
                    session.add(Result(WORKLOAD, system, edit.name, problem=problem))


def _measure_system(session: Session, system: str, changes: list[bool]) -> str:
    wrapping = WRAPPINGS[system]
    with session.folder("edits") as folder:
        ran: list[set[str]] = []
        for edited in (False, False, True):
            write_edits(folder, wrapping, edited=edited)
            output, problem = _run(session, wrapping, folder)
            if problem:
                return problem
            ran.append(set(re.findall(r"^RAN (\d+)", output, flags=re.MULTILINE)))
    if len(ran[0]) != len(EDITS):
        return f"ran {len(ran[0])} of {len(EDITS)} functions at first"
    if ran[1]:
        return f"ran {len(ran[1])} functions again that nobody had edited"
    for number, (edit, is_change) in enumerate(zip(EDITS, changes, strict=True)):
        did = str(number) in ran[2]
        session.add(Result(WORKLOAD, system, edit.name, ran=int(did), expected=int(is_change)))
    return ""


def _run(session: Session, wrapping: Wrapping, folder: Path) -> tuple[str, str]:
    command = [str(session.environment(wrapping.environment).programs / "python"), "main.py"]
    # Python takes a compiled module for current whose source changed within the second and kept its length.
    environment = {**memo_environment(wrapping.environment), "PYTHONDONTWRITEBYTECODE": "1"}
    measured = measure(command, folder, limit=180, environment=environment)
    return measured.output, measured.problem
