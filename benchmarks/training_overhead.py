"""What joint training costs beyond the branches' MACs, against plain training in the same run.

    python benchmarks/training_overhead.py [--backbone resnet20] [--branches 3+1] [--batch-size 64]

Epochs of the backbone alone and of the network with its branches take turns, in random order, both
through edgeexit's own trainer, on the digits. The figure is the median of the paired ratios of
time, divided by the ratio of MACs (whole network over backbone). Goal: at most 1.1.

The time is that of training with its waiting for images; validation is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from edgeexit_runtime.system.machine import cores_available, cpu_model
from numpy.typing import NDArray

from edgeexit.cost import network_cost
from edgeexit.data import DataConfig, ImageData, load_data
from edgeexit.training import TrainConfig
from edgeexit.training.distributed import joined_world
from edgeexit.training.setup import set_up
from edgeexit.training.trainer import Trainer

MAX_QUOTIENT = 1.1
WARM_UP_EPOCHS = 1
SIDES = ("plain", "joint")


@dataclass(frozen=True, slots=True)
class Overhead:
    """One measurement.

    Attributes:
        plain_ms, joint_ms: training time per image, medians over epochs.
        time_ratio: median over pairs of epochs of joint over plain.
        time_ratios: of each pair, in order.
        macs_ratio: the network with all branches over its backbone.
        quotient: time ratio over MACs ratio.
        computing_quotient: the same without the time spent waiting for images.
        wait_shares: share of the time that each side waits for images, medians.
    """

    plain_ms: float
    joint_ms: float
    time_ratio: float
    time_ratios: tuple[float, ...]
    macs_ratio: float
    quotient: float
    computing_quotient: float
    wait_shares: dict[str, float]

    @property
    def holds(self) -> bool:
        return self.quotient <= MAX_QUOTIENT


def main() -> None:
    options = parse_options()
    torch.set_num_threads(options.threads)
    overhead = measure(options)
    if options.json:
        print(json.dumps(as_json(options, overhead), indent=2))
        return
    low, high = min(overhead.time_ratios), max(overhead.time_ratios)
    waits = ", ".join(f"{side} {share:.1%}" for side, share in overhead.wait_shares.items())
    print(f"{cpu_model()}, {cores_available()} cores, threads: {options.threads}")
    print(
        f"{options.backbone} {options.branches}, batches of {options.batch_size}, "
        f"torch {torch.__version__}, {len(overhead.time_ratios)} pairs of epochs"
    )
    print(f"training, ms per image: plain {overhead.plain_ms:.3f}, joint {overhead.joint_ms:.3f}")
    print(f"ratio of times {overhead.time_ratio:.3f} ({low:.3f} to {high:.3f})")
    print(f"ratio of MACs {overhead.macs_ratio:.3f}")
    print(f"share of the time waiting for images: {waits}")
    print(f"times over MACs, without waiting: {overhead.computing_quotient:.3f}")
    verdict = "holds" if overhead.holds else "MISSED"
    print(f"times over MACs: {overhead.quotient:.3f}  goal <= {MAX_QUOTIENT}: {verdict}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--branches", default="3+1")
    parser.add_argument("--distill", default="none", help="teacher of the joint side")
    parser.add_argument("--pixels", type=int, default=32, help="height and width (default 32)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=9, help="pairs of epochs (default 9)")
    parser.add_argument("--images", type=int, help="training images per epoch (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--workers", type=int, default=0, help="that load images (default 0)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--contiguous", action="store_true", help="not channels last")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> Overhead:
    """Train both sides by turns and compare their times with their MACs."""
    with joined_world(options.device) as world:
        plain_config, joint_config = configs(options)
        data = load(plain_config.data, options.images)
        trainers = [Trainer(set_up(config, data, world)) for config in (plain_config, joint_config)]
        seconds, waits = time_pairs(trainers, options)
    cost = network_cost(trainers[1].setup.net)
    macs_ratio = cost.total_macs / cost.baseline_macs
    ratios = seconds[:, 1] / seconds[:, 0]
    computing = seconds * (1 - waits)
    plain_ms, joint_ms = np.median(seconds, axis=0) * 1e3
    return Overhead(
        plain_ms=float(plain_ms),
        joint_ms=float(joint_ms),
        time_ratio=float(np.median(ratios)),
        time_ratios=tuple(map(float, ratios)),
        macs_ratio=macs_ratio,
        quotient=float(np.median(ratios)) / macs_ratio,
        computing_quotient=float(np.median(computing[:, 1] / computing[:, 0])) / macs_ratio,
        wait_shares=dict(zip(SIDES, map(float, np.median(waits, axis=0)), strict=True)),
    )


def configs(options: argparse.Namespace) -> tuple[TrainConfig, TrainConfig]:
    """Return the configurations of the plain side and of the joint one."""
    plain = TrainConfig(
        backbone=options.backbone,
        branches="none",
        data=DataConfig("digits", input_size=(3, options.pixels, options.pixels)),
        epochs=WARM_UP_EPOCHS + options.pairs,
        batch_size=options.batch_size,
        seed=options.seed,
        workers=options.workers,
        device=options.device,
        channels_last=not options.contiguous,
    )
    return plain, dataclasses.replace(plain, branches=options.branches, distill=options.distill)


def load(config: DataConfig, images: int | None) -> ImageData:
    """Load the data with one batch's worth of validation, which is not measured."""
    data = load_data(config)
    if images is not None:
        data.training.labels = data.training.labels[:images]  # type: ignore[attr-defined]
    val: Any = torch.utils.data.Subset(data.splits["val"], range(8))
    return dataclasses.replace(data, splits={**data.splits, "val": val})


def time_pairs(
    trainers: list[Trainer], options: argparse.Namespace
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds per image, and the share of them spent waiting, (pairs, 2) each."""
    rng = np.random.default_rng(options.seed)
    seconds, waits = np.empty((2, WARM_UP_EPOCHS + options.pairs, 2))
    for epoch in range(len(seconds)):
        for side in rng.permutation(2):
            record = trainers[side].run_epoch(epoch + 1, lambda status: None)
            seconds[epoch, side] = 1 / record.samples_per_second
            waits[epoch, side] = record.data_wait_share
    return seconds[WARM_UP_EPOCHS:], waits[WARM_UP_EPOCHS:]


def as_json(options: argparse.Namespace, overhead: Overhead) -> dict[str, Any]:
    versions = {"torch": str(torch.__version__), "cpu": cpu_model()}
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    return {
        **settings,
        **versions,
        **dataclasses.asdict(overhead),
        "goal": MAX_QUOTIENT,
        "holds": overhead.holds,
    }


if __name__ == "__main__":
    main()
