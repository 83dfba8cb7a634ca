"""External sources in runs of their own processes: what changes outside reruns exactly its readers."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from textwrap import dedent

import pytest

from tests.conftest import Workspace

PIPELINE = """
    from memo import Source, job, op

    @op
    def count(path: str) -> int:
        with open(path) as lines:
            return len(list(lines))

    @op(depends_on=["data.csv"])
    def total() -> int:
        with open("data.csv") as lines:
            return sum(int(line) for line in lines)

    @op
    def constant() -> int:
        return 7

    @op
    def both(a: int, b: int, c: int) -> list:
        return [a, b, c]

    @job
    def pipeline():
        both(count(Source.file("data.csv")), total(), constant())
"""


def write(workspace: Workspace, name: str, text: str) -> Path:
    """Write a file of data."""
    path = workspace.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def job_of(*lines: str, ops: str = "", imports: str = "Source, job, op, source") -> str:
    """A pipeline: some definitions, and the body of its job."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"import os\nfrom memo import {imports}\n\n{dedent(ops)}\n\n@job\ndef pipeline():\n{body}\n"


def test_an_edit_reruns_exactly_the_readers_of_a_file_and_touch_reruns_nothing(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    write(workspace, "data.csv", "1\n2\n")
    first = workspace.run(output="both")
    assert first.ran == ["both", "constant", "count", "total"]
    assert first.value == "[2, 3, 7]"
    assert workspace.run().ran == []

    os.utime(workspace.path / "data.csv")
    assert workspace.run().ran == []
    os.utime(workspace.path / "data.csv", (1, 1))
    assert workspace.run().ran == []
    shutil.copy(workspace.path / "data.csv", workspace.path / "copy")
    os.replace(workspace.path / "copy", workspace.path / "data.csv")
    assert workspace.run().ran == []

    write(workspace, "data.csv", "1\n3\n")
    after = workspace.run(output="both")
    assert after.ran == ["both", "count", "total"]
    assert after.value == "[2, 4, 7]"
    assert after.plan["count"][1] == "source changed: path: data.csv"
    assert after.plan["total"][1] == "source changed: data.csv"

    write(workspace, "data.csv", "2\n2\n")
    # The sum is the same, so that what reads it is cut off.
    assert workspace.run().ran == ["count", "total"]
    write(workspace, "data.csv", "1\n2\n")
    assert workspace.run().ran == []


def test_a_catalog_that_was_deleted_leaves_sources_right(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    write(workspace, "data.csv", "1\n2\n")
    workspace.run()
    for each in workspace.home.glob("catalog.db*"):
        each.unlink()
    assert workspace.run().ran == []
    for each in workspace.home.glob("catalog.db*"):
        each.unlink()
    write(workspace, "data.csv", "1\n3\n")
    after = workspace.run(output="both")
    assert after.value == "[2, 4, 7]"
    assert after.ran == ["both", "count", "total"]


def test_what_cannot_be_reached_fails_the_plan_in_one_line(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    found = workspace.memo("run", "pipeline.py")
    assert found.returncode != 0
    error = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert re.fullmatch(
        r"error: source 'data\.csv' \(pipeline\.py:\d+\): is not there \(.*/data\.csv\); make it, or correct its path",
        error[0],
    )


def test_every_kind_is_handed_to_an_op(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "show(Source.file('data/a.csv'), Source.file(Path('data/a.csv')), Source.folder('data'),",
            "     Source.glob('data/**/*.csv'), Source.url('file://' + os.path.abspath('data/a.csv')),",
            "     Source.env('REGION', 'eu'), Source.every('1 week', 'Europe/Berlin'), orders, prices())",
            ops="""
            from pathlib import Path

            @source
            def orders():
                return b"mark"

            @source(name="prices of today")
            def prices():
                return {"a": [1]}

            @op
            def show(a: str, b: Path, c: str, d: list[str], e: str, f: str, g, h: bytes, i: dict) -> list:
                return [a, b, c, d, os.path.basename(e), f, (g.weekday(), g.hour, str(g.tzinfo)), h, i]
            """,
        ),
    )
    write(workspace, "data/a.csv", "1")
    write(workspace, "data/sub/b.csv", "2")
    expected = (
        "['data/a.csv', PosixPath('data/a.csv'), 'data', ['data/a.csv', 'data/sub/b.csv'], 'a.csv', 'eu', "
        "(0, 0, 'Europe/Berlin'), b'mark', {'a': [1]}]"
    )
    assert workspace.run(output="show").value == expected
    assert workspace.run(output="show").ran == []
    found = workspace.python(
        "-c", "from pipeline import pipeline; print(pipeline.execute_in_process().output_for_node('show'))"
    )
    assert found.stdout.strip().endswith(expected)


def test_in_two_processes_ops_are_handed_the_same(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "gather([show.alias('a')(orders), show.alias('b')(orders), show.alias('c')(Source.env('REGION', 'eu'))])",
            ops="""
            asked = []

            @source
            def orders():
                asked.append(1)
                return [os.getpid(), len(asked)]

            @op
            def show(x):
                x.append("seen") if isinstance(x, list) else None
                return x

            @op
            def gather(all: list) -> bool:
                a, b, c = all
                return a == b and a[1:] == [1, "seen"] and c == "eu"
            """,
        ),
    )
    assert workspace.run(output="gather", max_concurrent=2).value == "True"
    assert workspace.run(output="gather", max_concurrent=1, force=True).value == "True"


def test_an_input_of_type_nothing_waits_for_no_more_than_a_change(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "load(after=Source.file('ready'))",
            ops="""
            from memo import In, Nothing

            @op(ins={"after": In(Nothing)})
            def load() -> int:
                return 1
            """,
        ),
    )
    write(workspace, "ready", "1")
    assert workspace.run().ran == ["load"]
    assert workspace.run().ran == []
    write(workspace, "ready", "2")
    after = workspace.run()
    assert after.ran == ["load"]
    assert after.plan["load"][1] == "source changed: after: ready"


