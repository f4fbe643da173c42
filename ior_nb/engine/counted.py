"""What the kernel program counts by system call, rows or no rows."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.runtime.completeness import COUNTED

__all__ = ["COUNTER", "counters_of"]

COUNTER: Final = np.dtype([*((name, "<u8") for name in COUNTED), ("histogram", "<u8", (wire.BUCKETS,))])


def counters_of(payload: bytes) -> np.ndarray:
    """Sum a COUNTERS frame over CPUs.

    Returns:
        Structured array `COUNTER`, shape (512,), by syscall number.
    """
    raw = payload[payload.index(b"\n") + 1 :]
    words = np.frombuffer(raw, "<u8").reshape(-1, wire.SPECS, COUNTER.itemsize // 8)
    return np.ascontiguousarray(words.sum(axis=0, dtype="<u8")).view(COUNTER).reshape(wire.SPECS)
