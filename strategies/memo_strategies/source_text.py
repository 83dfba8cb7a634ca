"""The text of the code that was hashed, for explaining a rerun: read only when asked for, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

    from memo_strategies.parsed_file import ParsedFile


class SourceTexts:
    """Texts of functions and classes, each file read and compiled once for as long as it stays the same."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[list[str], ParsedFile | None]] = {}

    def of_code(self, code: CodeType) -> str | None:
        """The text that compiles to this very code; None where the file does not hold it any more."""
        file = self._file(code.co_filename)
        return None if file is None else file.text_of(code)

    def of_class(self, cls: type, path: str) -> str | None:
        """The text of a class whose methods are all in the file as they are running."""
        file = self._file(path)
        return None if file is None else file.text_of_class(cls)

    def _file(self, path: str) -> ParsedFile | None:
        import linecache

        from memo_strategies.parsed_file import parse_file

        linecache.checkcache(path)
        lines = linecache.getlines(path)
        known = self._files.get(path)
        # The very list, as long as the file has not changed: to compare the text would take as long for every function.
        if known is None or known[0] is not lines:
            known = self._files[path] = (lines, parse_file("".join(lines), path))
        return known[1]
