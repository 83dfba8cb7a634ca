"""What cannot be followed is said, with the line and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from memo.contracts.version_strategy import CodeVersion

HIDDEN = [
    ("eval(x)", "eval() runs code made at run time"),
    ("exec(x)", "exec() runs code made at run time"),
    ("open(x)", "open() reads or writes a file"),
    ("__import__(x)", "__import__() finds code by a name made at run time"),
    ("importlib.import_module(x)", "import_module() finds code by a name made at run time"),
    ("import_module(x)", "import_module() finds code by a name made at run time"),
    ("sys.modules[x]", "sys.modules finds code by a name made at run time"),
    ("modules[x]", "sys.modules finds code by a name made at run time"),
    ("os.environ['HOME']", "os.environ reads the environment"),
    ("environ.get('HOME')", "os.environ reads the environment"),
    ("os.getenv('HOME')", "os.getenv() reads the environment"),
    ("sys.argv", "sys.argv reads the command line"),
    ("Path(x).read_text()", ".read_text() reads a file"),
    ("os.listdir(x)", "os.listdir() reads a folder"),
    ("Path(x).glob('*')", ".glob() reads a folder"),
    ("list(Path(x).rglob('*'))", ".rglob() reads a folder"),
    ("glob.glob(x)", "glob() reads a folder"),
    ("os.path.getmtime(x)", "getmtime() reads a file"),
    ("gzip.open(x)", "gzip.open() reads or writes a file"),
    ("sqlite3.connect(x)", "sqlite3.connect() reads or writes a file"),
    ("os.system(x)", "os.system() runs a program"),
    ("subprocess.run(x)", "subprocess.run() runs a program"),
    ("subprocess.Popen(x)", "subprocess.Popen() runs a program"),
    ("request.urlopen(x)", "urlopen() reaches the network"),
    ("socket.socket()", "socket() reaches the network"),
    ("socket.gethostname()", "gethostname() asks which machine it is"),
    ("datetime.datetime.now()", "datetime.now() reads the clock"),
    ("datetime.datetime.now().isoformat()", "datetime.now() reads the clock"),
    ("date.today()", "date.today() reads the clock"),
    ("uuid.uuid4()", "uuid4() is random, and not seeded here"),
    ("random.random()", "random.random() is random, and not seeded here"),
    ("randint(1, x)", "random.randint() is random, and not seeded here"),
    ("secrets.token_hex()", "secrets.token_hex() is random, and not seeded here"),
    ("input()", "input() reads the command line"),
    ("generator", "generator is a builtins.generator, which cannot be looked into"),
    ("{'deep': [generator]}", "generator is a builtins.generator, which cannot be looked into"),
]

HEAD = """
import datetime, glob, gzip, importlib, json, logging, os, random, secrets, socket, sqlite3, subprocess, sys, time, uuid
from datetime import date
from importlib import import_module
from os import environ
from pathlib import Path
from random import randint
from sys import modules
from urllib import request
generator = (x for x in ())
def op(x):
    y = 1
    return {}
