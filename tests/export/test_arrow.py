"""Arrow tables and DataFrames from event batches, and event batches from Arrow tables."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.errors import ConfigError
from ior_nb.export.arrow import columns, compact, event_batch, record_batch, schema, table
from ior_nb.export.frame import told
from ior_nb.export.pandas import dataframe
from ior_nb.runtime.batch import EventBatch, new_tables
from ior_nb.runtime.schema import COLUMNS, NAMES, TEXT_COLUMNS
from ior_nb.runtime.strings import StringTable

HOSTILE = ["", "a\0b", "line\nbreak", "\x1b[31m", "<script>", "ä→😀", "\\xff", "\udcff", "\ud800x", "%s{}"]


def events(files: Sequence[str], first: int = 0) -> EventBatch:
    """Return one row for each file name, with other columns that differ from row to row."""
    tables, n = new_tables(), len(files)
    return EventBatch(
        {
            "seq": np.arange(first, first + n, dtype=np.uint64),
            "time_ns": np.uint64(2**63) + np.arange(n, dtype=np.uint64),
            "ret": -np.arange(n, dtype=np.int64),
            "is_error": np.arange(n) % 2 == 1,
            "syscall": tables["syscall"].intern_many(["read", "write"])[np.arange(n) % 2],
            "file": tables["file"].intern_many(list(files)),
        },
        tables,
    )


def rows(batch: EventBatch) -> list[dict[str, object]]:
    """Return the rows as plain values."""
    return [dict(row) for row in batch]


def test_schema_has_every_column_in_order_and_none_nullable() -> None:
    """The Arrow schema follows the event schema: names, order, types, text as dictionaries, nothing nullable."""
    result = schema()

    assert result.names == list(NAMES)
    assert [f.type for f in result if f.name in TEXT_COLUMNS] == [pa.dictionary(pa.int32(), pa.string())] * len(
        TEXT_COLUMNS
    )
    assert all(result.field(c.name).type == pa.from_numpy_dtype(c.dtype) for c in COLUMNS if c.name not in TEXT_COLUMNS)
    assert not any(f.nullable for f in result)


def test_record_batch_is_valid_and_has_the_schema() -> None:
    """A record batch passes Arrow's own full check and has the schema's types."""
    result = record_batch(events(["/a", "/b", "/a"]))
    result.validate(full=True)

    assert result.schema == schema()


def test_record_batch_does_not_copy_numbers() -> None:
    """The buffers of numeric columns are the batch's own."""
    batch = events(["/a", "/b"])
    result = record_batch(batch)

    assert result["time_ns"].buffers()[1].address == batch["time_ns"].ctypes.data


def test_record_batch_holds_only_the_strings_in_use() -> None:
    """However long the shared table, a dictionary holds the strings of its own batch, each once."""
    batch = events([f"/f{i}" for i in range(1000)])
    few = batch.take(np.array([7, 991, 7]))

    assert record_batch(few)["file"].dictionary.to_pylist() == ["/f7", "/f991"]
    assert record_batch(few)["file"].to_pylist() == ["/f7", "/f991", "/f7"]
    assert record_batch(batch)["file"].to_pylist() == [f"/f{i}" for i in range(1000)]


def test_columns_are_those_of_the_rows_together() -> None:
    """Batches of any tables are joined a column at a time; one value in all rows is that value and how often it is."""
    parts = [events(["/a", "/b", "/a"]), events(["/c", "/a"])]
    wanted, count, found = columns(parts)
    plain = record_batch(EventBatch.concat(parts))
    ended = []
    for name, array in zip(wanted.names, found, strict=True):
        assert array.to_pylist() == plain[name].to_pylist()
        ended += [name] if pa.types.is_run_end_encoded(array.type) else []

    assert (wanted, count) == (plain.schema, 5)
    assert {"cell", "old_offset", "host", "first_on_tid"} <= set(ended)
    assert not {"file", "seq"} & set(ended)


def test_columns_of_numbers_take_each_others_place() -> None:
    """However many columns there are, memory is that of one."""
    parts = [events(["/a", "/b"]), events(["/c"])]
    places = {
        array.buffers()[1].address
        for array in columns(parts).columns
        if pa.types.is_integer(array.type) and len(array) == 3
    }

    assert len(places) == 1


