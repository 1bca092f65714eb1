"""INT8 options of ``edgeexit export`` and ``split``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgeexit_runtime.bundle.quantization_entry import CPU, GPU

from edgeexit.cli.options.fields import PATH, option
from edgeexit.cli.options.shared import refuse
from edgeexit.cli.terminal import print_notes

if TYPE_CHECKING:
    from edgeexit_runtime import Preprocessing

    from edgeexit.cli.build import EngineChoice
    from edgeexit.export import CalibrationImages, Precision

AUTO, CLASSIFIER = "auto", "classifier"
OF_INT8 = ("calibration_data", "method", "quantize", "fallback")


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How INT8 quantizes; None where not given."""

    calibration_data: Path | None = option(
        "Images to measure the value ranges of INT8 on; see docs/guides/int8.md.",
        type=PATH,
        metavar="FOLDER|NPY|NPZ",
    )
    method: str | None = option(
        "How INT8 chooses ranges; auto takes the method with the best exit decisions on "
        "held-out images.  [default: auto]",
        type=click.Choice([AUTO, "minmax", "entropy", "percentile"]),
    )
    quantize: str | None = option(
        "What to quantize: everything that the target computes in 8 bits, or, for CPUs, large "
        "classifiers alone.  [default: all]",
        type=click.Choice(["all", CLASSIFIER]),
    )
    target: str = option(
        "The engine to quantize for: cpu for ONNX Runtime and OpenVINO, cpu-7bit for "
        "these on x86 CPUs without VNNI, tensorrt for GPUs; auto: tensorrt if this export "
        "builds engines, else cpu.",
        default=AUTO,
        metavar="auto|cpu|cpu-7bit|tensorrt",
    )
    fallback: str | None = option(
        "Precision of all that is not quantized, and of features between graphs.  "
        "[default: fp16 if this export builds engines, else fp32]",
        type=click.Choice(["fp32", "fp16"]),
    )

    @property
    def is_for_cpus(self) -> bool:
        """Whether the options ask for a bundle that TensorRT cannot build."""
        from edgeexit.export import TARGETS

        if self.quantize == CLASSIFIER:
            return True
        return self.target != AUTO and TARGETS[self.target].entry.engine == CPU

    @property
    def _named_target(self) -> tuple[str, ...]:
        """The parameter ``target``, unless it is ``auto``, which goes with everything."""
        return () if self.target == AUTO else ("target",)

    def precision(self, name: str, builds_engines: bool, min_agreement: float | None) -> Precision:
        """Return the precision of that name, with the command line's options.

        Raises:
            click.UsageError: the options do not go together.
        """
        from edgeexit.export import PRECISIONS, TARGETS, Quantization

        chosen = PRECISIONS[name]
        if name == "int8":
            self._check(builds_engines)
            target = self._target(builds_engines)
            fallback = self.fallback or ("fp16" if builds_engines else "fp32")
            if self.quantize != CLASSIFIER and fallback not in TARGETS[target].fallbacks:
                raise click.UsageError(
                    f"--fallback {fallback} does not go with --target {target}, which takes "
                    f"{', '.join(TARGETS[target].fallbacks)}; omit it, or name another --target"
                )
            chosen = chosen.quantized(
                Quantization(self.quantize or "all", self.method or AUTO, fallback, target)
            )
        else:
            refuse((*OF_INT8, *self._named_target), f"goes with --precision int8, got {name}")
        return chosen if min_agreement is None else replace(chosen, min_agreement=min_agreement)

    def _check(self, builds_engines: bool) -> None:
        """Refuse options of INT8 that do not go together."""
        if builds_engines and self.is_for_cpus:
            which, other = f"--target {self.target}", "--target tensorrt"
            if self.quantize == CLASSIFIER:
                which, other = "--quantize classifier", "--quantize all"
            raise click.UsageError(
                f"{which} is for CPUs, TensorRT cannot build it: omit --engine, or choose {other}"
            )
        if self.quantize == CLASSIFIER:
            goes = "goes with --quantize all:"
            refuse(
                self._named_target,
                f"{goes} large classifiers alone have one form, for CPUs; omit it",
            )
            refuse(
                ("calibration_data", "method"),
                f"{goes} classifiers are rounded to the range of each image; omit it",
            )
        elif self.calibration_data is None:
            raise click.UsageError(
                "--precision int8 needs --calibration-data: a folder of images, a .npy or a .npz "
                "file"
            )

    def reason(self, building: EngineChoice) -> str:
        """Return the reason for the choice of target, in a few words."""
        if self.target != AUTO:
            return "as --target says"
        if building.library is not None:
            return f"chosen since this export builds engines with {building.library}"
        from edgeexit.export.int8.targets import target_for
        from edgeexit.export.int8.targets.cpu_7bit import target_of_this_cpu

        why = f": {building.reason}" if building.reason is not None else ""
        other = target_of_this_cpu()
        here = "" if other == target_for(CPU) else f"; for this CPU, without VNNI, name {other}"
        return f"chosen since no engines are built{why}; for a GPU name --target tensorrt{here}"

    def _target(self, builds_engines: bool) -> str:
        from edgeexit.export.int8.targets import target_for

        if self.target != AUTO:
            return self.target
        return target_for(GPU if builds_engines else CPU)

    def images(self, preprocessing: Preprocessing, max_pixels: int) -> CalibrationImages | None:
        """Read the calibration images, preprocessed for the network; None if none are given.

        Raises:
            DataError: they are missing or unusable.
        """
        from edgeexit.export import load_calibration_images

        if self.calibration_data is None:
            return None
        images = load_calibration_images(
            self.calibration_data, preprocessing, max_pixels=max_pixels
        )
        print_notes(images.notes)
        return images
