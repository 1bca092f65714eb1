"""Write the row selection graphs that the ONNX Runtime backend ships with.

Run it from anywhere: ``python runtime/tools/make_select_rows.py``. The runtime depends on numpy
alone and cannot make ONNX files itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

FOLDER = Path(__file__).parents[1] / "src" / "edgeexit_runtime" / "backends" / "onnxruntime"
DTYPES = ("float32", "float16", "int32", "int64", "uint8", "bool")


def make_model(dtype: str) -> bytes:
    """Return ``selected = features[rows]``; the rank of ``features`` is left open."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("Gather", ["features", "rows"], ["selected"], axis=0)],
        "select_rows",
        [
            helper.make_tensor_value_info("features", element, None),
            helper.make_tensor_value_info("rows", onnx.TensorProto.INT64, ["kept"]),
        ],
        [helper.make_tensor_value_info("selected", element, None)],
    )
    # the oldest versions that say all this: any onnxruntime of the last years reads them
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name = "edgeexit"
    return model.SerializeToString(deterministic=True)


def main() -> None:
    for dtype in DTYPES:
        (FOLDER / f"select_rows_{dtype}.onnx").write_bytes(make_model(dtype))


if __name__ == "__main__":
    main()
