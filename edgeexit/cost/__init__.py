"""What a network costs: multiply-accumulates, Eq. 5, and the bytes of each part."""

from edgeexit_runtime.gate import average_macs

from edgeexit.cost.network import (
    ExitCost,
    ExitCosts,
    NetworkCost,
    PartCost,
    bundle_costs,
    network_cost,
    partition_cost,
)

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
