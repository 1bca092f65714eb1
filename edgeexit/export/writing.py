"""Parts of a network -> a bundle: graphs, manifest, and verification against the network."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.bundle.expected_entry import Expected
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.manifest import (
    FINAL,
    MANIFEST_NAME,
    MAX_BATCH,
    SCHEMA_VERSION,
    ExitEntry,
    GraphEntry,
    Manifest,
    ModelInfo,
    StageEntry,
    load_manifest,
    manifest_json,
)
from edgeexit_runtime.bundle.quantization_entry import CLASSIFIER, QuantizationEntry
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.engines.files import TIMING_CACHE, is_leftover
from edgeexit_runtime.images.preprocess import Preprocessing
from edgeexit_runtime.progress import Progress, ignore_progress
from edgeexit_runtime.system.locks import LOCK_NAME
from numpy.typing import NDArray

from edgeexit.cost.exits import ExitCosts
from edgeexit.errors import BundleError, DataError, ExportError
from edgeexit.export.graphs.blocked import keep_in_blocks
from edgeexit.export.graphs.parts import BASELINE, Graph, Tell
from edgeexit.export.int8.calibration_images import CalibrationImages, distinct_from
from edgeexit.export.int8.graphs import quantize_graphs
from edgeexit.export.precision import PRECISIONS, Precision
from edgeexit.export.verification import Logits, Verification, require_agreement, verify_bundle
from edgeexit.files import replace_folder
from edgeexit.scores import SOFTMAX

# TensorRT 10.3 of JetPack 6 reads opsets up to 20; below 18 the exporter's conversion is lossy.
OPSETS = range(18, 21)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of an export; ``baseline`` adds the plain backbone as one graph, to compare with."""

    precision: Precision
    opset: int = 18
    max_batch: int = 32
    baseline: bool = True

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ExportError(f"opset: expected {OPSETS[0]} to {OPSETS[-1]}, got {self.opset}")
        if not 1 <= self.max_batch <= MAX_BATCH:
            raise ExportError(f"max batch: expected 1 to {MAX_BATCH}, got {self.max_batch}")
        least = self.precision.least_opset
        if self.opset < least:
            raise ExportError(
                f"opset: INT8 with FP16 fallback takes {least} or more, got {self.opset}"
            )


