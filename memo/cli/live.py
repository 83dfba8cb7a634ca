"""The live display on a terminal: what runs, how far the run is, how long it will take yet."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from memo.cli.text import coloured, seconds_text

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult

    from memo.cli.progress import Progress

_SECONDS_BETWEEN_PRINTS = 0.1
"""Lines that come faster are shown within the display, and put above it together."""
_SHOWN_STEPS = 8


class LiveScreen:
    """Lines that stay, above a display that does not.

    Args:
        progress: Read anew each time the display is drawn.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = len(progress.to_end)
        self._waiting: list[str] = []
        self._printed_at = 0.0
        self._began = monotonic()
        self._spinner = Spinner("dots")
        self._console = Console(file=progress.stream, no_color=not coloured(progress.stream), highlight=False)
        self._live = Live(
            self,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            # What ops print goes above the display where both are on the terminal, and where it belongs otherwise.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )
        self._live.start()

    def line(self, text: str) -> None:
        """Put a line above the display."""
        self._waiting.append(text)
        if monotonic() - self._printed_at >= _SECONDS_BETWEEN_PRINTS:
            self._print()

    def changed(self) -> None:
        """Take notice that a step ended; steps that turned out to be needed may have been added."""
        self._total = max(self._total, len(self._progress.to_end))

    def close(self) -> None:
        """Take the display away; the lines stay."""
        self._print()
        self._live.stop()

    def _print(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._console.print(Text.from_ansi("\n".join(waiting)), soft_wrap=True)
        self._printed_at = monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the display."""
        progress = self._progress
        waiting = list(self._waiting)
        if waiting:
            yield Text.from_ansi("\n".join(waiting))
        running = dict(progress.running)
        expected = dict(progress.to_end)
        now = monotonic()
        steps = Table.grid(padding=(0, 1))
        for key, started in list(running.items())[:_SHOWN_STEPS]:
            seconds = expected.get(key)
            usual = f"of about {seconds_text(seconds)}" if seconds is not None else ""
            steps.add_row(self._spinner, key, Text(seconds_text(now - started), justify="right"), Text(usual, "dim"))
        if len(running) > _SHOWN_STEPS:
            steps.add_row("", f"and {len(running) - _SHOWN_STEPS} more")
        held = dict(progress.waiting)
        for key, whom in list(held.items())[:_SHOWN_STEPS]:
            steps.add_row(self._spinner, key, "", Text(f"waits for run {whom}", "dim"))
        if len(held) > _SHOWN_STEPS:
            steps.add_row("", f"and {len(held) - _SHOWN_STEPS} more that wait for other runs")
        if running or held:
            yield steps
        done = max(self._total - len(expected), 0)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(
                total=max(self._total, 1), completed=done, width=min(30, options.max_width // 3), complete_style="cyan"
            ),
            Text(f"{done}/{self._total}, {seconds_text(now - self._began)}{self._left()}"),
        )
        yield bar

    def _left(self) -> str:
        seconds, known = self._progress.seconds_left
        if seconds < 0.5:
            return ""
        return f", about {seconds_text(seconds)} left" if known else f", at least {seconds_text(seconds)} left"