def test_in_a_list_beside_outputs_and_literals(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "gather([one(), Source.env('A', 'a'), 'literal', Source.env('B', 'b')])",
            ops="""
            @op
            def one() -> int:
                return 1

            @op
            def gather(parts: list) -> list:
                return parts
            """,
        ),
    )
    assert workspace.run(output="gather").value == "[1, 'a', 'literal', 'b']"
    found = workspace.memo("run", "pipeline.py", B="c")
    assert "gather: ran in" in found.stderr
    assert "(source changed: parts[3]: $B)" in found.stderr
    assert "one: reused" in found.stderr
    # Each at its place: two that change places are a change.
    assert "1 step run" in workspace.memo("run", "pipeline.py", A="b", B="a").stderr


def test_through_the_inputs_of_graphs(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "outer(Source.file('data.csv'), 5)",
            imports="Source, graph, job, op, source",
            ops="""
            @op
            def count(path: str, by: int) -> int:
                with open(path) as lines:
                    return by * len(list(lines))

            @graph
            def inner(path, by):
                return count(path, by)

            @graph
            def outer(path, by):
                return inner(path, by)
            """,
        ),
    )
    write(workspace, "data.csv", "1\n")
    assert workspace.run(output="outer.inner.count").value == "5"
    write(workspace, "data.csv", "1\n2\n")
    after = workspace.run(output="outer.inner.count")
    assert after.value == "10"
    assert after.plan["outer.inner.count"][1] == "source changed: path: data.csv"


