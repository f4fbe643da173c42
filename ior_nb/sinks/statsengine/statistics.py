"""`Statistics`: takes batches in, gives snapshots out, and sheets, of which a snapshot is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from ior_nb.aggregate import (
    MEASURED,
    Reading,
    Spent,
    gapless,
    waiting,
)
from ior_nb.real import Lock
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.sheet import MEASURES, RANKINGS, SLOT_NS, SLOTS, Sheet, Totals, shown
from ior_nb.runtime.sheet.histogram import decades_of
from ior_nb.runtime.statistics import Snapshot
from ior_nb.runtime.waiting import ENOUGH, Waiting
from ior_nb.sinks.statsengine.calls import Calls, Exact
from ior_nb.sinks.statsengine.files import Files
from ior_nb.sinks.statsengine.lines import Lines
from ior_nb.sinks.statsengine.processes import Processes
from ior_nb.sinks.statsengine.rows import CallRows, FileRows, LineRows, ProcessRows
from ior_nb.sinks.statsengine.series import Series, slots_between

__all__ = ["RANKINGS", "Statistics"]


def _signed(column: np.ndarray) -> np.ndarray:
    """Return a column of unsigned 64-bit numbers as signed ones."""
    signed: np.ndarray = column.view(np.int64)
    return signed


def _total(column: np.ndarray) -> int:
    return int(column[0]) * len(column) if is_one_value(column) else int(_signed(column).sum())


class Statistics:
    """The statistics of one run: `EventIngester` and `SnapshotSource`.

    One thread ingests, any thread takes snapshots. Memory is bounded by the limits: what has no room of its own is
    added up in "(other)" rows, so that every table adds up to the totals.

    Args:
        clock: now, ns, on the clock of the rows' `time_ns`.
        wall_clock: now, seconds since the epoch.
        top: rows of each ranked table.
        files, directories, processes, lines: how many are counted one by one.
        drain_ns: calls the kernel only counted are spread over the time since the last counters, but no more than this.
    """

    columns: Final = (
        *("syscall", "family", "file", "old_file", "file_kind", "comm", "pid", "tid", "ppid", "time_ns", "latency_ns"),
        *("gap_ns", "bytes", "address_space_bytes", "ret", "is_error", "probe", "state", "first_on_tid", "stack"),
        *("peer", "socket", *MEASURED),
    )
    """Those it looks at."""

    def __init__(
        self,
        *,
        clock: Callable[[], int] = boot_clock,
        wall_clock: Callable[[], float] = time.time,
        top: int = 64,
        files: int = 1 << 17,
        directories: int = 1 << 14,
        processes: int = 2048,
        lines: int = 1 << 14,
        drain_ns: int = 1_000_000_000,
    ) -> None:
        self._clock, self._wall_clock = clock, wall_clock
        self._top = top
        self._limits = (files, directories)
        self._line_limit = lines
        self._drain_ns = drain_ns
        self._lock = Lock()
        self._version = 0
        self._counters: np.ndarray | None = None
        self._processes = Processes(processes)
        self._clear()

    def _clear(self) -> None:
        self._start = self._drained = self._clock()
        self._last = 0
        self._base = self._counters
        self._waiting = Waiting(self.columns, min(ENOUGH, self._limits[0] // 4))  # new files have room
        self._calls = Calls()
        self._files = Files(*self._limits)
        self._processes.reset()
        self._lines = Lines(self._line_limit)
        self._series = Series(len(MEASURES), SLOTS)
        self._decades = np.zeros(8, np.int64)
        self._gap_decades = np.zeros(8, np.int64)
        self._address = self._waited = 0
        self._spent = Spent()
        self._gap_total = 0
        self._gaps = 0
        self._spread = np.zeros(len(Totals._fields), np.int64)
        self._spread_calls = np.zeros(0, np.int64)

    @property
    def version(self) -> int:
        """Grows with every change; a view takes a new snapshot when it changed, or when time has passed."""
        return self._version

    # ---- EventIngester

    def reset(self, counters: np.ndarray | None = None) -> None:
        """Start again from nothing. Who is which process is kept: `8#1` stays `8#1`.

        Args:
            counters: the kernel's counters at this moment, so that nothing of before is counted. Without them the ones
                merged last are taken.
        """
        with self._lock:
            if counters is not None:
                self._counters = counters.copy()
            self._clear()
            self._version += 1

    def ingest(self, batch: EventBatch) -> None:
        """Count these rows."""
        if not len(batch):
            return
        with self._lock:
            if (enough := self._waiting.add(batch)) is not None:
                self._count(enough)
            self._version += 1

    def _catch_up(self) -> None:
        """Count the rows that wait."""
        if (batch := self._waiting.taken()) is not None:
            self._count(batch)

    def _count(self, batch: EventBatch) -> None:
        calls, times, reading = self._calls, _signed(batch["time_ns"]), Reading.of(batch)
        entries = calls.entries(reading)
        latency, (read, written) = reading.latency, reading.moved
        calls.add(reading, entries)
        self._waited += _total(waiting(batch, reading.waits))
        timed = latency if reading.timed is None else latency[reading.timed]
        self._decades += decades_of(timed)
        self._files.add(reading)
        self._lines.add(reading)
        self._processes.add(reading)
        gaps, firsts = _signed(batch["gap_ns"]), gapless(batch)
        gaps = gaps[~firsts] if firsts.any() else gaps
        self._gap_decades += decades_of(gaps)
        sums = {
            "calls": len(batch),
            "errors": len(reading.failed),
            "bytes": int(reading.bytes_by_call.sum()),
            "read": int(read.values.sum()),
            "written": int(written.values.sum()),
            "latency": int(reading.latencies.call.sum()),
            "timed": len(timed),
            "address": _total(batch["address_space_bytes"]),
            "gap": int(gaps.sum()),
            "gaps": len(gaps),
        }
        self._spent.add(reading.measured, sums["latency"], reading.slept)
        self._address += sums["address"]
        self._gap_total += sums["gap"]
        self._gaps += sums["gaps"]
        first, last = reading.span
        self._last = max(self._last, last)
        if (slot := first // SLOT_NS) == last // SLOT_NS:
            self._series.add(slot, np.array([sums[name] for name in MEASURES]))
            counts = np.zeros(calls.used, np.int64)
            np.add.at(counts, entries, reading.counts.call)
            calls.recent.add(slot, counts)
        else:
            slots = times // SLOT_NS
            calls.add_recent(reading.of_calls(entries), slots)
            self._add_to_series(reading, slots, sums)

    def _add_to_series(self, reading: Reading, slots: np.ndarray, sums: dict[str, int]) -> None:
        """Add every row to its own slot of the series."""
        batch = reading.batch
        firsts = gapless(batch)
        values: dict[str, np.ndarray | int | None] = {
            "calls": 1,
            "errors": batch.failed.astype(np.int64),
            "bytes": _signed(batch["bytes"]),
            "read": reading.moved.read.spread(len(batch)),
            "written": reading.moved.written.spread(len(batch)),
            "latency": reading.latency,
            "timed": batch.done.astype(np.int64) if len(reading.untimed) else 1,
            "address": _signed(batch["address_space_bytes"]),
            "gap": np.where(firsts, 0, _signed(batch["gap_ns"])),
            "gaps": (~firsts).astype(np.int64),
        }
        places, recent = self._series.places(slots)
        for measure, name in enumerate(MEASURES):
            value = values[name]
            if value is not None and sums[name]:
                self._series.add_many(places, recent, measure, value)

    # ---- the kernel's counters, and ends of processes

    def merge_counters(self, counters: np.ndarray) -> None:
        """Make counts, errors, bytes and times exact, also of calls that were sampled out or lost.

        Call it after a flush: what the counters know has been ingested by then, or never will be. Not for a trace whose
        rows pass a filter, of which the counters know nothing.

        Args:
            counters: the kernel's cumulative counters by syscall number: structured array with `calls`, `errors`,
                `probes`, `bytes`, `latency_ns` and `histogram` (powers of two).
        """
        now = self._clock()
        with self._lock:
            calls = self._calls
            self._counters = counters.copy()
            self._catch_up()
            unrecorded = calls.merge(counters, self._base)
            hidden = np.array(Exact(calls).hidden(), np.int64)
            known = np.zeros_like(unrecorded)
            known[: len(self._spread_calls)] = self._spread_calls
            new, new_calls = np.maximum(hidden - self._spread, 0), np.maximum(unrecorded - known, 0)
            self._spread, self._spread_calls = np.maximum(hidden, self._spread), np.maximum(unrecorded, known)
            start = max(min(self._drained, now), now - self._drain_ns)
            self._drained = now
            if new.any():
                self._spread_over(new, start, now)
                calls.spread_recent(new_calls, start, now)
            self._version += 1

    def _spread_over(self, amounts: np.ndarray, start: int, end: int) -> None:
        """Put calls known by number only evenly into an interval of the series."""
        parts = slots_between(start, end)
        whole, reached = sum(width for _, width in parts), 0
        done = np.zeros_like(amounts)
        for slot, width in parts:
            reached += width
            share = (amounts.astype(object) * reached // whole).astype(np.int64) - done
            done += share
            self._series.add(slot, share)

    def retire(self, pid: int, time_ns: int | None = None) -> None:
        """A process has ended: a later row of the same id is of another process. Unknown ids and repeats do no harm.

        Args:
            pid: its id.
            time_ns: when, on the clock of the rows: rows that began later are of another process, whatever comes first
                here. Without it the next row is.
        """
        with self._lock:
            self._catch_up()
            self._processes.retire(pid, time_ns)
            self._version += 1

    # ---- SnapshotSource

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot:
        """Return the statistics as they are now.

        Args:
            top: files, directories, processes and lines at most; the engine's own number when None.
            by: what they are ranked by, one of `RANKINGS`.

        Raises:
            ValueError: there is no such ranking.
        """
        top = self._top if top is None else max(top, 0)
        return shown(self.sheet(top=top, by=by), top=top, by=by)

    # ---- SheetSource

    def sheet(self, *, top: int | None = None, by: str = "count") -> Sheet:
        """Return the same as a sheet, which can be added up with others; the arguments as of `snapshot`."""
        if by not in RANKINGS:
            raise ValueError(f"cannot rank by {by!r}; one of {', '.join(RANKINGS)}")
        top = self._top if top is None else max(top, 0)
        with self._lock:
            self._catch_up()
            now = max(self._clock(), self._last)
            elapsed = max(now - self._start, 0)
            series, end = self._series.view(now)
            call_rows = CallRows(self._calls, now)
            file_rows = FileRows(self._files)
            process_rows = ProcessRows(self._processes)
            line_rows = LineRows(self._lines)
            latencies, gaps = self._decades.copy(), self._gap_decades.copy()
            gap_total, gap_count, address, waited = self._gap_total, self._gaps, self._address, self._waited
            fetched, parts = self._spent.fetched, dict(self._spent.parts)
        hidden, unseen = call_rows.hidden()
        processes, who = process_rows.processes(by=by, top=top)
        return Sheet(
            generated_ns=round(self._wall_clock() * 1e9),
            elapsed_ns=elapsed,
            now_ns=now,
            end=end,
            series=series,
            calls=call_rows.calls(),
            hidden=hidden,
            unseen=unseen,
            latency_decades=latencies,
            gap_decades=gaps,
            gaps=gap_count,
            gap_total=gap_total,
            address=address,
            waited=waited,
            fetched=fetched,
            parts=parts,
            files=file_rows.files(by=by, top=top),
            directories=file_rows.directories(by=by, top=top),
            processes=processes,
            lines=line_rows.lines(by=by, top=top),
            who=who,
        )
