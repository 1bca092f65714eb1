"""The numbers in each figure, against answers made by hand: see conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.images.preprocess import Preprocessing

from edgeexit.errors import TuningError
from edgeexit.evaluation import ExitPredictions, evaluate_adaptive
from edgeexit.paper.figures import Subject, default_accuracy
from edgeexit.paper.figures.classes import MOST_NAMED, class_rows
from edgeexit.paper.figures.confidence import BINS, confidence_rows
from edgeexit.paper.figures.examples import example_rows, to_picture
from edgeexit.paper.figures.front import ADAPTIVE, BACKBONE, MOST_POINTS, front_rows
from edgeexit.paper.figures.groups import ASCENDING, DESCENDING, group_rows, group_sizes
from edgeexit.paper.figures.patterns import pattern_rows

MakeSubject = Callable[..., Subject]


def random_answers(samples: int, classes: int, seed: int = 0) -> ExitPredictions:
    random = np.random.default_rng(seed)
    targets = np.arange(samples) % classes
    right = random.random((3, samples)) < np.array([[0.6], [0.7], [0.8]])
    return ExitPredictions(
        ("exit1", "exit2", "final"),
        random.uniform(0.2, 1, (3, samples)).astype(np.float32),
        np.where(right, targets, (targets + 1) % classes),
        targets,
    )


def test_confidences_of_right_and_wrong_answers(subject: MakeSubject) -> None:
    rows = confidence_rows(subject())
    assert [row.exit for row in rows] == ["exit1"] * BINS + ["exit2"] * BINS + ["final"] * BINS
    first = rows[:BINS]
    assert {row.threshold_softmax for row in first} == {0.9}
    assert rows[-1].threshold_softmax is None
    assert sum(row.correct_samples for row in first) == 5
    assert sum(row.incorrect_samples for row in first) == 3
    assert sum(row.correct_percent or 0 for row in first) == pytest.approx(100)
    # right with 0.95, 0.90, 0.92, 0.55, 0.60; wrong with 0.30, 0.40, 0.45
    filled = {row.from_softmax: row.correct_samples for row in first if row.correct_samples}
    assert filled == {0.55: 1, 0.6: 1, 0.9: 2, 0.95: 1}
    wrong = {row.from_softmax for row in first if row.incorrect_samples}
    assert wrong == {0.3, 0.4, 0.45}
    assert first[-1].to_softmax == 1


def test_an_exit_that_is_never_wrong_has_no_share_of_wrong_answers(subject: MakeSubject) -> None:
    given = subject()
    answers = given.test
    labels = np.where([[False], [False], [True]], answers.targets, answers.labels)
    rows = confidence_rows(replace(given, test=replace(answers, labels=labels)))
    assert rows[-1].incorrect_percent is None
    assert rows[0].incorrect_percent == 0


def test_patterns_are_chosen_on_val_and_drawn_of_test(subject: MakeSubject) -> None:
    val, test = random_answers(200, 4, seed=1), random_answers(100, 4, seed=2)
    (row,) = pattern_rows([subject(val=val, test=test)], 0.7)
    assert row.asked_accuracy_percent == 70
    cost = subject().cost
    assert evaluate_adaptive(val, row.threshold_softmax, cost).adaptive_accuracy >= 0.7
    report = evaluate_adaptive(test, row.threshold_softmax, cost)
    assert row.accuracy_percent == 100 * report.adaptive_accuracy
    assert row.average_cost_macs == report.average_macs
    assert row.leaving_percent == {exit_.name: 100 * exit_.share for exit_ in report.exits}
    assert row.backbone_cost_macs == 100


def test_an_accuracy_that_no_thresholds_reach(subject: MakeSubject) -> None:
    with pytest.raises(TuningError, match=r"b: no thresholds reach an accuracy of 0\.9500 .* near"):
        pattern_rows([subject("b")], 0.95)


def test_the_default_accuracy_is_reached_by_all(subject: MakeSubject) -> None:
    weaker = random_answers(200, 4, seed=1)
    subjects = [subject("a"), subject("b", val=weaker)]
    assert default_accuracy(subjects[:1]) == 0.865, "7 of 8 are right at best, less 0.01"
    accuracy = default_accuracy(subjects)
    assert accuracy < 0.865
    assert len(pattern_rows(subjects, accuracy)) == 2


def test_the_front_is_chosen_on_val_and_drawn_of_test(subject: MakeSubject) -> None:
    val, test = random_answers(300, 4, seed=1), random_answers(100, 4, seed=2)
    rows = front_rows([subject("a", val=val, test=test), subject("p", plain=True)])
    adaptive = [row for row in rows if row.kind == ADAPTIVE]
    assert 2 < len(adaptive) <= MOST_POINTS
    assert {row.network for row in adaptive} == {"a"}
    chosen = [evaluate_adaptive(val, row.threshold_softmax, subject().cost) for row in adaptive]
    for worse, better in pairwise(chosen):
        assert worse.average_macs < better.average_macs
        assert worse.adaptive_accuracy < better.adaptive_accuracy
    for row in adaptive:
        report = evaluate_adaptive(test, row.threshold_softmax, subject().cost)
        assert row.accuracy_percent == 100 * report.adaptive_accuracy
        assert row.average_cost_macs == report.average_macs
    alone = {row.network: row for row in rows if row.kind == BACKBONE}
    assert alone["a"].accuracy_percent == 100 * test.correct[-1].mean()
    assert (alone["p"].average_cost_macs, alone["p"].accuracy_percent) == (100, 87.5)


def test_classes_by_the_share_that_leaves_first(subject: MakeSubject) -> None:
    rows = class_rows(subject(class_names=("circle", "square", "star", "without test images")))
    assert [(row.rank, row.class_name, row.samples) for row in rows] == [
        (1, "star", 2),
        (2, "square", 3),
        (3, "circle", 3),
    ]
    assert rows[0].leaving_percent == {"exit1": 0, "exit2": 50, "final": 50}
    assert rows[2].leaving_percent == pytest.approx(
        {"exit1": 200 / 3, "exit2": 100 / 3, "final": 0}
    )
    assert [row.backbone_accuracy_percent for row in rows] == [50, 100, 100]
    assert [row.adaptive_accuracy_percent for row in rows] == [50, 100, 100]
    assert rows[0].backbone_running_percent is None


def test_many_classes_have_running_means(subject: MakeSubject) -> None:
    classes = 2 * MOST_NAMED
    names = tuple(map(str, range(classes)))
    rows = class_rows(subject(class_names=names, test=random_answers(800, classes)))
    accuracies = [row.adaptive_accuracy_percent for row in rows]
    assert rows[0].adaptive_running_percent == pytest.approx(np.mean(accuracies[:3]))
    assert rows[40].adaptive_running_percent == pytest.approx(np.mean(accuracies[38:43]))


def test_groups_of_classes_and_ways_of_inference(subject: MakeSubject) -> None:
    rows = group_rows(subject())
    groups = [(row.kind, row.name, row.accuracy_percent) for row in rows[:-3]]
    assert groups == [
        (ASCENDING, "1", 50),
        (ASCENDING, "2", 75),
        (DESCENDING, "1", 100),
        (DESCENDING, "2", 100),
    ]
    assert rows[0].leaving_first_percent == 0
    assert rows[1].leaving_first_percent == pytest.approx(100 / 6)
    ways = [(row.name, row.accuracy_percent, row.average_cost_macs) for row in rows[-3:]]
    adaptive = (3 * 40 + 3 * 90 + 2 * 130) / 8
    assert ways == [
        ("backbone alone", 87.5, 100),
        ("all at exit1", 62.5, 40),
        ("adaptive", 87.5, adaptive),
    ]


def test_all_at_the_first_exit_pay_for_its_branch_although_it_is_off(subject: MakeSubject) -> None:
    rows = group_rows(subject(thresholds={"exit1": NEVER, "exit2": 0.75}))
    assert [row.average_cost_macs for row in rows if row.name == "all at exit1"] == [40]


def test_groups_grow_with_the_number_of_classes() -> None:
    assert group_sizes(1000) == [50, 100, 200, 300, 400, 500]
    assert group_sizes(10) == [1, 2, 3, 4, 5]
    assert group_sizes(1) == [1]


def test_examples_leave_where_they_are_shown(subject: MakeSubject) -> None:
    rows = example_rows(subject(), 2, seed=0)
    assert [row.left_at for row in rows] == ["exit1"] * 2 + ["exit2"] * 2 + ["final"] * 2
    assert len({row.sample for row in rows}) == 6
    left_at = subject().left_at()
    for row in rows:
        assert row.left_at == ("exit1", "exit2", "final")[left_at[row.sample]]
    by_sample = {row.sample: row for row in example_rows(subject(), 8, seed=0)}
    assert sorted(by_sample) == list(range(8))
    wrong = by_sample[6]
    assert wrong.class_name == "star"
    assert wrong.answer == {"exit1": "circle", "exit2": "circle", "final": "circle"}
    assert wrong.confidence_softmax == pytest.approx({"exit1": 0.45, "exit2": 0.55, "final": 0.85})
    assert (wrong.left_at, wrong.right) == ("final", False)
    assert by_sample[2].right


def test_the_same_seed_chooses_the_same_examples(subject: MakeSubject) -> None:
    big = subject(test=random_answers(300, 3))
    first = example_rows(big, 4, seed=0)
    assert example_rows(big, 4, seed=0) == first
    assert example_rows(big, 4, seed=1) != first
    assert len({row.class_name for row in first[:4]}) == 3, "classes take turns"


def test_an_exit_that_nobody_leaves_at_has_no_examples(subject: MakeSubject) -> None:
    rows = example_rows(subject(thresholds={"exit1": NEVER, "exit2": 0.0}), 3, seed=0)
    assert [row.left_at for row in rows] == ["exit2"] * 3


def test_pictures_are_what_was_normalized() -> None:
    preprocessing = Preprocessing((3, 2, 2), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 2, 2, 3), np.uint8)
    picture = to_picture(preprocessing(pixels)[0], preprocessing)
    np.testing.assert_allclose(picture, pixels[0] / 255, atol=1e-6)
