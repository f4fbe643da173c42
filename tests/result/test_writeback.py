"""What became of bytes written, as a table and in words."""

from __future__ import annotations

import math

from ior_nb.result.tables import framed
from ior_nb.result.writeback import COLUMNS, left_over, most, rows
from ior_nb.runtime import new_tables
from tests.fakes import batch

MIB = 1 << 20
NEVER = {"dirtied_bytes": 7 * MIB, "never_bytes": 7 * MIB, "pending_bytes": 0, "tid": 9}
LATER = {
    "dirtied_bytes": 13 * MIB,
    "pending_bytes": 13 * MIB,
    "tid": 7,
    "others": 1,
    "first_dirtied_ns": 2_000_000_000,
    "last_dirtied_ns": 3_000_000_000,
    "first_cell": 3,
    "last_cell": 5,
}


def test_what_is_left_over_is_said_in_words() -> None:
    """What is still to be written, and what never was; nothing where all was."""
    assert left_over({"/a": LATER, "/b": NEVER, "/c": {"faults": 3}}) == (
        "when the trace ended: 13.0 MiB still to be written, 7.0 MiB of deleted files never written",
    )
    assert left_over({"/c": {"faults": 3}}) == ()


def test_each_file_made_dirty_is_a_row() -> None:
    """It says by whom, in which cells and when; a file that was only mapped is none."""
    traced = batch(new_tables(), syscall=["write"] * 2, tid=[7, 7], comm=["before", "python"])
    found = rows({"/b": NEVER, "/a": LATER, "/c": {"faults": 3}}, traced, start_ns=1_000_000_000, here=False)

    assert [row["file"] for row in found] == ["/a", "/b"]
    assert (found[0]["dirtied_by"], found[0]["cell"], found[0]["first_dirtied_s"]) == (
        "python 7 and others",
        "3 to 5",
        1.0,
    )
    assert (found[1]["dirtied_by"], found[1]["cell"]) == ("9", "")
    assert math.isnan(found[0]["last_written_s"])
    assert found[0]["cached_now_bytes"] == -1


def test_the_table_has_its_types_without_rows() -> None:
    """Where nothing was written to, bytes are numbers all the same."""
    some = rows({"/a": LATER}, batch(new_tables(), syscall=["write"]), start_ns=1, here=False)

    assert framed([], COLUMNS).dtypes.equals(framed(some, COLUMNS).dtypes)
    assert framed([], COLUMNS)["pending_bytes"].dtype == "int64"


def test_the_summary_has_the_files_with_most_bytes() -> None:
    """Those made dirty, most first; not what was only mapped."""
    assert most({"/c": {"faults": 3}, "/b": NEVER, "/a": LATER}) == (
        ("13.0 MiB", "0 B", "13.0 MiB", "0 B", "/a"),
        ("7.0 MiB", "0 B", "0 B", "7.0 MiB", "/b"),
    )
