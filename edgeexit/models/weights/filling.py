"""Fill a backbone with weights that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from edgeexit.errors import SpecError
from edgeexit.models.backbone import Backbone


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """The weights that were loaded into a backbone.

    Attributes:
        source: the origin of the weights, in a phrase.
        new: names of the backbone's weights that were missing or of another shape and were not
            changed, such as a classifier of other classes.
    """

    source: str
    new: tuple[str, ...]

    def __str__(self) -> str:
        left_out = f"; new, of another shape: {', '.join(self.new)}" if self.new else ""
        return self.source + left_out


def fill_backbone(backbone: Backbone, weights: Mapping[str, Tensor], source: str) -> LoadedWeights:
    """Fill ``backbone`` with every weight of the same name and shape.

    Args:
        backbone: the backbone, changed in place.
        weights: parameters and buffers by the names of ``backbone.state_dict``.
        source: the origin of the weights, in a phrase.

    Raises:
        SpecError: weights other than the classifier's do not fit.
    """
    own = backbone.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own and value.shape == own[name].shape
    }
    new = tuple(name for name in own if name not in fitting)
    misfits = [name for name in new if not name.startswith("classifier.")]
    if misfits:
        raise SpecError(
            f"{source} does not fit the backbone: {misfits[0]} and {len(misfits) - 1} other "
            "weights are missing there or of another shape; start from the same backbone"
        )
    backbone.load_state_dict(fitting, strict=False)
    return LoadedWeights(source, new)
