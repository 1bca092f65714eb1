"""Tiny networks, and their predictions computed in numpy, sample by sample.

:data:`NETWORKS` cover the ways in which tensors pass between stages. All their arithmetic is exact,
in float16 too: images are multiples of 1/8 and scales are powers of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import IMAGES, TensorInfo
from edgeexit_runtime.gate import Predictions
from edgeexit_runtime.images.preprocess import Preprocessing

SIZE = (3, 4, 4)
POOLED = (3, 1, 1)
PREPROCESSING = Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.25, 0.5, 1.0))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that a stage writes: the ReLU, if any, of scale * the sum of its inputs."""

    name: str
    reads: tuple[str, ...]
    scale: float = 1.0
    dtype: str = "float32"
    shape: tuple[int, ...] = SIZE  # POOLED takes the largest value of each channel
    has_relu: bool = True

    @property
    def info(self) -> TensorInfo:
        """Its entry in the manifest."""
        return TensorInfo(self.name, self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Network:
    """Stages, given by the tensors they write, and per stage the tensors that its exit reads.

    The logits of the exit at stage s (0-based) are pixels of channel 0 of the sum of its inputs,
    one per class, starting at pixel s * ``step``: an image's pixels determine where it leaves. MACs
    are made up.
    """

    stages: tuple[tuple[Tensor, ...], ...]
    exit_reads: tuple[tuple[str, ...], ...]
    class_names: tuple[str, ...] = ("zero", "one", "two")
    preprocessing: Preprocessing = PREPROCESSING
    branches: str = "none"
    step: int = 4
    threshold: float = 0.6
    stage_macs: tuple[int, ...] = (1000, 1000, 1000)
    branch_macs: tuple[int, ...] = (10, 10, 10)
    max_batch: int = 4

    @property
    def exit_names(self) -> tuple[str, ...]:
        """``exit1``, ``exit2`` ... ``final``."""
        return (*(f"exit{i}" for i in range(1, len(self.stages))), "final")

    def expected(self, images: NDArray[np.float32], thresholds: Mapping[str, float]) -> Predictions:
        """Return the predictions for images (N, C, H, W), computed one by one."""
        answers = Predictions.empty(len(images))
        for position, image in enumerate(images):
            tensors: dict[str, NDArray[Any]] = {IMAGES: image}
            for index, stage in enumerate(self.stages):
                tensors |= {tensor.name: _value(tensor, tensors) for tensor in stage}
                logits = self._logits(index, tensors)
                exponentials = np.exp(logits - logits.max())
                confidence = np.float32(exponentials.max() / exponentials.sum())
                if confidence >= np.float32(thresholds.get(self.exit_names[index], 0.0)):
                    answers.labels[position] = logits.argmax()
                    answers.confidences[position] = confidence
                    answers.exits[position] = index
                    break
        return answers

    def _logits(self, index: int, tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = np.zeros(self.preprocessing.input_size, np.float32)
        for name in self.exit_reads[index]:
            features += tensors[name].astype(np.float32)
        first = index * self.step
        logits: NDArray[np.float32] = features[0].reshape(-1)
        return logits[first : first + len(self.class_names)]


def random_images(count: int, seed: int) -> NDArray[np.float32]:
    """Return images (count, 3, 4, 4) of multiples of 1/8, which are exact in FP16."""
    rng = np.random.default_rng(seed)
    eighths = rng.integers(-16, 24, (count, *SIZE))
    return (eighths / 8).astype(np.float32)


def images_leaving_at(exits: Sequence[int]) -> NDArray[np.float32]:
    """Return images (N, 3, 4, 4) that leave :data:`CHAIN` at these exits.

    Their labels are the exits' indices.
    """
    images = np.zeros((len(exits), *SIZE), np.float32)
    for image, index in zip(images, exits, strict=True):
        image[0, index, index % len(CHAIN.class_names)] = 8
    return images


def _several_tensors(dtype: str) -> Network:
    """Stages that write two tensors of different shapes."""
    return Network(
        (
            (
                Tensor("wide", (IMAGES,), 2, dtype),
                Tensor("small", (IMAGES,), 0.5, dtype, POOLED),
            ),
            (
                Tensor("wider", ("wide", "small"), 0.5, dtype),
                Tensor("smaller", ("small",), 2, dtype, POOLED),
            ),
            (Tensor("last", ("wider", "smaller"), 1, dtype),),
        ),
        exit_reads=(("wide", "small"), ("wider",), ("last",)),
    )


CHAIN = Network(
    (
        (Tensor("first", (IMAGES,), 2),),
        (Tensor("second", ("first",), 0.5),),
        (Tensor("third", ("second",), 4),),
    ),
    exit_reads=(("first",), ("second",), ("third",)),
)
"""Three stages with one tensor each, exits ``exit1``, ``exit2`` and ``final``."""

NETWORKS = {
    "chain": CHAIN,
    "several tensors": _several_tensors("float32"),
    "float16": _several_tensors("float16"),
    "skipped stage": Network(
        (
            (Tensor("first", (IMAGES,)), Tensor("kept", (IMAGES,), 2)),
            (Tensor("second", ("first",), 2),),
            (Tensor("third", ("second", "kept"), 0.5),),
        ),
        exit_reads=(("first",), ("second",), ("third", "kept")),
    ),
    "images again": Network(
        (
            (Tensor("first", (IMAGES,), 0.5),),
            (Tensor("second", ("first", IMAGES)),),
            (Tensor("third", ("second",), 0.5),),
        ),
        exit_reads=(("first",), ("second",), ("third", IMAGES)),
    ),
    "one exit": Network(((Tensor("first", (IMAGES,), 2),),), exit_reads=(("first",),)),
}
"""One network for each way in which tensors pass between stages."""


def _value(tensor: Tensor, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    total: Any = sum(tensors[name].astype(tensor.dtype) for name in tensor.reads)
    scaled: NDArray[Any] = total * np.dtype(tensor.dtype).type(tensor.scale)
    if tensor.has_relu:
        scaled = np.maximum(scaled, 0)
    if tensor.shape[1:] == (1, 1):
        scaled = scaled.max(axis=(1, 2), keepdims=True)
    return scaled
