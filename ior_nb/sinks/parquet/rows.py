"""Rows on their way to the writer: bounded in number, taken out in groups by size or age."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

from ior_nb.real import Condition
from ior_nb.runtime.batch import EventBatch

__all__ = ["RowQueue"]


class RowQueue:
    """A queue of batches between any number of producers and one writer.

    Args:
        limit: rows it holds at most.
        group_rows: rows the writer takes at once.
        seconds: how long a row may wait for its group to become whole.
        clock: seconds that never go back.
    """

    def __init__(self, limit: int, *, group_rows: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._group_rows = min(group_rows, limit)
        self._seconds = seconds
        self._clock = clock
        self._changed = Condition()  # guards all below
        self._batches: deque[tuple[EventBatch, float]] = deque()  # each with the time it came
        self._rows = 0
        self._waiting = 0  # producers that wait for room
        self._closed = False
        self._abandoned = False

    def put(self, batch: EventBatch, *, block: bool = False) -> int:
        """Take the rows of a batch, as many as there is room for; return how many there was none for.

        Args:
            batch: the rows.
            block: wait for room. Whoever waits when the queue is closed gets in; when it is abandoned, nobody does.
        """
        with self._changed.lock:
            if self._closed:
                return len(batch)
            while True:
                room = self._room()
                if len(batch) <= room:
                    self._add(batch)
                    return 0
                self._add(batch[:room])
                batch = batch[room:]
                if not block or self._abandoned:
                    return len(batch)
                self._wait_for_room()

    def get(self) -> list[EventBatch]:
        """Wait until a group is whole or due, and return its rows; none when the queue is closed and empty."""
        with self._changed.lock:
            while not self._ready():
                due = self._batches[0][1] + self._seconds - self._clock() if self._batches else None
                self._changed.wait(due)
            parts: list[EventBatch] = []
            wanted = self._group_rows
            while self._batches and wanted:
                batch, since = self._batches.popleft()
                if len(batch) > wanted:
                    self._batches.appendleft((batch[wanted:], since))
                    batch = batch[:wanted]
                parts.append(batch)
                wanted -= len(batch)
                self._rows -= len(batch)
            self._changed.notify_all()
        return parts

    def close(self) -> None:
        """Take no more rows but those of producers that wait already."""
        with self._changed.lock:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> int:
        """Close, and throw the rows away; return how many."""
        with self._changed.lock:
            rows = self._rows
            self._batches.clear()
            self._rows = 0
            self._closed = self._abandoned = True
            self._changed.notify_all()
            return rows

    def _ready(self) -> bool:
        if self._rows >= self._group_rows or (self._closed and not self._waiting):
            return True
        return bool(self._batches) and self._clock() - self._batches[0][1] >= self._seconds

    def _room(self) -> int:
        if self._abandoned:
            return 0
        return sys.maxsize if self._closed else self._limit - self._rows

    def _wait_for_room(self) -> None:
        self._waiting += 1
        try:
            self._changed.wait()
        finally:
            self._waiting -= 1
            if self._closed:  # the writer may be waiting for the last of us
                self._changed.notify_all()

    def _add(self, batch: EventBatch) -> None:
        if len(batch):
            self._batches.append((batch, self._clock()))
            self._rows += len(batch)
            # The writer wakes by itself when its oldest row is due.
            if len(self._batches) == 1 or self._ready():
                self._changed.notify_all()
