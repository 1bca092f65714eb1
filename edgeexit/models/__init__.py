"""Multi-exit networks: backbones, branches, and the network made of both."""

from edgeexit.models.attach import attach_exits, inspect_points
from edgeexit.models.multi_exit import MultiExitNet, make_spec
from edgeexit.models.outputs import from_outputs
from edgeexit.models.partition import Partition, partition
from edgeexit.models.registry import (
    list_backbones,
    list_branches,
    register_backbone,
    register_branch,
)
from edgeexit.models.spec import FINAL, ExitSpec, FeatureInfo, ModelSpec

__all__ = [
    "FINAL",
    "ExitSpec",
    "FeatureInfo",
    "ModelSpec",
    "MultiExitNet",
    "Partition",
    "attach_exits",
    "from_outputs",
    "inspect_points",
    "list_backbones",
    "list_branches",
    "make_spec",
    "partition",
    "register_backbone",
    "register_branch",
]
