"""`ByHost`: the statistics of each host by themselves, published as one: of a finished trace, or one that is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ior_nb.aggregate.hosts import Hosts
from ior_nb.runtime import EventBatch, Sheet, Snapshot
from ior_nb.runtime.sheet import Calls, merged, shown
from ior_nb.runtime.sheet.histogram import BUCKETS, octaves_of
from ior_nb.sinks.statsengine import Statistics
from ior_nb.syscalls import BY_NAME

__all__ = ["ByHost"]

_TOP: Final = 64
_DEEP: Final = 4096
"""Rows of each table of a host that are added up with those of others."""
_SUMS: Final = {"bytes": "bytes", "latency_ns": "latency"}
"""What the kernel counts, and what the sum of the rows is called."""


class ByHost:
    """`EventIngester`, `SnapshotSource` and `SheetSource`: process 7 of one host is not that of another.

    One thread ingests, any thread takes snapshots.

    Args:
        make: makes the statistics of a host.
        names: where the hosts that are met are noted.
    """

    columns: Final = (*Statistics.columns, "host")
    """Those it looks at."""

    def __init__(self, make: Callable[[], Statistics] = Statistics, names: set[str] | None = None) -> None:
        self._make, self._names = make, set() if names is None else names
        self._hosts = Hosts()
        self._of: dict[str, Statistics] = {}
        self._base: np.ndarray | None = None

    def ingest(self, batch: EventBatch) -> None:
        """Count rows."""
        for host, which in self._hosts.of(batch):
            name = str(self._hosts.names(np.array([host]))[0])
            self._names.add(name)
            self._one(name).ingest(batch if isinstance(which, slice) else batch.take(which))

    def merge_counters(self, counters: np.ndarray) -> None:
        """Count calls that are no rows. Whose they were of several hosts nobody knows: they are of none of these.

        Args:
            counters: those of all hosts, as `Statistics.merge_counters` takes them.
        """
        left = counters if self._base is None else _less(counters, self._base)
        whose = next(iter(self._of)) if len(self._of) == 1 else ""
        if len(self._of) > 1:  # rows tell probes better than the kernel does: all failures are one sum here
            left = left.copy()
            left["errors"] += left["probes"]
            left["probes"] = 0
        for name, one in list(self._of.items()):
            if name != whose:
                one.merge_counters(np.zeros_like(counters))
                left = _less(left, _counted(one.sheet(top=0).calls, counters))
        self._one(whose).merge_counters(left)

    def retire(self, pid: int, time_ns: int | None = None) -> None:
        """A process has ended, on whatever host; see `Statistics.retire`."""
        for one in self._of.values():
            one.retire(pid, time_ns)

    def reset(self, counters: np.ndarray) -> None:
        """Start again from nothing.

        Args:
            counters: the counters at this moment, so that nothing of before is counted.
        """
        self._of, self._base = {}, counters.copy()

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot:
        """Return the statistics of all as they are now."""
        return shown(self.sheet(top=top, by=by), top=_TOP if top is None else max(top, 0), by=by)

    def sheet(self, *, top: int | None = None, by: str = "count") -> Sheet:
        """Return the same as a sheet."""
        found = list(self._of.items()) or [("", self._make())]
        if len(found) == 1 and len(self._names) < 2:
            return found[0][1].sheet(top=top, by=by)
        sheets = [(host, one.sheet(top=_DEEP, by=by)) for host, one in found]
        return merged(sheet.of_host(host) if len(self._names) > 1 else sheet for host, sheet in sheets)

    def _one(self, name: str) -> Statistics:
        if name not in self._of:
            self._of[name] = self._make()
        return self._of[name]


def _less(counters: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return counters less others, none below 0."""
    found = counters.copy()
    for name in counters.dtype.names or ():
        found[name] -= np.minimum(found[name], others[name])
    return found


def _counted(calls: Calls, like: np.ndarray) -> np.ndarray:
    """Return what rows are in the kernel's counters, all failures as errors."""
    found = np.zeros_like(like)
    histograms = np.zeros((len(calls.names), BUCKETS), np.int64)
    histograms.reshape(-1)[calls.buckets] = calls.counts
    octaves = octaves_of(histograms)
    sums = {name: calls.column(of) for name, of in _SUMS.items()}
    sums["calls"] = calls.column("recorded") - calls.column("in_flight")
    sums["errors"] = calls.column("errors") + calls.column("probes")
    for row, name in enumerate(calls.names):
        call = BY_NAME.get(name)
        if call is not None and call.number < len(found):
            for measure, values in sums.items():
                found[measure][call.number] = values[row]
            found["histogram"][call.number, : octaves.shape[1]] = octaves[row]
    return found
