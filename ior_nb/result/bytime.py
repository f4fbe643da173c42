"""Rows in the order in which their calls began, of any number, in memory for few of them.

Rows are sorted a run at a time, and the runs put aside on the disk in blocks, each by itself. Then blocks are read in
the order of their first rows: what is earlier than the first row of all that are still to come is in its place. So
memory is needed for a block of each run that overlaps in time with the others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ior_nb.export.arrow import event_batch, record_batch
from ior_nb.runtime import EventBatch, new_tables, progress
from ior_nb.runtime.batch import MOST_STRINGS, renewed
from ior_nb.runtime.rows import grouped

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["by_time"]

_RUN: Final = 1 << 19
_BLOCK: Final = 1 << 13


class _Block(NamedTuple):
    first: int
    """When its first call began."""
    number: int
    begin: int
    length: int
    rows: int


def by_time(
    batches: Iterable[EventBatch], wanted: pa.Schema, folder: Path, *, run: int = _RUN, block: int = _BLOCK
) -> Iterator[EventBatch]:
    """Yield rows by time, and where that is equal by their numbers.

    Args:
        batches: the rows.
        wanted: their Arrow schema.
        folder: where there is room for them, about four times what their recording takes.
        run: rows that are sorted at once.
        block: rows that are read at once of a run.

    Raises:
        OSError: there is no room.
    """
    runs = grouped(batches, run)
    first = next(runs, None)
    if first is None:
        return
    second = next(runs, None)
    if second is None:
        yield _sorted(first)
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        blocks: list[_Block] = []
        for rows in (first, second):
            _put(file.fileno(), _sorted(rows), wanted, blocks, block)
        del first, second, rows
        for rows in runs:
            _put(file.fileno(), _sorted(rows), wanted, blocks, block)
        yield from _merged(file.fileno(), sorted(blocks))


def _sorted(rows: EventBatch) -> EventBatch:
    return rows.take(np.lexsort((rows["seq"], rows["time_ns"])))


def _put(fd: int, rows: EventBatch, wanted: pa.Schema, blocks: list[_Block], size: int) -> None:
    """Write a run behind the others."""
    import pyarrow as pa

    options = pa.ipc.IpcWriteOptions(compression="lz4")
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, wanted, options=options) as stream:
            stream.write_batch(record_batch(part, wanted=wanted))
        data = memoryview(sink.getvalue())
        begin = blocks[-1].begin + blocks[-1].length if blocks else 0
        blocks.append(_Block(int(part["time_ns"][0]), len(blocks), begin, len(data), len(part)))
        while data:
            written = os.pwrite(fd, data, begin)
            data, begin = data[written:], begin + written


def _merged(fd: int, blocks: list[_Block]) -> Iterator[EventBatch]:
    import pyarrow as pa

    tables = new_tables()
    waiting: list[EventBatch] = []
    fresh = 0
    later = [*(np.uint64(block.first) for block in blocks[1:]), None]
    for block, limit in zip(progress.over(blocks, lambda block: block.rows), later, strict=True):
        tables = dict(renewed(tables, MOST_STRINGS))
        data = os.pread(fd, block.length, block.begin)
        waiting.append(event_batch(pa.ipc.open_stream(data).read_all(), tables))
        fresh += block.rows
        if limit is not None and fresh < _RUN // 2:
            continue
        fresh = 0
        rows = _sorted(EventBatch.concat(waiting))
        ready = len(rows) if limit is None else int(np.searchsorted(rows["time_ns"], limit))
        waiting = [rows[ready:]]
        if ready:
            yield rows[:ready]
