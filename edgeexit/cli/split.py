"""``edgeexit split``: an ONNX classifier with several exits -> a bundle, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edgeexit.cli.inputs.onnx_images import ProofOptions
from edgeexit.cli.options import typed
from edgeexit.cli.options.bundle import BundleOptions
from edgeexit.cli.options.fields import PATH, argument, flag, option, takes
from edgeexit.cli.options.quantize import QuantizeOptions
from edgeexit.cli.output.export import print_summary, report_json
from edgeexit.cli.terminal import print_json, print_notes, say, shown_progress
from edgeexit.formats import format_command

NO_ENGINES = "chosen since split builds no engines; for a GPU name --target tensorrt"


@dataclass(frozen=True, slots=True)
class SplitOptions(BundleOptions):
    """The ONNX file, and the bundle to write."""

    file: Path = argument("ONNX", type=PATH)
    outputs: str = option(
        "The exits' logits among the outputs, in order, the final exit last; auto: all.",
        default="auto",
        metavar="auto|O1,O2,...",
    )
    input_size: tuple[int, int] | None = option(
        "For a file with dynamic height and width: pixels, 224 or HEIGHTxWIDTH.", type=typed.size
    )
    as_json: bool = flag("Print the verification as JSON.", "--json")


@click.command("split")
@takes(SplitOptions)
@takes(QuantizeOptions)
@takes(ProofOptions)
def command(options: SplitOptions, int8: QuantizeOptions, proof: ProofOptions) -> None:
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

    precision = int8.precision(options.precision, False, options.min_agreement)
    with shown_progress("split") as progress:
        parts = split_onnx(
            options.file,
            options.outputs,
            input_size=None if options.input_size is None else (3, *options.input_size),
            least_opset=precision.least_opset,
            score=options.score or SOFTMAX,
            tell=lambda step: progress(step, 0.0),
        )
    print_notes(parts.notes)
    images = proof.read(parts, options.samples)
    print_notes(images.notes)
    with shown_progress("bundle") as progress:
        bundle = write_bundle(
            parts.subject(images.preprocessing, images.class_names, images.data),
            options.output,
            ExportOptions(precision, parts.opset, options.max_batch, options.baseline),
            images.samples,
            images.source,
            progress,
            labels=images.labels,
            calibration=int8.images(images.preprocessing, proof.max_pixels or MAX_PIXELS),
        )
    macs = {exit_.name: exit_.path_macs for exit_ in parts.cost.exits}
    if options.as_json:
        print_json({**report_json(bundle), "macs": macs})
        return
    print_summary(bundle, "as --target says" if int8.target != "auto" else NO_ENGINES)
    shares = ", ".join(f"{name} {value / 1e6:.2f}M" for name, value in macs.items())
    say(f"MACs up to each exit, with the branches before it: {shares}")
    following = format_command("tune", "--engine-dir", f"{options.output}/", "--max-drop", "0.01")
    say(f"next: {following}")
