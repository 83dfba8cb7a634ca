from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import bytes_on_disk, measure

ROOT = Path(__file__).parents[2]


def test_what_children_take_is_counted(tmp_path) -> None:
    busy = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    (tmp_path / "busy.py").write_text(busy, encoding="utf-8")
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys; subprocess.run([sys.executable, 'busy.py'])", encoding="utf-8"
    )
    alone = measure([sys.executable, "busy.py"], tmp_path)
    nested = measure([sys.executable, "parent.py"], tmp_path)
    assert not alone.problem
    assert not nested.problem
    assert alone.cpu >= 0.2
    assert nested.cpu >= 0.2


def test_the_harness_is_not_in_the_peak(tmp_path) -> None:
    kept = bytearray(200_000_000)
    small = measure([sys.executable, "-c", "pass"], tmp_path)
    large = measure([sys.executable, "-c", "kept = bytearray(100_000_000)"], tmp_path)
    assert small.memory < 50_000_000
    assert 100_000_000 < large.memory < len(kept)


def test_what_fails_says_why(tmp_path) -> None:
    found = measure([sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path)
    assert found.problem == "exit code 1: no luck"


def test_what_takes_too_long_is_ended(tmp_path) -> None:
    found = measure([sys.executable, "-c", "import threading; threading.Event().wait()"], tmp_path, limit=0.5)
    assert found.problem == "took more than 0.5 s"
    assert found.wall < 60


def test_what_is_left_behind_is_ended(tmp_path) -> None:
    script = (
        "import subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait()'],"
        " start_new_session=True)\nprint(left.pid)"
    )
    found = measure([sys.executable, "-c", script], tmp_path)
    assert not found.problem
    assert not _is_there(int(found.output))


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_that_is_not_there_is_a_problem(tmp_path) -> None:
    assert "No such file" in measure(["/nowhere/program"], tmp_path).problem


def test_bytes_and_files_of_a_folder(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 5000)
    held, files = bytes_on_disk(tmp_path)
    assert files == 1
    assert held >= 5000


def test_what_is_interrupted_ends_what_it_measures(tmp_path) -> None:
    os.mkfifo(tmp_path / "alive")
    (tmp_path / "waits.py").write_text(
        "import signal\npipe = open('alive', 'w')\npipe.write('yes')\npipe.flush()\nsignal.pause()", encoding="utf-8"
    )
    measuring = (
        "import sys\nfrom pathlib import Path\nfrom benchmarks.measuring import measure\n"
        "measure([sys.executable, 'waits.py'], Path(sys.argv[1]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", measuring, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        with open(tmp_path / "alive", encoding="utf-8") as alive:
            assert alive.read(3) == "yes"
            process.send_signal(signal.SIGINT)
            assert alive.read() == ""
        _, told = process.communicate(timeout=30)
    assert told.endswith(b"KeyboardInterrupt\n")
