"""The live stream: the last rows in a ring, and the one numbering of rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from ior_nb.real import Lock
from ior_nb.runtime import EventBatch, Filter, Row, StreamTail, StringTable, new_tables

__all__ = ["Passing", "RingBuffer", "Row", "Sequencer", "warning", "without_warnings"]


class Sequencer:
    """Row numbers that only grow, over all traces of a session. The first is `start` + 1. Thread-safe."""

    def __init__(self, start: int = 0) -> None:
        self._last = start
        self._lock = Lock()

    def reserve(self, count: int) -> int:
        """Reserve `count` numbers in a row; return the first. With 0 that is the number of the next row to come.

        Raises:
            ValueError: a count below 0.
        """
        if count < 0:
            raise ValueError(f"cannot number {count} rows")
        with self._lock:
            first = self._last + 1
            self._last += count
            return first


class RingBuffer:
    """The last `capacity` rows. Any thread may push and read; of a batch larger than the ring its end stays.

    Attributes:
        total_pushed: rows ever pushed, overwritten ones included.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise ValueError(f"a ring of {capacity} rows holds nothing; give at least 1")
        self.capacity = capacity
        self.total_pushed = 0
        self._batches: deque[EventBatch] = deque()
        self._rows = 0  # of the batches: the first ones may have been overwritten
        self._lock = Lock()

    def __len__(self) -> int:
        return min(self._rows, self.capacity)

    def push(self, batch: EventBatch) -> None:
        """Append rows; the oldest make room. A row costs nothing: the ring keeps the batches and copies none."""
        if not len(batch):
            return
        with self._lock:
            self.total_pushed += len(batch)
            self._batches.append(batch)
            self._rows += len(batch)
            while self._rows - len(self._batches[0]) >= self.capacity:
                self._rows -= len(self._batches.popleft())

    @property
    def warning_count(self) -> int:
        """How many of the rows held now are warnings."""
        with self._lock:
            gone = self._rows - len(self)
            flags = [_is_warning(batch) for batch in self._batches]
        return sum(int(flag[gone if at == 0 else 0 :].sum()) for at, flag in enumerate(flags))

    def snapshot(self) -> EventBatch:
        """Return the rows, oldest first, as one batch nobody else changes."""
        return self.tail(-1)[0]

    def tail(self, after: int) -> tuple[EventBatch, int]:
        """Return the rows pushed after the first `after` ones, as far as they are still held; and `total_pushed`.

        A total smaller than `after` says that the ring was reset: all rows are returned then.
        """
        with self._lock:
            pushed = self.total_pushed
            wanted = len(self) if after < 0 or after > pushed else min(len(self), pushed - after)
            batches: list[EventBatch] = []
            for batch in reversed(self._batches):
                if wanted <= 0:
                    break
                batches.append(batch if wanted >= len(batch) else batch[-wanted:])
                wanted -= len(batches[-1])
        return EventBatch.concat(batches[::-1]), pushed

    def reset(self) -> None:
        """Drop the rows and the counter."""
        with self._lock:
            self._batches.clear()
            self._rows = 0
            self.total_pushed = 0


class Passing:
    """The rows of a stream that a filter accepts, from a sequence number on; warnings are never hidden."""

    def __init__(self, stream: StreamTail, wanted: Filter | None = None, first: int = 0) -> None:
        self._stream, self._wanted, self._first = stream, wanted or Filter(), first

    def __len__(self) -> int:
        return len(self.snapshot())

    def snapshot(self) -> EventBatch:
        """Return the rows, oldest first."""
        return self.tail(-1)[0]

    def tail(self, after: int) -> tuple[EventBatch, int]:
        """Return those of the rows pushed after the first `after` ones, and how many were ever pushed."""
        rows, pushed = self._stream.tail(after)
        if len(rows):
            keep = rows["seq"] >= self._first
            if self._wanted.active:
                keep &= self._wanted.mask(rows)
            keep |= _is_warning(rows)
            rows = rows if keep.all() else rows.take(keep)
        return rows, pushed


def without_warnings(rows: EventBatch) -> EventBatch:
    """Return the rows that are calls: what is saved."""
    warnings = _is_warning(rows)
    return rows.take(~warnings) if warnings.any() else rows


def warning(text: str, time_ns: int, tables: Mapping[str, StringTable] | None = None) -> EventBatch:
    """Return a warning: one row of state `warning`, its text in `file`. Shown in the stream, never saved."""
    tables = tables if tables is not None else new_tables()
    words = {"comm": "ior", "syscall": "warning", "family": "Misc", "file": text, "state": "warning"}
    columns = {name: tables[name].intern_many([word]) for name, word in words.items()}
    columns |= {"time_ns": np.array([time_ns], np.uint64), "ret": np.array([-1]), "is_error": np.array([True])}
    return EventBatch(columns, tables)


def _is_warning(batch: EventBatch) -> np.ndarray:
    code = batch.tables["state"].code("warning")
    result: np.ndarray = batch["state"] == (-1 if code is None else code)
    return result
