"""edgeexit against earlyon, the nearest peer: the same ResNet-18, exits and weights, in one run.

    python benchmarks/peer_earlyon.py [--duration 20] [--bundles FOLDER]

earlyon (https://pypi.org/project/earlyon/) is installed into a separate environment,
``.venv-earlyon``, in which this program runs itself again. Both sides get torchvision's ResNet-18
with random weights for 1000 classes at 224x224, exits behind ``layer2`` and ``layer3`` as in
earlyon's own ResNet-18, and naive heads. First, the logits of every exit are checked for equality.
INT8, of the target for this CPU, is compared for one image, not checked, and has a goal with VNNI.

earlyon runs in PyTorch, eagerly, by its public calls: the module itself for one image, and
``forward_inference_batched`` for a batch, which leaves as a whole when its hardest image may. In
the batch of 32, 16 images leave at the first exit, 8 at the second and 8 at the last. Ratios are
earlyon's time over edgeexit's, as pairs in random order, with one thread and with all threads.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edgeexit_runtime import Session, load
from edgeexit_runtime.bundle.manifest import FINAL
from edgeexit_runtime.system.machine import cores_available
from edgeexit_runtime.timing.paths import forcing
from goals import Figure, finish, parser_of
from kernels import convolution_share
from numpy.typing import NDArray
from pairs import time_pairs
from peer_environment import PeerError, in_peer_environment, run_in_peer_environment
from random_bundles import bundle_of, split_thresholds
from torch import nn

from edgeexit.export import PRECISIONS, CalibrationImages, Precision, Quantization
from edgeexit.export.int8.targets.cpu_7bit import target_of_this_cpu
from edgeexit.models import ExitSpec, ModelSpec, MultiExitNet
from edgeexit.planning.candidates import export_untrained, noise, random_network

PEER = "earlyon==0.3.0"
ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv-earlyon"
SIZE = (3, 224, 224)
CLASSES = 1000
EXITS = {"exit1": ("stage2", "layer2", 128), "exit2": ("stage3", "layer3", 256)}
LEAVING = {"exit1": 16, "exit2": 8}
BATCH = 32
MAX_LOGIT_DIFFERENCE = 1e-3  # relative to the largest logit
FP32, INT8 = "FP32", "INT8"
GOALS = {FP32: (1.5, 1.87), INT8: (4.0, None)}
"""On one thread: the least ratio of every path, and of the batch."""
MIN_PAIRS = 10


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--duration", type=float, default=20, help="seconds per figure")
    parser.add_argument("--pairs", type=int, default=MIN_PAIRS, help="at least, per figure")
    options = parser.parse_args()
    if not in_peer_environment():
        try:
            arguments = [str(Path(__file__).resolve()), *sys.argv[1:]]
            sys.exit(run_in_peer_environment(ENVIRONMENT, PEER, arguments))
        except PeerError as error:
            sys.exit(str(error))
    spec = ModelSpec(
        "resnet18",
        CLASSES,
        SIZE,
        tuple(ExitSpec(name, stage, "n") for name, (stage, _, _) in EXITS.items()),
    )
    figures = []
    with bundle_of("resnet18-earlyon", spec, options.bundles) as folder:
        network = random_network(spec)
        for threads in sorted({1, cores_available()}):
            figures += compare(folder, Peer(network), FP32, threads, options)
        figures += [convolution_share(folder, batch) for batch in (1, BATCH)]
        with tempfile.TemporaryDirectory() as temporary:
            export_untrained(network, Path(temporary) / INT8, *int8())
            figures += compare(Path(temporary) / INT8, Peer(network), INT8, 1, options)
    finish(f"time of {PEER} over that of edgeexit", figures, options.json)


def int8() -> tuple[Precision, CalibrationImages]:
    """Return INT8 without a required agreement, as weights are random, and images for it."""
    quantization = Quantization("all", "minmax", target=target_of_this_cpu())
    precision = PRECISIONS[INT8.lower()].quantized(quantization)
    precision = dataclasses.replace(precision, min_agreement=0.0, max_logit_error=1e9)
    return precision, CalibrationImages("noise", noise(8, SIZE, seed=1))


class Peer:
    """earlyon's wrapper around torchvision's ResNet-18, with the weights of a network of ours."""

    def __init__(self, network: MultiExitNet) -> None:
        import earlyon
        from torchvision.models import resnet18

        backbone = resnet18(num_classes=CLASSES)
        backbone.load_state_dict(torchvision_weights(network, backbone))
        points = [
            earlyon.ExitPoint(name, layer, channels) for name, (_, layer, channels) in EXITS.items()
        ]
        self.config = earlyon.EarlyExitConfig("resnet18", CLASSES, points)
        heads = {name: network.branches[name] for name in EXITS}
        self.wrapper: Any = earlyon.EarlyExitWrapper(backbone, heads, nn.Identity(), self.config)
        self.wrapper.eval()

    def set_thresholds(self, thresholds: dict[str, float]) -> None:
        """Set where images leave; the largest value accepted is 1, which no softmax reaches."""
        self.config.confidence_thresholds[:] = [min(value, 1.0) for value in thresholds.values()]

    def one(self, images: torch.Tensor) -> Any:
        """Classify one image (1, C, H, W) as earlyon does it."""
        return self.wrapper(images, mode="inference")

    def batch(self, images: torch.Tensor) -> Any:
        """Classify a batch (N, C, H, W) as earlyon does it."""
        return self.wrapper.forward_inference_batched(images)


def torchvision_weights(network: MultiExitNet, backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's weights by the names of torchvision's module, which has the same order.

    Raises:
        ValueError: the two are not the same network.
    """
    ours = list(network.backbone.state_dict().values())
    theirs = backbone.state_dict()
    if [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs.values()]:
        raise ValueError("expected the layers of torchvision's network in its order, got others")
    return dict(zip(theirs, ours, strict=True))


