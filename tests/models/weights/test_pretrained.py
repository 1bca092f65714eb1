"""Weights of torchvision in a backbone, without a network to fetch them from."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from support.messages import missing
from torch import nn

from edgeexit.errors import DataError
from edgeexit.models.backbone import Backbone
from edgeexit.models.registry import backbone_entry, list_backbones

IMAGENET_CLASSES = 1000
get_model = torchvision.models.get_model


def load(backbone: Backbone, name: str = "resnet18") -> str:
    loader = backbone_entry(name).load_pretrained
    assert loader is not None
    return str(loader(backbone))


def as_fetched(name: str) -> nn.Module:
    """What torchvision returns for ``weights=``, with random numbers for its weights.

    GoogLeNet comes without its auxiliary classifiers and with its input transform.
    """
    own = {"aux_logits": False, "init_weights": True, "transform_input": True}
    options = own if name == "googlenet" else {}
    return get_model(name, weights=None, num_classes=IMAGENET_CLASSES, **options)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], nn.Module]:
    """Makes a network whose weights are what torchvision would fetch from then on."""

    def put(wanted: str) -> nn.Module:
        torch.manual_seed(1)
        network = as_fetched(wanted)

        def fake(name: str, *, weights: str | None = None, **options: Any) -> nn.Module:
            if weights is None:
                return get_model(name, weights=None, **options)
            assert (name, weights, options) == (wanted, "IMAGENET1K_V1", {})
            return network

        monkeypatch.setattr(torchvision.models, "get_model", fake)
        return network

    return put


@pytest.fixture
def source(fetched: Callable[[str], nn.Module]) -> nn.Module:
    return fetched("resnet18")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    def fail_with(error: Exception) -> None:
        def fake(name: str, *, weights: str | None = None, **options: Any) -> nn.Module:
            if weights is None:
                return get_model(name, weights=None, **options)
            raise error

        monkeypatch.setattr(torchvision.models, "get_model", fake)

    return fail_with


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "googlenet", "mobilenet_v2"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("resnet34", "resnet50", "vgg16", "vgg16_bn")
        ),
    ],
)
def test_weights_are_loaded(fetched: Callable[[str], nn.Module], name: str) -> None:
    source = fetched(name)
    backbone = backbone_entry(name).build(IMAGENET_CLASSES, (3, 64, 64)).eval()
    assert load(backbone, name) == f"torchvision's {name} IMAGENET1K_V1"
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(images), source.eval()(images))


def test_other_number_of_classes_leaves_the_classifier_new_and_says_so(source: nn.Module) -> None:
    backbone = backbone_entry("resnet18").build(10, (3, 64, 64))
    before = backbone.classifier.fc.weight.clone()
    assert load(backbone) == (
        "torchvision's resnet18 IMAGENET1K_V1; new, of another shape: "
        "classifier.fc.weight, classifier.fc.bias"
    )
    assert torch.equal(backbone.classifier.fc.weight, before)
    first = backbone.state_dict()["stages.stage1.body.conv1.weight"]
    assert torch.equal(first, source.conv1.weight)


def test_no_network(failing: Callable[[Exception], None]) -> None:
    failing(urllib.error.URLError("Name or service not known"))
    backbone = backbone_entry("resnet18").build(10, (3, 64, 64))
    with pytest.raises(DataError) as caught:
        load(backbone)
    folder = f"{torch.hub.get_dir()}/checkpoints"
    assert not missing(caught.value, "resnet18", "not fetch", "Name or service not known", folder)


@pytest.mark.parametrize(
    "error", [RuntimeError("invalid hash value"), EOFError("Ran out of input")], ids=repr
)
def test_damaged_file(error: Exception, failing: Callable[[Exception], None]) -> None:
    failing(error)
    backbone = backbone_entry("resnet18").build(10, (3, 64, 64))
    with pytest.raises(DataError) as caught:
        load(backbone)
    folder = f"{torch.hub.get_dir()}/checkpoints"
    assert not missing(caught.value, "resnet18", folder, "damaged", "delete the file")


def test_which_backbones_have_weights_to_load() -> None:
    with_weights = {name for name in list_backbones() if backbone_entry(name).load_pretrained}
    assert with_weights == {
        *("resnet18", "resnet34", "resnet50", "vgg16", "vgg16_bn", "googlenet", "mobilenet_v2"),
    }
