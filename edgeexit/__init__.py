"""Train, tune, export and benchmark multi-exit image classifiers for edge devices.

The names below are public; everything else may move. Each is imported on first use, which keeps
``import edgeexit`` fast and free of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.registry import lazy_names

if TYPE_CHECKING:
    from edgeexit.bench import (
        BenchOptions,
        BenchReport,
        images_from_dataset,
        images_from_folder,
        images_from_npz,
        run_bench,
    )
    from edgeexit.cost import average_macs, network_cost
    from edgeexit.data import DataConfig, load_data, register_dataset
    from edgeexit.errors import EdgeExitError
    from edgeexit.evaluation import evaluate_adaptive, predict
    from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
    from edgeexit.models import (
        MultiExitNet,
        attach_exits,
        from_outputs,
        inspect_points,
        make_spec,
        register_backbone,
        register_branch,
    )
    from edgeexit.paper.consistency import study_consistency
    from edgeexit.training import (
        Checkpoint,
        TrainConfig,
        load_checkpoint,
        save_checkpoint,
        train,
    )

__all__ = [
    "PRECISIONS",
    "BenchOptions",
    "BenchReport",
    "Checkpoint",
    "DataConfig",
    "EdgeExitError",
    "ExportOptions",
    "MultiExitNet",
    "TrainConfig",
    "attach_exits",
    "average_macs",
    "evaluate_adaptive",
    "export_bundle",
    "from_outputs",
    "images_from_dataset",
    "images_from_folder",
    "images_from_npz",
    "inspect_points",
    "load_checkpoint",
    "load_data",
    "make_spec",
    "network_cost",
    "predict",
    "register_backbone",
    "register_branch",
    "register_dataset",
    "run_bench",
    "save_checkpoint",
    "study_consistency",
    "train",
]

_HOME = {
    "edgeexit.bench": (
        "BenchOptions",
        "BenchReport",
        "images_from_dataset",
        "images_from_folder",
        "images_from_npz",
        "run_bench",
    ),
    "edgeexit.paper.consistency": ("study_consistency",),
    "edgeexit.cost": ("average_macs", "network_cost"),
    "edgeexit.data": ("DataConfig", "load_data", "register_dataset"),
    "edgeexit.errors": ("EdgeExitError",),
    "edgeexit.evaluation": ("evaluate_adaptive", "predict"),
    "edgeexit.export": ("PRECISIONS", "ExportOptions", "export_bundle"),
    "edgeexit.models": (
        "MultiExitNet",
        "attach_exits",
        "from_outputs",
        "inspect_points",
        "make_spec",
        "register_backbone",
        "register_branch",
    ),
    "edgeexit.training": (
        "Checkpoint",
        "TrainConfig",
        "load_checkpoint",
        "save_checkpoint",
        "train",
    ),
}
__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
