"""Models of the user's own that cannot be run as a classifier: one line that says where and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.messages import missing
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models import attach_exits
from edgeexit.models.attach import inspect_points
from edgeexit.models.tracing.user_code import explained

SIZE = (3, 16, 16)
CLASSES = 5


class Classifier(nn.Module):
    """Does what it should; its children give other results, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.changed(self.head(self.body(self.taken(x)).mean((2, 3))))

    def taken(self, x: Tensor) -> Tensor:
        return x

    def changed(self, logits: Tensor) -> Tensor:
        return logits


def giving(change: Callable[[Tensor], object]) -> nn.Module:
    """A model that gives something else than its logits."""
    model = Classifier()
    model.changed = change  # type: ignore[method-assign,assignment]
    return model


def taking(change: Callable[[Tensor], Tensor]) -> nn.Module:
    """A model that looks at its images first."""
    model = Classifier()
    model.taken = change  # type: ignore[method-assign]
    return model


def fails(x: Tensor) -> Tensor:
    raise KeyError("no")


def leaves(x: Tensor) -> Tensor:
    sys.exit(3)


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def fails_without_text(x: Tensor) -> Tensor:
    raise NoTextError


def takes_two(x: Tensor) -> Tensor:
    if x.shape[0] != 2:
        raise ValueError("two images")
    return x


class OddAttributes(Classifier):
    def __getattr__(self, name: str) -> Tensor | nn.Module:
        if name == "_orig_mod":
            raise RuntimeError("no attributes")
        return super().__getattr__(name)


class TupleInEvaluation(Classifier):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits if self.training else (logits,)  # type: ignore[return-value]


def lazy(**layers: nn.Module) -> nn.Module:
    model = Classifier()
    for name, layer in layers.items():
        setattr(model, name, layer)
    return model


LINE = "test_user_code.py:"
CANNOT_RUN = "cannot be run on {} images of (3, 16, 16)"
NOT_LOGITS = "expected one tensor of logits (N, K) for N images, got {}"


@pytest.mark.parametrize(
    ("build", "facts"),
    [
        (
            lambda: lazy(head=nn.LazyLinear(5)),
            ("head.weight, head.bias", "lazy", "give the layers"),
        ),
        (
            lambda: lazy(unused=nn.LazyBatchNorm2d()),
            ("unused.weight", "lazy", "run the model once"),
        ),
        (lambda: taking(fails), (CANNOT_RUN.format(2), "KeyError: 'no'", LINE, "raise KeyError")),
        (lambda: taking(leaves), (CANNOT_RUN.format(2), "SystemExit: 3", LINE)),
        (lambda: taking(fails_without_text), (CANNOT_RUN.format(2), "NoTextError", LINE)),
        (lambda: taking(takes_two), (CANNOT_RUN.format(3), "ValueError: two images", "number")),
        (lambda: giving(lambda y: y.view(2, 5)), (CANNOT_RUN.format(3), LINE, "number")),
        (lambda: giving(lambda y: y[:2]), (NOT_LOGITS.format("float32 (2, 5) for 3"),)),
        (lambda: taking(lambda x: x[:2]), (NOT_LOGITS.format("float32 (2, 5) for 3"),)),
        (lambda: giving(lambda y: torch.cat([y, y])), (NOT_LOGITS.format("float32 (4, 5) for 2"),)),
        (
            lambda: giving(lambda y: y.view(-1, 1, 5)),
            (NOT_LOGITS.format("float32 (2, 1, 5) for 2"), "with its classifier"),
        ),
        (lambda: giving(torch.Tensor.long), (NOT_LOGITS.format("int64 (2, 5) for 2"),)),
        (lambda: giving(lambda y: {"logits": y}), (NOT_LOGITS.format("dict for 2"),)),
        (lambda: giving(lambda y: None), (NOT_LOGITS.format("NoneType for 2"),)),
        (TupleInEvaluation, ("in evaluation mode", NOT_LOGITS.format("tuple for 2"))),
        (OddAttributes, ("OddAttributes", "RuntimeError: no attributes", LINE)),
    ],
)
def test_models_that_cannot_be_cut(build: Callable[[], nn.Module], facts: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        inspect_points(build(), SIZE)
    assert not missing(caught.value, *facts)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (torch.squeeze, ("expected (1, 5)", "of one image alone, got (5,)", "squeeze")),
        (lambda y: y * float("nan"), ("not finite", "weights")),
        (lambda y: y + torch.rand_like(y), ("random in evaluation mode", "dropout")),
    ],
)
def test_models_whose_answers_cannot_be_compared(
    change: Callable[[Tensor], Tensor], facts: tuple[str, ...]
) -> None:
    with pytest.raises(SpecError) as caught:
        attach_exits(giving(change), ["body.0"], branches="n", input_size=SIZE)
    assert not missing(caught.value, *facts)


def test_what_passes() -> None:
    """Errors of our own, and Ctrl-C."""
    for error in (SpecError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, explained("importing x raised"):
            raise error
        assert caught.value is error


def test_the_line_is_the_users_own_and_not_torchs() -> None:
    with pytest.raises(SpecError) as caught, explained("running it raised", "; look"):
        nn.Linear(2, 2)(torch.zeros(1, 3))
    message = str(caught.value)
    assert message.startswith("running it raised RuntimeError: ")
    assert message.endswith(
        f"({Path(__file__).name}:{_line()} `nn.Linear(2, 2)(torch.zeros(1, 3))`); look"
    )


def _line() -> int:
    source = Path(__file__).read_text().splitlines()
    return 1 + next(n for n, line in enumerate(source) if "nn.Linear(2, 2)(" in line)
