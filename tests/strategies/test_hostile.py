"""Objects that lie, raise or never end: they are versioned without running their code, and never fail a plan."""

from __future__ import annotations

import abc
import argparse
import contextvars
import dataclasses
import functools
import io
import itertools
import queue
import sys
import threading
import time
import traceback
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memo.contracts.version_strategy import CodeVersion


RAN: list[str] = []


def ran(*_args: Any, **_kwargs: Any) -> Any:
    RAN.append("".join(traceback.format_stack(limit=4)))
    raise AssertionError("code of the user's ran while versioning")


class Intercepting(type):
    __getattribute__ = __eq__ = __hash__ = __instancecheck__ = __subclasscheck__ = __repr__ = ran


class Hostile:
    __eq__ = __hash__ = __getattr__ = __getattribute__ = __reduce_ex__ = __reduce__ = __getstate__ = ran
    __repr__ = __str__ = __bool__ = __len__ = __iter__ = __contains__ = __call__ = __get__ = __index__ = ran
    __fspath__ = __dir__ = __format__ = __sizeof__ = __set_name__ = ran
    __class__ = property(ran)

    def __init__(self) -> None: ...


class OfIntercepting(metaclass=Intercepting):
    __eq__ = __hash__ = __getattr__ = __getattribute__ = __reduce_ex__ = ran
    __class__ = property(ran)


class InterceptingABC(abc.ABCMeta): ...


class Abstract(metaclass=InterceptingABC): ...


InterceptingABC.__getattribute__ = ran  # type: ignore[method-assign] # once the class is made

Itself = "Itself"

OddlyAnnotated = dataclasses.make_dataclass(
    "OddlyAnnotated",
    [
        ("unfinished", "list["),
        ("itself", "Itself"),
        ("missing", "nowhere.Missing | None"),
        ("computed", "ran(1)[0]"),
        ("deep", "(" * 150 + "int" + ")" * 150),
        ("long", " | ".join(["int"] * 5_000)),
        ("hostile", "Hostile.__class__"),
    ],
)


class OwnProxied:
    __getattribute__ = ran


class Liar:
    __class__ = property(lambda self: types.FunctionType)


class OwnDict(dict[Any, Any]):
    __iter__ = __len__ = __getitem__ = keys = items = values = get = __contains__ = ran


class OwnList(list[Any]):
    __iter__ = __len__ = __getitem__ = __eq__ = ran


class OwnSet(set[Any]):
    __iter__ = __len__ = __contains__ = __eq__ = ran


class OwnStr(str):
    __eq__ = __hash__ = __len__ = encode = __str__ = ran
    __slots__ = ()


class OwnInt(int):
    __index__ = __int__ = __eq__ = __hash__ = __bool__ = ran


class NoDict:
    __dict__ = property(ran)


class SameHash:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return bool(ran())


class OwnError(Exception):
    __reduce__ = __str__ = ran


class OwnModule(types.ModuleType):
    __getattribute__ = ran


class OwnLocal(threading.local):
    pass


class OwnFile(io.BytesIO):
    __reduce_ex__ = __getstate__ = read = ran


HOSTILE, PROXIED = Hostile(), OwnProxied()


def _queue(content: Any) -> Any:
    found: queue.Queue[Any] = queue.Queue()
    found.queue.append(content)
    return found


def _self_referential() -> dict[str, Any]:
    as_list: list[Any] = []
    as_list.append(as_list)
    as_dict: dict[str, Any] = {}
    as_dict["x"] = as_dict
    as_tuple: tuple[Any, ...] = ([],)
    as_tuple[0].append(as_tuple)
    namespace = types.SimpleNamespace()
    namespace.me = namespace
    partial = functools.partial(ran, as_list)
    shared: list[Any] = [1]
    for _ in range(200):
        shared = [shared, shared]
    return {"a list": as_list, "a dict": as_dict, "a tuple": as_tuple, "a namespace": namespace, "a partial": partial,
            "two hundred times doubled": shared}  # fmt: skip