def test_record_batch_of_no_rows() -> None:
    """An empty batch gives an empty record batch of the same schema, and comes back."""
    result = record_batch(EventBatch.empty())

    assert result.num_rows == 0
    assert result.schema == schema()
    assert len(event_batch(result)) == 0


def test_round_trip_keeps_every_row() -> None:
    """A batch comes back from Arrow with the same values in all columns."""
    batch = events(["/a", "", "/b", "/a", "/c"])

    assert rows(event_batch(record_batch(batch))) == rows(batch)


def test_round_trip_of_one_row_with_extreme_numbers() -> None:
    """The ends of each type's range survive."""
    limits = {
        c.name: np.array([True if c.dtype.kind == "b" else 2 ** (8 * c.dtype.itemsize - (c.dtype.kind == "i")) - 1])
        for c in COLUMNS
        if not c.text
    }
    batch = EventBatch(limits, new_tables())

    assert rows(event_batch(record_batch(batch))) == rows(batch)


def test_record_batch_escapes_what_utf8_cannot_encode() -> None:
    """A byte kept as a lone surrogate becomes its two hex digits; other surrogates those of their three bytes."""
    result = record_batch(events(HOSTILE))
    result.validate(full=True)

    expected = [*HOSTILE[:-3], "\\xff", "\\xed\\xa0\\x80x", "%s{}"]
    assert result["file"].to_pylist() == expected
    assert event_batch(result).text("file").tolist() == expected


def test_record_batch_joins_strings_that_escaping_makes_equal() -> None:
    """A dictionary holds each value once, also when two strings become the same one."""
    result = record_batch(events(["\udcff", "\\xff", "\udcff"]))

    assert result["file"].dictionary.to_pylist() == ["\\xff"]
    assert result["file"].to_pylist() == ["\\xff"] * 3


@given(
    st.lists(st.text(st.characters(exclude_categories=())), min_size=1, unique=True),
    st.data(),
)
def test_compact_keeps_the_text_of_every_code(texts: list[str], data: st.DataObject) -> None:
    """Whatever strings and codes, each row keeps its text, and the new strings are distinct and encodable."""
    strings = StringTable(texts)
    codes = np.array(data.draw(st.lists(st.integers(0, len(strings) - 1))), dtype=np.int32)
    new, used = compact(codes, strings)

    assert new.dtype == np.int32
    assert len(set(used)) == len(used)
    assert set(new.tolist()) == set(range(len(used)))
    "".join(used).encode()
    for before, after in zip(codes.tolist(), new.tolist(), strict=True):
        text = strings[before]
        encodable = text.encode(errors="ignore").decode() == text
        assert used[after] == text if encodable else "\\x" in used[after]


def test_table_joins_batches_of_different_tables() -> None:
    """Batches keep their order, and the chunks of a text column share one dictionary."""
    result = table([events(["/a", "/b"]), EventBatch.empty(), events(["/c", "/a"], first=2)])

    assert result["file"].to_pylist() == ["/a", "/b", "/c", "/a"]
    assert result["seq"].to_pylist() == [0, 1, 2, 3]
    assert len({tuple(chunk.dictionary.to_pylist()) for chunk in result["file"].chunks}) == 1
    assert rows(event_batch(result))[3]["file"] == "/a"


def test_table_of_nothing_is_empty() -> None:
    """No batches give a table of no rows with the schema."""
    assert table([]).schema == schema()
    assert len(event_batch(table([]))) == 0


def test_event_batch_takes_plain_strings_and_fills_missing_columns() -> None:
    """A table of another program may have plain text and few columns; foreign columns come along."""
    result = event_batch(pa.table({"seq": [1, 2], "file": ["/a", None], "nobody": ["knows", "me"], "fd": [None, 4]}))

    assert result.text("file").tolist() == ["/a", ""]
    assert result["seq"].tolist() == [1, 2]
    assert result["fd"].tolist() == [-1, 4]
    assert result["cell"].tolist() == [-1, -1]
    assert result.text("comm").tolist() == ["", ""]
    assert result.extras["nobody"].tolist() == ["knows", "me"]


def test_event_batch_takes_dictionaries_with_nulls_and_narrow_indices() -> None:
    """Other programs' dictionaries may have small indices, nulls in both places, and repeated values."""
    indices = pa.array([0, None, 2, 1, 3], pa.int8())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["/a", None, "/b", "/a"]))

    assert event_batch(pa.table({"file": column})).text("file").tolist() == ["/a", "", "/b", "", "/a"]


def test_event_batch_escapes_invalid_utf8() -> None:
    """Readers of Parquet do not check text; bytes that are no UTF-8 are escaped when it is decoded."""
    binary = pa.array([b"ok", b"caf\xe9"])
    text = pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())

    assert event_batch(pa.table({"file": text})).text("file").tolist() == ["ok", "caf\\xe9"]


def test_event_batch_codes_with_the_tables_it_is_given() -> None:
    """With tables passed in, equal text gets equal codes across batches."""
    tables = new_tables()
    one = event_batch(record_batch(events(["/a", "/b"])), tables)
    two = event_batch(record_batch(events(["/b", "/c"])), tables)

    assert one.tables is tables
    assert one["file"][1] == two["file"][0]
    assert EventBatch.concat([one, two]).text("file").tolist() == ["/a", "/b", "/b", "/c"]


@pytest.mark.parametrize(
    ("name", "values"), [("file", [1, 2]), ("ret", ["many", "few"]), ("pid", [-1, 5]), ("seq", [0.5, 1.0])]
)
def test_event_batch_names_the_column_it_cannot_use(name: str, values: list[object]) -> None:
    """A column of the wrong type, or with values that do not fit, is one error with its name."""
    with pytest.raises(ConfigError, match=f"cannot use column '{name}'"):
        event_batch(pa.table({name: values}))


def test_event_batch_refuses_a_column_that_is_there_twice() -> None:
    """A name that two columns have is an error, not a choice."""
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["ret", "ret"])

    with pytest.raises(ConfigError, match="'ret'"):
        event_batch(twice)


def test_dataframe_has_the_values_and_compact_categories() -> None:
    """Text is categorical over the strings in use; numbers keep their types."""
    result = dataframe(events(["/a", "/b", "/a", "\udcff"]).take(np.array([0, 2, 3])))

    assert list(result.columns) == list(NAMES)
    assert result["file"].tolist() == ["/a", "/a", "\\xff"]
    assert result["file"].cat.categories.tolist() == ["/a", "\\xff"]
    assert result["time_ns"].dtype == np.uint64
    assert result["is_error"].dtype == np.bool_


def test_dataframe_is_the_callers_own() -> None:
    """Writing into the frame does not change the batch."""
    batch = events(["/a", "/b"])
    result = dataframe(batch)
    result.loc[0, "ret"] = 99

    assert batch["ret"].tolist() == [0, -1]


def test_dataframe_of_no_rows() -> None:
    """An empty batch gives an empty frame with all columns."""
    result = dataframe(EventBatch.empty())

    assert isinstance(result, pd.DataFrame)
    assert result.shape == (0, len(NAMES))


@pytest.mark.bench
def test_dataframe_of_a_million_rows_takes_half_a_second() -> None:
    """1 M rows with 20,000 paths become a DataFrame within 0.5 s."""
    few = events([f"/data/{i:05}" for i in range(20_000)])
    batch = few.take(np.random.default_rng(1).integers(0, len(few), 1_000_000))
    dataframe(few)  # imports
    measured = []
    for _ in range(3):  # the first runs may have to wait for fresh memory
        begin = time.perf_counter()
        dataframe(batch)
        measured.append(time.perf_counter() - begin)
    print(f"DataFrame of {len(batch):,} rows: {', '.join(f'{s:.3f}' for s in measured)} s")

    assert min(measured) <= 0.5


def test_names_in_a_table_of_a_page_are_text() -> None:
    """They turn no text around, set no formulas, and are no markup."""
    page = told(dataframe(events(["/a\u202egnp", "/$x$", "<b>", "\x1b[2J"])))._repr_html_()

    assert page is not None
    assert "tex2jax_ignore mathjax_ignore" in page
    assert "\\u202egnp" in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "<b>" not in page
