"""`memo bench`."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import click

from memo.cli.completing import complete_step
from memo.cli.failures import guarded
from memo.cli.options import (
    concurrency_option,
    config_options,
    debug_option,
    json_option,
    select_option,
    target_argument,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from memo.definition.job import JobDefinition
    from memo.project.bench_figures import Bench
    from memo.project.benching import Surroundings


@click.command()
@target_argument
@config_options
@select_option
@concurrency_option
@click.option(
    "-n",
    "--repeat",
    metavar="N",
    type=click.IntRange(min=3),
    default=3,
    help="Run so many times with nothing to do, at least 3; the median counts.",
)
@click.option(
    "--cold", metavar="N", type=click.IntRange(min=1), default=1, help="Run so many times with nothing stored."
)
@click.option(
    "--change",
    metavar="STEP",
    shell_complete=complete_step,
    help="The step whose op counts as edited; the one in the middle of the job where left out.",
)
@click.option(
    "--scratch",
    metavar="FOLDER",
    type=click.Path(),
    help="Work in this folder, which must be empty, and leave the home and a trace of each kind of run there.",
)
@click.option(
    "--as-configured",
    is_flag=True,
    help="Let IO managers store outside of the scratch folder, where they are configured to; it stays there.",
)
@json_option
@debug_option
@guarded
def bench(
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    max_concurrent: int | None,
    repeat: int,
    cold: int,
    change: str | None,
    scratch: str | None,
    as_configured: bool,
    as_json: bool,
) -> int:
    """Measure a job: cold, with nothing to do, after an edit; what reuse saves, and where the time goes.

    Each run is a process of its own, as `memo run` is, in a home of its own below a scratch folder, which is removed in
    the end. The ops run for real: what they write elsewhere, they write. Outputs are stored in the scratch home only.

    \b
    cold  nothing is stored: all steps run
    null  nothing has changed
    edit  the op of one step counts as edited, what it does stays
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.cli.bench_result import bench_json, bench_lines
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json, tell
    from memo.project.bench_runs import BenchFailedError
    from memo.project.benching import bench as measure
    from memo.project.benching import scratch_folder, surroundings
    from memo.project.home import find_home
    from memo.project.measuring import Start

    run_config, found_tags = read_run_config(config_files, assignments), read_tags(tags)
    start, home = Start.here(), find_home()
    with _stopped_by_signals(), kept_for_result():
        found, reference = load_job(target, job)
        with scratch_folder(scratch, start, home) as folder, _undisturbed_at_the_end():
            around = surroundings(
                found, folder, start, run_config=run_config, selection=select, as_configured=as_configured
            )
            for line in _around_lines(found, folder, around, kept=scratch is not None, as_configured=as_configured):
                tell(line)
            progress = _Progress(len(found.steps))
            made: Bench | BenchFailedError
            try:
                made = measure(
                    found,
                    reference,
                    folder,
                    _options(config_files, assignments, tags, select, max_concurrent),
                    start=start,
                    run_config=run_config,
                    tags=found_tags,
                    selection=select,
                    repeats=repeat,
                    colds=cold,
                    change=change,
                    as_configured=as_configured,
                    tell=progress.begin,
                    listen=progress.listen,
                )
            except BenchFailedError as failed:
                made = failed
            finally:
                progress.end()
            if scratch is not None and not isinstance(made, BenchFailedError):
                tell(f"kept: {folder}, with a trace of each kind of run: cold.json, null.json, edit.json")
    if isinstance(made, BenchFailedError):
        told = _failed_lines(made.told)
        for line in told:
            tell(line)
        tell(f"the {made.stage} run {_how_ended(made.exit_code)}, and nothing more is measured", "red")
        if as_json:
            out_json({"job": found.name, "failed": {"run": made.stage, "exit_code": made.exit_code, "told": told}})
        return made.exit_code if made.exit_code in {1, 2, 130} else 1
    if as_json:
        out_json(bench_json(made))
        return 0
    for line in bench_lines(made):
        out(line)
    return 0


def _options(
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    max_concurrent: int | None,
) -> list[str]:
    """The same wishes, for `memo run`."""
    found = [f"--config={each}" for each in config_files]
    found += [f"--set={each}" for each in assignments]
    found += [f"--tag={each}" for each in tags]
    found += [f"--select={select}"] if select is not None else []
    return [*found, f"--max-concurrent={max_concurrent}"] if max_concurrent is not None else found


def _around_lines(
    job: JobDefinition, folder: Path, around: Surroundings, *, kept: bool, as_configured: bool
) -> list[str]:
    """Say where things are going to be stored."""
    home = folder / "home"
    lines = [f"measuring {job.name} in a home of its own, {home}{'' if kept else ', which is removed in the end'}"]
    keys = [*around.moved, *around.outside]
    if as_configured and keys:
        named = ", ".join(map(repr, keys))
        lines.append(f"{named}: stores where it is configured to, outside of that home; what it stores stays there")
    elif around.moved:
        named = ", ".join(map(repr, around.moved))
        lines.append(f"{named}: stores in that home too, and not where it is configured to (--as-configured does)")
    if around.remote is not None:
        lines.append(f"[storage] remote is left out: nothing is taken from {around.remote}, or put there")
    return lines


def _failed_lines(told: Sequence[str]) -> list[str]:
    """What a failed run told of its failure, without what it says to type next."""
    begin = next((number for number, line in enumerate(told) if line.startswith(("failed:", "error:"))), 0)
    left_out = ("  what it printed:", "  to go on:", "profile: ", "interrupted: ")
    return [line for line in told[begin:] if not line.startswith(left_out)]


def _how_ended(exit_code: int) -> str:
    if exit_code < 0:
        return f"was ended by signal {-exit_code} ({signal.strsignal(-exit_code)})"
    known = {1: "failed", 2: "failed", 130: "was interrupted"}
    return known.get(exit_code, f"ended itself with exit code {exit_code}")


class _Progress:
    """Tells what is being done; on a terminal how far a run is, on one line that changes."""

    def __init__(self, steps: int) -> None:
        self.stream = sys.stderr
        self._steps = steps
        self._ended = 0
        self._is_shown = False
        self._is_live = self.stream.isatty()

    def begin(self, text: str) -> None:
        """Begin a kind of run."""
        from memo.cli.text import tell

        self.end()
        self._ended = 0
        tell(text)

    def listen(self, stage: str, line: str) -> None:
        """Take a line that a run told."""
        if not self._is_live or ": ran in " not in line:
            return
        self._ended += 1
        key = line.partition(": ran in ")[0]
        # Where the terminal is gone, the run is to be listened to all the same: it waits for who does not listen.
        with suppress(OSError):
            self.stream.write(f"\r\x1b[K{stage}: {self._ended:,} of {self._steps:,} steps, the last was {key}"[:100])
            self.stream.flush()
        self._is_shown = True

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            with suppress(OSError):
                self.stream.write("\r\x1b[K")
                self.stream.flush()
            self._is_shown = False


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _stopped_by_signals() -> Generator[None]:
    """Let the signals by which systems stop a program end what is measured too, and remove the scratch folder."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    # What was started with nohup goes on when its terminal is closed.
    heard = [each for each in _SIGNALS if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed_at_the_end() -> Generator[None]:
    """When a block is over, hear no more signals: what it leaves is removed then, which takes no long time."""
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
