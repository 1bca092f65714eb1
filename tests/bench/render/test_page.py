"""The page of a report: well-formed, complete in itself, escaped, and saying what it lacks."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from support.full_disk import full_disk
from support.messages import refused
from support.reports import made_energy, made_report

from edgeexit.bench import BenchReport
from edgeexit.bench.render.page import check_page_path, render_page, write_page
from edgeexit.bench.render.page.drawing import log_axis, new_figure
from edgeexit.bench.results.explanation import TERMS, Breakdown, Explanation, PartExcess, Term
from edgeexit.bench.results.roofline import Bandwidth, OperatorTraffic, PartRoofline, Peaks
from edgeexit.bench.results.scenarios import BatchRate, OfflineResult, Scenarios
from edgeexit.bench.results.state import Clock, DeviceState, RunState
from edgeexit.errors import InputError, WriteError
from edgeexit.statistics import Interval

VOID = {"meta"}
HOSTILE = '<script>alert("1")</script> & $x_{'
ESCAPED = "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; $x_{"
PICTURES = {"front", "paths", "breakdown", "roofline", "latency", "offline", "energy"}


class Page(HTMLParser):
    """Reads a page, and fails where tags are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.said: dict[str, str] = {}
        self._heading = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self._heading = data
            self.said[data] = ""
        elif self._heading and "svg" not in self.open:
            self.said[self._heading] += " " + " ".join(data.split())

    def _see(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]


def operator(macs: int) -> OperatorTraffic:
    return OperatorTraffic("out", "Conv 3x3", macs, 1000, 500)


def explanation(names: tuple[str, ...] = ("exit1", "final")) -> Explanation:
    kinds = {"stage1": "stage", "exit1": "branch", "final": "branch", "baseline": "baseline"}
    parts = tuple(
        PartRoofline(name, kind, macs, 0.5, 0.1, 0.2, (operator(macs),))
        for (name, kind), macs in zip(kinds.items(), (300, 50, 0, 1000), strict=True)
    )
    ratios = (0.1, 0.2, -0.05, 0.0, 0.01)[: len(TERMS)]
    terms = tuple(
        Term(name, ratio, ratio, Interval(ratio, ratio - 0.02, ratio + 0.02))
        for name, ratio in zip(TERMS, ratios, strict=True)
    )
    breakdowns = tuple(
        Breakdown(name, 0.4, 0.4 + sum(ratios), 1, 1, terms, (PartExcess("exit1", 0.1, 0.2),))
        for name in names
    )
    peaks = Peaks("CPU", "fp32", 4e10, 256, (Bandwidth(2**18, 3e10), Bandwidth(2**27, 1e10)))
    return Explanation(peaks, None, parts, breakdowns, None)


@pytest.fixture(scope="module")
def full() -> BenchReport:
    """Every section but advice, which is words alone."""
    offline = OfflineResult("early exit", (BatchRate(1, 8, 10.0), BatchRate(8, 8, 30.0)), 8, 30, 1)
    state = DeviceState((Clock("cpu0", 900, 2000, 2000),), (), ())
    return replace(
        made_report(),
        scenarios=Scenarios("photos", 200, offline=(offline,)),
        explanation=explanation(),
        energy=made_energy(),
        state=RunState(state, state, ("heat",)),
    )


@pytest.fixture(scope="module")
def text(full: BenchReport) -> str:
    return render_page(full)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_a_full_page_has_every_picture_and_table(page: Page, full: BenchReport) -> None:
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == len(PICTURES)
    assert {name.partition("-")[0] for name in page.ids} == PICTURES
    assert len(page.ids) == len(set(page.ids))  # although every picture defines the same letters
    path_row = f"exit1 350 0.350 {full.paths[0].latency.p50_ms:.3f}"
    expected = {
        "Accuracy against time": ("Up and to the left is better.",),
        "Exit paths": ("exit paths, every image forced to leave there, ms", "stages and", path_row),
        "Why not Eq. 5": ("exit1: Eq. 5 says 0.400", "from Eq. 5's ratio", "machine's peak, ms"),
        "Latency": ("early exit: 200 images of photos", "the same 200 images"),
        "Advice": ("No advice was requested",),
        "Scenarios": ("offline: images per second by batch size",),
        "Energy and clocks": ("clock of cpu0: 900 MHz before, 900 after", "energy on photos, one"),
        "Set-up": ("onnxruntime on the device",),
    }
    assert [*page.said] == [*expected]
    for title, facts in expected.items():
        said = " ".join(page.said[title].split())
        assert [fact for fact in facts if fact not in said] == []
    assert ("td", "class", "number") in page.attributes
    # the baseline stands apart from the paths
    assert page.tags.count("tbody") > page.tags.count("table")


