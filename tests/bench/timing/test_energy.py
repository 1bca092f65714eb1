"""Energy in turns, with made-up sensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from numpy.typing import NDArray
from support.messages import missing

from edgeexit.bench import BenchImages, BenchOptions, load_report, report_json, run_bench, verdict
from edgeexit.bench.device.meters import CounterMeter
from edgeexit.bench.device.sensors import FoundMeters
from edgeexit.bench.results.energy import Energy, EnergySensor
from edgeexit.bench.results.mixture import BASELINE, EARLY_EXIT
from edgeexit.bench.results.state import DeviceState, RunState
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.energy import MIN_ROUNDS, forced_paths, measure_energy

LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]

OPTIONS = BenchOptions(threads=1, rounds=1, duration_s=0.001, warm_up_s=0)
SENSOR = EnergySensor("RAPL", "package-0", "energy_uj")


def found(*joules_per_turn: float, notes: tuple[str, ...] = ()) -> FoundMeters:
    """Return a meter that counts so many joules in each turn, the last again and again."""

    def readings() -> Iterator[float]:
        total, turn = 0.0, 0
        while True:
            yield total
            total += joules_per_turn[min(turn, len(joules_per_turn) - 1)]
            yield total
            turn += 1

    counter = readings()
    return FoundMeters((CounterMeter(SENSOR, lambda: next(counter)),), notes)


def measured(
    bundle: Path, images: NDArray[np.float32], meters: FoundMeters, turn_s: float = 0.001
) -> Energy:
    with ee.load_baseline(bundle, threads=1) as plain, ee.load(bundle, threads=1) as chain:
        pair = (
            Candidate(BASELINE, "plain backbone", plain, {}),
            Candidate(EARLY_EXIT, "early exit", chain, chain.thresholds),
        )
        photos = BenchImages("photos", images, None)
        return measure_energy(
            pair, photos, meters, OPTIONS, lambda step, done: None, turn_s, rest_s=0
        )


def test_joules_are_divided_by_the_samples_of_each_turn(
    bundle: Path, leaving_at: LeavingAt
) -> None:
    energy = measured(bundle, leaving_at([0, 1], [3, 4]), found(6.0))

    assert energy.sensors == (SENSOR,)
    assert energy.source == "photos"
    assert len(energy.idle_turns) == MIN_ROUNDS
    assert all((turn.samples, turn.joules) == (0, 6.0) for turn in energy.idle_turns)
    idle_w = np.median([turn.joules / turn.seconds for turn in energy.idle_turns])
    assert energy.idle_w == pytest.approx(idle_w)
    assert [item.name for item in energy.runs] == ["plain backbone", "early exit"]
    for item in energy.runs:
        assert len(item.turns) == MIN_ROUNDS
        per_sample = [6.0 / turn.samples for turn in item.turns]
        assert item.sample_j == pytest.approx(np.median(per_sample))
        assert (item.sample_min_j, item.sample_max_j) == pytest.approx(
            (min(per_sample), max(per_sample))
        )
        above = [(6.0 - idle_w * turn.seconds) / turn.samples for turn in item.turns]
        assert item.above_idle_j == pytest.approx(np.median(above))
        seconds = sum(turn.seconds for turn in item.turns)
        assert item.power_w == pytest.approx(6.0 * MIN_ROUNDS / seconds)


def test_everyone_has_a_turn_in_each_round_and_answers_all_images(
    bundle: Path, leaving_at: LeavingAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[tuple[bool, int]] = []
    infer = ee.Session.infer

    def watched(session: ee.Session, images: NDArray[np.float32]) -> ee.Predictions:
        answer = infer(session, images)
        answered.append((session.manifest.baseline is None, int(answer.exits[0])))
        return answer

    monkeypatch.setattr(ee.Session, "infer", watched)
    measured(bundle, leaving_at([0, 1], [3, 4]), found(1.0), turn_s=0.02)
    assert {exit_ for is_plain, exit_ in answered if not is_plain} == {0, 1}


def test_candidates_of_one_session_run_at_their_own_thresholds(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    infer = ee.Session.infer

    def watched(session: ee.Session, images: NDArray[np.float32]) -> ee.Predictions:
        answer = infer(session, images)
        left.append(int(answer.exits[0]))
        return answer

    monkeypatch.setattr(ee.Session, "infer", watched)
    photos = BenchImages("photos", np.zeros((1, 3, 8, 8), np.float32), None)
    with ee.load(bundle, threads=1) as session:
        paths = tuple(forced_paths(session))
        measure_energy(paths, photos, found(1.0), OPTIONS, lambda step, done: None, 0.001, 0)
    assert {*left} == {0, 1}


def test_without_a_sensor_nothing_runs_and_the_reason_is_kept(bundle: Path) -> None:
    energy = measured(bundle, np.zeros((1, 3, 8, 8), np.float32), FoundMeters((), ("no sensor",)))
    assert energy == Energy((), ("no sensor",), "photos", None, (), ())


def test_a_sensor_that_fails_in_the_middle_is_said(bundle: Path) -> None:
    readings = iter([0.0, 1.0, 1.0])

    def read() -> float:
        for value in readings:
            return value
        raise OSError("the bus is busy")

    meters = FoundMeters((CounterMeter(SENSOR, read),), ("and a note",))
    energy = measured(bundle, np.zeros((1, 3, 8, 8), np.float32), meters)
    assert energy.runs == ()
    why, other = energy.notes
    assert not missing(why, "No energy was measured", "the bus is busy")
    assert other == "and a note"


def test_without_images_every_path_is_a_candidate(bundle: Path) -> None:
    with ee.load(bundle, threads=1) as session:
        left = []
        for candidate in forced_paths(session):
            candidate.prepare()
            answer = candidate.session.infer(np.zeros((1, 3, 8, 8), np.float32))
            left.append((candidate.name, int(answer.exits[0])))
    assert left == [("path exit1", 0), ("path final", 1)]


# the whole benchmark on a machine with sensors


def test_a_benchmark_reads_the_sensors_of_its_device(
    bundle: Path, leaving_at: LeavingAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(measure_energy, turn_s=0.02, rest_s=0)
    monkeypatch.setattr("edgeexit.bench.run.measure_energy", quick)
    hwmon = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": 5000, "curr1_input": 1000}
    cooling = {"type": "gpu-throttle-alert", "cur_state": 1}
    root = tmp_path / "sys"
    for folder, files in (("hwmon/hwmon0", hwmon), ("thermal/cooling_device0", cooling)):
        (root / "class" / folder).mkdir(parents=True)
        for name, value in files.items():
            (root / "class" / folder / name).write_text(str(value))

    images = BenchImages("photos", leaving_at([0, 1], [3, 4]), None)
    report = run_bench(bundle, images, OPTIONS, sysfs=root)

    assert [sensor.name for sensor in report.energy.sensors] == ["VDD_IN"]
    assert [item.name for item in report.energy.runs] == ["plain backbone", "early exit"]
    assert all(item.sample_j > 0 for item in report.energy.runs)
    said = verdict(report)
    assert said.startswith(
        "THE DEVICE WAS SLOWED DOWN DURING THIS RUN (gpu-throttle-alert (cooling_device0) from "
        "the start)"
    )
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(report_json(report)))
    assert load_report(file) == report


def test_a_benchmark_on_a_device_without_sensors_says_so(bundle: Path, tmp_path: Path) -> None:
    report = run_bench(bundle, None, OPTIONS, sysfs=tmp_path)
    assert report.energy.runs == ()
    assert report.energy.notes[0].startswith("No energy was measured: no INA3221, RAPL or NVML")
    assert report.state == RunState(DeviceState((), (), ()), DeviceState((), (), ()), throttled=())
