"""`memo lint`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options, target_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.project.linting import Finding, LintReport


@click.command
@target_argument
@config_options
@click.option("--strict", is_flag=True, help="Exit with 1 if there is anything to report.")
@common_options
@guarded
def lint(
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    strict: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Report what steps read that their versions do not cover, with the line and the remedy.

    That is what they were seen to read in past runs - files, environment variables, the network, programs - and where
    the code could not be followed. Nothing runs. What is covered by a source, wired or named in depends_on, is not
    reported; nor are ops that declare version=, whose author vouches for them.
    """
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json, tell
    from memo.project.home import find_home
    from memo.project.linting import lint_job

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)
    opened = find_home(home)
    try:
        with kept_for_result():
            found, _ = load_job(target, job)
            report = lint_job(found, run_config=run_config, tags=found_tags, instance=opened)
    finally:
        opened.close()
    if as_json:
        out_json(_json(report))
    else:
        for line in _lines(report):
            out(line)
        for note in _notes(report):
            tell(note)
    return 1 if strict and not report.is_clean else 0


def _lines(report: LintReport) -> Iterator[str]:
    from memo.cli.text import many

    for (owner, location), found in groupby(report.findings, key=lambda each: (each.owner, each.location)):
        yield f"{owner} ({location})" if location else owner
        for (message, remedy), lines in groupby(_together(list(found)), key=lambda each: (each.message, each.remedy)):
            places = ", ".join(dict.fromkeys(each.where for each in lines if each.where))
            yield f"  {places}: {message}" if places else f"  {message}"
            yield f"    {remedy}"
    if report.is_clean:
        yield f"{report.job_name}: nothing to report"
    else:
        yield f"{report.job_name}: {many(len(report.findings), 'finding')}"


def _together(found: list[Finding]) -> list[Finding]:
    """Put what is said of several lines together, where the first of them stands."""
    first: dict[tuple[str, str], int] = {}
    for number, each in enumerate(found):
        first.setdefault((each.message, each.remedy), number)
    return sorted(found, key=lambda each: first[each.message, each.remedy])


def _notes(report: LintReport) -> Iterator[str]:
    for op in report.unwatched:
        yield f"note: op {op!r} starts worker processes: what is read in them is not known"
    if report.never_run:
        named = ", ".join(report.never_run[:_MOST_NAMED])
        more = len(report.never_run) - _MOST_NAMED
        verb, who = ("has", "it reads") if len(report.never_run) == 1 else ("have", "they read")
        yield (
            f"note: {named}{f' and {more:,} more' if more > 0 else ''} {verb} never run to the end as now: nothing is "
            f"known of what {who} at run time"
        )


_MOST_NAMED = 10


def _json(report: LintReport) -> dict[str, Any]:
    return {
        "job": report.job_name,
        "clean": report.is_clean,
        "findings": report.findings,
        "never_run": report.never_run,
        "unwatched": report.unwatched,
    }
