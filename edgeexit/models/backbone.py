"""A backbone: named stages and a final classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeexit_runtime.bundle.manifest import IMAGES as IMAGES
from torch import Tensor, nn


class Stage(nn.Module):
    """A stretch of the backbone that reads and writes tensors by name.

    Most stages have one input and one output. Those of a multi-scale network have several; a
    branch at the stage's end reads the last output. The stage does not depend on that branch.
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

    def apply_to(self, features: dict[str, Tensor]) -> None:
        """Read this stage's inputs from ``features`` and add its outputs to them."""
        outputs = self(*(features[name] for name in self.inputs))
        features.update(zip(self.outputs, outputs, strict=True))


def chained(bodies: Mapping[str, nn.Module]) -> dict[str, Stage]:
    """Return stages with one input and one output each: ``stage1_out``, ``stage2_out``, ..."""
    stages = {}
    before = IMAGES
    for name, body in bodies.items():
        stages[name] = Stage(body, (before,), (f"{name}_out",))
        before = f"{name}_out"
    return stages


class Backbone(nn.Module):
    """Stages in order, and the backbone's own classifier behind the last.

    Args:
        stages: the stages by name, in order; :func:`chained` builds stages that each pass one
            tensor to the next.
        classifier: maps the tensors of ``classifier_inputs`` to logits, ``(N, num_classes)``.
        exit_stages: the stages that end in a branching point, by the paper's rule (Section
            III-A): before each change of the resolution, but not before the first decrease. By
            default, all stages but the last.
        classifier_inputs: the classifier's input tensors; by default, the last output of the last
            stage.

    Attributes:
        original_names: the names of its weights, by the names that they have in the files of the
            library that the backbone comes from.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage],
        classifier: nn.Module,
        exit_stages: Sequence[str] | None = None,
        classifier_inputs: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.classifier = classifier
        self.classifier_inputs = tuple(classifier_inputs) or list(stages.values())[-1].outputs[-1:]
        self.exit_stages = tuple(stages)[:-1] if exit_stages is None else tuple(exit_stages)
        self.original_names: dict[str, str] = {}
        self._plain = self._needed_stages()

    def named_stages(self) -> list[tuple[str, Stage]]:
        """Return the stages in order, each with its name."""
        return [(name, stage) for name, stage in self.stages.items() if isinstance(stage, Stage)]

    def _needed_stages(self) -> set[str]:
        """Return the stages that the classifier depends on."""
        wanted, needed = set(self.classifier_inputs), set[str]()
        for name, stage in reversed(self.named_stages()):
            if wanted.intersection(stage.outputs):
                needed.add(name)
                wanted.update(stage.inputs)
        return needed

    def extract(self, images: Tensor, last: str | None = None) -> dict[str, Tensor]:
        """Map images to every tensor between stages by name, images included.

        Args:
            images: (N, C, H, W).
            last: the stage to stop after; by default, the last one.
        """
        features = {IMAGES: images}
        for name, stage in self.named_stages():
            stage.apply_to(features)
            if name == last:
                break
        return features

    def classify(self, features: Mapping[str, Tensor]) -> Tensor:
        """Map the tensors of :meth:`extract` to the final logits ``(N, num_classes)``."""
        logits: Tensor = self.classifier(*(features[name] for name in self.classifier_inputs))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to the final logits ``(N, num_classes)``.

        Stages that only exits read do not run.
        """
        features = {IMAGES: images}
        for name, stage in self.named_stages():
            if name in self._plain:
                stage.apply_to(features)
        return self.classify(features)
