"""The README and the pages of docs/ are run: files are written, commands typed, and what they print compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and text of every block of code in a page that names its language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


CHANGING = (
    (r"\b1a[0-9a-f]{17}\b", "RUN-ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"(<1|\d+(\.\d+)?) (ms|s)\b", "DURATION"),
    (r", DURATION saved| \(about DURATION\)", ""),
    (r"\b\d+(\.\d+)? (B|kB|MB)(?!\w)", "SIZE"),
    (r"\b([0-9a-f]{2}/)?[0-9a-f]{32}\b", "VERSION"),
    (r"\b[0-9a-f]{12}(?:[0-9a-f]{4})?\b", "VERSION"),
    (r"/\S+(/\.memo/)", r"…\1"),
    (r"\.\d{8}T\d{6}(?=\.)", ".TIME"),
    (r" +", " "),
)


def settled(text: str) -> str:
    """Text less what changes from run to run."""
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def commands(block: str) -> list[tuple[str, str]]:
    """Each command of a console block, with what it is said to print."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the README's sed is GNU's")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_a_page_does_what_it_says(page, tmp_path) -> None:
    (tmp_path / "memo.toml").touch()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MEMO_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ran = 0
    for language, block in blocks(page):
        if language in {"python", "toml"}:
            name = re.match(r"# (\w+\.\w+)\n", block)
            assert name, f"a block names no file:\n{block}"
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
            continue
        assert language == "console"
        for command, expected in commands(block):
            if command.startswith("pip install"):
                continue
            found = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert found.returncode == 0, f"$ {command}\n{found.stdout}"
            assert settled(found.stdout) == settled(expected), f"$ {command}"
            ran += 1
    assert ran >= 3


def test_every_command_is_in_the_readme() -> None:
    from memo.cli.program import COMMANDS

    for name in COMMANDS:
        assert f"`memo {name}" in README, f"`memo {name}` is not in the README"


def test_every_setting_is_in_the_readme() -> None:
    import msgspec.structs

    from memo.project.settings import Settings

    for field in msgspec.structs.fields(Settings):
        assert f"| `{field.name}` |" in README


def test_every_verdict_and_reason_is_in_the_readme() -> None:
    from memo import Verdict

    for verdict in Verdict:
        assert f"| `{verdict.value}` |" in README


def test_no_block_is_of_a_language_that_nobody_runs() -> None:
    assert {language for page in PAGES for language, _ in blocks(page)} <= {"python", "toml", "console"}
