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
    """The bounds of one recording, whose rows are looked at as they are read, some columns or all."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, float]] = {name: {} for name in _SUMMED}  # by row group

    def check(self, rows: EventBatch, group: int) -> None:
        """Look at rows of a row group.

        Raises:
            ValueError: a value no trace has, or sums no number can hold.
        """
        if not len(rows):
            return
        if "time_ns" in rows.columns and int(latest := rows["time_ns"].max()) >= _MOST:
            raise ValueError(f"the column time_ns is damaged: {latest} is no time of a boot clock")
        for name, sums in self._sums.items():
            if name in rows.columns:
                sums[group] = float(rows[name].sum(dtype=np.float64))
                if (whole := sum(sums.values())) >= _MOST:
                    raise ValueError(f"the column {name} is damaged: its values add up to {whole:.3g}")
        if not {"ret", "is_error"}.issubset(rows.columns):
            return
        failed = rows["ret"][rows["is_error"]]
        wrong = failed[(failed >= 0) | (failed < -_MOST_ERRNO)]
        if len(wrong):
            raise ValueError(f"the column is_error is damaged: {wrong[0]} is no error")
