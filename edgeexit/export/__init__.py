"""Checkpoint -> bundle: one ONNX file per stage and branch, proven against the network."""

from edgeexit.export.bundle import ExportedBundle, ExportOptions, export_bundle
from edgeexit.export.graphs.making import Graph
from edgeexit.export.int8.calibration_images import CalibrationImages, load_calibration_images
from edgeexit.export.int8.targets import TARGETS
from edgeexit.export.precision import PRECISIONS, Precision, Quantization
from edgeexit.export.verification import ExitAgreement, Verification

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
