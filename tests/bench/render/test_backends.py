"""Which backend to load, in words and in a table; the report is read, nothing is computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.reports import made_report, made_run

from edgeexit.bench import BenchReport, verdict
from edgeexit.bench.compare.compare import compare_reports
from edgeexit.bench.render.backends import backends_table, backends_text
from edgeexit.bench.render.report import sections
from edgeexit.bench.results.backends import BackendPaths, Backends, Fastest, LeftOut
from edgeexit.bench.results.mixture import BACKEND, EARLY_EXIT
from edgeexit.statistics import Interval

CLEAR, EVEN, WIDE = Interval(0.7, 0.65, 0.75), Interval(0.99, 0.985, 1.0), Interval(0.9, 0.5, 1.3)
LEFT_OUT = LeftOut("tensorrt", "tensorrt: no engine was built from stage1")


def fastest(what: str, name: str, ratio: Interval) -> Fastest:
    following = "onnxruntime" if name == "openvino" else "openvino"
    return Fastest(what, name, following, 0.7, 1.0, ratio)


def with_backends(report: BenchReport, *found: Fastest, auto: str = "onnxruntime") -> BenchReport:
    over = (Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.8), Interval(1.2, 1.1, 1.3))
    other = BackendPaths(
        "openvino", "OpenVINO CPU", "bf16 3, fp32 1", report.baseline, report.paths, over
    )
    backends = Backends("onnxruntime", auto, (other,), (LEFT_OUT,), found)
    mixture = report.mixture
    if mixture is not None:
        times_ms, over_ms = (np.array(mixture.runs[at].times_ms) for at in (1, 0))
        run = made_run(BACKEND, "openvino", 0.7 * times_ms, over_ms)
        run = replace(run, over_early_exit=CLEAR, same_answers=0.994)
        mixture = replace(mixture, runs=(*mixture.runs, run))
    return replace(report, backends=backends, mixture=mixture)


def said(report: BenchReport) -> str:
    text = " ".join(backends_text(report))
    assert text in verdict(report)
    return text


def test_nothing_is_said_unless_asked() -> None:
    assert not list(backends_text(made_report()))
    assert "Backends" not in [section.title for section in sections(made_report())]


def test_another_backend_is_the_one_to_load() -> None:
    text = said(with_backends(made_report(), fastest(EARLY_EXIT, "openvino", CLEAR)))
    assert text.startswith("Load openvino on this device")
    for fact in (
        *('backend="openvino"', "0.7 ms an image", "1 ms in onnxruntime", "0.700 [0.650, 0.750]"),
        *(
            '"auto" takes onnxruntime',
            "For 99.4% of the images its label and exit are those of onnxruntime",
        ),
        *("--backend openvino", "Left out: tensorrt: no engine was built from stage1."),
    ):
        assert fact in text


def test_the_same_backend_with_one_thread_is() -> None:
    report = with_backends(made_report(), fastest(EARLY_EXIT, "onnxruntime:1", CLEAR))
    text = " ".join(backends_text(replace(report, mixture=None)))
    for fact in ('(backend="onnxruntime", threads=1)', "--backend onnxruntime --threads 1"):
        assert fact in text


def test_the_measured_one_is() -> None:
    text = said(with_backends(made_report(), fastest(EARLY_EXIT, "onnxruntime", CLEAR)))
    assert text.startswith("Load onnxruntime on this device")
    assert "label and exit" not in text
    assert '"auto"' not in text


@pytest.mark.parametrize(("ratio", "what_to_do"), [(EVEN, "load either"), (WIDE, "--duration")])
def test_none_beyond_the_noise(ratio: Interval, what_to_do: str) -> None:
    text = said(with_backends(made_report(), fastest(EARLY_EXIT, "openvino", ratio)))
    assert "openvino and onnxruntime do not differ beyond the noise" in text
    assert f"{ratio:.3f}" in text
    assert what_to_do in text


def test_without_images_one_is_faster_on_every_path() -> None:
    found = [fastest(name, "openvino", CLEAR) for name in ("exit1", "final")]
    text = said(with_backends(made_report(images=0), *found))
    assert text.startswith("Load openvino on this device")
    for fact in ("exit1 0.700 [0.650, 0.750] of onnxruntime", "final 0.700", '"auto" takes'):
        assert fact in text


def test_without_images_it_depends_on_where_they_leave() -> None:
    found = fastest("exit1", "openvino", CLEAR), fastest("final", "onnxruntime", CLEAR)
    text = said(with_backends(made_report(images=0), *found))
    for fact in (
        "depends on where images leave",
        "exit1 openvino",
        "final onnxruntime",
        "--images",
    ):
        assert fact in text


def test_no_other_backend() -> None:
    report = made_report()
    alone = replace(report, backends=Backends("onnxruntime", "onnxruntime", (), (LEFT_OUT,), ()))
    assert said(alone).startswith("No backend other than onnxruntime runs this bundle here.")


@pytest.mark.parametrize("images", [0, 200])
def test_a_table_of_paths_by_backends(images: int) -> None:
    report = with_backends(made_report(images=images), fastest(EARLY_EXIT, "openvino", CLEAR))
    versions = {"layers computed in": "fp32 4"}
    report = replace(report, device=replace(report.device, versions=versions))
    assert report.backends is not None
    table = backends_table(report, report.backends)
    rows = {row[0]: row[1:] for group in table.groups for row in group}
    assert [column.heading for column in table.columns] == ["", "onnxruntime", "openvino"]
    ours = f"{report.baseline.latency.p50_ms:.3f}"
    assert rows["plain backbone"] == (ours, f"{ours}\n0.50 [0.40, 0.60]")
    assert rows["final"][1].endswith("\n1.20 [1.10, 1.30]")
    assert rows["layers computed in"] == ("fp32 4", "bf16 3\nfp32 1")
    assert ("early exit" in rows) == bool(images)
    if images:
        assert rows["early exit"][1].endswith("\n0.70 [0.65, 0.75]")
    (section,) = (section for section in sections(report) if section.title == "Backends")
    assert section.tables == (table,)
    assert section.words == tuple(backends_text(report))


def test_two_reports_are_compared_backend_by_backend() -> None:
    one, other = (
        with_backends(made_report(seed=seed), fastest(EARLY_EXIT, "openvino", CLEAR))
        for seed in (1, 2)
    )
    figures = {(it.section, it.name) for it in compare_reports(one, other).figures}
    assert {
        ("exit paths", "exit1, openvino"),
        ("exit paths", "plain backbone, openvino"),
    } <= figures
    assert ("mixture", "early exit, openvino") in figures
    alone = compare_reports(one, replace(made_report(seed=2)))
    assert any("exit1, openvino" in line for line in alone.left_out)
    assert "layers in openvino computed in" in [it.what for it in alone.differences]
