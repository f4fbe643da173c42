"""`Calls`: what is known of each system call, from rows and from the kernel's counters."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate import Reading, ways
from ior_nb.runtime import StringTable
from ior_nb.runtime.index import grown, rows_of
from ior_nb.runtime.sheet import RECENT, Totals
from ior_nb.runtime.sheet.histogram import BUCKETS, OCTAVES, buckets_of, octaves_of
from ior_nb.sinks.statsengine.series import Series, slots_between
from ior_nb.sinks.statsengine.table import Table
from ior_nb.syscalls import BY_NUMBER

__all__ = ["ERRNOS", "OTHER", "Calls", "Counted", "Exact"]

LIMIT: Final = 1024
"""Different names; the kernel has 385, a recording made by a stranger may have any."""
OTHER: Final = "(other)"
ERRNOS: Final = 4096
_NEVER: Final = np.iinfo(np.int64).max

Counted = dict[str, np.ndarray]
"""`calls`, `errors`, `bytes`, `latency`, `timed`: int64, shape (n,), by entry; `octaves`: shape (n, OCTAVES)."""


class Exact:
    """Numbers of each system call, the larger of what rows and counters say: int64 by entry.

    Both only know a part of the truth that only grows: rows those that were recorded, counters those until they were
    last read. So the larger one is never too large.

    Attributes:
        recorded: rows.
        rows: sums of the rows alone.
        totals: sums of the exact numbers.
        octaves: exact powers of two, None without counters.
    """

    def __init__(self, calls: Calls) -> None:
        n = calls.used
        rows = {name: column[:n].copy() for name, column in calls.columns.items()}
        self.names, self.families = tuple(calls.names), tuple(calls.families)
        self.reads, self.writes = calls.reads[:n].copy(), calls.writes[:n].copy()
        self.recorded, self.in_flight = rows["count"], rows["in_flight"]
        self.lowest, self.highest = rows["min"], rows["max"]
        self.measured = self.recorded - rows["untimed"]
        self.rows = self._sums(rows["count"], rows["errors"], rows["bytes"], rows["latency"], self.measured)
        self.count, self.timed, self.errors = self.recorded, self.measured, rows["errors"]
        self.probes = rows["probes"]
        self.bytes, self.latency = rows["bytes"], rows["latency"]
        self.octaves: np.ndarray | None = None
        if calls.counted is not None:
            kernel = {name: _fit(values, n) for name, values in calls.counted.items()}
            self.count = np.maximum(self.recorded - self.in_flight, kernel["calls"]) + self.in_flight
            self.timed = np.maximum(self.measured, kernel["timed"])
            # Searches are told from rows alone: of what failed, the kernel counts fewer as probes.
            self.probes = np.maximum(self.probes, kernel["probes"])
            self.errors = np.maximum(self.errors, kernel["errors"] + kernel["probes"] - self.probes)
            self.bytes = np.maximum(self.bytes, kernel["bytes"])
            self.latency = np.maximum(self.latency, kernel["latency"])
            self.octaves = kernel["octaves"]
        self.totals = self._sums(self.count, self.errors, self.bytes, self.latency, self.timed)

    def bring_together(self, histogram: np.ndarray) -> np.ndarray:
        """Bring histogram, powers of two and bounds together.

        Args:
            histogram: log-linear, of the rows, shape (entries, BUCKETS).

        Returns:
            Timed calls that are no rows by power of two, shape (OCTAVES,).
        """
        self.lowest[self.measured == 0] = 0
        if self.octaves is None:
            return np.zeros(OCTAVES, np.int64)
        rows = octaves_of(histogram)
        self.octaves = np.maximum(self.octaves, rows)
        counted = rows_of(np.asarray(self.octaves.any(axis=1)))
        first = (self.octaves[counted] > 0).argmax(axis=1)
        last = OCTAVES - 1 - (self.octaves[counted, ::-1] > 0).argmax(axis=1)
        # A power of two in which only the kernel saw a call: its edge is all that is known.
        unseen = rows[counted, first] == 0
        self.lowest[counted[unseen]] = np.where(first > 0, 1 << first, 0)[unseen]
        unseen = rows[counted, last] == 0
        self.highest[counted[unseen]] = (2 << last)[unseen]
        more: np.ndarray = (self.octaves - rows).sum(axis=0)
        return more

    def hidden(self) -> Totals:
        """Return what the totals have and the rows have not."""
        return Totals(*(t - r for t, r in zip(self.totals, self.rows, strict=True)))

    def _sums(
        self, count: np.ndarray, errors: np.ndarray, moved: np.ndarray, latency: np.ndarray, timed: np.ndarray
    ) -> Totals:
        columns = (count, errors, moved, moved * self.reads, moved * self.writes, latency, timed)
        return Totals(*(int(c.sum()) for c in columns))


def _fit(values: np.ndarray, length: int) -> np.ndarray:
    fitted = np.zeros((length, *values.shape[1:]), np.int64)
    fitted[: len(values)] = values[:length]
    return fitted


class Calls:
    """Sums by system call. Entry 0 takes the names beyond `LIMIT`.

    Attributes:
        names, families: by entry.
        reads, writes: 1 where the call's bytes count as read, as written; by entry.
        columns: int64 by entry; `count` has all rows, `untimed` those without a latency.
        histogram: log-linear, shape (entries, BUCKETS).
        recent: calls of each entry in the slots of the sliding window.
        counted: what the kernel's counters say since the last reset; None before any were merged.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.families: list[str] = []
        self._entry_by_name: dict[str, int] = {}
        self._entry_of = np.zeros(0, np.int64)
        self._codes_of: StringTable | None = None
        self.columns = {
            name: np.zeros(64, np.int64)
            for name in ("count", "in_flight", "untimed", "errors", "probes", "bytes", "latency", "min", "max")
        }
        self.columns["min"][:] = _NEVER
        self.reads, self.writes = np.zeros(64, np.int64), np.zeros(64, np.int64)
        self.histogram = np.zeros((64, BUCKETS), np.int64)
        self.errnos = Table(("count",), limit=1 << 16)
        self.recent = Series(64, RECENT)
        self.counted: Counted | None = None
        self._open(OTHER, "")

    @property
    def used(self) -> int:
        """Entries there are."""
        return len(self.names)

    def _open(self, name: str, family: str) -> int:
        known = self._entry_by_name.get(name)
        if known is not None:
            return known
        if self.used >= LIMIT:
            return 0
        entry = self.used
        self.names.append(name)
        self.families.append(family)
        if entry:
            self._entry_by_name[name] = entry
        if self.used > len(self.reads):
            before = len(self.reads)
            self.columns = {column: grown(values, self.used) for column, values in self.columns.items()}
            self.columns["min"][before:] = _NEVER
            self.reads, self.writes = grown(self.reads, self.used), grown(self.writes, self.used)
            more = np.zeros((len(self.reads) - before, BUCKETS), np.int64)
            self.histogram = np.concatenate([self.histogram, more])
            self.recent.widen(len(self.reads))
        self.reads[entry], self.writes[entry] = ways([name])[:, 0]
        return entry

    def entries(self, reading: Reading) -> np.ndarray:
        """Return the entry of each of the calls of a batch: int64, shape (calls,)."""
        names = reading.batch.tables["syscall"]
        if names is not self._codes_of or len(names) > len(self._entry_of):
            known = self._entry_of if names is self._codes_of else np.zeros(0, np.int64)
            self._entry_of = np.full(len(names), -1, np.int64)
            self._entry_of[: len(known)] = known
            self._codes_of = names
        for code in reading.calls[self._entry_of[reading.calls] < 0].tolist():
            family = reading.batch["family"][int((reading.call == code).argmax())]
            self._entry_of[code] = self._open(names[code], reading.batch.tables["family"][int(family)])
        return self._entry_of.take(reading.calls)

    def add(self, reading: Reading, entries: np.ndarray) -> None:
        """Add rows.

        Args:
            reading: the rows.
            entries: the entry of each of their calls; those without room share one.
        """
        batch, columns, failed = reading.batch, self.columns, reading.failed
        sums = {"count": reading.counts.call, "latency": reading.latencies.call, "bytes": reading.bytes_by_call}
        for name, rows in (
            ("errors", failed),
            ("probes", rows_of(batch["probe"])),
            ("untimed", reading.untimed),
            ("in_flight", rows_of(batch.in_flight) if len(reading.untimed) else reading.untimed),
        ):
            if len(rows):
                sums[name] = reading.count(rows).call
        for name, values in sums.items():
            np.add.at(columns[name], entries, values)
        if len(failed):
            keys = reading.of_calls(entries, failed) * ERRNOS + (-batch["ret"][failed] & (ERRNOS - 1))
            self.errnos.add("count", self.errnos.entries(keys), 1)
        latency = reading.latency
        timed = reading.timed
        buckets = buckets_of(latency if timed is None else latency[timed])
        buckets += reading.of_calls(entries * BUCKETS, timed)
        np.add.at(self.histogram.reshape(-1), buckets, 1)
        np.maximum.at(columns["max"], entries, reading.longest.call)
        np.minimum.at(columns["min"], entries, reading.lowest_by_call(columns["min"][entries]))

    def add_recent(self, entries: np.ndarray, slots: np.ndarray) -> None:
        """Count calls in the sliding window: the entry and the slot of each."""
        places, good = self.recent.places(slots)
        self.recent.add_many(places, good, entries, 1)

    def merge(self, counters: np.ndarray, base: np.ndarray | None) -> np.ndarray:
        """Take over the kernel's counters, opening entries for calls without rows.

        Args:
            counters: structured array with `calls`, `errors`, `bytes`, `latency_ns` and `histogram`, by syscall number.
            base: the same at the last reset.

        Returns:
            How many calls of each entry are counted and no rows: int64, shape (used,).
        """
        numbers = rows_of(counters["calls"])
        entries = np.zeros(len(numbers), np.int64)
        for i, number in enumerate(numbers.tolist()):
            call = BY_NUMBER.get(number)
            entries[i] = self._open(call.name if call else f"#{number}", call.family if call else "")

        def since(field: str) -> np.ndarray:
            values = counters[field][numbers].astype(np.int64)
            if base is not None:
                values = np.maximum(values - base[field][numbers].astype(np.int64), 0)
            summed = np.zeros((self.used, *values.shape[1:]), np.int64)
            np.add.at(summed, entries, values)
            return summed

        octaves = since("histogram")[:, :OCTAVES]
        calls, latency = since("calls"), since("latency_ns")
        self.counted = {
            "calls": calls,
            "errors": since("errors"),
            "probes": since("probes"),
            "bytes": since("bytes"),
            "latency": latency,
            # Counters that were stored are without their powers of two.
            "timed": np.where(octaves.any(axis=1) | (latency == 0), np.minimum(octaves.sum(axis=1), calls), calls),
            "octaves": octaves,
        }
        missing: np.ndarray = calls - self.columns["count"][: self.used] + self.columns["in_flight"][: self.used]
        missing[missing < 0] = 0
        return missing

    def spread_recent(self, calls: np.ndarray, start_ns: int, end_ns: int) -> None:
        """Put calls of each entry, known by number only, evenly into an interval of the sliding window."""
        parts = slots_between(start_ns, end_ns)
        whole = sum(width for _, width in parts)
        done, reached = np.zeros_like(calls), 0
        for slot, width in parts:
            reached += width
            share = calls * reached // whole - done
            done += share
            self.recent.add(slot, share)
