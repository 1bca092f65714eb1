"""``edgeexit serve``: its options are the service's, and what it says where it cannot start."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from edgeexit_runtime.serving.options import ServeOptions
from support.command_line import invoke, message

server = pytest.importorskip("edgeexit_runtime.serving.server")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, ServeOptions]]:
    """What is served, of which nothing is."""
    calls: list[tuple[Path, ServeOptions]] = []
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    return calls


def test_options_that_are_not_given_are_the_services(served: list[Any]) -> None:
    invoke.ok("serve")
    assert served == [(Path("out"), ServeOptions())]


def test_every_option_of_the_service_is_one_of_the_command(served: list[Any]) -> None:
    given = {
        "name": "digits",
        "host": "0.0.0.0",
        "port": 1234,
        "sessions": 2,
        "backend": "onnxruntime",
        "providers": ("CPUExecutionProvider",),
        "threads": 1,
        "device": "cpu",
        "max_batch": 3,
        "max_wait_ms": 1.5,
        "queue": 9,
        "deadline_ms": 20.0,
        "max_bytes": 100,
        "max_pixels": 200,
        "timeout_s": 2.0,
    }
    assert set(given) == {field.name for field in dataclasses.fields(ServeOptions)}
    words = [
        word
        for name, value in given.items()
        for word in (
            f"--{name.replace('_', '-')}",
            ",".join(value) if isinstance(value, tuple) else value,
        )
    ]
    invoke.ok("serve", "--engine-dir", "b", *words)
    assert served == [(Path("b"), ServeOptions(**given))]


def test_no_bundle(tmp_path: Path) -> None:
    assert "none/manifest.json: no such file" in message(
        invoke("serve", "--engine-dir", tmp_path / "none")
    )


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "prometheus_client"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [it for it in sys.modules if it.startswith("edgeexit_runtime.serving.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [it for it in sys.modules if it.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]
    told = message(invoke("serve"))
    assert f"{missing} is not installed: pip install 'edgeexit-runtime[serve]'" in told
