"""The manifest's entry of an INT8 bundle: what is in 8 bits, and how value ranges were found."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeexit_runtime.bundle.schema import check_choice, check_name, check_range, check_text

ALL, CLASSIFIER = "all", "classifier"
EXTENTS = (ALL, CLASSIFIER)
CALIBRATION_METHODS = ("minmax", "entropy", "percentile")
DYNAMIC = "dynamic"
"""No ranges were measured: a classifier's inputs are rounded to the range of each image."""
FALLBACKS = ("fp32", "fp16")
CPU, GPU = "cpu", "gpu"
ENGINES = (CPU, GPU)
"""Kinds of engines that an INT8 form is written for."""


@dataclass(frozen=True, slots=True, order=True)
class MethodScore:
    """Score of a calibration method on held-out images, compared in the order of the fields.

    Attributes:
        equal_decisions: share of images and exits, 0 to 1, with FP32's decision to leave or not.
        equal_labels: the same share for labels.
        closeness: minus the mean difference of logits, relative to FP32's largest.
    """

    equal_decisions: float
    equal_labels: float
    closeness: float


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """The form of a bundle's 8-bit values.

    Attributes:
        name: the value of ``edgeexit export --target``.
        engine: the kind of engine that computes all of this form in INT8: ``cpu`` or ``gpu``.
        assumes: what it requires of the machine, in words.
        elsewhere: what it costs on the other kind of engine, and what to do, in words.
        weight_bits: bits of each weight, including its sign; 7 if two products with unsigned 8
            bits must fit into 16.
    """

    name: str
    engine: str
    assumes: str
    elsewhere: str
    weight_bits: int = 8

    def __post_init__(self) -> None:
        check_name(self.name)
        check_text("target", self.assumes, self.elsewhere)
        check_choice("engine", self.engine, ENGINES)
        check_range("weight_bits", self.weight_bits, 7, 8)


@dataclass(frozen=True, slots=True)
class FeatureRounding:
    """The uint8 form of a feature between graphs: value = scale * (integer - zero_point)."""

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if self.scale <= 0 or not 0 <= self.zero_point <= 255:
            raise ValueError(
                "rounding: expected a scale above 0 and a zero_point of 0 to 255, got "
                f"{self.scale} and {self.zero_point}"
            )


@dataclass(frozen=True, slots=True)
class QuantizationEntry:
    """How the weights and features of a bundle were quantized to 8 bits.

    Attributes:
        extent: ``all``: convolutions, linear layers and residual additions, with Q/DQ nodes;
            ``classifier``: the weights of large classifiers, which TensorRT does not build.
        method: how ranges were chosen, one of :data:`CALIBRATION_METHODS`; :data:`DYNAMIC` for
            ``classifier``.
        fallback: precision of everything that is not quantized, ``fp32`` or ``fp16``.
        samples: number of images that the ranges were measured on.
        source: where these came from.
        held_out: number of further images that methods were compared on; 0 if one was named.
        candidates: the score of each method on these.
        target: the form of the 8-bit values; None for ``classifier``.
        features: by name, the scales of the tensors between graphs that are uint8.
    """

    extent: str
    method: str
    fallback: str
    samples: int = 0
    source: str = ""
    held_out: int = 0
    candidates: dict[str, MethodScore] | None = None
    target: TargetEntry | None = None
    features: dict[str, FeatureRounding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        methods = (DYNAMIC,) if self.extent == CLASSIFIER else CALIBRATION_METHODS
        check_choice("extent", self.extent, EXTENTS)
        check_choice("method", self.method, methods)
        check_choice("fallback", self.fallback, FALLBACKS)
        for name in self.candidates or ():
            check_choice("candidates", name, CALIBRATION_METHODS)
        if self.samples < 0 or self.held_out < 0:
            raise ValueError("samples, held_out: expected 0 or more")

    @property
    def needs_vnni(self) -> bool:
        """Whether an x86 CPU without VNNI, which adds two products in 16 bits, could saturate.

        A ``classifier`` bundle has unsigned weights, whose products no engine here adds in 16 bits.
        """
        return self.extent == ALL and (self.target is None or self.target.weight_bits == 8)
