"""Permissions that count for root too, as whom tests may run."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

VERSION_3 = 0x20080522  # of the kernel's interface: two words of each of three sets
READS_AND_WRITES_ANYTHING = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextmanager
def permissions_count() -> Iterator[None]:
    """Take from this thread, for the length of a block, what lets root ignore permissions."""
    if not sys.platform.startswith("linux"):  # where nobody tests as root
        yield
        return
    libc = ctypes.CDLL(None)
    head, sets = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, sets) == 0
    before = sets[0]  # the first word of those in effect
    sets[0] &= ~READS_AND_WRITES_ANYTHING
    assert libc.capset(head, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(head, sets) == 0
