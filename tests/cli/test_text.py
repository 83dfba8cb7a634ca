from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.cli import text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "<1 ms"),
        (0.0009, "<1 ms"),
        (0.001, "1 ms"),
        (0.0994, "99 ms"),
        (0.0995, "0.10 s"),
        (0.142, "0.14 s"),
        (0.994, "0.99 s"),
        (0.995, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_seconds(seconds: float, shown: str) -> None:
    assert text.seconds_text(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_400, "99.4 kB"),
        (99_600, "100 kB"),
        (999_600, "1.0 MB"),
        (3_000_000_000_000, "3.0 TB"),
        (9_000_000_000_000_000, "9000.0 TB"),
    ],
)
def test_bytes(size: int, shown: str) -> None:
    assert text.bytes_text(size) == shown


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_takes_longer_never_looks_shorter(one: float, other: float) -> None:
    def in_seconds(shown: str) -> float:
        if shown == "<1 ms":
            return 0.0
        words = shown.split()
        return sum(
            float(number) * {"ms": 0.001, "s": 1, "min": 60, "h": 3600}[unit]
            for number, unit in zip(words[::2], words[1::2], strict=True)
        )

    low, high = sorted((one, other))
    assert in_seconds(text.seconds_text(low)) <= in_seconds(text.seconds_text(high))


def test_columns_line_up_and_numbers_stand_to_the_right() -> None:
    lines = text.table(("A", "B", "C"), [("x", "long", "1"), ("yy", "s", "100")], right=(2,))
    assert lines == [
        "A   B       C",
        "x   long    1",
        "yy  s     100",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert text.styled("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    assert text.styled("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("TERM", "dumb")
    assert text.styled("x", "red", Terminal()) == "x"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert text.styled("x", "red", Terminal()) == "x"


def test_what_the_stream_cannot_write_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    text.out("größer …")
    stream.flush()
    assert stream.buffer.getvalue() == b"gr\\xf6\\xdfer \\u2026\n"
