"""Checkpoint or ONNX file -> bundle: one ONNX file per stage and branch, verified against it.

Modules that need torch are imported on first use.
"""

from typing import TYPE_CHECKING

from edgeexit.export.graphs.parts import Graph
from edgeexit.export.int8.calibration_images import CalibrationImages, load_calibration_images
from edgeexit.export.int8.targets import TARGETS
from edgeexit.export.precision import PRECISIONS, Precision, Quantization
from edgeexit.export.verification import ExitAgreement, Verification
from edgeexit.export.writing import ExportedBundle, ExportOptions
from edgeexit.registry import lazy_names

if TYPE_CHECKING:
    from edgeexit.export.bundle import export_bundle

__all__ = [
    "PRECISIONS",
    "TARGETS",
    "CalibrationImages",
    "ExitAgreement",
    "ExportOptions",
    "ExportedBundle",
    "Graph",
    "Precision",
    "Quantization",
    "Verification",
    "export_bundle",
    "load_calibration_images",
]

__getattr__ = lazy_names(__name__, {"edgeexit.export.bundle": ("export_bundle",)})
