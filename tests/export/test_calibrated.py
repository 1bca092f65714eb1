"""Temperatures are part of the exported branches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeexit.cost import network_cost
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.training import Checkpoint

TEMPERATURES = {"exit1": 2.0, "final": 0.5}


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 0.02)])
def test_the_bundle_is_as_sure_as_the_calibrated_network(
    checkpoint: Checkpoint,
    samples: NDArray[np.float32],
    tmp_path: Path,
    precision: str,
    tolerance: float,
) -> None:
    calibrated = replace(checkpoint, temperatures=TEMPERATURES)
    options = ExportOptions(PRECISIONS[precision], max_batch=16)
    bundle = export_bundle(calibrated, tmp_path / "out", options, samples, "noise")
    assert [exit_.temperature for exit_ in bundle.manifest.exits] == [2.0, 1.0, 0.5]
    with torch.inference_mode():
        logits = calibrated.build()(torch.from_numpy(samples))
        plain = checkpoint.build()(torch.from_numpy(samples))
    for index, name in enumerate(logits):
        never = dict.fromkeys(("exit1", "exit2"), 1.5)
        with ee.load(tmp_path / "out", threads=1) as session:
            session.thresholds = never | ({name: 0.0} if name != "final" else {})
            got = session.infer(samples)
        want = logits[name].softmax(1).amax(1).numpy()
        assert set(got.exits.tolist()) == {index}
        np.testing.assert_allclose(got.confidences, want, atol=tolerance)
        changed = np.abs(plain[name].softmax(1).amax(1).numpy() - want).max()
        assert (changed > 0.05) == (name in TEMPERATURES)
    with ee.load_baseline(tmp_path / "out", threads=1) as session:
        alone = session.infer(samples)
    np.testing.assert_allclose(
        alone.confidences, logits["final"].softmax(1).amax(1).numpy(), atol=tolerance
    )


def test_a_temperature_costs_no_macs(checkpoint: Checkpoint) -> None:
    plain = network_cost(checkpoint.build())
    calibrated = network_cost(replace(checkpoint, temperatures=TEMPERATURES).build())
    assert calibrated.exits == plain.exits
    assert calibrated.uncounted == plain.uncounted == ()
