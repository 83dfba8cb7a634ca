"""What config takes from the environment may be a secret: it is written nowhere in the home nor in the shared place."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from tests.flow.test_sharing import Machine

PIPELINE = """
    from dataclasses import dataclass

    from memo import IntSource, StringSource, job, op, resource

    @dataclass
    class Login:
        user: str
        password: str

        def __post_init__(self):
            self.url = f"db://{self.user}:{self.password}@host"

    @resource(config_schema={"password": StringSource, "more": [StringSource], "pin": IntSource})
    def database(init_context):
        return len(init_context.resource_config["password"])

    @resource(config_schema={"url": str, "limit": int})
    def inner(init_context):
        return init_context.resource_config["limit"]

    def address(config):
        return {"url": "db://" + config["password"][::-1] + config["password"], "limit": 7}

    made = inner.configured(address, config_schema={"password": StringSource})
    fixed = inner.configured(lambda _: {"url": "db://open", "limit": 8})

    @op(
        config_schema={"token": StringSource, "limit": int, "nested": {"key": StringSource}},
        required_resource_keys={"database", "made", "fixed"},
    )
    def fetch(context) -> int:
        return len(context.op_config["token"]) + context.op_config["limit"]

    @op(config_schema=Login)
    def log_in(context, number: int) -> int:
        return number + len(context.op_config.password)

    @op(config_schema=StringSource)
    def whole(context, number: int) -> int:
        return number + len(context.op_config)

    @job(
        resource_defs={"database": database, "made": made, "fixed": fixed},
        config={
            "resources": {
                "database": {
                    "config": {
                        "password": {"env": "SECRET_A"},
                        "more": ["plain", {"env": "SECRET_B"}],
                        "pin": {"env": "SECRET_PIN"},
                    }
                },
                "made": {"config": {"password": {"env": "SECRET_C"}}},
            },
            "ops": {
                "fetch": {
                    "config": {"token": {"env": "SECRET_A"}, "limit": 12345, "nested": {"key": {"env": "SECRET_B"}}}
                },
                "log_in": {"config": {"user": "ada", "password": {"env": "SECRET_C"}}},
                "whole": {"config": {"env": "SECRET_D"}},
            },
        },
    )
    def secretive():
        whole(log_in(fetch()))
"""

SECRETS = {
    "SECRET_A": "aardvark-8281",
    "SECRET_B": "beaver-9163",
    "SECRET_C": "crocodile-7712",
    "SECRET_D": "dromedary-5524",
    "SECRET_PIN": "86753091",
}


def everything(folder: Path) -> bytes:
    """All files below a folder as they stand there, and what is packed in them."""
    found: list[bytes] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            found += [str(path).encode(), raw, *unpacked(raw)]
    return b"\n".join(found)


def unpacked(raw: bytes) -> list[bytes]:
    """Whatever in a file was packed by zlib."""
    found: list[bytes] = []
    at = raw.find(b"\x78")
    while at >= 0:
        with suppress(zlib.error):
            found.append(zlib.decompressobj().decompress(raw[at:]))
        at = raw.find(b"\x78", at + 1)
    return found


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Machine, Machine]:
    found = tuple(Machine(tmp_path / name, str(tmp_path / "shared")) for name in ("one", "other"))
    for machine in found:
        machine.write("pipeline.py", PIPELINE)
    return found  # type: ignore[return-value]


def test_no_value_from_the_environment_is_kept_or_shared(homes: tuple[Machine, Machine], tmp_path: Path) -> None:
    one, other = homes
    ran = one.memo("run", "pipeline.py", **SECRETS)
    assert ran.returncode == 0, ran.stderr
    assert "0 steps run, 3 reused" in other.memo("run", "pipeline.py", **SECRETS).stderr

    for folder in (tmp_path / "shared", one.home, other.home):
        held = everything(folder)
        assert b"12345" in held, "what is no secret is found: in the recipes"
        for variable, value in SECRETS.items():
            assert value.encode() not in held, f"{variable} in {folder}"
            assert value[::-1].encode() not in held, f"{variable} turned round in {folder}"
            assert variable.encode() in held


def test_why_names_the_variable_and_not_its_values(homes: tuple[Machine, Machine]) -> None:
    one, other = homes
    assert one.memo("run", "pipeline.py", **SECRETS).returncode == 0
    changed = {**SECRETS, "SECRET_A": "another-3305", "SECRET_C": "yet-another-4410"}
    for step in ("fetch", "log_in"):
        found = other.memo("why", "pipeline.py", step, **changed)
        assert found.returncode == 0, found.stderr
        told = found.stdout + other.memo("why", "pipeline.py", step, "--json", **changed).stdout
        assert "from the environment: SECRET_" in told
        for value in (*SECRETS.values(), *changed.values()):
            assert value not in told
    paths = json.dumps(json.loads(other.memo("why", "pipeline.py", "fetch", "--json", **changed).stdout))
    assert "database: config.password" in paths
    assert "nested.key" not in paths, "what has not changed is not told"
