"""Where an output lies within a storage: its identifier as a relative path, safe on every file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.hashing import digest

if TYPE_CHECKING:
    from memo.contracts.io_manager import OutputContext

__all__ = ["address_of", "data_path", "segment"]

_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789_-"
_LONGEST = 64
"""Three segments, a token and a suffix stay below the 255 bytes that file systems allow a name."""


def segment(name: str) -> str:
    """Turn any string into one segment of a file's name; two different strings never give the same one.

    A short name of lower-case letters, digits, ``_`` and ``-`` stays as it is. Any other becomes what people
    can recognise of it, ``=`` and its digest. So a plain name holds no ``=``, no segment a dot or a capital.

    >>> segment("result"), segment("../Secret")
    ('result', '___secret=b3f9ff7fb9ff131871b2df62f3730627')
    """
    if name and len(name) <= _LONGEST and not name.strip(_PLAIN):
        return name
    shown = "".join([c if c in _PLAIN else "_" for c in name[:24].lower()])
    return f"{shown}={digest('segment', name)}"


def address_of(context: OutputContext) -> str:
    """Name the place of an output's manifest, as a path below the storage without a suffix.

    ``versioned/<2 characters>/<version>.<output>[.<mapping key>]``, or for an output without a version
    ``runs/<run>/<step>.<output>[.<mapping key>]``.

    Raises:
        InvocationError: There is neither a version nor a run.
    """
    if context.version is None:
        run_id, *rest = map(segment, context.get_run_scoped_output_identifier())
        return f"runs/{run_id}/{'.'.join(rest)}"
    version = segment(context.version)
    found = f"versioned/{version[:2]}/{version}.{segment(context.name)}"
    return f"{found}.{segment(context.mapping_key)}" if context.mapping_key else found


def data_path(address: str, name: str) -> str:
    """Name the place of a data file, below the storage.

    It does not lie beside the manifest, so that a listing of manifests holds nothing else.

    >>> data_path("versioned/ab/ab12.result", "ab12.result.5f0c.pkl")
    'data/versioned/ab/ab12.result.5f0c.pkl'
    """
    return f"data/{address.rpartition('/')[0]}/{name}"
