"""A network that is not trained: a registered backbone, or a user's own model with exits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import argument, option
from edgeexit.cli.options.shared import AT_LEAST_2, exits_option, model_option

if TYPE_CHECKING:
    from torch import nn

    from edgeexit.models import MultiExitNet
    from edgeexit.models.spec import ModelSpec

DEFAULT_PIXELS = 224
LARGE_IMAGES = 64
LARGE_CLASSES, SMALL_CLASSES = 1000, 100
USUAL_CLASSES = (
    f"{LARGE_CLASSES}, and {SMALL_CLASSES} for images under {LARGE_IMAGES} pixels, as in the "
    "paper's tables"
)


@dataclass(frozen=True, slots=True)
class UntrainedOptions:
    """A registered backbone, or a user's own model."""

    backbone: str | None = argument(None, required=False)
    model: str | None = model_option()
    exits: str = exits_option()
    num_classes: int | None = option(
        f"[default: {USUAL_CLASSES}; with --model {LARGE_CLASSES}, or the model's own number if "
        "it is fixed]",
        type=AT_LEAST_2,
    )
    input_size: tuple[int, int] | None = option(
        "Pixels: 224 or HEIGHTxWIDTH.  [default: the backbone's own size; "
        f"{DEFAULT_PIXELS} with --model]",
        type=typed.size,
    )

    def spec(self, branches: str) -> ModelSpec:
        """Return the registered backbone with a branching pattern."""
        return registered_spec(str(self.backbone), branches, self.num_classes, self.input_size)

    def attached(self, branches: str) -> MultiExitNet:
        """Return the model of ``--model`` with branches behind ``--exits``."""
        from edgeexit.models import attach_exits

        model = created_model(str(self.model), self.num_classes)
        return attach_exits(model, self.exits or "auto", branches=branches, **self._arguments)

    def with_own_exits(self, outputs: str) -> MultiExitNet:
        """Return the model of ``--model`` with the exits among its outputs."""
        from edgeexit.models import from_outputs

        model = created_model(str(self.model), self.num_classes)
        return from_outputs(model, outputs=outputs, **self._arguments)

    @property
    def _arguments(self) -> dict[str, Any]:
        shape = model_shape(self.input_size)
        return {"input_size": shape, "num_classes": self.num_classes, "name": self.model}


def registered_spec(
    name: str, branches: str, num_classes: int | None, pixels: tuple[int, int] | None
) -> ModelSpec:
    """Return a registered backbone with a branching pattern, by default of its usual size."""
    from edgeexit.models import make_spec
    from edgeexit.models.registry import backbone_entry

    classes = num_classes or usual_classes(backbone_entry(name).input_size)
    return make_spec(name, branches, classes, None if pixels is None else (3, *pixels))


def created_model(reference: str, num_classes: int | None) -> nn.Module:
    """Return the model that a factory ``package.module:factory`` makes."""
    from edgeexit.models.factories import create_model

    return create_model(reference, num_classes or LARGE_CLASSES)


def model_shape(pixels: tuple[int, int] | None) -> tuple[int, int, int]:
    """Return the shape of a user's own model's images."""
    return (3, *(pixels or (DEFAULT_PIXELS, DEFAULT_PIXELS)))


def usual_classes(input_size: tuple[int, int, int]) -> int:
    """Return ImageNet's or CIFAR-100's number of classes, by a backbone's input size."""
    return LARGE_CLASSES if min(input_size[1:]) >= LARGE_IMAGES else SMALL_CLASSES
