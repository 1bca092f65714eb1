"""A separate environment for a peer's package, with the torch and the edgeexit of this one.

Its packages come from PyPI and are invisible here. The packages of this environment are visible
there, so that both sides of a comparison use the same torch, and nothing is downloaded twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

MARK = "EDGEEXIT_PEER_ENVIRONMENT"
SHARED = "shared.pth"
READY = "installed.txt"


class PeerError(Exception):
    """The peer's package cannot be installed."""


def run_in_peer_environment(folder: Path, requirement: str, arguments: list[str]) -> int:
    """Make the environment unless it is there, and run a program of this one in it.

    Args:
        folder: of the environment.
        requirement: what pip installs there, such as ``earlyon==0.3.0``.
        arguments: the program and its own arguments.

    Returns:
        The program's exit status.

    Raises:
        PeerError: the package cannot be installed.
    """
    python = make_environment(folder, requirement)
    environment = {**os.environ, MARK: str(folder)}
    return subprocess.run([str(python), *arguments], env=environment).returncode


def make_environment(folder: Path, requirement: str) -> Path:
    """Return the interpreter of the environment, made unless it is there already.

    Raises:
        PeerError: the package cannot be installed.
    """
    python = folder / "bin" / "python"
    ready = folder / READY
    if ready.exists() and ready.read_text(encoding="utf-8") == requirement:
        return python
    venv.create(folder, clear=True, with_pip=True)
    packages = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    # the .pth files of a folder that is added by another .pth are not read, hence sys.path whole
    shared = [entry for entry in sys.path[1:] if Path(entry).is_dir() and _is_added(entry)]
    (packages / SHARED).write_text("\n".join(shared) + "\n", encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--quiet", requirement]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise PeerError(f"{requirement}: cannot be installed into {folder}: {reason}")
    ready.write_text(requirement, encoding="utf-8")
    return python


def in_peer_environment() -> bool:
    """Whether this program was started by :func:`run_in_peer_environment`."""
    return MARK in os.environ


def _is_added(entry: str) -> bool:
    """Whether a folder of sys.path is not the interpreter's own library."""
    own = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return not any(
        Path(entry) == Path(path) or Path(entry) == Path(path) / "lib-dynload" for path in own
    )
