"""Reads files that may be damaged, in a process of its own, and says what came of it.

The tests write a folder's path per line, first that of whole files, and read a line of JSON for
each. What a find does is seen, with its traceback, by::

    python tests/fuzz/worker.py bundle fuzz_finds/FOLDER
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime.errors import MESSAGE_CHARACTERS, EdgeExitError
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.memory import MemoryPeak, memory_bytes

MAX_MORE_BYTES = 4 * 2**30
"""What the process may ask for beyond what it takes for whole files."""

HARMFUL = ("os.", "shutil.", "socket.connect", "subprocess.Popen")
HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")

Answer = list[NDArray[Any]]


class WrongAnswerError(Exception):
    """An answer that no image can have."""


def read_bundle(folder: Path) -> Answer:
    """Classify eight images, ask every exit, and write the manifest as ``tune`` does."""
    import edgeexit_runtime as ee
    from edgeexit_runtime.bundle.manifest import manifest_json

    images = np.random.default_rng(0).integers(-16, 24, (8, 3, 8, 8)).astype(np.float32) / 8
    with ee.load(folder, threads=1) as session:
        manifest = session.manifest
        one, every = session.infer(images), session.infer_all_exits(images)
    manifest_json(manifest)
    for answers in (one, every):
        labels, confidences = answers.labels, answers.confidences
        if not ((labels >= 0) & (labels < manifest.model.num_classes)).all():
            raise WrongAnswerError(f"labels {labels}")
        if not ((confidences >= 0) & (confidences <= 1)).all():
            raise WrongAnswerError(f"confidences {confidences}")
    return [one.labels, one.confidences, one.exits, every.labels, every.confidences]


def read_rival(folder: Path) -> Answer:
    """Classify eight images with an ONNX file that a bundle is compared with."""
    import edgeexit_runtime as ee

    from edgeexit.bench.timing.versus import write_static_bundle

    (folder / "rival").mkdir(exist_ok=True)
    write_static_bundle(folder / "rival.onnx", ee.load_manifest(folder), folder / "rival")
    return read_bundle(folder / "rival")


def read_checkpoint(folder: Path) -> Answer:
    """Build the network of ``ckpt.pt`` and ask every exit about two images."""
    import torch
    from support import tiny_backbones  # noqa: F401  registers them
    from torch.utils.data import TensorDataset

    from edgeexit.evaluation.predictions import predict
    from edgeexit.training import load_checkpoint

    torch.set_num_threads(1)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    net = load_checkpoint(folder / "ckpt.pt").build()
    answers = predict(net, TensorDataset(images, torch.zeros(2, dtype=torch.int64)))
    return [answers.labels, answers.confidences]


def read_run(folder: Path) -> Answer:
    """Go on with a run, and return the weights that it ends with."""
    from support import tiny_backbones  # noqa: F401  registers them
    from support.tiny_data import short_run, tiny

    from edgeexit.data import register_dataset
    from edgeexit.training import load_checkpoint, train

    register_dataset(tiny)
    train(short_run(), folder, resume=True)
    return [value.numpy() for value in load_checkpoint(folder / "last.pt").weights.values()]


MAX_PIXELS = 4 * 2**20
"""Of images: those within the usual limit take more memory than a reader here is given."""


def read_images(folder: Path) -> Answer:
    """Make 8 x 8 pixels of every file."""
    import edgeexit_runtime as ee
    from edgeexit_runtime.images.fitting import prepare

    preprocessing = ee.Preprocessing((3, 8, 8), (0.5,) * 3, (0.25,) * 3, resize=9)
    return [prepare(sorted(folder.iterdir()), preprocessing, MAX_PIXELS)]


def read_array_files(folder: Path) -> Answer:
    """Read the images of every file."""
    from edgeexit.images.arrays import read_arrays

    files = sorted(folder.iterdir())
    return [read_arrays(file, ("images",), "")["images"] for file in files]


def read_report(folder: Path) -> Answer:
    """Read a benchmark's report and costs, and write its page and its JSON anew."""
    from edgeexit.bench import load_report
    from edgeexit.bench.path_costs import load_costs
    from edgeexit.bench.render.page.writing import render_page
    from edgeexit.bench.render.report import report_json

    costs = load_costs(folder / "costs.json", ("exit1", "final"))
    report = load_report(folder / "report.json")
    json.dumps(report_json(report), allow_nan=False)
    render_page(report)
    return [np.array([*costs.paths, *(path.ratio for path in report.paths)])]


