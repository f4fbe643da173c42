"""Which host a row is of: the ids of processes and threads are those of one host alone."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.groups import ByText
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.rows import Rows, read

__all__ = ["Hosts", "Which", "several"]

_ID_BITS: Final = 22  # PID_MAX_LIMIT of the kernel is 1 << 22

Which = slice | np.ndarray
"""Rows of a batch."""


class Hosts:
    """Numbers of hosts by their names; 0 is the one without."""

    def __init__(self) -> None:
        self._groups = ByText("host")

    def of(self, batch: EventBatch) -> list[tuple[int, Which]]:
        """Return each host of a batch, which is nearly always one, with its rows."""
        codes = batch["host"]
        if is_one_value(codes) or not (codes != codes[:1]).any():
            return [(host, slice(None)) for host in self._groups.coded(batch, codes[:1]).tolist()]
        numbers = self._groups.of(batch)
        return [(host, np.flatnonzero(numbers == host)) for host in np.unique(numbers).tolist()]

    def ids(self, batch: EventBatch, name: str) -> np.ndarray:
        """Return a column of ids as 32 bits, in which those of each host are others."""
        ids = batch[name].astype(np.uint32)
        for host, which in self.of(batch):
            ids[which] += np.uint32(host << _ID_BITS & 0xFFFFFFFF)
        return ids

    def names(self, which: np.ndarray) -> np.ndarray:
        """Return the names of hosts."""
        return self._groups.names(which)


def several(rows: Rows) -> bool:
    """Tell whether rows are of more than one host: then ids alone do not say whose they are."""
    hosts, seen = Hosts(), set[int]()
    for batch in read(rows, "host"):
        seen.update(host for host, _ in hosts.of(batch))
        if len(seen) > 1:
            return True
    return False
