from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.schema import encode
from PIL import Image
from support.command_line import SCREEN, Command, message, one_line, table_rows
from support.full_disk import full_disk
from support.messages import missing
from support.tiny_bundle import write_images

from edgeexit.bench import load_report, verdict
from edgeexit.bench.render.advice import gain_text
from edgeexit.bench.render.verdict import verdict_lines
from edgeexit.data import DataConfig

QUICK = ("--rounds", "2", "--threads", "1", "--warm-up", "0")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three images that leave at exit1 and one that leaves at final, with labels."""
    images = write_images([0, 1, 0, 0], [3, 4, 5, 6])
    np.savez(tmp_path / "images.npz", images=images, labels=np.array([3, 4, 5, 6]))
    return tmp_path / "images.npz"


run = Command("bench")


def rows_of(output: str) -> dict[str, list[list[str]]]:
    """Return the cells of the printed tables' rows by their first cell."""
    rows: dict[str, list[list[str]]] = {}
    for name, *cells in table_rows(output):
        rows.setdefault(name, []).append(cells)
    return rows


def test_the_verdict_stands_first_and_a_screen_holds_it_all(
    bundle: Path, archive: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    options = ("--npz", archive, "--versus", bundle, "--json", file, *QUICK)
    result = run.ok("--engine-dir", bundle, *options)
    report = load_report(file)
    assert report.mixture is not None
    said = one_line(result.stdout)
    assert said.startswith(one_line(" ".join(verdict_lines(report))))
    rows = rows_of(result.stdout)
    (path,) = rows["exit1"]
    assert [path[0], path[3], path[4]] == ["75.0%", "0.350", f"{report.paths[0].ratio:.3f}"]
    for role, name in (("early_exit", "early exit"), ("versus", "versus bundle")):
        (ratio,) = (it.ratio.value for it in report.mixture.runs if it.role == role)
        assert rows[name][0][-1] == f"{ratio:.3f}"
    assert "threads per graph: 1" in said
    assert "Why: early exit: Eq. 5 says 0.525" in said
    assert "stage1" not in rows, "stages are details"
    assert "--details" in said
    assert len(result.stdout.splitlines()) <= SCREEN + 3  # another model's row and sentence


def test_tables_show_parts_paths_and_the_mixture(
    bundle: Path, archive: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    result = run.ok("--engine-dir", bundle, "--npz", archive, "--json", file, "--details", *QUICK)

    report = load_report(file)
    assert report.mixture is not None
    rows = rows_of(result.stdout)
    stage, _ = rows["stage1"]
    latency = report.parts[0].latency
    numbers = [f"{number:.3f}" for number in (latency.p50_ms, latency.p90_ms, latency.mean_ms)]
    # of ten calls there is neither a p95 nor a p99
    assert stage == ["stage", "300", *numbers[:2], "-", "-", numbers[2], "10"]
    assert "Where there is '-': p95 needs 20, p99 needs 100 calls or more" in one_line(
        result.stdout
    )
    path, branch, *_ = rows["exit1"]
    (leaving,) = (row for row in rows["exit1"] if row[1] == "75.0%")
    assert branch[0] == "branch"
    assert (path[1], path[-1]) == ("0.350", f"{report.paths[0].ratio:.3f}")
    assert leaving[:3] == ["0.5", "75.0%", "1.0000"]
    path, *others = rows["plain backbone"]
    assert (path[1], path[-1]) == ("1.000", "1.000")
    assert "0.2500" in [row[0] for row in others], "the accuracy"
    early_exit = report.mixture.early_exit
    mean, ratio = f"{early_exit.latency.mean_ms:.3f}", f"{early_exit.ratio.value:.3f}"
    assert ["1.0000", mean, ratio] in [row[:3] for row in rows["early exit"]]
    said = one_line(result.stdout)
    assert one_line(verdict(report)) in said
    assert rows["runs on"] == [["CPUExecutionProvider"]]
    assert rows["threads per graph"] == [["1"]]
    assert rows["onnxruntime on the device"] == [[report.device.versions["onnxruntime"]]]


def test_the_difference_to_eq5_is_broken_down(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    result = run.ok("--engine-dir", bundle, "--json", file, "--details", *QUICK)
    explanation = load_report(file).explanation
    assert explanation is not None
    assert explanation.peaks is not None
    rows = rows_of(result.stdout)
    for breakdown in explanation.breakdowns:
        ratio = f"{breakdown.macs_ratio:.3f}"
        (cells,) = (row for row in rows[breakdown.name] if row[0] == ratio)
        shown = [f"{term.ratio:+.3f}" for term in breakdown.terms]
        assert [cell.strip("()") for cell in cells[1:-1]] == shown
        assert [cell.startswith("(") for cell in cells[1:-1]] == [
            term.is_noise for term in breakdown.terms
        ]
        assert cells[-1] == f"{breakdown.measured_ratio:.3f}"
    said = one_line(result.stdout)
    ratio = explanation.breakdowns[0].measured_ratio
    assert f"exit1: Eq. 5 says 0.350, measured {ratio:.3f}" in said
    assert "Peak of CPUExecutionProvider, fp32: " in said
    assert "A linear model in place of Eq. 5: time = " in said
    assert "No advice: images with labels are needed, and none were given." in said
    assert "Early exit itself was not measured, because no images were given" in said
    assert "images that leave at exit1 or" not in said.partition("Early exit")[0]
    assert "1000" in [cells[0] for cells in rows["plain backbone"]]


def test_advice_is_printed_beside_eq5s_choice(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeexit.evaluation import PathCosts

    costs = PathCosts.measured({"exit1": 1.0, "final": 10.0}, {"exit1": 0.5}, 9.0, "ms")
    monkeypatch.setattr("edgeexit.bench.path_costs.measured_costs", lambda times: costs)
    labels = np.arange(50) % 10
    images = write_images([0, 1] * 25, labels.tolist())
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    file = tmp_path / "bench.json"
    images = ("--npz", tmp_path / "images.npz")
    result = run.ok("--engine-dir", bundle, *images, "--json", file, "--details", *QUICK)
    advice = load_report(file).advice
    assert advice is not None
    rows = rows_of(result.stdout)
    averages = [f"{choice.average_ms.value:.3f}" for choice in advice.choices]
    assert rows["average ms"] == [[*averages, f"{advice.baseline_ms:.3f}"]]
    assert rows["threshold of exit1"][0][2] == "0.5"
    said = one_line(result.stdout)
    chosen = "thresholds chosen on 25 images for an accuracy of 1.0000"
    assert f"{chosen}, evaluated on the other 25" in said
    assert f"Against the plain backbone: {gain_text(advice.over_baseline)}." in said


def trained_on(bundle: Path, **data: Any) -> Path:
    """Let the manifest say which data a bundle's network was trained on."""
    path = bundle / "manifest.json"
    config = encode(DataConfig(**data))
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": config}))
    return bundle


def test_the_bundles_own_data_set_is_the_default(bundle: Path) -> None:
    trained_on(bundle, name="digits")
    common = ("--engine-dir", bundle, "--samples", 7, "--rounds", 1, "--warm-up", 0)
    result = run.ok(*common)
    assert "early exit: 7 images of digits (test)" in one_line(result.stdout)
    (held,) = result.stderr.splitlines()
    assert held.startswith("digits: 1,078 train, 360 val, 359 test images; 10 classes: 0, 1, ")

    none = run.ok(*common, "--dataset", "none")
    assert "Early exit itself was not measured" in one_line(none.stdout)
    assert none.stderr == ""


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        ({}, ["its manifest does not name the data it was trained on", "--dataset"]),
        ({"name": "digits"}, ["digits", "scikit-learn", "pip install"]),
        ({"name": "cifar10", "download": True}, ["cifar10", "in data", "--download"]),
        ({"name": "imagefolder", "data_dir": "my photos"}, ["my photos", "--data-dir"]),
        ({"name": "gone"}, ["unknown data set 'gone'"]),
    ],
)
def test_what_is_not_here_is_measured_without_images(
    data: dict[str, Any],
    facts: list[str],
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", lambda _: pytest.fail("fetched"))
    if data:
        trained_on(bundle, **data)
    common = ("--engine-dir", bundle, "--rounds", 1, "--warm-up", 0)
    result = run.ok(*common)
    assert "Early exit itself was not measured" in one_line(result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("measured without images: ")
    for fact in (*facts, "--images", "--npz"):
        assert fact in line

    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", lambda _: None)
    asked = run(*common, *(("--dataset", data["name"]) if data else ("--data-dir", "x")))
    assert asked.exit_code in (1, 2)
    assert facts[0] in message(asked)


def test_images_of_a_folder(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("[red] photos")  # no markup
    folder.mkdir()
    Image.new("RGB", (30, 20)).save(folder / "a.png")
    result = run.ok("--engine-dir", bundle, "--images", folder, *QUICK)
    assert "early exit: 1 images of [red] photos" in one_line(result.stdout)


@pytest.mark.parametrize(
    ("options", "exit_code", "expected"),
    [
        (
            ("--dataset", "digits", "--images", "photos"),
            2,
            "give one of --dataset, --images and --npz, or none of them",
        ),
        (("--npz", "a.npz", "--data-dir", "data"), 2, "--data-dir and --download go with a data"),
        (("--dataset", "none", "--download"), 2, "--data-dir and --download go with a data set"),
        (("--data-dir", "data"), 1, "its manifest does not name the data it was trained on"),
        (("--dataset", "digit"), 2, "unknown data set 'digit': did you mean digits?"),
        (("--images", "nowhere"), 1, "there is no folder nowhere; expected one with images"),
        (("--npz", "none.npz"), 1, "none.npz: no such file; expected a NumPy archive (.npz)"),
        (("--plot", "plot.gif"), 1, "plot.gif: expected a picture's name that ends in .png, .pdf"),
        (
            ("--scenario", "servers"),
            2,
            "expected single-stream, multi-stream, offline or all, got 'servers'",
        ),
        (("--scenario", "all"), 1, "scenarios: expected real images, got none: latency depends"),
        (("--qps", "5"), 1, "scenarios: expected real images, got none"),
        (("--qps", "0"), 2, "Invalid value for '--qps'"),
        (("--warm-up", "-1"), 2, "Invalid value for '--warm-up'"),
        (("--versus", "small.onnx"), 1, "versus: expected real images, got none"),
        (
            ("--versus", "small.onnx", "--npz", "images.npz"),
            1,
            "small.onnx: no such file or folder; expected a bundle of 'edgeexit export' or an ONNX",
        ),
        (
            ("--versus", "images.npz", "--npz", "images.npz"),
            1,
            "images.npz: not an ONNX model; expected a classifier's .onnx file",
        ),
        (("--backends", "onnx"), 2, "tensorrt, onnxruntime, openvino or all, got 'onnx'"),
        (("--backends", "onnxruntime,onnx"), 2, "openvino or all, got 'onnx'"),
        (("--rounds", "0"), 2, "Invalid value for '--rounds'"),
        (("--duration", "0"), 2, "Invalid value for '--duration'"),
        (("--providers", "NoProvider"), 1, "providers: NoProvider is not in this onnxruntime"),
    ],
)
def test_options_that_do_not_fit(
    bundle: Path,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    exit_code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    told = run.refused("--engine-dir", bundle, "--json", "bench.json", *options, code=exit_code)
    assert expected in told
    assert sorted(tmp_path.iterdir()) == [bundle, archive]


def test_an_interruption_leaves_no_file(
    bundle: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    files = ("--json", tmp_path / "bench.json", "--plot", tmp_path / "plot.png")
    arguments = ("--engine-dir", bundle, "--npz", archive, *files, *QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(ee.Session, "infer", interrupted)
        stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert "Traceback" not in stopped.stderr
    with full_disk():
        assert not missing(message(run(*arguments)), "stage1.onnx", "profile", "room", "TMPDIR")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "images.npz"]


@pytest.mark.parametrize("option", ["--json x.json", "--plot x.png", "--html x.html"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(
    bundle: Path, tmp_path: Path, option: str
) -> None:
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("a file")
    name, file = option.split()
    result = run("--engine-dir", bundle, name, in_the_way / file)
    assert result.exit_code == 1
    expected = f"could not write {in_the_way / file}: Not a directory; nothing was changed there"
    assert expected in message(result)
    assert result.stdout == "", "what is measured is printed before it is written"
    assert sorted(tmp_path.iterdir()) == [bundle, in_the_way]


def test_another_backend_is_measured_and_named(bundle: Path, archive: Path, tmp_path: Path) -> None:
    """Its own peak too, and what its layers were computed in."""
    pytest.importorskip("openvino")
    file = tmp_path / "bench.json"
    options = ("--npz", archive, "--backend", "openvino", "--device", "cpu", "--json", file)
    result = run.ok("--engine-dir", bundle, *options, *QUICK)
    report = load_report(file)
    assert report.device.backend_device == "OpenVINO CPU"
    assert report.device.versions["layers computed in"].startswith("fp32 ")
    assert report.explanation is not None
    assert report.explanation.peaks is not None
    assert report.explanation.peaks.provider == "OpenVINO CPU"
    assert "OpenVINO CPU" in one_line(result.stdout)


def test_all_backends_in_one_run(bundle: Path, archive: Path, tmp_path: Path) -> None:
    """The terminal, the JSON and the page say the same of them."""
    pytest.importorskip("openvino")
    file, page = tmp_path / "bench.json", tmp_path / "bench.html"
    options = ("--npz", archive, "--backends", "all", "--json", file, "--html", page)
    result = run.ok("--engine-dir", bundle, *options, *QUICK)
    report = load_report(file)
    assert report.backends is not None
    assert [other.name for other in report.backends.others] == ["openvino"]
    for text in (one_line(result.stdout), page.read_text(encoding="utf-8")):
        for fact in ("early exit, openvino", "Left out: tensorrt", "layers computed in"):
            assert fact in text
    shown = run("--report", file)
    assert one_line(shown.stdout) == one_line(result.stdout)
