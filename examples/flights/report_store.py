"""An IO manager for pages: each is a file of its own that a browser opens."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from memo import Field, InitResourceContext, InputContext, IOManager, MemoizableIOManager, OutputContext, io_manager
from memo.errors import OutputLostError


class HtmlFileIOManager(MemoizableIOManager):
    """Keeps each page in a file named by its version, where it stays when a later version comes.

    Args:
        folder: Where the files are; made when the first is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def place(self, context: OutputContext) -> Path:
        """The file of a page, named by a digest of what identifies it, which may be any text."""
        digest = sha256(ascii((context.version, context.get_identifier())).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.html"

    def handle_output(self, context: OutputContext, obj: str) -> None:
        """Write a page aside, then move it to its place: whoever looks sees all of it or nothing."""
        place, content = self.place(context), obj.encode()
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_suffix(f".{token_hex(8)}.tmp")
        aside.write_bytes(content)
        os.replace(aside, place)
        context.add_output_metadata({"path": str(place.resolve()), "bytes": len(content)})

    def load_input(self, context: InputContext) -> str:
        """Read a page, as for whoever asks the result of a run for it.

        Raises:
            OutputLostError: Its file is gone; memo then runs its step again.
        """
        assert context.upstream_output is not None
        place = self.place(context.upstream_output)
        try:
            return place.read_bytes().decode()
        except FileNotFoundError as error:
            raise OutputLostError("the page is gone", where=str(place)) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the page of this version is there."""
        return self.place(context).is_file()


@io_manager(config_schema={"folder": Field(str, default_value="reports", description="Where pages are kept.")})
def html_io_manager(context: InitResourceContext) -> IOManager:
    """Keep pages as HTML files."""
    return HtmlFileIOManager(context.resource_config["folder"])
