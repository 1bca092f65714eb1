"""From networks to files: names, plans, and what is in the files."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from support.messages import missing

from edgeexit.drawing.style import DPI, PAGE_WIDTH, exit_styles, line_style, shorten
from edgeexit.errors import DataError, WriteError
from edgeexit.paper.figures import (
    FigureKind,
    FigureOptions,
    Subject,
    check_same_images,
    list_figures,
    make_figures,
    plan_figures,
    select_figures,
)
from edgeexit.paper.figures.examples import example_rows
from edgeexit.paper.figures.sources import file_names

MakeSubject = Callable[..., Subject]


def make(kinds: Sequence[str], subjects: Sequence[Subject], folder: Path) -> dict[str, list[Path]]:
    plans, _ = plan_figures(select_figures(kinds), subjects)
    written = make_figures(plans, FigureOptions(examples_per_exit=2), folder)
    return {Path(w.files[0]).stem: [Path(file) for file in w.files] for w in written}


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize("kind", list_figures(), ids=lambda kind: kind.name)
def test_every_figure_is_written(kind: FigureKind, subject: MakeSubject, tmp_path: Path) -> None:
    files = make([kind.name], [subject("a"), subject("b")], tmp_path)
    assert list(files) == ([f"{kind.name}-a", f"{kind.name}-b"] if kind.each else [kind.name])
    for png, pdf, numbers in files.values():
        width, height = png_size(png)
        assert 1000 < width <= DPI * PAGE_WIDTH + 1, "readable, and no wider than a page"
        assert height > 500
        assert pdf.read_bytes().startswith(b"%PDF-")
        with numbers.open(newline="", encoding="utf-8") as file:
            columns, *lines = csv.reader(file)
        assert lines
        assert all(len(line) == len(columns) for line in lines)
    assert sorted(tmp_path.iterdir()) == sorted(p for paths in files.values() for p in paths)


def test_the_csv_holds_the_data(subject: MakeSubject, tmp_path: Path) -> None:
    (files,) = make(["examples"], [subject()], tmp_path).values()
    with files[2].open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = example_rows(subject(), 2, seed=0)
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line["left_at"] == row.left_at
        assert int(line["sample"]) == row.sample
        assert line["answer_exit2"] == row.answer["exit2"]
        assert float(line["confidence_softmax_final"]) == row.confidence_softmax["final"]
        assert line["right"] == str(row.right)


@pytest.mark.parametrize("ending", ["png", "csv"])
def test_only_figures_are_replaced(subject: MakeSubject, tmp_path: Path, ending: str) -> None:
    for _ in range(2):
        make(["patterns"], [subject()], tmp_path)
    (tmp_path / "patterns.png").unlink()
    (tmp_path / f"patterns.{ending}").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(WriteError, match=r"patterns\.\w+: is there, and is no figure of edgeexit"):
        make(["front", "patterns"], [subject()], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_settings_of_the_user_are_neither_used_nor_changed(
    subject: MakeSubject, tmp_path: Path
) -> None:
    make(["front"], [subject()], tmp_path / "usual")
    with mpl.rc_context({"font.size": 40, "savefig.dpi": 20, "axes.facecolor": "red"}):
        make(["front"], [subject()], tmp_path / "own")
        assert mpl.rcParams["font.size"] == 40
    for path in (tmp_path / "usual").iterdir():
        assert path.read_bytes() == (tmp_path / "own" / path.name).read_bytes()


def test_names_that_matplotlib_would_read_as_something_else(
    subject: MakeSubject, tmp_path: Path
) -> None:
    names = ("$x^$", "_y_", "漢字\n")
    files = make(
        ["classes", "examples"],
        [subject("_$_$", class_names=names)],
        tmp_path,
    )
    assert list(files) == ["classes-_-_", "examples-_-_"]


def test_networks_of_other_numbers_of_exits_share_a_figure(
    subject: MakeSubject, tmp_path: Path
) -> None:
    full = subject("a")
    answers = full.test
    fewer = replace(
        answers,
        exit_names=("exit1", "final"),
        confidences=answers.confidences[1:],
        labels=answers.labels[1:],
    )
    cost = replace(full.cost, exits=(replace(full.cost.exits[0]), full.cost.exits[2]))
    one = subject("b", thresholds={"exit1": 0.9}, cost=cost, val=fewer, test=fewer)
    files = make(["patterns", "front"], [one, full], tmp_path)
    with files["patterns"][2].open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["threshold_softmax_exit2"], first["leaving_percent_exit2"]) == ("", "")
    assert second["threshold_softmax_exit2"] != ""


def test_a_plain_backbone_is_left_out_with_a_remark(subject: MakeSubject) -> None:
    plans, remarks = plan_figures(list_figures(), [subject("a"), subject("p", plain=True)])
    assert [plan.name for plan in plans if plan.subjects[-1].name == "p"] == ["front"]
    (remark,) = remarks
    without = ("confidence", "patterns", "classes", "groups", "examples")
    assert not missing(remark, "p is a plain backbone", "not in", *without)


def test_figures_by_name_or_number() -> None:
    kinds = select_figures(["examples", "fig10", "fig7", "classes", "fig6"])
    assert [kind.name for kind in kinds] == ["front", "classes", "groups", "examples"]


def test_other_images_or_classes_cannot_share_a_figure(subject: MakeSubject) -> None:
    first = subject("a")
    shuffled = replace(first.test, targets=np.roll(first.test.targets, 1))
    for changed, message in (
        ({"dataset": "digits"}, "a and b cannot share a figure: expected the same data set, got"),
        ({"dataset": "di\x1b[2Jgits"}, r"and di\\x1b\[2Jgits; draw"),  # a file chose the name
        (
            {"class_names": ("circle", "square", "moon")},
            r"same classes, got 3 \(circle, square, star\) and 3 \(cir",
        ),
        ({"test": shuffled}, r"same test images, got 8 \(0, 0, 0, \.\.\.\) and 8 \(2, 0"),
    ):
        with pytest.raises(DataError, match=message):
            check_same_images([first, subject("b", **changed)])


def test_file_names_are_safe_and_unique() -> None:
    names = ["runs/3+1", "runs-3+1", "Runs/3+1", "../..", "a b\x00c", "ü", "x" * 300]
    given = file_names(names)
    assert given[:3] == ["runs-3+1", "runs-3+1-2", "Runs-3+1-3"]
    assert given[3:6] == ["network", "a-b-c", "network-2"]
    assert len(given[6]) == 80


def test_styles_differ_without_their_colour() -> None:
    hatches = [style.hatch for style in exit_styles(["e1", "e2", "e3", "e4", "final"]).values()]
    assert len(set(hatches[:-1])) == 4
    styles = [line_style(number) for number in range(9)]
    assert len({(style.marker, style.dashes) for style in styles}) == 9


@pytest.mark.parametrize(
    ("text", "length", "keep_end", "shown"),
    [
        ("short", 10, True, "short"),
        ("a-rather-long-name", 9, True, "a-ra…name"),
        ("golden retriever", 9, False, "golden r…"),
        ("_run", 9, True, " _run"),
        ("a\nb\x07", 9, True, "a?b?"),
        ("abc", 0, False, "…"),
    ],
)
def test_shortened(text: str, length: int, keep_end: bool, shown: str) -> None:
    assert shorten(text, length, keep_end=keep_end) == shown
