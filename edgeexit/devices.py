"""The device that torch computes on."""

from __future__ import annotations

import torch

from edgeexit.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> str:
    """Return ``cpu`` or ``cuda``; ``auto`` selects the GPU if torch finds one.

    Raises:
        InputError: ``cuda`` is not available, or ``name`` is not a known device.
    """
    if name not in DEVICES:
        raise InputError(f"device: expected one of {', '.join(DEVICES)}, got {name!r}")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise InputError("torch finds no CUDA device here; use --device cpu or auto")
    return ("cuda" if found else "cpu") if name == "auto" else name
