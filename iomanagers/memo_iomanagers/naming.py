"""Where an output lies within a storage: its manifest and its data, as relative paths, safe on every file system."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from memo.hashing import digest

if TYPE_CHECKING:
    from memo.contracts.io_manager import OutputContext

__all__ = [
    "DATA",
    "MANIFEST",
    "RUNS",
    "SIDE",
    "VERSIONED",
    "address_of",
    "data_path",
    "is_data_of",
    "is_named",
    "manifest_path",
    "segment",
]

VERSIONED, RUNS, DATA = "versioned/", "runs/", "data/"
"""The folders of manifests, by version and by run, and that of the data."""

MANIFEST = ".json"
"""What the name of a manifest ends with."""

SIDE = ".d"
"""What the name of the folder of a data file's side files ends with."""

_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789_-"
_is_plain = re.compile(f"[{_PLAIN}]{{1,64}}").fullmatch
"""Up to 64 characters: three segments, a token and a suffix stay below the 255 bytes that file systems allow a name."""


def segment(name: str) -> str:
    """Turn any string into one segment of a file's name; two different strings never give the same one.

    A short name of lower-case letters, digits, ``_`` and ``-`` stays as it is. Any other becomes what people
    can recognise of it, ``=`` and its digest. So a plain name holds no ``=``, no segment a dot or a capital.

    >>> segment("result"), segment("../Secret")
    ('result', '___secret=b3f9ff7fb9ff131871b2df62f3730627')
    """
    if _is_plain(name):
        return name
    shown = "".join([c if c in _PLAIN else "_" for c in name[:24].lower()])
    return f"{shown}={digest('segment', name)}"


_named = lru_cache(256)(segment)
"""Of the names of outputs, which are few."""


def address_of(context: OutputContext) -> str:
    """Name the place of an output's manifest, as a path below the storage without a suffix.

    ``versioned/<2 characters>/<version>.<output>[.<mapping key>]``, or for an output without a version
    ``runs/<run>/<step>.<output>[.<mapping key>]``.

    Raises:
        InvocationError: There is neither a version nor a run.
    """
    if context.version is None:
        run_id, *rest = map(segment, context.get_run_scoped_output_identifier())
        return f"{RUNS}{run_id}/{'.'.join(rest)}"
    version = segment(context.version)
    found = f"{VERSIONED}{version[:2]}/{version}.{_named(context.name)}"
    return f"{found}.{segment(context.mapping_key)}" if context.mapping_key else found


def manifest_path(context: OutputContext) -> str:
    """Name the place of an output's manifest, below the storage."""
    return f"{address_of(context)}{MANIFEST}"


def is_named(context: OutputContext) -> bool:
    """Whether an output has an address: while planning, one without a version has none."""
    return context.version is not None or context.run_id is not None


def data_path(address: str, name: str) -> str:
    """Name the place of a data file, below the storage.

    It does not lie beside the manifest, so that a listing of manifests holds nothing else.

    >>> data_path("versioned/ab/ab12.result", "ab12.result.5f0c.pkl")
    'data/versioned/ab/ab12.result.5f0c.pkl'
    """
    return f"{DATA}{address.rpartition('/')[0]}/{name}"


def is_data_of(address: str, name: str) -> bool:
    """Whether a data file of this name can be that of an output, and lies in its own folder and nowhere else."""
    return name.startswith(f"{address.rpartition('/')[2]}.") and "/" not in name
