"""Tables of results, as Markdown and HTML; those between markers in README and docs are written from here."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.budget import judged
from benchmarks.figures import Figure, bytes_, growth, medians, seconds, sizes, times
from benchmarks.systems import SYSTEMS
from benchmarks.workloads.edits import EDITS, verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.results import Results

_MARKED = re.compile(r"(<!-- bench:([\w-]+) -->)(.*?)(<!-- /bench -->)", re.DOTALL)


class Table(Struct, frozen=True):
    """One table.

    Attributes:
        head: The names of the columns.
        rows: The cells, as text.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_markdown(self) -> str:
        """As Markdown."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)

    def as_html(self) -> str:
        """As HTML."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        rows = "".join(
            "<tr>" + "".join(f'<td class="{_kind(cell)}">{escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _kind(cell: str) -> str:
    return cell if cell in {"stale", "spurious", "right"} else ""


def shown(value: Figure | None, show: Callable[[float], str] = seconds) -> str:
    """A figure, or in words why there is none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else show(value)


def null(results: Results) -> Table:
    """Null runs by system and steps, with what memo's are of each at the size where most were measured."""
    return _by_size(results, "null")


def headline(results: Results) -> Table:
    """What the README shows: null and cold runs, and edits."""
    count = max((each for each in sizes(results, "runs", "null", "layered") if each <= 1_000), default=0)
    took = {phase: medians(results, "runs", phase, shape="layered", size=count) for phase in ("null", "cold")}
    told = edits(results)
    totals = dict(zip(told.head[2:], told.rows[-1][2:], strict=True)) if told.rows else {}
    rows = [
        (system, shown(took["null"][system]), shown(took["cold"].get(system)), totals.get(system, ""))
        for system in SYSTEMS
        if system in took["null"] and system not in {"floor", "memo, few ops"}
    ]
    return Table(
        ("", f"{count:,} steps, nothing to do", "everything to do", f"{len(EDITS)} edits of code"), tuple(rows)
    )


def budget(results: Results) -> Table:
    """The budget, and whether it is met."""
    return Table(("goal", "must", "stretch", "measured", ""), tuple(judged(results)))


def cold(results: Results) -> Table:
    """Cold runs by system and steps."""
    return _by_size(results, "cold")


def _by_size(results: Results, phase: str) -> Table:
    counts = sizes(results, "runs", phase, "layered")
    columns = {count: medians(results, "runs", phase, shape="layered", size=count) for count in counts}
    memory = {count: medians(results, "runs", phase, shape="layered", size=count, of="memory") for count in counts}
    compared = 1_000 if 1_000 in counts else max(counts, default=0)
    rows = []
    for system in _systems(columns):
        cells = [shown(columns[count].get(system)) for count in counts]
        ours, theirs = columns.get(compared, {}).get("memo"), columns.get(compared, {}).get(system)
        ratio = times(theirs / ours) if isinstance(ours, float) and isinstance(theirs, float) else ""
        rows.append((system, *cells, ratio, shown(memory.get(compared, {}).get(system), bytes_)))
    head = ("system", *(f"{count:,} steps" for count in counts), f"to memo at {compared:,}", f"memory at {compared:,}")
    return Table(head, tuple(rows))


def _systems(columns: dict[int, dict[str, Figure]]) -> list[str]:
    found = {system for column in columns.values() for system in column}
    return [system for system in SYSTEMS if system in found]


def changes(results: Results) -> Table:
    """What runs again after a change, and what that costs."""
    count = max((each for each in sizes(results, "runs", "leaf", "layered") if each <= 1_000), default=0)
    phases = ("leaf", "leaf back", "middle", "middle back", "equal")
    head = (
        "system",
        "a leaf changed",
        "changed back",
        "a middle step changed",
        "changed back",
        "changed to an equal value",
    )
    took = {phase: medians(results, "runs", phase, shape="layered", size=count) for phase in phases}
    ran = {phase: medians(results, "runs", phase, shape="layered", size=count, of="ran") for phase in phases}
    rows = []
    for system in SYSTEMS:
        cells = []
        for phase in phases:
            steps, cpu = ran[phase].get(system), took[phase].get(system)
            told = f"{int(steps)} steps, {shown(cpu)}" if isinstance(steps, float) else shown(cpu)
            cells.append(told.replace("1 steps", "1 step") if told.startswith("1 ") else told)
        if any(cells):
            rows.append((system, *cells))
    return Table(head, tuple(rows))


def in_process(results: Results) -> Table:
    """What a step costs in a process that is warm."""
    rows = []
    for count in sizes(results, "in process", "plan", "layered"):
        found = {
            phase: medians(results, "in process", phase, shape="layered", size=count)
            for phase in ("plan", "null", "cold")
        }
        for system, plan in found["plan"].items():
            cells = (plan, found["null"].get(system), found["cold"].get(system))
            rows.append(
                (system, f"{count:,}", *(shown(each / count if isinstance(each, float) else each) for each in cells))
            )
    return Table(("CPU a step", "steps", "to plan", "to reuse, planning included", "to run and store"), tuple(rows))


def shapes(results: Results) -> Table:
    """Null runs of the other shapes of graphs."""
    cells = [(shape, count) for shape in ("chain", "fan") for count in sizes(results, "runs", "null", shape)]
    columns = {cell: medians(results, "runs", "null", shape=cell[0], size=cell[1]) for cell in cells}
    rows = [
        (system, *(shown(columns[cell].get(system)) for cell in cells))
        for system in SYSTEMS
        if any(system in columns[cell] for cell in cells)
    ]
    return Table(("system", *(f"{shape} of {count:,}" for shape, count in cells)), tuple(rows))


def disk(results: Results) -> Table:
    """Bytes and files after a cold run."""
    count = max((each for each in sizes(results, "runs", "cold", "layered") if each <= 1_000), default=0)
    held = medians(results, "runs", "cold", shape="layered", size=count, of="disk")
    files = medians(results, "runs", "cold", shape="layered", size=count, of="files")
    rows = [
        (system, shown(held[system], bytes_), shown(files.get(system), lambda value: f"{value:,.0f}"))
        for system in SYSTEMS
        if system in held
    ]
    return Table(("system", f"on disk after {count:,} steps, the pipeline's files included", "files"), tuple(rows))


def large_values(results: Results) -> Table:
    """Storing and loading a large frame."""
    size = max(sizes(results, "large values", "load"), default=0)
    store = medians(results, "large values", "store", size=size)
    load = medians(results, "large values", "load", size=size)
    new = medians(results, "large values", "load", size=size, of="memory")
    held = medians(results, "large values", "store", size=size, of="disk")
    rows = [
        (way, shown(store.get(way)), shown(load.get(way)), shown(new.get(way), bytes_), shown(held.get(way), bytes_))
        for way in store
    ]
    return Table(("way", f"store {bytes_(size)}", "load, touch a row", "new memory", "on disk"), tuple(rows))


def mapped(results: Results) -> str:
    """How fast a large value of memo's is ready, as the beginning of a sentence."""
    size = max(sizes(results, "large values", "load"), default=0)
    took = medians(results, "large values", "load", size=size).get("memo")
    return f"{bytes_(size)} are ready in {shown(took)}" if isinstance(took, float) else "large ones are ready at once"


def start_up(results: Results) -> Table:
    """Starting."""
    cpu = medians(results, "start-up", "start")
    memory = medians(results, "start-up", "start", of="memory")
    bare = cpu.get("python -c pass")
    rows = []
    for name, value in cpu.items():
        more = f"+{shown(max(0.0, value - bare))}" if isinstance(value, float) and isinstance(bare, float) else ""
        rows.append((name, shown(value), more, shown(memory.get(name), bytes_)))
    return Table(("process", "CPU", "over bare Python", "memory"), tuple(rows))


def hashing(results: Results) -> Table:
    """Hashing in memory."""
    size = max(sizes(results, "hashing", "hash"), default=0)
    cpu = medians(results, "hashing", "hash", size=size)
    rows = [
        (way, shown(value), f"{size / value / 1e9:.1f} GB/s" if isinstance(value, float) and value else "")
        for way, value in cpu.items()
    ]
    return Table((f"{size >> 20} MiB", "CPU", "rate"), tuple(rows))


def source_versions(results: Results) -> Table:
    """Versions of ops from their code."""
    size = max(sizes(results, "source versions", "cold"), default=0)
    phases = ("cold", "warm", "getsource cold", "getsource warm", "dis")
    found = {phase: medians(results, "source versions", phase, size=size).get("memo") for phase in phases if size}
    rows = [
        (name, shown(found[phase]), shown(value / size) if isinstance(value := found[phase], float) else "")
        for phase, name in (
            ("cold", "source versions, first in a process"),
            ("warm", "source versions, again"),
            ("getsource cold", "inspect.getsource + sha1 of the ops alone"),
            ("dis", "disassembling all the code reached"),
        )
        if phase in found
    ]
    return Table((f"{size:,} ops with three to four helpers each", "CPU", "an op"), tuple(rows))


def edits(results: Results) -> Table:
    """Edits by system: stale, spurious or right."""
    rows = results.query(
        "SELECT system, phase, ran, expected, problem FROM results WHERE workload = 'edits' ORDER BY rowid"
    )
    if not rows:
        return Table(("edit", "so it"), ())
    systems = list(dict.fromkeys(row[0] for row in rows))
    found = {(row[0], row[1]): row for row in rows}

    def cell(system: str, edit: str) -> str:
        row = found.get((system, edit))
        if row is None:
            return ""
        return row[4] or verdict(ran=bool(row[2]), changes=bool(row[3]))

    body = []
    for edit in EDITS:
        cells = [cell(system, edit.name) for system in systems]
        known = [found[key][3] for key in found if key[1] == edit.name and found[key][3] is not None]
        body.append((edit.name, ("must run" if any(known) else "need not") if known else "", *cells))
    totals = []
    for place, system in enumerate(systems):
        column = [row[place + 2] for row in body]
        counts = [f"{column.count(kind)} {kind}" for kind in ("right", "stale", "spurious") if column.count(kind)]
        totals.append(", ".join(counts) or found[system, EDITS[0].name][4])
    return Table(("edit", "so it", *systems), (*body, ("all", "", *totals)))


def grown(results: Results) -> Table:
    """What grows, and what that does to memo."""
    phases = results.query("SELECT phase FROM results WHERE workload = 'growth' GROUP BY phase ORDER BY min(rowid)")
    rows = []
    for (phase,) in phases:
        points = growth(results, "growth", phase).get("memo", [])
        show = bytes_ if "bytes" in phase else lambda value: f"{value:,.0f}"
        rows.append((phase, "; ".join(f"{show(size)}: {seconds(value)}" for size, value in points)))
    steps = growth(results, "runs", "null", "layered")
    for system in ("memo", "memo, few ops"):
        if points := steps.get(system, []):
            told = "; ".join(f"{size:,.0f}: {seconds(value)}" for size, value in points)
            rows.append((f"null run, by steps ({system})", told))
    return Table(("what grows", "CPU"), tuple(rows))


def one_home(results: Results) -> Table:
    """Eight processes on one home."""
    rows = results.query(
        "SELECT phase, size, ran, expected, cpu, wall, problem FROM results WHERE workload = 'one home' ORDER BY rowid"
    )
    return Table(
        ("processes", "steps of a job", "bodies that ran", "needed", "CPU of all", "wall"),
        tuple(
            (phase, f"{size}", f"{ran}", f"{expected}", problem or seconds(cpu), "" if problem else seconds(wall))
            for phase, size, ran, expected, cpu, wall, problem in rows
        ),
    )


def object_store(results: Results) -> Table:
    """An object store of 20 ms a request."""
    rows = results.query(
        "SELECT phase, size, files, cpu, wall, problem FROM results WHERE workload = 'object store' ORDER BY rowid"
    )
    return Table(
        ("run", "steps", "requests", "CPU", "wall"),
        tuple(
            (phase, f"{size}", "" if problem else f"{files}", problem or seconds(cpu), "" if problem else seconds(wall))
            for phase, size, files, cpu, wall, problem in rows
        ),
    )


def machine(results: Results) -> str:
    """Where figures are from, in a paragraph."""
    about = results.about.get("machine", {})
    versions = results.about.get("versions", {})
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    extent = "a full session" if results.about.get("full") else "a quick session"
    load = f"load {about.get('load')} at the beginning and {results.about.get('load_at_end')} at the end"
    return (
        f"{extent} on {about.get('processor')}, {about.get('cores')} cores, {about.get('memory_gib')} GiB, "
        f"{about.get('system')}, {about.get('python')}; {about.get('when')}, {load}; "
        f"pipelines and stores {results.about.get('place')}. {names}."
    )


TABLES: dict[str, Callable[[Results], Table | str]] = {
    "headline": headline,
    "budget": budget,
    "machine": machine,
    "null": null,
    "cold": cold,
    "changes": changes,
    "edits": edits,
    "large-values": large_values,
    "mapped": mapped,
    "start-up": start_up,
    "shapes": shapes,
    "disk": disk,
    "in-process": in_process,
    "growth": grown,
    "one-home": one_home,
    "object-store": object_store,
    "source-versions": source_versions,
    "hashing": hashing,
}


def as_text(results: Results) -> str:
    """What a session ends with: the tables of all that was measured, and the budget."""
    found = {name: write(results) for name, write in TABLES.items() if name not in {"headline", "budget"}}
    shown = {**found, "budget": budget(results)}
    return "\n".join(
        f"## {name}\n\n{table.as_markdown()}\n"
        for name, table in shown.items()
        if isinstance(table, Table) and table.rows
    )


def filled(text: str, results: Results) -> str:
    """A page with what stands between its markers written from results.

    Raises:
        KeyError: A marker names no table.
    """

    def write(match: re.Match[str]) -> str:
        found = TABLES[match[2]](results)
        if isinstance(found, Table):
            return f"{match[1]}\n{found.as_markdown()}\n{match[4]}"
        space = "\n" if match[3].startswith("\n") else ""
        return f"{match[1]}{space}{found}{space}{match[4]}"

    return _MARKED.sub(write, text)


def publish(results: Results, root: Path) -> list[Path]:
    """Write README and docs from results; gives the pages that have markers."""
    found = []
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        if _MARKED.search(text):
            path.write_text(filled(text, results), encoding="utf-8")
            found.append(path)
    return found
