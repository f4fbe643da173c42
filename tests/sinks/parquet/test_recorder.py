"""What is written."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ior_nb.export.arrow import columns, event_batch
from ior_nb.runtime.batch import EventBatch, new_tables
from ior_nb.runtime.schema import NAMES
from ior_nb.sinks.parquet import Recorder, read
from tests import fakes
from tests.sinks.parquet.recordings import REFERENCE_COLUMNS, events, names, numbers, record


def test_recording_has_every_row_in_order(tmp_path: Path) -> None:
    """Batches of any size come back as they went in, in row groups of the size asked for."""
    path = record(tmp_path / "a.parquet", events(0), events(1), events(2499, 1), events(700, 2500), group_rows=1000)
    table = read(path)

    assert numbers(table) == list(range(3200))
    assert table.column_names == list(NAMES)
    assert pq.read_metadata(path).num_row_groups == 4
    assert names(tmp_path) == ["a.parquet"]


def test_recording_begins_with_the_columns_of_the_reference(tmp_path: Path) -> None:
    """The first 23 columns have the names and types of the files of the Go program, and none is nullable."""
    schema = pq.read_schema(record(tmp_path / "a", events(3)))

    assert [(f.name, f.type) for f in schema][:23] == REFERENCE_COLUMNS
    assert not any(f.nullable for f in schema)


def test_recording_is_read_by_plain_pyarrow_and_pandas(tmp_path: Path) -> None:
    """Readers that know nothing of us get every row, and text as plain strings."""
    path = record(tmp_path / "a", events(2500))

    assert numbers(pq.read_table(path)) == list(range(2500))
    assert pq.read_table(path, filters=[("seq", ">=", 2000)]).num_rows == 500
    assert pd.read_parquet(path)["file"].iloc[-1] == "/file/2499"


def test_recording_is_read_by_duckdb(tmp_path: Path) -> None:
    """DuckDB reads the rows of all row groups, also when it skips groups by their statistics."""
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb")
    path = record(tmp_path / "a", events(2500))
    found = duckdb.sql(f"select count(*), min(file), max(seq) from '{path}' where seq between 999 and 1000").fetchall()

    assert found == [(2, "/file/1000", 1000)]


def test_recording_of_no_rows_is_a_file_with_the_schema(tmp_path: Path) -> None:
    """A recording nothing came into is still a recording."""
    path = record(tmp_path / "a")

    assert read(path).num_rows == 0
    assert pq.read_table(path).column_names == list(NAMES)


def test_recording_of_one_row(tmp_path: Path) -> None:
    """One row is enough."""
    assert numbers(read(record(tmp_path / "a", events(1)))) == [0]


def test_recording_keeps_hostile_text(tmp_path: Path) -> None:
    """Control characters, NUL and markup come back; what UTF-8 cannot hold comes back escaped."""
    tables = new_tables()
    names = ["a\0b", "line\nbreak", "\x1b[31m", "<script>", "😀" * 1000, "\udcff"]
    batch = EventBatch({"file": tables["file"].intern_many(names)}, tables)
    path = record(tmp_path / "a", batch)

    assert event_batch(read(path)).text("file").tolist() == [*names[:-1], "\\xff"]


def test_row_group_holds_only_its_own_strings(tmp_path: Path) -> None:
    """The dictionaries of a row group are its own, so that many groups do not repeat a long table."""
    path = record(tmp_path / "a", *[events(100, 100 * i) for i in range(20)], group_rows=100)
    groups = [pq.ParquetFile(path, read_dictionary=["file"]).read_row_group(i, ["file"]) for i in range(20)]

    assert [len(g["file"].chunk(0).dictionary) for g in groups] == [100] * 20


def test_metadata_of_start_and_end_are_in_the_footer(tmp_path: Path) -> None:
    """Pairs given at the start and later are in the footer; later ones replace, and bad text is escaped."""
    recorder = Recorder(columns)
    recorder.start(tmp_path / "a", metadata={"ior.hostname": "here", "ior.mode": "cell"})
    recorder.record(events(1))
    recorder.set_metadata({"ior.mode": "session", "ior.accounting": '{"ä": "\udcff"}'})
    path = recorder.stop()
    assert path is not None

    expected = {b"ior.hostname": b"here", b"ior.mode": b"session", b"ior.accounting": '{"ä": "\\udcff"}'.encode()}
    assert pq.read_metadata(path).metadata == expected
    assert read(path).schema.metadata == expected


def test_read_returns_the_columns_asked_for(tmp_path: Path) -> None:
    """Only the named columns are read, from a finished recording and from a chain."""
    path = record(tmp_path / "a", events(5))

    assert read(path, ["ret", "seq"]).num_columns == 2
    assert read(path, []).num_columns == 0


def test_encodings_suit_the_columns(tmp_path: Path) -> None:
    """Times are differences, text is in dictionaries, everything is compressed but what is one value anyway."""
    group = pq.read_metadata(record(tmp_path / "a", events(5000), group_rows=5000)).row_group(0)
    chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}

    assert "DELTA_BINARY_PACKED" in chunks["time_ns"].encodings
    assert "RLE_DICTIONARY" in chunks["file"].encodings
    assert {chunks[name].compression for name in ("seq", "time_ns", "latency_ns", "file")} == {"ZSTD"}
    assert chunks["state"].compression == "UNCOMPRESSED"
    assert chunks["time_ns"].statistics.max == 10**15 + 4999 * 1009


def test_no_column_needs_an_encoding_that_readers_refuse(tmp_path: Path) -> None:
    """Every page is PLAIN, a dictionary, or of deltas that no reader gets wrong: of 28 bits at most, else PLAIN."""
    near = events(1000)
    far = near.with_columns(time_ns=near["time_ns"] + (near["seq"] % np.uint64(2)) * np.uint64(1 << 28))
    encodings = []
    for number, rows in enumerate((near, far)):
        group = pq.read_metadata(record(tmp_path / str(number), rows)).row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
        encodings.append({c.path_in_schema: set(c.encodings) for c in columns})

    assert {e for kinds in encodings for kind in kinds.values() for e in kind} == {
        *("PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED")
    }
    assert [kinds["time_ns"] for kinds in encodings] == [{"RLE", "DELTA_BINARY_PACKED"}, {"RLE", "PLAIN"}]
    assert all("DELTA_BINARY_PACKED" in kinds["seq"] for kinds in encodings)


def test_rows_say_which_machine_they_are_of(tmp_path: Path) -> None:
    """A recorder that knows the machine writes its name into rows that have none, and leaves those of others alone."""
    recorder = Recorder(functools.partial(columns, host="here"))
    recorder.start(tmp_path / "a")
    recorder.record(fakes.batch(seq=[1, 2, 3], host=["", "there", "here"]))
    path = recorder.stop()
    assert path is not None

    assert pq.read_table(path)["host"].to_pylist() == ["here", "there", "here"]
