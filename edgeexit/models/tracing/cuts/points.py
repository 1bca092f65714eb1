"""Points where a model can be cut: the outputs of its modules, with their cumulative cost."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from edgeexit.errors import SpecError
from edgeexit.models.tracing.flow import Flow, is_batched
from edgeexit.models.tracing.trace import Trace

STEM_FACTOR = 4
"""Downsampling of large images before the first branch, as in the paper's networks."""
LARGE_IMAGE = 64
SHRUNK = 0.75
"""A smaller ratio of positions is a change of resolution; a convolution without padding or a class
token changes it less."""
MIN_SHARE, MAX_SHARE = 0.1, 0.95
LEAD_IN = 0.1
"""Share of a resolution's multiply-accumulates; modules that end before it are not considered."""
SHARES, NEAR = (0.25, 0.5, 0.75), 0.125


@dataclass(frozen=True, slots=True)
class Point:
    """A point where a model can be cut and a branch attached.

    Attributes:
        name: path of the module that ends there.
        shape: the module's output without the batch: ``(channels, height, width)``,
            ``(height, width, channels)`` if ``channels_last``, or ``(tokens, channels)``.
        channels_last: the feature map is permuted to ``(channels, height, width)`` for branches.
        macs_share: share of the model's multiply-accumulates up to here, 0 to 1.
        crossing: number of tensors that the rest of the model reads from this part.
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

    @property
    def positions(self) -> int:
        return math.prod(self.resolution)


def find_point(flow: Flow, name: str) -> fx.Node:
    """Return the node that the module ``name`` returned.

    Raises:
        SpecError: there is none that a branch can read; the message suggests the nearest.
    """
    ends = flow.trace.points
    node = ends.get(name)
    if node is not None and _fits(flow, node):
        return node
    known = [point for point, end in ends.items() if _fits(flow, end)]
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
    """Return all points in execution order.

    If several modules end together, such as a block and its last layer, the outermost is listed.
    Points with a weight that is used on both sides are omitted: such parts cannot run separately.
    """
    flow = Flow(trace)
    total = flow.macs(flow.needed(trace.output)) or 1
    names: dict[fx.Node, str] = {}
    for name, node in trace.points.items():
        if _fits(flow, node) and len(name) < len(names.get(node, name + ".")):
            names[node] = name
    points = []
    used_together = flow.weight_users()
    for node in sorted(names, key=lambda node: flow.position[node]):
        needed = flow.needed(node)
        if any(users & needed and users & ~needed for users in used_together):
            continue
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
    """Return points for branches, before each change of the resolution (Section III-A).

    Only points that one tensor crosses are considered. Each resolution but the last, which leads
    to the final exit, has one point: the end of the last of its outermost modules. A feature map
    and as many tokens count as the same resolution. Large images must be downsampled to a quarter
    before the first branch, as in the paper. A point must have at least a tenth of the
    multiply-accumulates (``MIN_SHARE``) before it and some behind it (``MAX_SHARE``). If no point
    remains, as in a model of constant resolution, points near a quarter, half and three quarters of
    the multiply-accumulates are used.

    Behind the last such point, or in the whole model, several tensors may run in parallel. If fewer
    than two points were found, points that few tensors cross are added there.
    """
    single = [point for point in points if point.crossing == 1]
    proposed = _before_changes(single, input_size) or _by_share(single)
    behind = MIN_SHARE + (proposed[-1].macs_share if proposed else 0.0)
    if len(proposed) < 2 and not any(behind < point.macs_share <= MAX_SHARE for point in single):
        proposed += _by_share([point for point in points if point.macs_share > behind])
    return proposed


def _before_changes(points: Sequence[Point], input_size: tuple[int, int, int]) -> list[Point]:
    runs: list[list[Point]] = []
    for point in points:
        if not _is_map(point, input_size) and not _are_tokens(point):
            continue
        if not runs or point.positions < SHRUNK * runs[-1][0].positions:
            runs.append([])
        runs[-1].append(point)
    stem = STEM_FACTOR**2 if input_size[1] >= LARGE_IMAGE else 1
    return [
        end
        for end in map(_end, runs[:-1])
        if end.positions * stem <= math.prod(input_size[1:])
        and MIN_SHARE <= end.macs_share <= MAX_SHARE
    ]


def _is_map(point: Point, input_size: tuple[int, int, int]) -> bool:
    """Whether the shape is that of a feature map: the images' aspect ratio, up to rounding.

    Other tensors, such as the windows of attention, may have the same rank.
    """
    if len(point.shape) != 3 or 1 in point.resolution:
        return False
    height, width = point.resolution
    return abs(height * input_size[2] - width * input_size[1]) <= max(input_size[1:])


def _are_tokens(point: Point) -> bool:
    return len(point.shape) == 2 and 1 not in point.shape


def _end(run: Sequence[Point]) -> Point:
    """Return the last of the outermost modules of a resolution, without those that lead into it."""
    start = run[0].macs_share + LEAD_IN * (run[-1].macs_share - run[0].macs_share)
    late = [p for p in run if p.macs_share >= start and p.resolution == run[-1].resolution]
    depth = min(point.name.count(".") for point in late)
    return [point for point in late if point.name.count(".") == depth][-1]


def is_channels_last(value: tuple[Any, Any], input_size: tuple[int, int, int]) -> bool:
    """Whether a feature map is ``(N, height, width, channels)``.

    It is if the first two sizes are closer to the images' aspect ratio than the last two.
    """
    shape = value[0].shape[1:]
    if len(shape) != 3:
        return False
    aspect = input_size[1] / input_size[2]

    def differs(height: int, width: int) -> float:
        return abs(height / width / aspect - 1)

    return differs(*shape[:2]) < differs(*shape[1:])


def _fits(flow: Flow, node: fx.Node) -> bool:
    """Whether a branch can read a node: a tensor between images and logits."""
    value = flow.trace.values[node]
    return (
        is_batched(value)
        and value[0].is_floating_point()
        and value[0].ndim in (3, 4)
        and flow.is_on_path(node)
        and node not in (flow.images, flow.trace.output)
    )


def _by_share(points: Sequence[Point]) -> list[Point]:
    """Return a point near each of :data:`SHARES`, preferring those that fewer tensors cross."""
    fit = [point for point in points if MIN_SHARE <= point.macs_share <= MAX_SHARE]
    chosen = []
    for share in SHARES:
        near = [point for point in fit if abs(point.macs_share - share) <= NEAR] or fit
        best = min(near, key=lambda p: (p.crossing, abs(p.macs_share - share)), default=None)
        chosen += [] if best is None else [best]
    return sorted(dict.fromkeys(chosen), key=lambda point: point.macs_share)
