"""Every registered backbone, and classifiers with exits of their own or none, up to the runtime.

ONNX gives what PyTorch gives for every stage and exit, the manifest survives a round trip, and
the runtime answers as PyTorch does at thresholds where every exit is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from edgeexit_runtime.bundle.manifest import Manifest, load_manifest, manifest_json
from edgeexit_runtime.bundle.schema import decode
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray
from support import own_exits
from torch import Tensor, nn

from edgeexit.cost import network_cost
from edgeexit.data import DataConfig
from edgeexit.errors import ExportError
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.export.graphs.making import export_graphs
from edgeexit.models import (
    FINAL,
    MultiExitNet,
    attach_exits,
    list_backbones,
    make_spec,
    partition,
    register_backbone,
)
from edgeexit.models.backbone import Backbone
from edgeexit.models.backbones.msdnet import Layout, msdnet
from edgeexit.models.outputs import from_outputs
from edgeexit.models.registry import backbone_entry
from edgeexit.training import Checkpoint

SAMPLES = 24
CLASSES = 10


class Skips(nn.Module):
    """What the first layer gives is read again by the last, over the second's head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.third = nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.size(0)
        first = self.first(x)
        second = self.second(first).relu_()
        mixed = torch.cat([first.mean((2, 3)), second.mean((2, 3))], dim=1)
        rest = self.third(second).mean((2, 3)) + mixed.view(batch, 2, -1).sum(1)
        logits: Tensor = self.head(rest)
        return logits


class Attend(nn.Module):
    """Attention with a bias from a table, reshaped: fused kernels lay it out in other ways."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.table = nn.Parameter(torch.randn(9, 2))
        self.register_buffer("index", torch.arange(256) % 9)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.table[self.index].view(16, 16, 2).permute(2, 0, 1).unsqueeze(0)
        qkv = self.qkv(x).reshape(x.shape[0], 16, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=bias)
        return x + y.transpose(1, 2).reshape(x.shape[0], 16, 16)


class Attention(nn.Module):
    """A transformer of two blocks."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.first, self.second = Attend(), Attend()
        self.head = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(self.embed(x).flatten(2).transpose(1, 2)))
        logits: Tensor = self.head(x.mean(1))
        return logits


class Windows(nn.Module):
    """Attention within windows, (N, heads, windows, L, E), and of one head alone, (N, L, E)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.first, self.second = nn.Linear(16, 48), nn.Linear(16, 48)
        self.bias = nn.Parameter(torch.randn(2, 1, 4, 4))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)  # (N, 16, 16)
        qkv = self.first(x).reshape(x.shape[0], 4, 4, 3, 2, 8).permute(3, 0, 4, 1, 2, 5)
        y = nn.functional.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=self.bias)
        x = x + y.permute(0, 2, 3, 1, 4).flatten(1, 2).flatten(2)
        y = nn.functional.scaled_dot_product_attention(*self.second(x).chunk(3, -1))
        logits: Tensor = self.head((x + y).mean(1))
        return logits


def torchvision_model(name: str, **arguments: object) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, num_classes=CLASSES, **arguments)


# model, exits, branches, pixels
CASES: dict[str, tuple[Callable[[], nn.Module], str, str, int]] = {
    "skips": (lambda: Skips(CLASSES), "first second", "1+n", 32),
    "attention": (lambda: Attention(CLASSES), "first", "n", 32),
    "windows": (lambda: Windows(CLASSES), "first", "n", 32),
    **{
        name: (torchvision_model(name), exits, branches, pixels)
        for name, exits, branches, pixels in (
            ("squeezenet1_1", "features.4 features.7", "1+n", 48),
            (
                "densenet121",
                "features.denseblock1 features.denseblock2 features.denseblock3",
                "2+1+n",
                64,
            ),
            ("efficientnet_b0", "features.2 features.3 features.5", "2+1+n", 64),
            ("mobilenet_v3_large", "features.3 features.6 features.12", "2+1+n", 64),
            (
                "regnet_y_400mf",
                "trunk_output.block1 trunk_output.block2 trunk_output.block3",
                "2+1+n",
                64,
            ),
            ("shufflenet_v2_x1_0", "stage2 stage3", "2+1", 64),
            ("convnext_tiny", "features.1 features.3 features.5", "2+1+n", 64),
            ("swin_t", "features.1 features.3 features.5", "2+1+n", 64),
        )
    },
    "vit_b_16": (
        torchvision_model("vit_b_16", image_size=64),
        "encoder.layers.encoder_layer_2 encoder.layers.encoder_layer_8",
        "n+n",
        64,
    ),
}
SMALL = {"skips", "attention", "windows"}
FAST = {"squeezenet1_1", *SMALL}


def cases(precisions: tuple[str, ...]) -> list[object]:
    return [
        pytest.param(
            name,
            precision,
            id=f"{name}-{precision}",
            marks=[] if name in SMALL and precision == "fp32" else [pytest.mark.slow],
        )
        for name in CASES
        for precision in precisions
        if precision == "fp32" or name in FAST | {"vit_b_16", "convnext_tiny"}
    ]


def random_images(size: tuple[int, int, int]) -> Tensor:
    return torch.randn(SAMPLES, *size, generator=torch.Generator().manual_seed(1))


def trained(net: MultiExitNet) -> MultiExitNet:
    """Give batch norm the images' own statistics, and the exits logits that differ by image."""
    images, heads = random_images(net.spec.input_size), _last_linear_layers(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    for head in heads.values():
        nn.init.normal_(head.weight, std=0.05)  # torchvision's transformer starts from zeros
    with torch.no_grad():
        net.train()(images)
        all_logits = net.eval()(images)
        for name, head in heads.items():
            logits = all_logits[name]
            scale = 4 / float(logits.std(dim=0).mean())
            head.weight.mul_(scale)
            head.bias.sub_(logits.mean(dim=0)).mul_(scale)
    return net


def _last_linear_layers(net: MultiExitNet) -> dict[str, nn.Linear]:
    """Return the linear layer that each exit ends in, but for SqueezeNet's, which has none."""
    classifiers = {**dict(net.branches.named_children()), FINAL: net.backbone.classifier}
    layers = {
        name: [module for module in classifier.modules() if isinstance(module, nn.Linear)]
        for name, classifier in classifiers.items()
    }
    return {name: linear[-1] for name, linear in layers.items() if linear}


@pytest.mark.parametrize(("name", "precision"), cases(("fp32", "fp16")))
def test_any_model_runs_as_in_pytorch(name: str, precision: str, tmp_path: Path) -> None:
    build, exits, branches, pixels = CASES[name]
    torch.manual_seed(0)
    model = build()
    size = (3, pixels, pixels)
    net = trained(attach_exits(model, exits.split(), branches=branches, input_size=size))
    check_bundle(net, model, precision, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "resnet20" else [pytest.mark.slow])
        for name in list_backbones()
    ],
)
def test_every_registered_backbone_runs_as_in_pytorch(name: str, tmp_path: Path) -> None:
    entry = backbone_entry(name)
    with torch.device("meta"):
        points = len(entry.build(CLASSES, entry.input_size).exit_stages)
    pixels = min(entry.input_size[1], 64)
    branches = "+".join(["2", *"1" * (points - 2), "n"])
    torch.manual_seed(0)
    net = MultiExitNet(make_spec(name, branches, CLASSES, (3, pixels, pixels)))
    check_bundle(trained(net), None, "fp32", tmp_path / "out")


