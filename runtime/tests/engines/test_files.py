"""Engines in a bundle's folder and manifest: kept, built again, replaced, and checked."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.backends.cuda.device import Gpu
from edgeexit_runtime.backends.tensorrt.engine_check import Here, check_engine
from edgeexit_runtime.bundle.engine_entry import EngineOptions
from edgeexit_runtime.bundle.folder import baseline_bundle, open_bundle
from edgeexit_runtime.engines.building import build_engines
from edgeexit_runtime.system.machine import this_platform
from support.hardware import ORIN

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]
RTX = "tensorrt-rtx"
PLACE = Here("tensorrt", "10.3.0", ORIN)


def test_engine_is_recorded_with_what_it_depends_on(bundle: Path, doubles: Any) -> None:
    doubles.install("10.3.0")
    build_engines(bundle, EngineOptions(opt_batch=2))
    manifest = ee.load_manifest(bundle)
    stage = manifest.stages[0].graph
    entry = manifest.engines[0]
    assert (entry.graph, entry.file, entry.onnx_sha256) == ("stage1", "stage1.engine", stage.sha256)
    assert (entry.library, entry.version) == ("tensorrt", "10.3.0")
    assert (entry.gpu, entry.compute_capability) == ("Orin", "8.7")
    assert (entry.precision, entry.max_batch, entry.options.opt_batch) == ("fp32", 4, 2)
    assert (bundle / "stage1.engine").read_bytes() == b"engine", "nothing of ours is in the file"
    assert entry.sha256 == hashlib.sha256(b"engine").hexdigest()
    assert entry.size_bytes == 6


def test_bundle_with_engines_is_loaded_as_before(
    bundle: Path, doubles: Any, images_leaving_at: Callable[[list[int]], Any]
) -> None:
    doubles.install()
    build_engines(bundle)
    with ee.load(bundle, threads=1) as session:
        assert session.infer(images_leaving_at([1, 0])).exits.tolist() == [1, 0]
    with ee.load_baseline(bundle, threads=1) as session:
        assert session.manifest.engines[0].graph == "baseline"


def test_manifest_of_before_engines_still_loads(bundle: Path, edit_manifest: Edit) -> None:
    edit_manifest(bundle, lambda manifest: manifest.pop("engines"))
    assert ee.load_manifest(bundle).engines == ()


def test_engines_that_fit_are_kept(bundle: Path, doubles: Any, files: Any) -> None:
    behaviour = doubles.install()
    assert build_engines(bundle).built == 7
    before = files(bundle)
    behaviour.calls.clear()
    report = build_engines(bundle)
    assert report.built == 0
    assert [engine.reason for engine in report.engines] == [None] * 7
    assert behaviour.calls == []
    assert files(bundle) == before


def test_rebuild_builds_all(bundle: Path, doubles: Any) -> None:
    doubles.install()
    build_engines(bundle)
    report = build_engines(bundle, rebuild=True)
    assert [engine.reason for engine in report.engines] == ["asked to"] * 7


def test_only_what_no_longer_fits_is_built_again(bundle: Path, doubles: Any) -> None:
    doubles.install()
    build_engines(bundle)
    (bundle / "exit1.engine").unlink()
    (bundle / "stage2.engine").write_bytes(b"engin?")
    (bundle / "final.engine").write_bytes(b"")
    reasons = {e.entry.graph: e.reason for e in build_engines(bundle).engines if e.reason}
    assert reasons == {
        "exit1": "missing from the bundle",
        "stage2": "changed since it was built (SHA-256 differs)",
        "final": "expected 6 bytes, got 0",
    }


@pytest.mark.parametrize(
    ("version", "options", "reason"),
    [
        ("10.7.0", {}, "built with TensorRT 10.3.0, this is TensorRT 10.7.0"),
        ("10.3.0", {"opt_batch": 4}, "built with opt batch 1, asked for 4"),
        ("10.3.0", {"tf32": True}, "built with tf32 False, asked for True"),
    ],
)
def test_reason_to_build_again(
    version: str, options: dict[str, Any], reason: str, bundle: Path, doubles: Any
) -> None:
    doubles.install("10.3.0")
    build_engines(bundle)
    doubles.install(version)
    report = build_engines(bundle, EngineOptions(**options))
    assert {engine.reason for engine in report.engines} == {reason}


def test_other_compute_capability_asked_for(bundle: Path, doubles: Any) -> None:
    doubles.install("1.7.1", rtx=True, gpu=None)
    build_engines(bundle)
    reason = "built for compute capabilities 8.6, 8.9, 12.0, asked for compute capability 8.6"
    report = build_engines(bundle, compute_capability="8.6")
    assert {engine.reason for engine in report.engines} == {reason}


def test_failed_build_leaves_the_old_bundle_whole(bundle: Path, doubles: Any, files: Any) -> None:
    doubles.install()
    build_engines(bundle)
    before = files(bundle)
    behaviour = doubles.install("10.7.0", engine=b"newer", cache_fits=False)
    finished = []

    def building(monitor: Any) -> None:
        finished.append(monitor)
        if len(finished) == 4:
            behaviour.engine = None

    behaviour.building = building
    with pytest.raises(ee.BackendError, match=r"^exit2: TensorRT 10\.7\.0 could not build it"):
        build_engines(bundle)
    after = files(bundle)
    after.pop("timing.cache"), before.pop("timing.cache")
    assert after == before


def test_full_disk_leaves_the_old_bundle_whole(
    bundle: Path, doubles: Any, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubles.install()
    before = files(bundle)
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.name.startswith(".exit1.") and path.suffix == ".engine":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fail)
        with pytest.raises(ee.BundleError, match=r"cannot be written \(No space left on device\)$"):
            build_engines(bundle)
    after = files(bundle)
    after.pop("timing.cache")
    assert after == before


def test_thresholds_tuned_during_a_build_are_not_lost(
    bundle: Path, doubles: Any, edit_manifest: Edit
) -> None:
    def progress(step: str, done: float) -> None:
        if step == "final: reading":
            edit_manifest(bundle, lambda manifest: manifest["exits"][0].update(threshold=0.9))

    doubles.install()
    build_engines(bundle, progress=progress)
    assert ee.load_manifest(bundle).thresholds["exit1"] == 0.9


def given_caches(behaviour: Any) -> list[bytes]:
    return [call[1] for call in behaviour.calls if call[0] == "set_timing_cache"]


def test_timing_cache_goes_from_build_to_build(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install()
    build_engines(bundle)
    assert given_caches(behaviour) == [b"+" * count for count in range(7)]
    assert (bundle / "timing.cache").read_bytes() == b"+" * 7


@pytest.mark.parametrize(
    ("size_bytes", "given"),
    [(5, [bytes(5), b""]), (2**40, [b"", b"+"])],
    ids=["of another GPU", "beyond all bounds"],
)
def test_timing_cache_that_is_of_no_use_is_begun_anew(
    bundle: Path, doubles: Any, size_bytes: int, given: list[bytes]
) -> None:
    with (bundle / "timing.cache").open("wb") as file:
        file.truncate(size_bytes)  # takes no room on the disk
    behaviour = doubles.install(cache_fits=size_bytes > 5)
    build_engines(bundle)
    assert given_caches(behaviour)[:2] == given


def test_changed_onnx_file_is_not_built(bundle: Path, doubles: Any) -> None:
    doubles.install()
    path = bundle / "stage1.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ee.BundleError, match=r"stage1\.onnx: changed since it was exported"):
        build_engines(bundle)


AT_RTX = {"library": RTX, "version": "1.7.1"}
OF_RTX = {**AT_RTX, "gpu": None, "compute_capability": None, "platform": None}
ARM, X86 = {"platform": "linux-aarch64"}, {"platform": "linux-x86_64"}
JETSON = {**ARM, "l4t": "36.4.3"}
COMPATIBLE = {"options": {"version_compatible": True}}
SAME, AMPERE = (
    {"options": {"hardware_compatibility": level}} for level in ("same-capability", "ampere+")
)


@pytest.fixture
def checked(bundle: Path, doubles: Any, edit_manifest: Edit) -> Callable[..., Any]:
    """``checked(change, place)`` checks stage1's engine, whose record is changed, at a place."""
    doubles.install("10.3.0")
    build_engines(bundle)
    unrecorded = dict.fromkeys(("multiprocessors", "memory_gib", "platform", "l4t"))

    def check(change: dict[str, Any], place: dict[str, Any]) -> Any:
        edit_manifest(bundle, lambda manifest: manifest["engines"][0].update(unrecorded | change))
        return check_engine(open_bundle(bundle), "stage1", dataclasses.replace(PLACE, **place))

    return check


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ({}, {"version": "10.7.0"}, "built with TensorRT 10.3.0, this is TensorRT 10.7.0"),
        ({}, AT_RTX, "built with TensorRT 10.3.0, this is TensorRT-RTX 1.7.1"),
        ({}, {"gpu": Gpu("Thor", "11.0")}, "built for compute capability 8.7, this Thor has 11.0"),
        ({}, {"gpu": Gpu("Orin NX", "8.7")}, "built on Orin, this is Orin NX"),
        ({"onnx_sha256": "0" * 64}, {}, "stage1.onnx was changed after the engine was built"),
        ({"precision": "fp16"}, {}, "built in fp16, the bundle is fp32"),
        ({"max_batch": 2}, {}, "built for batches up to 2, the bundle has 4"),
        (COMPATIBLE, {"version": "10.2.0"}, "built with TensorRT 10.3.0, this is TensorRT 10.2.0"),
        (
            OF_RTX,
            {**AT_RTX, "gpu": Gpu("RTX 2080", "7.5")},
            "built for compute capability 8.6, 8.9, 12.0, this RTX 2080 has 7.5",
        ),
        (
            OF_RTX,
            {**AT_RTX, "gpu": Gpu("NVIDIA H200", "9.0")},
            "built for compute capability 8.6, 8.9, 12.0, this NVIDIA H200 has 9.0",
        ),
        (
            {"multiprocessors": 16},
            {"gpu": Gpu("Orin", "8.7", 8)},
            "built on Orin with 16 multiprocessors, this one has 8",
        ),
        (
            {"multiprocessors": 8, "memory_gib": 8},
            {"gpu": Gpu("Orin", "8.7", 8, 4)},
            "built on Orin with 8 GiB of memory, this one has 4",
        ),
        (ARM, X86, "built on linux-aarch64, this is linux-x86_64"),
        (
            {**ARM, **AMPERE},
            {**X86, "gpu": Gpu("RTX 3090", "8.6")},
            "built on linux-aarch64, this is linux-x86_64",
        ),
        ({**ARM, **AMPERE}, JETSON, "hardware compatible engines are not for a Jetson"),
        (
            {**ARM, "l4t": "35.6.0"},
            JETSON,
            "built on a Jetson with L4T 35.6.0, this is a Jetson with L4T 36.4.3",
        ),
        (ARM, JETSON, "built on a non-Jetson machine, this is a Jetson with L4T 36.4.3"),
    ],
)
def test_engine_that_does_not_fit(
    change: dict[str, Any],
    place: dict[str, Any],
    reason: str,
    checked: Callable[..., Any],
    bundle: Path,
) -> None:
    how = f"edgeexit build --engine-dir {bundle}/, or python -m edgeexit_runtime build {bundle}/"
    message = f"{bundle / 'stage1.engine'}: {reason}; run: {how}"
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
        checked(change, place)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, {}),
        ({}, {"gpu": None}),
        ({}, {"gpu": Gpu("Orin", "8.7", 8, 8), **ARM}),  # not recorded
        (COMPATIBLE, {"version": "10.13.2"}),
        (COMPATIBLE, {"version": "11.0.0"}),
        (SAME, {"gpu": Gpu("Orin NX", "8.7")}),
        ({"multiprocessors": 16, **SAME}, {"gpu": Gpu("Orin", "8.7", 8)}),
        (AMPERE, {"gpu": Gpu("Thor", "11.0")}),
        ({"multiprocessors": 8, "memory_gib": 8}, {"gpu": Gpu("Orin", "8.7", 8, 8)}),
        ({**ARM, "l4t": "36.4.0"}, JETSON),
        (OF_RTX, {**AT_RTX, "gpu": Gpu("RTX 5090", "12.0"), "platform": "win32-x86_64"}),
    ],
)
def test_engine_that_fits(
    change: dict[str, Any], place: dict[str, Any], checked: Callable[..., Any], bundle: Path
) -> None:
    assert open_bundle(bundle).read(checked(change, place)) == b"engine"


