"""Measure, keep results, write the report: ``python -m benchmarks [--full] [--only memo,joblib] [--workload NAME]``.

With ``--publish`` the tables in README and docs are written from the results, which then belong to the commit. With
``--from FILE`` nothing is measured: what an earlier session found is shown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import report, results, tables
from benchmarks.machine import about_machine, about_versions, memory_folder
from benchmarks.session import Session
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".bench"
PUBLISHED = ROOT / "benchmarks" / "published.parquet"


def main() -> int:
    """Run the harness."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="all sizes and rounds: hours, not minutes")
    parser.add_argument("--only", default="", help="systems, with commas between them")
    parser.add_argument("--workload", action="append", choices=sorted(WORKLOADS), help="one or more; all if left out")
    parser.add_argument("--scratch", help="where pipelines run; in memory if left out, where there is such a place")
    parser.add_argument("--from", dest="source", type=Path, help="show these results, measure nothing")
    parser.add_argument("--publish", action="store_true", help="keep the results, and write README and docs from them")
    given = parser.parse_args()
    if given.source:
        found = results.read(given.source)
    else:
        only = frozenset(each.strip() for each in given.only.split(",") if each.strip())
        found = measure(given.workload or list(WORKLOADS), given.scratch, is_full=given.full, only=only)
    page = report.write(found, CACHE / "report.html")
    print(tables.as_text(found))
    if ours := results.ours_failed(found):
        for row in ours:
            print(f"{row.system}, {row.workload}, {row.phase}: {row.problem}", file=sys.stderr)
        print("memo itself failed there: this is to be mended, and is not published", file=sys.stderr)
        return 1
    if given.publish:
        results.write(found, PUBLISHED)
        for path in tables.publish(found, ROOT):
            print(f"written: {path.relative_to(ROOT)}")
    print(f"report: {page.relative_to(ROOT)}")
    return 0


def measure(workloads: list[str], scratch: str | None, *, is_full: bool, only: frozenset[str]) -> results.Results:
    """Measure the workloads, one after the other; what was found is kept after each."""
    about = {"machine": about_machine(), "versions": about_versions(), "full": is_full}
    where = scratch or memory_folder()
    about["place"] = "in memory" if where and where == memory_folder() else "on disk"
    with tempfile.TemporaryDirectory(prefix="memo-bench-", dir=where) as folder:
        session = Session(CACHE, Path(folder), is_full=is_full, only=only)
        for name in workloads:
            WORKLOADS[name](session)
            about["load_at_end"] = about_machine()["load"]
            found = results.Results(tuple(session.rows), about)
            results.write(found, CACHE / "results.parquet")
    return found


if __name__ == "__main__":
    sys.exit(main())
