from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgeexit.data import DataConfig
from edgeexit.errors import InputError
from edgeexit.training import TrainConfig
from edgeexit.training.settings.config_file import read_options, write_config


def _different() -> TrainConfig:
    """A configuration in which no field has its default."""
    data = DataConfig(
        *("imagefolder", 'a "folder"', (3, 40, 50), True, 7, "none", True, 2000, 3),
        *((0.1, 0.2, 0.3), (0.5, 0.25, 1.0), 60),
    )
    return TrainConfig(
        backbone="my:Net",
        branches="3+1",
        data=data,
        epochs=7,
        strategy="branches-only",
        distill="dk",
        teacher="teacher.pt",
        init="init.pt",
        batch_size=12,
        lr=0.5,
        momentum=0.1,
        weight_decay=0.0,
        distill_lambda=0.25,
        temperature=3.0,
        seed=5,
        workers=2,
        device="cpu",
        pretrained=False,
        exits="a,b",
        weights_key="ema",
        new_classifier=True,
        accumulate=3,
        amp="bf16",
        channels_last=False,
        compile=True,
        sync_batch_norm=True,
        save_minutes=1.5,
    )


def _read(path: Path) -> TrainConfig:
    options = read_options(path)
    return TrainConfig(data=DataConfig(**options.pop("data")), **options)


@pytest.mark.parametrize(
    "config", [TrainConfig("resnet20", "none", DataConfig("digits")), _different()]
)
def test_what_is_written_is_read_back(tmp_path: Path, config: TrainConfig) -> None:
    write_config(tmp_path / "config.toml", config)
    assert _read(tmp_path / "config.toml") == config
    text = (tmp_path / "config.toml").read_text()
    assert text.startswith("# How this run was trained. The same again: edgeexit train --config")


def test_every_field_differs_from_its_default() -> None:
    config = _different()
    for part in (config, config.data):
        for item in dataclasses.fields(part):
            # pretrained excludes init, outputs exits, and the fingerprint is no option
            if item.name not in ("pretrained", "outputs", "fingerprint"):
                assert getattr(part, item.name) != item.default, item.name


def test_a_file_may_set_a_few_options(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("lr = 1\n[data]\nname = 'digits'\n")
    assert read_options(tmp_path / "x.toml") == {"lr": 1.0, "data": {"name": "digits"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs 3", "not TOML \\(Expected '=' after a key"),
        (b"lr = " + b"[" * 5000, "not TOML \\(maximum recursion depth"),
        (b"\xff\xfe", "not TOML \\('utf-8' codec"),
        (b"epochz = 3", "unknown option 'epochz': did you mean epochs"),
        (b"zzz = 3", "unknown option 'zzz': known: accumulate, amp, backbone, batch"),
        (b"epochs = 'three'", 'epochs: expected an integer, got "three"; correct the file'),
        (b"[data]\nnames = 'x'", "unknown option 'data.names': did you mean data.name"),
        (b"[data]\nfingerprint = 'x'", "unknown option 'data.fingerprint'"),
        (b"data = 3", "expected a table, got 3"),
        (b"#" * (1 << 21), "more than 1048576 bytes; give the config.toml of a run"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_options(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: could not read the configuration \(No such"):
        read_options(tmp_path / "none.toml")
    with pytest.raises(InputError, match="could not read the configuration"):
        read_options(tmp_path)
