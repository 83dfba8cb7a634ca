"""Measure, keep results, write the report: ``python -m benchmarks [--full] [--only memo,joblib] [--workload NAME]``.

A session that is interrupted leaves what it has measured until then in a file of its own. With ``--publish`` the tables
in README and docs are written from the results, which then belong to the commit. With ``--from FILE`` nothing is
measured: what an earlier session found is shown.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import report, results, tables
from benchmarks.machine import about_machine, about_versions, memory_folder
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".bench"
PUBLISHED = ROOT / "benchmarks" / "published.parquet"


def main() -> int:
    """Run the harness."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="all sizes and rounds: most of an hour, not minutes")
    parser.add_argument("--only", default="", help="systems, with commas between them")
    parser.add_argument("--workload", action="append", choices=sorted(WORKLOADS), help="one or more; all if left out")
    parser.add_argument("--scratch", help="where pipelines run; in memory if left out, where there is such a place")
    parser.add_argument("--from", dest="source", type=Path, help="show these results, measure nothing")
    parser.add_argument("--publish", action="store_true", help="keep the results, and write README and docs from them")
    given = parser.parse_args()
    only = frozenset(each.strip() for each in given.only.split(",") if each.strip())
    if unknown := sorted(only - SYSTEMS.keys()):
        parser.error(f"--only: there is no system {unknown[0]!r}. There is: {'; '.join(SYSTEMS)}")
    if given.publish and (only or given.workload):
        parser.error("--publish: only a whole session is published, without --only and --workload")
    if given.scratch and not (os.path.isdir(given.scratch) and os.access(given.scratch, os.W_OK)):
        parser.error(f"--scratch: {given.scratch} is no folder that can be written to")
    if given.source:
        try:
            found = results.read(given.source)
        except ValueError as error:
            parser.error(f"--from: {error}")
        return show(found, publish=given.publish)
    # What systems end a program with is to clean up too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = measure(given.workload or list(WORKLOADS), given.scratch, is_full=given.full, only=only)
    except KeyboardInterrupt:
        return 130
    results.write(found, CACHE / "results.parquet")
    return show(found, publish=given.publish)


def show(found: results.Results, *, publish: bool) -> int:
    """Write the report, tell the tables, and publish them where that is wished and nothing of memo's own is missing."""
    page = report.write(found, CACHE / "report.html")
    print(tables.as_text(found))
    print(f"report: {page.relative_to(ROOT)}")
    if ours := results.ours_failed(found):
        for row in ours:
            print(f"{row.system}, {row.workload}, {row.phase}: {row.problem}", file=sys.stderr)
        print("memo itself failed there: this is to be mended, and is not published", file=sys.stderr)
        return 1
    if publish:
        results.write(found, PUBLISHED)
        for path in tables.publish(found, ROOT):
            print(f"written: {path.relative_to(ROOT)}")
    return 0


def measure(workloads: list[str], scratch: str | None, *, is_full: bool, only: frozenset[str]) -> results.Results:
    """Measure the workloads, one after the other; what was found is kept when one fails."""
    about = {"machine": about_machine(), "versions": about_versions(), "full": is_full}
    where = scratch or memory_folder()
    about["place"] = "in memory" if where and where == memory_folder() else "on disk"
    with tempfile.TemporaryDirectory(prefix="memo-bench-", dir=where) as folder:
        session = Session(CACHE, Path(folder), is_full=is_full, only=only)
        try:
            for name in workloads:
                WORKLOADS[name](session)
        except BaseException:
            if session.rows:
                kept = CACHE / "interrupted.parquet"
                results.write(results.Results(tuple(session.rows), about), kept)
                session.say(f"interrupted; what was measured: python -m benchmarks --from {kept.relative_to(ROOT)}")
            raise
    about["load_at_end"] = about_machine()["load"]
    return results.Results(tuple(session.rows), about)


if __name__ == "__main__":
    sys.exit(main())