@dataclass(frozen=True, slots=True)
class ExportedBundle:
    """A bundle that was written: its folder, its manifest, and its verification.

    For an INT8 bundle, ``before`` and ``after`` are its graphs in FP32 and as written, in the
    order of execution.
    """

    folder: Path
    manifest: Manifest
    verification: Verification
    before: tuple[Graph, ...] = ()
    after: tuple[Graph, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """The network to export, whatever its source.

    Attributes:
        model, preprocessing, class_names, data: as in the manifest.
        thresholds: by exit, for every exit but the last.
        temperatures: by exit, the divisor of its logits in the graph; 1 where there is none.
        guarantee: the guarantee shown for the FP32 network. It does not cover lower precisions, in
            which an image may leave at another exit and get another label.
        score: the score that the exits' graphs give as confidence.
        cost: costs of the exits.
        graphs: makes the graph of every stage and exit in order, in a floating-point precision; if
            its second argument is True, the plain backbone comes last. Calls its third with each
            step.
        logits: computes the network's logits in FP32.
        packages: packages whose versions the manifest records.
    """

    model: ModelInfo
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    data: dict[str, Any]
    thresholds: Mapping[str, float]
    cost: ExitCosts
    graphs: Callable[[Precision, bool, Tell], Iterable[Graph]]
    logits: Logits
    packages: tuple[str, ...]
    temperatures: Mapping[str, float] = field(default_factory=dict)
    guarantee: Guarantee | None = None
    score: str = SOFTMAX


def write_bundle(
    subject: Subject,
    output: Path,
    options: ExportOptions,
    samples: NDArray[np.float32],
    source: str,
    progress: Progress = ignore_progress,
    *,
    labels: NDArray[np.int64] | None = None,
    calibration: CalibrationImages | None = None,
) -> ExportedBundle:
    """Write a bundle to the folder ``output``: see :func:`edgeexit.export.bundle.export_bundle`."""
    check_output(output)
    if len(samples) == 0:
        raise ExportError("no samples to verify the bundle on; give a data set with images")
    judged = _judged(samples, source, calibration, subject.preprocessing)
    total = 2 * len(subject.cost.exits) + options.baseline + 1
    entries: dict[str, GraphEntry] = {}

    def tell(step: str) -> None:
        progress(step, len(entries) / total)

    with replace_folder(output) as folder:
        graphs, before, entry = _make_graphs(subject, options, calibration, tell)
        for graph in graphs:
            entries[graph.name] = _write(graph, folder)
        manifest = _manifest(subject, options, entries, entry)
        path = folder / MANIFEST_NAME
        path.write_text(manifest_json(manifest), encoding="utf-8")
        tell("verification")
        judged_samples = samples[judged]
        verification, answers = verify_bundle(
            folder,
            subject.logits,
            judged_samples,
            source,
            options.precision,
            None if labels is None else labels[judged],
        )
        verification = dataclasses.replace(verification, excluded=int((~judged).sum()))
        require_agreement(verification)
        manifest = dataclasses.replace(
            manifest,
            verification=encode(verification),
            expected=Expected.of(answers, manifest.exit_names, manifest.thresholds, source),
        )
        path.write_text(manifest_json(manifest), encoding="utf-8")
        check_output(output)  # again: files may have appeared there since
        progress("done", 1.0)
    after = tuple(graphs) if before else ()
    return ExportedBundle(output, manifest, verification, before, after)


def check_output(output: Path) -> None:
    """Refuse to replace anything but a bundle, so that no other files of the user are lost.

    Raises:
        ExportError: ``output`` is a file, or holds something other than a bundle.
    """
    if not output.exists():
        return
    if not output.is_dir():
        raise ExportError(f"{output}: is a file, expected a folder; choose another name")
    found = {entry.name for entry in output.iterdir()} - {LOCK_NAME}
    try:
        manifest = load_manifest(output) if found else None
    except BundleError as error:
        raise ExportError(
            f"{output}: holds other files and no bundle; choose another -o"
        ) from error
    if manifest is None:
        return
    # engines of the old bundle, of any backend, are replaced with it: they belong to its ONNX files
    ours = {MANIFEST_NAME, TIMING_CACHE, *manifest.files()}
    kept = [backend.keeps for backend in BACKENDS.values() if backend.keeps is not None]
    ours |= {path.parts[0] for path in kept if _holds_alone(output, path)}
    foreign = sorted(name for name in found - ours if not is_leftover(name, manifest))
    if foreign:
        raise ExportError(
            f"{output}: holds {foreign[0]} besides a bundle, which would be lost; move it elsewhere"
        )


def _holds_alone(folder: Path, path: Path) -> bool:
    """Whether the parent of ``path``, which is relative to ``folder``, holds nothing else."""
    above = folder / path.parent
    return above.is_dir() and {entry.name for entry in above.iterdir()} <= {path.name}


def _judged(
    samples: NDArray[np.float32],
    source: str,
    calibration: CalibrationImages | None,
    preprocessing: Preprocessing,
) -> NDArray[np.bool_]:
    """Return a mask (N,) of the samples that are not among the calibration images."""
    if calibration is None:
        return np.ones(len(samples), np.bool_)
    judged = distinct_from(samples, calibration, preprocessing)
    if not judged.any():
        raise DataError(
            f"all {len(samples)} images of {source} are in {calibration.source} too: none is "
            "left to verify INT8 with; calibrate on training images"
        )
    return judged


def _make_graphs(
    subject: Subject,
    options: ExportOptions,
    calibration: CalibrationImages | None,
    tell: Tell,
) -> tuple[Iterable[Graph], tuple[Graph, ...], QuantizationEntry | None]:
    """Return the graphs to write; for INT8 also the FP32 graphs before it and the manifest's entry.

    They are made lazily, one at a time, unless quantization needs all of them.
    """
    quantization = options.precision.quantization
    precision = options.precision if quantization is None else PRECISIONS["fp32"]
    made = subject.graphs(precision, options.baseline, tell)
    if quantization is None:
        return map(keep_in_blocks, made) if precision.name == "fp32" else made, (), None
    plain = tuple(made)
    before = tuple(map(keep_in_blocks, plain))
    in_fp32 = quantization.extent == CLASSIFIER and quantization.fallback == "fp32"
    graphs = before if in_fp32 else plain
    quantized = quantize_graphs(graphs, quantization, calibration, subject.thresholds, tell)
    return quantized.graphs, before, quantized.entry


def _manifest(
    subject: Subject,
    options: ExportOptions,
    entries: dict[str, GraphEntry],
    quantization: QuantizationEntry | None,
) -> Manifest:
    cost = subject.cost
    thresholds = {**subject.thresholds, FINAL: 0.0}
    backbone_macs = pairwise([0, *(exit_.backbone_macs for exit_ in cost.exits)])
    stages = tuple(
        StageEntry(f"stage{number}", until - before, entries[f"stage{number}"])
        for number, (before, until) in enumerate(backbone_macs, start=1)
    )
    exits = tuple(
        ExitEntry(
            name=exit_.name,
            stage=stage.name,
            threshold=thresholds[exit_.name],
            backbone_macs=exit_.backbone_macs,
            branch_macs=exit_.branch_macs,
            path_macs=exit_.path_macs,
            graph=entries[exit_.name],
            temperature=subject.temperatures.get(exit_.name, 1.0),
        )
        for stage, exit_ in zip(stages, cost.exits, strict=True)
    )
    baseline = None
    if options.baseline:
        baseline = dataclasses.replace(
            exits[-1],
            name=BASELINE,
            stage=None,
            path_macs=cost.baseline_macs,
            graph=entries[BASELINE],
        )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        model=subject.model,
        precision=options.precision.name,
        opset=options.opset,
        max_batch=options.max_batch,
        preprocessing=subject.preprocessing,
        class_names=subject.class_names,
        stages=stages,
        exits=exits,
        baseline=baseline,
        data=subject.data,
        versions=_versions(subject.packages),
        quantization=quantization,
        score=subject.score,
        guarantee=subject.guarantee if options.precision.name == "fp32" else None,
    )


def _write(graph: Graph, folder: Path) -> GraphEntry:
    entry = GraphEntry(  # checks that the file name stays inside the folder
        file=f"{graph.name}.onnx",
        sha256=hashlib.sha256(graph.content).hexdigest(),
        size_bytes=len(graph.content),
        inputs=graph.inputs,
        outputs=graph.outputs,
    )
    (folder / entry.file).write_bytes(graph.content)
    return entry


def _versions(packages: Iterable[str]) -> dict[str, str]:
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **versions}
