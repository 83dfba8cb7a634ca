"""What an op reads while it runs is noticed, with the user's line; and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import indent
from typing import TYPE_CHECKING

import pytest

from memo.project.home import Home

if TYPE_CHECKING:
    from tests.conftest import Ran, Workspace

Read = tuple[str, str, str]

HEAD = """\
import asyncio, os, pathlib, shutil, socket, sqlite3, subprocess, sys, tempfile, threading
from memo import Output, Source, job, op, resource

@op{arguments}
{prefix}def reader({inputs}):
{body}

@job
def j():
    reader({wired})
"""
FIRST = 6
"""The line where the body begins."""


@pytest.fixture
def folder(workspace: Workspace) -> Workspace:
    (workspace.path / "data.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    return workspace


def write(
    workspace: Workspace, body: str, *, arguments: str = "", prefix: str = "", inputs: str = "", wired: str = ""
) -> None:
    text = HEAD.format(body=indent(body, "    "), arguments=arguments, prefix=prefix, inputs=inputs, wired=wired)
    (workspace.path / "pipeline.py").write_text(text, encoding="utf-8")


def seen(workspace: Workspace, *, succeeds: bool = True, **options: object) -> list[Read]:
    """Run the job; what it was seen to read."""
    ran = workspace.run(**options)  # type: ignore[arg-type]
    assert ran.success is succeeds, ran.errors
    return recorded(workspace, ran)


def recorded(workspace: Workspace, ran: Ran) -> list[Read]:
    with Home(workspace.home) as home:
        reads = home.catalog.undeclared_reads("j")
        assert all(read.op_version for read in reads)
        return [(read.kind, read.what, read.where) for read in reads if read.run_id == ran.run_id]


def at(line: int) -> str:
    return f"pipeline.py:{FIRST - 1 + line}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("open('data.csv').close()", ("file", "data.csv")),
        ("open(b'data.csv', 'rb').close()", ("file", "data.csv")),
        ("open('data.csv', 'r+').close()", ("file", "data.csv")),
        ("open('data.csv', 'a+').close()", ("file", "data.csv")),
        ("os.close(os.open('data.csv', os.O_RDONLY))", ("file", "data.csv")),
        ("pathlib.Path('data.csv').read_text()", ("file", "data.csv")),
        ("shutil.copy('data.csv', 'copy.csv')", ("file", "data.csv")),
        ("open(os.path.abspath('data.csv')).close()", ("file", "data.csv")),
        ("open('./data.csv').close()", ("file", "data.csv")),
        ("open('/etc/hostname').close()", ("file", "/etc/hostname")),
        ("import pandas; pandas.read_csv('data.csv')", ("file", "data.csv")),
        ("import numpy; numpy.loadtxt('data.csv', delimiter=',', skiprows=1)", ("file", "data.csv")),
        ("os.listdir()", ("file", "./")),
        ("os.listdir('.')", ("file", "./")),
        ("list(os.scandir('.'))", ("file", "./")),
        ("list(os.walk('.memo'))[:0]; list(pathlib.Path('..').iterdir())", None),
        ("import glob; glob.glob('*.csv')", ("file", "./")),
        ("sqlite3.connect('data.csv').close()", ("file", "data.csv")),
        ("sqlite3.connect(pathlib.Path('data.csv')).close()", ("file", "data.csv")),
        ("os.environ['HOME']", ("environment", "HOME")),
        ("os.environ.get('NOT_SET')", ("environment", "NOT_SET")),
        ("'NOT_SET' in os.environ", ("environment", "NOT_SET")),
        ("os.getenv('HOME')", ("environment", "HOME")),
        ("os.environb[b'HOME']", ("environment", "HOME")),
        ("os.environ.pop('HOME')", ("environment", "HOME")),
        ("dict(os.environ)", ("environment", "*")),
        ("os.environ.copy()", ("environment", "*")),
        ("[value for value in os.environ.values()]", ("environment", "*")),
        ("subprocess.run(['true', 'secret'])", ("process", "true")),
        ("subprocess.run('PASSWORD=x true y', shell=True)", ("process", "true")),
        ("os.system('A=1 true')", ("process", "true")),
        ("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", ("process", "true")),
    ],
)
def test_a_read_is_noticed_with_its_line(folder: Workspace, body: str, expected: tuple[str, str] | None) -> None:
    write(folder, f"pass\n{body}\nreturn 1")
    found = seen(folder)
    if expected is not None:
        assert found == [(*expected, at(2))]
    else:
        assert {where for _, _, where in found} == {at(2)}


@pytest.mark.parametrize(
    "body",
    [
        "open('out.csv', 'w').write('a'); return open('out.csv').read()",
        "open('out.csv', 'x').close(); return open(os.path.abspath('out.csv')).read()",
        "open('out.csv', 'a').write('a'); return open('out.csv').read()",
        "pathlib.Path('out.csv').write_text('a'); return pathlib.Path('out.csv').read_text()",
        "open('part', 'w').write('a'); os.replace('part', 'out.csv'); return open('out.csv').read()",
        "os.makedirs('made/by/me'); os.system; open('made/by/me/x', 'w').close(); return os.listdir('made')",
        "d = tempfile.mkdtemp()\nopen(d + '/a', 'w').close()\nreturn os.listdir(d) + [open(d + '/a').read()]",
        "with tempfile.TemporaryDirectory() as d:\n    return os.listdir(d)",
        "with tempfile.NamedTemporaryFile() as f:\n    return open(f.name).read()",
        "with tempfile.TemporaryFile() as f:\n    return f.read()",
        "os.makedirs('d', exist_ok=True); shutil.rmtree('d')",
        "sqlite3.connect('new.db').execute('create table t (x)'); return sqlite3.connect('new.db') and 1",
        "sqlite3.connect(':memory:').close()",
        "os.environ['MINE'] = '1'; return os.environ['MINE']",
        "tempfile.gettempdir(); os.path.expanduser('~')",
        "import colorsys, html.parser, xml.dom.minidom; return 1",
        "import numpy, pandas; return 1",
        "import zoneinfo, datetime; return str(datetime.datetime.now(zoneinfo.ZoneInfo('Europe/Berlin')))[:0]",
        "import warnings\nwarnings.simplefilter('always')\nwarnings.warn('of no matter')",
        "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    return traceback.format_exc()[:0]",
        "print('kept'); sys.stderr.write('kept')",
        "import logging; logging.getLogger('x').warning('of no matter')",
        "os.close(os.open('.', os.O_RDONLY))",
        "a, b = socket.socketpair(); a.close(); b.close()",
        "len(os.environ)",
    ],
)
def test_what_is_no_input_is_not_reported(folder: Workspace, body: str) -> None:
    write(folder, body)
    assert seen(folder) == []


def test_what_another_step_wrote_is_an_input(folder: Workspace) -> None:
    folder.write(
        "pipeline.py",
        """
        from memo import job, op

        @op
        def writer():
            open("out.csv", "w").write("a")
            return 1

        @op
        def reader(after):
            return open("out.csv").read()

        @job
        def j():
            reader(writer())
        """,
    )
    assert seen(folder) == [("file", "out.csv", "pipeline.py:10")]


def test_a_file_that_is_not_there_was_an_input_too(folder: Workspace) -> None:
    write(folder, "try:\n    open('missing.csv')\nexcept OSError:\n    pass\nreturn os.path.exists('x')")
    assert seen(folder) == [("file", "missing.csv", at(2))]


def test_a_step_that_fails_tells_what_it_read(folder: Workspace) -> None:
    write(folder, "text = open('data.csv').read()\nraise ValueError(text)")
    assert seen(folder, succeeds=False) == [("file", "data.csv", at(1))]


def test_helpers_in_other_modules_are_named_by_their_own_line(folder: Workspace) -> None:
    folder.write("helpers.py", "def slurp(path):\n    return open(path).read()\n")
    write(folder, "from helpers import slurp\nreturn slurp('data.csv')")
    assert seen(folder) == [("file", "data.csv", "helpers.py:2")]


def test_libraries_read_their_own_settings(folder: Workspace) -> None:
    packages = folder.path / "site-packages" / "lib"
    packages.mkdir(parents=True)
    (packages / "__init__.py").write_text(
        "import os, pathlib\ndef setting():\n    return os.environ.get('LIB_SETTING')\n"
        "def own():\n    return pathlib.Path(__file__).with_name('own.txt').read_text()\n"
        "def load(path):\n    return open(path).read()\n",
        encoding="utf-8",
    )
    (packages / "own.txt").write_text("x", encoding="utf-8")
    write(folder, "sys.path.append('site-packages')\nimport lib\nlib.setting(); lib.own()\nlib.load('data.csv')")
    assert seen(folder) == [("file", "data.csv", at(4))]


def test_generators_are_watched_to_their_end(folder: Workspace) -> None:
    write(folder, "yield Output(1)\nopen('data.csv').close()")
    assert seen(folder) == [("file", "data.csv", at(2))]


@pytest.mark.parametrize("body", ["await asyncio.sleep(0)\nreturn open('data.csv').read()",
                                  "await asyncio.sleep(0)\nopen('data.csv').close()\nyield Output(1)"])  # fmt: skip
def test_async_ops_are_watched(folder: Workspace, body: str) -> None:
    write(folder, body, prefix="async ")
    assert seen(folder) == [("file", "data.csv", at(2))]


def test_a_library_in_a_thread_of_the_ops(folder: Workspace) -> None:
    write(folder, "t = threading.Thread(target=shutil.copyfile, args=('data.csv', 'copy'))\nt.start(); t.join()")
    assert seen(folder) == [("file", "data.csv", "")]


def test_threads_of_the_op_are_watched_and_others_are_not(folder: Workspace) -> None:
    folder.write(
        "pipeline.py",
        """
        import threading
        from memo import job, op

        go, done = threading.Event(), threading.Event()

        def stranger():
            go.wait()
            open("other.csv", "a+").close()
            done.set()

        def own():
            return open("data.csv").close()

        @op(ignore=["pipeline.go", "pipeline.done"])
        def reader():
            thread = threading.Thread(target=own)
            thread.start()
            thread.join()
            go.set()
            done.wait()

        @job
        def j():
            reader()

        threading.Thread(target=stranger, daemon=True).start()
        """,
    )
    (folder.path / "other.csv").touch()
    found = folder.memo("run", "pipeline.py")
    assert found.returncode == 0, found.stderr
    with Home(folder.home) as home:
        reads = [(read.what, read.where) for read in home.catalog.undeclared_reads("j")]
    assert reads == [("data.csv", "pipeline.py:12")]


def test_in_worker_processes(folder: Workspace) -> None:
    write(folder, "open('data.csv').close()\nreturn os.environ['HOME']")
    assert seen(folder, max_concurrent=2) == [("file", "data.csv", at(1)), ("environment", "HOME", at(2))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_of_the_ops_own_are_told_of(folder: Workspace, method: str) -> None:
    folder.write("tasks.py", "def task():\n    return open('data.csv').read()\n")
    write(
        folder,
        "import multiprocessing, tasks\n"
        f"process = multiprocessing.get_context({method!r}).Process(target=tasks.task)\n"
        "process.start(); process.join()\nreturn process.exitcode",
    )
    assert seen(folder) == [("process", "worker processes", "")]


def test_the_network_by_the_name_of_the_host(folder: Workspace) -> None:
    with socket_listening() as port:
        write(
            folder,
            f"socket.create_connection(('localhost', {port})).close()\n"
            "import urllib.request\ntry:\n"
            f"    urllib.request.urlopen('http://me:secret@localhost:{port}/a?key=secret', timeout=0.01)\n"
            "except Exception:\n    pass",
        )
        assert seen(folder) == [
            ("network", f"localhost:{port}", at(1)),
            ("network", f"http://localhost:{port}/a", at(4)),
        ]


class socket_listening:  # noqa: N801 - it is used as a function
    def __enter__(self) -> int:
        import socket

        self._socket = socket.create_server(("127.0.0.1", 0))
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *exc: object) -> None:
        self._socket.close()


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("Source.file('data.csv')", "open('data.csv').close()"),
        ("Source.file(pathlib.Path('data.csv').absolute())", "open('./data.csv').close()"),
        ("'data.csv'", "import pandas; pandas.read_csv('data.csv')"),
        ("Source.file('data.csv')", "os.symlink('data.csv', 'link'); open('link').close()"),
        ("Source.folder('d')", "os.listdir('d'); open('d/e/x').close()"),
        ("'d'", "list(os.walk('d')); open('d/e/x').close()"),
        ("Source.glob('d/**/x')", "open('d/e/x').close(); os.listdir('d'); os.listdir('d/e')"),
        ("Source.glob('*.csv')", "import glob; open(glob.glob('*.csv')[0]).close()"),
        ("Source.glob('missing')", "try:\n    open('missing')\nexcept OSError:\n    pass"),
        ("Source.env('HOME')", "os.environ['HOME']; os.getenv('HOME')"),
        ("watermark", "sqlite3.connect('t.db').close()"),
        ("watermark", "subprocess.run(['true'])"),
    ],
)
def test_what_is_declared_is_covered(folder: Workspace, source: str, body: str) -> None:
    (folder.path / "d" / "e").mkdir(parents=True)
    (folder.path / "d" / "e" / "x").touch()
    (folder.path / "t.db").touch()
    write(folder, f"{body}\nreturn 1", arguments=f"(depends_on=[{source}])")
    text = (folder.path / "pipeline.py").read_text(encoding="utf-8")
    given = "from memo import source\n@source\ndef watermark():\n    return 1\n"
    (folder.path / "pipeline.py").write_text(text.replace("\n@op", f"\n{given}@op"), encoding="utf-8")
    assert seen(folder) == []


@pytest.mark.parametrize(
    ("source", "body", "what"),
    [
        ("Source.file('data.csv')", "open('d/x').close()", "d/x"),
        ("Source.file('d/x')", "os.listdir('d')", "d/"),
        ("Source.folder('d')", "os.listdir('.')", "./"),
        ("Source.glob('d/*.csv')", "open('d/x').close()", "d/x"),
        ("Source.glob('d/*')", "open('d/.hidden').close()", "d/.hidden"),
        ("Source.env('OTHER', 'x')", "os.environ['HOME']", "HOME"),
        ("Source.every('1 day')", "open('data.csv').close()", "data.csv"),
    ],
)
def test_what_is_declared_covers_nothing_else(folder: Workspace, source: str, body: str, what: str) -> None:
    (folder.path / "d").mkdir()
    (folder.path / "d" / "x").touch()
    (folder.path / "d" / ".hidden").touch()
    write(folder, body, arguments=f"(depends_on=[{source}])")
    assert [read[1] for read in seen(folder)] == [what]


def test_a_wired_source_is_covered(folder: Workspace) -> None:
    write(folder, "return open(path).read()", inputs="path", wired="Source.file('data.csv')")
    assert seen(folder) == []


def test_the_sources_of_resources_count_and_of_those_they_require(folder: Workspace) -> None:
    folder.write(
        "pipeline.py",
        """
        from memo import Source, job, op, resource

        @resource(depends_on=[Source.file("data.csv")])
        def inner():
            return lambda: open("data.csv").read()

        @resource(required_resource_keys={"inner"})
        def outer(context):
            return context.resources.inner

        @op(required_resource_keys={"outer"})
        def reader(context):
            return context.resources.outer()

        @job(resource_defs={"inner": inner, "outer": outer})
        def j():
            reader()
        """,
    )
    assert seen(folder) == []


def test_a_declared_version_is_its_authors_word(folder: Workspace) -> None:
    write(folder, "return open('data.csv').read()", arguments="(version='1')")
    assert seen(folder) == []


def test_without_memoization_nothing_is_watched(folder: Workspace) -> None:
    write(folder, "return open('data.csv').read()")
    assert seen(folder, tags={"memo/is_memoized_run": "false"}) == []


def test_there_is_an_end_to_what_is_told(folder: Workspace) -> None:
    write(folder, "for number in range(60):\n    pathlib.Path('data.csv' if not number else f'{number}').exists()\n"
                  "    try: open(f'{number}.csv')\n    except OSError: pass")  # fmt: skip
    found = seen(folder)
    assert len(found) == 51
    assert found[0] == ("file", "0.csv", at(3))
    assert found[-1] == ("file", "…", "")


def test_the_same_read_is_told_once(folder: Workspace) -> None:
    write(folder, "for number in range(3):\n    open('data.csv').close()\nopen('data.csv').close()")
    assert seen(folder) == [("file", "data.csv", at(2)), ("file", "data.csv", at(3))]


def test_the_events_say_it_in_words(folder: Workspace) -> None:
    write(folder, "return open('data.csv').read()")
    ran = folder.run()
    with Home(folder.home) as home:
        events = [each for each in home.catalog.events(ran.run_id) if each.kind.value == "UNDECLARED_READ"]
    (event,) = events
    assert event.message == f"reads the file 'data.csv' ({at(1)})"
    assert event.step_key == "reader"
    assert set(event.data) == {"kind", "what", "where", "op_version"}


HOSTILE = [
    "os.environ = {}\nreturn 1",
    "os.environ = dict(os.environ)\nos.environ['X'] = '1'\nreturn os.environ['X']",
    "os.environ.clear()\nreturn os.environ.get('X')",
    "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\nopen(os.environ['HOME'] and '/etc/hostname').close()",
    "os.close(0); os.close(2)\nreturn 1",
    "sys.setrecursionlimit(80)\ntry:\n    open('data.csv').close()\nfinally:\n    sys.setrecursionlimit(1000)",
    "class Odd(str):\n    def __hash__(self): 1 / 0\n    __eq__ = __str__ = __hash__\nopen(Odd('data.csv')).close()",
    "class Path:\n    def __fspath__(self): return 'data.csv'\nopen(Path()).close()",
    "try:\n    open('a\\0b')\nexcept ValueError:\n    pass",
    "open(b'\\xff\\xfe', 'w').close(); os.remove(b'\\xff\\xfe')",
    "sys.addaudithook(lambda *given: None)\nopen('data.csv').close()",
    "globals()['__name__'] = 5\nopen('data.csv').close()",
    "exec(\"open('data.csv').close()\", {})",
    "try:\n    os.environ[5]\nexcept TypeError:\n    pass",
    "os.environ.__class__ = type(os.environ)\nreturn 1",
]


@pytest.mark.parametrize("body", HOSTILE)
def test_strange_ops_run_as_they_would(folder: Workspace, body: str) -> None:
    write(folder, body)
    # In a worker too, where the current folder and the descriptors are not those of the run.
    assert folder.run(max_concurrent=2).outcomes in ({"reader": "success"}, {"reader": "failure"})
    inside = "import pipeline\npipeline.reader()\n"
    plain = subprocess.run([sys.executable, "-c", inside], cwd=folder.path, capture_output=True, check=False)
    ran = folder.run(force=True)
    assert ran.success is (plain.returncode == 0), ran.errors


def test_the_environment_is_as_it_was_when_the_op_has_ended(folder: Workspace) -> None:
    write(folder, "os.environ['SET_BY_OP'] = '1'\nreturn type(os.environ).__mro__[1].__name__")
    done = folder.python(
        "-c",
        "import os, pipeline\nfrom memo import execute_job\nbefore = os.environ\n"
        "print(execute_job(pipeline.j).output_for_node('reader'))\n"
        "print(os.environ is before, type(os.environ) is os._Environ, os.environ['SET_BY_OP'], os.getenv('SET_BY_OP'))",
    )
    assert done.stdout.splitlines() == ["_Environ", "True True 1 1"]


def test_a_job_within_an_op_is_watched_by_its_own_steps(folder: Workspace) -> None:
    folder.write(
        "pipeline.py",
        """
        from memo import job, op

        @op
        def inner():
            return open("data.csv").read()

        @job
        def within():
            inner()

        @op
        def reader():
            open("memo.toml").close()
            within.execute_in_process()
            return open("pipeline.py").close()

        @job
        def j():
            reader()
        """,
    )
    assert seen(folder, target="pipeline.py:j") == [
        ("file", "memo.toml", "pipeline.py:13"),
        ("file", "data.csv", "pipeline.py:5"),
        ("file", "pipeline.py", "pipeline.py:15"),
    ]


def test_links_are_looked_through_and_the_folder_of_the_run_counts(folder: Workspace) -> None:
    (folder.path / "deep").mkdir()
    os.symlink(folder.path / "data.csv", folder.path / "deep" / "link.csv")
    write(folder, "os.chdir('deep')\nopen('link.csv').close()\nopen('../data.csv').close()",
          arguments="(depends_on=[Source.file(os.path.abspath('data.csv'))])")  # fmt: skip
    assert seen(folder) == []


def test_a_step_that_reads_thousands_of_declared_files_is_told_of_the_others(folder: Workspace) -> None:
    (folder.path / "many").mkdir()
    body = "for number in range(3000):\n    open(f'many/{number}').close()\nopen('data.csv').close()"
    for number in range(3000):
        (folder.path / "many" / str(number)).touch()
    write(folder, body, arguments="(depends_on=[Source.folder('many')])")
    assert seen(folder) == [("file", "data.csv", at(3))]


def test_two_runs_at_once_in_one_process_do_not_hear_each_other(folder: Workspace) -> None:
    folder.write(
        "pipeline.py",
        """
        import threading
        from memo import SourceHashVersionStrategy, job, op

        meet = threading.Barrier(2)

        @op(ignore=["pipeline.meet"])
        def reader(path):
            meet.wait()
            open(path).close()
            meet.wait()

        @job(version_strategy=SourceHashVersionStrategy())
        def j(path):
            reader(path)

        if __name__ == "__main__":
            (open("other.csv", "w")).close()
            runs = [
                threading.Thread(
                    target=lambda path: j.execute_in_process(input_values={"path": path}, instance=path + ".home"),
                    args=(path,),
                )
                for path in ("data.csv", "other.csv")
            ]
            for run in runs:
                run.start()
            for run in runs:
                run.join()
        """,
    )
    folder.python("pipeline.py")
    for path in ("data.csv", "other.csv"):
        with Home(folder.path / f"{path}.home") as home:
            assert [read.what for read in home.catalog.undeclared_reads("j")] == [path]
