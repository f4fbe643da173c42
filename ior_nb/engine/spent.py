"""What a call made devices read and where its time went: from the packed words of records to columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.roles import CLASS
from ior_nb.runtime import StringTable
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import rows_of

__all__ = ["ALL", "FETCHED", "LOCKS", "RUN_DELAY", "WAITS", "Spent", "unpacked"]

FETCHED: Final = "fetched"
RUN_DELAY: Final = "run_delay"
WAITS: Final = "waits"
LOCKS: Final = "locks"
ALL: Final = frozenset({FETCHED, RUN_DELAY, WAITS, LOCKS})
"""What can be measured: by kernels that count it, waits where they are asked for. Locks that cannot be told from others
are others."""

_MANTISSA: Final = np.uint32((1 << wire.PACKED_BITS) - 1)
_LOW: Final = np.uint32(1 << wire.PACKED_BITS)
_NOTHING: Final = np.zeros(1, np.int64)
_READS, _TRANSFERS = CLASS == 1, CLASS == 3


def unpacked(words: np.ndarray) -> np.ndarray:
    """Return packed numbers (`wire.PACKED_BITS`) as int64, -1 for those that are not known."""
    if (words < _LOW).all():
        return words.astype(np.int64)
    values = (words & _MANTISSA).astype(np.int64)
    values <<= wire.PACKED_SHIFT * (words >> np.uint32(wire.PACKED_BITS)).astype(np.int64)
    values[words == wire.PACKED_UNKNOWN] = -1
    return values


class Spent:
    """Fills the columns of what a call fetched and waited for.

    Args:
        tables: the string tables of the trace.

    Attributes:
        measured: which of `ALL` the records say; the columns of the others stay as those of no measurement.
    """

    def __init__(self, tables: Mapping[str, StringTable]) -> None:
        self.measured: frozenset[str] = ALL
        codes = tables["source"].intern_many(["device", "direct", "waited", "cache"])
        self._device, self._direct, self._waited, self._cache = codes.tolist()
        kinds = tables["file_kind"]
        self._files = kinds.intern_many(["file", "block"])

    def fill(
        self, raw: Mapping[str, np.ndarray], bits: np.void, nr: np.ndarray, columns: dict[str, np.ndarray]
    ) -> None:
        """Add the columns.

        Args:
            raw: the fields of the records.
            bits: the bits that any of them has in each field.
            nr: number of the call of each.
            columns: those that are there, `latency_ns`, `bytes` and `file_kind` among them.
        """
        parts: dict[str, np.ndarray] = {}
        if RUN_DELAY in self.measured:
            parts["wait_cpu_ns"] = _column(raw, bits, "run_delay")
        if WAITS in self.measured:
            parts["wait_device_ns"] = _column(raw, bits, "wait_device")
            if LOCKS in self.measured:
                parts["wait_lock_ns"] = _column(raw, bits, "wait_lock")
            parts["wait_other_ns"] = _column(raw, bits, "wait_other")
        if self.measured >= {RUN_DELAY, WAITS}:
            columns["on_cpu_ns"] = _left(columns["latency_ns"].view(np.int64), parts)
        columns |= parts
        if FETCHED in self.measured:
            fetched = columns["fetched_bytes"] = _column(raw, bits, "fetched")
            columns["source"] = self._source(fetched, raw["flags"], nr, columns)

    def _source(
        self, fetched: np.ndarray, flags: np.ndarray, nr: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        kind = columns["file_kind"]
        reads = _READS.take(nr) & ((kind == self._files[0]) | (kind == self._files[1]))
        if (there := columns.get("old_offset")) is not None:
            reads |= _TRANSFERS.take(nr) & (there >= 0)
        reads &= columns["bytes"] != 0
        source: np.ndarray = reads * np.int32(self._cache)
        if (slept := columns.get("wait_device_ns")) is not None and not is_one_value(slept):
            source[reads & (slept > 0)] = self._waited
        if not is_one_value(fetched):
            rows = rows_of(fetched > 0)
            source[rows] = np.where(flags[rows] & wire.EF_DIRECT, self._direct, self._device)
            source[fetched < 0] = 0
        return source


def _column(raw: Mapping[str, np.ndarray], bits: np.void, name: str) -> np.ndarray:
    """Return a column; one that takes no memory where all is zero, as it mostly is."""
    if bits[name]:
        return unpacked(raw[name])
    return np.ndarray((len(raw[name]),), np.int64, _NOTHING, strides=(0,))


def _left(latency: np.ndarray, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return what of the latency is no wait; waits that are longer are cut, for two clocks are never quite one."""
    some = [name for name, values in parts.items() if not is_one_value(values)]
    if not some:
        return latency
    left = latency.copy()
    unknown = np.zeros(len(left), bool)
    for name in some:
        left -= parts[name]
        unknown |= parts[name] < 0
    for name in reversed(some):  # what somebody else took is the longest, and the first to be cut
        rows = rows_of((left < 0) & ~unknown)
        if not len(rows):
            break
        cut = np.minimum(-left[rows], parts[name][rows])
        parts[name][rows] -= cut
        left[rows] += cut
    left[unknown] = -1
    return left
