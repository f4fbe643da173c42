"""Files × tasks: what rows of a cluster say, and what others do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ior_nb.errors import ConfigError
from ior_nb.export.arrow import record_batch
from ior_nb.result.load import load
from tests.fakes import batch


def _file(path: Path, calls: list[tuple[str, int]], **extras: list[Any]) -> Path:
    files, sizes = zip(*calls, strict=True)
    rows = batch(file=list(files), bytes=list(sizes), syscall=["read"] * len(calls), time_ns=[1] * len(calls))
    table = pa.Table.from_batches([record_batch(rows)])
    for name, values in extras.items():
        table = table.append_column(name, pa.array(values, pa.string()))
    pq.write_table(table, path)
    return path


def test_a_matrix_has_a_row_for_each_file_and_a_column_for_each_task(tmp_path: Path) -> None:
    """Sums are those of the rows, the largest first, over files that name their tasks in another order."""
    _file(tmp_path / "a.parquet", [("/x", 3), ("/x", 5), ("/y", 1)], task_prefix=["read", "sum", "read"])
    _file(tmp_path / "b.parquet", [("/x", 7), ("", 2)], task_prefix=["sum", ""])

    found = load(tmp_path).tasks()

    assert found.columns.tolist() == ["sum", "read", ""]
    assert found.to_dict("index") == {
        "/x": {"sum": 12, "read": 3, "": 0},
        "": {"sum": 0, "read": 0, "": 2},
        "/y": {"sum": 0, "read": 1, "": 0},
    }


def test_a_file_without_tasks_among_others_is_nobodys(tmp_path: Path) -> None:
    """A recording of another machine has rows, and they are in no task."""
    _file(tmp_path / "a.parquet", [("/x", 3)], task_prefix=["read"])
    _file(tmp_path / "b.parquet", [("/x", 4)])

    assert load(tmp_path).tasks("calls").loc["/x"].to_dict() == {"read": 1, "": 1}
    assert load(tmp_path).filter("bytes=3").tasks().loc["/x"].to_dict() == {"read": 3}


@pytest.mark.parametrize("by", ["host", "label"])
def test_files_by_host_and_by_label_need_no_cluster(tmp_path: Path, by: str) -> None:
    """Whose calls these were is a column of all rows."""
    cases: list[tuple[str, list[object], int]] = [("a", ["n1", "n1"], 3), ("b", ["n2", ""], 5)]
    for name, whose, size in cases:
        rows = batch(file=["/x", "/y"], bytes=[size, size], syscall=["read"] * 2, time_ns=[1, 1], **{by: whose})
        pq.write_table(pa.Table.from_batches([record_batch(rows)]), tmp_path / f"{name}.parquet")

    found = load(tmp_path).tasks(by=by)

    assert found.to_dict("index") == {"/x": {"n1": 3, "n2": 5, "": 0}, "/y": {"n1": 3, "n2": 0, "": 5}}


def test_rows_without_tasks_say_where_those_come_from(tmp_path: Path) -> None:
    """An empty table would look like an answer."""
    trace = load(_file(tmp_path / "a.parquet", [("/x", 3)]))

    with pytest.raises(ConfigError, match=r"no column 'task_prefix'.*ior_nb\.dask\.trace"):
        trace.tasks()
    with pytest.raises(ConfigError, match="choose from bytes"):
        trace.tasks("weight")


def test_columns_of_others_keep_their_text(tmp_path: Path) -> None:
    """Text, nulls and what looks like neither come back as they were."""
    given = ["a", None, "", "\x00", "ä"]
    path = _file(tmp_path / "a.parquet", [("/x", n) for n in range(5)], note=given)

    assert load(path).table()["note"].to_pylist() == given
