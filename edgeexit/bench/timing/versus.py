"""Another model on the same images: a second bundle, or any ONNX classifier.

A classifier becomes a bundle with one exit, so that the same runtime runs it, with bound buffers
and the same providers and threads. Its graph is unchanged; softmax and gate are appended, as for
the plain backbone of every bundle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import onnx
from edgeexit_runtime import load, load_manifest
from edgeexit_runtime.bundle.manifest import (
    IMAGES,
    MANIFEST_NAME,
    ExitEntry,
    GraphEntry,
    Manifest,
    ModelInfo,
    TensorInfo,
    gate_tensors,
    manifest_json,
)
from edgeexit_runtime.errors import printable
from onnx import TensorProto, compose, helper

from edgeexit.bench.results.mixture import VERSUS
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.errors import DataError, InputError
from edgeexit.export.from_onnx.file import (
    are_logits,
    described,
    images_input,
    precision_of,
    read_model,
    sizes,
)
from edgeexit.export.graphs.gate import add_gate
from edgeexit.fitting import class_differences, image_differences
from edgeexit.paths import is_file, is_folder

PREFIX = "model/"  # of all names in the file, to avoid clashes with the gate's


@contextmanager
def open_versus(path: Path, manifest: Manifest, chosen: Mapping[str, Any]) -> Iterator[Candidate]:
    """Open the other model that a bundle is compared with, in the same runtime.

    It must have the bundle's classes and input size and, if it is a bundle, its preprocessing. Its
    name includes its precision if that differs.

    Args:
        path: a bundle's folder, which runs at its own thresholds, or an ``.onnx`` file: see
            :func:`write_static_bundle`.
        chosen: backend, providers, threads and device: arguments of :func:`edgeexit_runtime.load`.

    Raises:
        BundleError: the folder holds no bundle.
        BackendError: the backend is not available, or cannot run the file.
        DataError: the file is no ONNX classifier of one input and one output.
        InputError: it does not fit the bundle.
    """
    if not is_folder(path) and not is_file(path):
        raise InputError(
            f"{path}: no such file or folder; expected a bundle of 'edgeexit export' or an ONNX "
            "file to compare with"
        )
    name, folder = path.name or path.resolve().name, path
    with ExitStack() as stack:
        if is_folder(path):
            _check_fits(path, load_manifest(path), manifest)
        else:
            temporary = tempfile.TemporaryDirectory(prefix="edgeexit-")
            folder = Path(stack.enter_context(temporary))
            write_static_bundle(path, manifest, folder)
        session = stack.enter_context(load(folder, **chosen))
        other = session.manifest
        if other.precision != manifest.precision:
            name = f"{name} ({other.precision})"
        yield Candidate(VERSUS, name, session, other.thresholds)


def _check_fits(path: Path, other: Manifest, manifest: Manifest) -> None:
    """Raise :class:`InputError` if the bundles differ in classes, input size or preprocessing."""
    different = [
        *class_differences(manifest.class_names, other.class_names),
        *image_differences(manifest.preprocessing, other.preprocessing),
    ]
    if different:
        raise InputError(
            f"{path}: expected the bundle's {'; '.join(different)}; compare networks of the same "
            "data set and input size"
        )


def write_static_bundle(file: Path, manifest: Manifest, folder: Path) -> None:
    """Write a bundle that computes the same as an ONNX file.

    Args:
        file: one input, images float32 (N, C, H, W) of the bundle's size and normalized as the
            bundle's manifest specifies; one output, logits float32 (N, K) of the bundle's K
            classes in the same order. N is dynamic or 1.
        manifest: of the bundle that it is compared with.
        folder: an empty folder.

    Raises:
        DataError: not an ONNX model, or without exactly one such input and one such output.
        InputError: its input size or number of classes is not the bundle's.
    """
    model = read_model(file)
    images, shape = images_input(file, model)
    size = manifest.preprocessing.input_size
    if any(got not in (None, expected) for got, expected in zip(shape[1:], size, strict=True)):
        raise InputError(
            f"{file}: expected images of the bundle's {size}, got {shape[1:]}; both must take the "
            "same images"
        )
    logits = _logits(file, model, manifest)
    content = _with_gate(model, images.name, logits.name, manifest).SerializeToString()
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.onnx", file.name)
    name = file.name if plain else "m.onnx"
    (folder / name).write_bytes(content)
    info = TensorInfo(IMAGES, "float32", size)
    graph = GraphEntry(
        name,
        hashlib.sha256(content).hexdigest(),
        len(content),
        (info,),
        gate_tensors(manifest.model.num_classes),
    )
    static = dataclasses.replace(
        manifest,
        model=ModelInfo(printable(file.stem), "none", manifest.model.num_classes),
        precision=precision_of(model),
        max_batch=manifest.max_batch if shape[0] is None else 1,
        stages=(),
        exits=(ExitEntry("final", None, 0.0, 0, 0, 0, graph),),
        baseline=None,
        data={},
        verification={},
        versions={},
        engines=(),
        quantization=None,
        guarantee=None,
        expected=None,
    )
    (folder / MANIFEST_NAME).write_text(manifest_json(static), encoding="utf-8")


def _logits(file: Path, model: onnx.ModelProto, manifest: Manifest) -> onnx.ValueInfoProto:
    """Return the single output, checked against the bundle's classes."""
    outputs: list[onnx.ValueInfoProto] = list(model.graph.output)
    if len(outputs) != 1:
        names = ", ".join(value.name for value in outputs) or "none"
        raise DataError(f"{file}: expected one output, got {names}")
    (logits,) = outputs
    if not are_logits(logits):
        raise DataError(
            f"{file}: {logits.name}: expected logits float32 (N, K), got {described(logits)}"
        )
    if sizes(logits)[1] not in (None, manifest.model.num_classes):
        raise InputError(
            f"{file}: expected the bundle's {manifest.model.num_classes} classes, got "
            f"{sizes(logits)[1]}; compare networks of the same data set"
        )
    return logits


def _with_gate(
    model: onnx.ModelProto, images: str, logits: str, manifest: Manifest
) -> onnx.ModelProto:
    """Return the model with the inputs and outputs of a bundle's exit."""
    model = compose.add_prefix(model, PREFIX)
    graph = model.graph
    graph.node.insert(0, helper.make_node("Identity", [IMAGES], [PREFIX + images]))
    kept = [value for value in graph.input if value.name != PREFIX + images]
    del graph.input[:]
    size = manifest.preprocessing.input_size
    images_info = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", *size])
    graph.input.extend([images_info, *kept])  # kept: old models list weights among the inputs
    add_gate(model, PREFIX + logits, manifest.model.num_classes, manifest.score)
    return model
