"""The recordings every reader has to read, each with values of one kind; a new kind is a row of KINDS."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from ior_nb.export import About, export
from ior_nb.export.arrow import columns
from ior_nb.runtime.batch import EventBatch, new_tables
from ior_nb.runtime.schema import COLUMNS
from ior_nb.sinks.parquet import Recorder
from tests.sinks.parquet.test_size import workload

__all__ = ["KINDS", "TASKS", "data_set", "written"]

_ROWS: Final = 5000
_GROUP: Final = 2000
_TEXTS: Final = ("", "/a", "/ä→😀", "\udcff\ud800", "a\tb\nc\x00d", " padded ", "'\";--", "NULL", "nan", "x" * 4096)


def usual() -> EventBatch:
    """Rows as they are: the fixed generator that recordings are measured with."""
    return workload(_ROWS, 1)


def ends() -> EventBatch:
    """The least and the greatest value of every number in turn, and awkward texts."""
    turn = np.arange(_ROWS) % 3
    return _filled(lambda low, high, dtype: np.array([low, 0, high], dtype)[turn])


def wide() -> EventBatch:
    """Any value at all, so that neighbours differ as much as they can, and no dictionary is any use."""
    random = np.random.default_rng(5)
    return _filled(lambda low, high, dtype: random.integers(low, high, _ROWS, dtype=dtype, endpoint=True))


def absent() -> EventBatch:
    """Nothing applies."""
    return EventBatch({"seq": np.arange(_ROWS)}, new_tables())


def slow() -> EventBatch:
    """Times that go back by seconds, as of calls that took long and ended late."""
    random = np.random.default_rng(6)
    latency = np.exp(random.uniform(5, 26, _ROWS)).astype(np.uint64)
    end = np.uint64(10**15) + np.cumsum(random.exponential(1e6, _ROWS)).astype(np.uint64)
    return usual().with_columns(time_ns=end - latency, latency_ns=latency, gap_ns=latency[::-1])


def none() -> EventBatch:
    """No row at all."""
    return EventBatch.empty()


KINDS: Final = {f.__name__: f for f in (usual, slow, ends, wide, absent, none)}


def _filled(numbers: Callable[[int, int, np.dtype[Any]], np.ndarray]) -> EventBatch:
    tables = new_tables()
    columns: dict[str, np.ndarray] = {}
    for index, column in enumerate(COLUMNS):
        if column.text:
            codes = tables[column.name].intern_many(list(_TEXTS))
            columns[column.name] = codes[(np.arange(_ROWS) + index) % len(codes)]
        elif column.dtype == np.bool_:
            columns[column.name] = np.arange(_ROWS) % 3 == 0
        else:
            about = np.iinfo(np.dtype(column.dtype.name))
            columns[column.name] = numbers(int(about.min), int(about.max), column.dtype)
    return EventBatch(columns, tables)


TASKS: Final = sorted(map(str, [("ada", "load"), ("ada", None), ("bob", None), ("bob", None)]))
"""What a data set says of the folder that `data_set` writes."""


def data_set(folder: Path) -> Path:
    """Record two machines, of which one has tasks; return the folder."""
    folder.mkdir()
    rows = usual()[:2]
    for host, extras in (("ada", {"task": np.array(["load", None], object)}), ("bob", {})):
        mine = EventBatch(dict(rows.columns), rows.tables, extras)
        export(mine, folder / f"{host}.parquet", about=About(metadata={"ior_nb.hostname": host}))
    return folder


def written(folder: Path) -> dict[str, Path]:
    """Record all kinds; return kind -> file."""
    found = {}
    for kind, make in KINDS.items():
        recorder = Recorder(functools.partial(columns, host="ada"), group_rows=_GROUP)
        recorder.start(folder / kind, metadata={"ior_nb.hostname": "ada"}, block=True)
        recorder.record(make())
        path = recorder.stop()
        assert path is not None
        found[kind] = path
    return found
