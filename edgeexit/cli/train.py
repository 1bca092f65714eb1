"""``edgeexit train``: train a network and write a run folder with checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.options.fields import SectionedCommand, takes
from edgeexit.cli.options.shared import import_model
from edgeexit.cli.options.train import TrainOptions
from edgeexit.cli.options.train_layers import choose_config, resumed_config
from edgeexit.cli.output.train import TrainProgress, accuracies, is_main_process
from edgeexit.cli.terminal import print_json, say
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit.training import TrainResult


@click.command("train", cls=SectionedCommand)
@takes(TrainOptions, "Network")
def command(options: TrainOptions) -> None:
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

    factory = import_model(options.model)
    remarks: tuple[str, ...] = ()
    if options.resume:
        config = resumed_config(stored_config(options.output))
    else:
        config, remarks = choose_config(options)
    progress = TrainProgress()
    with progress.bar:
        for line in remarks:
            progress.remark(line)
        result = train(
            config,
            options.output,
            resume=options.resume,
            on_epoch=progress.epoch_done,
            progress=progress,
            model=factory,
        )
    if not is_main_process():
        return
    if options.as_json:
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
