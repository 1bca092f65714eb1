"""Many processes replace and tune one bundle at once, while it is read again and again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from support.tiny_bundle import SIZE, write_bundle

TIMES = 120

WRITER = """
import dataclasses, shutil, sys, time
from pathlib import Path
from edgeexit.errors import BusyError
from edgeexit.files import replace_file, replace_folder
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, load_manifest, manifest_json
from edgeexit_runtime.system.locks import lock_folder

def replace(output, source):
    with replace_folder(output) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)

def tune(output, threshold):
    with lock_folder(output):
        manifest = load_manifest(output)
        first = dataclasses.replace(manifest.exits[0], threshold=float(threshold))
        exits = (first, *manifest.exits[1:])
        with replace_file(output / MANIFEST_NAME) as temporary:
            temporary.write_text(manifest_json(dataclasses.replace(manifest, exits=exits)))

kind, output, argument, times = sys.argv[1:]
done = 0
while done < int(times):
    try:
        {"replace": replace, "tune": tune}[kind](Path(output), argument)
        done += 1
    except BusyError:
        time.sleep(0.001)
"""


def variant(folder: Path, threshold: float) -> Path:
    """A bundle whose files and threshold are its own: no other one goes with its manifest."""
    write_bundle(folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    manifest["exits"][0]["threshold"] = threshold
    for part in (*manifest["stages"], *manifest["exits"], manifest["baseline"]):
        entry = part["graph"]
        content = (folder / entry["file"]).read_bytes()
        content += b"\x12\x03%.1f" % threshold  # producer_name, which no answer hangs on
        (folder / entry["file"]).write_bytes(content)
        entry["sha256"] = hashlib.sha256(content).hexdigest()
        entry["size_bytes"] = len(content)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return folder


@pytest.mark.slow
def test_reader_never_fails(tmp_path: Path) -> None:
    output = variant(tmp_path / "place" / "out", 0.1)
    kinds = [("replace", str(variant(tmp_path / name, float(name)))) for name in ("0.2", "0.3")]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, kind, str(output), argument, str(TIMES)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for kind, argument in (*kinds, ("tune", "0.9"))
    ]
    found = []
    while any(writer.poll() is None for writer in writers):
        with ee.load(output, providers=["CPUExecutionProvider"], threads=1) as session:
            assert len(session.infer(np.zeros((1, *SIZE), np.float32)).labels) == 1
            found.append(session.thresholds["exit1"])
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert {0.2, 0.3} <= set(found) <= {0.1, 0.2, 0.3, 0.9}
    assert [path.name for path in output.parent.iterdir()] == ["out"]
    known = {MANIFEST_NAME, *ee.load_manifest(output).files()}
    assert {path.name for path in output.iterdir()} == known