"""


@pytest.mark.parametrize(("text", "what"), HIDDEN)
def test_it_is_named_with_its_line_and_the_remedy(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], text: str, what: str
) -> None:
    module = load(HEAD.format(text))
    spots = version_of(module.op).blind_spots
    assert any(spot.what.endswith(what) for spot in spots)
    assert {spot.where for spot in spots} == {f"{module.__file__}:13"}
    assert all(spot.remedy for spot in spots)


@pytest.mark.parametrize(
    "text",
    [
        "json.dumps(x)",
        "os.path.join('a', x)",
        "import_module('json').dumps(x)",
        "getattr(x, 'y')",
        "sys.version_info",
        "Path(x)",
        "os.path.exists(x) or os.makedirs(x)",
        "time.time() - x, time.perf_counter(), time.monotonic(), time.sleep(0)",
        "logging.getLogger('x').info(x)",
        "datetime.date(2020, 1, x), datetime.datetime.fromisoformat(x)",
        "random.Random(1).random()",
        "random.seed(1), random.random()",
        "uuid.UUID(x), uuid.uuid5(uuid.NAMESPACE_DNS, x)",
        "sys.modules['json']",
        "import_module('.below', __package__)",
    ],
)
def test_what_can_be_followed_is_not_warned_of(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], text: str
) -> None:
    assert version_of(load(HEAD.format(text)).op).blind_spots == ()


REMEDIES = [
    ("open(x)", "file", "declare it with depends_on=[Source.file(…)]"),
    ("os.listdir(x)", "file", "declare it with depends_on=[Source.folder(…)]"),
    ("os.environ['HOME']", "environment", "declare it with depends_on=[Source.env(…)]"),
    ("date.today()", "time", "declare it with depends_on=[Source.every(…)]"),
    ("request.urlopen(x)", "network", "declare it with depends_on=[Source.url(…)]"),
    ("subprocess.run(x)", "process", "declare it with depends_on=[a @source]"),
    ("sys.argv", "code", "give it as config"),
    ("randint(1, x)", "code", "seed it"),
    ("eval(x)", "code", "name what it reaches in depends_on=[…], or declare version= and raise it when that changes"),
]


@pytest.mark.parametrize(("text", "kind", "remedy"), REMEDIES)
def test_the_remedy_is_that_of_what_is_read(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], text: str, kind: str, remedy: str
) -> None:
    (spot,) = version_of(load(HEAD.format(text)).op).blind_spots
    assert (spot.kind, spot.remedy) == (kind, remedy)
    assert spot.shows == (kind in {"file", "environment", "network", "process"})


def test_readers_of_distributions(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    pytest.importorskip("numpy")
    module = load(
        """
        import numpy as np
        from numpy import random
        def op(x):
            np.loadtxt(x)
            return random.rand(3)
        def seeded(x):
            np.random.seed(x)
            return np.random.rand(3), np.random.default_rng(x)
        """
    )
    read, drawn = version_of(module.op).blind_spots
    assert str(read) == f"{module.__file__}:5: numpy.loadtxt() reads or writes a file"
    assert str(drawn) == f"{module.__file__}:6: numpy.random.rand() is random, and not seeded here"
    assert not read.shows
    assert version_of(module.seeded).blind_spots == ()


def test_numbers_drawn_do_not_count(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    """The generators behind these move on with every call, in the plan's own process too."""
    module = load(
        "from random import randint, random\nHOW = [randint]\ndef op(x):\n    return random(), HOW[0](1, x)\n"
    )
    before = version_of(module.op).version
    module.op(5)
    assert version_of(module.op).version == before


def test_the_module_itself_by_name(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    text = "import sys\ndef read_{0}():\n    return {0}\ndef op(x):\n    return getattr(sys.modules[__name__], x)()\n"
    found = [version_of(load(text.format(number)).op) for number in (1, 2)]
    assert [each.blind_spots for each in found] == [(), ()]
    assert found[0].version != found[1].version


def test_in_a_helper_the_helpers_line_is_named(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load("def helper(x):\n    return [eval(y) for y in x]\ndef op(x):\n    return helper(x)\n")
    (spot,) = version_of(module.op).blind_spots
    assert str(spot).startswith(f"{module.__file__}:2: eval()")


def test_all_of_an_op_is_said(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    module = load(
        """
        import os
        def op(x):
            eval(x)
            open(x), exec(x)
            os.environ, os.getenv(x)
            return x
        """
    )
    found = [(spot.where.rpartition(":")[2], spot.what.partition(" ")[0]) for spot in version_of(module.op).blind_spots]
    assert sorted(found) == [
        ("4", "eval()"),
        ("5", "exec()"),
        ("5", "open()"),
        ("6", "os.environ"),
        ("6", "os.getenv()"),
    ]


def test_a_users_own_function_may_be_called_read(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load("def read_settings(x):\n    return x\ndef op(x):\n    return read_settings(x)\n")
    assert version_of(module.op).blind_spots == ()


def test_a_reader_of_a_distribution(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    pytest.importorskip("pandas")
    module = load("import pandas as pd\ndef op(x):\n    return pd.read_csv(x)\n")
    (spot,) = version_of(module.op).blind_spots
    assert (spot.what, spot.shows) == ("read_csv() may read a file", False)


def test_a_package_that_counts_whole(
    version_of: Callable[..., CodeVersion],
    load: Callable[..., ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which submodules are there depends on who imported them before: they cannot count."""
    (tmp_path / "whole_package").mkdir()
    (tmp_path / "whole_package" / "__init__.py").write_text("LIMIT = 1\n")
    (tmp_path / "whole_package" / "below.py").write_text("def helper(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import whole_package\n{}def op(name):\n    return getattr(whole_package, name)\n"
    alone = version_of(load(text.format("")).op)
    assert alone.blind_spots == ()
    found = version_of(load(text.format("import whole_package.below\n")).op)
    assert "the package whole_package as a whole, without its submodules" in found.blind_spots[0].what
    assert found.version == alone.version
