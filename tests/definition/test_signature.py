from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from memo.definition.ports import NO_VALUE
from memo.definition.signature import read_signature, takes_context
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(context, a: int, b: str = "x", *, c: float, d: bytes = b"") -> bool:
    return bool((context, a, b, c, d))


def without() -> None: ...


def only_defaults(a=1, b=2): ...


def underscored(_, a): ...


def second_underscore(a, _): ...


def with_attributes(a: int = 1) -> int:
    return a


with_attributes.owner = "ada"  # type: ignore[attr-defined]


def facts(fn: Any) -> tuple[bool, list[tuple[str, Any, Any]], Any]:
    found = read_signature(fn, "here")
    return (
        found.takes_context,
        [(each.name, each.default, found.resolved(each.annotation)) for each in found.parameters],
        found.resolved(found.returns),
    )


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (
            plain,
            (True, [("a", NO_VALUE, int), ("b", "x", str), ("c", NO_VALUE, float), ("d", b"", bytes)], bool),
        ),
        (without, (False, [], None)),
        (only_defaults, (False, [("a", 1, None), ("b", 2, None)], NO_VALUE)),
        (underscored, (True, [("a", NO_VALUE, None)], NO_VALUE)),
        (second_underscore, (False, [("a", NO_VALUE, None), ("_", NO_VALUE, None)], NO_VALUE)),
        (with_attributes, (False, [("a", 1, int)], int)),
        (
            functools.partial(plain, b="y"),
            (True, [("a", NO_VALUE, int), ("b", "y", str), ("c", NO_VALUE, float), ("d", b"", bytes)], bool),
        ),
        (functools.partial(without), (False, [], None)),
    ],
)
def test_what_a_signature_says(fn: Any, expected: Any) -> None:
    assert facts(fn) == expected


@pytest.mark.parametrize("fn", [plain, without, only_defaults, underscored, second_underscore])
def test_the_quick_way_and_the_slow_way_say_the_same(fn: Any) -> None:
    assert facts(fn) == facts(functools.partial(fn))


def test_an_annotation_is_read_where_it_was_written() -> None:
    class Local: ...

    def uses_local(a: Local, b: list[Local], c: Missing, d: Local | None) -> Local:  # type: ignore[name-defined]  # noqa: F821
        return Local()

    def annotates_only(a: Local) -> None: ...

    found = read_signature(uses_local, "here")
    annotations = [found.resolved(each.annotation) for each in found.parameters]
    assert annotations == [Local, list[Local], Any, Local | None]
    assert facts(annotates_only)[1] == [("a", NO_VALUE, Any)]


def test_a_closure_that_is_not_filled_yet_is_any_type() -> None:
    def uses_later() -> Later:
        return Later()

    assert facts(uses_later)[2] is Any

    class Later: ...

    assert facts(uses_later)[2] is Later


def test_an_annotation_that_is_no_string_is_taken_as_it_is() -> None:
    import numpy as np

    value = np.array([1, 2])

    def odd(a): ...

    odd.__annotations__.update({"a": value, "return": value})
    found = read_signature(odd, "here")

    assert found.resolved(found.parameters[0].annotation) is value
    assert found.resolved(found.returns) is value


class Callable1:
    async def __call__(self, a: int) -> int:
        return a


def generator():
    yield 1


async def coroutine(): ...


async def async_generator():
    yield 1


@pytest.mark.parametrize(
    ("fn", "is_generator", "is_async"),
    [
        (plain, False, False),
        (generator, True, False),
        (coroutine, False, True),
        (async_generator, True, True),
        (functools.partial(async_generator), True, True),
        (Callable1(), False, True),
        (Callable1().__call__, False, True),
    ],
)
def test_the_kind_of_a_function(fn: Any, is_generator: bool, is_async: bool) -> None:
    found = read_signature(fn, "here")

    assert (found.is_generator, found.is_async) == (is_generator, is_async)


def test_a_wrapper_that_finishes_an_async_generator_is_what_it_is_itself() -> None:
    @functools.wraps(async_generator)
    async def listing():
        return [each async for each in async_generator()]

    found = read_signature(listing, "here")

    assert (found.is_generator, found.is_async) == (False, True)


def hidden(a, b): ...


def unwrapped_decorator(fn: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    wrapper.__dict__["seen"] = True
    return wrapper


def late(a, context): ...


def late_keyword(a, *, context): ...


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (unwrapped_decorator(hidden), "must use functools.wraps"),
        (lambda *a: None, r"takes \*args or \*\*kwargs; name every input"),
        (lambda a, /: None, "positional-only arguments"),
        (functools.partial(lambda a, /: None), "positional-only arguments"),
        (max, "has no signature that could be read; wrap it in a function"),
        (late, "'context' elsewhere than first"),
        (late_keyword, "'context' elsewhere than first"),
        (functools.partial(late, a=1), "'context' elsewhere than first"),
    ],
)
def test_what_is_refused(fn: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=f"^here: .*{words}"):
        read_signature(fn, "here")


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (without, False),
        (lambda context: None, True),
        (lambda context=None: None, True),
        (lambda anything, more=1, *, further=2: None, True),
        (lambda *args: None, True),
        (lambda **kwargs: None, False),
        (functools.partial(lambda a, b: None, b=1), True),
        (Callable1(), True),
        (len, True),
    ],
)
def test_whether_a_resource_takes_the_context(fn: Any, expected: bool) -> None:
    assert takes_context(fn, "here") is expected


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda a, b: None, "more arguments than the context"),
        (lambda a, *, b: None, "more arguments than the context"),
        (lambda *, b: None, "more arguments than the context"),
        (functools.partial(lambda a, b, c: None, 1), "more arguments than the context"),
        (max, "no signature"),
    ],
)
def test_a_resource_that_needs_more(fn: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=f"^here: .*{words}"):
        takes_context(fn, "here")
