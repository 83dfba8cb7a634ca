"""Print the versions of the op in each folder given, as JSON: run by the tests in processes of its own."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from memo.contracts.version_strategy import OpVersionContext
from memo_strategies.source_hash import SourceHashVersionStrategy


class Stand:
    """What a strategy may rely on in a definition."""

    name = "op"
    version = None
    where = "op"
    ignore: frozenset[str] = frozenset()
    hardcoded_value = None

    def __init__(self, compute_fn: Any) -> None:
        self.compute_fn = compute_fn


def version_of(folder: Path) -> dict[str, Any]:
    """Import the folder's ``ops`` and version the ``op`` in it; nothing of it stays behind."""
    before = set(sys.modules)
    paths = [str(folder), str(folder / "site-packages")]
    sys.path[:0] = paths
    importlib.invalidate_caches()
    hidden = {name: sys.modules.pop(name, None) for name in ("queue", "ops")}
    try:
        op = importlib.import_module("ops").op
        started = time.perf_counter()
        found = SourceHashVersionStrategy().get_op_version(OpVersionContext(Stand(op)))
        again = SourceHashVersionStrategy().get_op_version(OpVersionContext(Stand(op)))
        return {
            "version": found.version,
            "again": again.version,
            "seconds": time.perf_counter() - started,
            "blind_spots": [str(spot) for spot in found.blind_spots],
            "parts": [[part.kind, part.name, part.hash, part.detail] for part in found.parts],
            "sources": {part.name: part.source() for part in found.parts if part.source is not None},
        }
    finally:
        del sys.path[:2]
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        sys.modules.pop("ops", None)
        sys.modules.update({name: module for name, module in hidden.items() if module is not None})


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    out, sys.stdout = sys.stdout, sys.stderr  # what the folders' modules print is not the answer
    print(json.dumps({folder: version_of(Path(folder)) for folder in json.load(sys.stdin)}), file=out)
