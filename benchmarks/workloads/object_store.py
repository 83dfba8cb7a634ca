"""W10: outputs in an object store of 20 ms latency a request: an S3 server on this machine behind a delaying proxy."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.drivers import memo_ops
from benchmarks.graphs import AS_WRITTEN, Change, make_graph
from benchmarks.measuring import clean_environment, measure
from benchmarks.results import Result
from benchmarks.workloads.runs import memo_environment, write_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.session import Session

WORKLOAD = "object store"
LATENCY = 0.02
QUICK_STEPS, FULL_STEPS = 30, 300
BUCKET = "bench"
PROXY = Path(__file__).parents[1] / "programs" / "delaying_proxy.py"
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}


def measure_object_store(session: Session) -> None:
    """Run cold, null and with a leaf changed against the store."""
    steps = FULL_STEPS if session.is_full else QUICK_STEPS
    phases = ("cold", "null", "leaf")
    problem = session.environment("s3").problem
    if not problem and importlib.util.find_spec("s3fs") is None:
        problem = "unavailable: memo-pipelines[s3] is not installed"
    if problem:
        for phase in phases:
            session.add(Result(WORKLOAD, "memo", phase, "layered", steps, problem=problem))
        return
    with session.folder("s3") as folder, _store(session, folder) as (endpoint, counted):
        environment = {**memo_environment("memo"), **KEYS, "AWS_ENDPOINT_URL": endpoint}
        graph = make_graph("layered", steps)
        for phase in phases:
            session.say(f"object store: {phase}")
            write_pipeline(memo_ops.OPS, graph, Change(graph.leaf()) if phase == "leaf" else AS_WRITTEN, folder)
            module = folder / "pipeline.py"
            place = (
                f'@job(resource_defs={{"io_manager": fs_io_manager.configured({{"base_dir": "s3://{BUCKET}/out"}})}})'
            )
            text = (
                module.read_text(encoding="utf-8")
                .replace("@job", place)
                .replace("import job", "import fs_io_manager, job")
            )
            module.write_text(text, encoding="utf-8")
            counted.write_bytes(b"")
            command = [sys.executable, "-m", "memo", "run", "pipeline.py"]
            measured = measure(command, folder, limit=600, environment=environment)
            session.add(
                Result(
                    WORKLOAD,
                    "memo",
                    phase,
                    "layered",
                    steps,
                    cpu=measured.cpu,
                    wall=measured.wall,
                    memory=measured.memory,
                    files=counted.stat().st_size,
                    problem=measured.problem,
                )
            )


@contextmanager
def _store(session: Session, folder: Path) -> Iterator[tuple[str, Path]]:
    """A server of S3 with a bucket, and the proxy before it; gives the URL, and the file that counts requests."""
    port = _free_port()
    counted = folder / "requests"
    counted.touch()
    server = subprocess.Popen(
        [str(session.environment("s3").programs / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    proxy = subprocess.Popen(
        [sys.executable, str(PROXY), str(port), str(LATENCY), str(counted)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert proxy.stdout is not None
        endpoint = f"http://127.0.0.1:{int(proxy.stdout.readline())}"
        _make_bucket(port)
        yield endpoint, counted
    finally:
        for process in (proxy, server):
            process.terminate()
            process.wait()
        if proxy.stdout is not None:
            proxy.stdout.close()


def _make_bucket(port: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
    for _ in range(300):
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - as above
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server of S3 did not start")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
