"""``edgeexit plan``: from patterns to what to train, here and on a device without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny_backbones  # noqa: F401  registers them
from support.command_line import Command, one_line

plan = Command("plan")
TINY = ("three_convolutions", "--branches", "n+n,1+1", "--num-classes", "3")
QUICK = ("--threads", "1", "--duration", "0.1")


def test_patterns_are_timed_and_the_best_named() -> None:
    value = plan.json(*TINY, *QUICK)
    assert {it["branches"] for it in value["patterns"]} == {"n+n", "1+1"}
    assert (value["backbone"], value["precision"], value["threads"]) == (
        "three_convolutions",
        "fp32",
        1,
    )
    for pattern in value["patterns"]:
        assert [it["name"] for it in pattern["exits"]] == ["exit1", "exit2", "final"]
        for exit_ in pattern["exits"]:
            assert exit_["ratio"]["low"] <= exit_["ratio"]["value"] <= exit_["ratio"]["high"]


def test_what_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "accuracies.json"
    file.write_text('{"n+n": [60, 65, 70], "1+1": [65, 66, 70]}')
    result = plan.ok(*TINY, *QUICK, "--accuracies", file)
    text = one_line(result.stdout)
    for fact in (
        "Train ",
        "70.0%",
        "Eq. 5",
        "exit1",
        "next: edgeexit train --backbone three_convolutions",
    ):
        assert fact in text


def test_a_device_that_has_the_runtime_alone(tmp_path: Path) -> None:
    """Bundles are written here, timed by the runtime's own command, and judged here."""
    written = plan.ok(*TINY, "--bundle-out", tmp_path / "bundles")
    assert (
        "python -m edgeexit_runtime time three_convolutions_n+n three_convolutions_1+1"
        in one_line(written.stdout)
    )
    folders = ("three_convolutions_n+n", "three_convolutions_1+1")
    subprocess.run(
        [sys.executable, "-m", "edgeexit_runtime", "time", *folders, "--duration", "0.1"],
        check=True,
        cwd=tmp_path / "bundles",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    result = plan.ok("--times", tmp_path / "bundles" / "times.json")
    assert "three_convolutions, 8x8 pixels, fp32" in one_line(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_need_not_agree(precision: str) -> None:
    assert (
        plan.json("resnet20", "--branches", "3g+1g", *QUICK, "--precision", precision)["precision"]
        == precision
    )


@pytest.mark.slow
def test_a_network_of_ones_own() -> None:
    network = "--model torchvision.models:squeezenet1_1 --exits features.4,features.7"
    options = (*network.split(), "--input-size", "64", "--branches", "n+n")
    result = plan.ok(*options, *QUICK)
    following = f"next: edgeexit train {network} --input-size 64x64 --branches n+n"
    assert following in one_line(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ((), "--branches"),
        (("three_convolutions",), "--branches"),
        (("three_convolutions", "--branches", " , "), "--branches"),
        (("three_convolutions", "--branches", "none,n+n"), "none has no exits"),
        (("--branches", "n"), "BACKBONE, or --model"),
        (("three_convolutions", "--model", "a:b", "--branches", "n"), "BACKBONE, or --model"),
        (("three_convolutions", "--exits", "auto", "--branches", "n"), "--model"),
        (("three_convolutions", "--times", "t.json"), "BACKBONE"),
        (("--times", "t.json", "--precision", "int8"), "--precision does not go with --times"),
        (("--times", "t.json", "--bundle-out", "b"), "--bundle-out does not go with --times"),
        ((*TINY, "--bundle-out", "b", "--json"), "--json does not go with --bundle-out"),
        (("--times", "none.json"), "none.json"),
        (("three_convolutions", "--branches", "n", "--accuracies", "none.json"), "none.json"),
        (("resnet", "--branches", "n"), "resnet"),
        (("three_convolutions", "--branches", "9"), "9"),
    ],
)
def test_what_makes_no_plan(arguments: tuple[str, ...], fact: str) -> None:
    result = plan(*arguments)
    assert result.exit_code != 0
    assert fact in one_line(result.stderr)
    assert "Traceback" not in result.stderr
