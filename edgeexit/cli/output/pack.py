"""What ``edgeexit pack`` and ``export --format single`` print of a single file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeexit.cli.common import console, shown_command

if TYPE_CHECKING:
    from edgeexit.export.single.packing import PackedFile

MB = 1e6


def packed_json(packed: PackedFile) -> dict[str, Any]:
    """Return everything that is printed as JSON values; sizes in bytes."""
    from edgeexit_runtime.bundle.schema import encode

    return {
        "file": str(packed.file),
        "size_bytes": packed.size_bytes,
        "decisions": packed.proof.decisions,
        **encode(packed.proof),
        "warnings": list(packed.about.warnings),
    }


def print_packed(packed: PackedFile) -> None:
    """Print how a single file was proven, what to know of engines, and what to do next."""
    proof, out = packed.proof, console()
    left = ", ".join(f"{name} {count:,}" for name, count in proof.left_at.items())
    out.print(
        f"{packed.file}: {packed.size_bytes / MB:.2f} MB in {packed.about.precision}; "
        f"{proof.decisions:,} labels and exits are the bundle's, of {proof.samples} images "
        f"({proof.source}) at {len(proof.settings)} settings of thresholds, alone and in batches "
        f"(left at {left}; {proof.by_rounding} others by rounding)",
        soft_wrap=True,
    )
    for line in packed.about.warnings:
        out.print(line, soft_wrap=True)
    out.print(f"what it takes and gives: {shown_command('inspect', packed.file)}", soft_wrap=True)
