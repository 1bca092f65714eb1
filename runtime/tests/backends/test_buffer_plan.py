"""Places of tensors, and moves of rows, against what they promise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
from edgeexit_runtime.backends.buffer_plan import ALIGNMENT_BYTES, plan_buffers, row_moves
from edgeexit_runtime.gate import compacted_rows


def test_moves_of_every_choice_of_rows() -> None:
    for count in range(1, 10):
        for size in range(1, count + 1):
            for rows in combinations(range(count), size):
                buffer = list(range(count))
                for to, source, moved in row_moves(rows):
                    assert to + moved <= source  # never over themselves
                    buffer[to : to + moved] = buffer[source : source + moved]
                assert buffer[:size] == list(rows)


def test_moves_of_those_who_close_ranks_are_at_most_those_who_leave() -> None:
    rng = np.random.default_rng(0)
    for count in range(2, 40):
        leaving = rng.random(count) < rng.random()
        moves = list(row_moves(compacted_rows(leaving)))
        staying = count - np.count_nonzero(leaving)
        assert sum(moved for _, _, moved in moves) <= min(staying, count - staying)
        buffer = list(range(count))
        for to, source, moved in moves:
            buffer[to : to + moved] = buffer[source : source + moved]
        assert sorted(buffer[:staying]) == np.flatnonzero(~leaving).tolist()


def test_rows_in_front_stay_and_neighbours_move_together() -> None:
    assert list(row_moves([0, 1])) == []
    assert list(row_moves([0, 3, 4, 7])) == [(1, 3, 2), (3, 7, 1)]
    assert list(row_moves(np.array([1, 2, 3]))) == [(0, 1, 1), (1, 2, 1), (2, 3, 1)]
    assert list(row_moves([2, 3, 4, 5, 6])) == [(0, 2, 2), (2, 4, 2), (4, 6, 1)]


def test_tensors_that_are_alive_together_lie_apart(
    network: Any, write_bundle: Callable[[Any], Path]
) -> None:
    manifest = ee.load_manifest(write_bundle(network))
    plan = plan_buffers(manifest)
    graphs = list(manifest.graphs())
    written = {"images": -1} | {
        tensor.name: position
        for position, (name, graph) in enumerate(graphs)
        if name.startswith("stage")
        for tensor in graph.outputs
    }
    assert set(plan.offsets) == set(written)
    last = dict(written)
    for position, (_, graph) in enumerate(graphs):
        last |= {tensor.name: position for tensor in graph.inputs}
    for position, (name, _) in enumerate(graphs):
        alive = sorted(
            (plan.offsets[tensor], plan.offsets[tensor] + manifest.max_batch * size)
            for tensor, size in plan.row_bytes.items()
            if written[tensor] <= position <= last[tensor]
        )
        for (_, end), (begin, _) in pairwise(alive):
            assert end <= begin
        assert all(end <= plan.size_bytes for _, end in alive)
        later = {t for t in written if written[t] <= position < last[t]}
        assert set(plan.read_later[name]) == later
    assert all(offset % ALIGNMENT_BYTES == 0 for offset in plan.offsets.values())


def test_a_chain_takes_two_buffers_and_no_more(bundle: Path) -> None:
    plan = plan_buffers(ee.load_manifest(bundle))
    buffer = 4 * 3 * 4 * 4 * 4  # batch, channels, rows, columns, bytes
    assert plan.size_bytes == 2 * buffer
    assert sorted(plan.offsets.values()) == [0, 0, buffer, buffer]
