"""A session's memory, threads and closing; parts run one by one, and deadlines."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import edgeexit_runtime as ee
from edgeexit_runtime.testing import Network, images_leaving_at, random_images
from edgeexit_runtime.testing.conformance.support import (
    Load,
    Suite,
    all_sizes,
    assert_same,
    on_step_clock,
)


def work_in_threads(network: Network, sessions: list[ee.Session]) -> list[str]:
    """Run inference in one thread per entry of ``sessions``; return the errors."""
    wrong: list[str] = []

    def work(session: ee.Session, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for turn in range(30):
                images = random_images(int(rng.integers(1, 10)), 100 * seed + turn)
                got = session.infer(images, deadline_ms=1e6 if turn % 2 else None)
                assert_same(got, network.expected(images, session.thresholds))
        except BaseException as error:  # pytest does not see another thread's errors
            wrong.append(repr(error))

    workers = [
        threading.Thread(target=work, args=(session, seed))
        for seed, session in enumerate(sessions, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return wrong


class Life(Suite):
    """Sessions side by side, and one after another."""

    @pytest.mark.parametrize("shared", [True, False])
    def test_threads_share_a_session_or_have_one_each(
        self, load: Load, network: Network, folder: Path, shared: bool
    ) -> None:
        sessions = [load(folder)] * 3 if shared else [load(folder) for _ in range(3)]
        assert work_in_threads(network, sessions) == []

    def test_two_sessions_of_one_bundle_are_apart(self, load: Load, bundle: Path) -> None:
        images = random_images(5, 0)
        with load(bundle) as one, load(bundle) as other:
            one.thresholds = {"exit1": 0, "exit2": 0}
            other.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
            assert one.infer(images).exits.tolist() == [0] * 5
            assert other.infer(images).exits.tolist() == [2] * 5
            one.close()
            assert other.infer(images).exits.tolist() == [2] * 5

    def test_closed_session_says_so(self, load: Load, bundle: Path) -> None:
        session = load(bundle)
        session.close()
        session.close()
        with pytest.raises(ee.InputError, match=r"^the session is closed; load the bundle again$"):
            session.infer(random_images(1, 0))
        with pytest.raises(ee.InputError, match=r"^the session is closed; load the bundle again$"):
            session.thresholds = {"exit1": 0.5, "exit2": 0.5}
        assert dict(session.thresholds) == {"exit1": 0.6, "exit2": 0.6}

    def test_repeated_inference_does_not_grow_memory(
        self, load: Load, network: Network, folder: Path
    ) -> None:
        batches = [random_images(1 + seed % 9, seed) for seed in range(60)]
        with load(folder) as session:
            for images in batches:  # every size and every pattern of leaving once
                session.infer(images)
            gc.collect()
            tracemalloc.start()
            try:
                for images in batches:
                    session.infer(images)
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                for _ in range(5):
                    for images in batches:
                        session.infer(images)
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert after - before < 16384, f"{after - before} bytes in {5 * len(batches)} calls"

    def test_images_of_earlier_calls_are_let_go(
        self, load: Load, network: Network, folder: Path
    ) -> None:
        alive = []
        with load(folder) as session:
            for count in (*range(1, 10), *range(1, 10)):
                images = random_images(count, count)
                alive.append(weakref.ref(images))
                session.infer(images)
                del images
            gc.collect()
            # a graph that reads images may keep the last ones alive
            readers = [
                name
                for name, graph in session.manifest.graphs()
                if "images" in [tensor.name for tensor in graph.inputs]
            ]
            assert sum(reference() is not None for reference in alive) <= len(readers)

    def test_a_runner_says_what_it_is(self, load: Load, bundle: Path, backend: str) -> None:
        with load(bundle, threads=2) as session:
            assert session.device
            assert session.threads in (2, None)
            assert session.runner.versions
            assert all(map(str.strip, session.runner.versions.values()))
        with load(bundle, threads=None) as session:
            assert session.threads is None

    def test_parts_run_one_by_one(self, session: ee.Session) -> None:
        images = images_leaving_at([0, 1, 0])
        runner = session.runner
        for _ in range(3):
            runner.set_images(images)
            runner.run_stage("stage1")
            runner.synchronize()  # for timers; nothing depends on it
            gate = runner.run_exit("exit1")
            assert gate.exits.tolist() == [True, False, True]
            assert gate.labels.dtype == np.int32
            assert gate.confidences.dtype == np.float32
            np.testing.assert_array_equal(runner.logits("exit1"), 2 * images[:, 0, 0, :3])

            runner.keep("exit1", np.array([1]))
            runner.run_stage("stage2")
            assert runner.run_exit("exit2").labels.tolist() == [1]
            np.testing.assert_array_equal(runner.logits("exit2"), images[1:2, 0, 1, :3])
            # the logits of exit1 are still those of all samples that reached it
            np.testing.assert_array_equal(runner.logits("exit1"), 2 * images[:, 0, 0, :3])

    def test_logits_are_a_copy(self, session: ee.Session) -> None:
        session.infer(images_leaving_at([0]))
        logits = session.runner.logits("exit1")
        session.infer(images_leaving_at([2]))
        assert logits.tolist() == [[16, 0, 0]]

    def test_more_images_than_the_buffers_hold(self, session: ee.Session) -> None:
        runner = session.runner
        with pytest.raises(ee.InputError, match=r"^images: expected at most 4 at once, got 5$"):
            runner.set_images(random_images(5, 0))
        runner.set_images(random_images(4, 0))

    def test_rows_behind_the_end_of_a_batch_are_never_read(self, session: ee.Session) -> None:
        """Such rows still hold an earlier batch, whose images may leave anywhere."""
        for earlier in (0, 1, 2):
            for exits in ([2, 0, 2], [1, 2, 2], [0, 2, 1], [2, 2, 2]):
                session.infer(images_leaving_at([earlier] * 4))
                images = images_leaving_at(exits)
                got = session.infer(images)
                assert got.exits.tolist() == exits
                for row in range(3):
                    alone = session.infer(images[row : row + 1])
                    assert alone.labels[0] == got.labels[row]
                    assert alone.confidences[0] == pytest.approx(got.confidences[row], rel=1e-6)

    def test_bare_graphs_are_run_as_the_bundles_own(self, load: Load, bundle: Path) -> None:
        entry = ee.load_manifest(bundle).stages[0].graph
        content = (bundle / entry.file).read_bytes()
        runner = load(bundle).runner
        graphs = runner.bare_graphs()
        assert graphs.device == runner.device
        call = graphs.bind(entry, content, {"images": np.full((2, 3, 4, 4), 0.5, np.float32)})
        gc.collect()  # bound arrays must be kept alive
        for _ in range(50):
            call()
        with pytest.raises(ee.BackendError, match=r"^stage1\.onnx: "):
            graphs.bind(entry, b"\xff\xff", {"images": np.zeros((1, 3, 4, 4), np.float32)})

    def test_a_long_deadline_changes_no_answer_and_a_short_one_gives_the_first(
        self, load: Load, network: Network, folder: Path
    ) -> None:
        first = dict.fromkeys(network.exit_names[:-1], 0.0)  # everyone leaves at once
        with load(folder) as session:
            session.warm_up(network.max_batch, runs=1)
            for count in all_sizes(network):
                images = random_images(count, count)
                want = network.expected(images, session.thresholds)
                got = session.infer(images, deadline_ms=1e6)
                assert_same(got, want)
                assert got.cut_short is not None
                assert not got.cut_short.any()
                got = session.infer(images, deadline_ms=1e-6)
                assert_same(got, network.expected(images, first))
                np.testing.assert_array_equal(got.cut_short, want.exits > 0)

    def test_a_deadline_in_between_leaves_the_best_answer_so_far(
        self, load: Load, bundle: Path
    ) -> None:
        images = images_leaving_at([2, 0, 1, 2])
        session = on_step_clock(load(bundle))
        everyone = session.infer_all_exits(images)
        assert session.warm_up(4) == {"exit1": 1.0, "exit2": 2.0, "final": 3.0}
        for deadline_ms, reached in ((2.5, 0), (3.5, 1), (4.5, 2)) * 4:
            got = session.infer(images, deadline_ms=deadline_ms)
            exits = np.minimum([2, 0, 1, 2], reached)
            assert got.exits.tolist() == exits.tolist()
            assert got.cut_short is not None
            assert got.cut_short.tolist() == [index > reached for index in (2, 0, 1, 2)]
            rows = np.arange(4)
            np.testing.assert_array_equal(got.labels, everyone.labels[exits, rows])
            np.testing.assert_allclose(
                got.confidences, everyone.confidences[exits, rows], rtol=1e-6
            )