def test_one_source_for_two_steps(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "data = Source.file('data.csv')",
            "size(data)",
            "lines(data)",
            ops="""
            @op
            def size(path: str) -> int:
                return os.path.getsize(path)

            @op
            def lines(path: str) -> int:
                with open(path) as all:
                    return len(list(all))
            """,
        ),
    )
    write(workspace, "data.csv", "1\n")
    assert workspace.run().ran == ["lines", "size"]
    write(workspace, "data.csv", "2\n")
    assert workspace.run().ran == ["lines", "size"]
    assert workspace.run().ran == []


def versions(workspace: Workspace) -> list[str]:
    """The versions of a project's steps."""
    found = workspace.python(
        "-c",
        "from memo import plan_job; from pipeline import pipeline\n"
        "print('VERSIONS', *[step.version for step in plan_job(pipeline).steps.values()])",
    )
    return found.stdout.rpartition("VERSIONS")[2].split()


def test_copies_of_a_project_at_other_places_have_equal_versions(tmp_path) -> None:
    found = []
    for place in ("here", "there/deep"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "memo.toml").touch()
        workspace = Workspace(folder)
        workspace.write(
            "pipeline.py",
            job_of(
                "wired(Source.file('data.csv'), Source.folder('raw'), Source.glob('raw/*'))",
                "named()",
                ops="""
                HERE = os.path.dirname(os.path.abspath(__file__))

                @op
                def wired(a: str, b: str, c: list) -> int:
                    return 1

                @op(depends_on=[os.path.join(os.path.dirname(os.path.abspath(__file__)), "data.csv"),
                                Source.folder(os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw"))])
                def named() -> int:
                    return 2
                """,
            ),
        )
        write(workspace, "data.csv", "1")
        write(workspace, "raw/a", "2")
        found.append(versions(workspace))
    assert len(found[0]) == 2
    assert found[0] == found[1]


@pytest.mark.parametrize("wired", [True, False])
def test_swapped_contents_are_a_change(wired: bool, workspace) -> None:
    ops = """
        @op
        def wired(a: str, b: str) -> str:
            return open(a).read() + open(b).read()

        @op(depends_on=["a.csv", "b.csv"])
        def named() -> str:
            return open("a.csv").read() + open("b.csv").read()
        """
    line = "wired(Source.file('a.csv'), Source.file('b.csv'))" if wired else "named()"
    workspace.write("pipeline.py", job_of(line, ops=ops))
    write(workspace, "a.csv", "1")
    write(workspace, "b.csv", "2")
    step = "wired" if wired else "named"
    assert workspace.run(output=step).value == "'12'"
    write(workspace, "a.csv", "2")
    write(workspace, "b.csv", "1")
    after = workspace.run(output=step)
    assert after.value == "'21'"
    assert after.plan[step][1].startswith("source changed: ")


# What code cannot show

HIDDEN = """
    REGISTRY = {}

    def registered(fn):
        REGISTRY[fn.__name__] = fn
        return fn

    def helper():
        return 0

    @registered
    def rule():
        return helper() + 1

    class Model:
        factor = 2

        def predict(self):
            return self.factor

    class Settings:
        def __init__(self, limit):
            self.limit = limit

    SETTINGS = Settings(3)

    def unrelated():
        return 4
"""

