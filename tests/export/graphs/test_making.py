"""What is said of a network before it is traced."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexit.errors import ExportError
from edgeexit.export.graphs.making import check_size


def test_weights_beyond_what_onnx_holds_are_named() -> None:
    network = nn.Linear(30_000, 20_000, bias=False, device="meta")  # takes no memory
    with pytest.raises(ExportError) as raised:
        check_size(network)
    for fact in ("2.40 GB", "at most 2.15", "--precision fp16"):
        assert fact in str(raised.value)
    check_size(network.to(torch.float16))
