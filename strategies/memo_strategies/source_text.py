"""The text of the code that was hashed, for explaining a rerun: read only when asked for, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

    from memo_strategies.parsed_file import ParsedFile


_compiled: dict[str, tuple[list[str], ParsedFile | None]] = {}
"""Files by their path, each with its lines: the very list that `linecache` keeps while the file stays the same."""


class SourceTexts:
    """Texts of functions and classes of one plan, each file read and compiled once for as long as it stays the same."""

    def __init__(self) -> None:
        self._files: dict[str, ParsedFile | None] = {}
        """As they were when they were last looked at in this plan."""

    def of_code(self, code: CodeType) -> str | None:
        """The text that compiles to this very code; None where the file does not hold it any more."""
        path = code.co_filename
        known = self._files.get(path)
        text = None if known is None else known.text_of(code)
        if text is not None:
            return text  # whatever the file holds by now: this is what it was compiled from
        file = self._file(path)
        return None if file is None or file is known else file.text_of(code)

    def of_class(self, cls: type, path: str) -> str | None:
        """The text of a class whose methods are all in the file as they are running."""
        file = self._file(path)
        return None if file is None else file.text_of_class(cls)

    def _file(self, path: str) -> ParsedFile | None:
        import linecache

        from memo_strategies.parsed_file import parse_file

        linecache.checkcache(path)
        lines = linecache.getlines(path)
        known = _compiled.get(path)
        # The very list, as long as the file has not changed: to compare the text would take as long for every function.
        if known is None or known[0] is not lines:
            known = _compiled[path] = (lines, parse_file("".join(lines), path))
        self._files[path] = known[1]
        return known[1]
