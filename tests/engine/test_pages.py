"""What is counted by file of page cache and faults becomes counts by path."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ior_nb.engine.moves import Moves
from ior_nb.engine.names import Names
from ior_nb.engine.pages import ASKED, CACHED_FILE, by_file, in_cache, settle, states
from ior_nb.runtime import PageState, StringTable, new_tables
from tests.engine.records import named

PAGE = mmap.PAGESIZE


def names_of(*paths: str) -> tuple[Names, StringTable]:
    """Return names in which the files 1, 2, ... have these paths, and the table of paths."""
    tables = new_tables()
    names = Names(tables)
    for number, path in enumerate(paths, 1):
        names.take(named(number, path))
    return names, tables["file"]


def counts(*rows: dict[str, int]) -> bytes:
    """Return a frame."""
    found = np.zeros(len(rows), CACHED_FILE)
    for at, row in enumerate(rows):
        for name, value in row.items():
            found[at][name] = value
    return found.tobytes()


def some(row: dict[str, int], *names: str) -> tuple[Any, ...]:
    """Return counts of a path."""
    return tuple(row[name] for name in names)


def test_two_files_of_one_path_are_one() -> None:
    """A file made anew under its name has another inode, and the counts of both are those of the path."""
    frame = counts(
        {"faults": 3, "mapped": 5, "filled": 7, "file": 1},
        {"faults": 11, "mapped": 13, "filled": 17, "file": 2},
        {"file": 3},
    )
    found = by_file(frame, *names_of("/a", "/a", "/c"))

    assert list(found) == ["/a"]
    assert some(found["/a"], "faults", "mapped_bytes", "faulted_bytes") == (14, 18 * PAGE, 24 * PAGE)


def test_who_made_a_file_dirty_is_who_did_first() -> None:
    """Times are the first and the last of all that have the path; another thread is told."""
    frame = counts(
        {"dirtied": 2, "first_dirty": 50, "last_dirty": 60, "tid": 7, "file": 1},
        {"dirtied": 1, "first_dirty": 40, "last_dirty": 45, "tid": 8, "written": 99, "last_write": 70, "file": 2},
    )
    found = by_file(frame, *names_of("/a", "/a"))["/a"]

    assert some(found, "dirtied_bytes", "written_bytes", "tid", "others") == (3 * PAGE, 99, 7, 1)
    assert some(found, "first_dirtied_ns", "last_dirtied_ns", "last_written_ns") == (40, 60, 70)


def test_a_file_nobody_has_named_has_the_empty_path() -> None:
    """What is counted is told, although its name is not known."""
    assert by_file(counts({"faults": 1, "filled": 1}), *names_of())[""]["faulted_bytes"] == PAGE


def test_what_is_left_of_a_deleted_file_is_never_written(tmp_path: Path) -> None:
    """Of one that is there the kernel says what is dirty; one in its place is another."""
    there, replaced, gone = tmp_path / "there", tmp_path / "replaced", tmp_path / "gone"
    for path in (there, replaced):
        path.write_bytes(b"x" * 10 * PAGE)
    fd = os.open(there, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    row = {"dirtied_bytes": 10 * PAGE, "written_bytes": 3 * PAGE}
    pages = {
        str(there): {**row, "inode": there.stat().st_ino},
        str(replaced): {**row, "inode": replaced.stat().st_ino + 1},
        str(gone): {**row, "inode": 5},
        "/mapped": {"dirtied_bytes": 0, "written_bytes": 0},
    }
    settle(pages, Moves())
    tells = in_cache(str(there)) is not None

    assert some(pages[str(gone)], "pending_bytes", "never_bytes") == (0, 7 * PAGE)
    assert some(pages[str(replaced)], "pending_bytes", "never_bytes") == (7 * PAGE, 0)
    assert some(pages[str(there)], "pending_bytes", "never_bytes") == (0 if tells else 7 * PAGE, 0)
    assert "pending_bytes" not in pages["/mapped"]


@pytest.mark.parametrize("what", ["folder", "pipe", "missing", "nothing", "zero"])
def test_only_regular_files_are_asked_about(what: str, tmp_path: Path) -> None:
    """Nothing is opened that could wait, or do something."""
    os.mkfifo(tmp_path / "pipe")
    path = {"folder": str(tmp_path), "nothing": "", "zero": "a\0b"}.get(what, str(tmp_path / what))

    assert in_cache(path) is None


def test_what_is_known_of_files_now_is_asked_of_few(tmp_path: Path) -> None:
    """One that is there, a deleted one that was not all written, one of a trace that is over; so many at most."""
    there, over = tmp_path / "there", tmp_path / "over"
    there.write_bytes(b"x" * PAGE)
    over.write_bytes(b"")
    gone = str(tmp_path / "gone")
    pages = {
        gone: {"dirtied_bytes": 3 * PAGE, "written_bytes": PAGE},
        str(over): {"dirtied_bytes": PAGE, "written_bytes": 0, "pending_bytes": 7, "never_bytes": 0},
    }

    found = states(pages, [str(there), gone, str(over), *(f"/nowhere/{n}" for n in range(ASKED))])

    known = in_cache(str(there))
    assert found[str(there)] == PageState(cached=-1 if known is None else known[0])
    assert found[gone] == PageState(dirtied=3 * PAGE, written=PAGE, never=2 * PAGE)
    assert found[str(over)].pending == 7
    assert len(found) == ASKED
