"""The row selection graphs that are shipped with the ONNX Runtime backend."""

from __future__ import annotations

import importlib.util
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

DTYPES = ("float32", "float16", "int32", "int64", "uint8", "bool")
RUNTIME = Path(__file__).parents[2]


def shipped(dtype: str) -> bytes:
    file = resources.files("edgeexit_runtime.backends.onnxruntime") / f"select_rows_{dtype}.onnx"
    return file.read_bytes()


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """``runtime/tools/make_select_rows.py``, which is no part of the package."""
    path = RUNTIME / "tools" / "make_select_rows.py"
    spec = importlib.util.spec_from_file_location("make_select_rows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", DTYPES)
def test_shipped_file_is_what_the_tool_makes(tool: ModuleType, dtype: str) -> None:
    assert shipped(dtype) == tool.make_model(dtype)


def test_there_is_one_file_for_every_dtype_of_the_manifest(tool: ModuleType) -> None:
    from edgeexit_runtime.bundle.manifest import DTYPES as MANIFEST_DTYPES

    folder = resources.files("edgeexit_runtime.backends.onnxruntime")
    files = {file.name for file in folder.iterdir() if file.name.endswith(".onnx")}
    assert files == {f"select_rows_{dtype}.onnx" for dtype in MANIFEST_DTYPES}
    assert set(tool.DTYPES) == set(DTYPES) == set(MANIFEST_DTYPES)


@pytest.mark.parametrize("shape", [(6,), (6, 5), (6, 3, 2, 2), (6, 1, 2, 1, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_gathered(dtype: str, shape: tuple[int, ...]) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        shipped(dtype), options, providers=["CPUExecutionProvider"]
    )
    features = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 99, shape)
    features = features.astype(dtype)
    for rows in ([0, 2, 5], [4], [0, 1, 2, 3, 4, 5]):
        feeds = {"features": features, "rows": np.array(rows, np.int64)}
        (selected,) = session.run(["selected"], feeds)
        assert selected.dtype == features.dtype
        np.testing.assert_array_equal(selected, features[rows])