@register_backbone(input_size=(3, 16, 16))
def msdnet_of_three_blocks(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    """The first block hands on two scales."""
    layout = Layout((2, 1, 1), 4, 4, (1, 2), large_images=False, classifier_width=8)
    return msdnet(layout, num_classes, input_size[0])


@pytest.mark.parametrize(
    ("name", "branches", "scales"),
    [
        ("msdnet_of_three_blocks", "m+s", [2, 1, 1]),
        *(
            pytest.param("msdnet_cifar100", branches, [3, 3, 2, 2, 2, 1, 1], marks=pytest.mark.slow)
            for branches in (
                "m128+m128+m128+m128+m128+m128",  # its own classifiers
                "3+3+2+2+1+1",  # the paper's in their place
                "m+s+n+1+s+m128",
            )
        ),
    ],
)
def test_stages_that_hand_on_several_scales(
    name: str, branches: str, scales: list[int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = MultiExitNet(make_spec(name, branches, CLASSES, (3, 16, 16)))
    manifest = check_bundle(trained(net), None, "fp32", tmp_path / "out")
    assert [len(stage.graph.outputs) for stage in manifest.stages] == scales
    for stage, exit_ in zip(manifest.stages, manifest.exits, strict=True):
        assert exit_.graph.inputs == stage.graph.outputs[-1:]
        model = onnx.load(tmp_path / "out" / stage.graph.file)
        assert [v.name for v in model.graph.input] == [t.name for t in stage.graph.inputs]
        assert [v.name for v in model.graph.output] == [t.name for t in stage.graph.outputs]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in ("cascade", "aside", "MSDNet") else pytest.mark.slow)
        for kind in own_exits.ALL
    ],
)
def test_exits_of_the_models_own(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, outputs = own_exits.ALL[kind]
    model = network().train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(32, *own_exits.SIZE))
        for module in model.modules():
            if isinstance(module, nn.Linear):  # logits that differ between images
                module.weight.mul_(8)
    net = from_outputs(model.eval(), input_size=own_exits.SIZE, outputs=outputs)
    check_bundle(net, model, "fp32", tmp_path / "out")