EDITS = {
    "a function": ("[hidden.rule]", "helper() + 1", "helper() + 2", True),
    "what a function calls": ("[hidden.rule]", "return 0", "return 10", True),
    "another function": ("[hidden.rule]", "return 4", "return 5", False),
    "a class": ("[hidden.Model]", "factor = 2", "factor = 3", True),
    "a method": ("[hidden.Model]", "return self.factor", "return -self.factor", True),
    "beside a class": ("[hidden.Model]", "return 4", "return 5", False),
    "a module": ("[hidden]", "return 4", "return 5", True),
    "a comment in a module": ("[hidden]", "def unrelated():", "# nothing\ndef unrelated():", False),
    "an object": ("[hidden.SETTINGS]", "Settings(3)", "Settings(4)", True),
    "beside an object": ("[hidden.SETTINGS]", "return 4", "return 5", False),
    "a constant": ("[hidden.Model.factor]", "factor = 2", "factor = 3", True),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_an_op_depends_on_by_name(name: str, workspace) -> None:
    depends_on, old, new, is_change = EDITS[name]
    workspace.write("hidden.py", HIDDEN)
    workspace.write(
        "pipeline.py",
        f"""
        import importlib
        import hidden
        from memo import job, op

        @op(depends_on={depends_on})
        def apply(module: str, names: list) -> int:
            found = vars(importlib.import_module(module))
            return found[names[0]]() + found[names[1]]().predict() + found[names[2]].limit

        @op
        def other() -> int:
            return 1

        @job
        def pipeline():
            apply("hidden", ["rule", "Model", "SETTINGS"])
            other()
        """,
    )
    assert workspace.run().ran == ["apply", "other"]
    assert workspace.run().ran == []
    workspace.edit("hidden.py", old, new)
    after = workspace.run()
    assert after.ran == (["apply"] if is_change else [])
    if is_change:
        assert after.plan["apply"][1].startswith("code changed: ")


RESOURCE = """
    import os
    from memo import Source, job, op, resource

    @resource(depends_on=["db.cfg", Source.env("DB", "main")])
    def db():
        return 1

    @resource(required_resource_keys={"db"})
    def pool():
        return 2

    @op(required_resource_keys={"pool"})
    def reads(context) -> int:
        return context.resources.pool

    @op
    def other() -> int:
        return 1

    @job(resource_defs={"db": db, "pool": pool})
    def pipeline():
        reads()
        other()
"""


def test_the_steps_that_use_a_resource_run_again(workspace) -> None:
    workspace.write("pipeline.py", RESOURCE)
    write(workspace, "db.cfg", "1")
    assert workspace.run().ran == ["other", "reads"]
    os.utime(workspace.path / "db.cfg")
    assert workspace.run().ran == []
    write(workspace, "db.cfg", "2")
    after = workspace.run()
    assert after.ran == ["reads"]
    assert after.plan["reads"][1] == "source changed: db: db.cfg"
    assert "(source changed: db: $DB)" in workspace.memo("run", "pipeline.py", DB="other").stderr


def test_an_input_manager_that_depends_on_a_file(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import In, input_manager, job, op

        @input_manager(depends_on=["table.csv"])
        def loader(context):
            with open("table.csv") as table:
                return table.read()

        @op(ins={"table": In(input_manager_key="loader")})
        def reads(table: str) -> str:
            return table

        @op
        def other() -> int:
            return 1

        @job(resource_defs={"loader": loader})
        def pipeline():
            reads()
            other()
        """,
    )
    write(workspace, "table.csv", "1")
    assert workspace.run(output="reads").value == "'1'"
    assert workspace.run().ran == []
    write(workspace, "table.csv", "2")
    after = workspace.run(output="reads")
    assert after.ran == ["reads"]
    assert after.value == "'2'"


# What changes while it is read

APPENDS = """
    import os
    from memo import RetryPolicy, Source, job, op

    @op(retry_policy=RetryPolicy(max_retries=2))
    def reads(path: str) -> int:
        with open("attempts", "a") as attempts:
            attempts.write("x")
        if os.path.exists("armed"):
            os.remove("armed")
            with open("data.csv", "a") as data:
                data.write("9\\n")
        with open(path) as data:
            return sum(map(int, data))

    @op
    def after(n: int) -> int:
        return n + 1

    @op
    def other() -> int:
        return 1

    @job
    def pipeline():
        after(reads(Source.file("data.csv")))
        other()
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_source_that_is_changed_while_its_reader_runs(jobs: int, workspace) -> None:
    workspace.write("pipeline.py", APPENDS)
    write(workspace, "data.csv", "1\n")
    write(workspace, "armed", "")
    first = workspace.run(max_concurrent=jobs)
    assert not first.success
    assert first.outcomes == {"reads": "failure", "after": "blocked", "other": "success"}
    assert (
        "the source 'data.csv' was changed while the run went on, by a step or from outside; nothing of this step is "
        "stored: run again, and let no step write into what it depends on"
    ) in first.errors["reads"]
    assert (workspace.path / "attempts").read_text() == "x"

    second = workspace.run(max_concurrent=jobs, output="after")
    assert second.value == "11"
    assert second.ran == ["after", "reads"]
    # What it held before was never stored.
    write(workspace, "data.csv", "1\n")
    third = workspace.run(max_concurrent=jobs, output="after")
    assert third.value == "2"
    assert third.ran == ["after", "reads"]


def test_an_op_that_writes_into_its_own_source_never_ends_well(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "grows()",
            ops="""
            @op(depends_on=[Source.folder("raw")])
            def grows() -> int:
                with open(f"raw/{len(os.listdir('raw'))}", "w"):
                    return 1
            """,
        ),
    )
    write(workspace, "raw/0", "1")
    for _ in range(2):
        found = workspace.run()
        assert not found.success
        assert "the source 'raw' was changed while the run went on" in found.errors["grows"]


def test_a_source_of_a_resource_that_is_changed_meanwhile(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import os
        from memo import job, op, resource

        @resource(depends_on=["db.cfg"])
        def db():
            return 1

        @op(required_resource_keys={"db"})
        def reads(context) -> int:
            if os.path.exists("armed"):
                os.remove("armed")
                with open("db.cfg", "a") as config:
                    config.write("x")
            return 1

        @job(resource_defs={"db": db})
        def pipeline():
            reads()
        """,
    )
    write(workspace, "db.cfg", "1")
    write(workspace, "armed", "")
    assert "the source 'db.cfg' was changed while the run went on" in workspace.run().errors["reads"]
    assert workspace.run().ran == ["reads"]
    assert workspace.run().ran == []


def test_a_source_that_is_gone_when_its_reader_ends(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "eats(Source.file('data.csv'))",
            ops="""
            @op
            def eats(path: str) -> int:
                os.remove(path)
                return 1
            """,
        ),
    )
    write(workspace, "data.csv", "1")
    found = workspace.run()
    assert not found.success
    assert "the source 'data.csv' was changed while the run went on" in found.errors["eats"]
    write(workspace, "data.csv", "1")
    assert workspace.run().outcomes == {"eats": "failure"}


# Without memoization


def test_without_memoization_ops_are_handed_the_same(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    write(workspace, "data.csv", "1\n2\n")
    for _ in range(2):
        found = workspace.memo("run", "pipeline.py", "--tag", "memo/is_memoized_run=false")
        assert "4 steps run" in found.stderr, found.stderr


@pytest.mark.parametrize("strategy", ["", "version_strategy=SourceHashVersionStrategy()"])
def test_execute_in_process(strategy: str, workspace) -> None:
    workspace.write(
        "pipeline.py",
        f"""
        from memo import Source, SourceHashVersionStrategy, job, op

        @op
        def count(path: str, region: str) -> list:
            with open(path) as lines:
                return [region, len(list(lines))]

        @job({strategy})
        def pipeline():
            count(Source.file("data.csv"), Source.env("REGION", "eu"))

        if __name__ == "__main__":
            for more in ("", "3\\n"):
                with open("data.csv", "a") as data:
                    data.write(more)
                result = pipeline.execute_in_process()
                print(result.output_for_node("count"), sorted(result.executed))
        """,
    )
    write(workspace, "data.csv", "1\n2\n")
    assert workspace.python("pipeline.py").stdout.splitlines() == ["['eu', 2] ['count']", "['eu', 3] ['count']"]
    again = workspace.python("pipeline.py", REGION="us").stdout.splitlines()
    assert again == ["['us', 3] ['count']", "['us', 4] ['count']"]


def test_execute_in_process_reuses_by_what_sources_hold(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import Source, SourceHashVersionStrategy, job, op

        @op
        def count(path: str) -> int:
            with open(path) as lines:
                return len(list(lines))

        @job(version_strategy=SourceHashVersionStrategy())
        def pipeline():
            count(Source.file("data.csv"))

        if __name__ == "__main__":
            for content in ("1", "1", "2", "1"):
                with open("data.csv", "w") as data:
                    data.write(content)
                print(*pipeline.execute_in_process().executed)
        """,
    )
    assert workspace.python("pipeline.py").stdout.split("\n")[:4] == ["count", "", "count", ""]


# Why


def why(workspace: Workspace, step: str, **env: str) -> str:
    found = workspace.memo("why", "pipeline.py", step, **env)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_why_names_the_file_and_shows_both_stamps(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    write(workspace, "data.csv", "1\n2\n")
    workspace.run()
    write(workspace, "data.csv", "1\n2\n3\n")
    told = why(workspace, "total")
    assert re.search(r"source data\.csv: 4 bytes of digest [0-9a-f]{8} -> 6 bytes of digest [0-9a-f]{8}", told), told
    told = why(workspace, "count")
    assert re.search(r"source path: data\.csv: 4 bytes of digest [0-9a-f]{8} -> 6 bytes of digest [0-9a-f]{8}", told)


def test_why_names_the_files_of_a_folder_that_changed(workspace) -> None:
    ops = """
        @op
        def reads(path: str) -> int:
            return len(os.listdir(path))
        """
    workspace.write("pipeline.py", job_of("reads(Source.folder('raw'))", ops=ops))
    for name in ("same", "other", "gone"):
        write(workspace, f"raw/{name}.csv", name)
    workspace.run()
    write(workspace, "raw/other.csv", "another")
    write(workspace, "raw/come.csv", "")
    (workspace.path / "raw/gone.csv").unlink()
    told = why(workspace, "reads")
    assert "3 files" in told
    for name in ("other", "gone", "come"):
        assert f"raw/{name}.csv" in told, told
    assert "raw/same.csv" not in told


def test_why_shows_that_a_variable_changed_and_never_its_value(workspace) -> None:
    ops = """
        @op
        def reads(token: str) -> int:
            return 1

        @op(depends_on=[Source.env("TOKEN")])
        def named() -> int:
            return 1
        """
    workspace.write("pipeline.py", job_of("reads(Source.env('TOKEN'))", "named()", ops=ops))
    shown = [workspace.memo("run", "pipeline.py", TOKEN="hunter-one").stderr]
    shown.append(workspace.memo("plan", "pipeline.py", TOKEN="hunter-two").stdout)
    assert "source changed: token: $TOKEN" in shown[-1]
    for step in ("reads", "named"):
        told = why(workspace, step, TOKEN="hunter-two")
        assert re.search(r"\$TOKEN: a value of digest [0-9a-f]{8} -> a value of digest [0-9a-f]{8}", told), told
        shown.append(told)
    shown.append(workspace.memo("run", "pipeline.py", "-j", "2", TOKEN="hunter-two").stderr)
    assert not any("hunter" in each for each in shown)
    kept = [path for path in workspace.home.rglob("*") if path.is_file() and b"hunter" in path.read_bytes()]
    assert kept == []


def test_why_shows_what_a_function_gave(workspace) -> None:
    ops = """
        @source
        def watermark():
            with open("mark") as mark:
                return mark.read()

        @op
        def reads(mark: str) -> int:
            return 1
        """
    workspace.write("pipeline.py", job_of("reads(watermark)", ops=ops))
    write(workspace, "mark", "monday")
    workspace.run()
    write(workspace, "mark", "tuesday")
    assert "watermark: 'monday' -> 'tuesday'" in why(workspace, "reads")
    assert workspace.run().plan["reads"][1] == "source changed: mark: watermark"


def test_what_expires_says_so(workspace) -> None:
    ops = """
        @op(depends_on=[Source.every("1 second")])
        def polls() -> int:
            return 1

        @op
        def daily(day) -> int:
            return 1
        """
    workspace.write("pipeline.py", job_of("polls()", "daily(Source.every('9 weeks'))", ops=ops))
    assert workspace.run().ran == ["daily", "polls"]
    begun = int(time.time())
    while int(time.time()) == begun:
        pass
    after = workspace.run()
    assert after.ran == ["polls"]
    assert after.plan["polls"][1] == "expired: every 1 second"
    assert re.search(r"every 1 second: \d{4}-\S+\+00:00 -> \d{4}-\S+\+00:00", why(workspace, "polls"))


# What was last known

LAST = """
    from memo import Source, job, op, source

    @source(on_unreachable="last_known")
    def watermark():
        with open("mark", "rb") as mark:
            return mark.read()

    @op
    def reads(mark: bytes) -> list:
        return [mark]

    @job
    def pipeline():
        reads(watermark)
"""


def test_what_was_last_known_is_taken_with_a_warning(workspace) -> None:
    workspace.write("pipeline.py", LAST)
    failed = workspace.memo("run", "pipeline.py")
    assert failed.returncode != 0
    assert "and what it was is not known from a run before" in failed.stderr
    write(workspace, "mark", "monday")
    assert workspace.run().ran == ["reads"]
    (workspace.path / "mark").unlink()
    reused = workspace.memo("run", "pipeline.py")
    assert reused.returncode == 0
    assert "0 steps run, 1 reused" in reused.stderr, reused.stderr
    assert "taken as it was in the last run that reached it (b'monday')" in reused.stderr

    workspace.edit("pipeline.py", "return [mark]", "return [mark, mark]")
    assert "the source 'watermark' cannot be reached" in workspace.run().errors["reads"]


# Where sources stand beside other things


def test_without_memoization_a_source_is_asked_once(workspace) -> None:
    ops = """
        @source
        def orders():
            print("ASKED")
            return 1

        @op
        def reads(x: int) -> int:
            return x
        """
    workspace.write("pipeline.py", job_of("reads.alias('a')(orders)", "reads.alias('b')(orders)", ops=ops))
    code = "from pipeline import pipeline; pipeline.execute_in_process()"
    assert workspace.python("-c", code).stdout.count("ASKED") == 1


def test_a_warning_about_a_source_takes_none_of_an_op_of_its_name(workspace) -> None:
    workspace.write(
        "pipeline.py",
        job_of(
            "orders(watermark)",
            ops="""
            @source(on_unreachable="last_known", name="orders")
            def watermark():
                with open("mark") as mark:
                    return mark.read()

            @op
            def orders(x: str) -> int:
                return eval(x)
            """,
        ),
    )
    write(workspace, "mark", "1")
    assert workspace.run().success
    (workspace.path / "mark").unlink()
    code = "from memo import plan_job; from pipeline import pipeline; print(plan_job(pipeline).warnings)"
    told = workspace.python("-c", code).stdout
    assert "taken as it was in the last run that reached it" in told
    assert "eval() " in told


def test_a_source_in_config_is_refused(workspace) -> None:
    """It would never be read: the step would be reused whatever the source holds."""
    workspace.write(
        "pipeline.py",
        """
        from memo import Source, job, op

        @op
        def reads(context) -> str:
            return str(context.op_config)

        @job(config={"ops": {"reads": {"config": {"regions": [Source.env("REGION", "eu")]}}}})
        def pipeline():
            reads()
        """,
    )
    found = workspace.memo("run", "pipeline.py")
    assert found.returncode != 0
    assert "ops.reads.config: holds the source '$REGION'" in found.stderr


def test_a_source_in_a_list_of_input_values_is_refused(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import Source, job, op

        @op
        def reads(x: list) -> str:
            return str(x)

        @job
        def pipeline(x):
            reads(x)

        if __name__ == "__main__":
            pipeline.execute_in_process(input_values={"x": [Source.env("REGION", "eu")]})
        """,
    )
    found = workspace.python("pipeline.py", check=False)
    assert "ConfigError: job 'pipeline': inputs.x: holds the source '$REGION'" in found.stderr


def test_a_source_of_an_input_manager_that_is_changed_meanwhile(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import os
        from memo import In, input_manager, job, op

        @input_manager(depends_on=["table.csv"])
        def loader(context):
            if os.path.exists("armed"):
                os.remove("armed")
                with open("table.csv", "a") as table:
                    table.write("2")
            with open("table.csv") as table:
                return table.read()

        @op(ins={"table": In(input_manager_key="loader")})
        def reads(table: str) -> str:
            return table

        @job(resource_defs={"loader": loader})
        def pipeline():
            reads()
        """,
    )
    write(workspace, "table.csv", "1")
    write(workspace, "armed", "")
    failed = workspace.run()
    write(workspace, "table.csv", "1")
    assert workspace.run(output="reads").value == "'1'"
    assert "the source 'table.csv' was changed while the run went on" in failed.errors["reads"]
    write(workspace, "table.csv", "3")
    assert workspace.run().plan["reads"][1] == "source changed: loader: table.csv"


def test_another_path_to_equal_content_is_named_as_what_changed(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    for name in ("data.csv", "other.csv"):
        write(workspace, name, "1\n")
    workspace.run()
    workspace.edit("pipeline.py", 'Source.file("data.csv")', 'Source.file("other.csv")')
    after = workspace.run()
    assert after.ran == ["count"]
    assert after.plan["count"][1] == "source changed: path: data.csv, path: other.csv"


def test_a_step_that_has_to_run_is_not_run_on_what_was_last_known(workspace) -> None:
    """What it gives without the source would be stored as what it gives with it."""
    workspace.write(
        "pipeline.py",
        """
        import os

        from memo import Source, job, op

        @op(depends_on=[Source.file("data.txt", on_unreachable="last_known")])
        def reads() -> str:
            return open("data.txt").read() if os.path.exists("data.txt") else "MISSING"

        @job
        def pipeline():
            reads()
        """,
    )
    write(workspace, "data.txt", "D")
    assert workspace.run().success
    (workspace.path / "data.txt").rename(workspace.path / "away")
    assert workspace.run().reused == ["reads"]
    workspace.edit("pipeline.py", '"MISSING"', '"GONE"')
    failed = workspace.run()
    assert "cannot be reached" in failed.errors["reads"]
    (workspace.path / "away").rename(workspace.path / "data.txt")
    after = workspace.run(output="reads")
    assert (after.ran, after.value) == (["reads"], "'D'")


def test_a_variable_that_a_step_before_sets_is_noticed(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import os

        from memo import Source, job, op

        @op
        def sets() -> int:
            os.environ["REGION"] = "us"
            return 1

        @op(depends_on=[Source.env("REGION", default="eu")])
        def reads(x: int) -> str:
            return os.environ.get("REGION", "eu")

        @job
        def pipeline():
            reads(sets())
        """,
    )
    failed = workspace.run()
    assert "'$REGION' was changed while the run went on" in failed.errors["reads"]
    workspace.edit("pipeline.py", '    os.environ["REGION"] = "us"\n', "")
    assert workspace.run(output="reads").value == "'eu'"


def test_a_step_that_goes_elsewhere_takes_no_source_of_the_next_with_it(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import os

        from memo import Source, job, op

        @op
        def goes() -> int:
            os.chdir("/")
            return 1

        @op(depends_on=["data.txt"])
        def reads(x: int) -> int:
            return x

        @job
        def pipeline():
            reads(goes())
        """,
    )
    write(workspace, "data.txt", "D")
    assert workspace.run().ran == ["goes", "reads"]
