"""Times of the precisions on a CPU: every exit path, as a ratio to plain FP32, in one run.

    python benchmarks/cpu_precision.py [--rounds 25] [--bundles FOLDER]

Forms of the same network are interleaved in random order, each call after one untimed call of the
same form: FP32, INT8 of every target, the parts converted by ONNX Runtime's own
``quantize_static``, and INT8 of the classifiers only. All run in edgeexit's session over ONNX
Runtime on one thread. Thread time is measured, which excludes other work on the machine. Weights
are random and exits forced; branches on the way are run. FP32 is also compared with the prediction
of Eq. 5 for a path. The goals are for CPUs with VNNI: without it the figures are printed without
goals. Then the demo's network is trained and exported, and its INT8 answers are compared with
FP32's on validation images, which were not used for calibration.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from edgeexit_runtime import Session, load, load_baseline, load_manifest
from edgeexit_runtime.backends.onnxruntime.x86_products import has_vnni, is_x86
from goals import Figure, finish, parser_of
from numpy.typing import NDArray
from random_bundles import Network, force
from static_bundles import write_static_bundle

from edgeexit.cli import main as edgeexit
from edgeexit.cli.demo import RECIPE
from edgeexit.export import PRECISIONS, CalibrationImages, Precision, Quantization
from edgeexit.planning.candidates import export_untrained, noise, random_network, untrained

PLAIN = "plain"
FP32, STATIC = "FP32", "quantize_static"
CPU, CPU_7BIT, TENSORRT = "INT8 cpu", "INT8 cpu-7bit", "INT8 tensorrt"
TARGETS = {CPU: "cpu", CPU_7BIT: "cpu-7bit", TENSORRT: "tensorrt"}
CLASSIFIERS = "INT8 classifiers"
AS_FAST = 1.0
MIN_AGREEMENT = 0.99
DIGITS = Path(__file__).parents[1] / "calibration_data" / "digits"


@dataclass(frozen=True, slots=True)
class Judged(Network):
    """A network to measure, with the number of calls per round and its goals.

    Attributes:
        calls: of each path per round.
        forms: those that are interleaved; FP32 is among them.
        of_plain: goal: largest ratio of paths in INT8 of target cpu to plain FP32.
        of_eq5: goal by form: largest ratio of paths to the prediction of Eq. 5.
    """

    calls: int
    forms: tuple[str, ...]
    of_plain: dict[str, float]
    of_eq5: dict[str, dict[str, float]]


def paths(limit: float, *names: str) -> dict[str, float]:
    """Return one limit for several paths."""
    return dict.fromkeys(names, limit)


RESNET18 = ("exit1", "exit2", "exit3", "final")
NETWORKS = (
    Judged(
        *("resnet18", "4+3+2", 1000, 224, 1),
        (FP32, CPU, CPU_7BIT, TENSORRT, STATIC, CLASSIFIERS),
        {PLAIN: 0.30, "exit1": 0.22, "exit2": 0.37, "exit3": 0.51, "final": 0.59},
        {FP32: {}, CLASSIFIERS: paths(1.10, *RESNET18)},
    ),
    Judged(
        *("resnet18", "4g+3g+2g", 1000, 224, 1),
        (FP32, CPU, CPU_7BIT, STATIC),
        {"exit1": 0.18},
        {FP32: paths(1.10, *RESNET18)},
    ),
    Judged(
        *("resnet20", "3+1", 10, 32, 20),
        (FP32, CPU, CPU_7BIT, TENSORRT, STATIC),
        {"exit1": 0.40, "exit2": 0.66, "final": 0.84},
        {FP32: paths(1.20, "exit1")},
    ),
)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="calls of each path (default 25)")
    options = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.bundles or Path(temporary)
        for network in NETWORKS:
            bundles = {form: write(network, form, folder) for form in network.forms}
            figures += speed(network, bundles, options)
            figures += fused(network, bundles[CPU])
        figures += [*agreement(folder, CPU), *agreement(folder, CPU_7BIT)]
    judged = is_x86() and has_vnni() is True
    if not judged:
        figures = [dataclasses.replace(figure, goal=None) for figure in figures]
    vnni = "with VNNI" if judged else "VNNI absent or not known: nothing is judged"
    finish(f"precisions on one thread of a CPU, {vnni}", figures, options.json)


def write(network: Network, form: str, folder: Path) -> Path:
    """Return the folder of a network's bundle in one form, exported unless it is there."""
    path = folder / f"{network.name} {form}"
    if path.exists():
        return path
    images = noise(8, network.size, seed=1)
    if form == STATIC:
        write_static_bundle(write(network, FP32, folder), path, images)
        return path
    calibration = CalibrationImages("noise", images) if form in TARGETS else None
    export_untrained(random_network(network.spec), path, precision_of(form), calibration)
    return path


def precision_of(form: str) -> Precision:
    """Return the precision of one of edgeexit's forms; random networks need no agreement."""
    if form == FP32:
        return PRECISIONS["fp32"]
    if form == CLASSIFIERS:
        quantization = Quantization("classifier")
    else:
        quantization = Quantization("all", "minmax", target=TARGETS[form])
    return untrained(PRECISIONS["int8"].quantized(quantization))


