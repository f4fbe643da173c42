from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.aggregate import Reading
from ior_nb.result.overview import grouped
from ior_nb.result.pathcell import whole_path
from ior_nb.result.strip import SLOTS, Slots
from ior_nb.result.summary import Summary
from ior_nb.result.tally import Tally
from ior_nb.runtime import Accounting, Completeness, EventBatch
from tests.fakes import batch

MS = 1_000_000


def summary(rows: EventBatch, *, home: str = "/home/u") -> Summary:
    """Add up rows, of a program that began in that folder."""
    tally = Tally()
    tally.add(rows)
    return tally.summary(
        title="t", duration_s=0.1, completeness=Completeness(accounting=Accounting()), window=(0, 100 * MS), home=home
    )


def rows_of(*rows: tuple[str, str, int, int]) -> EventBatch:
    """Make rows of (syscall, file, bytes, ret)."""
    calls, files, sizes, results = (list(column) for column in zip(*rows, strict=True))
    return batch(syscall=calls, file=files, bytes=sizes, ret=results, is_error=[r < 0 for r in results])


def test_the_sentence_says_what_a_user_would() -> None:
    """Files are told by folder or name, with their bytes; what is missing comes last; libraries are left out."""
    found = summary(
        rows_of(
            *(("read", f"/home/u/data/csv/{i}.csv", 100, 100) for i in range(200)),
            ("write", "/home/u/o.parquet", 2048, 2048),
            ("read", "/usr/lib/x.so", 5000, 5000),
            ("openat", "/home/u/missing.txt", 0, -2),
        )
    )

    assert found.overview.sentence() == (
        "read 200 files in data/csv (19.5 KiB), wrote o.parquet (2.0 KiB); missing.txt was missing"
    )


def test_folders_of_a_search_are_not_files_used() -> None:
    """What was only looked at, as the folders an import searches, has one line for all."""
    found = summary(
        rows_of(("newfstatat", "/home/u/a", 0, 0), ("getdents64", "/home/u", 0, 0), ("read", "/home/u/b", 1, 1))
    ).overview

    assert [line.name for line in found.lines] == ["/home/u/b"]
    assert [(line.name, line.calls) for line in found.others] == [("2 names only looked at", 2)]


def test_failures_on_own_files_are_told_and_others_not() -> None:
    """A failure on a library's file is in the totals, and not in the sentence."""
    found = summary(rows_of(("openat", "/home/u/a", 0, -13), ("openat", "/sys/b", 0, -2)))

    assert found.overview.sentence().endswith("; 1 call failed (openat EACCES)")
    assert "2 failed" in found.totals()


def test_failures_on_the_system_are_told_where_nothing_is_the_users() -> None:
    """Who opens a file of the system, and nothing else, wants to know that it is not there, or may not be written."""
    missing = summary(rows_of(("openat", "/etc/none", 0, -2), ("newfstatat", "/home/u", 0, 0)))
    refused = summary(rows_of(("openat", "/etc", 0, -21), ("read", "/usr/lib/x.so", 9, 9)))

    assert missing.overview.sentence() == "/etc/none was missing"
    assert refused.overview.sentence().endswith("; 1 call failed (openat EISDIR)")


def test_files_that_were_read_and_written_are_said_once() -> None:
    """However many they are."""
    rows = [(call, f"/home/u/d/{i}", 100, 100) for call in ("read", "write") for i in range(9)]

    assert summary(rows_of(*rows)).overview.sentence() == "read and wrote 9 files in d (900 B read, 900 B written)"


def test_a_sentence_cuts_long_names() -> None:
    """In their middle; the line of the file has all of it."""
    path = f"/home/u/cache/{'0' * 60}/output.pkl"
    found = summary(rows_of(("write", path, 1, 1))).overview

    assert len(found.sentence()) < 70
    assert found.sentence().endswith("/output.pkl (1 B)")
    assert found.lines[0].name == path


def test_settings_a_library_reads_are_no_news() -> None:
    """A file of the system is named where it is what was read, not beside megabytes of libraries."""
    alone = summary(rows_of(("read", "/etc/hostname", 9, 9)))
    beside = summary(rows_of(("read", "/etc/ssl/openssl.cnf", 900, 900), ("read", "/usr/lib/python3/x.py", 9000, 9000)))

    assert alone.overview.sentence() == "read /etc/hostname (9 B)"
    assert beside.overview.sentence() == "no files of your own, 2 files of libraries and the system (9.7 KiB read)"


