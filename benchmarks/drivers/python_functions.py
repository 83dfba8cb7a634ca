"""Text of pipelines that have one function a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.graphs import Change, Graph

WIDE = 200
"""More inputs than this are one list."""


def functions(graph: Graph, change: Change, head: str, *, counts: bool) -> str:
    """One function a step, with a body of its own, under a decorator."""
    lines: list[str] = []
    for step, parents in enumerate(graph.parents):
        if len(parents) > WIDE:
            names, operands = ["values"], ["sum(values)"]
        else:
            names = operands = [f"a{place}" for place in range(len(parents))]
        lines += [head, f"def s{step}({', '.join(names)}):"]
        lines += ["    count()"] if counts else []
        lines.append(f"    return {change.expression(step, operands)}")
    return "\n".join(lines) + "\n"


def calls(graph: Graph, indent: str = "    ") -> str:
    """The wiring: a call a step."""
    lines = []
    for step, parents in enumerate(graph.parents):
        values = ", ".join(f"v{parent}" for parent in parents)
        lines.append(f"{indent}v{step} = s{step}({f'[{values}]' if len(parents) > WIDE else values})")
    return "\n".join(lines) + "\n"
