"""The machine's peak: which kernel counts, and where none can be run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edgeexit_runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from edgeexit_runtime.backends.onnxruntime.bare import OnnxRuntimeGraphs
from support.messages import missing

from edgeexit.bench.results.roofline import Bandwidth, Peaks
from edgeexit.bench.roofline.peaks import PeakRuns, peak_runs, uncached_bytes
from edgeexit.errors import BackendError

CPU = "CPUExecutionProvider"
MIB = 2**20


@pytest.fixture
def peaks() -> Peaks:
    bandwidths = (Bandwidth(MIB, 100.0), Bandwidth(8 * MIB, 50.0), Bandwidth(128 * MIB, 10.0))
    return Peaks(CPU, "fp32", 1e9, 256, bandwidths)


@pytest.mark.parametrize(
    ("working_set", "rate"),
    [(0, 100), (MIB, 100), (MIB + 1, 50), (9 * MIB, 10), (1000 * MIB, 10)],
)
def test_the_rate_is_that_of_the_smallest_working_set_that_holds_it(
    peaks: Peaks, working_set: int, rate: float
) -> None:
    assert peaks.bytes_per_s(working_set) == rate


@pytest.mark.parametrize(
    "bandwidths", [(), (Bandwidth(1, 0.0),), (Bandwidth(2, 1.0), Bandwidth(1, 1.0))]
)
def test_peaks_that_make_no_sense(bandwidths: tuple[Bandwidth, ...]) -> None:
    with pytest.raises(ValueError, match="expected rates above 0 by ascending working sets"):
        Peaks(CPU, "fp32", 1.0, 256, bandwidths)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_fastest_product_and_every_stream_count(precision: str) -> None:
    runs = PeakRuns(OnnxRuntimeGraphs(CPU, 1), precision)
    assert len(runs.call()) == 5  # two products and three bandwidths, of conftest.py's sizes
    assert min(runs.call()) > 0
    calls = [(1.0, 4.0, 2.0, 4.0, 8.0)] * 3
    found = runs.peaks([*calls, *[(900.0,) * 5] * 3])  # calls that were held up do not count
    assert found == runs.peaks(calls)
    # 16^3 MACs in 1 ms are less than 32^3 in 4 ms
    assert (found.macs_per_s, found.matrix_size) == (32**3 / 4e-3, 32)
    assert (found.provider, found.precision) == (CPU, precision)
    elements, more, vector = found.bandwidths
    # 8 passes that read and write half of the working set
    assert elements == Bandwidth(2**10, 8 * 2**10 / 2e-3)
    assert more == Bandwidth(2**12, 8 * 2**12 / 4e-3)
    assert vector.working_set_bytes == 2**16
    side = 45  # 8 matrices within 64 KiB
    assert vector.bytes_per_s == pytest.approx(8 * 4 * (side * side + 2 * side) / 8e-3)


def cache(folder: Path, index: int, size: str) -> None:
    (folder / f"index{index}").mkdir()
    (folder / f"index{index}" / "size").write_text(size)


def test_the_largest_working_set_is_beyond_every_cache(tmp_path: Path) -> None:
    assert uncached_bytes(tmp_path) == 128 * MIB  # nothing is told
    for index, size in enumerate(("32K\n", "1M\n", "96M\n", "?")):
        cache(tmp_path, index, size)
    assert uncached_bytes(tmp_path) == 4 * 96 * MIB
    cache(tmp_path, 4, "2G")
    assert uncached_bytes(tmp_path) == 1024 * MIB


def test_an_engine_that_opens_no_onnx_files_is_measured_by_one_that_does_or_not_at_all() -> None:
    runner = SimpleNamespace(bare_graphs=OnnxRuntimeBackend().cuda_graphs)
    session: Any = SimpleNamespace(device="cuda:0 Orin", runner=runner)
    said = peak_runs(session, "fp16")
    assert isinstance(said, str)
    assert said.startswith("the peak of cuda:0 Orin is not measured: ")
    assert "CUDAExecutionProvider is not in this onnxruntime" in said


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(MemoryError(), "out of memory"), (BackendError("peak.onnx: no room"), "peak.onnx: no room")],
)
def test_a_device_without_room_for_the_graphs_is_not_measured(
    raised: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise raised

    graphs = SimpleNamespace(device="gpu", bind=fail)
    session: Any = SimpleNamespace(runner=SimpleNamespace(bare_graphs=lambda: graphs))
    said = peak_runs(session, "fp32")
    assert not missing(said, "not measured", "graphs cannot be loaded", reason)
