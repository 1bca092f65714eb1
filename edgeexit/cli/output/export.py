"""Output of ``edgeexit export``: a bundle's verification, and the effects of INT8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeexit.cli.terminal import print_table, say
from edgeexit.formats import Table, format_fraction, named_numbers

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry

    from edgeexit.export import ExportedBundle

MB = 1e6
FEW_IMAGES = 100


def report_json(bundle: ExportedBundle) -> dict[str, Any]:
    """Return all printed results as JSON values; sizes in bytes."""
    result: dict[str, Any] = {"bundle": str(bundle.folder), **bundle.manifest.verification}
    if bundle.before:
        result["quantization"] = bundle.manifest.quantization
        result["sizes"] = [
            {"name": old.name, "before": len(old.content), "after": len(new.content)}
            for old, new in zip(bundle.before, bundle.after, strict=True)
        ]
    return result


def print_summary(bundle: ExportedBundle, target_reason: str) -> None:
    """Print the verification, the effects of INT8, and the reason for its target."""
    proof, manifest = bundle.verification, bundle.manifest
    size = sum(graph.size_bytes for _, graph in manifest.graphs()) / MB
    say(
        f"{bundle.folder} gives {proof.equal_answers:.2%} of {proof.samples} images the network's "
        f"label from the network's exit (every exit must reach {proof.min_agreement:.0%}); "
        f"{len(list(manifest.graphs()))} graphs, {size:.2f} MB in {manifest.precision}"
    )
    print_table(_exit_table(bundle))
    if proof.excluded:
        say(f"{proof.excluded} more images were excluded: INT8 was calibrated on them")
    if manifest.quantization is not None:
        say(_sizes_text(bundle))
        for line in _quantization_lines(manifest.quantization, target_reason):
            say(line)


def _exit_table(bundle: ExportedBundle) -> Table:
    proof, manifest = bundle.verification, bundle.manifest
    labelled = all(exit_.accuracy is not None for exit_ in proof.exits)
    return Table.of(
        f"{manifest.precision} bundle against the FP32 network on {proof.samples} images "
        f"({proof.source})",
        named_numbers(
            *("exit", "largest logit\ndifference", "equal\nlabels", "equal\ndecisions"),
            *(("network's\naccuracy", "bundle's\naccuracy") if labelled else ()),
        ),
        (
            (
                exit_.name,
                f"{exit_.max_logit_difference:.2g}",
                f"{exit_.equal_labels:.2%}",
                f"{exit_.equal_decisions:.2%}",
                *map(format_fraction, (exit_.network_accuracy, exit_.accuracy) if labelled else ()),
            )
            for exit_ in proof.exits
        ),
    )


def _sizes_text(bundle: ExportedBundle) -> str:
    """Return the sizes of the parts relative to FP32."""
    pairs = zip(bundle.before, bundle.after, strict=True)
    ratios = (f"{old.name} {len(new.content) / len(old.content):.2f}" for old, new in pairs)
    before = sum(len(graph.content) for graph in bundle.before) / MB
    return f"sizes as ratios to fp32, which has {before:.2f} MB: {', '.join(ratios)}"


def _quantization_lines(record: QuantizationEntry, target_reason: str) -> list[str]:
    """Return lines on the target, the source of the ranges, and the comparison of methods."""
    from edgeexit.export import TARGETS

    if record.target is None:
        return [
            "8 bits: the weights of the exits' large classifiers; inputs are rounded at run time"
        ]
    lines = [
        f"target {record.target.name}, {target_reason}",
        f"8 bits: {TARGETS[record.target.name].says}; the rest {record.fallback}. "
        f"Ranges by {record.method} on {record.samples} images of {record.source}",
    ]
    if record.samples < FEW_IMAGES // 2:
        lines.append(f"that is few: use {FEW_IMAGES} or more for ranges that fit other images too")
    if record.candidates:
        lines.append(f"--method auto compared on {record.held_out} more:")
        lines += [
            f"  {method:<10}  equal decisions {score.equal_decisions:.2%}, equal labels "
            f"{score.equal_labels:.2%}, mean logit difference {-score.closeness:.2%}"
            + (" (kept)" if method == record.method else "")
            for method, score in record.candidates.items()
        ]
    return lines
