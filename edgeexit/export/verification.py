"""Verification of a bundle against its network, with the runtime, on real samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
from edgeexit_runtime.backends.reference import open_reference
from edgeexit_runtime.bundle.folder import Bundle, baseline_bundle, open_bundle
from numpy.typing import NDArray

from edgeexit.errors import ExportError
from edgeexit.export.graphs.parts import BASELINE
from edgeexit.export.precision import PRECISIONS, Precision
from edgeexit.scores import SCORES, Score

ROUNDINGS = 4
"""How far a bundle may be from its network, as a multiple of the network's own rounding error.

On networks that amplify rounding, ONNX Runtime's difference from PyTorch was 0.6 to 2.2 times the
change in PyTorch's own logits when the last bits of pixels changed; both were as far from a run in
float64.
"""

Logits = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
"""Maps normalized images (N, C, H, W) to the logits (N, K) of every exit, in order."""


@dataclass(frozen=True, slots=True)
class ExitAgreement:
    """Agreement of one exit of the bundle with the FP32 network over all samples.

    Attributes:
        name: the exit's name, or ``baseline`` for the plain backbone as one graph.
        max_logit_difference: the largest difference of any logit.
        relative_logit_difference: the same, relative to the exit's largest logit.
        equal_labels: share of samples with the same label, 0 to 1.
        equal_decisions: share of samples that leave, or continue, as in the network.
        rounding: the largest change of any logit of the network itself, relative to the largest,
            when the last bit of every pixel changes; None where the bundle is within tolerance.
        accuracy, network_accuracy: accuracy of this exit over all samples, in the bundle and in
            the network; None where labels are not known.
    """

    name: str
    max_logit_difference: float
    relative_logit_difference: float
    equal_labels: float
    equal_decisions: float
    accuracy: float | None = None
    network_accuracy: float | None = None
    rounding: float | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Agreement of a bundle with its FP32 network on ``samples`` real images.

    ``excluded`` counts further images that were omitted because INT8 was calibrated on them.
    ``equal_answers`` is the share of samples that get the same label from the same exit when
    each is routed through the bundle at its thresholds; ``versions`` are those of the backend.
    """

    samples: int
    source: str
    exits: tuple[ExitAgreement, ...]
    equal_answers: float
    min_agreement: float
    max_logit_error: float
    versions: dict[str, str]
    excluded: int = 0


def verify_bundle(
    folder: Path,
    logits: Logits,
    samples: NDArray[np.float32],
    source: str,
    precision: Precision,
    labels: NDArray[np.int64] | None = None,
) -> tuple[Verification, ee.Predictions]:
    """Compare the bundle in ``folder``, run by ONNX Runtime on the CPU, with its network.

    Returns the comparison, and the bundle's predictions for the samples at its thresholds.

    Args:
        folder: a bundle.
        logits: computes the network's logits in FP32.
        samples: real images (N, C, H, W), normalized.
        source: where the samples come from, for the record.
        precision: gives the tolerances for the record; see :func:`require_agreement`.
        labels: labels (N,) of the samples, where they are known.
    """
    bundle, reference = open_bundle(folder), logits(samples)
    with _session(bundle) as session:
        got = _bundle_answers(session, samples)
        routed = session.infer(samples)
        versions = session.runner.versions
        thresholds = {**session.thresholds, session.manifest.exit_names[-1]: 0.0}
    score = SCORES[bundle.manifest.score]
    expected = {
        name: _network_answers(values, thresholds[name], score)
        for name, values in reference.items()
    }
    left_at = np.stack([answers.leaves for answers in expected.values()]).argmax(0)  # (N,)
    answered = np.stack([answers.labels for answers in expected.values()])  # (M, N)
    same = (routed.exits == left_at) & (routed.labels == answered[left_at, np.arange(len(samples))])
    *_, last = reference
    if bundle.manifest.baseline is not None:
        with _session(baseline_bundle(bundle)) as session:
            (got[BASELINE],) = _bundle_answers(session, samples).values()
        expected[BASELINE] = expected[last]
    exits = [_agreement(name, got[name], expected[name], labels) for name in expected]
    if any(exit_.relative_logit_difference > precision.max_logit_error for exit_ in exits):
        moved = logits(_last_bits_changed(samples))
        roundings = {name: _relative(moved[name], reference[name]) for name in reference}
        exits = [
            replace(exit_, rounding=roundings.get(exit_.name, roundings[last])) for exit_ in exits
        ]
    verification = Verification(
        len(samples),
        source,
        tuple(exits),
        float(same.mean()),
        precision.min_agreement,
        precision.max_logit_error,
        versions,
    )
    return verification, routed


