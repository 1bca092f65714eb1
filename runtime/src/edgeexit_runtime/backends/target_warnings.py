"""One line of the log where an INT8 bundle meets an engine or a CPU that it is not for."""

from __future__ import annotations

import functools
import logging

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle.folder import Bundle

logger = logging.getLogger(__name__)


def warn_of_target(bundle: Bundle, runner: Runner) -> None:
    """Say once what it costs that a bundle's 8 bits are not of the form that computes them here."""
    entry = bundle.manifest.quantization
    if entry is None:
        return
    target = entry.target
    if target is not None and target.engine not in runner.int8_of:
        _warn(
            f"{bundle.folder}: INT8 of target {target.name} runs right but slowly on "
            f"{runner.device}: {target.elsewhere}"
        )
    elif runner.int8_instead:
        _warn(
            f"{bundle.folder}: INT8 assumes VNNI, which this CPU does not have or does not tell: "
            f"{runner.int8_instead}, which is exact and slower; for such CPUs export with "
            "--target cpu-7bit"
        )


@functools.cache
def _warn(line: str) -> None:
    """Log a line, once: a bundle may be loaded again and again."""
    logger.warning("%s", line)
