"""Options of ONNX Runtime's GPU providers, derived from a bundle's manifest.

Names and meanings are those of onnxruntime.ai/docs/execution-providers, CUDA and TensorRT.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import GraphEntry
from edgeexit_runtime.errors import BundleError

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
GPU_PROVIDERS = (CUDA, TENSORRT)
"""Providers whose tensors are in GPU memory; all others compute in host memory."""

CACHE_FOLDER = Path("engines") / "onnxruntime"
"""Path, in the bundle's folder, of the engines that the TensorRT provider builds and keeps."""


def provider_options(provider: str, bundle: Bundle, graph: GraphEntry) -> dict[str, str]:
    """Return the options of a provider for one graph; empty if none needs to be set.

    Raises:
        BundleError: the TensorRT provider cannot keep its engines in the bundle's folder.
    """
    if provider == CUDA:
        # The convolution algorithm search is left at its default, which tries algorithms for every
        # new batch size: with HEURISTIC, onnxruntime 1.31 printed an error for each of them on an
        # H200; with the default, opening a network and 300 calls took a few seconds.
        return {"use_tf32": "1" if bundle.manifest.precision != "fp32" else "0"}
    if provider == TENSORRT:
        return _tensorrt_options(bundle, graph)
    return {}


def _tensorrt_options(bundle: Bundle, graph: GraphEntry) -> dict[str, str]:
    manifest = bundle.manifest
    cache = _cache_of(bundle.folder, graph)
    dtypes = {tensor.dtype for tensor in (*graph.inputs, *graph.outputs)}
    is_half = manifest.precision == "fp16" or "float16" in dtypes
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache.parent),
        # without a profile, an engine is rebuilt for every larger batch
        "trt_profile_min_shapes": _shapes(graph, 1),
        "trt_profile_opt_shapes": _shapes(graph, 1),
        "trt_profile_max_shapes": _shapes(graph, manifest.max_batch),
        # precisions that may be used; the types in the ONNX file say where
        "trt_fp16_enable": "1" if is_half else "0",
        "trt_int8_enable": "1" if manifest.precision == "int8" else "0",
    }


def _cache_of(folder: Path, graph: GraphEntry) -> Path:
    """Return a graph's cache folder; the hash in its name keeps out engines of other weights.

    The provider itself distinguishes graphs only by the names of their tensors.
    """
    stem = graph.file.removesuffix(".onnx")
    cache = folder.resolve() / CACHE_FOLDER / f"{stem}-{graph.sha256[:16]}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        empty = next(cache.iterdir(), None) is None
    except OSError as error:
        raise BundleError(
            f"{cache}: {TENSORRT} keeps its engines here, and it cannot be written "
            f"({error.strerror}); make the folder writable"
        ) from error
    if empty:
        logger.warning("%s builds the engine of %s, which may take minutes", TENSORRT, stem)
    return cache


def _shapes(graph: GraphEntry, batch: int) -> str:
    """Return the shapes of a graph's inputs for a batch size; the threshold's is fixed."""
    return ",".join(
        f"{tensor.name}:{'x'.join(map(str, (batch, *tensor.shape)))}" for tensor in graph.inputs
    )
