"""Nothing in a manifest is believed: what does not fit is one line that names the place."""

from __future__ import annotations

import functools
import json
import operator
import os
import re
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.manifest import MANIFEST_MAX_BYTES, manifest_json
from edgeexit_runtime.testing import edit_manifest, write_bundle

GONE = object()


def put(folder: Path, place: str, value: Any) -> None:
    """Set the value at a place such as ``exits.0.threshold``, or take it away."""
    *outer, last = (int(key) if key.isdigit() else key for key in place.split("."))

    def change(manifest: dict[str, Any]) -> None:
        target = functools.reduce(operator.getitem, outer, manifest)
        if value is GONE:
            del target[last]
        else:
            target[last] = value

    edit_manifest(folder, change)


def refused(folder: Path, message: str) -> None:
    """``message`` is all that comes of loading the bundle."""
    path = folder / "manifest.json"
    with pytest.raises(ee.BundleError, match=f"^{re.escape(f'{path}: {message}')}$"):
        ee.load(folder)


def test_what_was_written_is_read(network: Any, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", network)
    manifest = ee.load_manifest(folder)
    assert manifest_json(manifest) == (folder / "manifest.json").read_text(encoding="utf-8")
    assert ee.load_manifest(str(folder)) == manifest
    assert manifest.exit_names == network.exit_names


def test_what_follows_from_the_entries(bundle: Path) -> None:
    manifest = ee.load_manifest(bundle)
    names = [name for name, _ in manifest.graphs()]
    assert names == ["stage1", "exit1", "stage2", "exit2", "stage3", "final"]
    assert manifest.thresholds == {"exit1": 0.6, "exit2": 0.6}
    assert [exit_.macs for exit_ in manifest.exits] == [1010, 2010, 3010]
    assert manifest.paid_macs == {"exit1": 1010, "exit2": 2020, "final": 3030}
    put(bundle, "exits.0.threshold", ee.NEVER)  # its branch is not paid
    assert ee.load_manifest(bundle).paid_macs == {"exit1": 1000, "exit2": 2010, "final": 3020}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere/manifest.json: no such file; expected the folder that 'edgeexit"),
        (".", "/manifest.json: no such file; expected the folder that 'edgeexit export' wrote"),
        ("file", "file: is a file; expected the folder that 'edgeexit export' wrote"),
        ("a" * 300, "cannot be read (File name too long)"),
        ("a/" * 3000, "cannot be read (File name too long)"),
        ("loop", "cannot be read (Too many levels of symbolic links)"),
        ("a\0b", "no such file; expected the folder that 'edgeexit export' wrote"),
        ("\ud800", "no such file; expected the folder that 'edgeexit export' wrote"),
    ],
)
def test_folders_that_are_no_bundles(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for load in (ee.load, ee.load_baseline, ee.load_manifest):
        with pytest.raises(ee.BundleError, match=re.escape(message)):
            load(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1', b"\xff\xfe\x00", b"[" * 10**5])
def test_broken_json(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(
        ee.BundleError, match=r"manifest\.json: not valid JSON \(.*\); export the bundle again$"
    ):
        ee.load(bundle)


def test_huge_manifest_is_not_read(bundle: Path) -> None:
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(MANIFEST_MAX_BYTES + 1)
    refused(bundle, f"larger than {MANIFEST_MAX_BYTES} bytes, not a manifest")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_closed_folder(bundle: Path) -> None:
    bundle.chmod(0)
    try:
        refused(bundle, "cannot be read (Permission denied)")
        bundle.chmod(0o311)  # its files may be read, where one knows their names
        with pytest.raises(ee.BundleError, match=r"bundle: cannot be read \(Permission denied\)$"):
            ee.load(bundle)
    finally:
        bundle.chmod(0o755)


def test_unreadable_manifest(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, **options: Any) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", fail)
    refused(bundle, "cannot be read (Permission denied)")


def nested(levels: int) -> str:
    return '{"a": ' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", "expected finite numbers, got NaN"),
        ("[1, -Infinity]", "expected finite numbers, got -Infinity"),
        ("1e999", "expected finite numbers, got 1e999"),
        (str(2**63), f"expected integers of 64 bits, got {2**63}"),
        (str(-(2**63) - 1), f"expected integers of 64 bits, got {-(2**63) - 1}"),
        *((nested(levels), "nested deeper than 32 levels") for levels in (32, 1000, 100_000)),
    ],
)
@pytest.mark.parametrize("field", ["data", "max_batch"])  # the first is kept and never read
def test_values_that_could_not_be_written_again(
    bundle: Path, field: str, value: str, reason: str
) -> None:
    put(bundle, field, "HERE")
    path = bundle / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"HERE"', value), encoding="utf-8")
    with pytest.raises(ee.BundleError) as told:
        ee.load(bundle)
    assert f"manifest.json: not valid JSON ({reason}" in str(told.value)
    assert str(told.value).endswith("export the bundle again")


@pytest.mark.parametrize(
    "value", [{"a": [[1.5, -(2**63)], None, "\ud800"]}, json.loads(nested(30)), {}]
)
def test_what_is_kept_and_not_read_is_written_again(bundle: Path, value: dict[str, Any]) -> None:
    for field in ("data", "verification"):
        put(bundle, field, value)
    manifest = ee.load_manifest(bundle)
    (bundle / "manifest.json").write_text(manifest_json(manifest), encoding="utf-8")
    assert ee.load_manifest(bundle) == manifest


@pytest.mark.parametrize(
    ("value", "version"),
    [
        *((value, "None") for value in ([], {}, 3, None, {"name": "model"})),
        ({"schema_version": "1"}, "'1'"),
        ({"schema_version": 0}, "0"),
    ],
)
def test_other_json_files(bundle: Path, value: Any, version: str) -> None:
    (bundle / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    refused(bundle, f"not the manifest of an edgeexit bundle (schema_version {version})")


def test_newer_schema(bundle: Path) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(schema_version=2, novelty=[1]))
    refused(
        bundle,
        "made by a newer edgeexit (schema 2, this reads 1); upgrade edgeexit-runtime",
    )


TENSOR = "stages.0.graph.outputs.0"
SIZES = "shape: expected at most 8 sizes and 2147483647 values, got"
GATE = "logits float32 (3,), confidence float32 (), label int32 (), exits bool ()"
ONE_EXIT = (
    "exits: expected one behind each stage, in the order of the stages; export the bundle again"
)
ALONE = "baseline: expected no stage and the images as its one input"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("colour", 1, "colour: no such field"),
        ("stages.1.graph.path", 1, "stages[1].graph.path: no such field"),
        ("exits.1.threshold", GONE, "exits[1].threshold: missing"),
        ("exits.1.threshold", "0", 'exits[1].threshold: expected a finite number, got "0"'),
        ("schema_version", True, "schema_version: expected an integer, got true"),
        ("max_batch", 0, "max_batch: expected 1 to 2147483647, got 0"),
        ("max_batch", 2**31, "max_batch: expected 1 to 2147483647, got 2147483648"),
        ("exits.0.threshold", 2.5, "exits[0]: threshold: expected 0 to 2.0, got 2.5"),
        (
            f"{TENSOR}.dtype",
            "float64",
            "stages[0].graph.outputs[0]: dtype: expected one of float32, float16, int32, int64, "
            "uint8, bool, got 'float64'",
        ),
        (
            f"{TENSOR}.shape",
            [0, 4],
            "stages[0].graph.outputs[0]: shape: expected sizes above 0, got (0, 4)",
        ),
        (
            f"{TENSOR}.shape",
            [2**40, 2**40],
            f"stages[0].graph.outputs[0]: {SIZES} (1099511627776, 1099511627776)",
        ),
        (f"{TENSOR}.shape", [1] * 9, f"stages[0].graph.outputs[0]: {SIZES} {(1,) * 9}"),
        (
            "stages.0.graph.size_bytes",
            2**40,
            "stages[0].graph: size_bytes: expected 0 to 2147483647, got 1099511627776",
        ),
        (
            "baseline.graph.size_bytes",
            -1,
            "baseline.graph: size_bytes: expected 0 to 2147483647, got -1",
        ),
        ("class_names", ["one"], "class_names: expected 3, got 1"),
        ("precision", "int4", "precision: expected one of fp32, fp16, int8, got 'int4'"),
        (
            "model.backbone",
            "\x1b[2J",
            "model: backbone, branches: expected printable text, got '\\x1b[2J'",
        ),
        (
            "model.branches",
            "3\n1",
            "model: backbone, branches: expected printable text, got '3\\n1'",
        ),
        (
            "versions",
            {"torch": "2\ud800"},
            "versions: expected printable text, got '2\\ud800'",
        ),
        ("versions", {"\u202e": "2"}, "versions: expected printable text, got '\\u202e'"),
        (
            "preprocessing.std",
            [1.0],
            "preprocessing: expected an input size and one mean and std for each of its 3 "
            "channels, got (3, 4, 4), 3 and 1",
        ),
        (
            "stages.1.name",
            "stage1",
            "stages and exits: expected different names, got stage1, stage1, stage3, exit1, "
            "exit2, final",
        ),
        (
            "exits.1.name",
            "exit1",
            "stages and exits: expected different names, got stage1, stage2, stage3, exit1, "
            "exit1, final",
        ),
        (
            "score",
            "\x1b[2J",
            "score: expected a plain name of up to 64 characters, got '\\x1b[2J'",
        ),
        # tensors that no stage before has written, or two stages
        *(
            (place, value, f"{name}: its input {tensor} is written by no stage before it")
            for place, value, name, tensor in (
                ("stages.1.graph.inputs.0.name", "other", "stage2", "other float32 (3, 4, 4)"),
                ("stages.1.graph.inputs.0.dtype", "int32", "stage2", "first int32 (3, 4, 4)"),
                ("exits.0.graph.inputs.0.shape", [3, 5], "exit1", "first float32 (3, 5)"),
                ("exits.0.graph.inputs.0.name", "third", "exit1", "third float32 (3, 4, 4)"),
                ("preprocessing.input_size", [3, 8, 8], "stage1", "images float32 (3, 4, 4)"),
            )
        ),
        *(
            (
                f"stages.{index}.graph.outputs.0.name",
                name,
                f"stage{index + 1}: its output {name} is the name of another tensor",
            )
            for index, name in enumerate(("images", "first", "threshold"))
        ),
        # exits that do not give what the gate reads
        *(
            (place, value, f"{name}: expected the outputs {GATE}")
            for place, value, name in (
                ("exits.1.graph.outputs.1.name", "score", "exit2"),
                ("exits.1.graph.outputs.2.dtype", "int64", "exit2"),
                ("exits.0.graph.outputs.0.shape", [5], "exit1"),
                ("exits.2.graph.outputs.3", GONE, "final"),
                ("baseline.graph.outputs.3.dtype", "float32", "baseline"),
            )
        ),
        ("baseline.stage", "stage1", ALONE),
        ("baseline.graph.inputs.0.name", "first", ALONE),
        ("baseline.graph.inputs.0.shape", [3, 8, 8], ALONE),
        ("baseline.graph.inputs", [], ALONE),
    ],
)
def test_values_that_do_not_fit(bundle: Path, place: str, value: Any, message: str) -> None:
    put(bundle, place, value)
    refused(bundle, f"{message}; export the bundle again")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param("exits.0.stage", "stage9", id="unknown stage"),
        pytest.param("exits.2.stage", None, id="behind no stage"),
        pytest.param("exits.0.stage", "stage2", id="two behind one stage"),
        pytest.param("exits.2", GONE, id="last stage without one"),
        pytest.param("exits.0", GONE, id="first stage without one"),
        pytest.param("exits", [], id="none"),
        pytest.param("stages", [], id="no stages"),
    ],
)
def test_there_is_one_exit_behind_each_stage(bundle: Path, place: str, value: Any) -> None:
    put(bundle, place, value)
    refused(bundle, ONE_EXIT)


