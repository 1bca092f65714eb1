from __future__ import annotations

import pytest

from edgeexit.training.steps.loading import epoch_batches


def test_every_image_once_but_for_what_is_left_over() -> None:
    batches = epoch_batches(25, 8, seed=3)
    assert [len(batch) for batch in batches] == [8, 8, 8]
    seen = sorted(index for batch in batches for index in batch)
    assert len(set(seen)) == 24
    assert set(seen) < set(range(25))


def test_the_seed_decides_the_order() -> None:
    first, same, other = (epoch_batches(25, 8, seed=seed) for seed in (3, 3, 4))
    assert first == same != other


@pytest.mark.parametrize(("processes", "parts"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_a_step_has_the_same_images_whoever_loads_them(processes: int, parts: int) -> None:
    alone = epoch_batches(25, 8, seed=3)
    shares = [
        epoch_batches(25, 8, seed=3, rank=rank, processes=processes, parts=parts)
        for rank in range(processes)
    ]
    for step, batch in enumerate(alone):
        pieces = [share[step * parts + part] for part in range(parts) for share in shares]
        assert all(len(piece) == 8 // processes // parts for piece in pieces)
        assert [index for piece in pieces for index in piece] == batch


def test_an_epoch_goes_on_from_any_step() -> None:
    assert (
        epoch_batches(25, 4, seed=3, first_step=2, parts=2)
        == (epoch_batches(25, 4, seed=3, parts=2)[4:])
    )
    assert epoch_batches(24, 8, seed=3, first_step=3) == []
