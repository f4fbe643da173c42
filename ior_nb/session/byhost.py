"""`ByHost`: the statistics of a finished trace, those of each host by themselves, published as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ior_nb.aggregate.hosts import Hosts
from ior_nb.runtime import EventBatch, Sheet, Snapshot
from ior_nb.runtime.sheet import merged, shown
from ior_nb.sinks.statsengine import Statistics

__all__ = ["ByHost"]

_TOP: Final = 64
_DEEP: Final = 4096
"""Rows of each table of a host that are added up with those of others."""


class ByHost:
    """`EventIngester`, `SnapshotSource` and `SheetSource`: process 7 of one host is not that of another.

    Args:
        make: makes the statistics of a host.
        names: where the hosts that are met are noted.
    """

    columns: Final = (*Statistics.columns, "host")
    """Those it looks at."""

    def __init__(self, make: Callable[[], Statistics], names: set[str]) -> None:
        self._make, self._names = make, names
        self._hosts = Hosts()
        self._of: dict[str, Statistics] = {}

    def ingest(self, batch: EventBatch) -> None:
        """Count rows."""
        for host, which in self._hosts.of(batch):
            name = str(self._hosts.names(np.array([host]))[0])
            self._names.add(name)
            self._one(name).ingest(batch[which] if isinstance(which, slice) else batch.take(which))

    def merge_counters(self, counters: np.ndarray) -> None:
        """Count calls that are no rows. Whose they were of several hosts nobody knows."""
        self._one(next(iter(self._of)) if len(self._of) == 1 else "").merge_counters(counters)

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot:
        """Return the statistics of all as they are now."""
        return shown(self.sheet(top=top, by=by), top=_TOP if top is None else max(top, 0), by=by)

    def sheet(self, *, top: int | None = None, by: str = "count") -> Sheet:
        """Return the same as a sheet."""
        found = list(self._of.items())
        if len(self._names) < 2 or not found:
            return (found[0][1] if found else self._make()).sheet(top=top, by=by)
        return merged(one.sheet(top=_DEEP, by=by).of_host(host) for host, one in found)

    def _one(self, name: str) -> Statistics:
        if name not in self._of:
            self._of[name] = self._make()
        return self._of[name]
