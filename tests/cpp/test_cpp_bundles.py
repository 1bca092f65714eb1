"""The C++ library gives Python's answers, and believes a bundle no more than Python does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnx
import pytest
from edgeexit_runtime.testing import NETWORKS, edit_manifest, replace_graph, write_bundle
from numpy.typing import NDArray
from support.cpp_program import Program, engines_here

pytestmark = pytest.mark.slow

Change = Callable[[dict[str, Any]], object]
ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(name not in engines_here(), reason=f"no headers of {name} here"),
    )
    for name in ("openvino", "onnxruntime")
]


def frames_of(count: int, seed: int) -> NDArray[np.uint8]:
    """Frames (count, 4, 4, 3) of all contrasts, of which some leave at each exit."""
    rng = np.random.default_rng(seed)
    return (rng.random((count, 1, 1, 1)) * rng.integers(0, 256, (count, 4, 4, 3))).astype(np.uint8)


def python(
    folder: Path, engine: str, frames: NDArray[np.uint8], thresholds: Mapping[str, float]
) -> ee.Predictions:
    with ee.load(folder, backend=engine, threads=1) as session:
        session.thresholds = thresholds
        return session.infer(session.preprocess(frames))


# answers


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_answers_of_all_networks_batches_and_thresholds(
    program: Program, engine: str, name: str, tmp_path: Path
) -> None:
    network = NETWORKS[name]
    folder = write_bundle(tmp_path / "bundle", network)
    manifest = ee.load_manifest(folder)
    frames = frames_of(50, seed=1)
    mixed = 0
    for value, batch in ((0.6, 1), (0.8, 3), (0.9, network.max_batch), (ee.NEVER, 11), (0, 2)):
        thresholds = dict.fromkeys(network.exit_names[:-1], value)
        flags = [part for exit_ in thresholds for part in ("--threshold", f"{exit_}={value}")]
        got = program.classify(
            folder, manifest, frames, "--engine", engine, "--batch", batch, *flags
        )
        want = python(folder, engine, frames, thresholds)
        np.testing.assert_array_equal(got.labels, want.labels)
        np.testing.assert_array_equal(got.exits, want.exits)
        np.testing.assert_array_equal(got.confidences, want.confidences)
        mixed += len(set(got.exits.tolist())) > 1
    assert mixed > 0 or len(network.stages) == 1, "some left where others went on"


def test_a_bundle_of_batch_1(program: Program, bundle: Path) -> None:
    """Its graphs are compiled for that size alone."""
    edit_manifest(bundle, put(1, "max_batch"))
    frames = frames_of(9, seed=2)
    got = program.classify(bundle, ee.load_manifest(bundle), frames, "--batch", 4)
    want = python(bundle, "openvino", frames, {"exit1": 0.6, "exit2": 0.6})
    np.testing.assert_array_equal(got.exits, want.exits)
    np.testing.assert_array_equal(got.confidences, want.confidences)


def test_passes_are_timed_on_request(program: Program, bundle: Path) -> None:
    (bundle.parent / "frames").write_bytes(frames_of(5, seed=3).tobytes())
    result = subprocess.run(
        [program.path, bundle, bundle.parent / "frames", "--time"],
        input="\n\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    times = [float(line) for line in result.stdout.splitlines()]
    assert len(times) == 2
    assert all(0 < time < 1000 for time in times)


# what is refused


def put(value: Any, *place: Any) -> Change:
    """Return what sets the value at a place such as ``"exits", 0, "threshold"``."""

    def change(manifest: dict[str, Any]) -> None:
        target: Any = manifest
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value

    return change


def int8(**target: Any) -> Change:
    """Return what makes an INT8 bundle of it, with these fields in its target."""
    told = {"name": "mine", "engine": "cpu", "assumes": "", "elsewhere": "", **target}
    entry = {"extent": "all", "method": "minmax", "fallback": "fp32", "target": told}
    return lambda manifest: manifest.update(precision="int8", quantization=entry)


def refusal(program: Program, folder: Path) -> str:
    """Return the one line that the program ends with; Python refuses the bundle too."""
    with pytest.raises(ee.EdgeExitError):
        ee.load(folder, threads=1)
    (folder.parent / "frames").write_bytes(frames_of(1, seed=0).tobytes())
    result = program.run(folder, folder.parent / "frames")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    assert len(line) <= 400
    return line


OUTPUT = ("stages", 0, "graph", "outputs", 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put(1, "colour"), "colour: no such field"),
        (put(1, "stages", 1, "graph", "path"), "stages[1].graph.path: no such field"),
        (lambda it: it.pop("exits"), "exits: missing"),
        (lambda it: it.pop("schema_version"), "not the manifest of an edgeexit bundle"),
        (put(2, "schema_version"), "made by a newer edgeexit"),
        (put("high", "exits", 1, "threshold"), 'exits[1].threshold: expected a finite number'),
        (put(2.5, "exits", 0, "threshold"), "exits[0].threshold: expected 0 to 2, got 2.5"),
        (put("4", "max_batch"), "max_batch: expected an integer"),
        (put(0, "max_batch"), "max_batch: expected an integer of 1 to"),
        (put({}, "stages"), "stages: expected a list, got {}"),
        (put([], "stages"), "exits: expected one behind each stage"),
        (put("stage2", "exits", 0, "stage"), "exits: expected one behind each stage"),
        (put("float64", *OUTPUT, "dtype"), "stages[0].graph.outputs[0].dtype: expected float32"),
        (put([0, 4], *OUTPUT, "shape"), "stages[0].graph.outputs[0].shape: expected an int"),
        (put([2**20, 2**20], *OUTPUT, "shape"), "stages[0].graph.outputs[0].shape: expected an"),
        (put([1] * 9, *OUTPUT, "shape"), "stages[0].graph.outputs[0].shape: expected at most 8"),
        (put("images", *OUTPUT, "name"), "stage1: its output images is the name of another tensor"),
        (put(-1, "stages", 0, "graph", "size_bytes"), "stages[0].graph.size_bytes: expected"),
        (put(["one"], "class_names"), "class_names: expected as many as model.num_classes"),
        (put("int4", "precision"), "precision: expected fp32, fp16 or int8"),
        (put([1.0], "preprocessing", "std"), "preprocessing: expected one mean, and std above 0"),
        (put([1.0, 0.0, 1.0], "preprocessing", "std"), "preprocessing: expected one mean, and std"),
        (put([3, 8, 8], "preprocessing", "input_size"), "stage1: its input images is written by"),
        (put("stage1", "stages", 1, "name"), "expected one behind each stage"),
        (put("exit1", "exits", 1, "name"), "expected different names, got exit1 twice"),
        (put("third", "exits", 0, "graph", "inputs", 0, "name"), "exit1: its input third is"),
        (put("score", "exits", 1, "graph", "outputs", 1, "name"), "exit2: expected the outputs"),
        (put("uint8", *OUTPUT, "dtype"), "is written by no stage before it"),
        *(
            (put(name, "stages", 0, "graph", "file"), "stages[0].graph.file: expected a plain name")
            for name in ("../a.onnx", "/etc/passwd", "..", ".hidden", "", "a\n", "é", "a" * 129)
        ),
        (put("a/b", "exits", 1, "name"), "exits[1].name: expected a plain name of up to 64"),
        (put("\x1b[2J", "exits", 1, "name"), "exits[1].name: expected a plain name"),
        (put({"fallback": "fp32"}, "quantization"), "quantization: expected null in fp32"),
        (int8(weight_bits=9), "quantization.target.weight_bits: expected an integer of 7 to 8"),
        (int8(colour=1), "quantization.target.colour: no such field"),
    ],
)  # fmt: skip
def test_manifests_that_do_not_fit(
    program: Program, bundle: Path, change: Change, told: str
) -> None:
    edit_manifest(bundle, change)
    assert told in refusal(program, bundle)


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": 1', b"\xff\xfe\x00", b"[" * 10**6, b'{"data": 1e999}']
)
def test_broken_json(program: Program, bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    line = refusal(program, bundle)
    assert "not valid JSON" in line or "nested deeper than 32 levels" in line


def test_huge_manifest_is_not_read(program: Program, bundle: Path) -> None:
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(16 * 2**20 + 1)
    assert "larger than 16777216 bytes, not a manifest" in refusal(program, bundle)


def test_files_that_are_not_the_manifests(program: Program, bundle: Path) -> None:
    path = bundle / "exit2.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "exit2.onnx: changed since it was exported (SHA-256" in refusal(program, bundle)
    path.write_bytes(content[:10])
    assert f"exit2.onnx: expected {len(content)} bytes, got 10" in refusal(program, bundle)
    path.unlink()
    assert "exit2.onnx: missing from the bundle" in refusal(program, bundle)
    (bundle.parent / "elsewhere.onnx").write_bytes(content)
    path.symlink_to(bundle.parent / "elsewhere.onnx")
    assert "exit2.onnx: a link out of the bundle's folder" in refusal(program, bundle)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no protobuf message at all", "stage2.onnx: not an ONNX file"),
        (b"", "stage2.onnx: expected 1 inputs by the manifest, got 0"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "stage2.onnx: not an ONNX file"),
    ],
)
def test_files_that_are_no_graphs(
    program: Program,
    bundle: Path,
    content: bytes,
    told: str,
) -> None:
    replace_graph(bundle, "stage2", content)
    assert told in refusal(program, bundle)


def test_data_in_another_file(program: Program, bundle: Path) -> None:
    model = onnx.load(bundle / "stage1.onnx")
    weights = onnx.TensorProto(name="w", dims=[1], data_type=1, data_location=1)
    weights.external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer.append(weights)
    replace_graph(bundle, "stage1", model.SerializeToString())
    assert "stage1.onnx: a tensor's data lies in another file" in refusal(program, bundle)


@pytest.mark.parametrize("engine", ENGINES)
def test_graphs_of_other_tensors(program: Program, bundle: Path, engine: str) -> None:
    """The manifest is sound and the file is another: buffers are bound to neither."""
    for place in (("stages", 0, "graph", "outputs", 0), ("stages", 1, "graph", "inputs", 0),
                  ("exits", 0, "graph", "inputs", 0)):  # fmt: skip
        edit_manifest(bundle, put([3, 4, 5], *place, "shape"))
    (bundle.parent / "frames").write_bytes(frames_of(1, seed=0).tobytes())
    result = program.run(bundle, bundle.parent / "frames", "--engine", engine)
    assert result.returncode == 1
    assert "stage1.onnx: " in result.stderr
    assert "in the manifest; export the bundle again" in result.stderr


def test_calls_that_do_not_fit(program: Program, bundle: Path) -> None:
    frames = bundle.parent / "frames"
    frames.write_bytes(bytes(49))
    for options, told in (
        ((), "frames: expected frames of 48 bytes, got 49 bytes in all"),
        (("--engine", "tensorrt"), "engine: tensorrt was not compiled in"),
        (("--threshold", "exit1=1.5"), "thresholds: exit1: expected 0 to 1 (or 2 for never)"),
        (("--threshold", "final=0.5"), "thresholds: final is no exit of this bundle but the last"),
    ):
        result = program.run(bundle, frames, *options)
        assert (result.returncode, result.stdout) == (1, "")
        assert told in result.stderr
    result = program.run(bundle)
    assert result.returncode == 2
    assert "usage: edgeexit_classify BUNDLE FRAMES" in result.stderr


def test_answers_that_cannot_be(program: Program, bundle: Path) -> None:
    model = onnx.load(bundle / "exit1.onnx")
    (node,) = [node for node in model.graph.node if "confidence" in node.output]
    node.output[0] = "half"
    doubled = onnx.helper.make_node("Add", ["half", "half"], ["confidence"])
    model.graph.node.insert(list(model.graph.node).index(node) + 1, doubled)
    replace_graph(bundle, "exit1", model.SerializeToString())
    (bundle.parent / "frames").write_bytes(frames_of(20, seed=1).tobytes())
    result = program.run(bundle, bundle.parent / "frames")
    assert result.returncode == 1
    assert "exit1: expected confidences of 0 to 1, labels of 0 to 2, got" in result.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_an_infinite_logit(program: Program, bundle: Path, engine: str) -> None:
    """If it is the first class's, OpenVINO's largest of the softmax is 0 where it is NaN."""
    model = onnx.load(bundle / "exit1.onnx")
    (node,) = (node for node in model.graph.node if "logits" in node.output)
    node.output[:] = ["before"]
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([np.inf, 0, 0], np.float32), "infinite")
    )
    add = onnx.helper.make_node("Add", ["before", "infinite"], ["logits"])
    model.graph.node.insert(1 + list(model.graph.node).index(node), add)
    replace_graph(bundle, "exit1", model.SerializeToString())
    (bundle.parent / "frames").write_bytes(frames_of(20, seed=1).tobytes())
    result = program.run(bundle, bundle.parent / "frames", "--engine", engine)
    assert result.returncode == 1
    assert "exit1: expected confidences of 0 to 1, labels of 0 to 2, got nan" in result.stderr


def test_features_that_do_not_fit_into_memory(program: Program, bundle: Path) -> None:
    """Nothing is taken before it is known to be there; what is never touched costs nothing."""
    edit_manifest(bundle, put(2**31 - 1, "max_batch"))
    (bundle.parent / "frames").write_bytes(frames_of(1, seed=0).tobytes())
    result = program.run(bundle, bundle.parent / "frames")
    fits = result.returncode == 0 and len(result.stdout.splitlines()) == 1
    assert fits or "images do not fit into memory" in result.stderr
