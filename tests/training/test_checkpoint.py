from __future__ import annotations

import pickle
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.images.preprocess import Preprocessing
from support.full_disk import full_disk

from edgeexit.data import DataConfig
from edgeexit.errors import CheckpointError, WriteError
from edgeexit.models import ExitSpec, MultiExitNet, make_spec
from edgeexit.training import Checkpoint, load_checkpoint, save_checkpoint
from edgeexit.training.checkpoint import FORMAT_VERSION

SIZE = (3, 8, 8)


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    net = MultiExitNet(make_spec("resnet20", "1+n", 2, SIZE))
    return Checkpoint(
        spec=net.spec,
        weights=net.state_dict(),
        preprocessing=Preprocessing(SIZE, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), resize=9),
        class_names=("a", "b"),
        thresholds={"exit1": 0.9, "exit2": 2.0},
        data=DataConfig("digits", None, SIZE),
        training={"epoch": 3, "config": {"lr": 0.1}},
        metrics={"accuracy": {"exit1": 0.5}},
    )


@pytest.fixture
def path(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    save_checkpoint(tmp_path / "ckpt.pt", checkpoint)
    return tmp_path / "ckpt.pt"


def _edit(path: Path, **changes: Any) -> None:
    torch.save({**torch.load(path, weights_only=True), **changes}, path)


def test_what_is_saved_comes_back(path: Path, checkpoint: Checkpoint) -> None:
    chosen = replace(checkpoint, temperatures={"exit1": 2.5}, score="margin", guarantee=GUARANTEE)
    for saved in (checkpoint, chosen):
        save_checkpoint(path, saved)
        loaded = load_checkpoint(path)
        for field in fields(Checkpoint):
            if field.name != "weights":
                assert getattr(loaded, field.name) == getattr(saved, field.name), field.name
        assert list(loaded.weights) == list(saved.weights)
        assert all(torch.equal(loaded.weights[k], v) for k, v in saved.weights.items())
        net = loaded.build()
        assert (net.temperatures, net.score) == (saved.temperatures, saved.score)


GUARANTEE = Guarantee("error", 0.1, 0.9, 300, 0.07, "digits, val", {"exit1": 0.5, "exit2": 0.25})


def test_the_built_network_gives_the_same_logits(path: Path, checkpoint: Checkpoint) -> None:
    source = MultiExitNet(checkpoint.spec)
    source.load_state_dict(checkpoint.weights)
    images = torch.randn(2, *SIZE)
    net = load_checkpoint(path).build()
    assert not net.training
    for name, logits in source.eval()(images).items():
        assert torch.equal(net(images)[name], logits)


def test_a_view_is_stored_without_the_memory_behind_it(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    whole = torch.zeros(1000, 1000)
    big = {**checkpoint.weights, "extra": whole[0]}
    save_checkpoint(tmp_path / "big.pt", replace(checkpoint, weights=big))
    assert (tmp_path / "big.pt").stat().st_size < 3_000_000


def test_a_missing_file(tmp_path: Path) -> None:
    message = r"ckpt\.pt: could not read the checkpoint \(No such file or directory\); give the"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointError, match="Is a directory"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="the checkpoint is truncated; train or copy it"):
        load_checkpoint(path)


class _Code:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


def test_foreign_files_are_refused_and_run_no_code(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)

    def write_archive() -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", b"\0" * 100_000)

    for write in (
        lambda: path.write_text("hello, this is text"),
        lambda: path.write_bytes(pickle.dumps(_Code())),
        lambda: torch.save({"model": torch.zeros(2)}, path),
        lambda: torch.save(_Code(), path),
        write_archive,
    ):
        write()
        with pytest.raises(CheckpointError, match=r"ckpt\.pt: not a checkpoint of edgeexit"):
            load_checkpoint(path)
    assert not Path("executed").exists()


def test_a_newer_format(path: Path) -> None:
    _edit(path, format_version=FORMAT_VERSION + 1)
    formats = rf"\(format {FORMAT_VERSION + 1}, this reads {FORMAT_VERSION}\)"
    message = rf"made by a newer edgeexit {formats}: upgrade edgeexit"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"format_version": "new"}, "no format version"),
        ({"spec": None}, "spec: expected an object, got null"),
        ({"class_names": ["a", 1]}, r"class_names\[1\]: expected a string, got 1"),
        ({"class_names": ["a"]}, "class_names: expected 2, got 1"),
        ({"guarantee": 1}, "guarantee: expected an object, got 1"),
        ({"guarantee": {**encode(GUARANTEE), "target": 3}}, "guarantee: target: expected above 0"),
        (
            {"guarantee": {**encode(GUARANTEE), "thresholds": {}}},
            r"guarantee.thresholds: expected one for each of .*got \[\]",
        ),
        ({"thresholds": {"exit1": 0.5}}, r"thresholds: expected one for each of .* got"),
        ({"thresholds": {"exit1": 0.5, "exit2": float("nan")}}, "expected a finite number"),
        ({"temperatures": {"exit9": 1.0}}, r"temperatures: expected exits of .*got \['exit9'\]"),
        ({"temperatures": {"exit1": 0.0}}, "temperatures: expected above 0, got"),
        ({"temperatures": {"exit1": "warm"}}, "temperatures.exit1: expected a finite number"),
        ({"score": "luck"}, "score 'luck'"),
        ({"weights": {"a": 1}}, "weights: expected tensors by name"),
        ({"training": {"lr": float("nan")}}, "expected finite numbers, got NaN"),
        ({"training": {"seed": 2**64}}, "expected integers of 64 bits, got 18446744073709551616"),
        ({"metrics": {"accuracy": torch.zeros(2)}}, "Tensor is not JSON serializable"),
        ({"weights": {"a": torch.tensor([0.0, float("nan")])}}, r"weights\.a: expected finite"),
        (
            {"weights": {"a": torch.tensor([3e38, 3e38, -float("inf")])}},
            r"weights\.a: expected fin",
        ),
        ({"data": {"name": "digits", "colour": 1}}, "data.colour: no such field"),
        (
            {"preprocessing": {"input_size": [3, 9, 9], "mean": [0, 0, 0], "std": [1, 1, 1]}},
            r"preprocessing.input_size: expected \(3, 8, 8\), got \(3, 9, 9\)",
        ),
    ],
)
def test_damaged_fields_are_named(path: Path, changes: dict[str, Any], what: str) -> None:
    _edit(path, **changes)
    with pytest.raises(CheckpointError, match=f"the checkpoint is damaged.*{what}"):
        load_checkpoint(path)


