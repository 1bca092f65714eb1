"""A part as a model of Triton's python backend, for servers without the one for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.x64quantprecision", "1")
        file = Path(__file__).with_name("model.onnx")
        self.session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        feeds = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        names = list(request.requested_output_names())
        tensors = map(pb_utils.Tensor, names, self.session.run(names, feeds))
        return pb_utils.InferenceResponse(list(tensors))
