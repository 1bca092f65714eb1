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


Answer = Callable[[str], nn.Module]


@pytest.fixture
def torchvision_gives(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """Makes a function answer for torchvision when public weights are asked for."""

    def put(answer: Answer) -> None:
        def fake(name: str, *, weights: str | None = None, **options: Any) -> nn.Module:
            if weights is None:
                return get_model(name, weights=None, **options)
            assert (weights, options) == ("IMAGENET1K_V1", {})
            return answer(name)

        monkeypatch.setattr(torchvision.models, "get_model", fake)

    return put


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
def test_weights_are_loaded(torchvision_gives: Callable[[Answer], None], name: str) -> None:
    torch.manual_seed(1)
    source = as_fetched(name)
    torchvision_gives({name: source}.__getitem__)
    backbone = backbone_entry(name).build(IMAGENET_CLASSES, (3, 64, 64)).eval()
    assert load(backbone, name) == f"torchvision's {name} IMAGENET1K_V1"
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(images), source.eval()(images))


def test_other_number_of_classes_leaves_the_classifier_new_and_says_so(
    torchvision_gives: Callable[[Answer], None],
) -> None:
    source = as_fetched("resnet18")
    torchvision_gives(lambda name: source)
    backbone = backbone_entry("resnet18").build(10, (3, 64, 64))
    before = backbone.classifier.fc.weight.clone()
    assert load(backbone) == (
        "torchvision's resnet18 IMAGENET1K_V1; new, of another shape: "
        "classifier.fc.weight, classifier.fc.bias"
    )
    assert torch.equal(backbone.classifier.fc.weight, before)
    first = backbone.state_dict()["stages.stage1.body.conv1.weight"]
    assert torch.equal(first, source.conv1.weight)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (urllib.error.URLError("Name not known"), ("not fetch", "Name not known")),
        (RuntimeError("invalid hash value"), ("damaged", "delete the file")),
        (EOFError("Ran out of input"), ("damaged", "delete the file")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weights_that_cannot_be_had(
    torchvision_gives: Callable[[Answer], None], error: Exception, facts: tuple[str, ...]
) -> None:
    def fail(name: str) -> nn.Module:
        raise error

    torchvision_gives(fail)
    with pytest.raises(DataError) as caught:
        load(backbone_entry("resnet18").build(10, (3, 64, 64)))
    assert not missing(caught.value, "resnet18", *facts)
    assert f"{torch.hub.get_dir()}/checkpoints" in str(caught.value)


def test_which_backbones_have_weights_to_load() -> None:
    with_weights = {name for name in list_backbones() if backbone_entry(name).load_pretrained}
    assert with_weights == {
        *("resnet18", "resnet34", "resnet50", "vgg16", "vgg16_bn", "googlenet", "mobilenet_v2"),
    }
