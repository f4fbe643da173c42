"""Recordings to look at, and what a recorder is given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ior_nb.export.arrow import Columns, columns
from ior_nb.runtime.batch import EventBatch, new_tables
from ior_nb.sinks.parquet import Recorder

REFERENCE_COLUMNS = [
    ("seq", pa.uint64()),
    ("time_ns", pa.uint64()),
    ("gap_ns", pa.uint64()),
    ("latency_ns", pa.uint64()),
    ("comm", pa.string()),
    ("pid", pa.uint32()),
    ("tid", pa.uint32()),
    ("syscall", pa.string()),
    ("family", pa.string()),
    ("fd", pa.int32()),
    ("ret", pa.int64()),
    ("bytes", pa.uint64()),
    ("address_space_bytes", pa.uint64()),
    ("requested_sleep_ns", pa.int64()),
    ("nfds", pa.int32()),
    ("timeout_ns", pa.int64()),
    ("file", pa.string()),
    ("is_error", pa.bool_()),
    ("filter_epoch", pa.uint64()),
    ("old_file", pa.string()),
    ("epoll_op", pa.string()),
    ("epoll_target_fd", pa.int32()),
    ("epoll_events", pa.uint32()),
]
TABLES = new_tables()
RANDOM = np.random.default_rng(7)


def events(count: int, first: int = 0) -> EventBatch:
    """Return rows numbered from `first`, each with a file name that tells its number."""
    seq = np.arange(first, first + count, dtype=np.uint64)
    return EventBatch(
        {
            "seq": seq,
            "time_ns": 10**15 + seq * np.uint64(1009),
            "latency_ns": RANDOM.integers(0, 2**60, count, dtype=np.uint64),
            "ret": -seq.astype(np.int64),
            "is_error": seq % 2 == 1,
            "file": TABLES["file"].intern_many([f"/file/{i}" for i in seq.tolist()]),
            "syscall": TABLES["syscall"].intern_many(["read"] * count),
        },
        TABLES,
    )


def numbers(table: pa.Table) -> list[int]:
    """Return the row numbers of a table, after a look at the text that goes with them."""
    seq: list[int] = table["seq"].to_pylist()
    assert table["file"].to_pylist() == [f"/file/{i}" for i in seq]
    return seq


def names(directory: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return sorted(path.name for path in directory.iterdir())


class Gate:
    """A conversion that waits until it is let through, and remembers what came."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, batches: Sequence[EventBatch]) -> Columns:
        if batches:
            self.sizes.append(sum(map(len, batches)))
            self.entered.set()
            assert self.open.wait(30)
        return columns(batches)


def failing(after: int, error: Exception) -> Callable[[Sequence[EventBatch]], Columns]:
    """Return a conversion that raises once it has done `after` groups."""
    done = 0

    def convert(batches: Sequence[EventBatch]) -> Columns:
        nonlocal done
        if batches:
            if done == after:
                raise error
            done += 1
        return columns(batches)

    return convert


def running(recorder: Recorder) -> Any:
    """Return the inside of the recording."""
    assert recorder._recording is not None
    return recorder._recording


def record(path: str | Path, *batches: EventBatch, group_rows: int = 1000, generated: bool = False) -> Path:
    """Make a recording of some batches."""
    recorder = Recorder(columns, group_rows=group_rows)
    recorder.start(path, metadata={"ior.hostname": "here"}, generated=generated)
    for batch in batches:
        recorder.record(batch)
    published = recorder.stop()
    assert published is not None
    return published
