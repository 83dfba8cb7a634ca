"""Steps in worker processes: values pass, output is kept, and whatever befalls a worker befalls its step alone."""

from __future__ import annotations

BASIC = """
    import os, signal, subprocess, sys
    from memo import Failure, In, Nothing, Out, Output, RetryPolicy, job, op, resource

    @resource
    def settings():
        yield {"by": 3}

    @op
    def one() -> int:
        print("one says hello")
        subprocess.run(["sh", "-c", "echo from a child; echo trouble >&2"], check=True)
        return 1

    @op(required_resource_keys={"settings"})
    def scaled(context, x: int) -> int:
        context.log.info("scaling by %s", context.resources.settings["by"])
        return x * context.resources.settings["by"]

    @op(out={"a": Out(), "b": Out(is_required=False)})
    def split(x: int):
        yield Output(x, "a")

    @op
    def total(parts: list) -> int:
        return sum(parts)

    @op
    def pid() -> int:
        return os.getpid()

    @job(resource_defs={"settings": settings})
    def basic():
        found = split(scaled(one()))
        total([found.a, found.b, 4])
        pid()
"""


def test_values_pass_between_processes(workspace) -> None:
    workspace.write("pipeline.py", BASIC)

    found = workspace.run(output="total", max_concurrent=2)

    assert found.value == "7"
    assert found.ran == ["one", "pid", "scaled", "split", "total"]
    assert workspace.run(max_concurrent=2).ran == []
    assert workspace.run(max_concurrent=1).ran == []


def test_what_steps_print_is_shown_and_kept(workspace) -> None:
    workspace.write("pipeline.py", BASIC)

    found = workspace.run(max_concurrent=2)

    logs = workspace.home / "logs" / found.run_id
    assert (logs / "one.out").read_text() == "one says hello\nfrom a child\n"
    assert (logs / "one.err").read_text() == "trouble\n"
    assert not (logs / "total.out").exists()
    assert "one says hello\nfrom a child\n" in found.stdout
    assert "trouble" in found.stderr


def test_the_log_is_kept_as_events(workspace) -> None:
    workspace.write("pipeline.py", BASIC)
    found = workspace.run(max_concurrent=2)

    from memo import Home

    with Home(workspace.home) as home:
        events = home.catalog.events(found.run_id, step_key="scaled")

    assert [event.message for event in events if event.kind == "LOG"] == ["scaling by 3"]


DEATHS = """
    import os, signal, sys
    from time import perf_counter
    from memo import Failure, RetryPolicy, job, op

    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(a)

        def __reduce__(self):
            raise TypeError("no")

    @op
    def killed() -> int:
        os.kill(os.getpid(), signal.SIGKILL)

    @op
    def leaves() -> int:
        until = perf_counter() + 0.05
        while perf_counter() < until:
            pass
        os._exit(7)

    @op
    def raises() -> int:
        raise Odd("odd", 2)

    @op(retry_policy=RetryPolicy(max_retries=2))
    def dies_once(context) -> int:
        if context.retry_number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return context.retry_number

    @op
    def fine() -> int:
        return 5

    @op
    def below(x: int) -> int:
        return x

    @job
    def deaths():
        below(killed())
        leaves()
        raises()
        dies_once()
        fine()
"""


def test_a_worker_that_dies_fails_its_step_not_the_run(workspace) -> None:
    workspace.write("pipeline.py", DEATHS)

    found = workspace.run(max_concurrent=2)

    assert found.outcomes == {
        "killed": "failure",
        "below": "blocked",
        "leaves": "failure",
        "raises": "failure",
        "dies_once": "success",
        "fine": "success",
    }
    assert "killed by SIGKILL" in found.errors["killed"]
    assert "ended with exit code 7" in found.errors["leaves"]
    assert found.errors["raises"] == "odd"

    from memo import Home

    with Home(workspace.home) as home:
        events = home.catalog.events(found.run_id, step_key="leaves")
    assert [event.data["seconds"] >= 0.05 for event in events if event.kind == "STEP_FAILURE"] == [True]
    assert sorted(workspace.run(max_concurrent=2).ran) == []


