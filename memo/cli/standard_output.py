"""Standard output, kept for the result alone."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def kept_for_result(wanted: bool = True) -> Generator[None]:
    """Send to standard error what the user's code prints meanwhile, and what the programs print that it starts.

    Args:
        wanted: Whether to do so at all.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    before, kept = sys.stdout, os.dup(1)
    sys.stdout = sys.stderr
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stdout = before
        os.dup2(kept, 1)
        os.close(kept)
