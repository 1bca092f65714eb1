"""The exit paths of bundles in turns, and the command that a device without edgeexit has for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.__main__ import main
from edgeexit_runtime.bundle.schema import decode
from edgeexit_runtime.timing.paths import MeasuredTimes, time_bundles
from numpy.typing import NDArray

ROUNDS = 2


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeexit_runtime.timing.turns.SETTLE_S", 0.0)


def test_every_path_of_every_bundle_is_forced(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []
    infer = ee.Session.infer

    def watched(self: ee.Session, images: NDArray[np.float32]) -> ee.Predictions:
        result = infer(self, images)
        left.append(self.manifest.exit_names[int(result.exits[0])])
        return result

    monkeypatch.setattr(ee.Session, "infer", watched)
    times = time_bundles([bundle, bundle], rounds=ROUNDS, threads=1)
    assert [len(it.exits) for it in times.bundles] == [3, 3]
    assert times.threads == 1
    for timed in times.bundles:
        assert [it.name for it in timed.exits] == ["exit1", "exit2", "final"]
        assert [it.path_macs for it in timed.exits] == [1010, 2020, 3030]
        assert timed.size_bytes == sum(
            path.stat().st_size for path in bundle.glob("*.onnx") if path.stem != "baseline"
        )
        for path in (timed.baseline, *timed.exits):
            assert len(path.times_ms) == ROUNDS * 5
            assert min(path.times_ms) > 0
    calls = 2 * ROUNDS * (1 + 5)  # of each of two bundles, the settling one too
    assert {name: left.count(name) for name in ("exit1", "exit2")} == {
        "exit1": calls,
        "exit2": calls,
    }


def run(arguments: Sequence[object]) -> int:
    return main([*map(str, arguments)])


def test_the_command_writes_what_it_timed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "times.json"
    assert run(["time", bundle, "-o", file, "--threads", 1, "--duration", 0.1]) == 0
    times = decode(MeasuredTimes, json.loads(file.read_text()))
    assert times.bundles[0].exits[-1].name == "final"
    told = capsys.readouterr().out
    for fact in ("plain backbone", "exit1", "exit2", "final", f"wrote {file}"):
        assert fact in told


@pytest.mark.parametrize(
    ("options", "fact"),
    [(["--threads", 0], "threads"), (["--device", "toaster"], "toaster")],
)
def test_options_that_no_backend_takes(
    options: list[Any], fact: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "times.json"
    assert run(["time", bundle, "-o", file, *options]) != 0
    assert fact in capsys.readouterr().err
    assert not file.exists()


def test_a_folder_without_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["time", tmp_path, "-o", tmp_path / "times.json"]) != 0
    assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(ee.InputError, match="one or more, got none"):
        time_bundles([])


@pytest.mark.parametrize("duration", ["nan", "inf", "0", "-1", "x"])
def test_a_duration_that_is_none(duration: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(["time", "out", f"--duration={duration}"])
    assert f"expected seconds above 0, got {duration}" in capsys.readouterr().err
