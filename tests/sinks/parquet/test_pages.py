"""The columns that are not written by pyarrow, as pyarrow reads them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ior_nb.sinks.parquet import link
from tests.sinks.parquet.recordings import RANDOM

ROWS = (1, 2, 7, 8, 9, 255, 1000, 20_001)
SPREADS = {"one": 1, "two": 2, "byte": 256, "more": 257, "table": 3_000, "many": 1 << 30}


def rows_of(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Return columns none of which is nullable."""
    schema = pa.schema([pa.field(name, values.type, nullable=False) for name, values in columns.items()])
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def read(rows: pa.RecordBatch) -> tuple[pa.Table, pq.FileMetaData]:
    """Write rows and read them."""
    file = pq.ParquetFile(pa.BufferReader(b"".join(link(rows).parts)), page_checksum_verification=True)
    return file.read(), file.metadata


def texts(codes: np.ndarray, words: list[str]) -> pa.Array:
    """Return a column of text."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words, pa.string()))


@pytest.mark.parametrize("count", ROWS)
@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_numbers_come_back(dtype: type[np.integer], count: int) -> None:
    """Numbers of any type and number are the same when read, whether few of them differ or all, near both ends."""
    about = np.iinfo(dtype)
    columns: dict[str, pa.Array] = {}
    for spread, width in SPREADS.items():
        some = RANDOM.integers(0, width, count).astype(dtype)
        columns |= {f"{spread}, low": pa.array(some + about.min), f"{spread}, high": pa.array(about.max - some)}
    few = RANDOM.integers(about.min, about.max, 30, dtype=dtype)
    rows = rows_of(columns | {"far": pa.array(few[RANDOM.integers(0, len(few), count)])})

    assert read(rows)[0].to_pydict() == rows.to_pydict()


@pytest.mark.parametrize("count", ROWS)
def test_texts_and_truths_come_back(count: int) -> None:
    """So are texts, also empty and long ones, and booleans; columns of one text each have their own."""
    words = [f"/{i}" * (i % 40) for i in range(300)]
    rows = rows_of(
        {
            "a": texts(np.zeros(count), ["a"]),
            "b": texts(np.zeros(count), ["b"]),
            "two": texts(np.arange(count) % 2, ["", "ä→😀"]),
            "many": texts(RANDOM.integers(0, len(words), count), words),
            "true": pa.array(np.ones(count, bool)),
            "some": pa.array(RANDOM.random(count) < 0.5),
        }
    )

    assert read(rows)[0].to_pydict() == rows.to_pydict()


def test_rows_of_a_slice_are_those_of_the_slice() -> None:
    """Rows that are part of others are written alone."""
    rows = rows_of(
        {
            "number": pa.array(np.arange(1000)),
            "text": texts(np.arange(1000) % 3, ["a", "b", "c"]),
            "truth": pa.array(np.arange(1000) % 3 == 0),
        }
    )

    assert read(rows[13:400])[0].to_pydict() == rows[13:400].to_pydict()


def test_what_is_not_ours_is_written_too() -> None:
    """Nulls, floats, times and text without a dictionary are between our columns, and come back."""
    columns = {
        "ours": pa.array([1, 2, 3]),
        "may be null": pa.array([1, 2, 3]),
        "null": pa.array([1, None, 3]),
        "float": pa.array([0.5, float("inf"), -1.0]),
        "time": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
        "bare": pa.array(["a", "", "c"]),
        "none": pa.array(["a", None, "c"]).dictionary_encode(),
        "small": pa.array([1, 2, 3], pa.int8()),
        "lists": pa.array([[1, 2], [], None]),
        "fields": pa.array([{"a": 1, "b": "x"}, {"a": 2, "b": None}, None]),
        "last": pa.array([True, False, True]),
    }
    ours = {"ours", "last"}
    schema = pa.schema([pa.field(name, values.type, nullable=name not in ours) for name, values in columns.items()])
    rows = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)

    assert read(rows)[0].to_pydict() == rows.to_pydict()


def test_columns_lie_in_the_order_of_the_schema() -> None:
    """Whoever wrote a column: Spark shares out row groups by the place of the first one, and loses rows otherwise."""
    rows = rows_of({"seq": pa.array([1, 5, 7]), "ours": pa.array([1, 2, 3]), "time_ns": pa.array([1, 3, 9])})
    group = read(rows)[1].row_group(0)
    columns = [group.column(i) for i in range(3)]
    begins = [c.dictionary_page_offset if c.has_dictionary_page else c.data_page_offset for c in columns]

    assert begins == [4 + sum(c.total_compressed_size for c in columns[:i]) for i in range(3)]


def test_statistics_are_those_of_the_rows() -> None:
    """The least and the greatest value are in the footer, by the order of the type."""
    about = read(
        rows_of(
            {
                "latency_ns": pa.array([1 << 63, 5, 9], pa.uint64()),
                "old_offset": pa.array([-1, 5, 9]),
                "is_error": pa.array([False, True, True]),
                "state": texts(np.zeros(3), ["done"]),
                "cell": pa.array([3, 3, 3], pa.int32()),
            }
        )
    )[1].row_group(0)
    told = [about.column(i).statistics for i in range(about.num_columns)]

    assert [(s.min, s.max) for s in told] == [(5, 1 << 63), (-1, 9), (False, True), ("done", "done"), (3, 3)]
    assert {s.null_count for s in told} == {0}
