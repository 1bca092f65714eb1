"""Failing graphs and impossible outputs: the session stays usable, and never answers wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import edgeexit_runtime as ee
from edgeexit_runtime.testing import images_leaving_at, random_images, replace_graph
from edgeexit_runtime.testing.conformance.support import Images, Load, Suite

THRESHOLDS = {"exit1": 0.9, "exit2": 0.45}
CALLS: dict[str, Callable[[ee.Session, Images], object]] = {
    "infer": lambda session, images: session.infer(images),
    "infer by a deadline": lambda session, images: session.infer(images, deadline_ms=1e6),
    "infer_all_exits": lambda session, images: session.infer_all_exits(images),
    "warm_up": lambda session, _: session.warm_up(2, runs=1),
    "thresholds": lambda session, _: setattr(session, "thresholds", THRESHOLDS),
}
ANSWERING = ["infer", "infer by a deadline", "infer_all_exits"]


def spoiled(content: bytes, output: str, make: Callable[[str, str], list[Any]]) -> bytes:
    """Return a graph with the nodes of ``make(before, output)`` inserted at one of its outputs."""
    model = onnx.load_from_string(content)
    before = f"{output}_before"
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [before if name == output else name for name in names]
    model.graph.node.extend(make(before, output))
    changed: bytes = model.SerializeToString()
    return changed


def changed_by(operator: str, value: Any) -> Callable[[str, str], list[Any]]:
    def make(before: str, output: str) -> list[Any]:
        constant = numpy_helper.from_array(value)
        return [
            helper.make_node("Constant", [], ["value"], value=constant),
            helper.make_node(operator, [before, "value"], [output]),
        ]

    return make


class Failures(Suite):
    """If a graph fails in any way, the session names it, and stays usable."""

    @pytest.mark.parametrize("count", [1, 3, 9])
    @pytest.mark.parametrize("call", ANSWERING)
    @pytest.mark.parametrize(
        ("output", "change", "got"),
        [
            ("confidence", changed_by("Add", np.float32("nan")), "nan to nan, "),
            ("confidence", changed_by("Div", np.float32(0)), "inf to inf, "),
            ("confidence", changed_by("Add", np.float32(1)), r"1\.\d+ to [12][.\d]*, "),
            ("confidence", changed_by("Sub", np.float32(1.5)), r"-[\d.]+ to -[\d.]+, "),
            ("label", changed_by("Add", np.int32(3)), r"0\.\d+ to [.\d]+, [345] to [345] "),
            ("label", changed_by("Sub", np.int32(3)), r"0\.\d+ to [.\d]+, -[123] to -[123] "),
        ],
    )
    def test_answers_that_cannot_be(
        self,
        load: Load,
        output: str,
        change: Callable[[str, str], list[Any]],
        got: str,
        call: str,
        count: int,
        bundle: Path,
    ) -> None:
        content = (bundle / "exit1.onnx").read_bytes()
        replace_graph(bundle, "exit1", spoiled(content, output, change))
        message = rf"^exit1: expected confidences of 0 to 1, labels of 0 to 2 .*, got {got}.*export"
        with load(bundle) as session:
            with pytest.raises(ee.BackendError, match=message):
                CALLS[call](session, random_images(count, 0))
            session.thresholds = {"exit1": ee.NEVER, "exit2": 0.5}  # its branch is not run
            assert session.infer(random_images(count, 0)).exits.min() >= 1

    @pytest.mark.parametrize("call", [*ANSWERING, "warm_up"])
    @pytest.mark.parametrize(("name", "output"), [("stage2", "second"), ("exit1", "logits")])
    def test_a_graph_that_fails(
        self, load: Load, name: str, output: str, call: str, bundle: Path
    ) -> None:
        """The graph loads, but cannot run on a batch of more than one."""

        def make(before: str, output: str) -> list[Any]:
            shape = numpy_helper.from_array(np.array([1, 3, 4, 4][: 4 if name == "stage2" else 2]))
            constant = helper.make_node("Constant", [], ["value"], value=shape)
            return [constant, helper.make_node("Reshape", [before, "value"], [output])]

        replace_graph(bundle, name, spoiled((bundle / f"{name}.onnx").read_bytes(), output, make))
        with load(bundle) as session:
            with pytest.raises(ee.BackendError, match=rf"^{name}: .* failed over a batch of [23]"):
                CALLS[call](session, images_leaving_at([2, 2, 2]))
            assert session.infer(images_leaving_at([2])).exits.tolist() == [2]