def test_the_verdict_stands_before_everything_else(text: str) -> None:
    said = 'class="verdict warning">THE DEVICE WAS SLOWED DOWN DURING THIS RUN (heat)'
    assert text.index(said) < text.index("Early exit pays on this device") < text.index("<svg")
    assert 'class="verdict">' in render_page(made_report(images=0))


def test_a_page_needs_nothing_else(text: str, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "image", "foreignobject"} & set(
        page.tags
    )
    for _, name, value in page.attributes:
        assert name not in ("src", "srcset", "data", "action")
        assert not name.startswith("on")
        if name.endswith("href"):
            assert value.startswith("#")
            assert value[1:] in page.ids
    for target in re.findall(r"url\(([^)]*)\)", text):
        assert target.startswith("#")
        assert target[1:] in page.ids
    assert "@import" not in text
    assert "://" not in re.sub(r"<!DOCTYPE[^>]*>", "", text)


def test_colors_follow_the_page(text: str) -> None:
    pictures = text[text.index("<svg") :]
    assert set(re.findall(r"#[0-9a-f]{6}", pictures)) == set()
    variables = set(re.findall(r"var\((--[a-z]+)\)", text))
    light, dark = (set(re.findall(r"(--[a-z]+):", part)) for part in text.split("@media", 1))
    assert variables <= light
    assert variables - {"--warning"} <= dark


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.58, 1.7), (1.03, 1.09), (0.999, 1.001), (0.6, 0.62), (0.4, 40), (1e-3, 9e2), (0.02, 99)],
)
def test_every_logarithmic_axis_has_numbers_to_read_it_by(low: float, high: float) -> None:
    figure, axes = new_figure(3.4)
    axes.plot([low, high], [0, 1])
    log_axis(axes, "x")
    figure.draw_without_rendering()
    left, right = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if left <= label.get_position()[0] <= right]
    texts = [label.get_text() for label in shown]
    assert 3 <= len(texts) <= 20
    assert len(set(texts)) == len(texts)
    assert all(text == f"{float(text):g}" for text in texts)
    boxes = [label.get_window_extent() for label in shown]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_every_name_from_outside_is_escaped(full: BenchReport) -> None:
    mixture = full.mixture
    assert mixture is not None
    exits = tuple(replace(exit_, name=HOSTILE) for exit_ in mixture.exits)
    paths = tuple(replace(path, name=HOSTILE) for path in full.paths)
    hostile = replace(
        full,
        bundle=replace(full.bundle, backbone=HOSTILE, folder=HOSTILE),
        device=replace(full.device, cpu=HOSTILE, versions={HOSTILE: HOSTILE}),
        mixture=replace(mixture, source=HOSTILE, exits=exits),
        paths=paths,
        explanation=explanation((HOSTILE,)),
        energy=made_energy(name=HOSTILE),
    )
    text = render_page(hostile)
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert text.count(ESCAPED) > 10
    assert page.said["Exit paths"].count('<script>alert("1")</script>') == 2  # the paths' names


def test_what_was_not_measured_is_said() -> None:
    page = Page(render_page(made_report(images=0)))
    for title, expected in (
        ("Accuracy against time", "Not measured: no images were given."),
        ("Latency", "Not measured: no images were given."),
        ("Why not Eq. 5", "No explanation was measured in this report."),
        ("Advice", "No advice was requested in this report."),
        ("Scenarios", "None was requested: give --scenario or --qps, with real images."),
        ("Energy and clocks", "No energy was measured"),
    ):
        assert expected in page.said[title]
    assert page.tags.count("svg") == 1  # the paths


def test_images_without_labels_have_no_front() -> None:
    report = made_report()
    assert report.mixture is not None
    runs = tuple(replace(run, accuracy=None) for run in report.mixture.runs)
    mixture = replace(report.mixture, runs=runs)
    page = Page(render_page(replace(report, mixture=mixture)))
    assert "Not known: the images have no labels." in page.said["Accuracy against time"]


# the file


def test_the_page_is_written_whole_or_not_at_all(
    full: BenchReport, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "report.html"
    write_page(full, file)
    assert file.read_text(encoding="utf-8") == text, "the same page each time"
    with full_disk(room=4096), pytest.raises(WriteError, match=r"report\.html"):
        write_page(full, file)
    assert file.read_text(encoding="utf-8") == text
    assert list(file.parent.iterdir()) == [file]


def test_another_ending_is_refused() -> None:
    check_page_path(Path("REPORT.HTM"))
    with refused(InputError, "report.pdf: expected", ".html", ".htm"):
        check_page_path(Path("report.pdf"))
