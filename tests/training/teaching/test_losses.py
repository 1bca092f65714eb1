from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgeexit.training.teaching.losses import distillation_loss, divergence, joint_cross_entropy
from edgeexit.training.teaching.teachers import ENSEMBLES, Ensemble, ensemble_weights, med, ofa, wed

SAMPLES, CLASSES = 5, 4


@pytest.fixture
def logits() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        name: 3 * torch.randn(SAMPLES, CLASSES, generator=random, dtype=torch.float64)
        for name in ("exit1", "exit2", "final")
    }


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.tensor([0, 3, 1, 1, 2])


def _softmax(row: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    powers = np.exp(row / temperature)
    return powers / powers.sum()


def _joint_by_hand(logits: dict[str, torch.Tensor], targets: torch.Tensor) -> float:
    total = 0.0
    for exit_logits in logits.values():
        for row, target in zip(exit_logits.numpy(), targets.tolist(), strict=True):
            total += -math.log(_softmax(row)[target]) / SAMPLES
    return total


def test_joint_cross_entropy_is_eq_2(
    logits: dict[str, torch.Tensor], targets: torch.Tensor
) -> None:
    expected = _joint_by_hand(logits, targets)
    assert joint_cross_entropy(logits, targets).item() == pytest.approx(expected, rel=1e-12)


def test_the_teacher_weighs_exit_j_by_j(logits: dict[str, torch.Tensor]) -> None:
    expected = np.zeros((SAMPLES, CLASSES))
    for j, exit_logits in enumerate(logits.values(), start=1):
        expected += j / (1 + 2 + 3) * exit_logits.numpy()
    assert wed(logits).numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("share", "temperature"), [(0.9, 1.0), (0.5, 3.0), (0.0, 2.0)])
def test_distillation_loss_is_eq_3(
    logits: dict[str, torch.Tensor], targets: torch.Tensor, share: float, temperature: float
) -> None:
    teacher = wed(logits)
    divergences = 0.0
    for exit_logits in logits.values():
        for student_row, teacher_row in zip(exit_logits.numpy(), teacher.numpy(), strict=True):
            s, t = _softmax(student_row, temperature), _softmax(teacher_row, temperature)
            for k in range(CLASSES):
                divergences += t[k] * (math.log(t[k]) - math.log(s[k])) / SAMPLES
    expected = share * _joint_by_hand(logits, targets)
    expected += temperature**2 * (1 - share) * divergences
    loss = distillation_loss(
        logits, targets, teacher, distill_lambda=share, temperature=temperature
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn() -> None:
    same = torch.randn(SAMPLES, CLASSES)
    assert divergence(same, same, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert divergence(same, same.roll(1, 0), 2.0).item() > 0.01


def test_the_teacher_gets_no_gradient(targets: torch.Tensor) -> None:
    student = torch.randn(SAMPLES, CLASSES, requires_grad=True)
    teacher = torch.randn(SAMPLES, CLASSES, requires_grad=True)
    loss = distillation_loss(
        {"final": student}, targets, teacher, distill_lambda=0.5, temperature=1.0
    )
    loss.backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_distillation_changes_the_gradient_as_eq_3_without_a_path_through_the_teacher(
    targets: torch.Tensor,
) -> None:
    values = {name: torch.randn(SAMPLES, CLASSES) for name in ("exit1", "final")}
    leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
    taught = Ensemble(wed)(torch.empty(0), leaves)
    distillation_loss(leaves, targets, taught, distill_lambda=0.9, temperature=1.0).backward()
    # by hand: (lambda (softmax - one_hot) + (1 - lambda) (softmax - teacher's softmax)) / N
    teacher = (1 / 3 * values["exit1"] + 2 / 3 * values["final"]).softmax(1)
    one_hot = torch.nn.functional.one_hot(targets, CLASSES)
    for name, leaf in leaves.items():
        share = values[name].softmax(1)
        expected = (0.9 * (share - one_hot) + 0.1 * (share - teacher)) / SAMPLES
        assert leaf.grad is not None
        assert torch.allclose(leaf.grad, expected, atol=1e-6)


def test_the_other_ensembles(logits: dict[str, torch.Tensor]) -> None:
    mean = np.mean([z.numpy() for z in logits.values()], axis=0)
    assert med(logits).numpy() == pytest.approx(mean, rel=1e-12)
    assert torch.equal(ofa(logits), logits["final"])
    assert ensemble_weights(4).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], rel=1e-12)


@pytest.mark.parametrize("name", ENSEMBLES.names())
def test_an_ensemble_passes_no_gradient_on(logits: dict[str, torch.Tensor], name: str) -> None:
    leaves = {key: value.clone().requires_grad_() for key, value in logits.items()}
    assert not Ensemble(ENSEMBLES[name])(torch.empty(0), leaves).requires_grad
