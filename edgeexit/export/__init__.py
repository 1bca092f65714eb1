"""Checkpoint -> bundle: one ONNX file per stage and branch, proven against the network."""

from edgeexit.export.bundle import ExportedBundle, ExportOptions, export_bundle
from edgeexit.export.precision import PRECISIONS
from edgeexit.export.verification import ExitAgreement, Verification

__all__ = [
    "PRECISIONS",
    "ExitAgreement",
    "ExportOptions",
    "ExportedBundle",
    "Verification",
    "export_bundle",
]
