"""A double of Triton's python backend: ``triton_python_backend_utils``, and a server of one model.

Requests to other models are held against their ``config.pbtxt``, as Triton does it, and run by ONNX
Runtime. See https://github.com/triton-inference-server/python_backend for what it stands in for.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from edgeexit_runtime.backends.reference import open_reference_model
from google.protobuf import json_format, text_format
from numpy.typing import NDArray

from edgeexit.export.triton.schema import new_config

TYPES: dict[str, Any] = {
    "TYPE_FP32": np.float32,
    "TYPE_FP16": np.float16,
    "TYPE_INT64": np.int64,
    "TYPE_INT32": np.int32,
    "TYPE_UINT8": np.uint8,
    "TYPE_BOOL": np.bool_,
}


def read_config(model: Path) -> Any:
    """Return a model's ``config.pbtxt`` as a message of its schema."""
    text = (model / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, new_config())


def config_values(model: Path) -> dict[str, Any]:
    """Return a model's ``config.pbtxt`` as JSON values."""
    message = read_config(model)
    values: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return values


class TritonError:
    def __init__(self, message: str) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class TritonModelException(Exception):  # noqa: N818  # Triton's name of it
    pass


class Tensor:
    def __init__(self, name: str, values: NDArray[Any]) -> None:
        assert isinstance(values, np.ndarray)
        self._name = name
        self._values = values.copy()  # it lies in shared memory
        self._values.flags.writeable = False

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        return self._values


class InferenceResponse:
    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None
    ) -> None:
        self.tensors = {tensor.name(): tensor for tensor in output_tensors}
        self._error = error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


class PreferredMemory:
    def __init__(self, kind: str, device: int) -> None:
        self.kind, self.device = kind, device


class Model:
    """A model of a repository whose file ONNX Runtime runs.

    Attributes:
        batches: how many images came at a time.
        failing: whether it answers with an error.
    """

    def __init__(self, folder: Path) -> None:
        self.config = read_config(folder)
        self._file = open_reference_model((folder / "1" / "model.onnx").read_bytes())
        self.batches: list[int] = []
        self.failing = False

    def run(self, inputs: Sequence[Tensor], wanted: Sequence[str]) -> InferenceResponse:
        """Answer a request that fits the configuration; any other gets an error, as from Triton."""
        given = {tensor.name(): tensor.as_numpy() for tensor in inputs}
        assert self.config.max_batch_size == 0
        for tensor in self.config.input:
            values = given[tensor.name]
            fits = values.dtype == TYPES[_name(tensor)] and len(values.shape) == len(tensor.dims)
            pairs = zip(tensor.dims, values.shape, strict=False)
            if not fits or not all(size in (-1, got) for size, got in pairs):
                return InferenceResponse(error=TritonError(f"unexpected {tensor.name}"))
        if given.keys() != {tensor.name for tensor in self.config.input} or self.failing:
            return InferenceResponse(error=TritonError("it fails"))
        self.batches.append(len(given[self.config.input[0].name]))
        answers = self._file.run(given)
        known = {tensor.name: tensor for tensor in self.config.output}
        for name in wanted:
            assert answers[name].dtype == TYPES[_name(known[name])]
            assert len(answers[name].shape) == len(known[name].dims)
        return InferenceResponse([Tensor(name, answers[name]) for name in wanted])


class TritonDouble:
    """A repository whose early-exit model can be asked, with requests in any batches.

    Args:
        change: what is done to the early-exit model's configuration, as JSON values.
    """

    def __init__(
        self,
        repository: Path,
        name: str = "edgeexit",
        change: Callable[[dict[str, Any]], object] = lambda config: None,
    ) -> None:
        self._utils = self._make_utils()
        folder = repository / name
        others = [path for path in repository.iterdir() if path.name != name]
        self.parts = {path.name: Model(path) for path in others}
        self.config = config_values(folder)
        change(self.config)
        with self._imported():
            spec = importlib.util.spec_from_file_location("model", folder / "1" / "model.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        self.model = module.TritonPythonModel()
        self.model.initialize({"model_config": json.dumps(self.config)})

    def ask(self, *batches: NDArray[np.float32]) -> list[dict[str, NDArray[Any]] | str]:
        """Return the answers to requests that are waiting together, or what their errors say."""
        assert sum(map(len, batches)) <= self.config["max_batch_size"]
        requests = [self._utils.InferenceRequest("", [Tensor("images", it)], []) for it in batches]
        responses = self.model.execute(requests)
        assert len(responses) == len(requests)
        return [self._answer(response) for response in responses]

    def _answer(self, response: Any) -> dict[str, NDArray[Any]] | str:
        assert isinstance(response, InferenceResponse)
        error = response.error()
        if error is not None:
            return error.message()
        expected = {tensor["name"]: tensor for tensor in self.config["output"]}
        assert response.tensors.keys() == expected.keys()
        answers = {name: tensor.as_numpy() for name, tensor in response.tensors.items()}
        for name, values in answers.items():
            assert values.dtype == TYPES[expected[name]["data_type"]]
            assert values.ndim == 1  # by the reshape
        return answers

    def _make_utils(self) -> Any:
        parts = self  # of whom requests are asked

        class InferenceRequest:
            def __init__(
                self,
                model_name: str,
                inputs: Sequence[Tensor],
                requested_output_names: Sequence[str],
                preferred_memory: PreferredMemory | None = None,
            ) -> None:
                self.inputs = {tensor.name(): tensor for tensor in inputs}
                self._model, self._wanted = model_name, requested_output_names
                self._memory = preferred_memory

            def exec(self) -> InferenceResponse:
                assert self._memory is not None
                assert self._memory.kind == "CPU"
                model = parts.parts.get(self._model)
                if model is None:
                    raise TritonModelException(f"Model {self._model} is not ready")
                return model.run(list(self.inputs.values()), self._wanted)

        utils: Any = ModuleType("triton_python_backend_utils")
        utils.InferenceRequest, utils.InferenceResponse = InferenceRequest, InferenceResponse
        utils.Tensor, utils.PreferredMemory = Tensor, PreferredMemory
        utils.TritonError, utils.TritonModelException = TritonError, TritonModelException
        utils.TRITONSERVER_MEMORY_CPU = "CPU"
        utils.get_input_tensor_by_name = lambda request, name: request.inputs[name]
        utils.get_output_tensor_by_name = lambda response, name: response.tensors[name]
        return utils

    @contextmanager
    def _imported(self) -> Iterator[None]:
        name = self._utils.__name__
        sys.modules[name] = self._utils
        try:
            yield
        finally:
            del sys.modules[name]


def _name(tensor: Any) -> str:
    """Return the name of a tensor's type."""
    values = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    return str(values[tensor.data_type].name)
