"""Models with exits of their own as bundles, whose runtime answers as the model does."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from edgeexit_runtime import Preprocessing
from support.own_exits import ALL, SIZE
from torch import nn

from edgeexit.cost import network_cost
from edgeexit.data import DataConfig
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.outputs import from_outputs
from edgeexit.training import Checkpoint

ALWAYS = ("cascade", "aside", "MSDNet")
IMAGES = 12


def checkpoint_of(net: MultiExitNet) -> Checkpoint:
    return Checkpoint(
        net.spec,
        dict(net.state_dict()),
        Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3),
        tuple("abcde"),
        dict.fromkeys(net.spec.exit_names[:-1], 0.5),
        DataConfig("digits"),
        {},
        {},
    )


def trained_like(kind: str) -> nn.Module:
    """A model of batch norm statistics and of logits that differ between images."""
    torch.manual_seed(0)
    model = ALL[kind][0]().train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(32, *SIZE))
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(8)
    return model.eval()


@pytest.mark.parametrize(
    "kind",
    [pytest.param(name, marks=[] if name in ALWAYS else pytest.mark.slow) for name in ALL],
)
def test_bundle_routes_survivors_as_the_model_answers(kind: str, tmp_path: Path) -> None:
    model = trained_like(kind)
    net = from_outputs(model, input_size=SIZE, outputs=ALL[kind][1])
    images = np.random.default_rng(2).standard_normal((IMAGES, *SIZE), np.float32)
    bundle = export_bundle(
        checkpoint_of(net),
        tmp_path / "out",
        ExportOptions(PRECISIONS["fp32"]),
        images,
        "random",
        model=model,
    )
    manifest = bundle.manifest
    assert manifest.baseline is not None
    assert manifest.baseline.path_macs == network_cost(net).baseline_macs
    with torch.no_grad():
        logits = [answer.numpy() for answer in net.eval()(torch.from_numpy(images)).values()]
    confidences = [torch.from_numpy(answer).softmax(1).amax(1).numpy() for answer in logits]
    with ee.load(bundle.folder) as session:
        every = session.infer_all_exits(images)
        np.testing.assert_allclose(every.confidences, confidences, atol=1e-5)
        thresholds = [float(np.median(values)) for values in confidences[:-1]]
        session.thresholds = dict(zip(net.spec.exit_names[:-1], thresholds, strict=True))
        for batch in (IMAGES, 5, 1):
            starts = range(0, IMAGES, batch)
            routed = ee.Predictions.joined([session.infer(images[i : i + batch]) for i in starts])
            at = routed.exits
            gammas = np.array([*thresholds, 0.0], np.float32)
            expected = (np.stack(confidences) >= gammas[:, None]).argmax(0)
            np.testing.assert_array_equal(at, expected)
            labels = np.stack([answer.argmax(1) for answer in logits])[at, np.arange(IMAGES)]
            np.testing.assert_array_equal(routed.labels, labels)
        assert len(set(at)) > 1
