"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import tiny_backbones  # noqa: F401  registers them
from torch import nn

from edgeexit.cli.models import BackboneInfo, backbone_infos
from edgeexit.data import DataConfig, load_data
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import Checkpoint, save_checkpoint

SIZE = (3, 8, 8)
DIGITS = DataConfig("digits", input_size=SIZE)
STEPS = 60  # enough for exits that differ, few enough for exits that err

TinyCheckpoint = Callable[[str], Checkpoint]
TinyBundle = Callable[..., Path]


@pytest.fixture(scope="session")
def registered_backbones() -> list[BackboneInfo]:
    """Every registered backbone, counted once for all tests: that takes seconds."""
    return backbone_infos()


@pytest.fixture(scope="session")
def tiny_checkpoint() -> TinyCheckpoint:
    """``tiny_checkpoint(branches)``: a small network, trained for a second on 8x8 digits.

    ``branches`` is ``none``, two of them such as ``n+n``, or four.
    """
    made: dict[str, Checkpoint] = {}

    def make(branches: str) -> Checkpoint:
        if branches not in made:
            made[branches] = _trained(branches)
        return made[branches]

    return make


def _trained(branches: str) -> Checkpoint:
    data = load_data(DIGITS)
    training = data.splits["train"]
    images = torch.stack([image for image, _ in training])
    targets = torch.tensor([target for _, target in training])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = "five_convolutions" if branches.count("+") > 1 else "three_convolutions"
        spec = make_spec(backbone, branches, 10, SIZE)
        net = MultiExitNet(spec)
        optimizer = torch.optim.Adam(net.parameters(), 0.02)
        for _ in range(STEPS):
            chosen = torch.randperm(len(images))[:128]
            answers = net(images[chosen]).values()
            loss = sum(nn.functional.cross_entropy(a, targets[chosen]) for a in answers)
            optimizer.zero_grad()
            torch.as_tensor(loss).backward()
            optimizer.step()
    thresholds = dict.fromkeys(spec.exit_names[:-1], 0.9)
    return Checkpoint(
        spec,
        net.state_dict(),
        data.preprocessing,
        data.class_names,
        thresholds,
        DIGITS,
        {},
        {"final": 0.5},
    )


@pytest.fixture
def tiny_file(tiny_checkpoint: TinyCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a network with two branches as a file, in a folder of its own."""
    return saved(tiny_checkpoint, tmp_path_factory)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: TinyCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, one for all tests of a module."""
    return saved(tiny_checkpoint, tmp_path_factory)


def saved(tiny_checkpoint: TinyCheckpoint, folders: pytest.TempPathFactory) -> Path:
    path: Path = folders.mktemp("tiny") / "ckpt.pt"
    save_checkpoint(path, tiny_checkpoint("n+n"))
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: TinyCheckpoint) -> TinyBundle:
    """``tiny_bundle(folder, precision="fp32", branches="1+n")``: such a network as a bundle."""

    def make(folder: Path, precision: str = "fp32", branches: str = "n+n") -> Path:
        checkpoint = tiny_checkpoint(branches)
        val = load_data(DIGITS).splits["val"]
        images = torch.stack([val[place][0] for place in range(32)]).numpy()
        export_bundle(
            checkpoint, folder, ExportOptions(PRECISIONS[precision], max_batch=64), images, "val"
        )
        return folder

    return make
