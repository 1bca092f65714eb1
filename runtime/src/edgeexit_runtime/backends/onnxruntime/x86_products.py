"""Exact 8-bit products on every x86 CPU.

Without VNNI, an x86 CPU adds pairs of products of unsigned and signed 8 bits in 16 bits, which
saturate silently: 2 x 255 x 127 is twice what fits. ONNX Runtime has kernels that widen first; they
are exact and slower, and are used on request, on CPUs with VNNI too. Products of ARM and other
CPUs are exact; the option is ignored there.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

PRECISE_PRODUCTS = "session.x64quantprecision"
"""ONNX Runtime's option, see its onnxruntime_session_options_config_keys.h."""

CPUINFO = Path("/proc/cpuinfo")
VNNI = {"avx_vnni", "avx512_vnni"}
X86 = {"x86_64", "amd64", "x86", "i386", "i686"}


def require_exact_products(options: Any) -> None:
    """Set ``onnxruntime.SessionOptions`` to widen products if they may saturate on this CPU."""
    if needs_exact_products():
        options.add_session_config_entry(PRECISE_PRODUCTS, "1")


def needs_exact_products() -> bool:
    """Whether products saturate on this CPU, as far as is known."""
    return is_x86() and has_vnni() is not True


def is_x86(machine: str | None = None) -> bool:
    """Whether a machine, or this one, is an x86 CPU; ``machine`` as from ``platform.machine()``."""
    return (machine or platform.machine()).lower() in X86


def has_vnni(cpuinfo: Path = CPUINFO) -> bool | None:
    """Whether an x86 CPU has VNNI; None if the system does not report it (Windows, macOS)."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = [line.partition(":")[2] for line in text.splitlines() if line.startswith("flags")]
    if not lines:
        return None
    return all(VNNI & set(line.split()) for line in lines)
