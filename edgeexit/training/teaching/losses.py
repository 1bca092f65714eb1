"""The loss functions of Section III-B. Each maps logits (N, K) per exit to a scalar."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def joint_cross_entropy(logits: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    """Return the sum of every exit's cross entropy, Eq. 2, averaged over the samples.

    Args:
        logits: (N, K) per exit.
        targets: (N,) int64.
    """
    return torch.stack([F.cross_entropy(z, targets) for z in logits.values()]).sum()


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the Kullback-Leibler divergence KL(teacher || student), averaged over the samples.

    It is ``sum_k t_k (log t_k - log s_k)`` with ``s`` and ``t`` the softened class probabilities
    of student and teacher.

    Args:
        student, teacher: logits (N, K).
        temperature: tau, the divisor of both.
    """
    return F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def distillation_loss(
    logits: Mapping[str, Tensor],
    targets: Tensor,
    teacher: Tensor,
    *,
    distill_lambda: float,
    temperature: float,
) -> Tensor:
    """Return Eq. 3: ``lambda * joint + tau^2 * (1 - lambda) * sum of divergences``.

    Args:
        logits: (N, K) per exit, the students.
        targets: (N,) int64.
        teacher: logits (N, K); no gradient flows into them.
        distill_lambda: lambda, the weight of the labels.
        temperature: tau.
    """
    teacher = teacher.detach()
    divergences = torch.stack([divergence(z, teacher, temperature) for z in logits.values()]).sum()
    joint = joint_cross_entropy(logits, targets)
    return distill_lambda * joint + temperature**2 * (1 - distill_lambda) * divergences