def check_bundle(
    net: MultiExitNet, model: nn.Module | None, precision: str, folder: Path
) -> Manifest:
    """Export ``net`` and compare every graph, the manifest, the costs and the routing with it."""
    size = net.spec.input_size
    images = random_images(size)
    with torch.no_grad():
        logits = {name: value.double() for name, value in net.eval()(images).items()}
    confidences = np.stack([value.softmax(1).amax(1).numpy() for value in logits.values()], 1)
    thresholds = _thresholds(confidences, list(logits)[:-1])
    # the heads are scaled up until confidences spread, and with them every rounding
    floor = 1.0 if precision == "fp32" else 0.8
    error = {"fp32": 1e-3, "fp16": PRECISIONS["fp16"].max_logit_error}[precision]
    proof = replace(PRECISIONS[precision], min_agreement=floor, max_logit_error=error)
    export_bundle(
        Checkpoint(
            net.spec,
            net.state_dict(),
            Preprocessing(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            tuple(str(number) for number in range(net.spec.num_classes)),
            thresholds,
            DataConfig("none"),
            {},
            {},
        ),
        folder,
        ExportOptions(proof),
        images.numpy(),
        "random images",
        model=model,
    )
    manifest = load_manifest(folder)
    assert decode(Manifest, json.loads(manifest_json(manifest))) == manifest
    cost = network_cost(net)
    assert [stage.macs for stage in manifest.stages] == [stage.macs for stage in cost.stages]
    assert [exit_.path_macs for exit_ in manifest.exits] == [it.path_macs for it in cost.exits]
    assert manifest.baseline is not None
    assert manifest.baseline.path_macs == cost.baseline_macs
    if precision == "fp32":
        _check_graphs(net, manifest, folder, images)
    expected = (confidences >= np.array([*thresholds.values(), 0.0])).argmax(axis=1)
    _check_routing(folder, images, expected, logits, floor)
    return manifest


def _check_graphs(net: MultiExitNet, manifest: Manifest, folder: Path, images: Tensor) -> None:
    """Each graph alone on PyTorch's features gives what the part of the network gives."""
    parts = partition(net.eval())
    modules = {part.name: part for part in parts.stages}
    modules.update({exit_.name: exit_ for exit_ in parts.exits})
    features = {"images": images}
    for name, graph in manifest.graphs():
        session = onnxruntime.InferenceSession(
            str(folder / graph.file), providers=["CPUExecutionProvider"]
        )
        feeds = {info.name: features[info.name].numpy() for info in graph.inputs}
        if "threshold" in {tensor.name for tensor in session.get_inputs()}:
            feeds["threshold"] = np.array([0.5], np.float32)
        names = [info.name for info in graph.outputs]
        got = dict(zip(names, session.run(names, feeds), strict=True))
        part = modules[name]
        with torch.no_grad():
            outputs = part.module(*(features[info.name] for info in part.inputs))
        for info, value in zip(part.outputs, outputs, strict=True):
            scale = max(1.0, float(value.abs().max()))
            np.testing.assert_allclose(got[info.name], value.numpy(), rtol=0, atol=1e-4 * scale)
            if info.name != "logits":
                features[info.name] = value


def _check_routing(
    folder: Path,
    images: Tensor,
    expected: NDArray[np.int64],
    logits: dict[str, Tensor],
    floor: float,
) -> None:
    with ee.load(folder) as session:
        for batch in (SAMPLES, 5, 1):
            results = [
                session.infer(images[start : start + batch].numpy())
                for start in range(0, SAMPLES, batch)
            ]
            exits = np.concatenate([result.exits for result in results])
            labels = np.concatenate([result.labels for result in results])
            assert set(exits) == set(range(len(logits))), "every exit is used"
            assert (exits == expected).mean() >= floor
            wanted = [
                int(list(logits.values())[exit_][row].argmax()) for row, exit_ in enumerate(exits)
            ]
            assert (labels == wanted).mean() >= floor
    with ee.load_baseline(folder) as session:
        alone = session.infer(images.numpy()).labels
    assert (alone == logits[FINAL].argmax(1).numpy()).mean() >= floor


def _thresholds(confidences: NDArray[np.float64], branches: list[str]) -> dict[str, float]:
    """Let a sixth to a third of those who come to an exit leave, at the widest gap between them."""
    thresholds = {}
    here = np.ones(len(confidences), bool)
    for number, name in enumerate(branches):
        ordered = np.sort(confidences[here, number])
        places = range(len(ordered) * 2 // 3, len(ordered) * 5 // 6 + 1)
        widest = max(places, key=lambda place: float(ordered[place] - ordered[place - 1]))
        thresholds[name] = float((ordered[widest] + ordered[widest - 1]) / 2)
        here &= confidences[:, number] < thresholds[name]
    return thresholds


class HasNoOnnx(Skips):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * torch.kthvalue(x.flatten(1), 2)[0].view(-1, 1, 1, 1))


def test_an_operator_that_onnx_does_not_have_is_named() -> None:
    net = attach_exits(HasNoOnnx(CLASSES), ["second"], branches="n", input_size=(3, 16, 16))
    graphs = export_graphs(partition(net), PRECISIONS["fp32"], False, lambda step: None, opset=18)
    with pytest.raises(ExportError, match="kthvalue") as caught:
        next(graphs)
    for fact in ("opset 18", "other operators"):
        assert fact in str(caught.value)