@dataclass(frozen=True, slots=True)
class Case:
    """One way through the network, for both sides."""

    name: str
    images: NDArray[np.float32]
    thresholds: dict[str, float]
    left_by: str
    """The exit at which earlyon's batch leaves, all of it."""
    is_batch: bool


def compare(
    folder: Path, peer: Peer, form: str, threads: int, options: argparse.Namespace
) -> list[Figure]:
    """Time every case of a bundle in FP32 or INT8 with the given number of threads."""
    torch.set_num_threads(threads)
    with load(folder, threads=threads) as session:
        return [
            measure(session, peer, case, form, threads, options)
            for case in cases(session, options.seed)
            if form == FP32 or not case.is_batch
        ]


def cases(session: Session, seed: int) -> list[Case]:
    """Return every path of one image, and the batch that leaves at all exits."""
    names = session.manifest.exit_names
    images = noise(BATCH, SIZE, seed)
    paths = [
        Case(f"path to {name}", images[:1], forcing(names, name), name, False) for name in names
    ]
    thresholds = split_thresholds(session.infer_all_exits(images).confidences, LEAVING)
    return [*paths, Case(f"batch of {BATCH}", images, thresholds, FINAL, True)]


def measure(
    session: Session, peer: Peer, case: Case, form: str, threads: int, options: argparse.Namespace
) -> Figure:
    """Check that both sides give the same answers in one case, and time them."""
    session.thresholds = case.thresholds
    peer.set_thresholds(case.thresholds)
    images = torch.from_numpy(case.images)
    call: Callable[[torch.Tensor], Any] = peer.batch if case.is_batch else peer.one
    theirs = quietly(call, images)
    if form == FP32:
        check_same(session, case, theirs)
    pairs = time_pairs(
        lambda: call(images),
        lambda: session.infer(case.images),
        duration_s=options.duration,
        seed=options.seed,
        min_pairs=options.pairs,
        warm_up=1 if case.is_batch else 5,
        settle=not case.is_batch,  # a batch takes seconds and needs no untimed call before
    )
    is_judged = threads == 1 and (form == FP32 or target_of_this_cpu() == "cpu")
    goal = GOALS[form][case.is_batch] if is_judged else None
    interval = f"{pairs.ratio.low:.2f} to {pairs.ratio.high:.2f}"
    name = f"{form}, {case.name}, {threads} thread{'s' * (threads > 1)}"
    note = f"{interval}; {pairs.note}"
    print(f"{name}: {pairs.ratio}", file=sys.stderr, flush=True)  # all cases take minutes
    return Figure(name, pairs.ratio.median, "", goal, at_least=True, note=note)


def quietly(call: Callable[[torch.Tensor], Any], images: torch.Tensor) -> Any:
    """Call once without the warnings of earlyon's count of FLOPs at its first use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(images)


def check_same(session: Session, case: Case, theirs: Any) -> None:
    """Check that both sides leave at the expected exits with the same logits."""
    ours = session.infer(case.images)
    names = session.manifest.exit_names
    left = names[theirs.exit_taken]  # -1 is its last
    if left != case.left_by or (not case.is_batch and names[ours.exits[0]] != left):
        raise SystemExit(f"{case.name}: expected to leave at {case.left_by}, {PEER} left at {left}")
    session.infer_all_exits(case.images)
    logits = session.runner.logits(left)
    expected = theirs.predictions if case.is_batch else theirs.prediction
    difference = relative_difference(logits, expected.numpy())
    if difference > MAX_LOGIT_DIFFERENCE:
        raise SystemExit(f"{case.name}: logits of {left} differ by {difference:.1e}: not the same")


def relative_difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the largest difference, over the largest absolute value."""
    return float(np.abs(one - other).max() / np.abs(other).max())


if __name__ == "__main__":
    main()
