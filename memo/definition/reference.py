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
        variables = {name: each for name, each in vars(module).items() if isinstance(each, JobDefinition)}
        if self.job is not None:
            return self._named(module, variables, self.job)
        found = {id(each): name for name, each in reversed(variables.items())}
        if not found:
            raise TargetError(
                "defines no job: decorate a function with @job, or assign graph.to_job() to a name", where=self.place
            )
        if len(found) > 1:
            names = sorted(_callable_by(variables))
            raise TargetError(
                f"defines several jobs; name one: {self.place}:{names[0]} ({', '.join(names)})", where=self.place
            )
        return variables[next(iter(found.values()))]

    def _named(self, module: ModuleType, variables: dict[str, JobDefinition], name: str) -> JobDefinition:
        """Find a job by the name of its variable, or else by its own; or else a graph, which becomes a job."""
        if name in variables:
            return variables[name]
        same = {id(each): variable for variable, each in variables.items() if each.name == name}
        if len(same) > 1:
            raise TargetError(
                f"has several jobs named {name!r}; name one by its variable: {', '.join(sorted(same.values()))}",
                where=self.place,
            )
        if same:
            return variables[next(iter(same.values()))]
        held = vars(module).get(name)
        if isinstance(held, GraphDefinition):
            return held.to_job()
        raise TargetError(f"defines no job {name!r}.{did_you_mean(name, _callable_by(variables))}", where=self.place)

    def _module(self) -> ModuleType:
        is_file = self.place.endswith(".py") or os.sep in self.place or self.place.startswith(".")
        is_file = is_file or os.path.isfile(self.place)
        if is_file and not os.path.isfile(self.place):
            what = "is a folder, not a file" if os.path.isdir(self.place) else "there is no such file"
            raise TargetError(f"{what}; name a Python file, or a module as package.module", where=self.place)
        try:
            return module_of_file(self.place) if is_file else _module_of_name(self.place)
        except MemoError:
            raise
        except SyntaxError as error:
            at = f"{error.filename}:{error.lineno}" if error.filename else self.place
            raise TargetError(f"syntax error: {error.msg}", where=at) from error
        except ModuleNotFoundError as error:
            if not is_file and error.name and (self.place == error.name or self.place.startswith(error.name + ".")):
                raise TargetError(
                    f"there is no module {error.name!r} here. Name a Python file, or a module as package.module",
                    where=self.place,
                ) from None
            raise TargetError(f"importing it failed: {error}", where=self.place) from error
        except (Exception, SystemExit) as error:
            raise TargetError(f"importing it failed: {type(error).__name__}: {error}", where=self.place) from error


def _module_of_name(name: str) -> ModuleType:
    import_exactly()
    here = os.getcwd()
    if sys.path[:1] != [here]:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def _callable_by(variables: dict[str, JobDefinition]) -> list[str]:
    """A name for each job: its own, or its variable's where others have the same."""
    own = [job.name for job in {id(each): each for each in variables.values()}.values()]
    return [job.name if own.count(job.name) == 1 else variable for variable, job in variables.items()]


def reference_of(job: JobDefinition) -> JobReference:
    """Find out how another process can find this job.

    Raises:
        DefinitionError: It is not the value of a name in a file.
    """
    for module in list(sys.modules.values()):
        attributes: dict[str, Any] = getattr(module, "__dict__", {})
        file = attributes.get("__file__")
        if not isinstance(file, str):
            continue
        for name, value in list(attributes.items()):
            if value is job:
                return JobReference(os.path.abspath(file), name)
    raise DefinitionError(
        "cannot be found by another process: assign it to a name at the top level of a file, or use the in-process "
        "executor",
        where=job.where,
    )


__all__ = ["JobReference", "reference_of"]
