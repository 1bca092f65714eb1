"""What the benchmarks of speed compute themselves: verdicts, thresholds, intervals, slopes."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from edgeexit_runtime.timing.paths import forcing

from edgeexit.models import make_spec
from edgeexit.planning.candidates import export_untrained, random_network

Program = Callable[[str], ModuleType]


def test_a_goal_is_an_upper_or_a_lower_bound(program: Program) -> None:
    figure = program("goals").Figure
    assert figure("a", 1.02, "", 1.02).verdict == "holds"
    assert figure("a", 1.03, "", 1.02).verdict == "MISSED"
    assert figure("a", 0.9, "", 0.9, at_least=True).verdict == "holds"
    assert figure("a", 0.89, "", 0.9, at_least=True).verdict == "MISSED"
    assert figure("a", math.nan, "", 1).verdict == "MISSED"
    assert figure("a", 5, "ms").verdict == ""


def test_the_exit_status_and_the_file_say_that_a_goal_was_missed(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goals = program("goals")
    kept, missed = goals.Figure("kept", 1, "s", 2), goals.Figure("lost", 3, "s", 2)
    with pytest.raises(SystemExit) as ended:
        goals.finish("title", [kept], None)
    assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        goals.finish("title", [kept, missed], tmp_path / "out.json")
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["lost", "3", "s", "<=", "2", "s", "MISSED"]
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [figure["verdict"] for figure in report["figures"]] == ["holds", "MISSED"]


def test_figures_that_cannot_be_written_are_told_in_one_line(
    program: Program, tmp_path: Path
) -> None:
    goals = program("goals")
    with pytest.raises(SystemExit, match=r"could not write .*: it is no regular file"):
        goals.finish("title", [], tmp_path)


def test_thresholds_split_a_batch_as_wanted(program: Program) -> None:
    confidences = np.random.default_rng(3).random((3, 32)).astype(np.float32)
    thresholds = program("random_bundles").split_thresholds(confidences, {"a": 16, "b": 8})
    left = confidences[0] >= thresholds["a"]
    assert left.sum() == 16
    assert (confidences[1, ~left] >= thresholds["b"]).sum() == 8


@pytest.mark.parametrize(("leaving", "expected"), [(0, 0), (4, 4)])
def test_nobody_or_everybody_may_leave(program: Program, leaving: int, expected: int) -> None:
    confidences = np.full((2, 4), 0.5, np.float32)  # all alike: nobody need be told apart
    thresholds = program("random_bundles").split_thresholds(confidences, {"a": leaving})
    assert (confidences[0] >= thresholds["a"]).sum() == expected


def test_thresholds_that_cannot_be_are_refused(program: Program) -> None:
    split = program("random_bundles").split_thresholds
    alike = np.full((2, 4), 0.5, np.float32)
    with pytest.raises(ValueError, match=r"a: 0.5 and 0.5 are too near; take another seed"):
        split(alike, {"a": 2})
    with pytest.raises(ValueError, match=r"a: expected 0 to 4 to leave, got 5"):
        split(alike, {"a": 5})


def test_branches_on_the_way_are_run() -> None:
    thresholds = forcing(("exit1", "exit2", "final"), "exit2")
    assert thresholds == {"exit1": 1.5, "exit2": 0.0}  # NEVER, 2, would skip the branch


def test_half_of_those_who_get_there_leave(program: Program) -> None:
    assert program("mixed_batch").halves(32, ("a", "b", "c")) == {"a": 16, "b": 8, "c": 4}


def test_the_interval_of_a_median_is_of_order_statistics(program: Program) -> None:
    found = program("pairs").estimate(np.arange(100.0))
    assert (found.median, found.low, found.high) == (49.5, 40, 60)


def test_pairs_are_as_many_as_asked_for_and_keep_their_sides(program: Program) -> None:
    calls: list[str] = []
    pairs = program("pairs").time_pairs(
        lambda: calls.append("first"),
        lambda: calls.append("second"),
        duration_s=0,
        seed=0,
        min_pairs=6,
        warm_up=2,
        settle=True,
    )
    assert len(pairs.first_ms) == len(pairs.second_ms) == 6
    assert calls.count("first") == calls.count("second") == 2 + 2 * 6
    assert calls[4::2] == calls[5::2]  # each timed call behind an untimed one of its own


def test_kernels_are_summed_by_operator(program: Program) -> None:
    def event(kind: str, us: int, suffix: str = "_kernel_time") -> dict[str, object]:
        return {"cat": "Node", "name": f"x{suffix}", "dur": us, "args": {"op_name": kind}}

    events = [event("Conv", 3), event("Conv", 4), event("Gemm", 2), event("Conv", 9, "_fence")]
    events.append({"cat": "Session", "name": "run_kernel_time", "dur": 50, "args": {}})
    assert program("kernels").kernel_us(events) == {"Conv": 7, "Gemm": 2}


def test_torchvisions_weights_are_ours_by_name(program: Program) -> None:
    models = pytest.importorskip("torchvision.models")
    peer = program("peer_earlyon")
    network = random_network(make_spec("resnet18", "n+n+n", 10)).eval()
    theirs = models.resnet18(num_classes=10).eval()
    theirs.load_state_dict(peer.torchvision_weights(network, theirs))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), network(images)["final"])
    with pytest.raises(ValueError, match="expected the layers of torchvision's network"):
        peer.torchvision_weights(network, models.resnet34(num_classes=10))


def test_a_peer_that_cannot_be_installed_is_told(program: Program, tmp_path: Path) -> None:
    environment = program("peer_environment")
    missing = tmp_path / "no-such-package.whl"
    with pytest.raises(environment.PeerError, match=r"no-such-package.* cannot be installed"):
        environment.make_environment(tmp_path / "env", str(missing))
    assert not (tmp_path / "env" / environment.READY).exists()  # tried again next time


def test_an_environment_that_is_there_is_not_made_again(program: Program, tmp_path: Path) -> None:
    environment = program("peer_environment")
    (tmp_path / environment.READY).write_text("peer==1", encoding="utf-8")
    python = environment.make_environment(tmp_path, "peer==1")
    assert python == tmp_path / "bin" / "python"
    assert sorted(path.name for path in tmp_path.iterdir()) == [environment.READY]


def test_a_programs_own_arguments_and_status_pass_through(program: Program, tmp_path: Path) -> None:
    environment = program("peer_environment")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / environment.READY).write_text("peer==1", encoding="utf-8")
    code = f"import os, sys; sys.exit(7 if os.environ['{environment.MARK}'] else 1)"
    assert environment.run_in_peer_environment(tmp_path, "peer==1", ["-c", code]) == 7
    assert not environment.in_peer_environment()


def test_both_bare_chains_give_the_sessions_answer_and_one_is_judged(
    program: Program, tmp_path: Path
) -> None:
    overhead = program("session_overhead")
    network = overhead.Judged("resnet20", "n+n", 10, 16, by_ratio=False)
    spec = make_spec("resnet20", "n+n", 10, (3, 16, 16))
    export_untrained(random_network(spec), tmp_path / "resnet20")
    options = SimpleNamespace(seed=0, duration=0, bundles=tmp_path, threads=1)
    figures = overhead.measure(network, options)  # compares the answers itself
    *chains, counting = figures
    assert [figure.name.split(" to ")[1] for figure in chains] == [
        *("exit1, run", "exit1, bound", "final, run", "final, bound")
    ]
    assert [figure.goal for figure in figures] == [15, None, 15, None, 2]
    assert counting.name.endswith("statistics")
