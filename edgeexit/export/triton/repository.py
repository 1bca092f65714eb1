"""A bundle -> a model repository: one model per part, and one that chains them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgeexit_runtime.backends.tensorrt.engine_check import Here, misfit, require_engine
from edgeexit_runtime.backends.tensorrt.library import TENSORRT as TENSORRT_LIBRARY
from edgeexit_runtime.bundle.engine_entry import EngineEntry
from edgeexit_runtime.bundle.folder import Bundle, open_bundle
from edgeexit_runtime.bundle.manifest import GraphEntry, Manifest
from edgeexit_runtime.bundle.schema import check_name
from edgeexit_runtime.system.locks import LOCK_NAME

from edgeexit.errors import ExportError
from edgeexit.export.single.about import has_half_scales, wants_vnni
from edgeexit.export.triton.configs import (
    ONNX_RUNTIME,
    PLATFORMS,
    TENSORRT,
    chain,
    early_exit_config,
    part_config,
    part_name,
)
from edgeexit.export.triton.schema import config_text
from edgeexit.files import replace_folder

VERSION = "1"
FILES = {ONNX_RUNTIME: "model.onnx", TENSORRT: "model.plan"}
DEFAULT_NAME = "edgeexit"


@dataclass(frozen=True, slots=True)
class ModelRepository:
    """A model repository that was written.

    Attributes:
        name: the name of the early-exit model; the parts' names begin with it.
        platform: the platform of the parts.
        parts: names of the parts' models, in the order of execution.
        max_batch: the most images that go through the parts together.
        thresholds: the thresholds in the early-exit model's ``config.pbtxt``.
        size_bytes: size of the parts' files.
        warnings: warnings about the server's machine.
    """

    folder: Path
    name: str
    platform: str
    parts: tuple[str, ...]
    max_batch: int
    thresholds: dict[str, float]
    size_bytes: int
    warnings: tuple[str, ...]


def write_repository(
    folder: Path, output: Path, name: str = DEFAULT_NAME, platform: str = ONNX_RUNTIME
) -> ModelRepository:
    """Write the model repository of a bundle; the parts' files are the bundle's, byte for byte.

    Args:
        folder: the bundle's folder.
        output: the repository's folder, new or empty.
        name: the early-exit model's name, for requests.
        platform: one of :data:`PLATFORMS`: the parts are ONNX files, or TensorRT's engines.

    Raises:
        BundleError: the folder holds no bundle, or a file of it was changed.
        BackendError: an engine is missing.
        ExportError: ``output`` is not empty, the name is invalid, or the platform cannot serve
            the bundle.
        WriteError: the repository cannot be written.
    """
    check_new(output)
    _check_name(name)
    bundle = open_bundle(folder)
    manifest = bundle.manifest
    if platform not in PLATFORMS:
        raise ExportError(f"platform: expected one of {', '.join(PLATFORMS)}, got {platform!r}")
    files = dict(_files(bundle, platform))
    with replace_folder(output) as temporary:
        for part, entry in manifest.graphs():
            config = part_config(name, part, entry, manifest, platform)
            version = _add_model(temporary, config)
            (version / FILES[platform]).write_bytes(bundle.read(files[part]))
        version = _add_model(temporary, early_exit_config(name, manifest))
        model = resources.files(__package__) / "model.py"
        (version / "model.py").write_bytes(model.read_bytes())
        steps = json.dumps(chain(name, manifest), indent=2) + "\n"
        (version / "parts.json").write_text(steps, encoding="utf-8")
        check_new(output)  # again: files may have appeared there since
    return ModelRepository(
        output,
        name,
        platform,
        tuple(part_name(name, part) for part in files),
        manifest.max_batch,
        manifest.thresholds,
        sum(entry.size_bytes for entry in files.values()),
        tuple(_warnings(manifest, platform)),
    )


def check_new(output: Path) -> None:
    """Check that the repository's folder is new or empty, so that no files are lost.

    Raises:
        ExportError: ``output`` is a file, or a folder with files.
    """
    is_folder = output.is_dir()
    if is_folder and {entry.name for entry in output.iterdir()} <= {LOCK_NAME}:
        return
    if is_folder or output.exists():
        raise ExportError(
            f"{output}: is there already, and a repository is never overwritten; choose another "
            "-o, or remove it"
        )


def _check_name(name: str) -> None:
    try:
        check_name(name, "--name")
    except ValueError as error:
        raise ExportError(str(error)) from error


def _files(bundle: Bundle, platform: str) -> Iterator[tuple[str, GraphEntry | EngineEntry]]:
    """Yield each part's name and file, checked for the platform.

    Raises:
        BackendError: an engine is missing.
        ExportError: the platform would give other results, or cannot load an engine.
    """
    if platform == ONNX_RUNTIME:
        if has_half_scales(bundle.manifest.quantization):
            raise ExportError(
                "INT8 with FP16 around it: ONNX Runtime rounds biases coarsely beside scales in "
                "FP16, and Triton has no option to prevent that; export with --fallback fp32, "
                f"or serve engines with 'edgeexit triton --platform {TENSORRT}'"
            )
        yield from bundle.manifest.graphs()
        return
    for part, _ in bundle.manifest.graphs():
        engine = require_engine(bundle, part)
        if engine.library != TENSORRT_LIBRARY:
            raise ExportError(
                f"{bundle.folder}: {engine.file} is an engine of {engine.library}, Triton loads "
                f"those of TensorRT: run 'edgeexit build --library {TENSORRT_LIBRARY}' on the "
                "server's machine"
            )
        reason = misfit(engine, bundle.manifest, Here(engine.library, engine.version, None))
        if reason is not None:
            raise ExportError(
                f"{bundle.folder}: {engine.file}: {reason}; run 'edgeexit build' again"
            )
        yield part, engine


def _add_model(repository: Path, config: Any) -> Path:
    """Write a model's ``config.pbtxt`` and return the folder of its version."""
    model = repository / str(config.name)
    version = model / VERSION
    version.mkdir(parents=True)
    (model / "config.pbtxt").write_text(config_text(config), encoding="utf-8")
    return version


def _warnings(manifest: Manifest, platform: str) -> Iterator[str]:
    if platform == TENSORRT:
        yield (
            "engines run only on the kind of GPU and the version of TensorRT that they were built "
            "for: the server needs both"
        )
    elif wants_vnni(manifest.quantization):
        yield (
            "its 8 bits are for ARM, and x86 with VNNI: on other CPUs ONNX Runtime's sums would "
            "saturate, and the model refuses to load; for those export with --target cpu-7bit"
        )
