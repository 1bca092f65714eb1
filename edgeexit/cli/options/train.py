"""The options of ``edgeexit train``; ``train_layers.py`` makes a configuration of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import FOLDER, PATH, flag, option
from edgeexit.cli.options.shared import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    device_option,
    download_option,
    exits_option,
    max_pixels_option,
    model_option,
    new_classifier_option,
    output_option,
    outputs_option,
    resize_option,
    std_option,
    weights_key_option,
    workers_option,
)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """A training run: mostly fields of ``TrainConfig`` and ``DataConfig``."""

    backbone: str | None = option("E.g. resnet20.  [required unless --model or --resume]")
    model: str | None = model_option()
    exits: str = exits_option()
    outputs: str = outputs_option()
    branches: str = option("Pattern, e.g. 4+3+2.", default="none")
    pretrained: bool = flag("Start from the backbone's public weights.")
    init: str = option(
        "Start from the backbone of this checkpoint, or from weights of another program: "
        ".pth, .ckpt or .safetensors.",
        default="",
        metavar="CKPT|WEIGHTS",
    )
    weights_key: str = weights_key_option()
    new_classifier: bool = new_classifier_option()
    dataset: str | None = option(
        "digits, cifar10, cifar100 or imagefolder.  [required unless --resume]", section="Data"
    )
    data_dir: str | None = option("Folder of the images.", type=click.Path())
    download: bool = download_option()
    input_size: tuple[int, int] | None = option(
        "Height and width in pixels: 224, or 120x160.  [default: the usual size for the data "
        "set; for imagefolder, the backbone's]",
        type=typed.size,
    )
    channels: int | None = option(
        "Read images as gray (1) or color (3).  [default: 3]", type=click.Choice([1, 3])
    )
    mean: tuple[float, ...] | None = option(
        "Mean to subtract from images in 0 to 1, one number per channel, e.g. the one that "
        "--init was trained with.  [default: the usual mean for the data set]",
        type=typed.numbers,
    )
    std: tuple[float, ...] | None = std_option()
    resize: int | None = resize_option()
    hold_out: int | None = option(
        "Training images per class to validate on.  [default: the usual ones for the data set]",
        type=AT_LEAST_1,
        metavar="N",
    )
    augmentation: str = option(
        "none, crop, crop-flip, resize-crop-flip or random-resized-crop-flip; auto is the "
        "usual one for the data set.",
        default="auto",
        metavar="NAME",
    )
    skip_corrupt: bool = flag("Skip files that cannot be read.")
    max_pixels: int | None = max_pixels_option()
    workers: int = workers_option()
    recipe: str | None = option(
        "The paper's settings: cifar100 or imagenet. Typed options take precedence.",
        section="Training",
        metavar="NAME",
    )
    config: Path | None = option(
        "The config.toml of another run. Typed options take precedence.", type=PATH
    )
    strategy: str = option(
        "coop (all jointly), branches-only (on a frozen backbone) or stage-wise.",
        default="coop",
        metavar="NAME",
    )
    epochs: int = option(
        "Per phase of the strategy. The paper trains 300 on CIFAR-100, 60 on ImageNet.",
        default=30,
        type=AT_LEAST_1,
    )
    batch_size: int = option(
        "Images per step, over all processes.", default=64, type=click.IntRange(min=2)
    )
    lr: float = option("Initial learning rate.", default=0.01, type=ABOVE_0)
    momentum: float = option(None, default=0.9, type=click.FloatRange(min=0, max=1, max_open=True))
    weight_decay: float = option(None, default=1e-4, type=click.FloatRange(min=0))
    seed: int = option(None, default=0, type=AT_LEAST_0)
    distill: str = option(
        "Teacher: none, dk (a trained backbone), ofa (the last exit), med (the mean of all) "
        "or wed (the weighted mean).",
        section="Distillation (Eq. 3)",
        default="none",
        metavar="NAME",
    )
    teacher: str = option(
        "For dk: a checkpoint, or pretrained[:BACKBONE] for public weights.",
        default="",
        metavar="CKPT",
    )
    distill_lambda: float = option(
        "Weight of the labels against the teacher.",
        default=0.9,
        type=click.FloatRange(min=0, max=1),
    )
    temperature: float = option(
        "Softens the class probabilities of the teacher and the exits.", default=1.0, type=ABOVE_0
    )
    device: str = device_option(section="Execution")
    amp: str = option(
        "Automatic mixed precision.", default="off", type=click.Choice(["off", "bf16", "fp16"])
    )
    accumulate: int = option(
        "Process each batch in this many parts, to save memory.", default=1, type=AT_LEAST_1
    )
    channels_last: bool | None = option(
        "Memory format.  [default: channels last, except for --model]",
        "--channels-last/--no-channels-last",
        default=None,
    )
    compile: bool = flag("Use torch.compile.")
    sync_batch_norm: bool = flag("Share statistics among all processes (GPUs only).")
    output: Path = output_option(
        "The run's folder; an existing run is never overwritten.",
        section="Output",
        default=Path("run"),
        type=FOLDER,
    )
    resume: bool = flag("Continue the run in the folder, with its options.")
    save_minutes: float = option(
        "Minutes between saves within long epochs.", default=5.0, type=click.FloatRange(min=0)
    )
    as_json: bool = flag("Print the summary as JSON.", "--json")