def read_single(folder: Path) -> Answer:
    """Read what a single file says of itself."""
    from edgeexit.export.single.about import read_single_file

    about = read_single_file(folder / "model.onnx")
    return [np.array([*about.thresholds.values(), *about.preprocessing.mean])]


def read_requests(folder: Path) -> Answer:
    """Read a request to the service in JSON, and one with bytes behind it."""
    from edgeexit_runtime.serving.batching import check_images
    from edgeexit_runtime.serving.protocol import read_request
    from edgeexit_runtime.testing import CHAIN

    size = CHAIN.preprocessing.input_size
    found = []
    for name, length in (("json", None), ("bytes", (folder / "length").read_text("latin1"))):
        images = read_request((folder / name).read_bytes(), length).images
        check_images(images, size)
        if not np.isfinite(images).all():  # as the session says
            raise EdgeExitError("images: expected finite values")
        found.append(images)
    return found


def read_order(folder: Path) -> Answer:
    """Do what the one file says: whoever looks at outcomes has to tell it."""
    order = (folder / "order").read_text(encoding="utf-8")
    if order == "refuse":
        raise EdgeExitError("expected an order, got another")
    if order == "refuse in two lines":
        raise TwoLinesError
    if order == "raise":
        raise ZeroDivisionError
    if order == "crash":
        os.abort()
    if order == "hang":
        time.sleep(3600)
    if order == "take memory":
        bytearray(2**30)
    if order == "write elsewhere":
        folder.with_name("elsewhere").touch()
    return [np.array([{"answer": 1.0, "answer NaN": np.nan}.get(order, 2.0)])]


class TwoLinesError(EdgeExitError):
    def __str__(self) -> str:
        return "one\ntwo"


READERS: dict[str, Callable[[Path], Answer]] = {
    "bundle": read_bundle,
    "rival": read_rival,
    "checkpoint": read_checkpoint,
    "run": read_run,
    "images": read_images,
    "arrays": read_array_files,
    "report": read_report,
    "single": read_single,
    "requests": read_requests,
    "order": read_order,
}

_touched: list[str] = []
"""What was written outside of the folder that is read, or started, since the last outcome."""

_folder = ""


def outcome(read: Callable[[Path], Answer], folder: Path) -> dict[str, Any]:
    """Return what comes of reading ``folder``: its kind, and what tells it from others."""
    global _folder
    _folder = str(folder)
    peak = MemoryPeak()
    _touched.clear()
    result = _read(read, folder)
    if _touched:
        result = {"kind": "touched", "detail": "; ".join(_touched)}
    return {**result, "more_bytes": peak.more_bytes}


def _read(read: Callable[[Path], Answer], folder: Path) -> dict[str, str]:
    try:
        answer = read(folder)
    except EdgeExitError as error:
        text = str(error)
        good = text.isprintable() and 0 < len(text) <= MESSAGE_CHARACTERS
        return {"kind": "refused" if good else "bad message", "detail": repr(text[:1000])}
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "edgeexit" in frame.filename] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return {"kind": "raised", "detail": f"{type(error).__name__} at {place}: {error}"}
    if not all(np.isfinite(array).all() for array in answer):
        return {"kind": "not finite", "detail": ""}
    content = b"".join(array.tobytes() for array in answer)
    return {"kind": "answered", "detail": hashlib.sha256(content).hexdigest()}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Hear of everything that Python asks of the system."""
    if event == "open":
        path, _, flags = arguments
        harms = flags & (os.O_WRONLY | os.O_RDWR)
    else:
        path = arguments[0] if arguments else ""
        harms = event.startswith(HARMFUL) and event not in HARMLESS
    # what has a number was opened before
    if harms and not isinstance(path, int) and not str(path).startswith(_folder):
        _touched.append(f"{event} {path}")


def main() -> None:
    """Read the folder that is named, or all that come in."""
    read = READERS[sys.argv[1]]
    if len(sys.argv) > 2:
        sys.stdout.write(f"{read(Path(sys.argv[2]))}\n")
        return
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    read(Path(sys.stdin.readline().rstrip("\n")))  # imports, which write and start much
    limit = memory_bytes("VmSize") + MAX_MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.addaudithook(_watch)
    answers.write("\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(outcome(read, Path(line.rstrip("\n")))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