def require_agreement(verification: Verification) -> None:
    """Refuse a bundle that does not agree with its network.

    Raises:
        ExportError: an exit is outside the tolerances of the bundle's precision.
    """
    for exit_ in verification.exits:
        equal = min(exit_.equal_labels, exit_.equal_decisions)
        if equal < verification.min_agreement:
            raise ExportError(
                f"{exit_.name}: only {equal:.2%} of {verification.samples} samples get the label "
                f"and decision of the FP32 network, expected {verification.min_agreement:.2%}; "
                "export in a higher precision or lower --min-agreement"
            )
        if not math.isfinite(exit_.relative_logit_difference):
            raise ExportError(
                f"{exit_.name}: logits are infinite or NaN; check the network with 'edgeexit "
                "eval', or export in a higher precision"
            )
        limit, rounding = verification.max_logit_error, exit_.rounding or 0.0
        of_rounding = min(ROUNDINGS * rounding, PRECISIONS["fp16"].max_logit_error)
        if exit_.relative_logit_difference > max(limit, of_rounding):
            raise ExportError(
                f"{exit_.name}: logits differ by {exit_.relative_logit_difference:.2g} of the "
                f"largest, expected at most {limit:.2g}, or {ROUNDINGS} times the {rounding:.2g} "
                "by which the network's own change with the last bit of every pixel; export in a "
                "higher precision, or report the network if this is FP32"
            )


def _session(bundle: Bundle) -> ee.Session:
    """Open a bundle on the CPU, whatever engine it is for: here only its answers matter."""
    return ee.Session(bundle.manifest, open_reference(bundle))


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers of an exit to N samples, of the network or as the exit's graph computed them."""

    logits: NDArray[np.float32]  # (N, K)
    labels: NDArray[np.integer]  # (N,)
    leaves: NDArray[np.bool_]  # (N,)


def _bundle_answers(session: ee.Session, samples: NDArray[np.float32]) -> dict[str, _Answers]:
    """Return every exit's outputs for all samples; none leaves early."""
    runner, exits = session.runner, session.manifest.exits
    collected: dict[str, list[tuple[NDArray[Any], ...]]] = {exit_.name: [] for exit_ in exits}
    for part in batches(len(samples), session.manifest.max_batch):
        runner.set_images(np.ascontiguousarray(samples[part]))
        for exit_ in exits:
            if exit_.stage is not None:
                runner.run_stage(exit_.stage)
            gate = runner.run_exit(exit_.name)  # views, which its next run overwrites
            collected[exit_.name].append(
                (runner.logits(exit_.name), gate.labels.copy(), gate.exits.copy())
            )
    return {
        name: _Answers(*map(np.concatenate, zip(*parts, strict=True)))
        for name, parts in collected.items()
    }


def _network_answers(logits: NDArray[np.float32], threshold: float, score: Score) -> _Answers:
    """Return the answers of an exit of the network, which applies its threshold as a graph does."""
    with np.errstate(invalid="ignore"):  # NaN where logits are not finite
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidences = score.of(powers / powers.sum(axis=1, keepdims=True))
    return _Answers(logits, logits.argmax(1), confidences >= np.float32(threshold))


def _agreement(
    name: str, got: _Answers, expected: _Answers, labels: NDArray[np.int64] | None
) -> ExitAgreement:
    return ExitAgreement(
        name,
        float(np.abs(got.logits - expected.logits).max()),
        _relative(got.logits, expected.logits),
        float((got.labels == expected.labels).mean()),
        float((got.leaves == expected.leaves).mean()),
        None if labels is None else float((got.labels == labels).mean()),
        None if labels is None else float((expected.labels == labels).mean()),
    )


def _relative(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference of any logit, relative to the largest logit."""
    largest = float(np.abs(expected).max()) or 1.0  # a head may be initialized to zero
    return float(np.abs(got - expected).max()) / largest


def _last_bits_changed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the samples with every pixel replaced by the next float above or below it."""
    is_up = np.random.default_rng(0).random(samples.shape, np.float32) < 0.5
    return np.nextafter(samples, np.where(is_up, np.inf, -np.inf).astype(np.float32))


def batches(count: int, size: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` samples, ``size`` at a time."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
