"""Forms of 8 bits, one file for each kind of engine that computes them."""

import importlib
import pkgutil

from edgeexit.export.int8.targets.base import TARGETS, QuantizationTarget

__all__ = ["TARGETS", "QuantizationTarget"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
