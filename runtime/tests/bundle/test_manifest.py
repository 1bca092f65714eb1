"""Nothing in a manifest is believed: what does not fit is one line that names the place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.manifest import MANIFEST_MAX_BYTES, manifest_json

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


def refused(folder: Path, message: str) -> None:
    """``message`` is all that comes of loading the bundle."""
    path = folder / "manifest.json"
    with pytest.raises(ee.BundleError, match=f"^{re.escape(f'{path}: {message}')}$"):
        ee.load(folder)


def test_what_was_written_is_read(network: Any, write_bundle: Callable[[Any], Path]) -> None:
    folder = write_bundle(network)
    manifest = ee.load_manifest(folder)
    assert manifest_json(manifest) == (folder / "manifest.json").read_text(encoding="utf-8")
    assert ee.load_manifest(str(folder)) == manifest
    assert manifest.exit_names == network.exit_names


def test_graphs_come_in_the_order_of_execution(bundle: Path) -> None:
    manifest = ee.load_manifest(bundle)
    names = [name for name, _ in manifest.graphs()]
    assert names == ["stage1", "exit1", "stage2", "exit2", "stage3", "final"]
    assert manifest.thresholds == {"exit1": 0.6, "exit2": 0.6}


def test_macs_of_an_exit_are_the_backbones_and_its_own(bundle: Path) -> None:
    assert [exit_.macs for exit_ in ee.load_manifest(bundle).exits] == [1010, 2010, 3010]


def test_exits_that_are_switched_off_are_not_paid(bundle: Path, edit_manifest: Edit) -> None:
    assert ee.load_manifest(bundle).paid_macs == {"exit1": 1010, "exit2": 2020, "final": 3030}
    edit_manifest(bundle, lambda manifest: manifest["exits"][0].update(threshold=ee.NEVER))
    assert ee.load_manifest(bundle).paid_macs == {"exit1": 1000, "exit2": 2010, "final": 3020}


def test_missing_folder(tmp_path: Path) -> None:
    missing = "no such file; expected the folder that 'edgeexit export' wrote"
    refused(tmp_path / "nowhere", missing)
    refused(tmp_path, missing)


def test_a_file_in_place_of_the_folder(bundle: Path) -> None:
    file = bundle / "stage1.onnx"
    with pytest.raises(ee.BundleError) as caught:
        ee.load(file)
    assert f"{file}: is a file; expected the folder that 'edgeexit export'" in str(caught.value)


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a" * 300, "cannot be read (File name too long)"),
        ("a/" * 3000, "cannot be read (File name too long)"),
        ("loop", "cannot be read (Too many levels of symbolic links)"),
        ("a\0b", "no such file; expected the folder that 'edgeexit export' wrote"),
        ("\ud800", "no such file; expected the folder that 'edgeexit export' wrote"),
    ],
)
def test_folders_that_cannot_be(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for load in (ee.load, ee.load_baseline, ee.load_manifest):
        with pytest.raises(ee.BundleError) as told:
            load(tmp_path / name)
        assert str(told.value).endswith(message)


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
@pytest.mark.parametrize("field", ["data", "verification", "versions", "max_batch"])
def test_values_that_could_not_be_written_again(
    bundle: Path, edit_manifest: Edit, field: str, value: str, reason: str
) -> None:
    """Some fields are kept and never read."""
    edit_manifest(bundle, put("HERE", field))
    path = bundle / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"HERE"', value), encoding="utf-8")
    with pytest.raises(ee.BundleError) as told:
        ee.load(bundle)
    assert f"manifest.json: not valid JSON ({reason}" in str(told.value)
    assert str(told.value).endswith("export the bundle again")


@pytest.mark.parametrize(
    "value", [{"a": [[1.5, -(2**63)], None, "\ud800"]}, json.loads(nested(30)), {}]
)
def test_what_is_kept_and_not_read_is_written_again(
    bundle: Path, edit_manifest: Edit, value: dict[str, Any]
) -> None:
    for field in ("data", "verification"):
        edit_manifest(bundle, put(value, field))
    manifest = ee.load_manifest(bundle)
    (bundle / "manifest.json").write_text(manifest_json(manifest), encoding="utf-8")
    assert ee.load_manifest(bundle) == manifest


@pytest.mark.parametrize("value", [[], {}, 3, None, {"schema_version": "1"}, {"name": "model"}])
def test_other_json_files(bundle: Path, value: Any) -> None:
    (bundle / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    refused(bundle, "not the manifest of an edgeexit bundle (no schema_version)")


def test_schema_before_the_first(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(schema_version=0))
    refused(bundle, "not the manifest of an edgeexit bundle (schema 0)")


def test_newer_schema(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(schema_version=2, novelty=[1]))
    refused(
        bundle,
        "made by a newer edgeexit (schema 2, this reads 1); upgrade edgeexit-runtime",
    )


def put(value: Any, *place: Any) -> Callable[[dict[str, Any]], object]:
    """Return what sets the value at a place such as ``"exits", 0, "threshold"``."""

    def change(manifest: dict[str, Any]) -> None:
        target: Any = manifest
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value

    return change


def drop(*place: Any) -> Callable[[dict[str, Any]], object]:
    """Return what takes away what is at a place."""

    def change(manifest: dict[str, Any]) -> None:
        target: Any = manifest
        for key in place[:-1]:
            target = target[key]
        del target[place[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(1, "colour"), "colour: no such field"),
        (put(1, "stages", 1, "graph", "path"), "stages[1].graph.path: no such field"),
        (drop("exits"), "exits: missing"),
        (drop("exits", 1, "threshold"), "exits[1].threshold: missing"),
        (
            put("high", "exits", 1, "threshold"),
            'exits[1].threshold: expected a finite number, got "high"',
        ),
        (put(True, "schema_version"), "schema_version: expected an integer, got true"),
        (put("4", "max_batch"), 'max_batch: expected an integer, got "4"'),
        (put(0, "max_batch"), "max_batch: expected 1 or more, got 0"),
        (put({}, "stages"), "stages: expected a list, got {}"),
        (put(2.5, "exits", 0, "threshold"), "exits[0]: threshold: expected 0 to 2.0, got 2.5"),
        (
            put("float64", "stages", 0, "graph", "outputs", 0, "dtype"),
            "stages[0].graph.outputs[0]: dtype: expected one of float32, float16, int32, int64, "
            "uint8, bool, got 'float64'",
        ),
        (
            put([0, 4], "stages", 0, "graph", "outputs", 0, "shape"),
            "stages[0].graph.outputs[0]: shape: expected sizes above 0, got (0, 4)",
        ),
        (
            put([2**40, 2**40], "stages", 0, "graph", "outputs", 0, "shape"),
            "stages[0].graph.outputs[0]: shape: expected at most 8 sizes and 2147483647 values, "
            "got (1099511627776, 1099511627776)",
        ),
        (
            put([1] * 9, "stages", 0, "graph", "outputs", 0, "shape"),
            "stages[0].graph.outputs[0]: shape: expected at most 8 sizes and 2147483647 values, "
            "got (1, 1, 1, 1, 1, 1, 1, 1, 1)",
        ),
        (
            put(2**40, "stages", 0, "graph", "size_bytes"),
            "stages[0].graph: size_bytes: expected 0 to 2147483647, got 1099511627776",
        ),
        (
            put(-1, "baseline", "graph", "size_bytes"),
            "baseline.graph: size_bytes: expected 0 to 2147483647, got -1",
        ),
        (put(["one"], "class_names"), "class_names: expected 3, got 1"),
        (
            put("int4", "precision"),
            "precision: expected one of fp32, fp16, int8, got 'int4'",
        ),
        (
            put("\x1b[2J", "model", "backbone"),
            "model: backbone: expected printable text, got '\\x1b[2J'",
        ),
        (
            put("3\n1", "model", "branches"),
            "model: branches: expected printable text, got '3\\n1'",
        ),
        (
            put({"torch": "2\ud800"}, "versions"),
            "versions: expected printable text, got '2\\ud800'",
        ),
        (
            put({"\u202e": "2"}, "versions"),
            "versions: expected printable text, got '\\u202e'",
        ),
        (
            put([1.0], "preprocessing", "std"),
            "preprocessing: expected an input size and one mean and std for each of its 3 "
            "channels, got (3, 4, 4), 3 and 1",
        ),
        (
            put("stage1", "stages", 1, "name"),
            "stages and exits: expected different names, got stage1, stage1, stage3, exit1, "
            "exit2, final",
        ),
        (
            put("exit1", "exits", 1, "name"),
            "stages and exits: expected different names, got stage1, stage2, stage3, exit1, "
            "exit1, final",
        ),
    ],
)
def test_fields_that_do_not_fit(
    bundle: Path,
    edit_manifest: Edit,
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    edit_manifest(bundle, change)
    refused(bundle, f"{message}; export the bundle again")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(put("stage9", "exits", 0, "stage"), id="unknown stage"),
        pytest.param(put(None, "exits", 2, "stage"), id="behind no stage"),
        pytest.param(put("stage2", "exits", 0, "stage"), id="two behind one stage"),
        pytest.param(drop("exits", 2), id="last stage without one"),
        pytest.param(drop("exits", 0), id="first stage without one"),
        pytest.param(put([], "exits"), id="none"),
        pytest.param(put([], "stages"), id="no stages"),
        pytest.param(lambda manifest: manifest["exits"].reverse(), id="in another order"),
        pytest.param(
            lambda manifest: manifest["exits"].insert(0, manifest["exits"].pop(1)),
            id="first two in another order",
        ),
    ],
)
def test_there_is_one_exit_behind_each_stage(
    bundle: Path, edit_manifest: Edit, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(bundle, change)
    refused(
        bundle,
        "exits: expected one behind each stage, in the order of the stages; export the bundle "
        "again",
    )


@pytest.mark.parametrize(
    "name", ["../stage1.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "", "a\\b.onnx", "a\n"]
)
@pytest.mark.parametrize("field", [("name",), ("graph", "file")])
@pytest.mark.parametrize("place", [("stages", 0), ("exits", 1), ("baseline",)])
def test_names_that_would_point_out_of_the_folder(
    bundle: Path, edit_manifest: Edit, place: tuple[Any, ...], field: tuple[str, ...], name: str
) -> None:
    """Of files, and of graphs, whose engines get files of this name."""
    edit_manifest(bundle, put(name, *place, *field))
    where = "".join(f"[{key}]" if isinstance(key, int) else key for key in place)
    where, what, most = (where, "name", 64) if len(field) == 1 else (f"{where}.graph", "file", 128)
    refused(
        bundle,
        f"{where}: {what}: expected a plain name of up to {most} characters, got {name!r}; export "
        "the bundle again",
    )


def test_names_that_leave_no_room_for_endings(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, put("a" * 64, "baseline", "name"))
    ee.load_manifest(bundle)
    for place, name in ((("name",), "a" * 65), (("graph", "file"), "a" * 129)):
        edit_manifest(bundle, put(name, "baseline", *place))
        with pytest.raises(ee.BundleError, match=r"expected a plain name of up to (64|128) char"):
            ee.load_manifest(bundle)
        edit_manifest(bundle, put("a", "baseline", *place))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            put("other", "stages", 1, "graph", "inputs", 0, "name"),
            "stage2: its input other float32 (3, 4, 4) is written by no stage before it",
        ),
        (
            put("float16", "stages", 1, "graph", "inputs", 0, "dtype"),
            "stage2: its input first float16 (3, 4, 4) is written by no stage before it",
        ),
        (
            put([3, 4, 5], "exits", 0, "graph", "inputs", 0, "shape"),
            "exit1: its input first float32 (3, 4, 5) is written by no stage before it",
        ),
        (
            put("third", "exits", 0, "graph", "inputs", 0, "name"),  # written, but later
            "exit1: its input third float32 (3, 4, 4) is written by no stage before it",
        ),
        (
            put([3, 8, 8], "preprocessing", "input_size"),
            "stage1: its input images float32 (3, 4, 4) is written by no stage before it",
        ),
        (
            put("first", "stages", 1, "graph", "outputs", 0, "name"),
            "stage2: its output first is the name of another tensor",
        ),
        (
            put("images", "stages", 0, "graph", "outputs", 0, "name"),
            "stage1: its output images is the name of another tensor",
        ),
        (
            put("threshold", "stages", 2, "graph", "outputs", 0, "name"),
            "stage3: its output threshold is the name of another tensor",
        ),
    ],
)
def test_tensors_that_do_not_come_from_a_stage_before(
    bundle: Path,
    edit_manifest: Edit,
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    edit_manifest(bundle, change)
    refused(bundle, f"{message}; export the bundle again")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("exit2", put("score", "exits", 1, "graph", "outputs", 1, "name")),
        ("exit2", put("int64", "exits", 1, "graph", "outputs", 2, "dtype")),
        ("exit1", put([5], "exits", 0, "graph", "outputs", 0, "shape")),
        ("final", drop("exits", 2, "graph", "outputs", 3)),
        ("baseline", put("float32", "baseline", "graph", "outputs", 3, "dtype")),
    ],
)
def test_exits_that_do_not_give_what_the_gate_reads(
    bundle: Path, edit_manifest: Edit, name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(bundle, change)
    refused(
        bundle,
        f"{name}: expected the outputs logits float32 (3,), confidence float32 (), "
        "label int32 (), exits bool (); export the bundle again",
    )


@pytest.mark.parametrize(
    "change",
    [
        put("stage1", "baseline", "stage"),
        put("first", "baseline", "graph", "inputs", 0, "name"),
        put([3, 8, 8], "baseline", "graph", "inputs", 0, "shape"),
        put([], "baseline", "graph", "inputs"),
    ],
)
def test_baseline_that_does_not_read_the_images_alone(
    bundle: Path, edit_manifest: Edit, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(bundle, change)
    refused(
        bundle,
        "baseline: expected no stage and the images as its one input; export the bundle again",
    )


def test_bundle_without_a_baseline(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, put(None, "baseline"))
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
    "thresholds": {"exit1": 0.5, "exit2": 0.75},
}


def test_a_guarantee_is_of_the_thresholds_that_it_names(bundle: Path, edit_manifest: Edit) -> None:
    assert ee.load_manifest(bundle).guarantee is None
    held = {**GUARANTEE, "thresholds": ee.load_manifest(bundle).thresholds}
    edit_manifest(bundle, put(held, "guarantee"))
    manifest = ee.load_manifest(bundle)
    assert manifest.guarantee is not None
    assert (manifest.guarantee.risk, manifest.guarantee.target) == ("drop", 0.02)
    written = json.loads(manifest_json(manifest))
    assert written == json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    with ee.load(bundle) as session:
        assert session.guarantee == manifest.guarantee
        first, *others = manifest.thresholds
        session.thresholds = {first: 0.123, **{name: manifest.thresholds[name] for name in others}}
        assert session.guarantee is None
        session.thresholds = manifest.thresholds
        assert session.guarantee == manifest.guarantee
    edit_manifest(bundle, put(0.123, "exits", 0, "threshold"))  # by hand
    with ee.load(bundle) as session:
        assert session.guarantee is None
    with ee.load_baseline(bundle) as session:
        assert session.guarantee is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"risk": "luck"}, "risk: expected one of drop, error, disagreement, got 'luck'"),
        ({"target": 0}, "target: expected above 0 and below 1, got 0.0"),
        ({"confidence": 1.5}, "confidence: expected above 0 and below 1, got 1.5"),
        ({"images": 0}, "images: expected 1 or more, got 0"),
        ({"observed": 2}, "observed: expected -1 to 1, got 2.0"),
        ({"data": "\x1b[2J"}, "data: expected printable text, got '\\x1b[2J'"),
        ({"thresholds": {"exit1": -1}}, "thresholds: expected 0 to 2.0, got {'exit1': -1.0}"),
    ],
)
def test_damaged_guarantees(
    bundle: Path, edit_manifest: Edit, damage: dict[str, Any], message: str
) -> None:
    edit_manifest(bundle, put({**GUARANTEE, **damage}, "guarantee"))
    refused(bundle, f"guarantee: {message}; export the bundle again")


def test_a_guarantee_of_other_exits(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, put({**GUARANTEE, "thresholds": {"exit7": 0.5}}, "guarantee"))
    refused(
        bundle,
        "guarantee.thresholds: expected one for each of ['exit1', 'exit2'], got ['exit7']; export "
        "the bundle again",
    )
    edit_manifest(bundle, put({**GUARANTEE, "target": "low"}, "guarantee"))
    refused(
        bundle,
        'guarantee.target: expected a finite number, got "low"; export the bundle again',
    )


def test_scores_have_plain_names(bundle: Path, edit_manifest: Edit) -> None:
    assert ee.load_manifest(bundle).score == "softmax"
    edit_manifest(bundle, put("margin", "score"))
    assert ee.load_manifest(bundle).score == "margin"
    edit_manifest(bundle, put("\x1b[2J", "score"))
    refused(
        bundle,
        "score: expected a plain name of up to 64 characters, got '\\x1b[2J'; export the bundle "
        "again",
    )


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


def test_what_is_expected_is_read_and_written_again(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, put(EXPECTED, "expected"))
    manifest = ee.load_manifest(bundle)
    assert manifest.expected is not None
    assert manifest.expected.cells(manifest.exit_names).sum(axis=1).tolist() == [3, 1, 2]
    written = json.loads(manifest_json(manifest))
    assert written == json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"images": 7}, ": histograms: expected 7 images, 1 or more, in all, got 6"),
        ({"images": "many"}, '.images: expected an integer, got "many"'),
        ({"data": "\x1b[2J"}, ": data: expected printable text, got '\\x1b[2J'"),
        ({"thresholds": {"exit1": 9}}, ": thresholds: expected 0 to 2.0, got {'exit1': 9.0}"),
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
def test_damaged_expectations(
    bundle: Path, edit_manifest: Edit, damage: dict[str, Any], message: str
) -> None:
    edit_manifest(bundle, put({**EXPECTED, **damage}, "expected"))
    refused(bundle, f"expected{message}; export the bundle again")
