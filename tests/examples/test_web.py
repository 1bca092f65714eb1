"""The web example in Node and in a real Chromium: Python's answers on all test digits."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.digits_bundle import digits_bundle, digits_frames

from edgeexit.export.single.packing import pack_bundle

pytestmark = pytest.mark.slow

WEB = Path(__file__).parents[2] / "examples" / "web"
MODULES = WEB / "node_modules"
WASM = 1e-5  # of confidences: its kernels sum in another order; labels and exits are equal
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if not (MODULES / name).is_dir()]
    if shutil.which("node") is None:
        missing = ["node"]
    return pytest.mark.skipif(bool(missing), reason=f"not installed in examples/web: {missing}")


def node(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["node", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("web")
    return {name: digits_bundle(folder / name, name) for name in ("fp32", "int8")}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "frames.rgb"
    path.write_bytes(digits_frames().tobytes())
    return path


def expected(folder: Path, frames: Path, **thresholds: float) -> ee.Predictions:
    with ee.load(folder, backend="onnxruntime", threads=1) as session:
        session.thresholds = {**session.thresholds, **thresholds}
        size = session.manifest.preprocessing.input_size
        pixels = np.frombuffer(frames.read_bytes(), np.uint8).reshape(-1, *size[1:], size[0])
        return session.infer(session.preprocess(pixels))


def assert_same(rows: list[Any], want: ee.Predictions, tolerance: float) -> None:
    names = ("exit1", "exit2", "final")
    np.testing.assert_array_equal([int(row[0]) for row in rows], want.labels)
    np.testing.assert_array_equal([names.index(row[1]) for row in rows], want.exits)
    np.testing.assert_allclose([float(row[2]) for row in rows], want.confidences, atol=tolerance)
    assert set(want.exits.tolist()) == {0, 1, 2}


# in Node

each_engine = pytest.mark.parametrize(
    ("engine", "precision", "tolerance"),
    [
        pytest.param("onnxruntime-node", "fp32", 1e-6, marks=needs("onnxruntime-node")),
        pytest.param("onnxruntime-node", "int8", 1e-6, marks=needs("onnxruntime-node")),
        pytest.param("onnxruntime-web", "fp32", WASM, marks=needs("onnxruntime-web")),
    ],
)


@pytest.fixture(scope="module")
def single_files(bundles: dict[str, Path], frames: Path) -> dict[str, Path]:
    """The bundles as single files whose calls give thresholds."""
    how = ee.load_manifest(bundles["fp32"]).preprocessing
    images = how(digits_frames()[:8])
    files = {name: folder.parent / f"{name}.onnx" for name, folder in bundles.items()}
    for name, folder in bundles.items():
        pack_bundle(folder, files[name], images, "digits", required_thresholds=True)
    return files


@each_engine
def test_a_single_file_in_node(
    bundles: dict[str, Path],
    single_files: dict[str, Path],
    frames: Path,
    engine: str,
    precision: str,
    tolerance: float,
) -> None:
    setting = ("--engine", engine, "--threshold", "exit1=0.7")
    result = node(WEB / "classify.mjs", single_files[precision], frames, *setting)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert_same(rows, expected(bundles[precision], frames, exit1=0.7), tolerance)


@needs("onnxruntime-node")
def test_single_files_that_do_not_fit(
    bundles: dict[str, Path], single_files: dict[str, Path], frames: Path, tmp_path: Path
) -> None:
    def told(content: bytes) -> str:
        file = tmp_path / "model.onnx"
        file.write_bytes(content)
        result = node(WEB / "classify.mjs", file, frames)
        assert (result.returncode, result.stdout) == (1, "")
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    whole = single_files["fp32"].read_bytes()
    assert "not an ONNX file (it is cut off)" in told(whole[:-10])
    assert "not an ONNX file (" in told(b"\xff" * 40)
    assert "'edgeexit pack'" in told((bundles["fp32"] / "stage1.onnx").read_bytes())
    how = ee.load_manifest(bundles["fp32"]).preprocessing
    file = tmp_path / "inside.onnx"
    pack_bundle(bundles["fp32"], file, how(digits_frames()[:8]), "digits")
    assert "--required-thresholds" in told(file.read_bytes())


@each_engine
@pytest.mark.parametrize("batch", [1, 20])
def test_answers_in_node(
    bundles: dict[str, Path],
    frames: Path,
    engine: str,
    precision: str,
    tolerance: float,
    batch: int,
) -> None:
    result = node(
        WEB / "classify.mjs", bundles[precision], frames, "--engine", engine, "--batch", batch
    )
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert_same(rows, expected(bundles[precision], frames), tolerance)


@needs("onnxruntime-node")
def test_exits_that_are_switched_off(bundles: dict[str, Path], frames: Path) -> None:
    settings = ("--threshold", "exit1=2", "--threshold", "exit2=0.4", "--batch", 9)
    result = node(WEB / "classify.mjs", bundles["fp32"], frames, *settings)
    want = expected(bundles["fp32"], frames, exit1=ee.NEVER, exit2=0.4)
    exits = [line.split()[1] for line in result.stdout.splitlines()]
    assert exits == [("exit1", "exit2", "final")[index] for index in want.exits]
    assert set(exits) == {"exit2", "final"}


UNFIT = """
import { Session } from "EDGEEXIT";
const graph = { inputs: [{ name: "images" }] };
const preprocessing = { input_size: [3, 1, 1], mean: [0, 0, 0], std: [1, 1, 1] };
const manifest = {
  max_batch: 1, preprocessing, class_names: ["a"],
  stages: ["stage1", "stage2"].map((name) => ({ name, graph })),
  exits: [{ name: "exit1", threshold: 0.5, graph }, { name: "final", threshold: 0, graph }],
};
const gate = { confidence: { data: [0.4] }, label: { data: [0] }, exits: { data: [0] } };
const names = ["stage1", "stage2", "exit1", "final"];
const parts = names.map((name) => [name, { run: async () => gate }]);
const session = new Session({ Tensor: class {} }, manifest, new Map(parts));
async function told(work) {
  try {
    console.log((await work())[0].exit);
  } catch (error) {
    console.log(error.message);
  }
}
const pixels = session.preprocess(new Uint8Array(3), 3);
await told(() => session.infer(pixels));
for (const thresholds of [{ exit1: Number("high") }, { exit_1: 0.5 }, { exit1: 3 }]) {
  session.thresholds = thresholds;
  await told(() => session.infer(pixels));
}
await told(() => session.preprocess(new Uint8Array(3), 1));
"""


@needs()
def test_thresholds_and_pixels_that_do_not_fit() -> None:
    """No image left at a threshold that was no number, nor at one with a mistyped name."""
    script = UNFIT.replace("EDGEEXIT", (WEB / "edgeexit.mjs").as_uri())
    result = node("--input-type=module", "--eval", script)
    assert result.stderr == ""
    answer, *refused = result.stdout.splitlines()
    assert answer == "final"
    for value, line in zip(("NaN", "undefined", "3"), refused, strict=False):
        assert line == f"thresholds: exit1: expected 0 to 1, or 2 for never, got {value}"
    assert refused[3:] == ["pixels: expected 3 bytes an image, got 3 of 1 a pixel"]


def change(manifest: dict[str, Any], *place: Any, to: Any) -> None:
    for key in place[:-1]:
        manifest = manifest[key]
    manifest[place[-1]] = to


@needs("onnxruntime-node")
@pytest.mark.parametrize(
    ("place", "to", "told"),
    [
        (("schema_version",), 2, "expected schema_version 1"),
        (("stages", 0, "graph", "file"), "../stage1.onnx", "plain names in the bundle's folder"),
        (("exits", 0, "stage"), "stage2", "one exit behind each stage"),
        (
            ("exits", 1, "graph", "inputs", 0, "name"),
            "later",
            "inputs of exit2 that a stage before",
        ),
        (("exits", 0, "threshold"), "high", "thresholds of 0 to 2"),
        (("stages", 1, "graph", "size_bytes"), 7, "stage2.onnx: expected 7 bytes"),
        (("stages", 1, "graph", "sha256"), "0" * 64, "stage2.onnx: changed since it was exported"),
    ],
)
def test_bundles_that_do_not_fit(
    bundles: dict[str, Path],
    frames: Path,
    tmp_path: Path,
    place: tuple[Any, ...],
    to: Any,
    told: str,
) -> None:
    folder = shutil.copytree(bundles["fp32"], tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    change(manifest, *place, to=to)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    result = node(WEB / "classify.mjs", folder, frames)
    assert (result.returncode, result.stdout) == (1, "")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


# in a browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def site(bundles: dict[str, Path], single_files: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """The example as one would serve it, with a bundle and a single file beside the page."""
    folder = tmp_path / "site"
    folder.mkdir()
    for path in (*WEB.glob("*.mjs"), *WEB.glob("*.html"), MODULES):
        (folder / path.name).symlink_to(path)
    (folder / "bundle").symlink_to(bundles["fp32"])
    (folder / "model.onnx").symlink_to(single_files["fp32"])
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def drive(url: str, frames: Path | str = "", screenshot: Path | str = "") -> dict[str, Any]:
    driver = Path(__file__).with_name("drive_page.mjs")
    playwright = MODULES / "playwright-core" / "index.mjs"
    result = node(driver, playwright, CHROMIUM, url, frames, screenshot)
    assert result.returncode == 0, result.stderr
    seen: dict[str, Any] = json.loads(result.stdout)
    return seen


@needs("onnxruntime-web", "playwright-core")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("query", ["", "?model=model.onnx"])
def test_the_page_in_chromium(
    site: str, query: str, bundles: dict[str, Path], frames: Path, tmp_path: Path
) -> None:
    seen = drive(f"{site}{query}", frames, tmp_path / "page.png")
    assert (seen["errors"], seen["refused"]) == ([], "")
    assert seen["begun"] == "draw with the mouse or a finger"
    assert_same(seen["answers"], expected(bundles["fp32"], frames), WASM)
    assert "left at exit1, confidence 0." in seen["easy"]
    assert seen["easy"].endswith(" ms")
    assert "left at final, confidence " in seen["hard"]
    assert seen["bold"] == "row-final"
    assert (tmp_path / "page.png").stat().st_size > 1000


@needs("onnxruntime-web", "playwright-core")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_says_what_is_amiss(site: str) -> None:
    seen = drive(f"{site}?bundle=nowhere/")
    assert seen["begun"] == ""
    assert "nowhere/manifest.json: 404" in seen["refused"]
