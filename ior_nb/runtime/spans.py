"""`Spans`: what threads were busy with, as texts, so that a row finds its text by thread and time.

Whoever knows what a thread does says so as it happens or later: labels, tasks of a cluster. Rows ask by the batch, and
what they get are codes of texts: one look-up a thread, and no step of Python a row.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

import numpy as np

from ior_nb.runtime.clock import FOR_EVER
from ior_nb.runtime.strings import StringTable

__all__ = ["Spans"]


class _Changes:
    """Of one thread: from each time on it has the code beside it, until the next."""

    __slots__ = ("codes", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.codes = array("i")

    def put(self, begin: int, end: int, code: int) -> None:
        times, codes = self.times, self.codes
        if end >= FOR_EVER and (not times or begin > times[-1]):  # as it happens
            times.append(begin)
            codes.append(code)
            return
        first = bisect_left(times, begin)
        if end >= FOR_EVER:
            times[first:], codes[first:] = array("q", [begin]), array("i", [code])
        else:
            last = bisect_right(times, end)
            after = codes[last - 1] if last else 0
            times[first:last], codes[first:last] = array("q", [begin, end]), array("i", [code, after])

    def of(self, times: np.ndarray) -> np.ndarray:
        """Return the codes at these times, int32, shape (n,); 0 before the first. Looks at what they span alone."""
        first = max(bisect_right(self.times, int(times.min())) - 1, 0)
        last = bisect_right(self.times, int(times.max()))
        codes = np.zeros(last - first + 1, np.int32)
        codes[1:] = self.codes[first:last]
        return codes.take(np.searchsorted(np.array(self.times[first:last], np.int64), times, side="right"))


class Spans:
    """Texts of threads by time. Adding and asking are one thread's at a time.

    Attributes:
        texts: what the codes mean; 0 is the empty text, where a thread has none.
    """

    def __init__(self) -> None:
        self.texts = StringTable()
        self._threads: dict[int, _Changes] = {}

    def __bool__(self) -> bool:
        return bool(self._threads)

    def __len__(self) -> int:
        """Return the number of changes known."""
        return sum(len(changes.times) for changes in self._threads.values())

    def add(self, thread: int, begin: int, end: int, text: str) -> None:
        """A thread has a text from `begin` on and before `end` (boot clock, ns), whatever was said of that time before.

        Args:
            thread: its number, as the column `tid` has it.
            begin: first nanosecond.
            end: the one behind the last; FOR_EVER where it has not ended yet: the next text of the thread ends it.
            text: empty for none.
        """
        if begin < end:
            changes = self._threads.get(thread)
            if changes is None:
                changes = self._threads[thread] = _Changes()
            changes.put(begin, end, self.texts.intern(text))

    def of(self, threads: np.ndarray, times: np.ndarray) -> np.ndarray | None:
        """Return the code of each row's text, int32, shape (n,). None where no row has one.

        Args:
            threads: the column `tid`.
            times: the column `time_ns`: a call is what its thread was busy with when it began.
        """
        if not self._threads or not len(threads):
            return None
        low, high = int(threads.min()), int(threads.max())
        if low == high:
            known = self._threads.get(low)
            codes = known.of(times.astype(np.int64)) if known is not None else None
            return codes if codes is not None and codes.any() else None
        rows = np.flatnonzero(np.isin(threads, np.fromiter(self._threads, np.int64, len(self._threads))))
        if not len(rows):
            return None
        rows = rows[np.argsort(threads[rows], kind="stable")]
        mine, at = threads[rows], times[rows].astype(np.int64)
        begins = np.flatnonzero(np.diff(mine, prepend=mine[0] + 1))
        codes = np.zeros(len(threads), np.int32)
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(rows)], strict=True):
            codes[rows[begin:end]] = self._threads[int(mine[begin])].of(at[begin:end])
        return codes if codes.any() else None

    def since(self, thread: int, begin: int, text: str) -> None:
        """A thread has a text from `begin` on, until it is given another: see `add`."""
        self.add(thread, begin, FOR_EVER, text)

    def end(self, thread: int, when: int) -> None:
        """A thread ended: nobody who is given its number later has its last text."""
        changes = self._threads.get(thread)
        if changes is not None and changes.times[-1] < when:
            changes.put(when, FOR_EVER, 0)
