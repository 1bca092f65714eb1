"""Paths that the system refuses: one line, for every option and argument that takes one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import Result
from edgeexit_runtime.errors import MESSAGE_CHARACTERS
from PIL import Image
from support import command_line
from support.own_onnx import internal
from support.permissions import permissions_count

from edgeexit.cli import COMMANDS

CHECKPOINT, BUNDLE, IMAGE, MODEL = "run/ckpt.pt", "bundle", "image.png", "m.onnx"
QUICK = ("--duration", "0.1", "--warm-up", "0", "--rounds", "1")
# what a command needs besides the path in question, by the command or by both
OTHERS: dict[str, tuple[str, ...]] = {
    "demo": (),
    "train": ("--backbone", "resnet20", "--dataset", "digits", "--epochs", "1"),
    "train data_dir": ("--backbone", "resnet20", "--dataset", "imagefolder", "-o", "new"),
    "train config": (),
    "eval": (),
    "eval data_dir": (CHECKPOINT, "--dataset", "imagefolder"),
    "compare": (),
    "tune": (CHECKPOINT, "--max-drop", "0.5"),
    "tune path": (),
    "tune images": ("--engine-dir", BUNDLE, "--max-disagreement", "0.5"),
    "tune engine_dir": (),
    "tune data_dir": (CHECKPOINT, "--dataset", "imagefolder"),
    "split": (MODEL, "--samples", "1"),
    "split file": (),
    "split calibration_data": (MODEL, "--precision", "int8"),
    "split data_dir": (MODEL, "--dataset", "imagefolder"),
    "export": (CHECKPOINT,),
    "export path": (),
    "export calibration_data": (CHECKPOINT, "--precision", "int8"),
    "export data_dir": (CHECKPOINT, "--dataset", "imagefolder"),
    "build": (),
    "bench": ("--engine-dir", BUNDLE, *QUICK),
    "bench engine_dir": (),
    "bench data_dir": ("--engine-dir", BUNDLE, "--dataset", "imagefolder"),
    "bench versus": ("--engine-dir", BUNDLE, "--dataset", "digits", *QUICK),
    "bench report": (),
    "bench compare": (),
    "predict sources": ("--engine-dir", BUNDLE),
    "predict engine_dir": (IMAGE,),
    "serve": (),
    "pack": (BUNDLE,),
    "pack bundle": (),
    "pack data_dir": (BUNDLE, "--dataset", "imagefolder"),
    "triton": (BUNDLE,),
    "triton bundle": (),
    "plan": ("resnet20", "--branches", "n+n"),
    "plan times": (),
    "figures paths": ("-o", "figures"),
    "figures output": (BUNDLE,),
    "figures data_dir": (BUNDLE, "-o", "figures", "--dataset", "imagefolder"),
    "consistency baseline": ("-o", "consistency", CHECKPOINT),
    "consistency paths": ("-o", "consistency", CHECKPOINT),
    "consistency output": (CHECKPOINT, CHECKPOINT),
    "consistency data_dir": (CHECKPOINT, CHECKPOINT, "--dataset", "imagefolder"),
}
SUFFIXES = {"plot_file": ".png", "plot": ".png", "html_file": ".html", "calibration_data": ".npz"}


def path_parameters() -> list[tuple[str, click.Parameter]]:
    """Return all parameters of all commands that take a path."""
    commands = [(name, importlib.import_module(file).command) for name, file in COMMANDS.items()]
    return [
        (name, parameter)
        for name, command in commands
        for parameter in command.params
        if isinstance(parameter.type, click.Path)
        # it takes a finished run to get there; the option is that of the others
        and (name, parameter.name) != ("compare", "data_dir")
    ]


PARAMETERS = path_parameters()


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, tiny_bundle: Callable[..., Path]
) -> Path:
    """A folder with a checkpoint, a bundle, an ONNX model and an image."""
    folder: Path = tmp_path_factory.mktemp("here")
    (folder / "run").mkdir()
    (folder / CHECKPOINT).write_bytes(checkpoint.read_bytes())
    tiny_bundle(folder / BUNDLE)
    internal().save(folder)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / IMAGE)
    return folder


def too_long(folder: Path, suffix: str) -> Path:
    return folder / ("x" * 300 + suffix)


def too_deep(folder: Path, suffix: str) -> Path:
    return folder.joinpath(*["x"] * 3000, f"x{suffix}")


def link_to_itself(folder: Path, suffix: str) -> Path:
    link = folder / f"loop{suffix}"
    link.symlink_to(link)
    return link


def behind_a_link_to_itself(folder: Path, suffix: str) -> Path:
    return link_to_itself(folder, "") / f"x{suffix}"


def below_a_file(folder: Path, suffix: str) -> Path:
    (folder / "file").write_text("mine")
    return folder / "file" / f"x{suffix}"


def with_nul(folder: Path, suffix: str) -> Path:
    return folder / f"a\0b{suffix}"


def without_permission(folder: Path, suffix: str) -> Path:
    (folder / "locked").mkdir(mode=0o000)
    return folder / "locked" / f"x{suffix}"


REFUSED = [
    *(too_long, too_deep, link_to_itself, behind_a_link_to_itself, below_a_file, with_nul),
    without_permission,
]


def invoke(name: str, parameter: click.Parameter, path: Path) -> Result:
    key = f"{name} {parameter.name}"
    others = OTHERS.get(key, OTHERS.get(name))
    assert others is not None, f"say in OTHERS what {key} needs to be reached"
    given = [str(path)] * max(1, parameter.nargs)
    if isinstance(parameter, click.Option):
        given.insert(0, parameter.opts[-1])
    with permissions_count():
        # the baseline stands before the networks, which are one there
        return command_line.invoke(name, *given, *others)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.__name__)
@pytest.mark.parametrize(
    ("name", "parameter"), PARAMETERS, ids=[f"{name}-{it.name}" for name, it in PARAMETERS]
)
def test_a_path_that_the_system_refuses_is_one_line(
    name: str,
    parameter: click.Parameter,
    refused: Callable[[Path, str], Path],
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(here)
    result = invoke(name, parameter, refused(tmp_path, SUFFIXES.get(str(parameter.name), "")))
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert result.exit_code in (1, 2)
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("Error: "))
    assert result.stderr.endswith(f"{line}\n")
    assert len(line) <= len("Error: ") + MESSAGE_CHARACTERS
    assert ("null" if refused is with_nul else str(tmp_path)[:30]) in line
