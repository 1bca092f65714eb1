"""Train a network: from a configuration to a run folder."""

from __future__ import annotations

from pathlib import Path

from edgeexit.data import load_data
from edgeexit.models.factories import ModelSource
from edgeexit.training.distributed import joined_world
from edgeexit.training.network import check_model
from edgeexit.training.record.folder import RunFolder
from edgeexit.training.record.reports import TrainResult
from edgeexit.training.record.same import (
    check_same_images,
    check_same_options,
    check_same_teacher,
)
from edgeexit.training.run import EpochCallback, RunProgress, TrainingRun
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

    Torch's global random number generator is seeded. On the CPU the result depends only on
    ``config`` and the number of threads, whether or not the run was interrupted and resumed.

    Under ``torchrun``, every process calls this with the same arguments; the main process (rank
    0) writes the files.

    Args:
        config: the configuration. To resume, it must be the one that the run was started with,
            see :func:`stored_config`; device and folder of the data may differ.
        output: the run's folder: ``ckpt.pt`` (best epoch), ``last.pt``, ``metrics.jsonl``,
            ``config.toml``, and ``tensorboard/`` where TensorBoard is installed.
        resume: continue the run in ``output`` from its last save instead of starting a new one.
        on_epoch: called with each finished epoch after it was saved.
        progress: receives the setup, remarks and steps of the run.
        model: for a backbone that is not registered: a module or its factory, to attach exits
            to, or a network with exits. A module is trained in place; a factory is called after
            seeding. It is also needed to resume.

    Raises:
        TrainingError: ``output`` already holds a run, or none to resume; the options differ from
            the run's; ``model`` is missing or does not fit ``config``; the loss is not finite.
        BusyError: another run is writing into ``output``.
        InterruptedRunError: Ctrl-C; the last saved state is kept.
        UnknownNameError, SpecError, InputError, DataError, CheckpointError, WriteError: see there.
    """
    folder = RunFolder(Path(output))
    with joined_world(config.device) as world, folder.held(world):
        progress = progress if world.is_main else None
        saved = folder.load() if resume else None
        if saved is None:
            folder.check_unused()
        world.wait()  # no process may write into the folder before all have checked it
        check_model(config, model, resume=resume)
        config = resolve_input_size(config, model)
        with world.main_first():  # it may fetch files
            data = load_data(config.data)
        config = resolve(config, data, world.device.type, model)
        if saved is not None:
            check_same_options(folder.path, saved, config)
            check_same_images(folder.path, saved, data)
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
