"""What ``edgeexit export`` prints of a bundle: its proof, and what INT8 changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeexit.cli.common import console

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry
    from rich.table import Table

    from edgeexit.bench.timing.before_after import PartChange
    from edgeexit.export import ExportedBundle

__all__ = ["print_summary", "report_json"]

SLOWER = 1.02  # less is within what two runs differ by
MB = 1e6
FEW_IMAGES = 100


def report_json(bundle: ExportedBundle, changes: Sequence[PartChange] | None) -> dict[str, Any]:
    """Return everything that is printed as JSON values; sizes in bytes, times in milliseconds."""
    from edgeexit_runtime.bundle.schema import encode

    result: dict[str, Any] = {"bundle": str(bundle.folder), **bundle.manifest.verification}
    if bundle.before:
        result["quantization"] = encode(bundle.manifest.quantization)
        result["sizes"] = [
            {"name": old.name, "before": len(old.content), "after": len(new.content)}
            for old, new in zip(bundle.before, bundle.after, strict=True)
        ]
    if changes is not None:
        result["times"] = encode(tuple(changes))
    return result


def print_summary(
    bundle: ExportedBundle, changes: Sequence[PartChange] | None, target_reason: str
) -> None:
    """Print the proof, tables of what INT8 changed, and why it has the form that it has."""
    proof, manifest = bundle.verification, bundle.manifest
    out = console()
    size = sum(graph.size_bytes for _, graph in manifest.graphs()) / MB
    out.print(
        f"{bundle.folder}: {len(list(manifest.graphs()))} graphs, {size:.2f} MB in "
        f"{manifest.precision}; {proof.equal_answers:.2%} of {proof.samples} images get the "
        f"network's label from the network's exit (at least {proof.min_agreement:.0%} asked of "
        "every exit)",
        soft_wrap=True,
    )
    out.print(_exit_table(bundle))
    if proof.excluded:
        out.print(f"{proof.excluded} more images were not judged: INT8 was calibrated on them")
    if manifest.quantization is not None:
        out.print(_part_table(bundle, changes))
        for line in _quantization_lines(manifest.quantization, target_reason):
            out.print(line, soft_wrap=True)
    if changes is not None:
        out.print(_verdict(changes, manifest.quantization), soft_wrap=True)


def _exit_table(bundle: ExportedBundle) -> Table:
    from rich.table import Table

    proof, manifest = bundle.verification, bundle.manifest
    table = Table(
        title=f"{manifest.precision} bundle against the FP32 network on {proof.samples} images "
        f"({proof.source})"
    )
    labelled = all(exit_.accuracy is not None for exit_ in proof.exits)
    table.add_column("exit")
    headings = ["largest logit difference", "equal labels", "equal decisions"]
    if labelled:
        headings += ["network's accuracy", "bundle's accuracy"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for exit_ in proof.exits:
        row = [
            exit_.name,
            f"{exit_.max_logit_difference:.2g}",
            f"{exit_.equal_labels:.2%}",
            f"{exit_.equal_decisions:.2%}",
        ]
        if exit_.accuracy is not None and exit_.network_accuracy is not None:
            row += [f"{exit_.network_accuracy:.4f}", f"{exit_.accuracy:.4f}"]
        table.add_row(*row[: len(table.columns)])
    return table


def _quantization_lines(record: QuantizationEntry, target_reason: str) -> list[str]:
    """Say for what the 8 bits are, how the ranges were found, and how the methods compared."""
    from edgeexit.export import TARGETS

    if record.target is None:
        return [
            "8 bits: the weights of the exits' large classifiers; inputs are rounded as they come"
        ]
    lines = [
        f"target {record.target.name}, {target_reason}",
        f"8 bits: {TARGETS[record.target.name].says}; the rest {record.fallback}. "
        f"Ranges by {record.method} on {record.samples} images of {record.source}",
    ]
    if record.samples < FEW_IMAGES // 2:
        lines.append(f"that is few: with {FEW_IMAGES} or more, ranges hold for other images too")
    if record.candidates:
        lines.append(f"--method auto compared on {record.held_out} more:")
        lines += [
            f"  {method:<10}  equal decisions {score.equal_decisions:.2%}, equal labels "
            f"{score.equal_labels:.2%}, mean logit difference {-score.closeness:.2%}"
            + (" (kept)" if method == record.method else "")
            for method, score in record.candidates.items()
        ]
    return lines


def _part_table(bundle: ExportedBundle, changes: Sequence[PartChange] | None) -> Table:
    """Return size and time of every part; only sizes where times were not measured."""
    from rich.table import Table

    precision = bundle.manifest.precision
    title = "before and after"
    if changes is not None:
        title += ", time of one image on one thread here (medians of calls in turns)"
    table = Table(title=title)
    table.add_column("part")
    headings = ["fp32 MB", f"{precision} MB", "ratio"]
    if changes is not None:
        headings += ["fp32 ms", f"{precision} ms", "ratio"]
    for heading in headings:
        table.add_column(heading, justify="right")
    times = {change.name: change for change in changes or ()}
    for old, new in zip(bundle.before, bundle.after, strict=True):
        before, after = len(old.content), len(new.content)
        row = [old.name, f"{before / MB:.3f}", f"{after / MB:.3f}", f"{after / before:.2f}"]
        if old.name in times:
            change = times[old.name]
            row += [
                f"{change.before.p50_ms:.3f}",
                f"{change.after.p50_ms:.3f}",
                f"{change.ratio:.2f}",
            ]
        table.add_row(*row)
    return table


def _verdict(changes: Sequence[PartChange], record: QuantizationEntry | None) -> str:
    """Say where INT8 does not pay on this machine."""
    slower = [change for change in changes if change.ratio > SLOWER]
    if not slower:
        return "INT8 is as fast or faster in every part on one thread here"
    names = ", ".join(f"{change.name} ({change.ratio:.2f})" for change in slower)
    slow = f"on one thread of ONNX Runtime here INT8 is slower in {names}"
    if record is None or record.target is None or record.target.engine == "cpu":
        return slow
    return f"{slow}: it is for another engine. {record.target.elsewhere}"
