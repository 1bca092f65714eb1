"""Early exit in Triton: runs the parts one after another, and lets images leave in between.

This file is copied into the repository beside parts.json and run by Triton's python backend. The
thresholds are parameters of config.pbtxt, ``threshold_`` and the exit's name: 0 to 1, or 2 for
never.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

PREFIX = "threshold_"
NEVER = 2.0
MAX_CONFIDENCE = 1 + 2**-10  # a softmax may be rounded up


class TritonPythonModel:
    """The class that Triton's python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the chain, and the thresholds in config.pbtxt.

        Raises:
            TritonModelException: a threshold is missing, unknown or invalid, or the parts would
                give wrong answers on this CPU.
        """
        parts = Path(__file__).with_name("parts.json")
        self._steps = json.loads(parts.read_text(encoding="utf-8"))
        parameters = {
            key: value["string_value"]
            for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        self._thresholds = _thresholds(parameters, [step["name"] for step in self._steps[:-1]])
        if "needs_vnni" in parameters and _lacks_vnni():
            raise pb_utils.TritonModelException(
                "INT8 for CPUs: this one has no VNNI, or its features cannot be read, and ONNX "
                "Runtime's sums would saturate without any error; export with --target cpu-7bit "
                "for this CPU"
            )
        read: set[str] = set()
        for step in reversed(self._steps):
            step["read_later"] = set(read)
            read.update(step["stage_inputs"], step["exit_inputs"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests; the images of all of them go through the parts together."""
        responses: list[Any] = [None] * len(requests)
        accepted = {}
        for number, request in enumerate(requests):
            images = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
            if np.isfinite(images).all():
                accepted[number] = images
            else:
                responses[number] = _error("images: expected finite values, got NaN or infinity")
        if not accepted:
            return responses
        answers = _Answers(np.concatenate(list(accepted.values())))
        self._classify(answers)
        end = 0
        for number, images in accepted.items():
            start, end = end, end + len(images)
            responses[number] = answers.response(slice(start, end))
        return responses

    def _classify(self, answers: _Answers) -> None:
        """Run the parts until all images have left; on failure, those that left keep the answer."""
        try:
            for index, step in enumerate(self._steps):
                tensors = answers.tensors
                inputs = [tensors[name] for name in step["stage_inputs"]]
                tensors.update(_run(step["stage"], inputs, step["stage_outputs"]))
                threshold = self._thresholds.get(step["name"], 0.0)
                if threshold == NEVER:
                    continue
                inputs = [tensors[name] for name in step["exit_inputs"]]
                inputs.append(pb_utils.Tensor("threshold", np.array([threshold], np.float32)))
                gate = _run(step["exit"], inputs, ["label", "confidence", "exits"])
                answers.leave(index, {name: tensor.as_numpy() for name, tensor in gate.items()})
                if not len(answers.waiting):
                    return
                answers.keep(step["read_later"])
        except pb_utils.TritonModelException as error:
            answers.failure = str(error)


class _Answers:
    """The answers to a batch of images (N, C, H, W), and the tensors of those still waiting.

    Attributes:
        tensors: by name, with the rows of the waiting images.
        waiting: the indices of the waiting images.
        failure: the reason why these get no answer; empty unless a part failed.
    """

    def __init__(self, images: Any) -> None:
        self.tensors = {"images": pb_utils.Tensor("images", images)}
        self.waiting = np.arange(len(images))
        self.failure = ""
        self._staying = np.ones(len(images), bool)
        self._labels = np.zeros(len(images), np.int64)
        self._confidences = np.zeros(len(images), np.float32)
        self._exits = np.full(len(images), -1, np.int64)

    def leave(self, index: int, gate: dict[str, Any]) -> None:
        """Let images leave whose gate is open, or whose confidence is invalid."""
        confidences = gate["confidence"]
        possible = (confidences >= 0) & (confidences <= MAX_CONFIDENCE)
        leaving = gate["exits"] | ~possible
        rows = self.waiting[leaving]
        self._labels[rows] = gate["label"][leaving]
        self._confidences[rows] = np.where(possible, confidences, np.nan)[leaving]
        self._exits[rows] = index
        self._staying = ~leaving
        self.waiting = self.waiting[self._staying]

    def keep(self, names: set[str]) -> None:
        """Keep the rows of images that have not left, of the tensors that are read later."""
        self.tensors = {name: self.tensors[name] for name in names & self.tensors.keys()}
        if not self._staying.all():
            for name, tensor in self.tensors.items():
                self.tensors[name] = pb_utils.Tensor(name, tensor.as_numpy()[self._staying])

    def response(self, rows: slice) -> Any:
        """Return the response to the request whose images are these rows."""
        if (self._exits[rows] < 0).any():
            return _error(self.failure)
        if np.isnan(self._confidences[rows]).any():
            return _error(
                "a confidence is not between 0 and 1: values are beyond the network's precision; "
                "export it in a higher one"
            )
        outputs: dict[str, Any]
        outputs = {"labels": self._labels, "confidences": self._confidences, "exits": self._exits}
        tensors = [pb_utils.Tensor(name, values[rows]) for name, values in outputs.items()]
        return pb_utils.InferenceResponse(tensors)


def _run(model: str, inputs: list[Any], outputs: list[str]) -> dict[str, Any]:
    """Return the outputs of a part by name.

    Raises:
        TritonModelException: the part failed, or is not loaded.
    """
    request = pb_utils.InferenceRequest(
        model_name=model,
        inputs=inputs,
        requested_output_names=outputs,
        # numpy reads host memory only
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    response = request.exec()
    if response.has_error():
        raise pb_utils.TritonModelException(f"{model}: {response.error().message()}")
    return {name: pb_utils.get_output_tensor_by_name(response, name) for name in outputs}


def _thresholds(parameters: dict[str, str], exits: list[str]) -> dict[str, float]:
    """Return the threshold of every exit but the last.

    Raises:
        TritonModelException: one is missing or unknown, or outside 0 to 2.
    """
    given = {
        key.removeprefix(PREFIX): value
        for key, value in parameters.items()
        if key.startswith(PREFIX)
    }
    if given.keys() != set(exits):
        raise pb_utils.TritonModelException(
            f"config.pbtxt: expected the parameters {_listed(exits)}, got {_listed(given)}"
        )
    thresholds = {}
    for name, text in given.items():
        try:
            thresholds[name] = float(text)
        except ValueError:
            thresholds[name] = float("nan")
        if not 0 <= thresholds[name] <= NEVER:
            raise pb_utils.TritonModelException(
                f"config.pbtxt: {PREFIX}{name}: expected 0 to 1, or 2 for never, got {text!r}"
            )
    return thresholds


def _lacks_vnni() -> bool:
    """Whether this x86 CPU may add products of 8 bits in 16 bits: without VNNI, or unknown."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    flags = [line.split() for line in text.splitlines() if line.startswith("flags")]
    return not flags or any({"avx_vnni", "avx512_vnni"}.isdisjoint(line) for line in flags)


def _listed(exits: Any) -> str:
    return ", ".join(sorted(PREFIX + name for name in exits)) or "none"


def _error(message: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
