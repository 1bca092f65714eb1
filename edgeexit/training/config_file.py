"""First version; being replaced."""

from __future__ import annotations

from pathlib import Path

import tomli_w
from edgeexit_runtime.schema import encode

from edgeexit.files import replace_file
from edgeexit.training.config import TrainConfig


def write_config(path: Path, config: TrainConfig) -> None:
    plain = {k: v for k, v in encode(config).items() if v is not None}
    plain["data"] = {k: v for k, v in plain["data"].items() if v is not None}
    with replace_file(path) as temporary:
        temporary.write_text(tomli_w.dumps(plain), encoding="utf-8")
