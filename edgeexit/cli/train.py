"""``edgeexit train``: train a network and write a run folder with checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.inputs.samples import DEVICE_OPTION, WORKERS_OPTION
from edgeexit.cli.options import typed
from edgeexit.cli.options.shared import (
    SectionedCommand,
    exits_option,
    import_model,
    max_pixels_option,
    model_option,
    outputs_option,
    resize_option,
    section,
    weights_options,
)
from edgeexit.cli.options.train import Choice, choose_config, resumed_config
from edgeexit.cli.output.train import TrainProgress, accuracies, is_main_process
from edgeexit.cli.terminal import print_json, say
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit.training import TrainResult

POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("train", cls=SectionedCommand)
@section(
    "Network",
    click.option("--backbone", help="E.g. resnet20.  [required unless --model or --resume]"),
    model_option,
    exits_option,
    outputs_option,
    click.option("--branches", default="none", show_default=True, help="Pattern, e.g. 4+3+2."),
    click.option("--pretrained", is_flag=True, help="Start from the backbone's public weights."),
    click.option(
        "--init",
        default="",
        metavar="CKPT|WEIGHTS",
        help="Start from the backbone of this checkpoint, or from weights of another program: "
        ".pth, .ckpt or .safetensors.",
    ),
    weights_options,
)
@section(
    "Data",
    click.option(
        "--dataset", help="digits, cifar10, cifar100 or imagefolder.  [required unless --resume]"
    ),
    click.option("--data-dir", type=click.Path(), help="Folder of the images."),
    click.option("--download", is_flag=True, help="Download the data set if it is missing."),
    click.option(
        "--input-size",
        type=typed.size,
        help="Height and width in pixels: 224, or 120x160.  [default: the usual size for the data "
        "set; for imagefolder, the backbone's]",
    ),
    click.option(
        "--channels",
        type=click.Choice([1, 3]),
        help="Read images as gray (1) or color (3).  [default: 3]",
    ),
    click.option(
        "--mean",
        type=typed.numbers,
        help="Mean to subtract from images in 0 to 1, one number per channel, e.g. the one that "
        "--init was trained with.  [default: the usual mean for the data set]",
    ),
    click.option(
        "--std", type=typed.numbers, help="Likewise: standard deviation to divide them by."
    ),
    resize_option,
    click.option(
        "--hold-out",
        type=click.IntRange(min=1),
        metavar="N",
        help="Training images per class to validate on.  [default: the usual ones for the data "
        "set]",
    ),
    click.option(
        "--augmentation",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="none, crop, crop-flip, resize-crop-flip or random-resized-crop-flip; auto is the "
        "usual one for the data set.",
    ),
    click.option("--skip-corrupt", is_flag=True, help="Skip files that cannot be read."),
    max_pixels_option,
    WORKERS_OPTION,
)
@section(
    "Training",
    click.option(
        "--recipe",
        metavar="NAME",
        help="The paper's settings: cifar100 or imagenet. Typed options take precedence.",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="The config.toml of another run. Typed options take precedence.",
    ),
    click.option(
        "--strategy",
        default="coop",
        show_default=True,
        metavar="NAME",
        help="coop (all jointly), branches-only (on a frozen backbone) or stage-wise.",
    ),
    click.option(
        "--epochs",
        default=30,
        show_default=True,
        type=click.IntRange(min=1),
        help="Per phase of the strategy. The paper trains 300 on CIFAR-100, 60 on ImageNet.",
    ),
    click.option(
        "--batch-size",
        default=64,
        show_default=True,
        type=click.IntRange(min=2),
        help="Images per step, over all processes.",
    ),
    click.option(
        "--lr", default=0.01, show_default=True, type=POSITIVE, help="Initial learning rate."
    ),
    click.option(
        "--momentum",
        default=0.9,
        show_default=True,
        type=click.FloatRange(min=0, max=1, max_open=True),
    ),
    click.option("--weight-decay", default=1e-4, show_default=True, type=click.FloatRange(min=0)),
    click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0)),
)
@section(
    "Distillation (Eq. 3)",
    click.option(
        "--distill",
        default="none",
        show_default=True,
        metavar="NAME",
        help="Teacher: none, dk (a trained backbone), ofa (the last exit), med (the mean of all) "
        "or wed (the weighted mean).",
    ),
    click.option(
        "--teacher",
        default="",
        metavar="CKPT",
        help="For dk: a checkpoint, or pretrained[:BACKBONE] for public weights.",
    ),
    click.option(
        "--distill-lambda",
        default=0.9,
        show_default=True,
        type=click.FloatRange(min=0, max=1),
        help="Weight of the labels against the teacher.",
    ),
    click.option(
        "--temperature",
        default=1.0,
        show_default=True,
        type=POSITIVE,
        help="Softens the class probabilities of the teacher and the exits.",
    ),
)
@section(
    "Execution",
    DEVICE_OPTION,
    click.option(
        "--amp",
        default="off",
        show_default=True,
        type=click.Choice(["off", "bf16", "fp16"]),
        help="Automatic mixed precision.",
    ),
    click.option(
        "--accumulate",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Process each batch in this many parts, to save memory.",
    ),
    click.option(
        "--channels-last/--no-channels-last",
        default=None,
        help="Memory format.  [default: channels last, except for --model]",
    ),
    click.option("--compile", is_flag=True, help="Use torch.compile."),
    click.option(
        "--sync-batch-norm", is_flag=True, help="Share statistics among all processes (GPUs only)."
    ),
)
@section(
    "Output",
    click.option(
        "-o",
        "--output",
        default="run",
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The run's folder; an existing run is never overwritten.",
    ),
    click.option(
        "--resume", is_flag=True, help="Continue the run in the folder, with its options."
    ),
    click.option(
        "--save-minutes",
        default=5.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Minutes between saves within long epochs.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
)
@click.pass_context
def command(ctx: click.Context, /, output: Path, resume: bool, as_json: bool, **_: Any) -> None:
    """Train a multi-exit network and save the best and the last epoch.

    Writes ckpt.pt (the epoch with the best mean validation accuracy over all exits), last.pt (to
    resume from), metrics.jsonl and config.toml (to repeat the training).

    \b
    Examples:
      edgeexit train --backbone resnet20 --branches 3+1 --dataset digits --distill wed \\
          --epochs 12 --batch-size 32 --lr 0.05
      edgeexit train --resume
      edgeexit train --config run/config.toml --seed 1 -o run1/
      edgeexit train --recipe cifar100 --backbone resnet56 --branches 3+1 --download -o r56/
      edgeexit train --backbone resnet18 --pretrained --strategy branches-only --branches 4+3+2 \\
          --recipe imagenet --data-dir imagenet/ -o r18/
      edgeexit train --model torchvision.models:mobilenet_v3_small --branches n+n \\
          --exits features.1,features.3 --dataset digits --epochs 3 -o own/
      edgeexit train --model my_models:MSDNet --outputs 0,1,2 --dataset digits -o own/
    Several GPUs, or CPU processes:
      torchrun --nproc-per-node 2 -m edgeexit train --backbone resnet20 ... -o run/
    """
    from edgeexit.training import stored_config, train

    factory = import_model(ctx.params["model"])
    if resume:
        choice = Choice(resumed_config(ctx, stored_config(output)), ())
    else:
        choice = choose_config(ctx)
    progress = TrainProgress()
    with progress.bar:
        for line in choice.remarks:
            progress.remark(line)
        result = train(
            choice.config,
            output,
            resume=resume,
            on_epoch=progress.epoch_done,
            progress=progress,
            model=factory,
        )
    if not is_main_process():
        return
    if as_json:
        print_json(_as_json(result))
    else:
        _print_summary(result)


def _as_json(result: TrainResult) -> dict[str, Any]:
    config, best = result.config, result.best
    return {
        "checkpoint": str(result.checkpoint),
        "last": str(result.last),
        "backbone": config.backbone,
        "branches": config.branches,
        "dataset": config.data.name,
        "strategy": config.strategy,
        "distill": config.distill,
        "epochs": len(result.history),
        "best_epoch": best.epoch,
        "accuracy": best.accuracy,
        "mean_accuracy": best.mean_accuracy,
        "teacher_accuracy": best.teacher_accuracy,
        "finished_before": result.finished_before,
    }


def _print_summary(result: TrainResult) -> None:
    config, best = result.config, result.best
    network = [result.checkpoint, *([] if config.is_registered else ["--model", config.backbone])]
    following = format_command("eval", *network)
    if config.branches != "none":
        following = format_command("tune", *network, "--max-drop", 0.01)
    lines = (
        f"{config.backbone}, branches {config.branches}, on {config.data.name}: best epoch "
        f"{best.epoch} of {len(result.history)}",
        f"validation accuracy: {accuracies(best.accuracy, best.teacher_accuracy)}",
        f"best epoch: {result.checkpoint}   last epoch: {result.last}",
        f"next: {following}",
    )
    for line in lines:
        say(line)
