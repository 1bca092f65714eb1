"""Train a network from its configuration to a run's folder."""

from __future__ import annotations

from pathlib import Path

from edgeexit.data import load_data
from edgeexit.models.factories import ModelSource
from edgeexit.training.distributed import joined_world
from edgeexit.training.network import check_model
from edgeexit.training.record.folder import RunFolder
from edgeexit.training.record.progress import RunProgress
from edgeexit.training.record.result import TrainResult
from edgeexit.training.record.same import (
    check_same_classes,
    check_same_options,
    check_same_teacher,
)
from edgeexit.training.run import EpochCallback, TrainingRun
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.settings.resolving import resolve, resolve_input_size
from edgeexit.training.setup import set_up


def train(
    config: TrainConfig,
    output: str | Path,
    *,
    resume: bool = False,
    on_epoch: EpochCallback | None = None,
    progress: RunProgress | None = None,
    model: ModelSource | None = None,
) -> TrainResult:
    """Train a network and write its checkpoints and metrics to the folder ``output``.

    Torch's global random numbers are seeded. On the CPU the result depends on ``config`` and the
    number of threads alone, whether or not the run was stopped and resumed in between.

    Started by ``torchrun``, every process calls this with the same arguments, and they train
    together; the first of them writes the files.

    Args:
        config: what to train. To resume, it must be the configuration that the run was started
            with, see :func:`stored_config`; device and folder of the data may differ.
        output: the run's folder: ``ckpt.pt`` (best epoch), ``last.pt``, ``metrics.jsonl``,
            ``config.toml``, and ``tensorboard/`` where TensorBoard is installed.
        resume: go on where the run in ``output`` was saved last, rather than start one there.
        on_epoch: called with each finished epoch, after it was saved.
        progress: told about steps, and in a line what the run starts from.
        model: for a backbone that is not registered: a module or what builds one, to put exits
            onto, or a network with its exits. A module is trained itself; one from a factory has
            the weights that the seed gives it. To resume, it is needed again.

    Raises:
        TrainingError: ``output`` holds a run already, or none to resume; other options than the
            run's; ``model`` is missing or does not fit ``config``; the loss is no longer finite.
        BusyError: another run is writing into ``output``.
        InterruptedRunError: Ctrl-C, with what was saved last kept.
        UnknownNameError, SpecError, InputError, DataError, CheckpointError, WriteError: see there.
    """
    folder = RunFolder(Path(output))
    with joined_world(config.device) as world, folder.held(world):
        progress = progress if world.is_main else None
        saved = folder.load() if resume else None
        if saved is None:
            folder.check_unused()
        world.wait()  # nobody writes into the folder before all have looked
        check_model(config, model, resume=resume)
        config = resolve_input_size(config, model)
        with world.main_first():  # it may fetch files
            data = load_data(config.data)
        config = resolve(config, data, world.device.type, model)
        if saved is not None:
            check_same_options(folder.path, saved, config)
            check_same_classes(folder.path, saved, data.class_names)
            if len(saved.history) >= saved.epochs:
                if progress is not None:
                    done = f"epoch {saved.epochs} of {saved.epochs} is done"
                    progress.remark(f"{output} is finished: {done}")
                return TrainResult(folder.best, folder.last, config, saved.history, True)
        setup = set_up(config, data, world, model, saved)
        if saved is not None:
            check_same_teacher(folder.path, saved, config.teacher, setup.teacher_digest)
        run = TrainingRun(setup, folder, saved, on_epoch, progress)
        run.finish()
        return TrainResult(folder.best, folder.last, config, run.history, False)


def stored_config(output: str | Path) -> TrainConfig:
    """Return the configuration of the run in the folder ``output``.

    Raises:
        TrainingError: there is no run in it.
        CheckpointError: the run's last checkpoint is damaged or of a newer format.
    """
    return RunFolder(Path(output)).load().config