def test_children_have_a_line() -> None:
    """Processes whose parent is traced are counted, named, and summed up; the first process is none of them."""
    found = summary(
        batch(
            syscall=["write", "read", "read", "read"],
            file=["/home/u/a"] * 4,
            bytes=[1, 10, 20, 30],
            pid=[5, 6, 7, 7],
            tid=[5, 6, 7, 7],
            ppid=[1, 5, 6, 6],
            comm=["python", "git", "python", "git"],
        )
    ).overview.children

    assert (found.count, found.names, found.calls, found.bytes_read) == (2, (("git", 2),), 3, 60)


@given(st.lists(st.sampled_from(["/a/b/c/1", "/a/b/c/2", "/a/b/d/1", "/a/e/1", "/f", "g", "/a/b/c"]), unique=True))
def test_lines_hold_every_file_once(paths: list[str]) -> None:
    """However files are put together, their sums are those of all."""
    sums = np.arange(1, 1 + 3 * len(paths)).reshape(3, -1)
    lines = grouped(paths, sums, most=2)

    assert sum(line.files for line in lines) == len(paths)
    assert [sum(getattr(line, n) for line in lines) for n in ("calls", "read", "written")] == sums.sum(axis=1).tolist()


def test_many_folders_are_one_line_above_them() -> None:
    """Objects of a repository, in folders of their own, are one line."""
    paths = [f"/r/.git/objects/{i:02x}/{k}" for i in range(30) for k in range(3)] + ["/r/config"]
    lines = grouped(paths, np.ones((3, len(paths)), np.int64))

    assert [(line.name, line.files, line.folders) for line in lines] == [
        ("/r/.git/objects/", 90, 30),
        ("/r/config", 1, 1),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**63 - 1), st.booleans(), st.integers(0, 9)), min_size=1),
    st.integers(1, 5),
)
def test_a_strip_holds_every_row(rows: list[tuple[int, int, bool, int]], size: int) -> None:
    """Calls and bytes of any times are in some slot, whatever came first."""
    slots = Slots()
    for at in range(0, len(rows), size):
        times, latencies, waits, _ = zip(*rows[at : at + size], strict=True)
        part = batch(syscall=["read"] * len(times)).with_columns(
            time_ns=np.array(times, np.uint64), latency_ns=np.array(latencies, np.uint64)
        )
        slots.add(Reading(part), np.flatnonzero(waits))

    assert slots.within(0, 0).calls.sum() == len(rows)


def test_a_wait_is_shared_out_among_the_slots_it_lasted() -> None:
    """A wait of half the time is seen in half the strip, not in the slot where it began."""
    slots = Slots()
    slots.add(Reading(batch(syscall=["wait4"], time_ns=[20 * MS], latency_ns=[50 * MS])), np.array([0]))
    waiting = slots.within(0, 100 * MS).waiting

    assert abs(int((waiting > 0).sum()) - SLOTS // 2) <= 1
    assert abs(int(waiting.sum()) - 50 * MS) < MS


def test_a_path_is_whole_in_the_page() -> None:
    """A narrow page cuts what it shows, not the text: copied, or under the pointer, a path is whole."""
    path = "/a/<b>/" + "x" * 50 + ".csv"
    shown = whole_path(path)

    assert "".join(part.split(">")[-1] for part in shown.split("<")) == path.replace("<", "&lt;").replace(">", "&gt;")
    assert 'title="/a/&lt;b&gt;/' in shown


def test_a_trace_is_one_line_in_a_list() -> None:
    """The overview fits a line without breaks; the strip and the files are in the text."""
    found = summary(rows_of(("read", "/home/u/a", 10, 10)))

    assert found.headline() == "t: read a (10 B)"
    assert "calls ▏" in found.text()
    assert "<svg" in found.html()


def test_without_own_files_the_sentence_says_what_there_was() -> None:
    """A file of the system that was read has its name, a name that was only looked at, too; else there is nothing."""
    read = summary(rows_of(("read", "/etc/hosts", 49, 49)))
    looked = summary(rows_of(("newfstatat", "/home/u/a", 0, 0), ("newfstatat", "/home/u", 0, 0)))

    assert read.overview.sentence() == "read /etc/hosts (49 B)"
    assert looked.overview.sentence() in ("looked at a and ./", "looked at ./ and a")
    assert summary(rows_of(("read", "", 0, 0))).overview.sentence() == "no files of your own"
