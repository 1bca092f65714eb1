"""The parts of a network, run one after another as the runtime will."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeexit.models import Partition
from edgeexit.models.partition import Part


def run_part(part: Part, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Run a part on the tensors that it names; check that its outputs are as it says."""
    results = part.module(*(tensors[info.name] for info in part.inputs))
    assert [tuple(value.shape[1:]) for value in results] == [info.shape for info in part.outputs]
    return {info.name: value for info, value in zip(part.outputs, results, strict=True)}


def chained_logits(parts: Partition, images: Tensor) -> dict[str, Tensor]:
    """Return the logits of every exit, after checking that no part overwrites what it reads."""
    tensors, logits = {"images": images}, {}
    with torch.no_grad():
        for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
            before = {name: value.clone() for name, value in tensors.items()}
            tensors |= run_part(stage, tensors)
            logits[exit_.name] = run_part(exit_, tensors)["logits"]
            assert all(torch.equal(tensors[name], value) for name, value in before.items())
    return logits
