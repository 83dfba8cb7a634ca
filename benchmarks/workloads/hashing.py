"""W5: hashing in memory: memo's digest of content beside the hash alone, and what others hash with."""

from __future__ import annotations

import hashlib
import pickle
import time
from typing import TYPE_CHECKING, Any

from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.session import Session

WORKLOAD = "hashing"
QUICK_BYTES, FULL_BYTES = 64 << 20, 512 << 20
QUICK_ROUNDS, FULL_ROUNDS = 5, 7


def measure_hashing(session: Session) -> None:
    """Hash by turns, in this process."""
    size = FULL_BYTES if session.is_full else QUICK_BYTES
    session.say(f"hashing {size >> 20} MiB")
    ways = ways_of_hashing(size)
    for number in range((FULL_ROUNDS if session.is_full else QUICK_ROUNDS) + 1):
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if number:
                session.add(Result(WORKLOAD, name, "hash", size=size, round=number, cpu=cpu, wall=wall))


def ways_of_hashing(size: int) -> dict[str, Callable[[], object]]:
    """What is hashed in which way."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from xxhash import xxh3_128

    from memo.content import content_digest

    columns = np.random.default_rng(7).random((8, size // 64))
    raw = memoryview(columns.tobytes())
    copy = np.empty_like(columns)
    frame = pd.DataFrame(columns.T, columns=[f"c{place}" for place in range(8)], copy=False)
    table = pa.table({f"c{place}": column for place, column in enumerate(columns)})

    def pickled() -> Any:
        hasher = xxh3_128()
        buffers: list[pickle.PickleBuffer] = []
        hasher.update(pickle.dumps(frame, protocol=5, buffer_callback=buffers.append))
        for buffer in buffers:
            hasher.update(buffer.raw())
        return hasher.digest()

    return {
        "copy (limit)": lambda: np.copyto(copy, columns),
        "xxh3-128": lambda: xxh3_128(raw).digest(),
        "memo, ndarray": lambda: content_digest(columns),
        "memo, Arrow table": lambda: content_digest(table),
        "memo, DataFrame": lambda: content_digest(frame),
        "pickle 5 + xxh3-128": pickled,
        "sha256": lambda: hashlib.sha256(raw).digest(),
        "blake2b": lambda: hashlib.blake2b(raw).digest(),
        "md5": lambda: hashlib.md5(raw, usedforsecurity=False).digest(),
        "hash_pandas_object": lambda: pd.util.hash_pandas_object(frame),
    }
