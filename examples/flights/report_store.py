"""An IO manager for pages: each is a file of its own that a browser opens."""

from __future__ import annotations

import os
from pathlib import Path

from memo import Field, InitResourceContext, InputContext, IOManager, MemoizableIOManager, OutputContext, io_manager


class HtmlFileIOManager(MemoizableIOManager):
    """Keeps each page in a folder named by its version, where it stays when a later version comes.

    Args:
        folder: Where pages are kept; made when the first is written.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def place(self, context: OutputContext) -> Path:
        """The file of an output.

        Raises:
            ValueError: A part of its name would lead to another folder.
        """
        *folders, name = context.get_identifier()
        for segment in (*folders, name):
            if segment in {"", ".", ".."} or "/" in segment or os.sep in segment:
                raise ValueError(f"{segment!r} cannot be part of a page's place")
        return self.folder.joinpath(*folders, f"{name}.html")

    def handle_output(self, context: OutputContext, obj: str) -> None:
        """Write a page aside, then move it to its place: whoever looks sees all of it or nothing."""
        place = self.place(context)
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(obj, encoding="utf-8")
        aside.replace(place)
        context.add_output_metadata({"path": str(place.resolve()), "bytes": place.stat().st_size})

    def load_input(self, context: InputContext) -> str:
        """Read the page that another op, or whoever reads the result of a run, asks for."""
        assert context.upstream_output is not None
        return self.place(context.upstream_output).read_text(encoding="utf-8")

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the page of this version is there."""
        return self.place(context).is_file()


@io_manager(config_schema={"folder": Field(str, default_value="reports", description="Where pages are kept.")})
def html_io_manager(context: InitResourceContext) -> IOManager:
    """Keep pages as HTML files."""
    return HtmlFileIOManager(context.resource_config["folder"])
