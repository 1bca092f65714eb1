"""Files with the manifest's hash but other contents: each is named in an error, none is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

import edgeexit_runtime as ee
from edgeexit_runtime.testing import edit_manifest, replace_graph
from edgeexit_runtime.testing.conformance.support import Load, Suite


def rename(content: bytes, old: str, new: str) -> bytes:
    """Return the model with a tensor renamed."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for info in (*model.graph.input, *model.graph.output):
        info.name = new if info.name == old else info.name
    changed: bytes = model.SerializeToString()
    return changed


class ForeignFiles(Suite):
    """For backends that load ONNX files; a backend with other files has its own such tests."""

    @pytest.mark.parametrize("content", [b"", b"\x08\x08:\x00", b"<?xml version='1.0'?><net/>"])
    def test_file_that_is_no_graph_but_has_its_hash(
        self, load: Load, bundle: Path, content: bytes
    ) -> None:
        replace_graph(bundle, "stage2", content)
        with pytest.raises((ee.BackendError, ee.BundleError), match=r"stage2\.onnx: .+"):
            load(bundle)

    def test_names_that_are_no_text(self, load: Load, bundle: Path) -> None:
        """An engine may accept it, or fail only when its tensors are listed."""
        content = (bundle / "stage2.onnx").read_bytes()
        assert content.count(b"second") >= 2
        replace_graph(bundle, "stage2", content.replace(b"second", b"sec\xe1nd"))
        with pytest.raises((ee.BackendError, ee.BundleError), match=r"^stage2\.onnx: "):
            load(bundle)

    @pytest.mark.parametrize(
        ("name", "old", "message"),
        [
            ("stage2", "first", "inputs first by the manifest, got .*other"),
            ("exit1", "threshold", "inputs first, threshold by the manifest, got .*other"),
            (
                "exit1",
                "confidence",
                r"outputs logits, confidence, label, exits by the manifest, got logits, other, "
                r"\S*label, exits",
            ),
        ],
    )
    def test_graph_with_other_tensors_than_the_manifests(
        self, load: Load, bundle: Path, name: str, old: str, message: str
    ) -> None:
        content = (bundle / f"{name}.onnx").read_bytes()
        replace_graph(bundle, name, rename(content, old, "other"))
        with pytest.raises(ee.BundleError, match=rf"^{name}\.onnx: expected {message}.*; export"):
            load(bundle)

    @pytest.mark.parametrize(
        ("dtype", "shape"),
        [("float32", [3, 4, 5]), ("float32", [3, 4]), ("float16", [3, 4, 4])],
    )
    def test_graph_with_tensors_of_another_size_or_type(
        self, load: Load, bundle: Path, dtype: str, shape: list[int]
    ) -> None:
        def change(manifest: dict[str, Any]) -> None:
            written = manifest["stages"][1]["graph"]["outputs"][0]
            stage, exit_ = manifest["stages"][2]["graph"], manifest["exits"][1]["graph"]
            for tensor in (written, stage["inputs"][0], exit_["inputs"][0]):
                tensor.update(dtype=dtype, shape=shape)

        edit_manifest(bundle, change)
        sizes = ", ".join(map(str, shape))
        message = (
            rf"^stage2\.onnx: expected second {dtype} \({sizes}\) by the manifest, got "
            r"\S*float\S* \(?\[?.*3, ?4, ?4[)\]].*; export"
        )
        with pytest.raises(ee.BundleError, match=message):
            load(bundle)
