"""FP32 graphs -> INT8 graphs: ranges measured, nodes inserted, the best method kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.bundle.quantization_entry import (
    ALL,
    CALIBRATION_METHODS,
    CLASSIFIER,
    DYNAMIC,
    FeatureRounding,
    MethodScore,
    QuantizationEntry,
)
from numpy.typing import NDArray

from edgeexit.errors import DataError, ExportError
from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.graphs.half import LOGITS, to_half
from edgeexit.export.graphs.parts import Graph, Tell, rewritten
from edgeexit.export.int8.calibration import CHUNK, Ranges, measure_ranges
from edgeexit.export.int8.calibration_images import CalibrationImages
from edgeexit.export.int8.dynamic import MIN_WEIGHTS, find_classifier, quantize_classifier
from edgeexit.export.int8.nodes import cross_in_8_bits, insert_qdq
from edgeexit.export.int8.rounding import LEVELS, Rounding, weight_levels
from edgeexit.export.int8.targets import TARGETS
from edgeexit.export.precision import AUTO, PRECISIONS, Quantization
from edgeexit.export.verification import batches

HOLD_OUT_EVERY = 5
MIN_HELD_OUT = 2
SEED = 0


@dataclass(frozen=True, slots=True)
class QuantizedGraphs:
    """INT8 graphs, and the manifest's entry on their quantization."""

    graphs: tuple[Graph, ...]
    entry: QuantizationEntry


def quantize_graphs(
    graphs: Sequence[Graph],
    quantization: Quantization,
    calibration: CalibrationImages | None,
    thresholds: Mapping[str, float],
    tell: Tell = lambda step: None,
) -> QuantizedGraphs:
    """Return FP32 graphs, in the order of execution, in 8 bits.

    Args:
        graphs: every stage and exit, and the plain backbone if there is one.
        quantization: the options.
        calibration: images that value ranges are measured on; None for ``classifier``.
        thresholds: of the exits, for the decisions that ``auto`` compares.
        tell: called with every step.

    Raises:
        ExportError: there is nothing to quantize, images are missing, or a feature is too large
            for the type of the scales.
        DataError: ``auto`` has too few images to hold some out.
    """
    if quantization.extent == CLASSIFIER:
        return _quantize_classifiers(graphs, quantization)
    if calibration is None:
        raise ExportError("INT8 needs images to measure value ranges on; give --calibration-data")
    recipe = _Recipe(graphs, quantization)
    if not any(plan.weights for plan in recipe.plans.values()):
        raise ExportError("the network has no convolution or linear layer to quantize")
    if quantization.method == AUTO:
        return _quantize_best(recipe, calibration, thresholds, tell)
    tell("calibration")
    method = quantization.method
    ranges = measure_ranges(recipe.graphs, recipe.tensors, calibration.images, (method,))[method]
    return QuantizedGraphs(recipe.apply(ranges), recipe.entry(method, calibration, ranges))


class _Recipe:
    """Prepared graphs and the plan of their quantization, without the value ranges."""

    def __init__(self, graphs: Sequence[Graph], quantization: Quantization) -> None:
        self.fallback = quantization.fallback
        self.target = TARGETS[quantization.target]
        self.graphs = tuple(map(self._prepared, graphs))
        self.plans = {graph.name: self.target.plan(model) for graph, model in self._models()}
        self.tensors = {name: plan.tensors for name, plan in self.plans.items()}

    def apply(self, ranges: Ranges) -> tuple[Graph, ...]:
        """Return the graphs with their Q/DQ nodes."""
        crossing = self._crossing(ranges)
        return tuple(self._apply(graph, model, ranges, crossing) for graph, model in self._models())

    def entry(
        self, method: str, calibration: CalibrationImages, ranges: Ranges
    ) -> QuantizationEntry:
        """Return the manifest's entry."""
        features = {
            name: FeatureRounding(float(rounding.scale), int(rounding.zero_point))
            for name, rounding in self._crossing(ranges).items()
        }
        return QuantizationEntry(
            ALL,
            method,
            self.fallback,
            len(calibration.images),
            calibration.source,
            target=self.target.entry,
            features=features,
        )

    @property
    def _dtype(self) -> np.dtype[Any]:
        """The type of scales."""
        return np.dtype(np.float16 if self.fallback == "fp16" else np.float32)

    def _prepared(self, graph: Graph) -> Graph:
        model = onnx.load_from_string(graph.content)
        self.target.prepare(model)
        return replace(graph, content=model.SerializeToString(deterministic=True))

    def _models(self) -> Iterator[tuple[Graph, onnx.ModelProto]]:
        for graph in self.graphs:  # one at a time: memory may hold a large network only once
            yield graph, onnx.load_from_string(graph.content)

    def _roundings(self, graph: str, ranges: Ranges) -> dict[str, Rounding]:
        """Return the rounding of every quantized tensor of a graph.

        Raises:
            ExportError: a range is too large for the type of scales.
        """
        most = LEVELS * float(np.finfo(self._dtype).max)
        for name, bounds in ranges[graph].items():
            largest = max(map(abs, bounds))
            if largest > most:
                raise ExportError(
                    f"{graph}: expected features up to {most:.1e}, the most for which "
                    f"{self.fallback.upper()} represents the scale, got {largest:.1e} of {name}; "
                    "choose --fallback fp32"
                )
        return {
            name: self.target.rounding(bounds, self._dtype)
            for name, bounds in ranges[graph].items()
        }

    def _crossing(self, ranges: Ranges) -> dict[str, Rounding]:
        """Return the rounding of features between graphs, chosen where a stage writes them."""
        found = {}
        for graph in self.graphs if self.target.crosses else ():
            plan, roundings = self.plans[graph.name], self._roundings(graph.name, ranges)
            for info in graph.outputs:
                origin = plan.moves.get(info.name, info.name)
                if origin in roundings:
                    found[info.name] = roundings[origin]
        return found

    def _apply(
        self,
        graph: Graph,
        model: onnx.ModelProto,
        ranges: Ranges,
        crossing: Mapping[str, Rounding],
    ) -> Graph:
        roundings = self._roundings(graph.name, ranges)
        read = {info.name: crossing[info.name] for info in graph.inputs if info.name in crossing}
        roundings.update(read)
        levels = weight_levels(self.target.entry.weight_bits)
        insert_qdq(model, self.plans[graph.name], roundings, self._dtype, levels)
        if crossing:
            cross_in_8_bits(model, crossing)
        return _in_fallback(graph, model, self.fallback, in_8_bits=crossing)


