"""Which outputs are stored, as planning asks: what is not whole does not count, and is told of in a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.errors import OutputLostError, StorageError
from memo_iomanagers.finding import UntrustedError
from memo_iomanagers.naming import VERSIONED, address_of, is_named, manifest_path
from memo_iomanagers.places import NOT_THERE, reason
from memo_iomanagers.signing import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.finding import Finder
    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place

__all__ = ["Answers"]


class Answers:
    """What planning is told of one place.

    Args:
        place: The place. One that is far away is asked for all outputs together.
        finder: Finds what is stored there.
    """

    def __init__(self, place: Place, finder: Finder) -> None:
        self._place = place
        self._finder = finder
        self._untrusted = Untrusted(place.full_name(""))

    def are_stored(self, contexts: Sequence[OutputContext]) -> list[bool]:
        """Here: a whole manifest, and a data file of the size that it tells. Far away: the manifest is listed."""
        if not self._place.remote:
            # No manifest is kept: there may be as many as steps.
            return [manifest is not None for manifest in self._here(contexts)]
        try:
            view = self._place.view(manifest_path(context) for context in contexts if is_named(context))
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            self._warn_not_asked(contexts[0], error)
            return [False] * len(contexts)
        return [is_named(context) and view.has(manifest_path(context)) for context in contexts]

    def content_digests(self, contexts: Sequence[OutputContext]) -> list[str | None]:
        """The digests of content that manifests tell."""
        found = self._far_away(contexts) if self._place.remote else self._here(contexts)
        return [None if manifest is None else manifest.provenance.content_digest for manifest in found]

    def _here(self, contexts: Sequence[OutputContext]) -> Iterator[Manifest | None]:
        is_new = self._is_new()
        with self._untrusted.together():
            for context in contexts:
                manifest = None
                may_be_there = is_named(context) if context.version is None else not is_new
                try:
                    if may_be_there:
                        manifest = self._finder.whole(context)
                except StorageError as error:
                    self._warn(context, error)
                yield manifest

    def _is_new(self) -> bool:
        """Whether nothing was ever stored under a version: so one question tells of thousands."""
        try:
            self._place.size(VERSIONED)
        except NOT_THERE:
            return True
        except OSError:
            return False  # then each says what is wrong
        return False

    def _far_away(self, contexts: Sequence[OutputContext]) -> list[Manifest | None]:
        try:
            raws = self._place.fetch([manifest_path(context) for context in contexts if is_named(context)])
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            self._warn_not_asked(contexts[0], error)
            return [None] * len(contexts)
        found: list[Manifest | None] = []
        with self._untrusted.together():
            for context in contexts:
                raw = raws.get(manifest_path(context)) if is_named(context) else None
                try:
                    found.append(None if raw is None else self._finder.decoded(context, raw, address_of(context)))
                except OutputLostError as error:
                    self._warn(context, error)
                    found.append(None)
        return found

    def _warn(self, context: OutputContext, error: StorageError) -> None:
        if isinstance(error, UntrustedError):
            self._untrusted.add(error.name, error.reason)
        else:
            context.log.warning("%s", error)

    def _warn_not_asked(self, context: OutputContext, error: Exception) -> None:
        context.log.warning(
            "%s could not be asked which outputs it has: %s; none of them counts as stored",
            self._place.full_name(""),
            reason(error),
        )
