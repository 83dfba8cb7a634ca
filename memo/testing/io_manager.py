"""What every IO manager promises, as tests to inherit."""

from __future__ import annotations

import itertools
from copy import deepcopy
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest

from memo.contracts.io_manager import InputContext, IOManager, MemoizableIOManager, OutputContext
from memo.errors import OutputLostError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["IOManagerConformance", "MemoizableIOManagerConformance"]

_NAMES = (
    "result",
    "Result",
    "a.b",
    "a_b",
    "a/b",
    "a\\b",
    "../result",
    "..",
    ".",
    "/result",
    "~result",
    "a b",
    "a\nb",
    "a\tb",
    "a*b?[c]",
    "a%2Fb",
    "a=b",
    "a#b",
    "a:b",
    "résultat",
    "re\u0301sultat",
    "r\u00e9sultat\U0001f600",
    "con",
    "-",
    "x" * 300,
    "x" * 299 + "y",
    "X" * 300,
)
"""Names as users and dynamic outputs bring them. No two are the same, though on some file systems they are."""


class IOManagerConformance:
    """The promises of every IO manager.

    Inherit it in a test module, under a name that begins with ``Test``, and say how a manager is made.

    >>> class TestMyIOManager(IOManagerConformance):
    ...     def make_io_manager(self, folder):
    ...         return MyIOManager(folder / "outputs")

    Attributes:
        values: Different values that the manager can store; at least three.
    """

    values: tuple[Any, ...] = (
        {"rows": [1, 2.5, "three", None, b"4"] * 1000, "nested": {"a": (1, 2)}},
        None,
        0,
        "text",
        [],
        list(range(100_000)),
    )

    def make_io_manager(self, folder: Path) -> IOManager:
        """Make a manager that keeps its values in a folder, or wherever else it does.

        Args:
            folder: An empty folder for one test. Called with the same folder again, as for another process, a
                manager that shares between processes must find what the first one stored.
        """
        raise NotImplementedError

    def same(self, stored: Any, loaded: Any) -> bool:
        """Say whether a loaded value is the one that was stored; override it where ``==`` cannot say."""
        return type(stored) is type(loaded) and bool(stored == loaded)

    def failing_value(self) -> Any:
        """Make a value whose storing fails half-way; override it for a manager that takes only some types."""
        return [b"x" * 1_000_000, _Unstorable()]

    def change(self, value: Any) -> None:
        """Change a loaded value in place as a step that reads it might; override it for values that are no dicts."""
        value.clear()

    # What the tests are written with.

    def store(self, io_manager: IOManager, context: OutputContext, value: Any) -> None:
        """Store a value as the engine does: a manager may be a generator of metadata."""
        for _ in io_manager.handle_output(context, value) or ():
            pass

    def load(self, io_manager: IOManager, context: OutputContext) -> Any:
        """Load an output as the engine does for a step that reads it."""
        return io_manager.load_input(InputContext("value", context, step_key="reader"))

    def check_loads(self, io_manager: IOManager, context: OutputContext, value: Any) -> None:
        """Fail unless the output loads as this value."""
        loaded = self.load(io_manager, context)
        assert self.same(value, loaded), f"{context!r} was stored as {value!r:.99} and loaded as {loaded!r:.99}"

    def check_lost(self, io_manager: IOManager, context: OutputContext) -> None:
        """Fail unless loading the output raises `OutputLostError`."""
        with pytest.raises(OutputLostError):
            self.load(io_manager, context)

    def contexts(self) -> Mapping[str, OutputContext]:
        """Outputs that differ from ``base`` in one thing each, all of them different outputs."""
        return {
            "base": OutputContext("step", "result", "version", "run"),
            "another version": OutputContext("step", "result", "version2", "run"),
            "another output": OutputContext("step", "other", "version", "run"),
            "a mapping key": OutputContext("step", "result", "version", "run", "key"),
            "another mapping key": OutputContext("step", "result", "version", "run", "key2"),
            "of a run": OutputContext("step", "result", None, "run"),
            "of another run": OutputContext("step", "result", None, "run2"),
            "of another step": OutputContext("step2", "result", None, "run"),
            "of a run, another output": OutputContext("step", "other", None, "run"),
            "of a run, with a mapping key": OutputContext("step", "result", None, "run", "key"),
            "of a run named as a version is": OutputContext("version", "result", None, "versioned_outputs"),
        }

    def hostile_contexts(self) -> list[OutputContext]:
        """Different outputs whose names and versions no file system was made for."""
        return [
            *(OutputContext("step", name, "version", "run") for name in _NAMES),
            *(OutputContext("step", "result", version, "run") for version in ("1.0.2", "v/1", "V1", "v1", *_NAMES)),
            *(OutputContext("step", "result", "version", "run", key) for key in _NAMES),
            *(OutputContext(step, "result", None, "run") for step in _NAMES),
            *(OutputContext("step", "result", None, run) for run in _NAMES),
            OutputContext("a", "b.c", None, "run"),
            OutputContext("a.b", "c", None, "run"),
            OutputContext("a.b.c", "d", None, "run"),
            OutputContext("a", "b", None, "run", "c"),
        ]

    # The promises.

    def test_what_is_stored_can_be_loaded(self, tmp_path: Path) -> None:
        """A value comes back as it was stored."""
        io_manager = self.make_io_manager(tmp_path)
        for number, value in enumerate(self.values):
            context = OutputContext("step", "result", f"v{number}", "run")
            self.store(io_manager, context, value)
            self.check_loads(io_manager, context, value)

    def test_it_can_be_loaded_again(self, tmp_path: Path) -> None:
        """Loading takes nothing away."""
        io_manager = self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        self.store(io_manager, context, self.values[0])
        self.check_loads(io_manager, context, self.values[0])
        self.check_loads(io_manager, context, self.values[0])

    def test_what_a_reader_changes_is_its_own(self, tmp_path: Path) -> None:
        """A step may change what it was given: neither what is stored changes, nor what another step was given."""
        io_manager = self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        value = deepcopy(self.values[0])
        if isinstance(value, str | bytes | int | float | None):
            return  # nobody can change it
        self.store(io_manager, context, value)
        sibling, loaded = self.load(io_manager, context), self.load(io_manager, context)
        self.change(loaded)
        assert not self.same(self.values[0], loaded), "change() changed nothing"
        assert self.same(self.values[0], sibling), "what one reader changed, another one sees changed"
        self.check_loads(io_manager, context, self.values[0])

    def test_a_loaded_value_stays_what_it_is(self, tmp_path: Path) -> None:
        """However it is held: storing the output anew, over what the value was loaded from, does not change it."""
        io_manager = self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        self.store(io_manager, context, deepcopy(self.values[0]))
        loaded = self.load(io_manager, context)
        for value in self.values[1:3]:
            self.store(io_manager, context, value)
        assert self.same(self.values[0], loaded), f"it was loaded as {self.values[0]!r:.99} and is now {loaded!r:.99}"

    def test_different_outputs_are_kept_apart(self, tmp_path: Path) -> None:
        """Versions, names, mapping keys, runs and steps each tell outputs apart."""
        io_manager = self.make_io_manager(tmp_path)
        self._check_kept_apart(io_manager, list(self.contexts().values()))

    def test_hostile_names_are_kept_apart_within_the_storage(self, tmp_path: Path) -> None:
        """Any string can be a name or a version; none leads out of the storage or to another output."""
        folder = tmp_path / "outer" / "storage"
        folder.mkdir(parents=True)
        io_manager = self.make_io_manager(folder)
        self._check_kept_apart(
            io_manager, list({tuple(c.get_identifier()): c for c in self.hostile_contexts()}.values())
        )
        outside = [path for path in tmp_path.rglob("*") if path != folder and folder not in path.parents]
        assert outside == [folder.parent], f"these lie outside of the storage: {outside}"

    def test_names_that_differ_in_case_alone_are_kept_apart_without_case(self, tmp_path: Path) -> None:
        """On a file system that ignores case, too, every output has files of its own."""
        io_manager = self.make_io_manager(tmp_path)
        for name in ("result", "Result", "RESULT"):
            self.store(io_manager, OutputContext("step", name, "v", "run"), self.values[0])
        names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
        clash = len(names) - len({name.lower() for name in names})
        assert clash == 0, f"{clash} of these are one file where case does not count: {names}"

    def test_storing_again_replaces(self, tmp_path: Path) -> None:
        """The latest value counts."""
        io_manager = self.make_io_manager(tmp_path)
        for context in self.contexts().values():
            for value in self.values[:3]:
                self.store(io_manager, context, value)
            self.check_loads(io_manager, context, self.values[2])

    def test_what_was_never_stored_is_lost(self, tmp_path: Path) -> None:
        """Loading what is not there says so in the way that the engine understands."""
        io_manager = self.make_io_manager(tmp_path)
        for context in self.contexts().values():
            self.check_lost(io_manager, context)

    def test_a_failed_store_leaves_no_output(self, tmp_path: Path) -> None:
        """What could not be stored whole is not there."""
        io_manager = self.make_io_manager(tmp_path)
        for context in self.contexts().values():
            if self._fails_to_store(io_manager, context):
                self.check_lost(io_manager, context)

    def test_a_failed_store_is_no_other_value(self, tmp_path: Path) -> None:
        """Where storing again fails, the output is what it was, or it is gone."""
        io_manager = self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        self.store(io_manager, context, self.values[0])
        if self._fails_to_store(io_manager, context):
            try:
                self.check_loads(io_manager, context, self.values[0])
            except OutputLostError:
                return

    def test_two_threads_may_store_the_same_output(self, tmp_path: Path) -> None:
        """Whoever comes last, the output is one of the two values."""
        io_manager = self.make_io_manager(tmp_path)
        for number in range(20):
            context = OutputContext("step", "result", f"v{number}", "run")
            self._store_at_once(io_manager, context, self.values[:2])
            loaded = self.load(io_manager, context)
            assert any(self.same(value, loaded) for value in self.values[:2]), f"neither of the two: {loaded!r:.99}"

    def test_another_instance_finds_it(self, tmp_path: Path) -> None:
        """A manager that shares between processes finds what another one stored."""
        first, second = self.make_io_manager(tmp_path), self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        self.store(first, context, self.values[0])
        if first.shares_between_processes():
            self.check_loads(second, context, self.values[0])
            self.check_loads(second, OutputContext("renamed", "result", "v", "run2"), self.values[0])

    def _check_kept_apart(self, io_manager: IOManager, contexts: list[OutputContext]) -> None:
        stored = list(zip(contexts, itertools.cycle(self.values[:3]), strict=False))
        for context, value in stored:
            self.store(io_manager, context, value)
        for context, value in stored:
            self.check_loads(io_manager, context, value)

    def _store_at_once(self, io_manager: IOManager, context: OutputContext, values: tuple[Any, ...]) -> None:
        ready = Barrier(len(values))
        raised: list[BaseException] = []

        def run(value: Any) -> None:
            ready.wait()
            try:
                self.store(io_manager, context, value)
            except BaseException as error:  # noqa: BLE001 - shown by the test, not by the thread
                raised.append(error)

        threads = [Thread(target=run, args=(value,)) for value in values]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not raised, f"storing the same output at once raised {raised!r}"

    def _fails_to_store(self, io_manager: IOManager, context: OutputContext) -> bool:
        try:
            self.store(io_manager, context, self.failing_value())
        except Exception:  # noqa: BLE001 - any error will do: what it leaves behind is what counts
            return True
        return False


