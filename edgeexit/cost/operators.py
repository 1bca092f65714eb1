"""Count the multiply-accumulates and bytes of the operators in one run of a module.

**MACs.** ``torch.utils.flop_counter`` has formulas, with two operations per MAC, for convolutions,
matrix products and attention, and decomposes composite operators. Attention runs in its plain
form, two matrix products around a softmax, and not as a fused kernel: fused kernels depend on the
device, some have no formula, and the exported graph has the plain form, too.

**Not counted** are the operators that the paper's definition of cost excludes: elementwise ones
(torch tags most of them), those of :data:`LEFT_OUT`, and views. Operators that are neither counted
nor excluded are reported, so that no cost is silently too low.

**Bytes** are those of FP32 values, regardless of the weights' dtype; integers are not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.models.mode import evaluating, plain_attention, shapes_alone

FP32_BYTES = 4

# Operators of torch's namespace aten that are excluded, besides those tagged as pointwise.
_VALUE_BY_VALUE = """
    _prelu_kernel floor_divide glu hardswish log_sigmoid_forward masked_fill rrelu_with_noise rsub
"""
_NORMALISATION = """
    _fused_rms_norm _log_softmax _native_batch_norm_legit _native_batch_norm_legit_no_training
    _safe_softmax _softmax cudnn_batch_norm linalg_vector_norm logsumexp native_batch_norm
    native_group_norm native_layer_norm norm
"""
_POOLING = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d all amax amin
    aminmax any argmax argmin avg_pool1d avg_pool2d avg_pool3d max max_pool2d_with_indices
    max_pool3d_with_indices mean median min prod sort std std_mean sum topk var var_mean
"""
_RESAMPLING = """
    _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d
    _upsample_nearest_exact2d grid_sampler_2d upsample_bicubic2d upsample_bilinear2d
    upsample_linear1d upsample_nearest1d upsample_nearest2d
"""
_MOVING_AND_MAKING = """
    _to_copy _unsafe_index as_strided cat clone constant_pad_nd copy diag_embed embedding empty_like
    fill flip full_like gather im2col index index_fill index_put index_select lift_fresh_copy
    masked_select native_channel_shuffle new_empty new_full new_ones new_zeros nonzero ones_like
    pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d repeat replication_pad1d
    replication_pad2d roll scatter select_scatter slice_scatter split_with_sizes_copy stack tril
    triu unsafe_split unsafe_split_with_sizes zero zeros_like
"""
# The in-place form of an operator, name_, is excluded like its other form.
LEFT_OUT = frozenset(
    " ".join((_VALUE_BY_VALUE, _NORMALISATION, _POOLING, _RESAMPLING, _MOVING_AND_MAKING)).split()
)


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """The totals over the operators of one run.

    Attributes:
        macs: multiply-accumulates.
        weight_bytes: parameters and floating-point buffers that operators read, each counted once.
        activation_bytes: bytes that operators read and write besides weights; see
            :class:`_Observer`.
        uncounted: names of operators that are neither counted nor excluded, sorted.
    """

    macs: int
    weight_bytes: int
    activation_bytes: int
    uncounted: tuple[str, ...]


def count_operators(
    module: nn.Module, shapes: Sequence[tuple[int, ...]], device: torch.device
) -> OperatorCount:
    """Count one evaluation of ``module`` on inputs of these shapes, batch dimension included.

    Only shapes are propagated: nothing is computed and no memory is allocated. ``device`` is that
    of the module's weights.
    """
    # tensors on the meta device have no data anyway, and fake tensors would take twice the time
    fake = shapes_alone() if device.type != "meta" else nullcontext()
    with evaluating(module), torch.no_grad(), plain_attention(), fake:
        inputs = [torch.empty(shape, device=device) for shape in shapes]
        counter = FlopCounterMode(display=False)
        observer = _Observer(module, inputs, counter.flop_registry)
        with observer, counter:  # the counter runs first and passes decomposed operators on
            module(*inputs)
    return OperatorCount(
        int(counter.get_total_flops()) // 2,
        _bytes(observer.weights_read.values()),
        observer.activation_bytes,
        tuple(sorted(observer.uncounted)),
    )


class _Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the bytes that operators read and write, and uncounted operators.

    Activations are the inputs and all tensors computed from them. Tensors computed only from
    weights are treated as weights. Every operator reads each of its activations once and writes its
    result once; so does an in-place operator. A view does neither. Of several results only the
    first counts: the others, statistics and indices, are for training.

    An engine that fuses operators moves fewer bytes. This sum depends only on the network, so
    devices and engines can be compared by how far they stay below it.
    """

    def __init__(
        self, module: nn.Module, inputs: Sequence[Tensor], counted: Collection[Any]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights_read: dict[int, Tensor] = {}
        self.activation_bytes = 0
        self.uncounted: set[str] = set()
        self._counted = counted
        self._weights = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
        # kept alive, or another tensor could reuse the address of a freed storage
        self._activations = {_address(tensor): tensor.untyped_storage() for tensor in inputs}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operands = {id(tensor): tensor for tensor in _tensors((args, kwargs))}
        returned = result if isinstance(result, tuple) else (result,)
        if result is None and func._schema.is_mutable:  # it wrote into its operands
            returned = (list(operands.values()),)
        results = [_tensors(value) for value in returned]
        if operands and any(results):
            self._record(func, operands, results)
        return result

    def _record(
        self, func: OpOverload, operands: dict[int, Tensor], results: list[list[Tensor]]
    ) -> None:
        self.weights_read.update({key: operands[key] for key in operands.keys() & self._weights})
        activations = [t for t in operands.values() if _address(t) in self._activations]
        if activations:
            made = (tensor for tensors in results for tensor in tensors)
            self._activations.update({_address(t): t.untyped_storage() for t in made})
        if _is_view(func):
            return
        if activations:
            self.activation_bytes += _bytes(activations) + _bytes(results[0])
        if func._overloadpacket not in self._counted and not _is_left_out(func):
            self.uncounted.add(str(func._overloadpacket))


def _is_view(func: OpOverload) -> bool:
    if func is torch.ops.aten._unsafe_view.default:
        return True
    return func.is_view or torch.Tag.inplace_view in func.tags


def _is_left_out(func: OpOverload) -> bool:
    if torch.Tag.pointwise in func.tags:
        return True
    if func.namespace != "aten":
        return False
    name = func._opname.removesuffix("_")
    # for some in-place operators, hardtanh_ in torch 2.9, only the other form has the tag
    other_form = getattr(getattr(torch.ops.aten, name, None), func._overloadname, None)
    return name in LEFT_OUT or torch.Tag.pointwise in getattr(other_form, "tags", ())


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _address(tensor: Tensor) -> int:
    """Return the address of the storage that a tensor shares with its views."""
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensors: Collection[Tensor]) -> int:
    """Return the bytes of the floating-point tensors among ``tensors`` in FP32."""
    return sum(FP32_BYTES * t.numel() for t in tensors if t.dtype.is_floating_point)
