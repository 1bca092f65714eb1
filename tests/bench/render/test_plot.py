"""The picture of measured ratios against Eq. 5."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image
from support.reports import report_with

from edgeexit.bench import (
    BenchReport,
    plot_report,
    plot_reports,
)
from edgeexit.bench.render import plot
from edgeexit.errors import InputError


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_picture_in_every_format(report: BenchReport, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"plot{suffix}"
    plot_report(report, file)
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert file.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [file]


def test_picture_names_every_point_and_bundle(report: BenchReport, tmp_path: Path) -> None:
    fp16 = dataclasses.replace(
        report_with(((0.6, 0.4), (1.1, 0.8), (1.9, 1.2)), None),
        bundle=dataclasses.replace(report.bundle, precision="fp16"),
    )
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):  # text as text
        plot_reports([report, fp16], tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    for name, count in (("exit1", 2), ("exit2", 2), ("final", 2), ("mixture", 1)):
        assert text.count(f">{name}<") == count
    for words in ("resnet20 3+1 fp32", "resnet20 3+1 fp16", "as Eq. 5", "plain backbone"):
        assert f">{words}<" in text
    assert "A processor, CPUExecutionProvider" in text


def test_labels_overlap_neither_points_nor_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    labels = {}
    place = plot._label

    def watched(axes, point, offset):  # type: ignore[no-untyped-def]
        label = labels[point, offset] = place(axes, point, offset)
        return label

    monkeypatch.setattr(plot, "_label", watched)
    # the mixture beside exit1, exit2 on the plain backbone's line: the crowded case
    plot_report(
        report_with(((0.5, 0.45), (1.0, 0.84), (1.16, 1.16)), (0.51, 0.46)), tmp_path / "a.png"
    )
    kept = [label for label in labels.values() if label.axes is not None]
    assert sorted(label.get_text() for label in kept) == ["exit1", "exit2", "final", "mixture"]
    boxes = [label.get_window_extent() for label in kept]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    points = {point for point, _ in labels}
    assert not any(box.count_overlaps(plot._taken(kept[0].axes, list(points))) for box in boxes)


def test_picture_is_large_enough_to_print(report: BenchReport, tmp_path: Path) -> None:
    plot_report(report, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert min(image.size) >= 800


def test_a_picture_of_another_kind_and_too_many_reports(
    report: BenchReport, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"plot\.gif: expected a picture's name that ends in \.png"
    ):
        plot_report(report, tmp_path / "plot.gif")
    for reports in ([], [report] * 6):
        with pytest.raises(
            InputError, match=f"expected 1 to 5 reports in a picture, got {len(reports)}"
        ):
            plot_reports(reports, tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []
