"""One group per file, and per directory."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.asked import ASKED, PLACES, Asked, amplification, moving
from ior_nb.aggregate.columns import Columns, by_bytes, objects
from ior_nb.aggregate.groups import ByText, Numbers
from ior_nb.aggregate.rows import credited_rows
from ior_nb.aggregate.spent import MEASURED
from ior_nb.aggregate.sums import SUMMED, Measures, Sums, averaged, measured, together
from ior_nb.aggregate.unrecorded import as_group
from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.index import HALF, pairs
from ior_nb.runtime.rows import Rows, pieces

__all__ = ["CREDITED", "directories", "directory_of", "files"]

_ALL_ROWS: Final[Counters] = {}
_NOBODY: Final = np.zeros(0, np.intp)
_PLACES: Final = 3
"""Lines that opened a file that are named."""
CREDITED: Final = ("file", "old_file", "syscall")
"""The columns of `credited_rows`."""


def files(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per file, most bytes first; calls without a file have the empty name.

    A transfer between two descriptors is a call on its destination; the bytes read are credited to its source.
    """
    groups, measures, asked, openers = ByText("file"), Measures(), Asked(), _Openers()
    sources = [np.zeros(0, np.intp)]
    for piece in pieces(rows):
        batch = piece.read(*dict.fromkeys((*CREDITED, *SUMMED, *ASKED, "opened_at")))
        at, read_from, given = groups.of(batch), None, _NOBODY
        credited = credited_rows(batch) if batch["old_file"].any() else _NOBODY
        if len(credited):
            read_from = at.copy()
            read_from[credited] = groups.coded(batch, batch["old_file"][credited])
            given = read_from[credited]
            sources.append(np.unique(given))
        measures.add(batch, at, len(groups), credited=read_from)
        if moving(batch):
            asked.add(batch, piece.read(*PLACES), at, len(groups), credited, given)
        openers.add(batch, at)
    found = np.union1d(np.flatnonzero(measures.sums.columns["calls"]), np.concatenate(sources))
    columns: Columns = {"file": groups.names(found), **measured(measures, found)}
    columns |= asked.columns(found)
    columns["opened_at"] = openers.of(found, len(groups))
    columns["amplification"] = amplification(
        np.where(columns["fetched_bytes"] < 0, -1, columns["fetched_bytes"] - columns.pop("fetched_by_faults")),
        columns["bytes_read"] - columns["faulted_bytes"] - columns["reread_bytes"],
    )
    return averaged(as_group(by_bytes(columns), "file", unrecorded))


class _Openers:
    """The lines that opened files."""

    def __init__(self) -> None:
        self._lines, self._numbers, self._keys = Recoder(), Numbers(), [np.zeros(0, np.uint64)]
        self._calls = Sums(("calls",))

    def add(self, batch: EventBatch, at: np.ndarray) -> None:
        """Take in rows and the number of the file of each."""
        rows = np.flatnonzero(batch["opened_at"])
        keys = pairs(at[rows], self._lines.codes(batch["opened_at"][rows], batch.tables["opened_at"]))
        numbers, first = self._numbers.of(keys)
        self._keys.append(keys.take(first))
        self._calls.grow(len(self._numbers))
        self._calls.count("calls", numbers)

    def of(self, which: np.ndarray, size: int) -> np.ndarray:
        """Return for files below `size` the lines of most calls; `_PLACES` of them, then how many more."""
        found = np.full(size, "", object)
        keys = np.concatenate(self._keys)
        files, lines = (keys >> HALF).astype(np.int64), keys.astype(np.uint32)
        order = np.lexsort((lines, -self._calls.columns["calls"][: len(keys)], files))
        there, begins, sizes = np.unique(files[order], return_index=True, return_counts=True)
        for file, begin, count in zip(there.tolist(), begins.tolist(), sizes.tolist(), strict=True):
            shown = self._lines.own.at(lines[order[begin : begin + min(count, _PLACES)]])
            found[file] = ", ".join([*shown, *([f"{count - _PLACES:,} more"] if count > _PLACES else [])])
        return np.asarray(found[which])


def directory_of(file: str) -> str:
    """Return the text before the last slash; `/` for top-level entries, `.` for names without one, empty for none."""
    head, slash, _ = file.rpartition("/")
    return (head or "/") if slash else "." if file else ""


def directories(by_file: Columns, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per directory, most bytes first; calls without a file have the empty name.

    Args:
        by_file: `files`, with the same missing calls.
        unrecorded: these, which are the last group of files, and of directories.
    """
    if unrecorded:
        by_file = {name: values[:-1] for name, values in by_file.items()}
    numbers: dict[str, int] = {}
    at = np.array([numbers.setdefault(directory_of(f), len(numbers)) for f in by_file["file"]], np.intp)
    shown = ("calls", "errors", "probes", "bytes_read", "bytes_written", "time_ns", "reread_bytes", "faulted_bytes")
    of_files = {"files": np.ones(len(at), np.int64), **{name: by_file[name] for name in (*shown, "max_ns", *MEASURED)}}
    columns: Columns = {"directory": objects(list(numbers)), **together(of_files, at, len(numbers))}
    return as_group(by_bytes(columns), "directory", unrecorded)
