"""Start-up time of a process that classifies: import and load of the ResNet-20 bundle.

    python benchmarks/start_up.py [--processes 15] [--bundles FOLDER]

Each process imports numpy, edgeexit_runtime and onnxruntime in this order, loads the bundle, and
reports each time; the result is the median over processes. Files come from the system's cache.
Goal: the runtime's import and load, with all that they import, under 0.3 seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from goals import Figure, finish, parser_of
from numpy.typing import NDArray
from random_bundles import bundle_of

from edgeexit.models import make_spec

GOAL_S = 0.3
PROGRAM = """
import json, sys, time
clock = time.perf_counter
start = clock(); import numpy
numpy_s = clock() - start
start = clock(); import edgeexit_runtime
runtime_s = clock() - start
start = clock(); import onnxruntime
onnxruntime_s = clock() - start
start = clock(); edgeexit_runtime.load(sys.argv[1], threads=1)
load_s = clock() - start
print(json.dumps([numpy_s, runtime_s, onnxruntime_s, load_s]))
"""
PARTS = (
    "import numpy",
    "import edgeexit_runtime, behind numpy",
    "import onnxruntime",
    "load, behind these",
)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--processes", type=int, default=15)
    options = parser.parse_args()
    spec = make_spec("resnet20", "3+1", 10, (3, 32, 32))
    with bundle_of("resnet20", spec, options.bundles) as folder:
        start_once(folder)  # fills the system's cache of files
        parts = np.array([start_once(folder) for _ in range(options.processes)])
    finish("start of a process, ResNet-20 3+1", figures_of(parts), options.json)


def start_once(folder: Path) -> list[float]:
    """Start a process, and return the seconds of :data:`PARTS` in it."""
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds: list[float] = json.loads(output)
    return seconds


def figures_of(parts: NDArray[np.float64]) -> list[Figure]:
    """Return medians of the parts' seconds (processes, parts), and of each process's sum."""
    total = parts.sum(axis=1)
    note = f"{total.min():.3f} to {total.max():.3f} s, {len(total)} processes"
    name = "import edgeexit_runtime and load"
    medians = np.median(parts, axis=0)
    return [
        Figure(name, float(np.median(total)), "s", GOAL_S, note=note),
        *(
            Figure(f"  {name}", float(median), "s")
            for name, median in zip(PARTS, medians, strict=True)
        ),
    ]


if __name__ == "__main__":
    main()
