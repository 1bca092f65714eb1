"""Checkpoints: bytes of the file and of the pickle in it, and values of other kinds."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from hypothesis import strategies as st
from support import tiny_backbones  # noqa: F401  registers them
from support.damage import constants, damaged_bytes, damaged_tree
from support.registries import keep_registries
from support.runs import Listener
from support.tiny_data import short_run, tiny

from edgeexit.data import DataConfig, register_dataset
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import Checkpoint, save_checkpoint, train
from edgeexit.training.run import InterruptedRunError

Fuzz = Callable[..., None]

SIZE = (3, 8, 8)
FILE = "ckpt.pt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small network with two branches and random weights."""
    torch.manual_seed(0)
    net = MultiExitNet(make_spec("three_convolutions", "1+n", 2, SIZE))
    checkpoint = Checkpoint(
        spec=net.spec,
        weights=net.state_dict(),
        preprocessing=Preprocessing(SIZE, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), resize=9),
        class_names=("a", "b"),
        thresholds={"exit1": 0.9, "exit2": 0.5},
        data=DataConfig("digits", None, SIZE),
        training={"epoch": 3, "config": {"lr": 0.1}},
        metrics={"accuracy": {"exit1": 0.5}},
        temperatures={"exit1": 2.0},
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder / FILE, checkpoint)
    return folder


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped in the second step of its second epoch."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        keep_registries(patch)
        register_dataset(tiny)
        with pytest.raises(InterruptedRunError):
            train(short_run(), folder, progress=Listener((2, 2)))
    return folder


def test_checkpoint_bytes(fuzz: Fuzz, whole: Path) -> None:
    """Damage as disks and copies make it: it is never taken for another checkpoint."""
    contents = damaged_bytes((whole / FILE).read_bytes())
    fuzz("checkpoint", whole, contents.map(lambda content: {FILE: content}), runs=40, other=False)


def test_checkpoint_directory(fuzz: Fuzz, whole: Path) -> None:
    """Methods, versions, flags, sizes and places of the entries."""
    content = (whole / FILE).read_bytes()
    start = content.index(b"PK\x01\x02")
    files = damaged_bytes(content[start:]).map(lambda it: {FILE: content[:start] + it})
    fuzz("checkpoint", whole, files, runs=40, other=False)


def test_checkpoint_pickle(fuzz: Fuzz, whole: Path) -> None:
    """What the file says of its tensors and values, its checksum put right."""
    with zipfile.ZipFile(whole / FILE) as archive:
        entries = {member.filename: archive.read(member) for member in archive.infolist()}
    (pickle,) = [name for name in entries if name.endswith("data.pkl")]

    def packed(content: bytes) -> dict[str, bytes]:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, entry in {**entries, pickle: content}.items():
                archive.writestr(name, entry)
        return {FILE: buffer.getvalue()}

    fuzz("checkpoint", whole, damaged_bytes(entries[pickle]).map(packed), runs=60)


@pytest.mark.filterwarnings("ignore")  # torch's, of the kinds of tensor that are made here
def test_checkpoint_values(fuzz: Fuzz, whole: Path) -> None:
    fuzz("checkpoint", whole, _damaged_values(whole / FILE), runs=100)


@pytest.mark.filterwarnings("ignore")
def test_run_values(fuzz: Fuzz, stopped_run: Path) -> None:
    """A run goes on from what its last state says, to finite weights, or not at all."""
    fuzz("run", stopped_run, _damaged_values(stopped_run / "last.pt"), runs=40)


def _damaged_values(file: Path) -> st.SearchStrategy[dict[str, bytes]]:
    def load() -> Any:
        return torch.load(file, weights_only=True)

    def saved(content: Any) -> dict[str, bytes]:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return {file.name: buffer.getvalue()}

    return damaged_tree(load, MAKES).map(saved)


def _nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def _shared(levels: int) -> Any:
    """A small file, but as a tree of more values than any memory has."""
    value: Any = "x" * 100
    for _ in range(levels):
        value = [value] * 10
    return value


def _endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def _tensor(value: Any) -> Any:
    return value if isinstance(value, torch.Tensor) else torch.zeros(4)


MAKES: list[Callable[[Any], Any]] = [
    *constants(None, True, 0, -1, 2**70, 0.5, math.nan, math.inf, "", "final"),
    *constants("\x1b[31m\n\ud800", Counter("abc"), {1, 2}, b"abc", bytearray(10), 1j),
    *constants(torch.float32, torch.Size([2, 3]), torch.zeros(3)),
    lambda old: [old],
    lambda old: {"a": old},
    lambda old: OrderedDict(a=old),
    lambda old: (old, old, old),
    lambda old: _nested(old, 200),
    lambda old: _shared(9),
    lambda old: _endless(),
    lambda old: torch.nn.Parameter(_tensor(old).float()),
    lambda old: _tensor(old).double(),
    lambda old: _tensor(old).half(),
    lambda old: _tensor(old).int(),
    lambda old: _tensor(old).to(torch.complex64),
    lambda old: _tensor(old).to_sparse(),
    lambda old: torch.sparse_coo_tensor(torch.zeros(2, 0), [], (2**30, 2**30)),
    lambda old: _tensor(old).to("meta"),
    lambda old: torch.quantize_per_tensor(_tensor(old).float(), 0.1, 0, torch.qint8),
    lambda old: torch.zeros(1).expand(_tensor(old).shape),
    lambda old: torch.zeros(1).expand(2**34),
    lambda old: torch.as_strided(torch.zeros(2**10), (2**10, 2**10), (0, 1)),
    lambda old: torch.full_like(_tensor(old).float(), math.nan),
    lambda old: torch.full_like(_tensor(old).float(), 3e38),
]
"""What stands in a value's place, made of it."""
