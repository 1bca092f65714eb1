"""Run multi-exit bundles made by edgeexit.

    import edgeexit_runtime as ee

    with ee.load("out/") as session:
        result = session.infer(session.prepare(["cat.jpg", frame]))  # of any size
    result.labels, result.confidences, result.exits

Importing this package imports numpy alone; an engine is imported when a bundle is loaded.
"""

from edgeexit_runtime.bundle.expected_entry import CONFIDENCE_EDGES
from edgeexit_runtime.bundle.manifest import Manifest, load_manifest
from edgeexit_runtime.errors import (
    BackendError,
    BundleError,
    BusyError,
    DeviceLostError,
    EdgeExitError,
    ImageError,
    InputError,
)
from edgeexit_runtime.field.drift import Drift
from edgeexit_runtime.field.statistics import Statistics
from edgeexit_runtime.gate import NEVER, ExitAnswers, Predictions
from edgeexit_runtime.images.preprocess import Preprocessing
from edgeexit_runtime.loading import load, load_baseline
from edgeexit_runtime.session import Session

__all__ = [
    "CONFIDENCE_EDGES",
    "NEVER",
    "BackendError",
    "BundleError",
    "BusyError",
    "DeviceLostError",
    "Drift",
    "EdgeExitError",
    "ExitAnswers",
    "ImageError",
    "InputError",
    "Manifest",
    "Predictions",
    "Preprocessing",
    "Session",
    "Statistics",
    "load",
    "load_baseline",
    "load_manifest",
]
