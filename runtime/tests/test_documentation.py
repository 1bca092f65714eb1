"""Examples, fields and messages of the documentation are what one gets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_example_runs(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle.parent / "out").symlink_to(bundle, target_is_directory=True)
    monkeypatch.chdir(bundle.parent)
    use = page("guides/app.md").partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", use, re.DOTALL)
    images = np.zeros((5, 4, 4, 3), np.uint8)
    names: dict[str, Any] = {"images": images, "frame": images[0]}
    exec(example, names)
    assert names["result"].cut_short.shape == (1,)
    assert dict(names["session"].thresholds) == {"exit1": 0.8, "exit2": 0.7}


def test_every_field_of_the_manifest_is_named(bundle: Path) -> None:
    manifest = ee.load_manifest(bundle)
    graph = manifest.stages[0].graph
    entries = (manifest, manifest.model, manifest.preprocessing, manifest.stages[0])
    text = page("reference/bundle.md")
    for entry in (*entries, manifest.exits[0], graph, graph.inputs[0]):
        missing = [name for name in entry.__slots__ if f"`{name}`" not in text]
        assert missing == []


def test_every_public_name_of_a_backend_is_named() -> None:
    from edgeexit_runtime.backends.base import Runner

    for name in Runner.__abstractmethods__:
        assert f"`{name}(" in page("design/backends.md")


def test_every_message_of_the_table_is_one_that_there_is() -> None:
    """But for the numbers and names in it."""
    source = Path(ee.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    text = re.sub(r'"\s*\n\s*f?"', "", text)  # strings over several lines
    table = page("reference/messages.md")
    messages = [
        found
        for row in re.findall(r"^\| (`.*?) \|", table, re.M)
        for found in re.findall(r"`([^`]+)`", row)
    ]
    assert len(messages) > 20
    filled_in = (
        r"(out/)?\w+\.(onnx|engine):? |(cat|clip)\.\w+: |exit\d|stage\d|\S+ExecutionProvider (?=\w)"
        r"|\b(onnxruntime|openvino|pycuda|TensorRT) (?=is|\d)|\w+ is not used: pycuda is"
        r"|backend \w+ (?=has)"
    )
    for message in messages:
        words = re.split(r"[^A-Za-z ()-]+", re.sub(filled_in, "", message))
        assert max(words, key=len).strip() in text, message