def speed(network: Judged, bundles: dict[str, Path], options: argparse.Namespace) -> list[Figure]:
    """Time every path of every form, and return ratios to the plain backbone in FP32."""
    image = noise(1, network.size, options.seed)
    with contextlib.ExitStack() as stack:
        sessions = {}
        for form, folder in bundles.items():
            session = stack.enter_context(load(folder, threads=1))
            plain = stack.enter_context(load_baseline(folder, threads=1))
            sessions[form, PLAIN] = plain
            sessions.update(
                dict.fromkeys(((form, e) for e in session.manifest.exit_names), session)
            )
        times = take_turns(sessions, image, options.rounds * network.calls, options.seed)
    manifest = load_manifest(bundles[FP32])
    name = str(network)
    figures = []
    for (form, path), milliseconds in times.items():
        goal = network.of_plain.get(path) if form == CPU else None
        ratio = milliseconds / times[FP32, PLAIN]
        what = f"{name}, {path}, {form} / plain FP32"
        figures.append(Figure(what, ratio, "", goal, note=f"{milliseconds:.3f} ms"))
    for form, limits in network.of_eq5.items():
        for exit_ in manifest.exits:
            share = times[form, exit_.name] / times[FP32, PLAIN]
            said = exit_.path_macs / manifest.exits[-1].macs
            what = f"{name}, {exit_.name}, {form} / Eq. 5"
            limit = limits.get(exit_.name)
            figures.append(Figure(what, share / said, "", limit, note=f"Eq. 5: {said:.3f}"))
    for path in dict.fromkeys(path for _, path in times):
        ratio = times[CPU, path] / times[STATIC, path]
        figures.append(Figure(f"{name}, {path}, {CPU} / {STATIC}", ratio, "", AS_FAST))
    return figures


def take_turns(
    sessions: dict[tuple[str, str], Session], image: NDArray[np.float32], rounds: int, seed: int
) -> dict[tuple[str, str], float]:
    """Return the median milliseconds of each form and path, one call of each in every round."""
    rng = np.random.default_rng(seed)
    keys = list(sessions)
    calls = np.empty((rounds, len(keys)))
    for taken in calls:
        for place in rng.permutation(len(keys)):
            (_, path), session = keys[place], sessions[keys[place]]
            if path != PLAIN:
                force(session, path)
            session.infer(image)  # so that caches and bindings are those of this session
            begin = time.thread_time_ns()
            session.infer(image)
            taken[place] = (time.thread_time_ns() - begin) / 1e6
    return dict(zip(keys, np.median(calls, axis=0).tolist(), strict=True))


def fused(network: Network, folder: Path) -> list[Figure]:
    """Count the layers of all parts that ONNX Runtime's optimized models keep in floating point."""
    left: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        for entry in load_manifest(folder).all_graphs().values():
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # it warns that such a model is for this machine only
            options.optimized_model_filepath = str(Path(temporary) / entry.file)
            providers = ["CPUExecutionProvider"]
            onnxruntime.InferenceSession(folder / entry.file, options, providers=providers)
            model = onnx.load(options.optimized_model_filepath)
            left.update(node.op_type for node in model.graph.node)
    name = f"{network.name}, {CPU}"
    floating = sum(left[operator] for operator in ("Conv", "FusedConv", "Gemm", "MatMul", "Add"))
    return [
        Figure(f"{name}: QLinearConv", left["QLinearConv"], ""),
        Figure(f"{name}: layers in floating point", floating, "", 0),
        Figure(f"{name}: Relu", left["Relu"], "", 0),
    ]


def agreement(folder: Path, form: str) -> list[Figure]:
    """Train and tune the demo's network, and return the shares of equal labels and decisions."""
    run, bundle = folder / "demo", folder / f"demo {form}"
    tuned = run / "ckpt.tuned.pt"
    if not tuned.exists():
        command("train", *RECIPE, "--branches", "3+1", "--distill", "wed", "-o", run)
        command("tune", run / "ckpt.pt", "--max-drop", 0)
    calibrated = ("--precision", "int8", "--calibration-data", DIGITS, "--target", TARGETS[form])
    judged = ("--samples", 1000, "--min-agreement", 0, "--engine", "none")
    command("export", tuned, *calibrated, *judged, "-o", bundle)
    proof = load_manifest(bundle).verification
    note = f"{proof['samples']} images of {proof['source']}"
    return [
        Figure(
            f"demo, {form}, {exit_['name']}, equal {what}",
            exit_[f"equal_{what}"],
            goal=MIN_AGREEMENT,
            unit="",
            at_least=True,
            note=note,
        )
        for exit_ in proof["exits"]
        for what in ("labels", "decisions")
    ]


def command(*words: object) -> None:
    """Run a command of edgeexit."""
    edgeexit.main([str(word) for word in words], prog_name="edgeexit", standalone_mode=False)


if __name__ == "__main__":
    main()
