"""Fig. 11: images that leave at each exit, and every exit's answer for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.drawing.style import GREY, ORANGE, PAGE_WIDTH, new_figure, shorten
from edgeexit.paper.figures.registry import Drawn, FigureOptions, figure
from edgeexit.paper.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

RIGHT, WRONG = "✓", "✗"
LEFT, TOP, GAP, CAPTION = 0.72, 0.5, 0.1, 0.118  # inches; CAPTION is for each line
WIDEST = 1.05  # inches; width of an image at most
LINE = 8.2  # points between two lines of a caption
POINTS_PER_INCH = 72
CHARACTER = 0.055  # inches; average width of a character in a caption


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """One image, at the network's own thresholds.

    Attributes:
        left_at: the exit where the image leaves.
        sample: its index among the test images.
        class_name: its true class.
        answer: the class predicted by each exit.
        confidence_softmax: the confidence of each exit, its largest softmax value.
        right: whether the answer at ``left_at`` is the true class.
    """

    left_at: str
    sample: int
    class_name: str
    answer: dict[str, str]
    confidence_softmax: dict[str, float]
    right: bool


@figure("examples", papers=(11,), each=True)
def examples(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
    (subject,) = subjects
    rows = example_rows(subject, options.examples_per_exit, options.seed)
    pictures = [
        to_picture(subject.test_images[row.sample][0].numpy(), subject.preprocessing)
        for row in rows
    ]
    shares = np.bincount(subject.left_at(), minlength=len(subject.exit_names))
    leaving = dict(zip(subject.exit_names, (shares / shares.sum()).tolist(), strict=True))
    return Drawn(draw_examples(rows, pictures, leaving, subject.title), rows)


def example_rows(subject: Subject, per_exit: int, seed: int) -> list[ExampleRow]:
    """Choose up to ``per_exit`` of the images that leave at each exit.

    As far as possible the classes are the same at every exit: classes whose images leave at the
    most exits come first. Otherwise classes and images are chosen at random by ``seed``, not by
    quality.
    """
    left_at, targets = subject.left_at(), subject.test.targets
    random = np.random.default_rng(seed)
    samples = random.permutation(len(targets))
    classes = random.permutation(len(subject.class_names)).tolist()
    exits_of = {label: len(np.unique(left_at[targets == label])) for label in classes}
    classes.sort(key=lambda label: -exits_of[label])  # stable: ties stay in random order
    chosen = []
    for index in range(len(subject.exit_names)):
        leaving = samples[left_at[samples] == index]
        by_class = [leaving[targets[leaving] == label].tolist() for label in classes]
        chosen += _interleaved(by_class, per_exit)
    return [_row(subject, sample, int(left_at[sample])) for sample in chosen]


def to_picture(image: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Map a normalized image (C, H, W) back to (H, W, C) with values from 0 to 1."""
    mean, std = (np.asarray(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    picture: NDArray[np.float32] = (image.transpose(1, 2, 0) * std + mean).clip(0, 1)
    return picture


def draw_examples(
    rows: Sequence[ExampleRow],
    pictures: Sequence[NDArray[np.float32]],
    leaving: dict[str, float],
    title: str,
) -> Figure:
    """Draw a line of images for each exit.

    Args:
        rows: in the order of the exits.
        pictures: the image (H, W, C) of each row.
        leaving: by exit, in order, the share of all samples that leave there, 0 to 1.
    """
    lines = [[i for i, row in enumerate(rows) if row.left_at == name] for name in leaving]
    columns = max(map(len, lines))
    width = min(WIDEST * 1.25, (PAGE_WIDTH - LEFT) / columns) - GAP
    height = width * pictures[0].shape[0] / pictures[0].shape[1]
    line_height = height + CAPTION * (len(leaving) + 1) + 1.6 * GAP
    size = (max(LEFT + columns * (width + GAP), 4.2), TOP + line_height * len(leaving))
    figure = new_figure(*size, constrained=False)
    for number, (name, members) in enumerate(zip(leaving, lines, strict=True)):
        bottom = size[1] - TOP - number * line_height - height
        share = f"left at\n{name}\n{leaving[name]:.1%}"
        figure.text(0.08 / size[0], (bottom + height / 2) / size[1], share, va="center", fontsize=8)
        for line, label in enumerate(("true", *leaving)):
            below = bottom - (3 + LINE * line) / POINTS_PER_INCH
            at = ((LEFT - 0.5 * GAP) / size[0], below / size[1])
            figure.text(*at, label, ha="right", va="top", fontsize=6.2, color=GREY)
        for column, index in enumerate(members):
            left = LEFT + column * (width + GAP)
            box = (left / size[0], bottom / size[1], width / size[0], height / size[1])
            _draw_example(figure.add_axes(box), rows[index], pictures[index], width)
    figure.text(0.5, 1 - 0.08 / size[1], shorten(title, int(size[0] * 15)), **_HEAD, fontsize=8.5)
    legend = (
        f"{RIGHT} right, {WRONG} wrong, with the softmax value; framed: the answer it left with"
    )
    figure.text(0.5, 1 - 0.27 / size[1], legend, **_HEAD, fontsize=7.5)
    return figure


def _interleaved(groups: Sequence[list[int]], most: int) -> list[int]:
    """Return up to ``most`` items: the first of each group, then the second of each, and so on."""
    rounds = max(map(len, groups), default=0)
    taken = [group[i] for i in range(rounds) for group in groups if i < len(group)]
    return taken[:most]


def _row(subject: Subject, sample: int, left_at: int) -> ExampleRow:
    test, names = subject.test, subject.class_names
    answers = [names[label] for label in test.labels[:, sample]]
    confidences = [float(value) for value in test.confidences[:, sample]]
    return ExampleRow(
        left_at=test.exit_names[left_at],
        sample=sample,
        class_name=names[test.targets[sample]],
        answer=dict(zip(test.exit_names, answers, strict=True)),
        confidence_softmax=dict(zip(test.exit_names, confidences, strict=True)),
        right=bool(test.correct[left_at, sample]),
    )


def _draw_example(axes: Axes, row: ExampleRow, picture: NDArray[np.float32], width: float) -> None:
    axes.imshow(picture if picture.shape[2] == 3 else picture[:, :, 0], cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    if not row.right:
        axes.add_patch(_frame(axes))
    room = int(width / CHARACTER)
    _write(axes, 0, shorten(row.class_name, room, keep_end=False), {"fontstyle": "italic"})
    passed = False  # whether the exit is behind the one where the image left, so was never run
    for number, (name, answer) in enumerate(row.answer.items(), start=1):
        mark = RIGHT if answer == row.class_name else WRONG
        end = f" {row.confidence_softmax[name]:.2f}"
        text = f"{mark} {shorten(answer, room - len(end) - 2, keep_end=False)}{end}"
        look: dict[str, Any] = {"color": GREY if passed else "black"}
        if name == row.left_at:
            passed = True
            look |= {"bbox": _FRAME, "fontweight": "bold"}
        _write(axes, number, text, look)


def _frame(axes: Axes) -> Rectangle:
    """Return a dashed frame for an image with a wrong answer."""
    from matplotlib.patches import Rectangle

    return Rectangle(
        (0, 0),
        1,
        1,
        transform=axes.transAxes,
        fill=False,
        edgecolor=ORANGE,
        linewidth=2,
        linestyle=(0, (2, 1)),
        clip_on=False,
    )


def _write(axes: Axes, line: int, text: str, look: dict[str, Any]) -> None:
    axes.annotate(
        text,
        (0, 0),
        (1.5, -3 - LINE * line),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=6.2,
        **look,
    )


_HEAD: dict[str, Any] = {"ha": "center", "va": "top"}
_FRAME = {"boxstyle": "square,pad=0.12", "facecolor": "none", "linewidth": 0.7}