def test_weights_of_another_network(checkpoint: Checkpoint) -> None:
    weights = {k: v for k, v in checkpoint.weights.items() if not k.startswith("branches")}
    message = "the weights do not fit resnet20 with branches 1.n .Missing key"
    with pytest.raises(CheckpointError, match=message) as caught:
        replace(checkpoint, weights=weights).build()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    first = next(iter(checkpoint.weights))
    changed = {**checkpoint.weights, first: torch.zeros(7, 3, 3, 3)}
    with pytest.raises(CheckpointError, match="size mismatch"):
        replace(checkpoint, weights=changed).build()


def test_weights_get_the_networks_own_types(checkpoint: Checkpoint) -> None:
    source = checkpoint.build()
    doubles = {
        name: value.double() if value.is_floating_point() else value.int()
        for name, value in checkpoint.weights.items()
    }
    net = replace(checkpoint, weights=doubles).build()
    for name, value in net.state_dict().items():
        assert value.dtype == source.state_dict()[name].dtype
        assert torch.equal(value, source.state_dict()[name])


def test_large_weights_are_finite(path: Path, checkpoint: Checkpoint) -> None:
    first = next(iter(checkpoint.weights))
    large = {**checkpoint.weights, first: torch.full_like(checkpoint.weights[first], 3e38)}
    save_checkpoint(path, replace(checkpoint, weights=large))  # their sum is infinite
    assert torch.equal(load_checkpoint(path).weights[first], large[first])


def test_a_full_disk_leaves_the_old_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    before = path.read_bytes()
    with full_disk(room=1000), pytest.raises(WriteError, match=r"ckpt\.pt.*File too large"):
        save_checkpoint(path, replace(checkpoint, class_names=("c", "d")))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["ckpt.pt"]


@pytest.mark.parametrize("name", ["/tmp/evil", "../evil", "exit1.logits", "final", "exit0"])
def test_exit_names_that_are_no_names_of_exits(name: str) -> None:
    with pytest.raises(ValueError, match="name: expected exit1, exit2 and so on"):
        ExitSpec(name, "stage1", "1")


def test_changed_bytes_are_found_out(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content = bytearray(path.read_bytes())
    middle = largest.header_offset + largest.file_size // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("version", "name", "value"),
    [(FORMAT_VERSION, "guarantee", None), (1, "temperatures", {}), (3, "score", "softmax")],
)
def test_older_formats_have_no_such_field(
    path: Path, version: int, name: str, value: object
) -> None:
    content = torch.load(path, weights_only=True)
    del content[name]
    torch.save({**content, "format_version": version}, path)
    assert getattr(load_checkpoint(path), name) == value


def test_another_score_has_no_guarantee(checkpoint: Checkpoint) -> None:
    kept = replace(checkpoint, guarantee=GUARANTEE)
    assert kept.with_score("softmax").guarantee == GUARANTEE
    assert kept.with_score("entropy").guarantee is None
