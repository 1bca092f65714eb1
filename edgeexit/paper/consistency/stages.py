"""The stages at which networks are compared, and the features that later stages read there."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from edgeexit.errors import SpecError
from edgeexit.fitting import check_same
from edgeexit.models.backbone import IMAGES, Backbone
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import FeatureInfo

FEATURE_MAP = 3  # dimensions of (channels, height, width)


def compared_stages(net: MultiExitNet) -> tuple[str, ...]:
    """Return the stages with exits behind them; for a plain backbone, all that may have one.

    Raises:
        SpecError: there are none.
    """
    stages = tuple(exit_.stage for exit_ in net.spec.exits) or net.backbone.exit_stages
    if not stages:
        raise SpecError(
            f"{net.spec.backbone} without exits has no stage to compare at: give a checkpoint with "
            "branches after the baseline's"
        )
    return stages


def crossing_features(net: MultiExitNet, stage: str) -> tuple[FeatureInfo, ...]:
    """Return the features up to ``stage`` that the rest of the backbone reads.

    This is one tensor in most networks, and one per scale in a multi-scale network. Features of
    earlier stages that a later stage reads are included: none of the baseline's own may bypass the
    reconstruction.

    Raises:
        SpecError: a tensor is not a feature map ``(channels, height, width)``.
    """
    written = {IMAGES}
    read = dict.fromkeys(net.backbone.classifier_inputs)
    behind = False
    for name, part in net.backbone.named_stages():
        if behind:
            read.update(dict.fromkeys(part.inputs))
        else:
            written.update(part.outputs)
        behind = behind or name == stage
    features = tuple(
        info for name, info in net.features.items() if name in read and name in written
    )
    for info in features:
        _check_feature_map(net, stage, info)
    return features


def check_same_features(baseline: MultiExitNet, net: MultiExitNet, stage: str, name: str) -> None:
    """Raise SpecError if the features of ``net`` cannot replace the baseline's at ``stage``."""
    ours, theirs = (_listed(crossing_features(each, stage)) for each in (baseline, net))
    who = f"{name} cannot replace the baseline at {stage}"
    check_same(who, "give networks of one backbone", (("features", ours, theirs),), SpecError)


def finish(backbone: Backbone, features: Mapping[str, Tensor], stage: str) -> Tensor:
    """Run the rest of the backbone, from the features that cross at ``stage`` to logits (N, K)."""
    known = dict(features)
    behind = False
    for name, part in backbone.named_stages():
        if behind:
            part.apply_to(known)
        behind = behind or name == stage
    return backbone.classify(known)


def _check_feature_map(net: MultiExitNet, stage: str, info: FeatureInfo) -> None:
    outputs = [name for _, part in net.backbone.named_stages() for name in part.outputs]
    if info.name == IMAGES:
        what = "the images themselves, which are the same in every network"
    elif len(info.shape) != FEATURE_MAP:
        what = f"features of shape {info.shape}"
    elif f"{stage}_nchw" in outputs:  # a traced stage adds this copy for its branch
        what = f"features with channels last, {info.shape}"
    else:
        return
    raise SpecError(
        f"{net.spec.backbone} cannot be compared at {stage}: expected feature maps (channels, "
        f"height, width), which a convolution reconstructs; the rest of the network reads {what}"
    )


def _listed(features: tuple[FeatureInfo, ...]) -> str:
    return ", ".join(f"{info.name} {info.shape}" for info in features)
