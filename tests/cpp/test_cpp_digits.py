"""A bundle of each precision gives the same answers in C++ as in Python on all test digits."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.cpp_program import Program, engines_here
from support.digits_bundle import digits_bundle, digits_frames

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "cpu-7bit"])
def test_labels_exits_and_confidences(program: Program, tmp_path: Path, precision: str) -> None:
    folder = digits_bundle(tmp_path / "bundle", precision)
    manifest = ee.load_manifest(folder)
    crossing = {info.dtype for stage in manifest.stages for info in stage.graph.outputs}
    assert crossing == {{"fp32": "float32", "fp16": "float16"}.get(precision, "uint8")}
    frames = digits_frames()
    for engine in engines_here():
        with ee.load(folder, backend=engine, threads=1) as session:
            images = session.preprocess(frames)
            for batch in (1, 7):
                want = [session.infer(images[i : i + batch]) for i in range(0, len(images), batch)]
                wanted = ee.Predictions.joined(want)
                got = program.classify(
                    folder, manifest, frames, "--engine", engine, "--batch", batch
                )
                np.testing.assert_array_equal(got.labels, wanted.labels)
                np.testing.assert_array_equal(got.exits, wanted.exits)
                np.testing.assert_array_equal(got.confidences, wanted.confidences)
                assert set(got.exits.tolist()) == {0, 1, 2}
