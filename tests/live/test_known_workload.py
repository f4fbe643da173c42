"""Every row of a known workload is right, none is missing, none is there that should not be."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.calls import here
from tests.live.mounts import mount

if TYPE_CHECKING:
    from tests.live.conftest import Expected, Ran

# Scenario -> how many calls of which kind it makes at least, counted by hand in workload.c, by their names on x86.
SCENARIOS = {
    "descriptors": {"read": 23 + 11, "pread64": 13, "close": 10 + 3},
    "paths": {"open": 13 + 5, "openat": 7, "rename": 4, "renameat2": 3},
    "names": {"mkdir": 100, "chdir": 100, "open": 13 + 2, "access": 26 + 12},
    "transfers": {"sendfile64": 7 + 2, "copy_file_range": 2, "splice": 3, "tee": 1, "write": 5},
    "sockets": {"sendto": 7 + 1, "recvfrom": 8, "pread64": 11, "recvmsg": 4},
    "anonymous": {"epoll_ctl": 12, "eventfd2": 6, "epoll_create1": 3},
    "processes": {"pread64": 65, "fork": 6, "execve": 6, "read": 6 + 33, "exit": 1, "exit_group": 7},
    "threads": {"pread64": 7 * 101, "readlink": 7 * 101},
    "thread-exec": {"execve": 2, "read": 11, "exit_group": 1},
    "memory": {"mmap": 10, "munmap": 9, "mremap": 7, "brk": 3},
    "waits": {"nanosleep": 6, "poll": 4, "rt_sigreturn": 5},
    "jail": {"chroot": 1, "access": 2, "read": 1},
}


def differences(ran: Ran) -> dict[str, Any]:
    """Return what the rows have too little and too much, compared with the workload's log."""
    from_log = Counter(e.key for e in ran.expected)
    from_rows = Counter(key(row) for row in ran.rows)
    return {"missing": dict(from_log - from_rows), "extra": dict(from_rows - from_log)}


def key(row: Any) -> tuple[str, str, int, int]:
    """Return (syscall, file, bytes, errno or 0) of a row."""
    return row.syscall, row.file, row.bytes, -row.ret if row.is_error else 0


def by_thread(items: list[Any]) -> dict[int, list[Any]]:
    """Return the items of each thread, in order."""
    found: dict[int, list[Any]] = {}
    for item in items:
        found.setdefault(item.tid, []).append(item)
    return found


def wrong_columns(expected: Expected, row: Any) -> dict[str, tuple[str, str]]:
    """Return the further columns that are not as the workload says: name -> (expected, seen)."""
    wanted = dict(expected.more)
    if expected.ret is not None:
        wanted["ret"] = str(expected.ret)
    wanted.setdefault("state", "done")
    return {name: (text, str(row[name])) for name, text in wanted.items() if str(row[name]) != text}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_rows_are_exactly_the_calls_made(scenario: str, run_of: Callable[[str], Ran]) -> None:
    """Between the markers the multiset of (call, file, bytes, errno) is that of the workload's own log."""
    ran = run_of(scenario)

    calls = Counter(row.syscall for row in ran.rows)
    least: Counter[str] = Counter()
    for name, count in SCENARIOS[scenario].items():
        least[here(name)] += count
    assert differences(ran) == {"missing": {}, "extra": {}}
    assert least <= calls
    assert ran.trace.accounting.complete
    assert ran.trace.accounting.unaccounted == 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_thread_s_rows_are_in_order_and_right_in_every_column(scenario: str, run_of: Callable[[str], Ran]) -> None:
    """By thread the rows are the log line by line, with return value, offset, sizes, timeouts and names of threads."""
    ran = run_of(scenario)
    rows, log = by_thread(list(ran.rows)), by_thread(ran.expected)

    assert rows.keys() == log.keys()
    assert {tid: [key(r) for r in rows[tid]] for tid in rows} == {tid: [e.key for e in log[tid]] for tid in log}
    wrong = [
        (row, bad) for tid in log for e, row in zip(log[tid], rows[tid], strict=True) if (bad := wrong_columns(e, row))
    ]
    assert wrong == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_row_of_an_open_descriptor_lacks_its_name(scenario: str, run_of: Callable[[str], Ran]) -> None:
    """Where a call acts on a descriptor that is open, `file` is never empty, nor are kind and inode."""
    ran = run_of(scenario)

    nameless = [row for row in ran.rows if row.fd >= 0 and row.ret != -9 and not (row.file and row.file_kind)]
    assert nameless == []


@pytest.fixture
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder inside another file system, mounted for the test; the parameter says which."""
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    for folder in (lower, upper, work):
        folder.mkdir()
    options = {
        "overlay": ["-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay"],
        "tmpfs": ["-t", "tmpfs", "tmpfs"],
        "bind": ["--bind", str(lower)],
    }[request.param]
    with mount(tmp_path / "merged", *options) as merged:
        inside = merged / "inside"
        inside.mkdir()
        yield inside


@pytest.mark.parametrize("mounted", ["overlay", "tmpfs", "bind"], indirect=True)
@pytest.mark.parametrize("scenario", ["descriptors", "paths", "names", "transfers"])
def test_the_rows_are_right_across_a_mount(scenario: str, mounted: Path, run_scenario: Callable[..., Ran]) -> None:
    """On overlayfs, tmpfs and a bind mount files have the names the kernel gives them there."""
    ran = run_scenario(scenario, mounted)

    assert differences(ran) == {"missing": {}, "extra": {}}
    assert ran.trace.accounting.complete


def test_a_commands_first_row_is_its_execve(run_of: Callable[[str], Ran], workload: Any) -> None:
    """The first row of a command is its execve, under the new name, of a process that was not there before."""
    first = min(run_of("memory").trace.batch, key=lambda row: row.time_ns)

    assert (first.syscall, first.file, first.ret, first.state) == ("execve", str(workload.program), 0, "done")
    assert (first.comm, first.started_before, first.first_on_tid) == ("workload", False, True)


def test_a_commands_last_row_is_its_exit(run_of: Callable[[str], Ran]) -> None:
    """The last row is the exit_group, which never returns and has no duration."""
    last = max(run_of("memory").trace.batch, key=lambda row: row.time_ns)

    assert (last.syscall, last.state, last.latency_ns, last.is_error) == ("exit_group", "no return", 0, False)


def test_gaps_are_between_calls_of_one_thread(run_of: Callable[[str], Ran]) -> None:
    """A row's gap is its start minus the end of the row before it on the same thread."""
    rows = run_of("processes").trace.batch
    threads = by_thread(sorted(rows, key=lambda row: row.time_ns))

    for mine in threads.values():
        assert mine[0].first_on_tid
        assert mine[0].gap_ns == 0
        for before, row in itertools.pairwise(mine):
            assert not row.first_on_tid
            assert row.gap_ns == row.time_ns - (before.time_ns + before.latency_ns)
