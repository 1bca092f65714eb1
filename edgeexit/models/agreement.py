"""Check on random images that a network made from a model has the same outputs as the model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeexit.errors import SpecError
from edgeexit.models.spec import ModelSpec
from edgeexit.models.tracing.user_code import explained

RELATIVE_TOLERANCE = 1e-4
"""For the chained parts against the model; they run the same operators, so most are equal."""
ALONE_TOLERANCE = 1e-3
"""For an image alone against the same image in a batch, which other kernels compute."""
ROUNDING = 1e-5
SUM_TOLERANCE = 1e-4
SHOWN = 3  # names in a message

Answers = Mapping[str, Tensor]
"""Logits (N, K), or what a model returns in their place, by output name."""


Run = Callable[[Tensor], Answers]
"""Maps images (N, C, H, W) to logits by output name."""


def check_agreement(
    model: nn.Module,
    run: Run,
    chained: Run,
    spec: ModelSpec,
    *,
    softmaxed: Collection[str],
    batches: Sequence[int],
    where: str,
    advice: str,
) -> tuple[str, ...]:
    """Check that the network made from a model has the model's outputs on random images.

    Nothing is checked if the model's weights have no values.

    Args:
        model: the model, in evaluation mode.
        run: returns what the model returns.
        chained: returns the logits of the network that was made from it.
        spec: the network's specification.
        softmaxed: the outputs of which the model returns the softmax.
        batches: the numbers of images to compare; the last one is also compared with one image.
        where, advice: the beginning and the end of the message if the outputs differ.

    Returns:
        Notes on the outputs.

    Raises:
        SpecError: the model raises, its outputs depend on the batch or are no logits, or differ
            from the network's.
    """
    if any(weight.is_meta for weight in (*model.parameters(), *model.buffers())):
        return ()
    notes: tuple[str, ...] = ()

    def answers_of(images: Tensor) -> Answers:
        with explained(f"{spec.backbone} on random images raised"):
            return run(images.clone())

    check_each_alone(
        spec.backbone, model, answers_of, _random_images(model, spec.input_size, batches[-1])
    )
    for batch in batches:
        images = _random_images(model, spec.input_size, batch)
        expected = answers_of(images)
        notes = _check_answers(
            spec.backbone, {name: expected[name] for name in expected if name not in softmaxed}
        )
        for name, logits in chained(images.clone()).items():
            want = expected[name]
            got = logits.softmax(1) if name in softmaxed else logits
            difference = float((got - want).abs().max())
            if not difference <= RELATIVE_TOLERANCE * max(1.0, float(want.abs().max())):
                raise SpecError(
                    f"{where}: the chained stages differ from the model by {difference:.3g} in "
                    f"its {name}, for {batch} images; {advice}"
                )
    return notes


def _random_images(model: nn.Module, input_size: tuple[int, int, int], batch: int) -> Tensor:
    """Return images (N, C, H, W) of normal values on the model's device, the same every time."""
    weights = [*model.parameters(), *model.buffers()]
    device = weights[0].device if weights else torch.device("cpu")
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, *input_size, generator=generator).to(device)


def check_each_alone(name: str, model: nn.Module, run: Run, images: Tensor) -> None:
    """Check that the output for an image does not depend on the other images of its batch.

    Args:
        name: name of the model in messages.
        model: the model, in evaluation mode.
        run: returns the model's outputs for a batch of images.
        images: (N, C, H, W), N at least 2.

    Raises:
        SpecError: it depends on them, or is random; the message names the probable layers.
    """
    together, again, alone = run(images), run(images), run(images[:1])
    for output, answers in together.items():
        limit = max(ROUNDING, ALONE_TOLERANCE * float(answers.abs().max()))
        at_random = float((answers - again[output]).abs().max())
        if at_random > limit:
            raise SpecError(
                f"{name}: its {output} is random in evaluation mode too: two runs on the same "
                f"images differ by {at_random:.3g}; make dropout depend on self.training"
            )
        if alone[output].shape != answers[:1].shape:
            raise SpecError(
                f"{name}: expected {tuple(answers[:1].shape)} as its {output} of one image alone, "
                f"got {tuple(alone[output].shape)}; keep the first dimension, which squeeze() "
                "drops there"
            )
        difference = float((alone[output] - answers[:1]).abs().max())
        if difference > limit:
            raise SpecError(
                f"{name}: its {output} for an image depends on the images beside it: alone and in "
                f"a batch of {len(images)} it differs by {difference:.3g}; {_cause(model)}"
            )


def _check_answers(name: str, answers: Answers) -> tuple[str, ...]:
    """Check what a model returns as logits; return notes on it.

    Raises:
        SpecError: a value is not finite, or the values are probabilities that do not come from a
            softmax at the end.
    """
    notes = []
    for output, values in answers.items():
        if not values.isfinite().all():
            raise SpecError(
                f"{name}: its {output} of random images is not finite; check its weights"
            )
        ones = torch.ones_like(values[:, 0])
        if bool((values >= 0).all()) and torch.allclose(values.sum(1), ones, atol=SUM_TOLERANCE):
            raise SpecError(
                f"{name}: expected logits as its {output}, got probabilities that sum to 1; return "
                "their logarithm, whose softmax they are, or the logits"
            )
        if torch.allclose(values.logsumexp(1), 0 * ones, atol=SUM_TOLERANCE):
            notes.append(f"its {output} ends in a log-softmax, which changes nothing")
    return tuple(notes)


def _cause(model: nn.Module) -> str:
    norms = [
        path
        for path, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is None
    ]
    if norms:
        return (
            f"{', '.join(norms[:SHOWN])} are batch norm without running statistics: build them "
            "with track_running_stats=True"
        )
    return "look for a mean, a maximum or a normalization over the first dimension"