class MemoizableIOManagerConformance(IOManagerConformance):
    """The promises of an IO manager that can say what it has stored, those of every IO manager among them."""

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        """As for every IO manager."""
        raise NotImplementedError

    def damage(self, folder: Path) -> None:
        """Damage every value that was stored, as a disk or a person might; override it to have that tested."""
        pytest.skip(f"this test class does not say how what is stored in {folder} could be damaged")

    def test_has_output_is_false_before_and_true_after(self, tmp_path: Path) -> None:
        """An output is there once it is stored, and no other is there for that."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = list(self.contexts().values())
        for count, context in enumerate(contexts):
            answers = [io_manager.has_output(each) for each in contexts]
            expected = [True] * count + [False] * (len(contexts) - count)
            assert answers == expected, f"stored were {contexts[:count]}; has_output said {answers}"
            self.store(io_manager, context, self.values[count % 3])
            assert io_manager.has_output(context) is True, f"has_output is not True for {context!r}, just stored"

    def test_has_outputs_agrees_with_has_output_in_order(self, tmp_path: Path) -> None:
        """Asked for many at once, it says the same as asked for each."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = [*self.contexts().values(), *self.hostile_contexts()]
        for context in contexts[::2]:
            self.store(io_manager, context, self.values[0])
        one_by_one = [io_manager.has_output(context) for context in contexts]
        assert any(one_by_one), "has_output is False for everything that was stored"
        assert not all(one_by_one), "has_output is True for what was not stored"
        for asked in (range(len(contexts)), range(len(contexts))[::-1], (1, 0, 1), ()):
            answers = list(io_manager.has_outputs([contexts[place] for place in asked]))
            expected = [one_by_one[place] for place in asked]
            assert answers == expected, f"has_outputs said {answers}, and has_output {expected}"

    def test_it_can_be_asked_without_a_run(self, tmp_path: Path) -> None:
        """While planning there is no run: the version names the output; without one nothing is there."""
        io_manager = self.make_io_manager(tmp_path)
        self.store(io_manager, OutputContext("step", "result", "v", "run"), self.values[0])
        planned = [
            OutputContext("step", "result", "v"),
            OutputContext("step", "result"),
            OutputContext("x", "y", "v2"),
        ]
        answers = list(io_manager.has_outputs(planned))
        assert answers == [True, False, False], f"asked for {planned}, has_outputs said {answers}"

    def test_neither_step_nor_run_counts_under_a_version(self, tmp_path: Path) -> None:
        """A renamed step, or another run, finds the output of its version."""
        io_manager = self.make_io_manager(tmp_path)
        self.store(io_manager, OutputContext("step", "result", "v", "run", job_name="job"), self.values[0])
        renamed = OutputContext("renamed", "result", "v", "run2", job_name="other")
        assert io_manager.has_output(renamed), "has_output does not find it for another step and run"
        self.check_loads(io_manager, renamed, self.values[0])

    def test_a_failed_store_is_not_an_output(self, tmp_path: Path) -> None:
        """`has_output` is False after a store that failed."""
        io_manager = self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        if self._fails_to_store(io_manager, context):
            assert io_manager.has_output(context) is False, "a store that failed counts as stored"
            assert list(io_manager.has_outputs([context])) == [False], "as has_outputs says"

    def test_another_instance_has_it(self, tmp_path: Path) -> None:
        """`has_output` of another instance sees it too, where the manager shares between processes."""
        first, second = self.make_io_manager(tmp_path), self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        assert second.has_output(context) is False, "has_output is True for what was not stored"
        self.store(first, context, self.values[0])
        shares = first.shares_between_processes()
        answers = (second.has_output(context), *second.has_outputs([context]))
        assert answers == (shares, shares), f"it shares: {shares}; another instance says {answers}"

    def test_content_digests_come_in_order(self, tmp_path: Path) -> None:
        """For every output asked: the digest it was stored with, or None."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = [OutputContext("step", f"output{number}", "v", "run") for number in range(4)]
        for context in contexts[1:3]:
            self.store(io_manager, context, self.values[0])
        answers = list(io_manager.content_digests(contexts))
        assert len(answers) == 4, f"4 outputs were asked for, and {len(answers)} answers came"
        assert answers[0] is answers[3] is None, "what was never stored has no digest"

    def test_a_damaged_output_is_never_a_value(self, tmp_path: Path) -> None:
        """What is not whole is never loaded: it is lost, and can be stored anew."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = list(self.contexts().values())
        for context in contexts:
            self.store(io_manager, context, self.values[0])
        self.damage(tmp_path)
        for context in contexts:
            self.check_lost(io_manager, context)
            self.store(io_manager, context, self.values[1])
            assert io_manager.has_output(context), "what was stored anew over what was damaged is not there"
            self.check_loads(io_manager, context, self.values[1])


class _Unstorable:
    """A value that raises when it is pickled."""

    def __reduce__(self) -> str:
        raise TypeError("this value cannot be stored")