def test_exits_come_in_the_order_of_the_stages(bundle: Path) -> None:
    edit_manifest(bundle, lambda manifest: manifest["exits"].reverse())
    refused(bundle, ONE_EXIT)


@pytest.mark.parametrize(
    "name", ["../stage1.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "", "a\\b.onnx", "a\n"]
)
@pytest.mark.parametrize("place", ["stages.0", "exits.1", "baseline"])
@pytest.mark.parametrize(("field", "what", "most"), [("", "name", 64), (".graph", "file", 128)])
def test_names_that_would_point_out_of_the_folder(
    bundle: Path, place: str, field: str, what: str, most: int, name: str
) -> None:
    """Of files, and of graphs, whose engines get files of this name."""
    put(bundle, f"{place}{field}.{what}", name)
    where = re.sub(r"\.(\d)", r"[\1]", place) + field
    refused(
        bundle,
        f"{where}: {what}: expected a plain name of up to {most} characters, got {name!r}; export "
        "the bundle again",
    )


def test_names_that_leave_no_room_for_endings(bundle: Path) -> None:
    put(bundle, "baseline.name", "a" * 64)
    ee.load_manifest(bundle)
    for place, most in (("baseline.name", 64), ("baseline.graph.file", 128)):
        put(bundle, place, "a" * (most + 1))
        with pytest.raises(ee.BundleError, match=f"expected a plain name of up to {most} char"):
            ee.load_manifest(bundle)
        put(bundle, place, "a")


def test_bundle_without_a_baseline(bundle: Path) -> None:
    put(bundle, "baseline", None)
    (bundle / "baseline.onnx").unlink()
    ee.load(bundle, threads=1).close()
    message = f"{bundle}: holds no plain backbone to compare with; export it with --baseline"
    with pytest.raises(ee.BundleError, match=f"^{re.escape(message)}$"):
        ee.load_baseline(bundle)


GUARANTEE = {
    "risk": "drop",
    "target": 0.02,
    "confidence": 0.95,
    "images": 180,
    "observed": -0.01,
    "data": "digits, val",
    "thresholds": {"exit1": 0.6, "exit2": 0.6},
}
EXPECTED = {
    "images": 6,
    "data": "digits, val",
    "thresholds": {"exit1": 0.6, "exit2": 0.6},
    "histograms": {
        "exit1": [0, 0, 0, 1, 2, 0, 0, 0, 0, 0],
        "exit2": [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        "final": [0, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    },
}


def test_a_guarantee_is_of_the_thresholds_that_it_names(bundle: Path) -> None:
    assert ee.load_manifest(bundle).guarantee is None
    put(bundle, "guarantee", GUARANTEE)
    manifest = ee.load_manifest(bundle)
    assert manifest.guarantee is not None
    assert (manifest.guarantee.risk, manifest.guarantee.target) == ("drop", 0.02)
    with ee.load(bundle) as session:
        assert session.guarantee == manifest.guarantee
        session.thresholds = {**manifest.thresholds, "exit1": 0.123}
        assert session.guarantee is None
        session.thresholds = manifest.thresholds
        assert session.guarantee == manifest.guarantee
    put(bundle, "exits.0.threshold", 0.123)  # by hand
    for load in (ee.load, ee.load_baseline):
        with load(bundle) as session:
            assert session.guarantee is None


def test_optional_entries_are_read_and_written_again(bundle: Path) -> None:
    assert ee.load_manifest(bundle).score == "softmax"
    given = {"guarantee": GUARANTEE, "expected": EXPECTED, "score": "margin"}
    edit_manifest(bundle, lambda manifest: manifest.update(given))
    manifest = ee.load_manifest(bundle)
    assert manifest.expected is not None
    assert manifest.expected.cells(manifest.exit_names).sum(axis=1).tolist() == [3, 1, 2]
    written = json.loads(manifest_json(manifest))
    assert written == json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"risk": "luck"}, ": risk: expected one of drop, error, disagreement, got 'luck'"),
        ({"target": 0}, ": target: expected above 0 and below 1, got 0.0"),
        ({"target": "low"}, '.target: expected a finite number, got "low"'),
        ({"confidence": 1.5}, ": confidence: expected above 0 and below 1, got 1.5"),
        ({"images": 0}, ": images: expected 1 or more, got 0"),
        ({"observed": 2}, ": observed: expected -1 to 1, got 2.0"),
        ({"data": "\x1b[2J"}, ": data: expected printable text, got '\\x1b[2J'"),
        ({"thresholds": {"exit1": -1}}, ": thresholds.exit1: expected 0 to 2.0, got -1.0"),
        (
            {"thresholds": {"exit7": 0.5}},
            ".thresholds: expected one for each of ['exit1', 'exit2'], got ['exit7']",
        ),
    ],
)
def test_damaged_guarantees(bundle: Path, damage: dict[str, Any], message: str) -> None:
    put(bundle, "guarantee", {**GUARANTEE, **damage})
    refused(bundle, f"guarantee{message}; export the bundle again")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"images": 7}, ": histograms: expected 7 images, 1 or more, in all, got 6"),
        ({"images": "many"}, '.images: expected an integer, got "many"'),
        ({"data": "\x1b[2J"}, ": data: expected printable text, got '\\x1b[2J'"),
        ({"thresholds": {"exit1": 9}}, ": thresholds.exit1: expected 0 to 2.0, got 9.0"),
        (
            {"histograms": {"exit1": [1, 2]}},
            ": histograms.exit1: expected 10 counts of 0 or more, got [1, 2]",
        ),
        (
            {"histograms": {"final": [-1, 7, *[0] * 8]}},
            f": histograms.final: expected 10 counts of 0 or more, got {[-1, 7, *[0] * 8]}",
        ),
        (
            {"histograms": {"final": [6, *[0] * 9]}},
            ".histograms: expected one for each of ['exit1', 'exit2', 'final'], got ['final']",
        ),
        (
            {"thresholds": {"exit7": 0.5}},
            ".thresholds: expected one for each of ['exit1', 'exit2'], got ['exit7']",
        ),
    ],
)
def test_damaged_expectations(bundle: Path, damage: dict[str, Any], message: str) -> None:
    put(bundle, "expected", {**EXPECTED, **damage})
    refused(bundle, f"expected{message}; export the bundle again")
