"""Columns that are not ours go wherever the rows of a recording go."""

from __future__ import annotations

import csv
import json
import os
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ior_nb.errors import ConfigError, RecordingError
from ior_nb.export.arrow import record_batch
from ior_nb.globalfilter import Filters, parse
from ior_nb.real import Descriptor, RLock
from ior_nb.result.convert import convert
from ior_nb.result.load import load
from ior_nb.result.sql import Asked, answered
from ior_nb.runtime import EventBatch
from ior_nb.session.desk import Desk
from ior_nb.session.plan import plan
from ior_nb.session.session import TracerSession
from ior_nb.sinks.parquet import Chain, link
from tests.fakes import FakeEngine, batch


def stamped(path: Path, extras: dict[str, np.ndarray]) -> Path:
    """Write two rows with columns of somebody else."""
    ours = batch(seq=[1, 2], time_ns=[10, 20], file=["/a", "/b"], syscall=["read", "read"], tid=[1, 1], pid=[1, 1])
    rows = EventBatch(dict(ours.columns), ours.tables, extras)
    pq.write_table(pa.Table.from_batches([record_batch(rows)]), path, store_schema=False)
    return path


def given(path: Path, values: pa.Array) -> None:
    """Write two rows with these as their tasks."""
    pq.write_table(pq.read_table(stamped(path, {})).append_column("task", values), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings: one with a task and its share, one with the task alone, of which one row has none."""
    home = tmp_path / "in"
    home.mkdir()
    task = np.array(["load-1", "=load,2"], object)
    stamped(home / "a.parquet", {"task": task, "share": np.array([0.5, 2.0])})
    stamped(home / "b.parquet", {"task": np.array([None, "sum"], object)})
    return home


def texts(column: pd.Series) -> list[str | None]:
    """Return the texts of a column; pandas says a null in one way or another."""
    return [None if pd.isna(value) else value for value in column]


TASKS = ["load-1", "=load,2", None, "sum"]


def test_tables_have_them(folder: Path) -> None:
    """A DataFrame and an Arrow table have the columns of all recordings, null where one lacks them."""
    trace = load(folder)

    assert texts(trace.df()["task"]) == TASKS
    assert trace.table()["task"].to_pylist() == TASKS
    assert trace.table()["share"].to_pylist() == [0.5, 2.0, None, None]


def test_sql_has_them(folder: Path) -> None:
    """SQL asks for them as for the others, in files and in what a filter left."""
    query = "SELECT task FROM trace ORDER BY seq"

    assert texts(answered(query, Asked.of(load(folder)))["task"]) == TASKS
    some = answered(query, Asked.of(load(folder).filter("file=/b")))
    assert texts(some["task"]) == ["=load,2", "sum"]


def test_recordings_made_of_rows_have_them(folder: Path, tmp_path: Path) -> None:
    """A Parquet file of some of the rows has them with their types, and is loaded with them again."""
    path = load(folder).filter("file=/b").to_parquet(tmp_path / "some.parquet")

    assert pq.read_schema(path).field("share").type == pa.float64()
    assert load(path).df()["task"].tolist() == ["=load,2", "sum"]
    assert load(path).table()["share"].to_pylist() == [2.0, None]


def test_csv_has_them_behind_its_own(folder: Path, tmp_path: Path) -> None:
    """They are the last columns of CSV, spelled as its other texts: no formula, no text for a null."""
    with load(folder).export(tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert list(rows[0])[-2:] == ["task", "share"]
    assert [row["task"] for row in rows] == ["load-1", "'=load,2", "", "sum"]
    assert [row["share"] for row in rows] == ["0.5", "2", "", ""]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2]), "int64"),
        (pa.array([["x"], None]), "list<element: string>"),
        (pa.array([True, False]), "bool"),
        (pa.array([1, 2], pa.timestamp("ns")), r"timestamp\[ns\]"),
    ],
    ids=str,
)
def test_a_column_that_cannot_be_one_is_null_where_it_is_something_else(
    folder: Path, tmp_path: Path, values: pa.Array, kind: str
) -> None:
    """One name for text here and something else there is told, and all that is asked for is answered."""
    given(folder / "c.parquet", values)
    trace = load(folder)

    assert re.search(rf"the column task is {kind} in c\.parquet, and string in one before: null", str(trace.notes))
    assert "the column task is" in str(trace)
    assert trace.table()["task"].to_pylist() == [*TASKS, None, None]
    assert texts(trace.df()["task"]) == [*TASKS, None, None]
    for query in (trace, trace.filter("pid=1")):
        assert texts(answered("SELECT task FROM trace ORDER BY seq", Asked.of(query))["task"]) == [*TASKS, None, None]
    assert len(trace.filter("not task=sum")) == 5
    assert load(trace.to_parquet(tmp_path / "all.parquet")).table()["task"].to_pylist() == [*TASKS, None, None]
    for way in ("html", "csv", "arrow", "folded", "speedscope", "perfetto"):
        assert trace.export(tmp_path / f"x.{way}", format=way).stat().st_size
    assert trace.tasks("calls", by="task").loc["/a"].to_dict() == {"": 2, "load-1": 1, "=load,2": 0, "sum": 0}


def test_recordings_are_not_made_one_where_values_would_be_lost(folder: Path, tmp_path: Path) -> None:
    """What takes the place of recordings has all they have: the file and the column are named."""
    given(folder / "c.parquet", pa.array([1, 2]))

    with pytest.raises(RecordingError, match=r"the column task is int64 in c\.parquet.*; rename it"):
        convert(folder, tmp_path / "out.parquet")
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        (pa.array([1, 2], pa.int8()), pa.array([3, None]), pa.int64()),
        (pa.array([1, 2]), pa.array([0.5, None]), pa.float64()),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", None], pa.large_string()), pa.large_string()),
        (pa.array([None, None], pa.null()), pa.array([3, 4]), pa.int64()),
        (pa.array([2**64 - 1, 1], pa.uint64()), pa.array([3, 4], pa.uint8()), pa.uint64()),
    ],
    ids=str,
)
def test_a_column_has_the_type_that_holds_all_values(
    tmp_path: Path, one: pa.Array, two: pa.Array, kind: pa.DataType
) -> None:
    """Of types of one sort the wider, in whatever order the recordings come."""
    for name, both in (("there", (one, two)), ("back", (two, one))):
        (tmp_path / name).mkdir()
        for at, values in enumerate(both):
            given(tmp_path / name / f"{at}.parquet", values)
        whole = load(tmp_path / name).table()["task"]

        assert (whole.type, whole.to_pylist()) == (kind, [*both[0].to_pylist(), *both[1].to_pylist()])


def test_numbers_that_no_type_holds_are_null_and_none_is_another(tmp_path: Path) -> None:
    """Unsigned numbers of 64 bits and signed ones: the first recording's stay exact."""
    given(tmp_path / "a.parquet", pa.array([2**64 - 1, 1], pa.uint64()))
    given(tmp_path / "b.parquet", pa.array([-1, 2]))

    assert load(tmp_path).table()["task"].to_pylist() == [2**64 - 1, 1, None, None]


TYPES = {
    "timestamp": pa.array([1, None], pa.timestamp("ns")),
    "with its time zone": pa.array([1, None], pa.timestamp("us", "Europe/Berlin")),
    "day": pa.array([1, None], pa.date32()),
    "duration": pa.array([1, None], pa.duration("ms")),
    "number": pa.array([2**64 - 1, None], pa.uint64()),
    "narrow": pa.array([1.5, None], pa.float32()),
    "decimal": pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
    "bytes": pa.array([b"\xff", None], pa.binary()),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "nothing": pa.array([None, None], pa.string()),
}


@pytest.mark.parametrize("values", TYPES.values(), ids=TYPES)
def test_types_and_nulls_are_kept_beside_a_recording_without_the_column(values: pa.Array, tmp_path: Path) -> None:
    """A column of any type is as it was in tables, and has a word for each value in CSV."""
    stamped(tmp_path / "a.parquet", {})
    theirs = pq.read_table(stamped(tmp_path / "b.parquet", {})).append_column("given", values)
    pq.write_table(theirs, tmp_path / "b.parquet")

    trace = load(tmp_path)
    whole = trace.table()["given"]
    words = [line.rpartition(",")[2] for line in trace.export(tmp_path / "x.csv").read_text().splitlines()[1:]]

    assert (whole.type, whole.to_pylist()) == (values.type, [None, None, *values.to_pylist()])
    assert trace.df()["given"].isna().tolist() == whole.is_null().to_pylist()
    assert [bool(word) for word in words] == whole.is_valid().to_pylist()


def test_chains_have_them(tmp_path: Path) -> None:
    """A link holds columns of others, whatever their type."""
    ours = batch(seq=[1], time_ns=[1], syscall=["read"])
    rows = record_batch(EventBatch(dict(ours.columns), ours.tables, {"tags": np.array([["x", "y"]], object)}))
    with (tmp_path / "x.parquet").open("w+b") as file:
        chain = Chain(Descriptor(os.dup(file.fileno())), link(rows[:0]))
        chain.append(link(rows))
        chain.finish(link(rows[:0]))

    assert load(tmp_path / "x.parquet").table()["tags"].to_pylist() == [["x", "y"]]


def test_rows_can_be_filtered_by_the_tasks_and_workers_they_have(folder: Path) -> None:
    """Of a recording that has none they are empty; all that can be asked of a trace can be asked of what passes."""
    trace = load(folder)

    assert texts(trace.filter("task~load").df()["task"]) == ["load-1", "=load,2"]
    assert load(folder, filter="not task=load-1").files()["calls"].sum() == 3
    assert len(trace.filter("file=/b").filter("task=sum")) == 1


def test_a_filter_by_a_column_that_rows_do_not_have_says_where_it_comes_from(folder: Path) -> None:
    """It would let nothing pass, as if there were no such rows: of recordings, in memory, and while tracing."""
    for ask in (
        lambda: load(folder).filter("pid=1 and not worker~tcp"),
        lambda: load(folder, filter="worker~tcp"),
        lambda: plan(filter="task=load-1"),
        lambda: Filters(EventBatch.empty, None, RLock()).set(parse("task=load-1")),
    ):
        with pytest.raises(ConfigError, match=r"no column '(worker|task)' to filter by.*ior_nb\.dask\.trace"):
            ask()


def test_a_dashboard_of_a_trace_filters_by_its_tasks_and_offers_them(folder: Path) -> None:
    """As it does by labels and hosts."""
    with TracerSession(engine=FakeEngine()) as session:
        desk = Desk(session, load(folder))
        offered = desk.filters.suggest("task=l", 6)
        desk.filters.set(parse("task=sum"))
        desk.update()
        statistics = desk.statistics()
        assert statistics is not None
        snapshot = statistics.snapshot()

        assert offered[0].text == "load-1"
        assert snapshot is not None
        assert snapshot.calls == 1
        assert len(desk.stream().snapshot()) == 1


def test_slices_of_perfetto_say_their_task(folder: Path, tmp_path: Path) -> None:
    """As an argument; those without one have none."""
    path = load(folder).export(tmp_path / "t.perfetto.json", format="perfetto")

    slices = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    assert [e["args"].get("task") for e in slices] == ["load-1", None, "=load,2", "sum"]
