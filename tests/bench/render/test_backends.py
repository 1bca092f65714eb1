"""Which backend to load, in words and in a table; the report is read, nothing is computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.messages import missing
from support.reports import made_report, made_run

from edgeexit.bench import BenchOptions, BenchReport, verdict
from edgeexit.bench.render.backends import backends_table, backends_text
from edgeexit.bench.render.report import sections
from edgeexit.bench.results.backends import BackendPaths, Backends, Fastest, LeftOut
from edgeexit.bench.results.mixture import BACKEND, EARLY_EXIT
from edgeexit.bench.results.options import ALL
from edgeexit.statistics import Interval

CLEAR, EVEN, WIDE = Interval(0.7, 0.65, 0.75), Interval(0.99, 0.985, 1.0), Interval(0.9, 0.5, 1.3)
LEFT_OUT = LeftOut("tensorrt", "tensorrt: no engine was built from stage1")


def fastest(what: str, name: str, ratio: Interval) -> Fastest:
    following = "onnxruntime" if name == "openvino" else "openvino"
    return Fastest(what, name, following, 0.7, 1.0, ratio)


def with_backends(report: BenchReport, *found: Fastest) -> BenchReport:
    over = (Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.8), Interval(1.2, 1.1, 1.3))
    other = BackendPaths(
        "openvino", "OpenVINO CPU", "bf16 3, fp32 1", report.baseline, report.paths, over
    )
    backends = Backends("onnxruntime", "onnxruntime", (other,), (LEFT_OUT,), found)
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


def load(images: int, *found: tuple[str, str, Interval]) -> str:
    return said(with_backends(made_report(images=images), *(fastest(*it) for it in found)))


def test_another_backend_is_the_one_to_load() -> None:
    assert not missing(
        load(200, (EARLY_EXIT, "openvino", CLEAR)),
        'Load openvino on this device (backend="openvino", threads=1): early exit takes 0.7 ms an',
        *("1 ms in onnxruntime", "0.700 [0.650, 0.750]", '"auto" takes onnxruntime'),
        "For 99.4% of the images its label and exit are those of onnxruntime",
        "--backend openvino --threads 1'",
        "Left out: tensorrt: no engine was built from stage1.",
    )


def test_the_same_backend_with_one_thread_is() -> None:
    report = with_backends(made_report(images=0), fastest(EARLY_EXIT, "onnxruntime:1", CLEAR))
    text = said(replace(report, options=BenchOptions(device="cpu")))
    assert '(backend="onnxruntime", threads=1, device="cpu")' in text
    assert "'edgeexit bench --backend onnxruntime --threads 1 --device cpu'" in text


def test_the_measured_one_is() -> None:
    text = load(200, (EARLY_EXIT, "onnxruntime", CLEAR))
    assert text.startswith("Load onnxruntime on this device")
    assert "label and exit" not in text
    assert '"auto"' not in text


@pytest.mark.parametrize(("ratio", "what_to_do"), [(EVEN, "load either"), (WIDE, "--duration")])
def test_none_beyond_the_noise(ratio: Interval, what_to_do: str) -> None:
    text = load(200, (EARLY_EXIT, "openvino", ratio))
    both = "openvino and onnxruntime do not differ beyond the noise"
    assert not missing(text, both, f"{ratio:.3f}", what_to_do)


def test_without_images_it_depends_on_where_they_leave() -> None:
    exit1, final = ("exit1", "openvino", CLEAR), ("final", "openvino", CLEAR)
    everywhere = load(0, exit1, final)
    ratio = "1 ms in onnxruntime, a ratio of 0.700 [0.650, 0.750]"
    facts = ("exit1 takes 0.7 ms", ratio, "final takes", ratio, '"auto" takes')
    assert not missing(everywhere, "Load openvino on this device", *facts)
    depends = load(0, exit1, ("final", "onnxruntime", CLEAR))
    assert not missing(depends, "depends on where images", "exit1 openvino", "final onnxruntime")
    assert "--images" in depends
    even = load(0, ("exit1", "openvino", EVEN), ("final", "openvino", EVEN))
    assert not missing(even, "Which backend to load", "exit1 none beyond the noise", "--images")
    assert "depends" not in even


def test_no_other_backend() -> None:
    report = made_report()
    alone = replace(report, backends=Backends("onnxruntime", "onnxruntime", (), (LEFT_OUT,), ()))
    assert said(alone).startswith("No backend other than onnxruntime was named.")
    tried = replace(alone, options=replace(report.options, backends=(ALL,)))
    assert said(tried).startswith("No backend other than onnxruntime runs this bundle here.")


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
