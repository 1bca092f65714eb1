"""The picture of measured ratios against Eq. 5."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.reports import report_with

from edgeexit.bench import BenchReport, plot_reports
from edgeexit.bench.render.page import drawing
from edgeexit.bench.render.page.pictures import draw_reports
from edgeexit.errors import InputError


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_picture_in_every_format(report: BenchReport, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"plot{suffix}"
    plot_reports([report], file)
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert file.read_bytes().startswith(start)
    if suffix == ".png":
        with Image.open(file) as image:
            assert image.width >= 2000, "large enough to print"
    assert list(tmp_path.iterdir()) == [file]


def test_picture_names_every_point_and_bundle(
    report: BenchReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fp16 = dataclasses.replace(
        report_with(((0.6, 0.4), (1.1, 0.8), (1.9, 1.2)), None),
        bundle=dataclasses.replace(report.bundle, precision="fp16"),
    )
    monkeypatch.setitem(drawing.STYLE, "svg.fonttype", "none")  # text as text
    plot_reports([report, fp16], tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    for name, count in (("exit1", 2), ("exit2", 2), ("final", 2), ("early exit", 1)):
        assert text.count(f">{name}<") == count
    for words in ("resnet20 3+1 fp32", "resnet20 3+1 fp16", "plain backbone"):
        assert f">{words}<" in text
    assert "A processor, 2 cores, CPUExecutionProvider" in text


def test_names_stay_apart_where_points_are_close() -> None:
    crowded = report_with(((0.5, 0.45), (1.0, 0.84), (1.16, 1.16)), (0.51, 0.46))
    with drawing.page_style():
        figure: Any = draw_reports([crowded, crowded])
        figure.draw_without_rendering()
    for axes in figure.axes:
        words = [axes.title, axes._left_title, *axes.texts, *axes.get_yticklabels()]
        boxes = [word.get_window_extent() for word in words if word.get_text()]
        assert len(boxes) == 1 + 5 + 4
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_picture_of_another_kind_and_of_nothing(report: BenchReport, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"plot\.gif: expected a picture's name that ends in \.png"
    ):
        plot_reports([report], tmp_path / "plot.gif")
    with pytest.raises(ValueError, match="expected one report or more"):
        plot_reports([], tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []
