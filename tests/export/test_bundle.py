"""Bundles: proven against the network, whole or not there, read back by the runtime."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from edgeexit.cost import network_cost
from edgeexit.errors import ExportError
from edgeexit.export import PRECISIONS, ExportedBundle, ExportOptions, export_bundle
from edgeexit.export.verification import Verification, require_agreement, verify_bundle
from edgeexit.training import Checkpoint

FP32 = ExportOptions(PRECISIONS["fp32"], max_batch=16)


def test_manifest_tells_what_the_files_are(
    exported: ExportedBundle, checkpoint: Checkpoint
) -> None:
    manifest = ee.load_manifest(exported.folder)
    assert manifest == exported.manifest
    assert manifest.exit_names == ("exit1", "exit2", "final")
    assert manifest.thresholds == checkpoint.thresholds
    assert manifest.preprocessing == checkpoint.preprocessing
    cost = network_cost(checkpoint.build())
    assert [exit_.path_macs for exit_ in manifest.exits] == [e.path_macs for e in cost.exits]
    assert manifest.baseline is not None
    assert manifest.baseline.path_macs == cost.baseline_macs
    for _, graph in manifest.graphs():
        content = (exported.folder / graph.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == graph.sha256
        assert len(content) == graph.size_bytes
    assert manifest.verification["equal_answers"] == exported.verification.equal_answers


def test_the_bundle_knows_where_its_samples_leave(
    exported: ExportedBundle, samples: NDArray[np.float32]
) -> None:
    with ee.load(exported.folder, providers=("CPUExecutionProvider",)) as session:
        expected = session.expected
        answers = session.infer(samples)
        drift = session.drift()
    assert expected is not None
    assert expected.images == len(samples)
    counts = expected.cells(exported.manifest.exit_names).sum(axis=1)
    assert counts.tolist() == np.bincount(answers.exits, minlength=3).tolist()
    assert not drift.seen


def test_graphs_have_a_dynamic_batch_the_precision_and_no_traces_of_this_machine(
    exported: ExportedBundle,
) -> None:
    feature = {"fp32": onnx.TensorProto.FLOAT, "fp16": onnx.TensorProto.FLOAT16}
    for name, graph in exported.manifest.graphs():
        content = (exported.folder / graph.file).read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in content
        model = onnx.load_from_string(content)
        assert {opset.domain: opset.version for opset in model.opset_import} == {"": 18}
        assert not any(node.op_type == "BatchNormalization" for node in model.graph.node), name
        weights = [w for w in model.graph.initializer if len(w.dims) == 4]
        assert all(w.data_type == feature[exported.manifest.precision] for w in weights), name
        for tensor in model.graph.input:
            batch = tensor.type.tensor_type.shape.dim[0]
            assert tensor.name == "threshold" or batch.dim_param, f"{name}: {tensor.name}"


def test_verification_measures_every_exit_and_the_baseline(exported: ExportedBundle) -> None:
    verification = exported.verification
    assert [exit_.name for exit_ in verification.exits] == ["exit1", "exit2", "final", "baseline"]
    for exit_ in verification.exits:
        assert 0 <= exit_.relative_logit_difference <= verification.max_logit_error
        assert exit_.equal_labels >= verification.min_agreement
    if exported.manifest.precision == "fp16":  # rounding must show, or FP32 was exported
        assert max(exit_.max_logit_difference for exit_ in verification.exits) > 1e-5


def test_only_bundles_are_replaced(
    checkpoint: Checkpoint, samples: NDArray[np.float32], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="holds other files and no bundle"):
        export_bundle(checkpoint, tmp_path, FP32, samples, "noise")
    with pytest.raises(ExportError, match="is a file, expected a folder"):
        export_bundle(checkpoint, tmp_path / "thesis.tex", FP32, samples, "noise")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_options_out_of_range() -> None:
    with pytest.raises(ExportError, match="opset: expected 18 to 20, got 21"):
        ExportOptions(PRECISIONS["fp32"], opset=21)
    with pytest.raises(ExportError, match="max batch: expected 1 to 2147483647, got 0"):
        ExportOptions(PRECISIONS["fp32"], max_batch=0)
    with pytest.raises(ExportError, match="max batch: expected 1 to 2147483647, got 2147483648"):
        ExportOptions(PRECISIONS["fp32"], max_batch=2**31)


def test_no_samples_no_proof(checkpoint: Checkpoint, tmp_path: Path) -> None:
    none = np.empty((0, 3, 16, 16), np.float32)
    with pytest.raises(ExportError, match="no samples to verify the bundle on"):
        export_bundle(checkpoint, tmp_path / "out", FP32, none, "noise")


def test_logits_that_are_all_zero_agree(checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = {
        name: torch.zeros_like(value) if name.startswith("backbone.classifier.") else value
        for name, value in checkpoint.weights.items()
    }
    images = np.zeros((2, *checkpoint.spec.input_size), np.float32)
    options = dataclasses.replace(FP32, baseline=False)
    bundle = export_bundle(
        dataclasses.replace(checkpoint, weights=weights), tmp_path / "out", options, images, "test"
    )
    assert bundle.verification.exits[-1].relative_logit_difference == 0


def test_floors_are_kept(fp32_bundle: ExportedBundle) -> None:
    good = fp32_bundle.verification
    require_agreement(good)
    bad_exit = dataclasses.replace(good.exits[1], equal_decisions=0.9)
    bad = dataclasses.replace(good, exits=(good.exits[0], bad_exit, *good.exits[2:]))
    with pytest.raises(ExportError, match=r"^exit2: only 90.00% of 40 samples"):
        require_agreement(bad)
    not_finite = dataclasses.replace(good.exits[0], relative_logit_difference=float("nan"))
    with pytest.raises(ExportError, match=r"^exit1: logits are infinite or NaN"):
        require_agreement(dataclasses.replace(good, exits=(not_finite,)))


@pytest.mark.parametrize(
    ("error", "per_last_bit", "is_right"),
    [(3e-4, 0.0, False), (3e-4, 1e-4, True), (8e-4, 1e-4, False), (0.1, 0.1, False)],
)
def test_a_difference_is_allowed_that_is_the_networks_own_rounding(
    fp32_bundle: ExportedBundle,
    checkpoint: Checkpoint,
    samples: NDArray[np.float32],
    error: float,
    per_last_bit: float,
    is_right: bool,
) -> None:
    verification = of_network(fp32_bundle, checkpoint, samples, error, per_last_bit)
    for exit_ in verification.exits:
        assert exit_.relative_logit_difference == pytest.approx(error, rel=0.1)
        assert exit_.rounding == pytest.approx(per_last_bit, rel=0.1)
    verification = dataclasses.replace(verification, min_agreement=0.0)  # by logits alone
    if is_right:
        require_agreement(verification)
        return
    with pytest.raises(ExportError, match=r"^exit1: logits differ by") as caught:
        require_agreement(verification)
    for fact in ("of the largest", "at most 0.0001", "4 times", "last bit"):
        assert fact in str(caught.value)


def of_network(
    bundle: ExportedBundle,
    checkpoint: Checkpoint,
    samples: NDArray[np.float32],
    error: float,
    per_last_bit: float,
) -> Verification:
    """Compare with a network whose logits are larger by a share, and more by that of last bits."""
    net = checkpoint.build()

    def logits(images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        moved = not np.array_equal(images, samples)
        assert np.allclose(images, samples, rtol=2e-7)
        with torch.inference_mode():
            answers = net(torch.from_numpy(samples))
        factor = 1 + error + moved * per_last_bit
        return {name: values.numpy() * np.float32(factor) for name, values in answers.items()}

    return verify_bundle(bundle.folder, logits, samples, "test", PRECISIONS["fp32"])[0]
