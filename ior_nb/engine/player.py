"""What engines without a kernel share: a thread that hands out rows, at their time or at once, and keeps the books."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.contract import Ended
from ior_nb.engine.counted import COUNTER
from ior_nb.errors import SourceError
from ior_nb.real import Condition, Lock, Thread, current
from ior_nb.runtime import Accounting, EventBatch, own
from ior_nb.runtime.batch import ROWS_AT_ONCE
from ior_nb.runtime.clock import FOR_EVER
from ior_nb.runtime.completeness import COUNTED, Counters
from ior_nb.runtime.progress import reached
from ior_nb.syscalls import BY_NAME

__all__ = ["TOTALS", "Player", "sampled", "tally"]

Choice = Callable[[EventBatch], tuple[EventBatch, "np.ndarray | None"]]

TOTALS: Final = (
    "seen emitted sampled_out lost_ring lost_buffer lost_names unpaired compat unknown slots_full killed open "
    "skipped_runs filtered"
).split()
_LOOK_S: Final = 0.5
"""Seconds between two looks of who waits."""
_TICK_NS: Final = 50_000_000  # rows that are due meanwhile go out together


class _Interrupted(Exception):
    """The playback has to end here."""


class Player:
    """Runs a playback in a thread of its own.

    Args:
        name: of the thread; names that begin with `ior-` are never traced.
        clock: now, ns; rows become due on it.
    """

    def __init__(self, name: str, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.whole = 0
        """Rows of a playback, for whoever waits for its end."""
        self._name = name
        self._thread: Thread | None = None
        self._begin()

    def _begin(self) -> None:
        self._changed = Condition()  # guards the next six
        self._playing = False
        self._ending = False
        self._again = False
        self._hurry = False
        self._rushing = False
        self._reached = -1  # all rows due by then have been handed over
        self._books = Lock()  # held while rows are handed over; guards the next three
        self._totals = dict.fromkeys(TOTALS, 0)
        self._counters = np.zeros(wire.SPECS, COUNTER)
        self._exact = True  # whether the counters are those of all calls
        self._numbers = np.zeros(0, np.int64)
        self._failure: Exception | None = None
        self._on_batch: Callable[[EventBatch], None] = lambda batch: None
        self._choose: Choice | None = None

    # ---- for the engine

    def start(
        self, play: Callable[[], None], on_batch: Callable[[EventBatch], None], choose: Choice | None = None
    ) -> None:
        """Let `play` run in the thread; it calls `hand` and `pace`, and may be called anew after `restart`.

        Args:
            play: the playback.
            on_batch: takes the rows.
            choose: asked at the moment rows are handed over: which of them there are at all, and which of those become
                rows (bool, None for all); the rest is only counted.
        """
        self.end()
        self._begin()
        self._on_batch = on_batch
        self._choose = choose
        self._playing = True
        self._thread = own.OwnThread(self._run, play, name=self._name)
        self._thread.start()

    def restart(self) -> None:
        """Break the playback off, and begin it anew; nothing happens when none is on."""
        with self._changed.lock:
            self._again = True
            self._reached = -1
            self._changed.notify_all()

    def flush(self) -> dict[str, int]:
        """Wait until every row that is due by now has been handed over; return the totals.

        Raises:
            SourceError: the playback broke off.
        """
        with self._changed.lock:
            target = FOR_EVER if self._rushing else self.clock()
            self._hurry = True
            self._changed.notify_all()
        self._wait_for(lambda: self._reached >= target or not self._playing)
        if self._failure is not None:
            raise SourceError(f"cannot play on: {self._failure}") from self._failure
        with self._books:
            return dict(self._totals)

    def stop(self) -> Ended:
        """Flush, and end the thread; return the books.

        Raises:
            SourceError: the playback broke off.
        """
        try:
            self.flush()
        finally:
            self.end()
        return Ended(totals=dict(self._totals), counters=self.counters())

    def rush(self) -> None:
        """From now on every row is due, whatever its time; `flush` waits for the last one."""
        with self._changed.lock:
            self._rushing = True
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the playback; tell whether it has come."""
        return self._wait_for(lambda: self._reached >= FOR_EVER or not self._playing, timeout)

    def counters(self) -> np.ndarray:
        """Return the counters of the rows handed over and of the calls they lack; zeros where nobody knows these."""
        with self._books:
            return self._counters.copy() if self._exact else np.zeros_like(self._counters)

    def end(self) -> None:
        """End the thread at once. Idempotent."""
        with self._changed.lock:
            self._ending = True
            self._changed.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not current():
            thread.join()

    # ---- for the playback, in its thread

    def hand(self, batch: EventBatch, keep: np.ndarray | None = None) -> None:
        """Hand rows over; those `keep` (bool, shape (n,)) leaves out are only counted."""
        for at in range(0, len(batch), ROWS_AT_ONCE):
            self._go_on()
            part = batch[at : at + ROWS_AT_ONCE]
            with self._books:
                some = None if keep is None else keep[at : at + ROWS_AT_ONCE]
                if self._choose is not None:
                    part, some = self._choose(part)
                kept = part if some is None else part.take(some)
                self._count(part, kept)
                if len(kept):
                    self._on_batch(kept)

    def pace(self, batch: EventBatch, due: np.ndarray, keep: np.ndarray | None = None) -> None:
        """Hand rows over when they are due: int64, shape (n,), never falling, on the clock."""
        at = 0
        while at < len(batch):
            now = self.clock()
            to = len(batch) if self._rushing else int(np.searchsorted(due, now, side="right"))
            with self._changed.lock:
                self._check()
                self._reached = max(self._reached, int(due[at]) - 1)
                self._changed.notify_all()
                if to == at and not self._hurry:
                    self._changed.wait(min(max(int(due[at]) - now, _TICK_NS) / 1e9, 60.0))
                self._hurry = self._hurry and to > at
            if to > at:
                self.hand(batch[at:to], None if keep is None else keep[at:to])
                at = to

    def miss(self, books: Accounting, counters: Counters | None) -> None:
        """Count calls that will never be rows.

        Args:
            books: where they went, and what else is missing.
            counters: the same by system call; None where nobody knows that.
        """
        gone = {"sampled_out": books.sampled_out, "lost_ring": books.lost_total, "filtered": books.filtered}
        seen = sum(gone.values())
        gone |= {"lost_names": books.names_lost, "compat": books.compat, "unknown": books.unknown, "seen": seen}
        gone |= {"slots_full": books.threads_lost, "skipped_runs": books.skipped_runs, "unpaired": books.unpaired}
        with self._books:
            for name, count in gone.items():
                self._totals[name] += count
            self._exact = self._exact and counters is not None
            for name, row in (counters or {}).items():
                if (call := BY_NAME.get(name)) is not None:
                    for measure in COUNTED:
                        self._counters[measure][call.number] += np.uint64(row[measure])

    def numbers(self, rows: EventBatch) -> np.ndarray:
        """Return the numbers of the rows' system calls, -1 for names that are none; all rows share their tables."""
        names = rows.tables["syscall"]
        if len(self._numbers) < len(names):
            known = (BY_NAME.get(name) for name in names)
            self._numbers = np.array([call.number if call is not None else -1 for call in known], np.int64)
        found: np.ndarray = self._numbers[rows["syscall"]]
        return found

    # ---- inside

    def _wait_for(self, there: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is so; tell whether it is. A user who waits sees how far the playback has come."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = max(end - time.monotonic(), 0)
            with self._changed.lock:
                if self._changed.wait_for(there, min(left, _LOOK_S)):
                    return True
            if left <= _LOOK_S:
                return False
            reached(min(self._totals["seen"], self.whole), self.whole)

    def _run(self, play: Callable[[], None]) -> None:
        try:
            while True:
                with contextlib.suppress(_Interrupted):
                    play()
                with self._changed.lock:
                    if not (self._again or self._ending):
                        self._reached = FOR_EVER
                        self._changed.notify_all()
                        self._changed.wait_for(lambda: self._again or self._ending)
                    if self._ending:
                        return
                    self._again = False
        except Exception as error:  # it must not end in silence
            self._failure = error
        finally:
            with self._changed.lock:
                self._playing = False
                self._changed.notify_all()

    def _go_on(self) -> None:
        with self._changed.lock:
            self._check()

    def _check(self) -> None:
        if self._ending or self._again:
            raise _Interrupted

    def _count(self, rows: EventBatch, kept: EventBatch) -> None:
        """Keep the books as the kernel program does: every call counts, whether it becomes a row or not."""
        flying = rows.in_flight
        in_flight, done = int(flying.sum()), int((~kept.in_flight).sum())
        self._totals["seen"] += len(rows)
        self._totals["open"] += in_flight
        self._totals["sampled_out"] += len(rows) - in_flight - done
        self._totals["emitted"] += done
        number = self.numbers(rows)
        counted = (number >= 0) & ~flying
        if not counted.all():
            rows, number = rows.take(counted), number[counted]
        tally(self._counters, number, rows)


def tally(counters: np.ndarray, numbers: np.ndarray, rows: EventBatch) -> None:
    """Add finished calls to counters.

    Args:
        counters: by number of the system call, `COUNTER`.
        numbers: of the rows' system calls, shape (n,).
        rows: the calls.
    """
    latency = rows["latency_ns"]
    np.add.at(counters["calls"], numbers, np.uint64(1))
    np.add.at(counters["errors"], numbers, rows.failed.astype(np.uint64))
    np.add.at(counters["probes"], numbers, rows["probe"].astype(np.uint64))
    np.add.at(counters["bytes"], numbers, rows["bytes"])
    np.add.at(counters["latency_ns"], numbers, latency)
    octave = np.frexp(latency.astype(np.float64))[1] - 1
    np.add.at(counters["histogram"], (numbers, np.clip(octave, 0, wire.BUCKETS - 1)), np.uint64(1))


def sampled(numbers: np.ndarray, rates: dict[int, int], before: np.ndarray) -> np.ndarray | None:
    """Return which rows sampling keeps, None for all: of N calls the first.

    Args:
        numbers: of the system calls, shape (n,).
        rates: number -> N; 0 keeps none.
        before: the calls so far by number; what comes is added.
    """
    keep: np.ndarray | None = None
    for number, rate in rates.items():
        rows = np.flatnonzero(numbers == number) if rate != 1 else np.empty(0, np.int64)
        if len(rows):
            keep = np.ones(len(numbers), bool) if keep is None else keep
            keep[rows] = ((before[number] + np.arange(len(rows))) % rate == 0) if rate else False
            before[number] += len(rows)
    return keep
