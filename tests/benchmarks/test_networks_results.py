"""The program that takes other people's networks the whole way, and what it has found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Program = Callable[[str], ModuleType]

FOUND = Path(__file__).parents[2] / "docs" / "results" / "networks.json"


def found() -> list[Any]:
    """Return the networks of timm that were tried, with what became of them."""
    networks = json.loads(FOUND.read_text(encoding="utf-8"))["networks"]
    return [
        pytest.param(name, network["refused_at"], id=name)
        for name, network in networks.items()
        if network["library"] == "timm" and network["refused_at"] != "process"
    ]


def test_a_report_says_what_is_refused_and_why(program: Program, tmp_path: Path) -> None:
    networks = program("networks_results")
    good = networks.Tried("timm", "levit", "levit_128", 224, 8451636, ("a", "b"), difference=6e-7)
    bad = networks.Tried("torchvision", "x", "x", 128, 5, ("a",), "attach", "shared | weights")
    for one in (good, bad):
        networks.save(one, tmp_path)
        assert networks.load(tmp_path / f"{one.name}.json") == one
    names = ["timm-levit", "timm-vgg", "torchvision-x"]
    networks.write_report(tmp_path, [good, bad], names)
    text = (tmp_path / "networks.md").read_text(encoding="utf-8")
    assert "| timm | 1 of 2 | 1 |" in text
    assert "| torchvision | 1 of 1 | 0 |" in text
    assert r"| torchvision x | attach | shared \| weights |" in text
    assert "| timm levit_128 | 224 | 8.5M | a, b | 6e-07 |" in text
    stored = json.loads((tmp_path / "networks.json").read_text(encoding="utf-8"))
    assert stored["networks"]["torchvision-x"]["reason"] == "shared | weights"
    assert networks.stored(tmp_path) == {one.name: one for one in (good, bad)}
    (tmp_path / "networks.json").write_text(json.dumps({**stored, "versions": {"torch": "1"}}))
    assert networks.stored(tmp_path) == {}


def test_a_network_goes_the_whole_way(program: Program) -> None:
    tried = program("networks_results").try_network("torchvision-squeezenet1_1")
    assert (tried.refused_at, tried.reason) == (None, "")
    assert tried.exits == ("features.4", "features.7")
    assert 0 <= tried.difference < 1e-4


def test_what_ends_a_process_is_its_networks_result(program: Program, tmp_path: Path) -> None:
    networks = program("networks_results")
    networks.try_all(["torchvision-squeezenet1_1"], tmp_path, 1, minutes=0, gigabytes=8)
    (file,) = tmp_path.iterdir()
    tried = networks.load(file)
    assert (tried.family, tried.refused_at) == ("squeezenet1_1", "process")
    assert tried.reason == "takes more than 0 minutes"
    assert tried.is_fault


@pytest.mark.slow
@pytest.mark.parametrize(("name", "refused_at"), found() if FOUND.exists() else [])
def test_families_of_timm_go_as_far_as_the_table_says(
    program: Program, name: str, refused_at: str | None
) -> None:
    pytest.importorskip("timm")
    tried = program("networks_results").try_network(name)
    assert tried.refused_at == refused_at, tried.reason
