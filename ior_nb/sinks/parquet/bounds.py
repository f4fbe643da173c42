"""What the numbers of a recording may be: those a kernel gives, and whose sums can still be counted.

Checked where rows come in, so that whatever adds, subtracts and divides further on needs no doubt.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.schema import PARTS

__all__ = ["Bounds"]

_MOST: Final = 1 << 62
"""Of a point in time, 146 years behind the start of the machine, and of sums: twice as much still fits a number."""
_SUMMED: Final = ("latency_ns", "gap_ns", "bytes", "address_space_bytes", "fetched_bytes", *PARTS)
_MOST_ERRNO: Final = 4095


class Bounds:
    """The bounds of one recording, whose rows are looked at as they come."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(_SUMMED, 0.0)

    def check(self, rows: EventBatch) -> None:
        """Look at the next rows.

        Raises:
            ValueError: a value no trace has, or sums no number can hold.
        """
        if not len(rows):
            return
        if int(latest := rows["time_ns"].max()) >= _MOST:
            raise ValueError(f"the column time_ns is damaged: {latest} is no time of a boot clock")
        for name in _SUMMED:
            self._sums[name] += float(rows[name].sum(dtype=np.float64))
            if self._sums[name] >= _MOST:
                raise ValueError(f"the column {name} is damaged: its values add up to {self._sums[name]:.3g}")
        failed = rows["ret"][rows["is_error"]]
        wrong = failed[(failed >= 0) | (failed < -_MOST_ERRNO)]
        if len(wrong):
            raise ValueError(f"the column is_error is damaged: {wrong[0]} is no error")
