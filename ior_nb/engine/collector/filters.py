"""The part of a filter that the kernel program decides: an entry of its map `filters`."""

from __future__ import annotations

import struct
from typing import Any, Final

from ior_nb.engine.collector import wire

__all__ = ["FILTER", "filter_row"]

FILTER: Final = struct.Struct("<8Q2Q32s2I8B")  # struct filter of bpf/types.h


def filter_row(wanted: dict[str, Any], generation: int) -> bytes:
    """Return an entry of `filters`.

    Args:
        wanted: nothing, or "pid", "tid", "calls" (numbers), "latency_min", "latency_max", "errors_only", "comm" and
            "comm_mask" (16 bytes each, in hex), "audit"; see `runtime.Pushdown`.
        generation: what records judged by it carry.
    """
    calls = wanted.get("calls")
    bits = (1 << wire.SPECS) - 1 if calls is None else sum(1 << n for n in set(calls))
    low, high = wanted.get("latency_min"), wanted.get("latency_max")
    return FILTER.pack(
        *struct.unpack("<8Q", bits.to_bytes(64, "little")),
        max(low or 0, 0),
        (1 << 64) - 1 if high is None else max(high, 0),
        bytes.fromhex(wanted.get("comm", "00" * 16)) + bytes.fromhex(wanted.get("comm_mask", "00" * 16)),
        wanted.get("pid") or 0,
        wanted.get("tid") or 0,
        generation & 0xFF,
        bool(wanted),
        low is not None or high is not None,
        bool(wanted.get("errors_only")),
        bool(wanted.get("audit")),
        *(0, 0, 0),
    )
