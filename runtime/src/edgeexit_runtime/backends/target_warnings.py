"""Warning in the log if an INT8 bundle runs on an engine or CPU that it is not made for."""

from __future__ import annotations

import functools
import logging

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle.folder import Bundle

logger = logging.getLogger(__name__)


def warn_of_target(bundle: Bundle, runner: Runner) -> None:
    """Warn once if the form of a bundle's 8-bit values is not the one for this engine or CPU."""
    entry = bundle.manifest.quantization
    if entry is None:
        return
    target = entry.target
    if target is not None and target.engine not in runner.int8_of:
        _warn(
            f"{bundle.folder}: INT8 of target {target.name} runs correctly but slowly on "
            f"{runner.device}: {target.elsewhere}"
        )
    elif runner.int8_instead:
        _warn(
            f"{bundle.folder}: INT8 assumes VNNI, which this CPU does not have or report: "
            f"{runner.int8_instead}, which is exact and slower; for such CPUs export with "
            "--target cpu-7bit"
        )


@functools.cache
def _warn(line: str) -> None:
    """Log a line once, even if a bundle is loaded repeatedly."""
    logger.warning("%s", line)
