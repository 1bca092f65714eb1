"""The session loop against the numpy reference, which computes one image at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeexit_runtime as ee
from edgeexit_runtime.testing import CHAIN, Network, edit_manifest, images_leaving_at, random_images
from edgeexit_runtime.testing.conformance.support import Images, Load, Suite, all_sizes, assert_same


class Answers(Suite):
    """Predictions of the session loop, batch by batch."""

    def test_batches_of_every_size(self, load: Load, network: Network, folder: Path) -> None:
        sizes = [*all_sizes(network)] * 6
        seen: set[int] = set()
        with load(folder) as session:
            for seed, size in enumerate(np.random.default_rng(0).permutation(sizes).tolist()):
                images = random_images(size, seed)
                want = network.expected(images, session.thresholds)
                assert_same(session.infer(images), want)
                seen |= set(want.exits.tolist())
        assert seen == set(range(len(network.exit_names)))  # the batches were mixed

    def test_baseline_answers_like_the_last_exit(
        self, load: Load, network: Network, folder: Path
    ) -> None:
        images = random_images(2 * network.max_batch + 1, 0)
        never = dict.fromkeys(network.exit_names[:-1], ee.NEVER)
        want = network.expected(images, never)
        with load(folder, of=ee.load_baseline) as baseline:
            got = baseline.infer(images)
            assert dict(baseline.thresholds) == {}
            assert baseline.manifest.exit_names == ("baseline",)
        np.testing.assert_array_equal(got.labels, want.labels)
        np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)
        np.testing.assert_array_equal(got.exits, np.zeros(len(images)))

    def test_results_come_in_the_order_of_the_images(self, session: ee.Session) -> None:
        exits = [2, 0, 1, 1, 0, 2, 2, 1, 0, 0]
        result = session.infer(images_leaving_at(exits))
        assert result.exits.tolist() == exits
        assert result.labels.tolist() == exits
        assert result.labels.dtype == np.int64
        assert result.exits.dtype == np.int64
        assert result.confidences.dtype == np.float32
        assert (result.confidences > 0.99).all()

    def test_no_images_give_no_results(self, session: ee.Session) -> None:
        result = session.infer(np.empty((0, 3, 4, 4), np.float32))
        for array, dtype in (
            (result.labels, np.int64),
            (result.confidences, np.float32),
            (result.exits, np.int64),
        ):
            assert array.shape == (0,)
            assert array.dtype == dtype

    def test_threshold_0_lets_everyone_leave_and_never_nobody(self, session: ee.Session) -> None:
        images = random_images(9, 0)
        images[0, 0, 0, :2] = 200, 0  # a confidence of 1 exactly
        session.thresholds = {"exit1": 0, "exit2": 0.5}
        assert session.infer(images).exits.tolist() == [0] * 9
        session.thresholds = {"exit1": ee.NEVER, "exit2": 0}
        assert session.infer(images).exits.tolist() == [1] * 9
        session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
        assert session.infer(images).exits.tolist() == [2] * 9

    @pytest.mark.parametrize(
        ("thresholds", "run"),
        [
            ({"exit1": ee.NEVER, "exit2": 1.5}, ["exit2", "final"]),
            ({"exit1": 1.5, "exit2": ee.NEVER}, ["exit1", "final"]),
            ({"exit1": ee.NEVER, "exit2": ee.NEVER}, ["final"]),
            ({"exit1": 1.5, "exit2": 1.5}, ["exit1", "exit2", "final"]),
        ],
    )
    def test_the_branch_of_an_exit_that_is_switched_off_is_not_run(
        self,
        load: Load,
        bundle: Path,
        monkeypatch: pytest.MonkeyPatch,
        thresholds: dict[str, float],
        run: list[str],
    ) -> None:
        def write_thresholds(manifest: dict[str, Any]) -> None:
            for exit_ in manifest["exits"][:-1]:
                exit_["threshold"] = thresholds[exit_["name"]]

        def branches_run(session: ee.Session) -> list[str]:
            names: list[str] = []
            run_step = session.runner.run_step

            def record(stage: str | None, exit_: str, ahead: str | None = None) -> Any:
                names.append(exit_)
                return run_step(stage, exit_, ahead)

            monkeypatch.setattr(session.runner, "run_step", record)
            assert session.infer(random_images(2, 0)).exits.tolist() == [2, 2]
            return names

        with load(bundle) as session:
            session.thresholds = thresholds
            assert branches_run(session) == run
        edit_manifest(bundle, write_thresholds)
        with load(bundle) as session:
            assert branches_run(session) == run

    def test_an_exit_may_be_switched_off_in_mixed_batches(self, session: ee.Session) -> None:
        images = images_leaving_at([2, 0, 1, 1, 0, 2])
        thresholds = {"exit1": ee.NEVER, "exit2": 0.6}
        session.thresholds = thresholds
        got = session.infer(images)
        assert_same(got, CHAIN.expected(images, thresholds))
        assert set(got.exits.tolist()) == {1, 2}

    @pytest.mark.parametrize("size", [1, 3])
    def test_a_confidence_equal_to_the_threshold_leaves(
        self, session: ee.Session, size: int
    ) -> None:
        images = np.repeat(random_images(1, 4), size, axis=0)
        session.thresholds = {"exit1": 0, "exit2": 0}
        confidence = session.infer(images).confidences[0]
        assert 0.4 < confidence < 0.99
        session.thresholds = {"exit1": float(confidence), "exit2": 0}
        assert session.infer(images).exits.tolist() == [0] * size
        above = np.nextafter(confidence, np.float32(1))
        session.thresholds = {"exit1": float(above), "exit2": 0}
        assert session.infer(images).exits.tolist() == [1] * size

    def test_thresholds_hold_from_the_next_call_on(self, load: Load, bundle: Path) -> None:
        rng = np.random.default_rng(0)
        with load(bundle) as session:
            assert dict(session.thresholds) == {"exit1": 0.6, "exit2": 0.6}
            for seed in range(20):
                first, second = rng.uniform(0.34, 1, 2)
                session.thresholds = {"exit2": second, "exit1": first}
                assert list(session.thresholds.items()) == [("exit1", first), ("exit2", second)]
                images = random_images(int(rng.integers(1, 10)), seed)
                assert_same(session.infer(images), CHAIN.expected(images, session.thresholds))
        with load(bundle) as session:  # the bundle itself is unchanged
            assert dict(session.thresholds) == {"exit1": 0.6, "exit2": 0.6}

    def test_thresholds_cannot_be_changed_behind_the_sessions_back(
        self, session: ee.Session
    ) -> None:
        given = {"exit1": 0.7, "exit2": 0.8}
        session.thresholds = given
        given["exit1"] = 0.1
        assert session.thresholds["exit1"] == 0.7
        with pytest.raises(TypeError, match="does not support item assignment"):
            session.thresholds["exit1"] = 0.1

    @pytest.mark.parametrize(
        "arrange",
        [
            pytest.param(lambda images: np.asfortranarray(images), id="Fortran order"),
            pytest.param(lambda images: np.repeat(images, 2, axis=0)[::2], id="every second"),
            pytest.param(lambda images: images[::-1].copy()[::-1], id="reversed"),
            pytest.param(
                lambda images: np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(
                    0, 3, 1, 2
                ),
                id="channels last",
            ),
        ],
    )
    def test_images_of_any_memory_layout(
        self, session: ee.Session, arrange: Callable[[Images], Images]
    ) -> None:
        images = random_images(7, 0)
        arranged = arrange(images)
        assert not arranged.flags.c_contiguous
        assert_same(session.infer(arranged), CHAIN.expected(images, session.thresholds))

    def test_images_that_may_not_be_written_to_are_left_as_they_are(
        self, load: Load, network: Network, folder: Path
    ) -> None:
        images = random_images(7, 0)
        images.flags.writeable = False
        with load(folder) as session:
            assert_same(session.infer(images), network.expected(images, session.thresholds))
        np.testing.assert_array_equal(images, random_images(7, 0))

    def test_values_whose_sum_overflows_are_fine(self, session: ee.Session) -> None:
        images = np.zeros((2, 3, 4, 4), np.float32)
        images[:, 2] = 1e30  # its square is not finite; no exit reads this channel
        assert session.infer(images).exits.tolist() == [2, 2]

    def test_earlier_results_are_not_changed_by_later_calls(self, session: ee.Session) -> None:
        result = session.infer(random_images(5, 0))
        copies = [array.copy() for array in (result.labels, result.confidences, result.exits)]
        for seed in range(1, 10):
            session.infer(random_images(5, seed))
        for array, copy in zip(
            (result.labels, result.confidences, result.exits), copies, strict=True
        ):
            np.testing.assert_array_equal(array, copy)

    def test_uint8_images_through_preprocess(self, session: ee.Session) -> None:
        images = np.zeros((2, 4, 4, 3), np.uint8)
        images[0, 0, 1, 0] = 255  # exit1 is sure of class 1: (1 - 0.5) / 0.25 = 2, twice that is 4
        result = session.infer(session.preprocess(images))
        assert result.exits.tolist() == [0, 2]
        assert result.labels[0] == 1
        assert result.confidences[0] == pytest.approx(np.exp(4) / (np.exp(4) + 2), rel=1e-5)

    def test_every_exit_answers_where_nobody_leaves(
        self, load: Load, network: Network, folder: Path
    ) -> None:
        names = network.exit_names
        off = dict.fromkeys(names[:-1], ee.NEVER)
        for count in (0, 1, network.max_batch, 2 * network.max_batch + 1):
            images = random_images(count, 3)
            with load(folder) as session:
                session.thresholds = off
                answers = session.infer_all_exits(images)
                assert dict(session.thresholds) == off
                session.infer(images)  # the next call must not change earlier answers
            assert answers.labels.shape == answers.confidences.shape == (len(names), count)
            assert answers.labels.dtype == np.int64
            assert answers.confidences.dtype == np.float32
            for index, name in enumerate(names if count else ()):
                want = network.expected(images, off | ({name: 0.0} if name in off else {}))
                np.testing.assert_array_equal(answers.labels[index], want.labels)
                np.testing.assert_allclose(answers.confidences[index], want.confidences, rtol=1e-6)
