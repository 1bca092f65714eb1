"""INT8 convolutions without a kernel, in real networks of TensorRT-RTX, which has them all."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.engines.building import build_engines, describe
from edgeexit_runtime.testing import make_model
from onnx import helper

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

# what TensorRT says of a convolution that it has fused with its weights and what follows
NO_KERNEL = (
    "IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any "
    "implementation for node {0}.stored + {0}.weights + {0} + {0}.relu.)"
)
RTX = "tensorrt-rtx"
CHANNELS = 3
WIDE = "widedepth1"  # another layer's name is its end
SCALES = np.array([0.5, 0.25, 2.0], np.float32)


def stored(groups: int) -> Any:
    weights = np.random.default_rng(groups).integers(-9, 9, (CHANNELS, CHANNELS // groups, 3, 3))
    return weights.astype(np.int8)


def quantized_model() -> Any:
    """Three convolutions in 8 bits, the first two of them depthwise, each with a ReLU behind."""
    constants: dict[str, Any] = {
        "step": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "scales": SCALES,
        "zeros": np.zeros(CHANNELS, np.int8),
    }
    nodes, last = [], "images"
    for name, groups in (("depth1", CHANNELS), ("depth10", CHANNELS), (WIDE, 1)):
        constants[f"{name}.stored"] = stored(groups)
        writes = "first" if name == WIDE else f"{name}.out"
        nodes += [
            helper.make_node("QuantizeLinear", [last, "step", "zero"], [f"{name}.q"]),
            helper.make_node("DequantizeLinear", [f"{name}.q", "step", "zero"], [f"{name}.in"]),
            helper.make_node(
                *("DequantizeLinear", [f"{name}.stored", "scales", "zeros"], [f"{name}.weights"]),
                axis=0,
            ),
            helper.make_node(
                *("Conv", [f"{name}.in", f"{name}.weights"], [f"{name}.sum"], name),
                group=groups,
                pads=[1] * 4,
            ),
            helper.make_node("Relu", [f"{name}.sum"], [writes]),
        ]
        last = writes
    shape = ["batch", CHANNELS, 4, 4]
    return make_model(nodes, {"images": shape}, {"first": shape}, constants, opset=19)


class Lacking:
    """TensorRT-RTX as if it had no INT8 kernel for these layers.

    It ``says`` so, and ``then`` refuses them in floating point too. ``built`` are the networks that
    were to be built, one by one.
    """

    def __init__(self, *names: str, says: str = NO_KERNEL, then: str = "") -> None:
        self.names, self.says, self.then = names, says, then
        self.built: list[Any] = []

    def refusal(self, layer: Any) -> str:
        if layer.name not in self.names:
            return ""
        in_8_bits = layer.get_input(1).name.endswith(".weights")
        return (self.says if in_8_bits else self.then).format(layer.name)

    def module(self) -> types.ModuleType:
        lacking = self

        class Builder:
            def __init__(self, log: Any) -> None:
                self._log, self._builder = log, trt.Builder(log)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._builder, name)

            def build_serialized_network(self, network: Any, config: Any) -> Any:
                lacking.built.append(network)
                for index in range(network.num_layers):
                    refusal = lacking.refusal(network.get_layer(index))
                    if refusal:
                        self._log.log(trt.ILogger.ERROR, refusal)
                        return None
                return self._builder.build_serialized_network(network, config)

        module = types.ModuleType("tensorrt_rtx")
        vars(module).update(vars(trt), Builder=Builder)
        return module


Install = Callable[..., Lacking]


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Install:
    """``lacking("depth1")``: the library has no kernel for that from now on."""

    def install(*names: str, **options: Any) -> Lacking:
        made = Lacking(*names, **options)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", made.module())
        return made

    return install


@pytest.fixture
def folder(bundle: Path, replace_graph: Callable[[Path, str, bytes], None]) -> Path:
    """A bundle whose first stage is in 8 bits."""
    replace_graph(bundle, "stage1", quantized_model().SerializeToString())
    return bundle


def build(folder: Path) -> Any:
    return build_engines(folder, library=RTX, compute_capability="8.6")


def weights_of(network: Any, name: str) -> tuple[Any, str]:
    """Return the weights that a convolution reads, and the name of its features."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    (layer,) = (layer for layer in layers if layer.name == name)
    (writer,) = (one for one in layers if one.get_output(0).name == layer.get_input(1).name)
    writer.__class__ = trt.IConstantLayer
    return np.asarray(writer.weights), layer.get_input(0).name


def test_what_has_no_kernel_is_computed_in_floating_point(folder: Path, lacking: Install) -> None:
    whole = build(folder).engines[0].entry
    library = lacking("depth1", "depth10")
    report = build_engines(folder, library=RTX, compute_capability="8.6", rebuild=True)
    entry = report.engines[0].entry
    assert entry.floating == ("depth1", "depth10")
    assert ee.load_manifest(folder).engines[0] == entry
    assert (whole.layers["int8"], entry.layers["int8"]) == (0.5, 0.1667)  # of 6 layers, 3 and 1
    assert all(engine.entry.floating == () for engine in report.engines[1:])
    (line,) = (line for line in describe(report) if "no INT8 kernel" in line)
    assert line.startswith(f"stage1: {report.library} has no INT8 kernel for depth1, depth10: ")
    assert len(library.built) == len(report.engines) + 2


@pytest.mark.parametrize(
    ("name", "groups", "reads"), [("depth10", CHANNELS, "depth1.out"), (WIDE, 1, "depth10.out")]
)
def test_the_weights_are_those_that_the_8_bits_stand_for(
    folder: Path, lacking: Install, name: str, groups: int, reads: str
) -> None:
    library = lacking(name)
    assert build(folder).engines[0].entry.floating == (name,)
    weights, features = weights_of(library.built[1], name)
    np.testing.assert_array_equal(weights, (stored(groups) * SCALES.reshape(-1, 1, 1, 1)).ravel())
    assert weights.dtype == np.float32
    assert features == reads  # as they were before they were rounded


@pytest.mark.parametrize(
    "says",
    [
        "out of tactics for {0}",
        NO_KERNEL.replace("{0}", "softmax"),
        NO_KERNEL.replace(".relu.", " due to insufficient workspace."),
    ],
)
def test_other_failures_are_not_tried_again(folder: Path, lacking: Install, says: str) -> None:
    library = lacking("depth1", says=says)
    with pytest.raises(ee.BackendError, match=r"^stage1: .*(tactics|softmax|workspace)"):
        build(folder)
    assert len(library.built) == 1


def test_what_fails_in_floating_point_too_is_said_as_it_is(folder: Path, lacking: Install) -> None:
    library = lacking("depth1", then="no memory for {0}")
    with pytest.raises(ee.BackendError, match=r"could not build it: no memory for depth1$"):
        build(folder)
    assert len(library.built) == 2
