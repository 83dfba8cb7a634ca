"""The smallest pipeline: a sentence is fetched, normalized and cleaned, and kept as text files.

From Python:          python pipeline.py
From the shell:       memo run pipeline.py
With another config:  memo run pipeline.py --set ops.normalize_string.config.lower_case=false
The same, in a file:  memo run pipeline.py -c quoted.toml

The second run finds everything stored and runs nothing; the one without lower case runs `normalize_string`, whose
config it changes, and `clean_string`, which comes after it.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from memo import (
    Field,
    InitResourceContext,
    InputContext,
    IOManager,
    MemoizableIOManager,
    OpExecutionContext,
    OutputContext,
    execute_job,
    graph,
    io_manager,
    op,
    resource,
)
from memo.errors import OutputLostError


class TextFileIOManager(MemoizableIOManager):
    """Keeps strings as text files that people can open.

    Args:
        folder: Where the files are; made when the first is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def place(self, context: OutputContext) -> Path:
        """The file of an output.

        What identifies an output (under memoization its version) may be any text. Its digest is a safe file name,
        and a different one for every output.
        """
        digest = sha256(ascii((context.version, context.get_identifier())).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.txt"

    def handle_output(self, context: OutputContext, obj: str) -> None:
        """Write a file aside, then move it to its place: whoever looks sees all of it or nothing."""
        place, content = self.place(context), obj.encode()
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_suffix(f".{token_hex(8)}.tmp")
        aside.write_bytes(content)
        os.replace(aside, place)
        context.add_output_metadata({"path": str(place.resolve())})

    def load_input(self, context: InputContext) -> str:
        """Read the string of an upstream output.

        Raises:
            OutputLostError: Its file is gone; memo then runs its step again.
        """
        assert context.upstream_output is not None
        place = self.place(context.upstream_output)
        try:
            return place.read_bytes().decode()
        except FileNotFoundError as error:
            raise OutputLostError("the file is gone", where=str(place)) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether an output is stored: if those of a step are, under its version, it is not run again."""
        return self.place(context).is_file()


@io_manager(config_schema={"folder": Field(str, default_value="strings", description="Where the files are kept.")})
def text_file_io_manager(context: InitResourceContext) -> IOManager:
    """Keep strings as text files."""
    return TextFileIOManager(context.resource_config["folder"])


@resource(config_schema={"characters": Field(str, default_value=".,;:!?", description="What counts as punctuation.")})
def punctuation(context: InitResourceContext) -> frozenset[str]:
    """The characters that a clean string does not have. Its config counts in the versions of the ops that use it."""
    return frozenset(context.resource_config["characters"])


@op(config_schema={"text": str})
def get_string(context: OpExecutionContext) -> str:
    """The sentence to work on."""
    text: str = context.op_config["text"]
    return text


@op(config_schema={"lower_case": Field(bool, default_value=True, description="Whether to write it all small.")})
def normalize_string(context: OpExecutionContext, string: str) -> str:
    """The sentence with single spaces."""
    string = " ".join(string.split())
    return string.lower() if context.op_config["lower_case"] else string


@op(required_resource_keys={"punctuation"})
def clean_string(context: OpExecutionContext, string: str) -> str:
    """The sentence without punctuation."""
    return "".join(character for character in string if character not in context.resources.punctuation)


@graph
def sentences() -> str:
    """Wire the ops: nothing runs here."""
    cleaned: str = clean_string(normalize_string(get_string()))
    return cleaned


sentences_job = sentences.to_job(
    resource_defs={"io_manager": text_file_io_manager, "punctuation": punctuation},
    config={"ops": {"get_string": {"config": {"text": "  Running it twice:  the second time, nothing runs!  "}}}},
)


if __name__ == "__main__":
    result = execute_job(sentences_job)
    print(f"{result.output_value()!r}")
    print(f"run: {', '.join(result.executed) or 'nothing'}; reused: {', '.join(result.reused) or 'nothing'}")
