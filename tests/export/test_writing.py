"""A bundle is whole or not there, and takes the place of another bundle alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgeexit_runtime.backends.onnxruntime.providers import CACHE_FOLDER
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, load_manifest
from edgeexit_runtime.system.locks import LOCK_NAME
from numpy.typing import NDArray
from support.full_disk import full_disk

from edgeexit.errors import ExportError, WriteError
from edgeexit.export import PRECISIONS, ExportedBundle, ExportOptions, Graph
from edgeexit.export.bundle import network_subject
from edgeexit.export.writing import Subject, write_bundle
from edgeexit.training import Checkpoint

FP32 = ExportOptions(PRECISIONS["fp32"], max_batch=16)


@pytest.fixture
def subject(checkpoint: Checkpoint, fp32_bundle: ExportedBundle) -> Subject:
    """What became ``fp32_bundle``, with its graphs as they are there."""
    entries = dict(fp32_bundle.manifest.graphs())
    assert fp32_bundle.manifest.baseline is not None
    entries["baseline"] = fp32_bundle.manifest.baseline.graph
    graphs = [
        Graph(name, (fp32_bundle.folder / entry.file).read_bytes(), entry.inputs, entry.outputs)
        for name, entry in entries.items()
    ]
    made = network_subject(checkpoint, checkpoint.build(), FP32.opset)
    return dataclasses.replace(made, graphs=lambda *_: graphs)


def test_other_weights_are_found_out_and_the_old_bundle_stays(
    subject: Subject, samples: NDArray[np.float32], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    write_bundle(subject, output, FP32, samples, "noise")
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    def others(images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        logits = subject.logits(images)
        return {**logits, "final": logits["final"][:, ::-1]}

    other = dataclasses.replace(subject, logits=others)
    with pytest.raises(ExportError, match=r"^final: .* expected .*; export in a higher precision"):
        write_bundle(other, output, FP32, samples, "noise")
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_full_disk_leaves_nothing_behind(
    subject: Subject, samples: NDArray[np.float32], tmp_path: Path
) -> None:
    with (
        full_disk(room=1000),
        pytest.raises(WriteError, match=r"could not write .*out: File too large"),
    ):
        write_bundle(subject, tmp_path / "out", FP32, samples, "noise")
    assert list(tmp_path.iterdir()) == []


def test_files_beside_a_bundle_are_not_lost(
    subject: Subject, samples: NDArray[np.float32], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    write_bundle(subject, output, FP32, samples, "noise")
    (output / "bench.json").write_text("{}")
    with pytest.raises(ExportError, match=r"holds bench\.json besides a bundle"):
        write_bundle(subject, output, FP32, samples, "noise")
    assert (output / "bench.json").exists()
    app = tmp_path / "app"
    app.mkdir()
    (app / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(ExportError, match="holds other files and no bundle"):
        write_bundle(subject, app, FP32, samples, "noise")


def test_engines_go_with_the_bundle_that_they_are_of(
    subject: Subject, samples: NDArray[np.float32], tmp_path: Path
) -> None:
    """ONNX Runtime's cache, and what a build that was killed has left."""
    output = tmp_path / "out"
    write_bundle(subject, output, FP32, samples, "noise")
    cache = output / CACHE_FOLDER / "stage1-0123456789abcdef"
    cache.mkdir(parents=True)
    left = (LOCK_NAME, ".stage1.edgeexit-00ff00ff.engine", "stage1-00ff00ff.engine")
    for name in (*left, "stage2.engine", ".manifest.edgeexit-00ff00ff.json"):
        (output / name).touch()
    mine = cache.parents[1] / "notes.txt"
    mine.touch()
    with pytest.raises(ExportError, match="holds engines besides a bundle"):
        write_bundle(subject, output, FP32, samples, "noise")
    mine.unlink()
    write_bundle(subject, output, FP32, samples, "noise")
    found = {path.name for path in output.iterdir()}
    assert found == {MANIFEST_NAME, *load_manifest(output).files()}


@pytest.mark.parametrize("before", ["bundle", "empty", "nothing"])
def test_what_comes_there_during_an_export_is_not_lost(
    before: str, subject: Subject, samples: NDArray[np.float32], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    if before == "bundle":
        write_bundle(subject, output, FP32, samples, "noise")
    elif before == "empty":
        output.mkdir()

    def progress(step: str, done: float) -> None:
        if step == "verification":
            output.mkdir(exist_ok=True)
            (output / "notes.txt").write_text("mine")

    with pytest.raises(
        ExportError, match=r"holds (notes\.txt besides a|other files and no) bundle"
    ):
        write_bundle(subject, output, FP32, samples, "noise", progress)
    assert (output / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (output / "notes.txt").unlink()
    write_bundle(subject, output, FP32, samples, "noise")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("operator", "wrong", "message"),
    [("GreaterOrEqual", "Less", "^exit1: only"), ("ArgMax", "ArgMin", "^exit1: only 0.00%")],
    ids=["never sure", "least likely"],
)
def test_a_wrong_gate_is_found_out(
    operator: str,
    wrong: str,
    message: str,
    subject: Subject,
    samples: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    def broken(*_: object) -> Iterator[Graph]:
        for graph in subject.graphs(FP32.precision, True, print):
            model = onnx.load_from_string(graph.content)
            for node in model.graph.node if graph.name == "exit1" else ():
                node.op_type = wrong if node.op_type == operator else node.op_type
            yield dataclasses.replace(graph, content=model.SerializeToString())

    with pytest.raises(ExportError, match=message):
        write_bundle(
            dataclasses.replace(subject, graphs=broken), tmp_path / "out", FP32, samples, "noise"
        )
