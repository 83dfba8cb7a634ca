"""Values loaded: found, compared with what their manifests tell, and rebuilt by their encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.errors import StorageError
from memo_iomanagers.encodings import encoding_named
from memo_iomanagers.naming import MANIFEST, address_of
from memo_iomanagers.stored import stored_as
from memo_iomanagers.telling import lost, where_of

if TYPE_CHECKING:
    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.encodings.encoding import Encoding
    from memo_iomanagers.finding import Finder
    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place
    from memo_iomanagers.stored import Stored

__all__ = ["Loader"]


class Loader:
    """Loads values from one place.

    Args:
        place: The place.
        finder: Finds what is stored there.
        signed: Whether it finds nothing but what a key has signed.
    """

    def __init__(self, place: Place, finder: Finder, *, signed: bool) -> None:
        self._place = place
        self._finder = finder
        self._signed = signed

    def load(self, output: OutputContext, wanted: object) -> Any:
        """Load the value of an output.

        Args:
            output: The output.
            wanted: The type that the reader asks for, None where it does not say.

        Raises:
            OutputLostError: It is not there, or not whole, or needs classes that today's code does not have.
            StorageError: It could not be read, or rebuilding it raised an error.
        """
        finder, address = self._finder, address_of(output)
        name = address + MANIFEST
        known = finder.written(output, address)
        if known is not None:
            raw, manifest = known
            stored = stored_as(manifest, self._place, name, None, signed=self._signed)
            return self._rebuilt(stored, output, raw, manifest, wanted)
        found = finder.follow(output, address, finder.open, set_aside=self._place.remote)
        if found is None:
            raise lost(output, f"is not stored, there is no {self._place.full_name(name)}")
        raw, manifest, path, file = found
        stored = stored_as(manifest, self._place, path, file, signed=self._signed)
        if file is None:
            return self._rebuilt(stored, output, raw, manifest, wanted)
        with file:
            try:
                wrong = finder.differing(manifest, file, stored)
            except OSError as error:
                raise finder.not_read(output, path, error) from error
            if wrong:
                finder.set_aside(output, raw)
                raise lost(output, f"{stored.name} {wrong}")
            return self._rebuilt(stored, output, raw, manifest, wanted)

    def _rebuilt(self, stored: Stored, output: OutputContext, raw: bytes, manifest: Manifest, wanted: object) -> Any:
        encoding: Encoding = encoding_named(manifest.encoding)
        try:
            return encoding.load(stored, manifest.form, wanted)
        except MemoryError:
            raise
        except Exception as error:
            is_lost, what = encoding.explain_load(stored, error)
            if is_lost:
                if encoding.has_side_files:
                    self._finder.set_aside(output, raw)  # what is wrong is in a file beside it
                raise lost(output, f"{stored.name} {what}") from error
            raise StorageError(f"{stored.name} {what}", where=where_of(output)) from error