OBJECTS: dict[str, Any] = {
    "an instance": Hostile(),
    "a class": Hostile,
    "a class of an intercepting metaclass": OfIntercepting,
    "its instance": object.__new__(OfIntercepting),
    "a liar": Liar(),
    "a dict": OwnDict(a=1),
    "a list": OwnList([1, Hostile()]),
    "a set": OwnSet([1]),
    "a text": OwnStr("x"),
    "an integer": OwnInt(3),
    "without a __dict__": NoDict(),
    "keys": {SameHash(): 1},
    "members": {SameHash()},
    "an error": OwnError(1, Hostile()),
    "a module": OwnModule("own"),
    "a thread's own": OwnLocal(),
    "a file": OwnFile(b"x"),
    "a proxy of a mapping": types.MappingProxyType({"a": Hostile()}),
    "a weak proxy": weakref.proxy(Liar),
    "a memory view": memoryview(b"abc"),
    "a weak proxy of an instance": weakref.proxy(PROXIED),
    "a weak reference": weakref.ref(HOSTILE),
    "weak references": weakref.WeakSet([Hostile]),
    "a queue": _queue(HOSTILE),
    "a namespace with a lock": types.SimpleNamespace(lock=threading.Lock(), held=HOSTILE),
    "the keys of a dict": {"a": HOSTILE}.values(),
    "a context variable": contextvars.ContextVar("own", default=HOSTILE),
    "an abstract base": Abstract,
    "a class of odd annotations": OddlyAnnotated,
    "a frame": sys._getframe(),
    "a generator": (number for number in range(3)),
    "not a number": float("nan"),
    "half a surrogate pair": "\ud800",
    "a very large number": 1 << 100_000,
    "a code object": ran.__code__,
    "the modules": sys.modules,
    "a cell": types.CellType(Hostile()),
    **_self_referential(),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_object(version_of: Callable[..., CodeVersion], name: str) -> None:
    value = OBJECTS[name]
    RAN.clear()

    def closing_over() -> Any:
        return value

    namespace: dict[str, Any] = {"value": value}
    exec("def op(default=value, *, keyword=value):\n    return value, value.attribute, value.method()", namespace)
    op = namespace["op"]
    op.attribute = value
    for function in (closing_over, op, functools.partial(op, value)):
        first, second = version_of(function), version_of(function)
        # A module alone is asked for its attributes: it may make them when they are asked for.
        assert not RAN or name == "a module", RAN[0]
        assert first.version == second.version
        assert first.parts
        assert len({part.name for part in first.parts}) == len(first.parts)
        for part in first.parts:
            assert isinstance(part.detail, str)
            if part.source is not None:
                part.source()


def test_strange_functions(version_of: Callable[..., CodeVersion]) -> None:
    odd: Any = _function("def op(x=1):\n    return x\n")
    odd.__doc__ = odd.__module__ = Hostile()
    odd.__dict__[Hostile] = 1
    odd.__wrapped__ = odd
    bare = types.FunctionType(odd.__code__, {})
    assert version_of(odd).version != version_of(bare).version, "the default counts"


def _function(text: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "chained"}
    exec(compile(text, "<chained>", "exec"), namespace)
    return namespace["op"]


def _chain(length: int, end: int) -> Any:
    helpers = "\n".join(f"def f{i}(x): return f{i + 1}(x)" for i in range(length))
    return _function(f"{helpers}\ndef f{length}(x): return {end}\nop = f0")


def test_a_chain_of_five_thousand_helpers(version_of: Callable[..., CodeVersion]) -> None:
    started = time.perf_counter()
    first, second = version_of(_chain(5_000, 1)), version_of(_chain(5_000, 2))
    assert first.version != second.version
    assert len(first.parts) == 5_002
    assert time.perf_counter() - started < 10


def _ring(length: int, odd: int) -> Any:
    helpers = "\n".join(
        f"def f{i}(x): return f{(i + 1) % length}(x){' + 1' if i == odd else ''}" for i in range(length)
    )
    return _function(f"{helpers}\nop = f0")


def test_a_ring_of_helpers_alike_but_for_one(version_of: Callable[..., CodeVersion]) -> None:
    versions = [version_of(_ring(150, odd)).version for odd in (-1, 7, 8, 100, 149)]
    assert len(set(versions)) == len(versions)
    assert version_of(_ring(150, 7)).version == versions[1]


def test_a_constant_of_a_hundred_thousand_elements(version_of: Callable[..., CodeVersion]) -> None:
    numbers = ", ".join(f"'{i}'" for i in range(100_000))
    others = numbers.replace("'99999'", "'other'")
    first, second = (version_of(_function(f"def op(x): return x in {{{text}}}")) for text in (numbers, others))
    assert first.version != second.version


def test_many_instances(version_of: Callable[..., CodeVersion]) -> None:
    text = (
        "class Thing:\n    def __init__(self, i):\n        self.i = i\n        self.next = None\n"
        "things = [Thing(i) for i in range(3000)]\n"
        "for one, other in zip(things, things[1:]):\n    one.next, other.last = other, one\n"
        "def op(): return things"
    )
    first, second = version_of(_function(text)), version_of(_function(text.replace("Thing(i)", "Thing(i or 7)")))
    assert first.version != second.version
    assert not first.blind_spots


def test_an_empty_cell(version_of: Callable[..., CodeVersion]) -> None:
    def make() -> Any:
        def op() -> Any:
            return later

        found = version_of(op).version
        later = 1
        return found, version_of(op).version

    empty, filled = make()
    assert empty != filled


def test_user_code_that_raises_on_import(
    version_of: Callable[..., CodeVersion], load: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(
        """
        def op():
            import breaking_module
            return breaking_module.x
        """
    )
    (tmp_path / "breaking_module.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = version_of(module.op)
    assert "importing breaking_module raised SystemExit" in str(found.blind_spots[0])


def test_what_cannot_be_read_of_a_function_leaves_its_code(
    version_of: Callable[..., CodeVersion], load: Callable[..., Any]
) -> None:
    text = """
        def deeper(x):
            return x + {1}
        def helper(x=1):
            return deeper(x) + {0}
        helper.__kwdefaults__ = {{1: 2, "a": 3}}  # keys that cannot be sorted
        def op(x):
            return helper(x)
        """
    found = [version_of(load(text.format(*numbers)).op) for numbers in ((1, 1), (2, 1), (1, 2))]
    assert len({each.version for each in found}) == 3
    assert all("could not be looked into" in each.blind_spots[0].what for each in found)


def test_what_cannot_be_read_is_said(version_of: Callable[..., CodeVersion], load: Callable[..., Any]) -> None:
    module = load(
        """
        class Meta(type):
            __struct_config__ = "not one of msgspec's"
        class Odd(metaclass=Meta):
            pass
        def op():
            return Odd
        """
    )
    found = version_of(module.op)
    assert f"{module.__file__}:7: " in str(found.blind_spots[0])
    assert "which could not be looked into (AttributeError" in str(found.blind_spots[0])


def test_globals_of_a_class_of_the_users(version_of: Callable[..., CodeVersion]) -> None:
    class Globals(dict[str, Any]):
        __getitem__ = __missing__ = get = items = __iter__ = __contains__ = ran

    def globals_with(value: int) -> Any:
        return types.FunctionType(compile("LIMIT, missing", "own", "eval"), Globals(LIMIT=value, __name__="own"))

    assert version_of(globals_with(1)).version != version_of(globals_with(2)).version


def test_the_program_that_runs(version_of: Callable[..., CodeVersion], monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnParser(argparse.ArgumentParser):
        pass

    def version(kind: Any, program: str, **given: Any) -> str:
        monkeypatch.setattr(sys, "argv", [f"/somewhere/{program}"])
        parser = kind(**given)
        parser.add_subparsers().add_parser("read").add_argument("--limit", type=abs)
        return version_of(functools.partial(parser.parse_args)).version

    for kind in (argparse.ArgumentParser, OwnParser):
        assert version(kind, "memo") == version(kind, "pytest")
        assert version(kind, "memo", prog="own") == version(kind, "pytest", prog="own")
        assert version(kind, "memo", prog="own") != version(kind, "memo", prog="other")


def test_many_objects_that_cannot_be_pickled(version_of: Callable[..., CodeVersion]) -> None:
    things = [types.SimpleNamespace(at=at, lock=threading.Lock(), before=None) for at in range(2_000)]
    for one, other in itertools.pairwise(things):
        one.after, other.before = other, one
    started = time.perf_counter()
    first = version_of(functools.partial(ran, things[0])).version
    things[-1].at = "changed"
    assert version_of(functools.partial(ran, things[0])).version != first
    assert time.perf_counter() - started < 20
