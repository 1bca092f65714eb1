"""Where a model can be cut: what its modules return, with the cost of getting there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from edgeexit.errors import SpecError
from edgeexit.models.tracing.flow import Flow, is_batched
from edgeexit.models.tracing.trace import Trace

STEM_FACTOR = 4
"""Large images are shrunk by this much before the first branch, as in the paper's networks."""
LARGE_IMAGE = 64
MIN_SHARE, MAX_SHARE = 0.1, 0.95


@dataclass(frozen=True, slots=True)
class Point:
    """A place where a model can be cut, and a branch put.

    Attributes:
        name: path of the module that ends there.
        shape: what it returned, without the batch: ``(channels, height, width)``, or
            ``(height, width, channels)`` where ``channels_last``, or ``(tokens, channels)``.
        channels_last: the feature map is handed to branches as ``(channels, height, width)``.
        macs_share: share of the model's multiply-accumulates that are spent up to here, 0 to 1.
        crossing: how many tensors the rest of the model reads of this part.
        crossing_bytes: their size per image in FP32.
    """

    name: str
    shape: tuple[int, ...]
    channels_last: bool
    macs_share: float
    crossing: int
    crossing_bytes: int

    @property
    def resolution(self) -> tuple[int, ...]:
        """Height and width, or the number of tokens."""
        return self.shape[:-1] if self.channels_last or len(self.shape) == 2 else self.shape[1:]


def find_point(trace: Trace, flow: Flow, name: str) -> fx.Node:
    """Return the node that the module ``name`` returned.

    Raises:
        SpecError: there is none that a branch could read; the message offers the nearest.
    """
    node = trace.points.get(name)
    if node is not None and _fits(trace, flow, node):
        return node
    known = [point for point, end in trace.points.items() if _fits(trace, flow, end)]
    if not known:
        raise SpecError(
            f"no cut at {name!r}: no module of the model gives features of each image to cut at"
        )
    around = [point for point in known if name.startswith(f"{point}.")][-1:]
    inside = [point for point in known if point.startswith(f"{name}.")][-1:]
    close = [*around, *inside, *difflib.get_close_matches(name, known, n=3, cutoff=0.4)]
    close = list(dict.fromkeys(close)) or known[:3]
    what = "is no module of the model" if node is None else "gives nothing that a branch could read"
    raise SpecError(
        f"no cut at {name!r}: it {what}; nearest are {', '.join(close)} ('edgeexit inspect "
        "--points' lists all)"
    )


def list_points(trace: Trace, input_size: tuple[int, int, int]) -> list[Point]:
    """Return every point in the order of execution.

    Of modules that end together, such as a block and its last layer, it is the outermost.
    """
    flow = Flow(trace)
    total = flow.macs(flow.needed(trace.output)) or 1
    names: dict[fx.Node, str] = {}
    for name, node in trace.points.items():
        if _fits(trace, flow, node) and len(name) < len(names.get(node, name + ".")):
            names[node] = name
    points = []
    for node in sorted(names, key=lambda node: flow.position[node]):
        needed = flow.needed(node)
        crossing = flow.crossing(needed)
        points.append(
            Point(
                names[node],
                tuple(trace.values[node][0].shape[1:]),
                is_channels_last(trace.values[node], input_size),
                flow.macs(needed) / total,
                len(crossing),
                sum(trace.values[tensor][0][0].numel() * 4 for tensor in crossing),
            )
        )
    return points


def propose_points(points: Sequence[Point], input_size: tuple[int, int, int]) -> list[Point]:
    """Return where branches belong: where the resolution is about to change (Section III-A).

    That is one point for each resolution but the last, which leads to the final exit, among the
    points that one tensor crosses: the end of the last of the outermost modules there. Networks
    for large images shrink them to a quarter before the first branch, as in the paper, and none
    is put where less than a tenth of the multiply-accumulates is spent or next to nothing is left.
    A model whose resolution never changes gets exits at about a quarter, half and three quarters
    of them.
    """
    single = [point for point in points if point.crossing == 1]
    by_resolution: dict[tuple[int, ...], list[Point]] = {}
    for point in single:
        if _is_map(point, input_size):
            by_resolution.setdefault(point.resolution, []).append(point)
    stem = STEM_FACTOR if input_size[1] >= LARGE_IMAGE else 1
    ends = [
        _outermost(group)
        for (height, *_), group in list(by_resolution.items())[:-1]
        if height * stem <= input_size[1]
    ]
    return [point for point in ends if MIN_SHARE <= point.macs_share <= MAX_SHARE] or (
        [] if len(by_resolution) > 1 else _by_share(single)
    )


def _is_map(point: Point, input_size: tuple[int, int, int]) -> bool:
    """Whether the shape is that of a feature map, with the images' aspect ratio but for rounding.

    Windows of attention, for example, come in tensors of the same rank.
    """
    if len(point.shape) != 3 or 1 in point.resolution:
        return False
    height, width = point.resolution
    return abs(height * input_size[2] - width * input_size[1]) <= max(input_size[1:])


def _outermost(points: Sequence[Point]) -> Point:
    depth = min(point.name.count(".") for point in points)
    return [point for point in points if point.name.count(".") == depth][-1]


def is_channels_last(value: tuple[Any, Any], input_size: tuple[int, int, int]) -> bool:
    """Whether a feature map is ``(N, height, width, channels)``.

    The images' aspect ratio tells: it is that of the first two sizes and not of the last two.
    """
    shape = value[0].shape[1:]
    if len(shape) != 3:
        return False
    aspect = input_size[1] / input_size[2]

    def differs(height: int, width: int) -> float:
        return abs(height / width / aspect - 1)

    return differs(*shape[:2]) < differs(*shape[1:])


def _fits(trace: Trace, flow: Flow, node: fx.Node) -> bool:
    """Whether a branch could read a node: a tensor on the way from images to logits."""
    value = trace.values[node]
    return (
        is_batched(value)
        and isinstance(value[0], Tensor)
        and value[0].is_floating_point()
        and value[0].ndim in (3, 4)
        and flow.from_images(node)
        and flow.is_used(node)
        and node is not trace.output
        and node.op != "placeholder"
    )


def _by_share(points: list[Point]) -> list[Point]:
    if not points:
        return []
    chosen = (
        min(points, key=lambda point: abs(point.macs_share - share)) for share in (0.25, 0.5, 0.75)
    )
    return list(dict.fromkeys(chosen))