def _quantize_best(
    recipe: _Recipe,
    calibration: CalibrationImages,
    thresholds: Mapping[str, float],
    tell: Tell,
) -> QuantizedGraphs:
    """Try all methods, and keep the one that agrees best with FP32 on held-out images."""
    kept, held_out = _split(calibration)
    tell("calibration")
    ranges = measure_ranges(recipe.graphs, recipe.tensors, kept.images, CALIBRATION_METHODS)
    reference = _answers(recipe.graphs, held_out.images, thresholds)
    scores: dict[str, MethodScore] = {}
    for method in CALIBRATION_METHODS:
        tell(f"calibration by {method}")
        got = _answers(recipe.apply(ranges[method]), held_out.images, thresholds)
        scores[method] = _score(got, reference)
    best = max(scores, key=lambda method: scores[method])  # the first of equals
    entry = recipe.entry(best, kept, ranges[best])
    entry = replace(entry, held_out=len(held_out.images), candidates=scores)
    return QuantizedGraphs(recipe.apply(ranges[best]), entry)


def _split(calibration: CalibrationImages) -> tuple[CalibrationImages, CalibrationImages]:
    """Return the images to measure ranges on, and others to compare the methods on."""
    calibration = calibration.distinct()
    count, least = len(calibration.images), MIN_HELD_OUT * HOLD_OUT_EVERY
    if count < least:
        raise DataError(
            f"{calibration.source}: --method auto takes {least} different images or more, got "
            f"{count}; add some, or choose --method minmax"
        )
    return calibration.split(SEED, HOLD_OUT_EVERY)


Answers = dict[str, tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]]


def _answers(
    graphs: Sequence[Graph], images: NDArray[np.float32], thresholds: Mapping[str, float]
) -> Answers:
    """Return logits, labels and decisions of every exit for all images."""
    flow = GraphFlow([graph for graph in graphs if graph.name != "baseline"], None, thresholds)
    collected: dict[str, list[tuple[NDArray[Any], ...]]] = {}
    for part in batches(len(images), CHUNK):
        for name, _, outputs in flow.run(images[part]):
            if LOGITS in outputs:
                answers = tuple(outputs[key] for key in (LOGITS, "label", "exits"))
                collected.setdefault(name, []).append(answers)
    return {
        name: tuple(map(np.concatenate, zip(*parts, strict=True)))  # type: ignore[misc]
        for name, parts in collected.items()
    }


def _score(got: Answers, expected: Answers) -> MethodScore:
    decisions, labels, closeness = [], [], []
    for name, (logits, label, exits) in expected.items():
        decisions.append(np.mean(got[name][2] == exits))
        labels.append(np.mean(got[name][1] == label))
        scale = float(np.abs(logits).max()) or 1.0
        closeness.append(-np.abs(got[name][0] - logits).mean() / scale)
    return MethodScore(*(float(np.mean(values)) for values in (decisions, labels, closeness)))


def _quantize_classifiers(graphs: Sequence[Graph], quantization: Quantization) -> QuantizedGraphs:
    results, found = [], False
    for graph in graphs:
        model = onnx.load_from_string(graph.content)
        classifier = find_classifier(model)
        until = LOGITS
        if classifier is not None:
            found = True
            until = classifier.input[0]
            quantize_classifier(model, classifier)
        results.append(_in_fallback(graph, model, quantization.fallback, until))
    if not found:
        raise ExportError(
            f"no exit ends in a linear layer of {MIN_WEIGHTS} weights or more, and smaller ones "
            "are no faster in 8 bits; choose --quantize all, or --precision fp32"
        )
    entry = QuantizationEntry(quantization.extent, DYNAMIC, quantization.fallback)
    return QuantizedGraphs(tuple(results), entry)


def _in_fallback(
    graph: Graph,
    model: onnx.ModelProto,
    fallback: str,
    until: str = LOGITS,
    in_8_bits: Collection[str] = (),
) -> Graph:
    """Return a graph of a quantized model, with everything else in the fallback up to ``until``."""
    if fallback == "fp16":
        model = to_half(model, until)
    return rewritten(graph, model, PRECISIONS[fallback].dtype, in_8_bits)
