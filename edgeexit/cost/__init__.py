"""The cost of a network: multiply-accumulates, Eq. 5, and the bytes of each part.

Names that need torch are imported on first use.
"""

from typing import TYPE_CHECKING

from edgeexit_runtime.gate import average_macs

from edgeexit.cost.exits import ExitCost, ExitCosts, bundle_costs
from edgeexit.registry import lazy_names

if TYPE_CHECKING:
    from edgeexit.cost.network import NetworkCost, PartCost, network_cost, partition_cost

__all__ = [
    "ExitCost",
    "ExitCosts",
    "NetworkCost",
    "PartCost",
    "average_macs",
    "bundle_costs",
    "network_cost",
    "partition_cost",
]

__getattr__ = lazy_names(
    __name__,
    {"edgeexit.cost.network": ("NetworkCost", "PartCost", "network_cost", "partition_cost")},
)
