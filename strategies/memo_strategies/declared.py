"""`DeclaredVersionStrategy`: code is the same while its author says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.contracts.version_strategy import VersionStrategy
from memo.errors import VersionError

if TYPE_CHECKING:
    from memo.contracts.version_strategy import OpVersionContext

__all__ = ["DeclaredVersionStrategy"]


class DeclaredVersionStrategy(VersionStrategy):
    """Versions an op by what its author declares, and looks at no code.

    Every op declares ``@op(version="1")``, and its author raises it when what the op gives changes. Config, inputs,
    resources and what an op ``depends_on`` count as ever. A resource that declares no version counts by its config.

    Example::

        @job(version_strategy=DeclaredVersionStrategy())
        def flights(): ...
    """

    def get_op_version(self, context: OpVersionContext) -> str:
        """Refuse: an op that declares a version is not asked about.

        Raises:
            VersionError: Always, with what to declare.
        """
        raise VersionError(
            "declares no version, and the job goes by declared versions alone: give it "
            '@op(version="1"), or the job another version_strategy',
            where=context.op_def.where,
        )
