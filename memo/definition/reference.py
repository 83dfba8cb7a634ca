"""How a job is found again: by the command line, by a worker process, by a later retry."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.graph import GraphDefinition
from memo.definition.importing import import_exactly, module_of_file
from memo.definition.job import JobDefinition
from memo.errors import DefinitionError, MemoError, TargetError, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType


class JobReference(Struct, frozen=True):
    """A file or module, and the job in it.

    Attributes:
        place: A file's path (``flights.py``) or a module's dotted name (``package.flights``).
        job: The name of a job, or of the variable that holds it; None where there is only one.
    """

    place: str
    job: str | None = None

    @staticmethod
    def parse(text: str, job: str | None = None) -> JobReference:
        """Read a target of the command line: ``flights.py``, ``flights.py:daily``, ``package.flights:daily``.

        Raises:
            TargetError: It names a job twice, or nothing.
        """
        place, _, named = text.rpartition(":") if ":" in text else (text, "", "")
        if not place:
            raise TargetError(f"the target {text!r} names no file or module; write file.py:job or package.module:job")
        if named and job and named != job:
            raise TargetError(f"the target {text!r} names the job {named!r} and --job names {job!r}; name one")
        return JobReference(place, named or job)

    def __str__(self) -> str:
        return f"{self.place}:{self.job}" if self.job else self.place

    def load(self) -> JobDefinition:
        """Import the file or module and find the job.

        Raises:
            TargetError: There is no such file, module or job, or importing it failed; the exception that the user's own
                code raised is then the cause.
        """
        module = self._module()
        jobs = _jobs_in(module)
        if self.job is None:
            if len(jobs) == 1:
                return next(iter(jobs.values()))
            if not jobs:
                raise TargetError(
                    "defines no job: decorate a function with @job, or assign graph.to_job() to a name", where=self.place,
                )
            raise TargetError(f"defines several jobs; name one: {self.place}:{sorted(jobs)[0]} ({', '.join(sorted(jobs))})", where=self.place)
        found = jobs.get(self.job)
        if found is None:
            named = vars(module).get(self.job)
            if isinstance(named, JobDefinition):
                return named
            if isinstance(named, GraphDefinition):
                return named.to_job()
            raise TargetError(f"defines no job {self.job!r}.{did_you_mean(self.job, jobs)}", where=self.place)
        return found

    def _module(self) -> ModuleType:
        is_file = self.place.endswith(".py") or os.sep in self.place or os.path.isfile(self.place)  # noqa: PTH113 - as a string it is shown
        try:
            if is_file:
                if not os.path.isfile(self.place):  # noqa: PTH113 - as above
                    what = "is a folder, not a file" if os.path.isdir(self.place) else "there is no such file"  # noqa: PTH112 - as above
                    raise TargetError(f"{what}; name a Python file, or a module as package.module", where=self.place)
                return module_of_file(self.place)
            import_exactly()
            if sys.path[:1] != [os.getcwd()]:  # noqa: PTH109 - as above
                sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as above
            return importlib.import_module(self.place)
        except MemoError:
            raise
        except SyntaxError as error:
            at = f"{error.filename}:{error.lineno}" if error.filename else self.place
            raise TargetError(f"syntax error: {error.msg}", where=at) from error
        except ModuleNotFoundError as error:
            if not is_file and error.name and (self.place == error.name or self.place.startswith(error.name + ".")):
                hint = f" Did you mean {self.place}.py?" if os.path.isfile(self.place + ".py") else ""  # noqa: PTH113 - as above
                raise TargetError(f"there is no module {error.name!r} here.{hint}", where=self.place) from None
            raise TargetError(f"importing it failed: {error}", where=self.place) from error
        except (Exception, SystemExit) as error:
            raise TargetError(f"importing it failed: {type(error).__name__}: {error}", where=self.place) from error


def _jobs_in(module: ModuleType) -> dict[str, JobDefinition]:
    """The jobs of a module by their own names; those that it imported only where it defines none itself."""
    found = {value.name: value for value in vars(module).values() if isinstance(value, JobDefinition)}
    return dict(found)


def reference_of(job: JobDefinition) -> JobReference:
    """Find out how another process can find this job.

    Raises:
        DefinitionError: It is not the value of a name in a file.
    """
    for module in list(sys.modules.values()):
        attributes: dict[str, Any] = getattr(module, "__dict__", {})
        for name, value in list(attributes.items()):
            if value is job:
                file = getattr(module, "__file__", None)
                if file:
                    return JobReference(os.path.abspath(file), name)  # noqa: PTH100 - as above
    raise DefinitionError(
        "cannot be found by another process: assign it to a name at the top level of a file, or use the in-process executor",
        where=job.where,
    )


__all__ = ["JobReference", "reference_of"]
