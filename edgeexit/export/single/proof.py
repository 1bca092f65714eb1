"""Verification of a single file against its bundle, on real images at several thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import edgeexit_runtime as ee
import numpy as np
from edgeexit_runtime.backends.reference import open_reference, open_reference_model
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import IMAGES
from edgeexit_runtime.progress import Progress, ignore_progress
from numpy.typing import NDArray

from edgeexit.errors import ExportError
from edgeexit.export.single.about import has_half_scales
from edgeexit.export.single.nested import THRESHOLDS, exits_that_are_on
from edgeexit.export.verification import batches

if TYPE_CHECKING:
    from edgeexit_runtime.backends.onnxruntime.bare import ModelInMemory

MIXED = ((0.5,), (0.8, 0.3))
"""By setting and exit, cyclically: the share of images with confidences below the threshold."""
BATCH = 8
CLOSE = {"fp32": 1e-5, "fp16": 1e-4, "int8": 1e-5}
"""Closer to a threshold than this, rounding decides, which may differ between two graphs."""


@dataclass(frozen=True, slots=True)
class SingleProof:
    """Comparison of a single file with its bundle's session; labels and exits were equal.

    Attributes:
        samples: number of real images, run one at a time and in batches of :data:`BATCH`.
        source: where the images come from.
        settings: the thresholds that were set, the bundle's own first.
        left_at: by exit, the number of images that left there, over all settings.
        by_rounding: answers that differed, with a confidence within :data:`CLOSE` of a threshold.
        confidence_difference: the largest difference of a confidence.
        versions: of the backend that ran both.
    """

    samples: int
    source: str
    settings: tuple[dict[str, float], ...]
    left_at: dict[str, int]
    by_rounding: int
    confidence_difference: float
    versions: dict[str, str]

    @property
    def decisions(self) -> int:
        """The number of pairs of label and exit compared, batches not counted again."""
        return self.samples * len(self.settings)


def prove_single(
    content: bytes,
    bundle: Bundle,
    samples: NDArray[np.float32],
    source: str,
    progress: Progress = ignore_progress,
) -> SingleProof:
    """Compare a single file with its bundle, both run by ONNX Runtime on the CPU.

    Args:
        content: the file's bytes.
        bundle: the bundle that it was packed from.
        samples: real images (N, C, H, W), normalized.
        source: where the samples come from, for the record.
        progress: called with every step.

    Raises:
        ExportError: a label or an exit differs, or there is nothing to compare.
    """
    manifest = bundle.manifest
    if len(samples) == 0:
        raise ExportError("no samples to verify the file on; give a data set with images")
    file = open_reference_model(content, rounds_biases=not has_half_scales(manifest.quantization))
    names = exits_that_are_on(manifest)
    left_at, by_rounding, largest = dict.fromkeys(manifest.exit_names, 0), 0, 0.0
    with ee.Session(manifest, open_reference(bundle)) as session:
        confidences = session.infer_all_exits(samples).confidences  # (M, N)
        rows = [manifest.exit_names.index(name) for name in names]
        settings = tuple(_settings(manifest.thresholds, names, confidences[rows]))
        for number, setting in enumerate(settings):
            session.thresholds = setting
            gammas = np.array([setting[name] for name in names], np.float32)
            expected = session.infer(samples)
            distances = np.abs(confidences[rows] - gammas[:, None])  # (M, N)
            near = (distances < CLOSE[manifest.precision]).any(axis=0)
            is_default = number == 0 and THRESHOLDS not in file.inputs
            feeds = {} if is_default else {THRESHOLDS: gammas}
            for size in (1, BATCH):
                progress(f"proof, batch {size}", (number + size / BATCH / 2) / len(settings))
                got = _answers(file, samples, feeds, size)
                differs = (got.labels != expected.labels) | (got.exits != expected.exits)
                _require_equal(differs & ~near, setting, size)
                difference = np.abs(got.confidences - expected.confidences)[~differs]
                largest = max(largest, float(difference.max(initial=0)))
                by_rounding += int(differs.sum())
            for exit_, name in enumerate(manifest.exit_names):
                left_at[name] += int((expected.exits == exit_).sum())
        versions = session.runner.versions
    return SingleProof(len(samples), source, settings, left_at, by_rounding, largest, versions)


def _settings(
    own: dict[str, float], names: tuple[str, ...], confidences: NDArray[np.float32]
) -> Iterator[dict[str, float]]:
    """Yield the bundle's own thresholds, and thresholds at which images leave at every exit.

    Args:
        own: thresholds of every exit but the last.
        names: the exits among them that are on.
        confidences: confidences (M, N) at the exits that are on.
    """
    yield own
    if not names:
        return
    count = confidences.shape[1]
    for shares in MIXED:
        mixed = dict(own)
        for number, (name, row) in enumerate(zip(names, np.sort(confidences, axis=1), strict=True)):
            place = min(int(shares[number % len(shares)] * count), count - 1)
            mixed[name] = float((row[max(place - 1, 0)] + row[place]) / 2)
        yield mixed


def _answers(
    file: ModelInMemory,
    samples: NDArray[np.float32],
    feeds: dict[str, NDArray[np.float32]],
    size: int,
) -> ee.Predictions:
    """Run the file in batches of a size."""
    runs = [file.run({IMAGES: samples[part], **feeds}) for part in batches(len(samples), size)]
    return ee.Predictions(
        *(
            np.concatenate([run[name] for run in runs])
            for name in ("labels", "confidences", "exits")
        )
    )


def _require_equal(differs: NDArray[np.bool_], setting: dict[str, float], size: int) -> None:
    if differs.any():
        shown = ", ".join(f"{name} {value:.4g}" for name, value in setting.items())
        raise ExportError(
            f"{differs.sum()} of {len(differs)} images get another label or exit than from the "
            f"bundle (batch {size}, thresholds {shown}); no file was written: use the bundle, and "
            "report this with its manifest"
        )