def test_engine_of_the_plain_backbone(bundle: Path, doubles: Any) -> None:
    doubles.install("10.3.0")
    build_engines(bundle)
    backbone = baseline_bundle(open_bundle(bundle))
    assert check_engine(backbone, "baseline", PLACE).file == "baseline.engine"


def test_home_of_an_engine_is_recorded(bundle: Path, doubles: Any) -> None:
    doubles.install("10.3.0", gpu=Gpu("Orin", "8.7", 16, 64))
    build_engines(bundle)
    entry = ee.load_manifest(bundle).engines[0]
    assert (entry.multiprocessors, entry.memory_gib) == (16, 64)
    assert (entry.platform, entry.l4t) == (this_platform(), None)
    doubles.install("1.7.1", rtx=True, gpu=Gpu("RTX 3090", "8.6", 82, 32))
    build_engines(bundle)
    entry = ee.load_manifest(bundle).engines[0]
    assert (entry.gpu, entry.multiprocessors, entry.memory_gib, entry.platform) == 4 * (None,)


def test_engine_that_was_not_built_in_a_folder_with_a_space(bundle: Path, tmp_path: Path) -> None:
    spaced = bundle.rename(tmp_path / "my bundle")
    with pytest.raises(ee.BackendError, match="no engine was built from exit1; run: ") as caught:
        check_engine(open_bundle(spaced), "exit1", PLACE)
    command, runtime = str(caught.value).partition("; run: ")[2].split(", or ")
    assert shlex.split(command) == ["edgeexit", "build", "--engine-dir", f"{spaced}/"]
    assert shlex.split(runtime)[-1] == f"{spaced}/"


