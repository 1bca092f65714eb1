"""Make a network from a model that has exits of its own, with its branches and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models.agreement import check_agreement
from edgeexit.models.attach import attach_spec, class_name, count_classes
from edgeexit.models.mode import evaluating
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import ModelSpec
from edgeexit.models.tracing.cuts.splitting import idle_exits, probable_orders, split
from edgeexit.models.tracing.outputs import choose_outputs, list_outputs
from edgeexit.models.tracing.results import giving
from edgeexit.models.tracing.trace import Trace, trace
from edgeexit.models.weights.fitting import load_weights, own_weights

AUTO = "auto"
COMPARED_BATCHES = (1, 3, 5)


def from_outputs(
    model: nn.Module,
    *,
    input_size: tuple[int, int, int],
    outputs: Sequence[str] | str = AUTO,
    num_classes: int | None = None,
    name: str | None = None,
    weights: Path | str | None = None,
    weights_key: str = "",
    new_classifier: bool = False,
) -> MultiExitNet:
    """Return a multi-exit network made from a model that has exits of its own.

    The model is traced and split into stages and its own branches. The result shares its weights.
    In evaluation mode it is compared with the model on random images, alone and in batches.

    Args:
        model: maps images ``(N, C, H, W)`` to the logits ``(N, K)`` of two or more exits, in any
            structure of tuples, lists, dictionaries and dataclasses.
        input_size: ``(channels, height, width)`` of the images.
        outputs: the logits of each exit by their paths in what the model returns, in the order
            of execution, the final exit last: ``1,2,3,0``, ``aux,out`` or ``exits.0,exits.1``, or
            a sequence of these. ``auto`` takes all logits in the order in which they are returned.
        num_classes: K, used to find the logits and checked; by default, taken from the logits.
        name: the model's name in the specification, ``package.module:factory``; by default, its
            class.
        weights: a file of weights to load into the model first, see
            :func:`edgeexit.models.weights.fitting.load_weights`.
        weights_key: which weights to use if the file holds several, such as ``state_dict_ema``.
        new_classifier: keep layers whose number of classes differs from the file's as they are.

    Raises:
        CheckpointError: the weights cannot be read, or do not fit the model.
        SpecError: the model cannot be traced, an output is not logits, an exit adds no stage, or
            the network's outputs differ from the model's; the message says what is possible.

    Example:
        >>> net = from_outputs(model, input_size=(3, 32, 32), outputs="1,2,0")
        >>> list(net(torch.zeros(2, 3, 32, 32)))
        ['exit1', 'exit2', 'final']
    """
    asked = _asked(outputs)
    notes: tuple[str, ...] = ()
    if weights is not None:
        loaded = load_weights(
            own_weights(model),
            Path(weights),
            what=type(model).__name__,
            key=weights_key,
            new_classifier=new_classifier,
        )
        notes = (str(loaded),)
    names = choose_outputs(list_outputs(model, input_size), asked, num_classes)
    traces = trace(model, input_size, names)
    _check_order(traces.evaluation, names, asked=bool(asked))
    classes = count_classes(traces, num_classes)
    backbone, branches, exits = split(traces)
    spec = ModelSpec(name or class_name(model), classes, input_size, exits, outputs=names)
    net = MultiExitNet(spec, backbone, branches)
    net.notes = (*notes, *_compare(model, net, traces.evaluation.softmaxed))
    return net.train(model.training)


def network_of(model: nn.Module, spec: ModelSpec) -> MultiExitNet:
    """Make the network of ``spec`` from ``model``, with the model's own exits or attached ones.

    Raises:
        SpecError: the model is not the one that the specification was made for.
    """
    if not spec.outputs:
        return attach_spec(model, spec)
    net = from_outputs(
        model,
        input_size=spec.input_size,
        outputs=spec.outputs,
        num_classes=spec.num_classes,
        name=spec.backbone,
    )
    if net.spec != spec:
        raise SpecError(
            f"{spec.backbone}: its exits come from other stages than those of the network that "
            "was made from it; give the model as it was then"
        )
    return net


def ordered_outputs(model: nn.Module, input_size: tuple[int, int, int]) -> tuple[str, ...]:
    """Return the paths of the logits of ``model``, in an order in which each exit adds a stage.

    If there is no such order, they are in the order in which the model returns them.

    Raises:
        SpecError: the model cannot be traced, or returns the logits of fewer than two exits.
    """
    names = choose_outputs(list_outputs(model, input_size), (), None)
    orders = _working_orders(trace(model, input_size, names).evaluation)
    return tuple(names[number] for number in orders[0]) if orders else names


def _asked(outputs: Sequence[str] | str) -> tuple[str, ...]:
    if isinstance(outputs, str):
        outputs = () if outputs == AUTO else outputs.split(",")
    return tuple(str(name).strip() for name in outputs)


def _check_order(evaluation: Trace, names: Sequence[str], *, asked: bool) -> None:
    """Raise if an exit adds no stage, or if the default order may not be the execution order."""
    seen: dict[object, str] = {}
    for node, name in zip(evaluation.outputs, names, strict=True):
        if node in seen:
            raise SpecError(
                f"outputs: {seen[node]} and {name} are the same tensor; omit one of them"
            )
        seen[node] = name
    idle = [names[number] for number in idle_exits(evaluation)]
    orders = _working_orders(evaluation)
    if idle:
        what = "output {} adds" if len(idle) == 1 else "outputs {} add"
        advice = f"omit {' and '.join(idle)}"
        if orders:
            advice = (
                "give the outputs in the order of execution, the final exit last, for example "
                f"{_typed(orders[0], names)}"
            )
        raise SpecError(
            f"{what.format(' and '.join(idle))} no stage to those before: all that they read is "
            f"already computed; {advice}"
        )
    if not asked and orders and orders[0] != list(range(len(names))):
        raise SpecError(
            f"outputs {','.join(names)}: the order of execution may be another; name them, the "
            f"final exit last, probably as {_typed(orders[0], names)}"
        )


def _working_orders(evaluation: Trace) -> list[list[int]]:
    """Return the probable orders of the outputs in which each adds a stage."""
    return [
        order
        for order in probable_orders(evaluation)
        if not idle_exits(
            replace(evaluation, outputs=tuple(evaluation.outputs[number] for number in order))
        )
    ]


def _typed(order: Sequence[int], names: Sequence[str]) -> str:
    return ",".join(names[number] for number in order)


def _compare(model: nn.Module, net: MultiExitNet, softmaxed: Sequence[bool]) -> tuple[str, ...]:
    """Return notes on the model's outputs; raise if the network's differ from them."""
    spec = net.spec
    outputs = [f"output {name}" for name in spec.outputs]
    cut = [output for output, is_cut in zip(outputs, softmaxed, strict=True) if is_cut]

    def run(images: Tensor) -> dict[str, Tensor]:
        with giving(model, spec.outputs):
            return dict(zip(outputs, model(images), strict=True))

    def chained(images: Tensor) -> dict[str, Tensor]:
        return dict(zip(outputs, net(images).values(), strict=True))

    with evaluating(model), evaluating(net), torch.no_grad():
        notes = check_agreement(
            model,
            run,
            chained,
            spec,
            softmaxed=cut,
            batches=COMPARED_BATCHES,
            where=spec.backbone,
            advice="write what it changes in place or keeps from call to call so that it makes new "
            "tensors",
        )
    taken = [f"{output} ends in a softmax: the logits in front of it are taken" for output in cut]
    return (*taken, *notes)
