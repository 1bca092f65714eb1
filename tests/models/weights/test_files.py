"""Weights as other programs write them."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from support.messages import missing
from support.own_exits import SIZE, Internal, Shared
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from edgeexit.errors import CheckpointError
from edgeexit.models.outputs import from_outputs
from edgeexit.models.registry import backbone_entry, list_backbones
from edgeexit.models.weights.fitting import load_weights, own_weights

Weights = dict[str, Tensor]
COUNT = len(Internal().state_dict())


def model(seed: int = 0) -> Internal:
    torch.manual_seed(seed)
    return Internal()


def prefixed(weights: Weights, prefix: str) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def lightning(weights: Weights) -> dict[str, Any]:
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}}],
        "hyper_parameters": {"lr": 0.1, "args": argparse.Namespace(depth=3)},
        "state_dict": {**prefixed(weights, "model."), "loss.weight": torch.ones(5)},
    }


def averaged(weights: Weights) -> Any:
    plain = model()
    plain.load_state_dict(weights)
    return AveragedModel(plain).state_dict()


def compiled(weights: Weights) -> Weights:
    return {name.replace("blocks.", "blocks._orig_mod."): value for name, value in weights.items()}


def other(weights: Weights) -> Weights:
    return {name: value + 1 for name, value in weights.items()}


def cast(weights: Weights, dtype: torch.dtype) -> Weights:
    return {n: v.to(dtype) if v.is_floating_point() else v for n, v in weights.items()}


Make = Callable[[Weights], Any]
FORMATS: dict[str, tuple[Make, str, tuple[str, ...]]] = {  # what is stored, the key, the notes
    "plain": (lambda w: w, "", ()),
    "state_dict": (lambda w: {"state_dict": w, "epoch": 3}, "", ("taken from `state_dict`",)),
    "model": (
        lambda w: {"model": w, "args": argparse.Namespace(lr=1)},
        "",
        ("taken from `model`",),
    ),
    "lightning": (lightning, "", ("prefix `model.` removed", "1 others left out (loss.weight)")),
    "timm": (
        lambda w: {"arch": "net", "state_dict_ema": other(w), "state_dict": w, "metric": 0.9},
        "",
        ("from `state_dict`", f"also holds `state_dict_ema` ({COUNT} tensors)", "--weights-key"),
    ),
    "EMA": (averaged, "", ("prefix `module.` removed",)),
    "DataParallel": (lambda w: prefixed(w, "module."), "", ("prefix `module.` removed",)),
    "DDP compiled": (lambda w: prefixed(w, "module._orig_mod."), "", ("prefix `module.` removed",)),
    "compiled": (lambda w: prefixed(w, "_orig_mod."), "", ("_orig_mod removed",)),
    "compiled blocks": (compiled, "", ("_orig_mod removed",)),
    "half": (lambda w: cast(w, torch.half), "", ("float16 converted to float32",)),
    "bfloat16": (lambda w: cast(w, torch.bfloat16), "", ("bfloat16 converted to float32",)),
    "parameters": (
        lambda w: {n: nn.Parameter(v, v.is_floating_point()) for n, v in w.items()},
        "",
        (),
    ),
    "timm's average": (
        lambda w: {"state_dict": other(w), "state_dict_ema": w},
        "state_dict_ema",
        ("also holds `state_dict`",),
    ),
    "inside": (
        lambda w: {"model": other(w), "ema": {"decay": torch.tensor(0.9), "module": w}},
        "ema",
        ("taken from `ema.module`",),
    ),
    "unusual": (
        lambda w: {"student": other(w), "teacher": {"state_dict": w}},
        "teacher",
        ("`student`",),
    ),
    "prefix": (
        lambda w: {"state_dict": {**prefixed(other(w), "model."), **prefixed(w, "average.")}},
        "average",
        ("prefix `average.` removed",),
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_weights(kind: str, tmp_path: Path) -> None:
    trained, fresh = model(1), model(2)
    make, key, facts = FORMATS[kind]
    torch.save(make(trained.state_dict()), tmp_path / "weights.pth")
    loaded = load_weights(own_weights(fresh), tmp_path / "weights.pth", what="Internal", key=key)
    assert not missing(loaded, f"{COUNT} of {COUNT} tensors loaded", *facts)
    tolerance = 1e-2 if kind in ("half", "bfloat16") else 0
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], value, rtol=tolerance, atol=tolerance)


def test_keys_that_are_asked_for(tmp_path: Path) -> None:
    path, weights = tmp_path / "weights.pth", model(1).state_dict()
    both = {"state_dict": weights, "state_dict_ema": other(weights)}
    message = refused(both, path, key="ema")
    assert "'ema'" in message
    assert f"`state_dict` ({COUNT} tensors), `state_dict_ema`" in message
    message = refused({"student": weights, "teacher": other(weights), "best": {"a": 1}}, path)
    assert "`student`" in message
    assert "--weights-key" in message
    torch.save({"student": weights, "scaler": {"scale": torch.tensor(1.0)}}, path)
    assert "`student`" in str(load_weights(own_weights(model()), path, what="Internal"))
    holds_itself: dict[str, Any] = {"state_dict": weights}
    holds_itself["model"] = holds_itself
    torch.save(holds_itself, path)
    assert "`state_dict`" in str(load_weights(own_weights(model()), path, what="Internal"))
    save_file(
        {**prefixed(weights, "a."), **prefixed(other(weights), "b.")}, tmp_path / "two.safetensors"
    )
    fresh = model(2)
    loaded = load_weights(own_weights(fresh), tmp_path / "two.safetensors", what="Internal")
    assert "--weights-key, such as b" in str(loaded)
    load_weights(own_weights(fresh), tmp_path / "two.safetensors", what="Internal", key="b")
    assert torch.equal(fresh.state_dict()["stem.0.weight"], weights["stem.0.weight"] + 1)


def test_weights_with_several_names_are_stored_once(tmp_path: Path) -> None:
    path, trained, fresh = tmp_path / "weights.pth", Shared(), Shared()
    weights = trained.state_dict()
    torch.save({"state_dict": weights, "ema": weights, "best": dict(weights)}, path)
    load_weights(own_weights(fresh), path, what="Shared")
    assert all(torch.equal(fresh.state_dict()[n], v) for n, v in weights.items())


def test_safetensors_also_where_shared_tensors_are_stored_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained, fresh = Shared(), Shared()
    weights = {n: v for n, v in trained.state_dict().items() if not n.startswith("exits.")}
    save_file(weights, tmp_path / "weights.safetensors")
    load_weights(own_weights(fresh), tmp_path / "weights.safetensors", what="Shared")
    assert all(torch.equal(fresh.state_dict()[n], v) for n, v in trained.state_dict().items())


def test_model_inside_another(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model(2)

    torch.save(model(1).state_dict(), tmp_path / "weights.pth")
    loaded = load_weights(own_weights(Wrapped()), tmp_path / "weights.pth", what="Wrapped")
    assert "prefix `net.` added" in str(loaded)


def refused(content: Any, path: Path, **options: Any) -> str:
    torch.save(content, path)
    fresh = model(2)
    before = copy.deepcopy(fresh.state_dict())
    with pytest.raises(CheckpointError) as caught:
        load_weights(own_weights(fresh), path, what="Internal", **options)
    assert all(torch.equal(before[name], value) for name, value in fresh.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_and_shapes_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    weights = model(1).state_dict()
    renamed = {n.replace("stem.0", "stem.conv"): v for n, v in weights.items()}
    message = refused(renamed, path)
    assert "1 missing, first stem.0.weight (nearest: stem.conv.weight)" in message
    assert "1 not expected, first stem.conv.weight (nearest: stem.0.weight)" in message
    shapes = {**weights, "stem.0.weight": torch.ones(8, 3, 5, 5)}
    message = refused(shapes, path, new_classifier=True)
    assert "first stem.0.weight: expected (8, 3, 3, 3), got (8, 3, 5, 5)" in message
    assert "--new-classifier" not in message
    message = refused({**weights, "stem.1.weight": torch.full((8,), torch.nan)}, path)
    assert "stem.1.weight" in message
    assert "finite" in message
    other = {**weights, "stem.1.weight": torch.ones(8, dtype=torch.int64)}
    assert "1 of another type, first stem.1.weight" in refused(other, path)


def test_classifiers_of_other_classes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained, fresh = Internal(classes=7), model(2)
    path = tmp_path / "weights.pth"
    message = refused(trained.state_dict(), path)
    assert "6 of another shape, first exits.0.2.weight: expected (5, 8), got (7, 8)" in message
    assert "--new-classifier" in message
    before = copy.deepcopy(fresh.state_dict())
    loaded = load_weights(own_weights(fresh), path, what="Internal", new_classifier=True)
    assert len(loaded.new) == 6
    assert f"{COUNT - 6} of {COUNT} tensors" in str(loaded)
    assert "exits.0.2.weight" in str(loaded)
    for name, value in fresh.state_dict().items():
        expected = before if name in loaded.new else trained.state_dict()
        assert torch.equal(value, expected[name])


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    message = refused(model(1), path)
    assert "own_exits.Internal" in message
    assert "torch.save(model.state_dict()" in message
    assert "epoch" in refused({"epoch": 3}, path)
    assert "list" in refused([torch.ones(2)], path)
    torch.save(model(1).state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"torch 1.6 or newer"):
        load_weights(own_weights(model()), path, what="Internal")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        load_weights(own_weights(model()), path, what="Internal")
    for name, content in (("no.safetensors", b"no"), ("empty.safetensors", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="copy it again"):
            load_weights(own_weights(model()), tmp_path / name, what="Internal")
    with pytest.raises(CheckpointError, match="gone"):
        load_weights(own_weights(model()), tmp_path / "gone.safetensors", what="Internal")


def test_from_outputs_takes_weights(tmp_path: Path) -> None:
    trained = model(1).eval()
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "weights.pth")
    net = from_outputs(
        model(2), input_size=SIZE, weights=tmp_path / "weights.pth", weights_key="state_dict"
    ).eval()
    assert f"{COUNT} of {COUNT} tensors loaded" in net.notes[0]
    x = torch.randn(2, *SIZE)
    with torch.no_grad():
        for logits, expected in zip(net(x).values(), trained(x), strict=True):
            torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(
    "name", [name for name in list_backbones() if backbone_entry(name).load_pretrained]
)
def test_registered_backbones_know_the_names_of_torchvision(name: str) -> None:
    entry = backbone_entry(name)
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        backbone = entry.build(10, entry.input_size)
        network = torchvision.models.get_model(name, weights=None, num_classes=10, **options)
    own, theirs = backbone.state_dict(), network.state_dict()
    assert backbone.original_names.keys() == theirs.keys()
    assert sorted(backbone.original_names.values()) == sorted(own)
    for original, here in backbone.original_names.items():
        assert theirs[original].shape == own[here].shape