def test_changed_engine_file(bundle: Path, doubles: Any) -> None:
    doubles.install("10.3.0")
    build_engines(bundle)
    (bundle / "exit1.engine").write_bytes(b"engin?")
    opened = open_bundle(bundle)
    entry = check_engine(opened, "exit1", PLACE)
    message = (
        r"exit1\.engine: changed since it was built \(SHA-256 differs\); build or copy it again$"
    )
    with pytest.raises(ee.BundleError, match=message):
        opened.read(entry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph": "stage9"}, "engines: expected graphs of this bundle, got 'stage9'"),
        ({"graph": "exit1"}, "engines: expected one for each graph, got exit1, exit1, stage2"),
        ({"file": "exit1.engine"}, "engines: expected one for each graph, got stage1, exit1"),
        (
            {"file": "../stage1.engine"},
            "file: expected a plain name of up to 128 characters, got '../stage1.engine'",
        ),
        ({"file": "stage1.onnx"}, "file: expected a name that ends with .engine"),
        ({"gpu": "\x1b[1m"}, "gpu and compute capability: expected printable text, got '\\x1b[1m'"),
        ({"version": "1\n0"}, "library, version and precision: expected printable text"),
        ({"layers": {"\ud800": 1.0}}, "layers: expected printable text, got '\\ud800'"),
        ({"l4t": "36\x1b[2J"}, "platform and l4t: expected printable text, got '36\\x1b[2J'"),
        ({"floating": ["conv\n1"]}, "floating: expected printable text, got 'conv\\n1'"),
        ({"size_bytes": 2**31}, "size_bytes: expected 0 to 2147483647, got 2147483648"),
        ({"layers_from": "trust"}, "layers_from: expected one of inspector, network, got 'trust'"),
        ({"options": {"opt_batch": 0}}, "opt batch: expected 1 or more, got 0"),
    ],
)
def test_engines_of_a_manifest_are_not_believed(
    change: dict[str, Any], message: str, bundle: Path, doubles: Any, edit_manifest: Edit
) -> None:
    doubles.install()
    build_engines(bundle)
    edit_manifest(bundle, lambda manifest: manifest["engines"][0].update(change))
    with pytest.raises(ee.BundleError, match=re.escape(message)):
        ee.load_manifest(bundle)


