"""Files looked for along a path."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.searches import WITHIN_NS, Searches
from ior_nb.runtime import EventBatch
from tests.fakes import batch

MS = 1_000_000


def events(*rows: tuple[Any, ...]) -> EventBatch:
    """Return opens: (path, result, and by choice thread, start in ms, call), one ms after the other."""
    full = [(*row, *(1, i, "openat")[len(row) - 2 :]) for i, row in enumerate(rows)]
    return batch(
        path_arg=[row[0] for row in full],
        file=[row[0] for row in full],
        ret=[row[1] for row in full],
        is_error=[-4096 < row[1] < 0 for row in full],
        tid=[row[2] for row in full],
        time_ns=[row[3] * MS for row in full],
        syscall=[row[4] for row in full],
        seq=list(range(len(full))),
    )


def told(*batches: EventBatch, flush: bool = True) -> list[bool]:
    """Return which rows are probes, of those handed on."""
    handed: list[EventBatch] = []
    searches = Searches(handed.append)
    for one in batches:
        searches.take(one)
    if flush:
        searches.flush()
    assert [s for b in handed for s in b["seq"].tolist()] == [s for b in batches for s in b["seq"].tolist()][
        : sum(map(len, handed))
    ]
    return [p for b in handed for p in b["probe"].tolist()]


def test_places_before_the_one_where_the_file_is_are_probes() -> None:
    """All misses of the name are, whatever their folders; the find is none."""
    assert told(events(("/a/x", -2), ("/b/x", -20), ("/c/x", 3))) == [True, True, False]


def test_file_that_is_nowhere_is_a_failure() -> None:
    """A name nobody finds stays an error, beside one that is found."""
    assert told(events(("/a/x", -2), ("/a/y", -2), ("/b/x", 3))) == [True, False, False]


def test_find_of_another_thread_or_before_tells_nothing() -> None:
    """Only what the same thread finds later counts."""
    assert told(events(("/b/x", 3), ("/a/x", -2), ("/b/x", 3, 2))) == [False, False, False]


def test_other_errors_and_other_calls_are_no_searches() -> None:
    """Rights that are missing are a failure, and a file removed was not looked for."""
    assert told(events(("/a/x", -13), ("/b/x", -2, 1, 1, "unlink"), ("/c/x", 3))) == [False, False, False]


@pytest.mark.parametrize(
    ("path", "ret", "call", "probe"),
    [
        ("/r/.git/refs/heads/main", -2, "openat", True),
        ("/r/.git/objects/b1/bd38", -2, "unlink", True),
        ("/r/.gitattributes", -2, "openat", True),
        ("/r.git/objects/info/alternates", -2, "openat", True),
        ("/bare/refs/heads/main", -2, "open", True),
        ("/bare/packed-refs", -2, "openat", True),
        ("/r/.git/config", -13, "openat", False),
        ("/r/data.git.csv", -2, "openat", False),
        ("/r/refs/table.csv", -2, "openat", False),
        ("/r/objects/table.csv", -2, "openat", False),
        ("/r/a.csv", -2, "unlink", False),
        ("/usr/share/locale/de/LC_MESSAGES/git.mo", -2, "openat", True),
        ("/usr/lib/locale/locale-archive", -2, "openat", True),
        ("/r/__pycache__/a.cpython-311.pyc", -2, "openat", True),
        ("/usr/bin/pyvenv.cfg", -2, "openat", True),
        ("/usr/bin/python._pth", -2, "openat", True),
        ("/etc/gitattributes", -2, "openat", True),
        ("/sys/fs/cgroup/cpu.max", -2, "openat", True),
        ("/etc/none", -2, "openat", False),
        ("/dev/ptmx", -5, "read", True),
        ("/dev/sda", -5, "read", False),
        ("/r/a.csv", -5, "read", False),
    ],
)
def test_names_that_tell_what_is_no_failure(path: str, ret: int, call: str, probe: bool) -> None:
    """What git, Python or a language has only where it is needed, and the end of a terminal; nothing else."""
    assert told(events((path, ret, 1, 0, call))) == [probe]


def test_find_that_comes_too_late_tells_nothing() -> None:
    """A search takes no longer than its time."""
    late = WITHIN_NS // MS + 1

    assert told(events(("/a/x", -2), ("/c/x", 3, 1, late))) == [False, False]


def test_program_is_found_along_its_path() -> None:
    """Execve goes through PATH as an open does."""
    rows = events(("/a/true", -2, 1, 0, "execve"), ("/bin/true", 0, 1, 1, "execve"))

    assert told(rows) == [True, False]


def test_folder_that_is_made_a_little_later_was_no_failure() -> None:
    """Tar makes a folder, sees that the one above is missing, and comes again when it has made that."""
    rows = events(("/t/a/b", -2, 1, 0, "mkdirat"), ("/t/a", 0, 1, 1, "mkdirat"), ("/t/a/b", 0, 1, 2, "mkdirat"))

    assert told(rows) == [True, False, False]


def test_rows_wait_for_the_next_batch_no_longer_than_needed() -> None:
    """From a miss on rows are held, until it is told, or its time is up, or all are wanted."""
    miss, find = events(("/a/x", -2)), events(("/b/x", 3, 1, 5))
    much_later = events(("/z", 3, 2, 5_000))

    assert told(miss, flush=False) == []
    assert told(miss, find, flush=False) == [True, False]
    assert told(miss, much_later, flush=False) == [False, False]
    assert told(miss) == [False]


def test_rows_without_a_miss_are_handed_on_as_they_are() -> None:
    """Nothing is copied where nothing is looked for."""
    rows = events(("/a/x", 3), ("/a/y", -13))
    handed: list[EventBatch] = []
    Searches(handed.append).take(rows)

    assert handed == [rows]


@given(st.integers(0, 1 << 32), st.lists(st.integers(1, 6), max_size=12))
def test_batches_tell_what_one_batch_tells(seed: int, sizes: list[int]) -> None:
    """However the rows are cut into batches, the same are probes: those of which a plain search says so."""
    chance = random.Random(seed)
    count = sum(sizes)
    rows = [
        (
            f"/{chance.choice('abc')}/{chance.choice('xy')}",
            chance.choice((-2, -2, 3, -13)),
            chance.choice((1, 2)),
            20 * i,
        )
        for i in range(count)
    ]
    expected = [
        ret == -2
        and any(
            other[0][-1] == path[-1] and other[1] >= 0 and other[2] == tid and at < other[3] <= at + WITHIN_NS // MS
            for other in rows[i + 1 :]
        )
        for i, (path, ret, tid, at) in enumerate(rows)
    ]
    whole = events(*rows) if rows else events()
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    assert told(*(whole[end - size : end] for size, end in zip(sizes, ends, strict=True))) == expected
