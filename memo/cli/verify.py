"""`memo verify`: of bytes, and of values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options, select_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.contracts.inventory import StoredOutput
    from memo.project.checking import Check
    from memo.project.home import Home
    from memo.project.verifying import StepVerification, Verification

_STYLES = {
    "SAME": "green",
    "DIFFERS": "red",
    "FAILED": "red",
    "NOT_COMPARABLE": "yellow",
    "NOT_STORED": "dim",
    "NO_VALUE": "dim",
}

_OF_RERUN = {
    "job": "--job",
    "config_files": "--config",
    "assignments": "--set",
    "tags": "--tag",
    "select": "--select",
    "sample": "--sample",
    "seed": "--seed",
}
"""The options that mean something for the steps of a job only."""

_BETWEEN_WORDS = 100
"""Outputs that are read between two words about it."""


def _share(ctx: click.Context, parameter: click.Parameter, given: str) -> float:
    """Read a percentage as the share that it is."""
    try:
        share = float(given.removesuffix("%")) / 100 if given.endswith("%") else 0.0
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        raise click.BadParameter(
            f"{given!r} is no share of the steps; write a percentage above 0% and up to 100%", ctx, parameter
        )
    return share


@click.command()
@click.argument("target", metavar="[TARGET]", type=click.Path(), required=False)
@click.option("--job", metavar="NAME", help="The job, where TARGET defines several.")
@config_options
@select_option
@click.option("--rerun", is_flag=True, help="Run stored steps of TARGET again and compare.")
@click.option(
    "--sample",
    metavar="PERCENT",
    default="100%",
    callback=_share,
    help="Run only this share of them, as --sample 10%; at least one.",
)
@click.option("--seed", type=int, metavar="N", help="Draw the same sample again; each is told with its seed.")
@click.option("--no-quarantine", is_flag=True, help="Leave what is damaged where it is.")
@common_options
@click.pass_context
@guarded
def verify(
    ctx: click.Context,
    target: str | None,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    rerun: bool,
    sample: float,
    seed: int | None,
    no_quarantine: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Read every stored byte for damage; or run stored steps again, and compare their values.

    Without TARGET, the bytes of everything that the home has stored are compared with the digests they were stored
    with. What is damaged is moved into quarantine/ in the storage, with its manifest: it counts as not stored, and is
    made again when it is needed. What is not signed with the key that there is, or cannot be read, is told and left.
    Exit code 1 where there is any of that.

    With TARGET and --rerun, each stored step of the job runs with its stored inputs, and what it gives is compared
    with what is stored, which stays as it is. What differs hangs on more than code, config and inputs: on random
    numbers, the clock, a file or a variable that the version of the step does not cover. Outputs that were adopted are
    marked as verified where the step gives the same. Exit code 1 where a step gives something else or fails.

    \b
      memo verify
      memo verify flights.py --rerun
      memo verify flights.py --rerun --select 'clean*' --sample 10% --seed 7
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.project.home import find_home

    if rerun and target is None:
        raise click.UsageError("--rerun runs the steps of a job again: name it, memo verify TARGET --rerun")
    if target is not None and not rerun:
        raise click.UsageError(
            "say how to verify: --rerun runs its stored steps again and compares; memo verify without a TARGET reads "
            "the bytes of all that is stored"
        )
    if rerun and no_quarantine:
        raise click.UsageError("--no-quarantine is for damaged bytes, which --rerun does not look for")
    with find_home(home) as opened:
        if target is not None:
            return _rerun(opened, target, job, config_files, assignments, tags, select, sample, seed, as_json)
        given = [name for name in _OF_RERUN if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            named = ", ".join(_OF_RERUN[name] for name in given)
            raise click.UsageError(f"{named} goes with a TARGET and --rerun")
        return _read_all(opened, as_json, quarantine=not no_quarantine)


def _rerun(
    opened: Home,
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    sample: float,
    seed: int | None,
    as_json: bool,
) -> int:
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json, tell
    from memo.project.verifying import verify_job

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)

    def on_step(step: StepVerification) -> None:
        if step.seconds is not None and sys.stderr.isatty():
            tell(f"ran {step.key}", "dim")

    with kept_for_result():
        found, _ = load_job(target, job)
        made = verify_job(
            found,
            run_config=run_config,
            tags=found_tags,
            op_selection=select,
            sample=sample,
            seed=seed,
            instance=opened,
            on_step=on_step,
        )
    if as_json:
        out_json(_json(made))
    else:
        for line in _lines(made):
            out(line)
    return 0 if made.success else 1


def _read_all(opened: Home, as_json: bool, *, quarantine: bool) -> int:
    from memo.cli.text import out, out_json, tell
    from memo.project.checking import check_storage

    def on_output(read: int, there: int, damaged: int) -> None:
        if read % _BETWEEN_WORDS == 0 or read == there:
            sys.stderr.write(f"\r{read:,} of {there:,} outputs read, {damaged:,} damaged")
            sys.stderr.write("\n" if read == there else "")
            sys.stderr.flush()

    shows = sys.stderr.isatty()
    found = check_storage(instance=opened, quarantine=quarantine, on_output=on_output if shows else None)
    if as_json:
        out_json(_check_json(found))
    else:
        for line in _check_lines(found):
            out(line)
    if found.elsewhere is None:
        tell("what is stored outside of the home's own files is not known: the catalog cannot be read", "yellow")
    return 0 if found.success else 1


def _check_lines(found: Check) -> Iterator[str]:
    from memo.cli.held import elsewhere_text
    from memo.cli.text import bytes_text, many, styled

    for each in found.damaged:
        yield f"{styled('DAMAGED', 'red', sys.stdout)}  {_who(each.output)}: {each.output.address} {each.what}"
        if each.moved_to is not None:
            yield f"         moved to {each.moved_to}"
        elif each.not_moved is not None:
            yield f"         left where it is: {each.not_moved}"
        else:
            yield "         left where it is"
    for unread in found.unread:
        yield f"{styled('UNREAD', 'yellow', sys.stdout)}   {_who(unread.output)}: {unread.reason}"
    for place in found.unreadable:
        yield f"{styled('UNREAD', 'yellow', sys.stdout)}   {place.place} could not be read: {place.reason}"
    for output in found.untrusted:
        yield f"{styled('UNSIGNED', 'yellow', sys.stdout)} {_who(output)}: {output.address} is not signed with this key"
    parts = [f"{len(found.damaged):,} damaged"] if found.damaged else []
    if found.unread or found.unreadable:
        parts.append(f"{len(found.unread) + len(found.unreadable):,} could not be read")
    if found.untrusted:
        parts.append(f"{many(len(found.untrusted), 'output')} not signed with this key and left as they are")
    moved = any(each.moved_to is not None for each in found.damaged)
    then = "; what is in quarantine is made again when it is needed" if moved else ""
    said = (", ".join(parts) + then) if parts else "all as they were stored"
    yield f"{many(found.outputs, 'output')} read, {bytes_text(found.size)}: {said}"
    for key, count in sorted((found.elsewhere or {}).items()):
        yield f"not looked at: {elsewhere_text(key, count)}"


def _who(output: StoredOutput) -> str:
    return f"output {output.name!r} of step {output.step_key!r}" if output.name else "an output"


def _check_json(found: Check) -> dict[str, Any]:
    from memo.cli.held import unreadable_json

    return {
        "success": found.success,
        "outputs": found.outputs,
        "bytes": found.size,
        "damaged": [
            {
                **_output_json(each.output),
                "what": each.what,
                "moved_to": each.moved_to,
                "not_moved": each.not_moved,
            }
            for each in found.damaged
        ],
        "not_signed": [_output_json(each) for each in found.untrusted],
        "unread": [{**_output_json(each.output), "reason": each.reason} for each in found.unread],
        "unreadable": unreadable_json(found.unreadable),
        "not_looked_at": found.elsewhere,
    }


def _output_json(output: StoredOutput) -> dict[str, Any]:
    return {
        "address": output.address,
        "job": output.provenance.job_name or None,
        "step": output.step_key or None,
        "output": output.name or None,
        "version": output.provenance.step_version,
        "place": output.place,
    }


def _lines(made: Verification) -> list[str]:
    from memo.cli.text import seconds_text, table

    shown = [step for step in made.steps.values() if step.outcome != "NOT_SAMPLED"]
    rows = [
        (
            step.outcome.replace("_", " "),
            step.key,
            seconds_text(step.seconds) if step.seconds is not None else "",
            _what(step),
        )
        for step in shown
    ]
    styles = [_STYLES[step.outcome] for step in shown]
    header, *lines = table(("OUTCOME", "STEP", "TOOK", "WHAT"), rows, styles=styles, right=(2,))
    found = [header]
    for step, line in zip(shown, lines, strict=True):
        found.append(line)
        found += [f"  {output}" for output in step.outputs]
    return [*found, f"{made.job_name}: {_summary(made)}"]


def _what(step: StepVerification) -> str:
    if step.outcome == "DIFFERS" and step.vouched:
        was, way_out = (
            ("adopted", "") if step.vouched == "adopted" else ("accepted as equal", ", or memo accept --revoke")
        )
        op = f"op {step.op_name!r} ({step.location})"
        return f"what was {was} is not what {op} gives: memo run --force {step.key}{way_out}"
    if step.outcome == "DIFFERS":
        return f"op {step.op_name!r} ({step.location}) is not deterministic"
    return step.detail


def _summary(made: Verification) -> str:
    from memo.cli.text import many

    count = dict.fromkeys(("NOT_SAMPLED", *_STYLES), 0)
    for step in made.steps.values():
        count[step.outcome] += 1
    ran = sum(count[each] for each in ("SAME", "DIFFERS", "FAILED", "NOT_COMPARABLE"))
    if not ran:
        return "no step is stored that could run again; `memo run` stores them"
    parts = [f"{many(ran, 'step')} ran again", f"{count['SAME']:,} gave the same"]
    words = {
        "DIFFERS": "gave something else",
        "FAILED": "failed",
        "NOT_COMPARABLE": "cannot be compared",
        "NOT_STORED": "not stored",
        "NO_VALUE": "without a value",
    }
    parts += [f"{count[outcome]:,} {text}" for outcome, text in words.items() if count[outcome]]
    if count["NOT_SAMPLED"]:
        parts.append(f"{count['NOT_SAMPLED']:,} not in the sample (--seed {made.seed} draws it again)")
    return ", ".join(parts)


def _json(made: Verification) -> dict[str, Any]:
    return {
        "job": made.job_name,
        "success": made.success,
        "sample": made.sample,
        "seed": made.seed,
        "nondeterministic_ops": [{"op": name, "location": place} for name, place in made.nondeterministic_ops],
        "steps": [
            {
                "step": step.key,
                "outcome": step.outcome.value,
                "op": step.op_name,
                "location": step.location,
                "detail": step.detail,
                "vouched": step.vouched or None,
                "seconds": step.seconds,
                "outputs": step.outputs,
            }
            for step in made.steps.values()
        ],
    }
