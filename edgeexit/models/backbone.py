"""A backbone: named stages, and the classifier at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from edgeexit.models.mode import evaluating
from edgeexit.models.spec import FeatureInfo

__all__ = ["IMAGES", "Backbone", "Stage", "feature_infos"]

IMAGES = "images"
"""Name of the network's input tensor."""


class Stage(nn.Module):
    """A stretch of the backbone that reads and writes tensors by name.

    One tensor goes in and out of the usual stage; a multi-scale network has several. A stage
    knows nothing of the branch at its end.
    """

    def __init__(self, body: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.body = body
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one tensor per name of ``inputs`` to one per name of ``outputs``."""
        result = self.body(*features)
        return (result,) if isinstance(result, Tensor) else tuple(result)


class Backbone(nn.Module):
    """Stages in order, and the backbone's own classifier behind the last.

    Args:
        bodies: one module per stage name, in order.
        classifier: maps what the last stage gives to logits, ``(N, num_classes)``.
        exit_stages: the stages at whose ends branches sit, by the paper's rule (Section III-A):
            where the resolution is about to change, not at the first decrease.
    """

    def __init__(
        self, bodies: Mapping[str, nn.Module], classifier: nn.Module, exit_stages: Sequence[str]
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict()
        names: tuple[str, ...] = (IMAGES,)
        for name, body in bodies.items():
            outputs = (f"{name}_out",)
            self.stages[name] = Stage(body, names, outputs)
            names = outputs
        self.classifier = classifier
        self.classifier_inputs = names
        self.exit_stages = tuple(exit_stages)

    def named_stages(self) -> list[tuple[str, Stage]]:
        """Return the stages in order, each with its name."""
        return [(name, stage) for name, stage in self.stages.items() if isinstance(stage, Stage)]

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to the final logits ``(N, num_classes)``."""
        features = {IMAGES: images}
        for _, stage in self.named_stages():
            outputs = stage(*(features[name] for name in stage.inputs))
            features.update(zip(stage.outputs, outputs, strict=True))
        logits: Tensor = self.classifier(*(features[name] for name in self.classifier_inputs))
        return logits


def feature_infos(backbone: Backbone, input_size: tuple[int, int, int]) -> dict[str, FeatureInfo]:
    """Return name and shape of every tensor between stages, ``images`` included.

    Shapes are propagated with fake tensors: nothing is computed and no memory is taken.

    Raises:
        RuntimeError: the images are too small for the backbone (from torch).
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with evaluating(backbone), fake, torch.no_grad():
        features = {IMAGES: torch.empty(1, *input_size)}
        for _, stage in backbone.named_stages():
            outputs = stage(*(features[name] for name in stage.inputs))
            features.update(zip(stage.outputs, outputs, strict=True))
    return {name: FeatureInfo(name, tuple(t.shape[1:])) for name, t in features.items()}
