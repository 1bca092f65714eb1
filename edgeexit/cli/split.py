"""``edgeexit split``: an ONNX classifier with several exits -> a bundle, without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.inputs.onnx_images import ProofOptions, proof_options
from edgeexit.cli.options import typed
from edgeexit.cli.options.bundle import BundleOptions, bundle_options
from edgeexit.cli.options.quantize import QuantizeOptions, quantize_options
from edgeexit.cli.options.shared import taken
from edgeexit.cli.output.export import print_summary, report_json
from edgeexit.cli.terminal import print_json, print_notes, say, shown_progress
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit.export.from_onnx.split import OnnxParts

NO_ENGINES = "chosen since split builds no engines; for a GPU name --target tensorrt"


@click.command("split")
@click.argument("file", metavar="ONNX", type=click.Path(path_type=Path))
@click.option(
    "--outputs",
    default="auto",
    show_default=True,
    metavar="auto|O1,O2,...",
    help="The exits' logits among the outputs, in order, the final exit last; auto: all.",
)
@click.option(
    "--input-size",
    type=typed.size,
    help="For a file with dynamic height and width: pixels, 224 or HEIGHTxWIDTH.",
)
@bundle_options
@quantize_options
@click.option("--json", "as_json", is_flag=True, help="Print the verification as JSON.")
@proof_options
def command(
    file: Path,
    outputs: str,
    input_size: tuple[int, int] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a bundle from an ONNX classifier that has exits of its own.

    The graph is split by the nodes that each output needs: stage k has the nodes that both exit k
    and a later exit need. The parts are compared with the file on random images in several batch
    sizes, and the bundle on your own images, as in 'edgeexit export'. PyTorch is needed only for
    --dataset. The file contains neither class names nor normalization: give both. Hardly any image
    leaves early until 'edgeexit tune' has chosen thresholds.

    \b
    Examples:
      edgeexit split model.onnx --outputs exit1,exit2,out --dataset digits -o out/
      edgeexit split model.onnx --images photos/ --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5
    """
    from edgeexit_runtime.images.decoding import MAX_PIXELS

    from edgeexit.export.from_onnx.split import split_onnx
    from edgeexit.export.writing import ExportOptions, write_bundle
    from edgeexit.scores import SOFTMAX

    asked, int8 = taken(BundleOptions, options), taken(QuantizeOptions, options)
    proof = ProofOptions(samples=asked.samples, **options)
    chosen = int8.precision(
        asked.precision, builds_engines=False, min_agreement=asked.min_agreement
    )
    with shown_progress("split") as progress:
        parts = split_onnx(
            file,
            outputs,
            input_size=None if input_size is None else (3, *input_size),
            least_opset=chosen.least_opset,
            score=asked.score or SOFTMAX,
            tell=lambda step: progress(step, 0.0),
        )
    print_notes(parts.notes)
    images = proof.read(parts)
    print_notes(images.notes)
    with shown_progress("bundle") as progress:
        bundle = write_bundle(
            parts.subject(images.preprocessing, images.class_names, images.data),
            asked.output,
            ExportOptions(chosen, parts.opset, asked.max_batch, asked.baseline),
            images.samples,
            images.source,
            progress,
            labels=images.labels,
            calibration=int8.images(images.preprocessing, proof.max_pixels or MAX_PIXELS),
        )
    if as_json:
        print_json({**report_json(bundle), "macs": _macs(parts)})
        return
    print_summary(bundle, "as --target says" if int8.target != "auto" else NO_ENGINES)
    shares = ", ".join(f"{name} {macs / 1e6:.2f}M" for name, macs in _macs(parts).items())
    say(f"MACs up to each exit, with the branches before it: {shares}")
    following = format_command("tune", "--engine-dir", f"{asked.output}/", "--max-drop", "0.01")
    say(f"next: {following}")


def _macs(parts: OnnxParts) -> dict[str, int]:
    return {exit_.name: exit_.path_macs for exit_ in parts.cost.exits}
