"""Split an ONNX classifier that has its own exits into the parts of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from edgeexit_runtime.bundle.manifest import ModelInfo
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.cost.exits import ExitCosts, exit_costs
from edgeexit.cost.onnx_graph import count_macs
from edgeexit.errors import ExportError
from edgeexit.export.from_onnx.batches import trace
from edgeexit.export.from_onnx.classifier import (
    PREFIX,
    OnnxClassifier,
    plain_name,
    read_classifier,
)
from edgeexit.export.from_onnx.running import WatchedModel, random_images
from edgeexit.export.from_onnx.splitting import split
from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.graphs.half import half_graph
from edgeexit.export.graphs.parts import BASELINE, Graph, Tell, cut_graphs
from edgeexit.export.precision import Precision
from edgeexit.export.verification import batches
from edgeexit.export.writing import Subject
from edgeexit.scores import SOFTMAX

NEVER_LEAVES = 1.0
"""Threshold of every early exit until 'edgeexit tune' chooses others: hardly any image leaves."""

COMPARED_BATCHES = (1, 3, 5)
TOLERANCE = 1e-4  # relative to the largest logit, as for FP32 bundles
BATCH = 32
OWN = "own"  # token of a branching pattern for a branch that came with the model
PACKAGES = ("edgeexit", "onnx", "onnxruntime", "onnxsim")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxParts:
    """The parts of an ONNX classifier, verified against the file.

    Attributes:
        classifier: the original.
        graphs: in FP32: every stage and exit in the order of execution, the plain backbone last.
        num_classes: K.
        cost: cost of the exits.
        opset: opset of the graphs.
        score: the confidence measure of the graphs.
        notes: remarks on the file and the costs.
    """

    classifier: OnnxClassifier
    graphs: tuple[Graph, ...]
    num_classes: int
    cost: ExitCosts
    opset: int
    score: str
    notes: tuple[str, ...]

    @property
    def exit_names(self) -> tuple[str, ...]:
        """Names of all exits in order, ``final`` last."""
        return tuple(exit_.name for exit_ in self.cost.exits)

    def subject(
        self, preprocessing: Preprocessing, class_names: tuple[str, ...], data: dict[str, object]
    ) -> Subject:
        """Return what :func:`edgeexit.export.writing.write_bundle` writes.

        Args:
            preprocessing: of the model's training; the file does not contain it.
            class_names: in the order of the logits.
            data: the training data, as in manifests; empty if unknown.
        """
        pattern = "+".join([OWN] * (len(self.exit_names) - 1))
        return Subject(
            model=ModelInfo(plain_name(self.classifier.file), pattern, self.num_classes),
            preprocessing=preprocessing,
            class_names=class_names,
            data=data,
            thresholds=dict.fromkeys(self.exit_names[:-1], NEVER_LEAVES),
            cost=self.cost,
            graphs=self._graphs,
            logits=partial(_logits, self.classifier, self.exit_names),
            packages=PACKAGES,
            score=self.score,
        )

    def _graphs(self, precision: Precision, baseline: bool, tell: Tell) -> Iterable[Graph]:
        for graph in self.graphs:
            if graph.name == BASELINE and not baseline:
                continue
            tell(graph.name)
            yield graph if precision.dtype == "float32" else half_graph(graph)


def split_onnx(
    file: Path,
    outputs: Sequence[str] | str,
    *,
    input_size: tuple[int, int, int] | None = None,
    least_opset: int = 18,
    score: str = SOFTMAX,
    tell: Tell = lambda step: None,
) -> OnnxParts:
    """Split an ONNX classifier into its stages and branches.

    The chained parts are compared with the file on random images, in batches of several sizes. A
    file with a fixed batch of one is run once per image.

    Args:
        file: see :func:`edgeexit.export.from_onnx.classifier.read_classifier`.
        outputs: see there.
        input_size: ``(channels, height, width)``, for a file in which it is dynamic.
        least_opset: lowest opset of the graphs.
        score: their confidence measure, see :mod:`edgeexit.scores`.
        tell: called with the name of every step.

    Raises:
        DataError, InputError: see there; or an exit adds no stage.
        ExportError: it cannot be cut, runs only for its own batch, returns probabilities that do
            not come from a softmax at the end, or its answer for an image depends on the other
            images of the batch.
    """
    tell("reading")
    classifier = read_classifier(file, outputs, input_size, least_opset)
    tell("tracing")
    logits = tuple(PREFIX + name for name in classifier.logits)
    model, cuts, num_classes = split(trace(classifier), logits, classifier.names)
    graphs = tuple(cut_graphs(model, cuts, num_classes, baseline=True, tell=tell, score=score))
    tell("comparing")
    exits = tuple(cut.exit for cut in cuts)
    _compare(classifier, graphs, exits)
    counted = {graph.name: count_macs(graph.content) for graph in graphs}
    macs = {name: count.macs for name, count in counted.items()}
    costs = exit_costs(exits, [macs[cut.stage] for cut in cuts], [macs[name] for name in exits])
    uncounted = sorted({name for count in counted.values() for name in count.uncounted})
    notes = classifier.notes
    if uncounted:
        notes += (f"MACs are too low: {', '.join(uncounted)} are not counted",)
    return OnnxParts(
        classifier,
        graphs,
        num_classes,
        ExitCosts(costs, plain_macs=macs[BASELINE]),
        max(entry.version for entry in classifier.model.opset_import if not entry.domain),
        score,
        notes,
    )


def _logits(
    classifier: OnnxClassifier, exits: Sequence[str], samples: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the logits (N, K) of the original file by the exit's name."""
    runner = WatchedModel(classifier.original, classifier.images, classifier.logits)
    runs = [
        runner(np.ascontiguousarray(samples[part]))
        for part in batches(len(samples), classifier.batch or BATCH)
    ]
    return {
        exit_name: np.concatenate([run[name] for run in runs])
        for exit_name, name in zip(exits, classifier.logits, strict=True)
    }


def _compare(classifier: OnnxClassifier, graphs: Sequence[Graph], exits: tuple[str, ...]) -> None:
    flow = GraphFlow(graphs)
    for batch in COMPARED_BATCHES:
        images = random_images(classifier.input_size, batch)
        whole = _logits(classifier, exits, images)
        alone = _logits(classifier, exits, images[:1])
        chained = {
            name: results["logits"] for name, _, results in flow.run(images) if name in whole
        }
        for name, output in zip(exits, classifier.names, strict=True):
            expected = whole[name]
            if not np.isfinite(expected).all():
                raise ExportError(
                    f"{classifier.file}: its {output} of random images is not finite; check its "
                    "weights"
                )
            if expected.min() >= 0 and np.allclose(expected.sum(axis=1), 1, atol=TOLERANCE):
                raise ExportError(
                    f"{classifier.file}: expected logits as its {output}, got probabilities that "
                    "sum to 1; return their logarithm, whose softmax they are, or the logits"
                )
            limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
            if not np.abs(alone[name][0] - expected[0]).max() <= limit:
                raise ExportError(
                    f"{classifier.file}: its {output} for an image depends on the images beside "
                    "it; export it in evaluation mode, with batch norm's running statistics"
                )
            difference = float(np.abs(chained[name] - expected).max())
            if not difference <= limit:
                raise ExportError(
                    f"{classifier.file}: the chained parts differ from it by {difference:.3g} in "
                    f"{output}, for {batch} images; export it with a dynamic batch"
                )
