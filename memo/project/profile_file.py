"""The file that a profile is written to, by which nothing else is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memo.errors import InvocationError

if TYPE_CHECKING:
    from memo.project.home import Home

_BEGINNING = b'{"displayTimeUnit":"ms","otherData":{"memo":'
"""What every trace begins with, so that no other file is taken for one and written over."""


class ProfileFile:
    """A file to write a profile to.

    Args:
        given: Its name, as it was given.
        home: In which it must not be.
    """

    def __init__(self, given: str, home: Home) -> None:
        self._given = given
        # An op may change the current folder.
        self._path = os.path.abspath(given)
        self._home = home

    def check(self) -> None:
        """See that it can be written, and that nothing is lost by it.

        Raises:
            InvocationError: It cannot, or is another file than a profile.
        """
        path = self._path
        if self._home.holds(path):
            raise InvocationError(
                "is in the home, where only what memo stores is kept: write the profile elsewhere", where=self._given
            )
        try:
            is_special = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
            if is_special:
                return
            with open(path, "ab+") as file:
                file.seek(0)
                beginning = file.read(len(_BEGINNING))
        except OSError as error:
            raise self._unwritable(error) from error
        if beginning and beginning != _BEGINNING:
            raise InvocationError(
                "is there already and is no profile of memo's, so it is not written over: give --profile another name",
                where=self._given,
            )

    def write(self, text: bytes) -> None:
        """Write it.

        Raises:
            InvocationError: It cannot be, or an op of the run has written another file there.
        """
        assert text.startswith(_BEGINNING)
        self.check()
        try:
            with open(self._path, "wb") as file:
                file.write(text)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InvocationError:
        return InvocationError(f"the profile cannot be written there: {error.strerror}", where=self._given)


__all__ = ["ProfileFile"]
