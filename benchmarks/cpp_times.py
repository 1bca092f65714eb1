"""Compare the time per frame of the C++ library and of Python's session, as pairs in one run.

    python benchmarks/cpp_times.py BUNDLE --program build/edgeexit_classify [--engine openvino]

Each pair is one pass of each over the same frames, one at a time, in random order. The C++ program
is that of runtime/cpp, started once and queried through a pipe, whose time is included.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from edgeexit_runtime import load
from goals import Figure, finish, parser_of
from pairs import Pairs, time_pairs

FRAMES = 50
MAX_RATIO = 1.0
"""C++ over Python: both compute the same, and nothing else should take longer."""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--program", type=Path, required=True, help="edgeexit_classify")
    parser.add_argument("--engine", default="openvino", choices=("openvino", "onnxruntime"))
    parser.add_argument("--duration", type=float, default=20, help="seconds (default 20)")
    options = parser.parse_args()
    pairs, shares = measure(
        options.bundle, options.program, options.engine, options.duration, options.seed
    )
    label = f"C++ over Python, {options.engine}, {shares}"
    finish(
        "ms per frame at batch 1, one thread per graph",
        [Figure(label, pairs.ratio.median, "", MAX_RATIO, note=f"{pairs.ratio}; {pairs.note}")],
        options.json,
    )


def measure(
    bundle: Path, program: Path, engine: str, duration_s: float, seed: int
) -> tuple[Pairs, str]:
    """Return milliseconds per frame, C++ first, and the images that left at each exit."""
    with (
        load(bundle, backend=engine, threads=1) as session,
        tempfile.NamedTemporaryFile() as file,
    ):
        channels, height, width = session.manifest.preprocessing.input_size
        rng = np.random.default_rng(seed)
        contrast = rng.random((FRAMES, 1, 1, 1))
        noise = rng.integers(0, 256, (FRAMES, height, width, channels))
        frames = (contrast * noise).astype(np.uint8)
        file.write(frames.tobytes())
        file.flush()
        images = session.preprocess(frames)
        exits = np.bincount(session.infer(images).exits, minlength=len(session.manifest.exits))
        options = ["--engine", engine, "--threads", "1", "--time"]
        command = [str(program), str(bundle), file.name, *options]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:

            def in_cpp() -> None:
                assert child.stdin is not None
                assert child.stdout is not None
                print(file=child.stdin, flush=True)
                child.stdout.readline()

            def in_python() -> None:
                for image in images:
                    session.infer(image[None])

            passes = time_pairs(in_cpp, in_python, duration_s=duration_s, seed=seed)
    names = session.manifest.exit_names
    shares = ", ".join(f"{name} {count}" for name, count in zip(names, exits, strict=True))
    times = Pairs(passes.first_ms / FRAMES, passes.second_ms / FRAMES)
    return times, f"of {FRAMES} frames {shares}"


if __name__ == "__main__":
    main()
