"""Memory over many inferences: what is looked at finds a leak, and the session has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from edgeexit_runtime import Session, load

from edgeexit.models import make_spec

Program = Callable[[str], ModuleType]


def test_the_slope_is_not_moved_by_a_single_jump(program: Program) -> None:
    slope = program("soak").slope
    assert slope([5, 7, 9, 11]) == 2
    assert slope([5, 5, 5, 90, 5, 5, 5]) == 0


def test_growth_is_judged_behind_the_first_third(program: Program) -> None:
    soak = program("soak")
    settled = soak.Soak((0, 900, 1000, 1000, 1000, 1000), 10, 60, (60,), 0)
    leaking = soak.Soak((0, 900, 1000, 1200, 1400, 1600), 10, 60, (60,), 0)
    assert soak.figures_of(settled)[0].verdict == "holds"
    assert leaking.bytes_per_call == 20
    assert soak.figures_of(leaking)[0].verdict == "MISSED"


def test_too_few_calls_are_refused(program: Program, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 6 windows of a call or more, got 48 of 10"):
        program("soak").soak(tmp_path, calls=10, seed=0)


@pytest.mark.slow
def test_memory_does_not_grow(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soak = program("soak")
    spec = make_spec("resnet20", "3+1", 10, (3, 16, 16))
    with program("random_bundles").bundle_of("bundle", spec, tmp_path) as folder:
        found = soak.soak(folder, calls=4000, seed=0, windows=12)
        assert all(found.exits)
        assert found.traced_bytes < soak.GOAL_TRACED_BYTES
        # 4000 calls are few for pages of 4096 bytes: a lost batch of images is seen, not an object
        assert found.bytes_per_call < 1000

        kept: list[object] = []
        infer = Session.infer

        def leaking(self: Session, images: np.ndarray, **options: float | None) -> object:
            kept.append(bytearray(4096))
            return infer(self, images, **options)

        monkeypatch.setattr(Session, "infer", leaking)
        with load(folder, threads=1) as session:
            images = np.zeros((32, 3, 16, 16), np.float32)
            rng = np.random.default_rng(0)
            assert soak.traced_growth(session, images, 50, rng) > soak.GOAL_TRACED_BYTES
