"""Every class of outcome is told from the others: else nothing would be found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ORDERS = {
    "answer": "same",
    "answer differently": "other",
    "answer NaN": "not finite",
    "refuse": "refused",
    "refuse in two lines": "bad message",
    "raise": "raised",
    "crash": "crash",
    "hang": "hang",
    "take memory": "memory",
    "write elsewhere": "touched",
}


def test_outcomes(
    reader: Callable[..., Callable[[dict[str, bytes]], tuple[str, str]]],
    tmp_path: Path,
) -> None:
    (tmp_path / "order").write_text("answer")
    patient, hasty = (reader("order", tmp_path, timeout_s=limit) for limit in (60.0, 3.0))
    for order, kind in ORDERS.items():
        read = hasty if order == "hang" else patient
        assert read({"order": order.encode()})[0] == kind, order
        assert read({})[0] == "same", f"after {order}"
