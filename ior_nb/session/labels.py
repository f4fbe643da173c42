"""`Labels`: the labels that the processes of this user write down, joined with the rows of a trace.

See `runtime.labellog`: whatever stands in a row has been written before its call began, so a look at every batch is
early enough.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch, StringTable, labellog
from ior_nb.runtime.batch import distinct
from ior_nb.runtime.spans import Spans

__all__ = ["Labels"]

_HALF: Final = 32
_OVERLAP: Final = "of several coroutines, or shared ones of several threads, at once: rows of one may have another's"
_File = tuple[int, int, int, Path]
_when: Final = itemgetter(0)
_TICK_NS: Final = 50_000_000
"""File systems keep times by the tick of the kernel, which is 10 ms at most: what is younger may hide a change."""


class Labels:
    """Labels of the processes that rows are of, from `begin` to `end`. One thread stamps."""

    def __init__(self) -> None:
        self._mark: Path | None = None  # beside what is read
        self._folder = ""
        self._failure = ""
        self._files: list[_File] = []
        self._changed = self._listed = 0  # wall clock
        self._readers: dict[Path, labellog.Reader] = {}
        self._gone: set[Path] = set()  # of processes that had ended before
        self._coming: list[tuple[int, int, labellog.Change | None]] = []  # later than all rows so far; None: it ended
        self._threads, self._shared = Spans(), Spans()  # the latter by process
        self._of: dict[int, set[int]] = {}  # threads of processes
        self._parents: dict[int, int] = {}
        self._dead: set[int] = set()

    def begin(self) -> None:
        """Have what is written kept until it has been read."""
        try:
            self._mark = labellog.mark()
            self._folder = str(self._mark.parent)
            there = labellog.files(self._mark.parent)
            self._gone = {path for process, began, _, path in there if not labellog.lives(process, began)}
        except OSError as error:
            self._failure = f"rows have no labels: {error.strerror}: {error.filename}"

    def end(self) -> None:
        """It need not be kept any more. Idempotent."""
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)
        self._mark = None

    def notes(self) -> tuple[str, ...]:
        """Return what rows lack, if anything."""
        full = sorted({int(path.name.split("-")[0]) for path, reader in self._readers.items() if reader.full})
        found = [f"process {pid} has more labels than are kept: its later rows have none" for pid in full]
        mixed = sorted({int(path.name.split("-")[0]) for path, reader in self._readers.items() if reader.overlap})
        found += [f"process {pid} had labels {_OVERLAP}" for pid in mixed]
        return (*found, *filter(None, [self._failure]))

    def stamp(self, batch: EventBatch, deaths: list[tuple[int, int]]) -> EventBatch:
        """Return the rows with their labels: what their threads were called when the calls began.

        Args:
            batch: rows.
            deaths: process and time of those that have ended meanwhile: numbers are given again.
        """
        present = self._present()
        processes = _values(batch["pid"]) if present or self._coming or self._shared else []
        if present:
            self._look(batch, processes, present, dict(sorted(deaths)))
        if not self._coming and not self._threads and not self._shared:
            return batch
        self._dead.update(process for process, _ in deaths)
        self._coming += [(when, process, None) for process, when in deaths]
        if not len(batch):
            return batch
        times, table = batch["time_ns"], batch.tables["label"]
        self._go_on(int(times.max()))
        found: np.ndarray | None = None
        if self._shared:
            found = self._of_ancestors(batch["pid"], processes, times, table)
        codes = self._threads.of(batch["tid"], times)
        if codes is not None:
            found = _below(table, found, _coded(table, self._threads.texts, codes))
        return batch if found is None else batch.with_columns(label=found)

    def _look(self, batch: EventBatch, processes: list[int], present: list[_File], dead: dict[int, int]) -> None:
        """Read what is new of the processes that rows are of, and of those that have ended; their files can go."""
        self._know_parents(batch, processes)
        wanted = {known for process in processes for known in self._line(process)} | dead.keys()
        for process, _, _, path in present:
            if process in wanted and path not in self._gone:
                reader = self._readers.get(path) or self._readers.setdefault(path, labellog.Reader(path))
                self._coming += [(change.time_ns, process, change) for change in reader.news()]
        assert self._mark is not None
        done = [path for process, began, _, path in present if began < dead.get(process, 0)]
        if done and not labellog.is_traced(self._mark.parent, self._mark.name):
            for path in done:
                path.unlink(missing_ok=True)

    def _present(self) -> list[_File]:
        """Return the files there are; the folder is listed where it may have changed since the last look."""
        if self._mark is None:
            return []
        changed = os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - for every batch, and a path takes thrice as long
        if changed != self._changed or changed >= self._listed - _TICK_NS:
            self._changed, self._listed = changed, time.time_ns()
            self._files = list(labellog.files(self._mark.parent))
        return self._files

    def _know_parents(self, batch: EventBatch, processes: list[int]) -> None:
        """Learn the parents of processes from their first rows: later their parents may have ended."""
        pids, parents = batch["pid"], batch["ppid"]
        for process in processes:
            if process not in self._parents or process in self._dead:
                self._parents[process] = int(parents[np.argmax(pids == process)])
                self._dead.discard(process)

    def _go_on(self, until: int) -> None:
        """Take in what was said, and who ended, up to that time, in this order: who has a number later is another."""
        self._coming.sort(key=_when)
        count = bisect_right(self._coming, until, key=_when)
        for when, process, change in self._coming[:count]:
            if change is None:
                for thread in self._of.pop(process, ()):
                    self._threads.end(thread, when)
                self._shared.end(process, when)
            elif change.thread:
                self._threads.since(change.thread, when, change.text)
                self._of.setdefault(process, set()).add(change.thread)
            else:
                self._shared.since(process, when, change.text)
        del self._coming[:count]

    def _line(self, process: int) -> list[int]:
        """Return a process and its ancestors, as far as rows have told them; itself first."""
        found = [process]
        while (parent := self._parents.get(found[-1], 0)) and parent not in found:
            found.append(parent)
        return found

    def _of_ancestors(
        self, pids: np.ndarray, processes: list[int], times: np.ndarray, table: StringTable
    ) -> np.ndarray | None:
        """Return what the rows have from the shared labels of their processes and those above, outermost first."""
        result: np.ndarray | None = None
        lines = {process: self._line(process)[::-1] for process in processes}
        for level in range(max(map(len, lines.values()))):
            above = np.zeros(len(pids), np.int64)
            for process, line in lines.items():
                if level < len(line):
                    above[pids == process] = line[level]
            codes = self._shared.of(above, times)
            if codes is not None:
                result = _below(table, result, _coded(table, self._shared.texts, codes))
        return result


def _values(column: np.ndarray) -> list[int]:
    """Return the distinct values of a column of numbers; those of processes lie close together."""
    if not len(column):
        return []
    low = int(column.min())
    values: list[int] = (distinct(column - low, int(column.max()) - low + 1)[0] + low).tolist()
    return values


def _coded(table: StringTable, texts: StringTable, codes: np.ndarray) -> np.ndarray:
    """Return codes of one table as those of another."""
    used, at = distinct(codes, len(texts))
    return table.intern_many(texts.at(used)).take(at)


def _below(table: StringTable, outer: np.ndarray | None, inner: np.ndarray) -> np.ndarray:
    """Return the codes of the inner texts below the outer ones, where there are both."""
    if outer is None:
        return inner
    result = np.where(inner != 0, inner, outer)
    both = np.flatnonzero((inner != 0) & (outer != 0))
    if len(both):
        keys, at = np.unique(outer[both].astype(np.int64) << _HALF | inner[both], return_inverse=True)
        texts = [f"{table[key >> _HALF]}/{table[key & (1 << _HALF) - 1]}" for key in keys.tolist()]
        result[both] = table.intern_many(texts)[at]
    return result