def test_values_in_memory_are_refused(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import job, mem_io_manager, op

        @op
        def one() -> int:
            return 1

        @job(resource_defs={"io_manager": mem_io_manager})
        def in_memory():
            one()
        """,
    )

    found = workspace.python(
        "-c",
        "from memo import execute_job; from pipeline import in_memory; execute_job(in_memory, max_concurrent=2)",
        check=False,
    )

    assert "is kept in memory by 'io_manager', where other processes cannot read it" in found.stderr


def test_code_edited_after_the_plan_is_not_run_under_the_old_version(workspace) -> None:
    """The worker imports the file again; what it finds there must be what was planned."""
    workspace.write(
        "pipeline.py",
        """
        import os
        from pathlib import Path
        from memo import job, op

        if "MEMO_WORKER" in os.environ:
            VALUE = 2
        else:
            VALUE = 1

        @op
        def reads() -> int:
            return VALUE

        @op
        def other() -> int:
            return 0

        @job
        def changed():
            reads()
            other()
        """,
    )

    found = workspace.run(max_concurrent=2)

    assert found.outcomes == {"reads": "failure", "other": "success"}
    assert "is not what it was when the run was planned" in found.errors["reads"]


def test_a_job_that_no_process_can_find_is_refused(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import execute_job, job, op

        @op
        def one() -> int:
            return 1

        def make():
            @job
            def hidden():
                one()
            return hidden

        execute_job(make(), max_concurrent=2)
        """,
    )

    found = workspace.python("pipeline.py", check=False)

    assert "cannot be found by another process: assign it to a name at the top level of a file" in found.stderr


def test_a_script_that_runs_its_own_job(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import execute_job, job, op

        class Point:
            def __init__(self, x):
                self.x = x

        @op
        def make():
            return Point(3)

        @op
        def use(p) -> int:
            return p.x

        @job
        def points():
            use(make())

        if __name__ == "__main__":
            first = execute_job(points, op_selection=["make"])
            second = execute_job(points, max_concurrent=2)
            print(second.success, second.executed, second.output_for_node("use"))
        """,
    )

    found = workspace.python("pipeline.py")

    assert found.stdout == "True ['use'] 3\n"


def test_a_script_that_runs_its_job_when_it_is_imported_is_told(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import execute_job, job, op

        @op
        def one() -> int:
            return 1

        @job
        def unguarded():
            one()

        result = execute_job(unguarded, max_concurrent=2)
        print(next(iter(result.errors.values())).message)
        """,
    )

    found = workspace.python("pipeline.py")

    assert 'put that under `if __name__ == "__main__":`' in found.stdout


def test_whatever_an_op_raises_or_breaks_fails_its_step_alone(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import asyncio, sys
        from memo import job, op

        class Mute(Exception):
            def __str__(self):
                raise TypeError("no words")

        @op
        def cancels() -> int:
            raise asyncio.CancelledError("gone")

        @op
        def mute() -> int:
            raise Mute

        @op
        def closes() -> int:
            sys.stdout.close()
            sys.stderr = None
            return 1

        @op
        def talks(context) -> int:
            context.log_event(5)
            return 2

        @job
        def breaking():
            cancels()
            mute()
            closes()
            talks()
        """,
    )

    found = workspace.run(max_concurrent=2)

    assert found.outcomes == {"cancels": "failure", "mute": "failure", "closes": "success", "talks": "success"}
    assert found.errors["cancels"] == "gone"
    assert "cannot say what it is" in found.errors["mute"]


def test_names_of_any_length_are_kept(workspace) -> None:
    name = "n" * 180
    workspace.write(
        "pipeline.py",
        f"""
        from memo import graph, job, op

        @op(name="{name}")
        def inner() -> int:
            print("here")
            return 1

        @graph(name="{name}")
        def outer():
            inner()

        @job
        def long():
            outer()
        """,
    )

    assert workspace.run(max_concurrent=2).success
    assert "here" in workspace.memo("logs", "last").stdout
