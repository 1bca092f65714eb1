"""``edgeexit train``: images -> a run folder with checkpoints."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.common import (
    console,
    exits_option,
    import_model,
    model_option,
    print_json,
    status_console,
)

if TYPE_CHECKING:
    from types import TracebackType

    from edgeexit.training import TrainConfig, TrainResult
    from edgeexit.training.metrics import EpochRecord
    from edgeexit.training.progress import StepStatus

DATA_OPTIONS = {"dataset": "name", "data_dir": "data_dir", "download": "download"}
NOT_CONFIG = ("output", "resume", "as_json", "input_size", "model", *DATA_OPTIONS)
POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("train")
@click.option("--backbone", help="Such as resnet20.  [required unless --model or --resume]")
@model_option
@exits_option
@click.option("--branches", default="none", show_default=True, help="Pattern, such as 4+3+2.")
@click.option(
    "--dataset", help="digits, cifar10, cifar100 or imagefolder.  [required unless --resume]"
)
@click.option("--data-dir", type=click.Path(), help="Folder of the images.")
@click.option("--download", is_flag=True, help="Fetch the data set where it is missing.")
@click.option(
    "--input-size",
    type=click.IntRange(min=1),
    help="Height and width in pixels.  [default: what is usual with the data set]",
)
@click.option("--strategy", default="coop", show_default=True, help="What trains on which loss.")
@click.option("--distill", default="none", show_default=True, help="Teacher: none or wed (Eq. 3).")
@click.option(
    "--epochs",
    default=30,
    show_default=True,
    type=click.IntRange(min=1),
    help="The paper takes 300 for CIFAR-100, 60 for ImageNet.",
)
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(min=2))
@click.option("--lr", default=0.01, show_default=True, type=POSITIVE, help="Initial rate.")
@click.option(
    "--momentum",
    default=0.9,
    show_default=True,
    type=click.FloatRange(min=0, max=1, max_open=True),
)
@click.option("--weight-decay", default=1e-4, show_default=True, type=click.FloatRange(min=0))
@click.option(
    "--distill-lambda",
    default=0.9,
    show_default=True,
    type=click.FloatRange(min=0, max=1),
    help="Weight of the labels against the teacher.",
)
@click.option(
    "--temperature",
    default=1.0,
    show_default=True,
    type=POSITIVE,
    help="Softens the teacher's and the exits' classes.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--workers",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Processes that load images.",
)
@click.option(
    "--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"])
)
@click.option("--pretrained", is_flag=True, help="Start from the backbone's public weights.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The run's folder.",
)
@click.option("--resume", is_flag=True, help="Continue the run in the folder, with its options.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def command(ctx: click.Context, /, output: Path, resume: bool, as_json: bool, **_: Any) -> None:
    """Train a multi-exit network, and save the best and the last epoch.

    The folder gets ckpt.pt (the best epoch by validation accuracy, averaged over the exits),
    last.pt (to continue from), metrics.jsonl and config.toml.

    \b
    Examples:
      edgeexit train --backbone resnet20 --branches 3+1 --dataset digits --distill wed \\
          --epochs 12 --batch-size 32 --lr 0.05 -o run/
      edgeexit train --resume -o run/
      edgeexit train --model torchvision.models:mobilenet_v3_small --branches n+n \\
          --exits features.1,features.3 --dataset digits --epochs 3 -o own/
    """
    from edgeexit.training import train

    factory = import_model(ctx.params["model"])

    try:
        config = _resumed(ctx, output) if resume else _config(ctx)
    except ValueError as error:  # a rule of the configuration, such as lr not being nan
        raise click.UsageError(str(error), ctx) from error
    with _ProgressBar(config.epochs) as progress:
        result = train(
            config,
            output,
            resume=resume,
            on_epoch=progress.epoch_done,
            progress=progress,
            model=factory,
        )
    if as_json:
        print_json(_as_json(result))
    else:
        _print_summary(result)


def _config(ctx: click.Context) -> TrainConfig:
    from edgeexit.data import DataConfig
    from edgeexit.training import TrainConfig

    options = _train_options(ctx.params)
    for name, given in (("backbone", options["backbone"]), ("dataset", ctx.params["dataset"])):
        if given is None:
            what = "'--backbone' or '--model'" if name == "backbone" else f"'--{name}'"
            raise click.UsageError(f"Missing option {what} (or continue with --resume).", ctx)
    return TrainConfig(data=DataConfig(**_data_options(ctx.params)), **options)


def _resumed(ctx: click.Context, output: Path) -> TrainConfig:
    """Return the run's own configuration with the options that were typed put over it."""
    from dataclasses import replace

    from click.core import ParameterSource

    from edgeexit.training import stored_config

    stored = stored_config(output)
    typed = {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    data = replace(stored.data, **_data_options(typed))
    return replace(stored, data=data, **_train_options(typed))


def _train_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of TrainConfig that are among ``options``, but for the data."""
    fields = {name: value for name, value in options.items() if name not in NOT_CONFIG}
    model = options.get("model")
    if model is not None:
        if fields.get("backbone") is not None:
            raise click.UsageError("expected one of --backbone and --model, got both")
        fields["backbone"] = model
    elif fields.get("exits") and fields.get("backbone") is not None:
        raise click.UsageError("--exits goes with --model; a registered backbone has its own")
    return fields


def _data_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of DataConfig that are among ``options``."""
    data = {field: options[name] for name, field in DATA_OPTIONS.items() if name in options}
    if options.get("input_size") is not None:
        data["input_size"] = (3, options["input_size"], options["input_size"])
    return data


class _ProgressBar:
    """A bar for the run on stderr, remarks and one line per epoch above it."""

    def __init__(self, epochs: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.console = status_console()
        self.epochs = epochs
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            redirect_stdout=False,  # results on stdout are results, also while a bar is drawn
            redirect_stderr=False,
        )
        self.task = self.bar.add_task("loading", total=None)

    def __enter__(self) -> _ProgressBar:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def remark(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)

    def step(self, status: StepStatus) -> None:
        self.bar.update(
            self.task,
            description=f"epoch {status.epoch}/{status.epochs}",
            completed=(status.epoch - 1) * status.steps + status.step,
            total=status.epochs * status.steps,
        )

    def epoch_done(self, record: EpochRecord) -> None:
        width = len(str(self.epochs))
        self.remark(
            f"epoch {record.epoch:{width}}/{self.epochs}  loss {record.loss:.4f}  "
            f"validation: {_accuracies(record)}  ({record.samples_per_second:.0f} images/s)"
        )


def _accuracies(record: EpochRecord) -> str:
    shares = dict(record.accuracy)
    if record.teacher_accuracy is not None:
        shares["teacher"] = record.teacher_accuracy
    return "  ".join(f"{name} {100 * share:.2f} %" for name, share in shares.items())


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
        "epochs": config.epochs,
        "best_epoch": best.epoch,
        "accuracy": best.accuracy,
        "mean_accuracy": best.mean_accuracy,
        "teacher_accuracy": best.teacher_accuracy,
        "finished_before": result.finished_before,
    }


def _print_summary(result: TrainResult) -> None:
    config, best = result.config, result.best
    checkpoint = shlex.quote(str(result.checkpoint))
    tuned = shlex.quote(str(result.checkpoint.with_name("tuned.pt")))
    branched = config.branches != "none"
    network = checkpoint
    if ":" in config.backbone:
        network += f" --model {shlex.quote(config.backbone)}"
    following = f"tune {network} --max-drop 0.01 -o {tuned}" if branched else f"eval {network}"
    lines = (
        f"{config.backbone}, branches {config.branches}, on {config.data.name}: best epoch "
        f"{best.epoch} of {config.epochs}",
        f"validation accuracy: {_accuracies(best)}",
        f"best epoch: {result.checkpoint}   last epoch: {result.last}",
        f"next: edgeexit {following}",
    )
    out = console()
    for line in lines:
        out.print(line, soft_wrap=True, markup=False)
