"""How much memory something takes: the process's own numbers, which Linux keeps."""

from __future__ import annotations

from pathlib import Path


class MemoryPeak:
    """The peak of this process from now on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_bytes(b"5")  # the peak starts anew
        self._before = memory_bytes("VmRSS")

    @property
    def more_bytes(self) -> int:
        """How much more it was, at the most, than it had been before."""
        return memory_bytes("VmHWM") - self._before


def memory_bytes(name: str) -> int:
    """Return a value of ``/proc/self/status`` such as ``VmSize``, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024
