"""`memo graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options, target_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.definition.job import JobDefinition


@click.command()
@target_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot"]),
    default="text",
    show_default=True,
    help="Text to read; Mermaid or DOT to draw.",
)
@common_options
@guarded
def graph(target: str, job: str | None, form: str, home: str | None, as_json: bool) -> int:  # noqa: ARG001 - every command takes --home
    """Draw a job's steps, as text, Mermaid or DOT.

    \b
      memo graph flights.py
      memo graph flights.py --format dot | dot -Tsvg > flights.svg
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json

    with kept_for_result():
        found, _ = load_job(target, job)
    if as_json:
        out_json(_json(found))
        return 0
    draw = {"text": _text, "mermaid": _mermaid, "dot": _dot}[form]
    for line in draw(found):
        out(line)
    return 0


def _edges(job: JobDefinition) -> Iterator[tuple[str, str, str, bool]]:
    """Each (from step, to step, what goes along it, whether it only orders), once."""
    seen: dict[tuple[str, str, str, bool], None] = {}
    for key, step in job.steps.items():
        for source in step.upstream():
            out = job.steps[source.step].op.outs[source.output]
            label = "" if source.output == "result" or len(job.steps[source.step].op.outs) == 1 else source.output
            seen[source.step, key, label, out.is_nothing] = None
    yield from seen


def _text(job: JobDefinition) -> Iterator[str]:
    from memo.cli.text import many

    yield f"job {job.name}: {many(len(job.steps), 'step')}"
    reads: dict[str, list[str]] = {key: [] for key in job.steps}
    for start, end, label, orders in _edges(job):
        shown = f"{start}.{label}" if label else start
        reads[end].append(f"({shown})" if orders else shown)
    width = max((len(key) for key, above in reads.items() if above), default=0)
    for key, above in reads.items():
        yield f"  {key.ljust(width)}  <- {', '.join(above)}" if above else f"  {key}"


class _Folder:
    """The steps and graphs that stand directly in one graph."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.graphs: dict[str, _Folder] = {}


def _nested(job: JobDefinition) -> _Folder:
    root = _Folder()
    for key in job.steps:
        here = root
        for name in key.split(".")[:-1]:
            here = here.graphs.setdefault(name, _Folder())
        here.steps.append(key)
    return root


def _id(key: str) -> str:
    # A prefix, since a step may be called `end` or `graph`, which Mermaid and DOT keep for themselves.
    return "step_" + key.replace(".", "__")


def _mermaid(job: JobDefinition) -> Iterator[str]:
    def inside(folder: _Folder, prefix: str, indent: str) -> Iterator[str]:
        for key in folder.steps:
            yield f'{indent}{_id(key)}["{key.rpartition(".")[2]}"]'
        for name, inner in folder.graphs.items():
            yield f'{indent}subgraph {_id(prefix + name)}_graph ["{name}"]'
            yield from inside(inner, f"{prefix}{name}.", indent + "    ")
            yield f"{indent}end"

    yield "flowchart TD"
    yield from inside(_nested(job), "", "    ")
    for start, end, label, orders in _edges(job):
        arrow = "-.->" if orders else "-->"
        yield f"    {_id(start)} {arrow}{f'|{label}|' if label else ''} {_id(end)}"


def _dot(job: JobDefinition) -> Iterator[str]:
    def inside(folder: _Folder, prefix: str, indent: str) -> Iterator[str]:
        for key in folder.steps:
            yield f'{indent}"{key}" [label="{key.rpartition(".")[2]}"];'
        for name, inner in folder.graphs.items():
            yield f'{indent}subgraph "cluster_{prefix}{name}" {{'
            yield f'{indent}    label="{name}";'
            yield from inside(inner, f"{prefix}{name}.", indent + "    ")
            yield f"{indent}}}"

    yield f'digraph "{job.name}" {{'
    yield "    node [shape=box];"
    yield from inside(_nested(job), "", "    ")
    for start, end, label, orders in _edges(job):
        settings = [f'label="{label}"'] * bool(label) + ["style=dashed"] * orders
        yield f'    "{start}" -> "{end}"{" [" + ", ".join(settings) + "]" if settings else ""};'
    yield "}"


def _json(job: JobDefinition) -> dict[str, Any]:
    return {
        "job": job.name,
        "steps": [
            {
                "step": key,
                "op": step.op.name,
                "location": step.op.location,
                "inputs": [{"step": source.step, "output": source.output} for source in step.upstream()],
                "outputs": list(step.op.outs),
            }
            for key, step in job.steps.items()
        ],
    }