def test_command_line(bundle: Path, doubles: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from edgeexit_runtime.__main__ import main

    doubles.install("10.3.0")
    assert main(["build", str(bundle), "--opt-batch", "2", "--tf32"]) == 0
    out, err = capsys.readouterr()
    first, *_, last = out.splitlines()
    assert re.fullmatch(
        r"stage1\.engine: 0\.00 MB, layers 100% fp32 \(\d+\.\d s, not built yet\)", first
    )
    assert last == f"{bundle}: 7 engines built, 0 kept, TensorRT 10.3.0"
    assert err.splitlines()[0] == "  0%  stage1"
    assert err.splitlines()[-1] == " 86%  baseline"
    options = ee.load_manifest(bundle).engines[0].options
    assert options == EngineOptions(opt_batch=2, tf32=True)
    assert main(["build", str(bundle), "--opt-batch", "2", "--tf32"]) == 0
    assert "stage1.engine: 0.00 MB, layers 100% fp32 (kept, it fits)" in capsys.readouterr().out
    assert main(["build", str(bundle), "--opt-batch", "9"]) == 1
    assert capsys.readouterr().err.startswith("Error: opt batch: expected 1 to 4")
    for value in ("0", "many"):
        with pytest.raises(SystemExit, match="2"):
            main(["build", str(bundle), "--workspace", value])
        assert f"--workspace: expected 1 or more, got {value}" in capsys.readouterr().err
    assert main(["build", str(bundle / "no")]) == 1
    assert json.loads((bundle / "manifest.json").read_text())["engines"]


def test_command_line_interrupted(
    bundle: Path, doubles: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeexit_runtime.__main__ import main

    doubles.install(engine=KeyboardInterrupt())
    assert main(["build", str(bundle)]) == 130
    assert capsys.readouterr().err.endswith(
        "Error: interrupted; engines and manifest are as they were\n"
    )
