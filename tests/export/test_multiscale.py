"""A network whose stages hand on several tensors, from checkpoint to bundle to runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import onnx
import pytest
import torch
from edgeexit_runtime import Preprocessing
from numpy.typing import NDArray
from support.registries import keep_registries
from torch import Tensor

from edgeexit.cost import network_cost
from edgeexit.data import DataConfig
from edgeexit.export import PRECISIONS, ExportedBundle, ExportOptions, export_bundle
from edgeexit.models import (
    FINAL,
    MultiExitNet,
    make_spec,
    partition,
    register_backbone,
)
from edgeexit.models.backbone import Backbone
from edgeexit.models.backbones.msdnet import Layout, msdnet
from edgeexit.training import Checkpoint

INPUT_SIZE = (3, 16, 16)
SAMPLES = 42

NETWORKS = [
    pytest.param(("tiny_msdnet", "m+s"), id="tiny"),
    *(
        pytest.param(("msdnet_cifar100", pattern), id=pattern, marks=pytest.mark.slow)
        for pattern in (
            "m128+m128+m128+m128+m128+m128",  # its own classifiers
            "3+3+2+2+1+1",  # the paper's in their place
            "m+s+n+1+s+m128",
        )
    ),
]


@pytest.fixture(scope="module", autouse=True)
def tiny_msdnet() -> Iterator[None]:
    """Register an MSDNet of three blocks, of which the first hands on two scales."""
    with pytest.MonkeyPatch.context() as patch:
        keep_registries(patch)
        layout = Layout(
            layers=(2, 1, 1),
            channels=4,
            growth=4,
            factors=(1, 2),
            large_images=False,
            classifier_width=8,
        )

        @register_backbone(input_size=INPUT_SIZE)
        def tiny_msdnet(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
            return msdnet(layout, num_classes, input_size[0])

        yield


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((SAMPLES, *INPUT_SIZE), np.float32)


@pytest.fixture(scope="module", params=NETWORKS)
def net(request: pytest.FixtureRequest, images: NDArray[np.float32]) -> MultiExitNet:
    """Random weights, sharpened so that confidences spread over 0 to 1."""
    torch.manual_seed(0)
    backbone, pattern = request.param
    net = MultiExitNet(make_spec(backbone, pattern, 5, INPUT_SIZE))
    batch = torch.from_numpy(images)
    with torch.no_grad():
        for _ in range(20):
            net(batch)  # batch norm sees the data
        for name, logits in net.eval()(batch).items():
            own = net.backbone.classifier if name == FINAL else net.branches[name].classifier
            linear = own[-1]
            linear.bias -= logits.mean(0)
            scale = 3 / (logits - logits.mean(0)).std()
            linear.weight *= scale
            linear.bias *= scale
    return net


@pytest.fixture(scope="module")
def logits(net: MultiExitNet, images: NDArray[np.float32]) -> dict[str, Tensor]:
    with torch.inference_mode():
        result: dict[str, Tensor] = net(torch.from_numpy(images))
    return result


@pytest.fixture(scope="module")
def expected(
    logits: dict[str, Tensor],
) -> tuple[dict[str, float], NDArray[np.int64], NDArray[np.int64]]:
    """Thresholds at which as many samples leave at each exit, and who leaves where, as what.

    Each threshold is in the middle between two confidences, so that rounding decides nothing.
    """
    thresholds: dict[str, float] = {}
    exits = np.full(SAMPLES, len(logits) - 1)
    labels = logits[FINAL].argmax(1).numpy().copy()
    left = np.arange(SAMPLES)
    share = SAMPLES // len(logits)
    for index, (name, values) in enumerate(list(logits.items())[:-1]):
        confidence, label = (value.numpy() for value in values.softmax(1).max(1))
        order = left[np.argsort(-confidence[left])]
        thresholds[name] = float(confidence[order[share - 1 : share + 1]].mean())
        leaving = order[:share]
        exits[leaving], labels[leaving] = index, label[leaving]
        left = order[share:]
    return thresholds, exits, labels


@pytest.fixture(scope="module")
def bundle(
    net: MultiExitNet,
    expected: tuple[dict[str, float], NDArray[np.int64], NDArray[np.int64]],
    images: NDArray[np.float32],
    tmp_path_factory: pytest.TempPathFactory,
) -> ExportedBundle:
    checkpoint = Checkpoint(
        spec=net.spec,
        weights=net.state_dict(),
        preprocessing=Preprocessing(INPUT_SIZE, (0.5,) * 3, (0.25,) * 3),
        class_names=tuple("abcde"),
        thresholds=expected[0],
        data=DataConfig("digits"),
        training={},
        metrics={},
    )
    folder: Path = tmp_path_factory.mktemp("multiscale") / "bundle"
    options = ExportOptions(PRECISIONS["fp32"], max_batch=16)
    return export_bundle(checkpoint, folder, options, images, "noise")


def test_runtime_answers_as_the_network_routes(
    bundle: ExportedBundle,
    images: NDArray[np.float32],
    expected: tuple[dict[str, float], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    thresholds, exits, labels = expected
    count = len(thresholds) + 1
    assert np.bincount(exits).tolist() == [SAMPLES // count] * count
    with ee.load(bundle.folder) as session:
        result = session.infer(images)
        single = [session.infer(images[i : i + 1]) for i in range(0, SAMPLES, 5)]
    assert result.exits.tolist() == exits.tolist()
    assert result.labels.tolist() == labels.tolist()
    assert [int(one.exits[0]) for one in single] == exits[::5].tolist()
    assert [int(one.labels[0]) for one in single] == labels[::5].tolist()


def test_every_exit_gives_the_logits_of_the_network(
    bundle: ExportedBundle, net: MultiExitNet
) -> None:
    verification = bundle.verification
    names = [exit_.name for exit_ in verification.exits]
    assert names == [*net.spec.exit_names, "baseline"]
    assert max(exit_.relative_logit_difference for exit_ in verification.exits) < 1e-4
    assert verification.equal_answers == 1


def test_graphs_and_manifest_name_every_scale(bundle: ExportedBundle, net: MultiExitNet) -> None:
    manifest = ee.load_manifest(bundle.folder)
    parts = partition(net)
    for stage, part in zip(manifest.stages, parts.stages, strict=True):
        for tensors, infos in (
            (stage.graph.inputs, part.inputs),
            (stage.graph.outputs, part.outputs),
        ):
            assert [(t.name, t.shape) for t in tensors] == [(i.name, i.shape) for i in infos]
        model = onnx.load(bundle.folder / stage.graph.file)
        assert [v.name for v in model.graph.input] == [t.name for t in stage.graph.inputs]
        assert [v.name for v in model.graph.output] == [t.name for t in stage.graph.outputs]
    scales = {"tiny_msdnet": [2, 1, 1], "msdnet_cifar100": [3, 3, 2, 2, 2, 1, 1]}
    found = [len(stage.graph.outputs) for stage in manifest.stages]
    assert found == scales[net.spec.backbone]
    for exit_, stage in zip(manifest.exits, manifest.stages, strict=True):
        assert exit_.graph.inputs == stage.graph.outputs[-1:]


def test_manifest_has_the_costs_of_the_network(bundle: ExportedBundle, net: MultiExitNet) -> None:
    cost = network_cost(net)
    assert tuple(stage.macs for stage in bundle.manifest.stages) == cost.stage_macs
    path_macs = [exit_.path_macs for exit_ in bundle.manifest.exits]
    assert path_macs == [exit_.path_macs for exit_ in cost.exits]


def test_plain_backbone_as_one_graph(
    bundle: ExportedBundle, images: NDArray[np.float32], logits: dict[str, Tensor]
) -> None:
    with ee.load_baseline(bundle.folder) as session:
        result = session.infer(images)
    assert result.labels.tolist() == logits[FINAL].argmax(1).tolist()
