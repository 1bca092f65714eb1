"""Runs an ONNX model on the CPU and returns tensors from inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.backends.reference import open_reference_model
from numpy.typing import NDArray

from edgeexit.errors import ExportError
from edgeexit.export.graphs.parts import first_line


class WatchedModel:
    """Computes named tensors of a model from images.

    Args:
        model: a model with one input.
        images: the name of that input.
        names: any tensors that the model's nodes compute.
        exactly: run every node unchanged, without fusing any.

    Raises:
        ExportError: ONNX Runtime cannot load it.
    """

    def __init__(
        self, model: onnx.ModelProto, images: str, names: Sequence[str], *, exactly: bool = False
    ) -> None:
        self._images = images
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        del watched.graph.output[:]
        watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        with _explained("ONNX Runtime cannot load it"):
            self._model = open_reference_model(
                watched.SerializeToString(), is_optimized=not exactly
            )

    def __call__(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """Return the tensors by name for images (N, C, H, W).

        Raises:
            ExportError: ONNX Runtime cannot run it.
        """
        with _explained(f"it does not run on {len(images)} images"):
            return self._model.run({self._images: images})


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn ONNX Runtime's errors, which have no common base, into one of ours."""
    try:
        yield
    except Exception as error:
        raise ExportError(f"{what}: {first_line(error)}") from error


def random_images(input_size: tuple[int, int, int], batch: int) -> NDArray[np.float32]:
    """Return images (N, C, H, W) of normally distributed values, the same on every call."""
    return np.random.default_rng(batch).standard_normal((batch, *input_size), np.float32)
