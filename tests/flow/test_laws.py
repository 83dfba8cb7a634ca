"""The laws, as properties: random graphs, random edits, and what must hold after each.

1. A memoized run equals a full run.
2. Running twice runs nothing the second time.
3. A change runs its descendants, and only as far as values really change.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memo import (
    MEMOIZED_RUN_TAG,
    In,
    JobDefinition,
    Nothing,
    OpVersionContext,
    Out,
    SourceHashVersionStrategy,
    VersionStrategy,
    execute_job,
    graph,
    op,
)

SEQUENCES = int(os.environ.get("MEMO_LAW_SEQUENCES", "100" if os.environ.get("CI") else "60"))


@dataclass(frozen=True)
class Node:
    """A step as the test models it.

    Attributes:
        kind: What its op does with its inputs.
        constant: Part of the op's code: a closure.
        padding: Code that changes nothing of the value.
        config: The op's config.
        reads: The steps it reads, in order.
        waits: A step it only waits for.
        literal: A value passed in the graph's body.
    """

    kind: str
    constant: int
    padding: int
    config: int
    reads: tuple[int, ...]
    waits: int | None = None
    literal: int = 0


@dataclass(frozen=True)
class Model:
    nodes: tuple[Node, ...]
    lost: tuple[int, ...] = field(default=())

    def values(self) -> list[Any]:
        """What every step gives, worked out without memo."""
        found: list[Any] = []
        for node in self.nodes:
            found.append(value_of(node, [found[each] for each in node.reads]))
        return found

    def below(self, start: set[int]) -> set[int]:
        found = set(start)
        for index, node in enumerate(self.nodes):
            if found & {*node.reads, *([node.waits] if node.waits is not None else [])}:
                found.add(index)
        return found


def value_of(node: Node, inputs: list[Any]) -> Any:
    total = sum(number(each) * (place + 1) for place, each in enumerate(inputs)) + node.literal
    if node.kind == "sum":
        return total + node.constant + node.config
    if node.kind == "coarse":
        return (total + node.constant + node.config) // 1000
    if node.kind == "constant":
        return node.constant
    if node.kind == "none":
        return None
    if node.kind == "text":
        return {
            "text": str(total * node.constant),
            "parts": [node.config, float(total)],
            "set": {node.constant, -1},
        }
    raise AssertionError(node.kind)


def number(value: Any) -> int:
    """What a step makes of a value that it reads."""
    if value is None:
        return 7
    return int(value["text"]) if isinstance(value, dict) else int(value)


KINDS = ("sum", "sum", "sum", "coarse", "constant", "none", "text")


def make_op(index: int, node: Node) -> Any:
    """An op whose code reaches its constant and its padding through closures."""
    kind, constant, padding, literal = node.kind, node.constant, node.padding, node.literal

    def compute(context: Any, numbers: list[Any], extra: int) -> Any:
        _ = padding
        model = Node(kind, constant, 0, context.op_config["value"], (), literal=extra)
        return value_of(model, numbers)

    _ = literal
    return op(
        name=f"n{index}",
        config_schema={"value": int},
        ins={"after": In(Nothing)},
        out=Out(io_manager_key="io_manager"),
    )(compute)


def make_job(model: Model, strategy: VersionStrategy) -> JobDefinition:
    ops = [make_op(index, node) for index, node in enumerate(model.nodes)]

    @graph(name="random")
    def composed() -> None:
        handles: list[Any] = []
        for index, node in enumerate(model.nodes):
            wires: dict[str, Any] = {"numbers": [handles[each] for each in node.reads], "extra": node.literal}
            if node.waits is not None:
                wires["after"] = handles[node.waits]
            handles.append(ops[index](**wires))

    return composed.to_job(version_strategy=strategy)


def config_of(model: Model) -> dict[str, Any]:
    return {"ops": {f"n{index}": {"config": {"value": node.config}} for index, node in enumerate(model.nodes)}}


class Pipeline:
    """A model, run in a home of its own."""

    def __init__(self, folder: Path, strategy: VersionStrategy) -> None:
        self.home = folder / "home"
        self.strategy = strategy

    def run(
        self, model: Model, *, tags: dict[str, str] | None = None, home: Path | None = None
    ) -> tuple[set[int], list[Any]]:
        result = execute_job(
            make_job(model, self.strategy),
            instance=home or self.home,
            run_config=config_of(model),
            tags=tags,
            raise_on_error=True,
        )
        assert result.success
        ran = {int(key[1:]) for key in result.executed}
        values = []
        for index in range(len(model.nodes)):
            if f"n{index}" in result.steps_with("unneeded"):
                values.append(LOST)
            else:
                values.append(result.output_for_node(f"n{index}"))
        return ran, values

    def lose(self, share: float, order: list[int]) -> None:
        """Delete, cut or garble some of the stored files."""
        files = sorted(path for path in (self.home / "storage").rglob("*") if path.is_file())
        for place in order[: max(1, int(len(files) * share))]:
            if not files:
                return
            path = files.pop(place % len(files))
            action = place % 3
            if action == 0:
                path.unlink()
            elif action == 1:
                path.write_bytes(path.read_bytes()[:-1])
            else:
                path.write_bytes(b"")


LOST = object()


def same(found: list[Any], expected: list[Any]) -> bool:
    return all(
        each is LOST or (type(each) is type(right) and each == right)
        for each, right in zip(found, expected, strict=True)
    )


@st.composite
def models(draw: st.DrawFn, least: int = 2, most: int = 40) -> Model:
    count = draw(st.integers(least, most))
    nodes = []
    for index in range(count):
        reads = draw(st.lists(st.integers(0, index - 1), max_size=3)) if index else []
        waits = draw(st.none() | st.integers(0, index - 1)) if index else None
        nodes.append(
            Node(
                draw(st.sampled_from(KINDS)),
                draw(st.integers(0, 50)),
                0,
                draw(st.integers(0, 5)),
                tuple(reads),
                waits,
                draw(st.integers(0, 3)),
            ),
        )
    return Model(tuple(nodes))


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, int]:
    what = draw(
        st.sampled_from(["constant", "padding", "config", "literal", "rewire", "swap", "lose", "revert", "add", "drop"])
    )
    return what, draw(st.integers(0, 1000)), draw(st.integers(0, 1000))


def edited(model: Model, edit: tuple[str, int, int]) -> tuple[Model, set[int]]:
    """A model after an edit, and the steps that the edit touched."""
    what, which, amount = edit
    index = which % len(model.nodes)
    node = model.nodes[index]
    if what == "constant":
        changed = replace(node, constant=node.constant + 1 + amount % 3)
    elif what == "padding":
        changed = replace(node, padding=node.padding + 1)
    elif what == "config":
        changed = replace(node, config=node.config + 1)
    elif what == "literal":
        changed = replace(node, literal=node.literal + 1)
    elif what == "rewire" and index:
        reads = (*node.reads[1:], amount % index)
        changed = replace(node, reads=reads)
    elif what == "swap" and len(node.reads) > 1:
        changed = replace(node, reads=node.reads[::-1])
    elif what == "add":
        added = Node("sum", amount % 7, 0, 1, (index,))
        return Model((*model.nodes, added)), {len(model.nodes)}
    elif what == "drop" and len(model.nodes) > 2:
        return Model(model.nodes[:-1]), set()
    else:
        return model, set()
    if changed == node:
        return model, set()
    return Model((*model.nodes[:index], changed, *model.nodes[index + 1 :])), {index}


def check_sequence(
    strategy: VersionStrategy, model: Model, sequence: list[tuple[str, int, int]], *, exact: bool
) -> None:
    """Run a model cold, and again after each edit; see that the laws hold each time."""
    with TemporaryDirectory() as name:
        pipeline = Pipeline(Path(name), strategy)
        ran, values = pipeline.run(model)
        assert same(values, model.values())
        before = [model]
        lost: set[int] = set()
        for edit in sequence:
            what, which, amount = edit
            if what == "lose":
                pipeline.lose(0.2, [which, amount, which + amount])
                touched = set(range(len(model.nodes)))
            elif what == "revert":
                model, touched = before[which % len(before)], set(range(len(model.nodes)))
            else:
                model, touched = edited(model, edit)
            ran, values = pipeline.run(model)
            assert same(values, model.values()), f"stale after {edit}"
            if what not in {"lose", "revert"}:
                # What was lost and not needed so far may be needed now, by what the edit is above of.
                may_run = model.below(touched) | lost
                assert ran <= may_run, f"ran {ran - may_run} though {edit} is not above"
            if what == "revert" and exact and not any(each[0] == "lose" for each in sequence):
                assert not ran, "a version that was stored before ran again"
            ran, values = pipeline.run(model)
            assert not ran, f"a second run ran {ran} after {edit}"
            assert same(values, model.values())
            before.append(model)
            lost = {index for index, value in enumerate(values) if value is LOST}


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(), st.lists(edits(), min_size=1, max_size=6))
def test_the_laws_hold(model: Model, sequence: list[tuple[str, int, int]]) -> None:
    check_sequence(SourceHashVersionStrategy(), model, sequence, exact=True)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(most=12))
def test_a_run_without_memoization_gives_the_same_and_reuses_nothing(model: Model) -> None:
    with TemporaryDirectory() as name:
        pipeline = Pipeline(Path(name), SourceHashVersionStrategy())
        pipeline.run(model)
        ran, values = pipeline.run(model, tags={MEMOIZED_RUN_TAG: "false"})

        assert ran == set(range(len(model.nodes)))
        assert same(values, model.values())


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(most=12))
def test_outputs_are_found_without_the_catalog(model: Model) -> None:
    with TemporaryDirectory() as name:
        pipeline = Pipeline(Path(name), SourceHashVersionStrategy())
        pipeline.run(model)
        for path in pipeline.home.glob("catalog.db*"):
            path.unlink()
        ran, values = pipeline.run(model)

        assert not ran
        assert same(values, model.values())
        shutil.rmtree(pipeline.home)


class BlindToClosures(VersionStrategy):
    """Broken on purpose: what an op's closure holds does not count."""

    def get_op_version(self, context: OpVersionContext) -> str:
        assert context.op_def.compute_fn is not None
        return context.op_def.compute_fn.__code__.co_code.hex()


class NeverTheSame(VersionStrategy):
    """Broken on purpose: every plan has other versions."""

    def __init__(self) -> None:
        self.count = 0

    def get_op_version(self, context: OpVersionContext) -> str:
        self.count += 1
        return str(self.count)


TWO_SUMS = Model((Node("sum", 1, 0, 0, ()), Node("sum", 2, 0, 0, (0,))))


def test_the_laws_catch_a_strategy_that_serves_stale_values() -> None:
    with pytest.raises(AssertionError, match="stale after"):
        check_sequence(BlindToClosures(), TWO_SUMS, [("constant", 0, 0)], exact=True)


def test_the_laws_catch_a_strategy_that_reruns_for_nothing() -> None:
    with pytest.raises(AssertionError, match=r"a second run ran|is not above"):
        check_sequence(NeverTheSame(), TWO_SUMS, [("config", 0, 0)], exact=True)


def test_the_laws_catch_the_blind_strategy_on_random_graphs_too() -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(models(most=5), st.lists(edits(), min_size=1, max_size=4))
    def attempt(model: Model, sequence: list[tuple[str, int, int]]) -> None:
        check_sequence(BlindToClosures(), model, sequence, exact=True)

    with pytest.raises(AssertionError):
        attempt()
