from __future__ import annotations

import re
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.result.comparison import Diff
from ior_nb.result.summary import Summary
from ior_nb.result.tally import Tally
from ior_nb.runtime import Accounting, Completeness, new_tables
from ior_nb.runtime.text import NO_MATH
from tests.fakes import batch

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "sendfile64", "openat"]),
        st.sampled_from(["/a", "/b", "<script>alert(1)</script>", ""]),
        st.integers(0, 5000),
        st.integers(0, 10**9),
        st.sampled_from([0, -2, -9]),
    ),
    max_size=40,
)


def summary_of(parts: list[list[tuple[str, str, int, int, int]]]) -> Summary:
    """Add up batches of (syscall, file, bytes, latency, ret)."""
    tally, tables = Tally(), new_tables()
    for part in parts:
        if part:
            calls, files, sizes, times, results = (list(column) for column in zip(*part, strict=True))
            tally.add(
                batch(
                    tables,
                    syscall=calls,
                    file=files,
                    bytes=sizes,
                    latency_ns=times,
                    ret=results,
                    is_error=[r < 0 for r in results],
                    pid=[1] * len(part),
                )
            )
    return tally.summary(title="test", duration_s=1.0, completeness=Completeness())


@given(st.lists(EVENTS, max_size=3))
def test_totals_equal_a_plain_count(parts: list[list[tuple[str, str, int, int, int]]]) -> None:
    """Calls, errors, bytes by direction, time and per-file numbers equal a loop over all rows."""
    found = summary_of(parts)
    events = [event for part in parts for event in part]
    calls = Counter(e[0] for e in events)
    read = sum(e[2] for e in events if e[0] in ("read", "sendfile64"))
    written = sum(e[2] for e in events if e[0] in ("write", "sendfile64"))

    assert found.calls == len(events)
    assert {r.syscall: r.calls for r in found.syscalls} == calls
    assert found.errors == sum(e[4] < 0 for e in events)
    assert (found.bytes_read, found.bytes_written) == (read, written)
    assert found.latency_ns == sum(e[3] for e in events)
    assert {r.file: r.calls for r in found.files} == Counter(e[1] for e in events if e[1])
    assert [r.latency_ns for r in found.slowest] == sorted((e[3] for e in events), reverse=True)[:5]


def test_traced_names_are_never_markup_nor_terminal_codes() -> None:
    """A file name with markup and control characters is shown as text in both forms."""
    found = summary_of([[("read", "<script>\x1b[2J\n\u202e", 10, 5, 0)]])

    assert "<script>" not in found.html()
    assert "&lt;script&gt;\\x1b[2J\\x0a\\u202e" in found.html()
    assert "\x1b" not in found.text()
    assert "\u202e" not in found.text()


def test_html_stands_alone() -> None:
    """Each table has a font and a size of its own: a page without style, or without a doctype, shows it small too."""
    found = summary_of([[("read", "/a", 10, 5, 0)]])
    shown = batch(syscall=["read"], file=["/a"])
    for page in (found.html(), Diff(shown, shown)._repr_html_()):
        tables = re.findall("<table[^>]*>", page)

        assert len(tables) >= 2
        assert all("font:13px/1.45 var(--jp-ui-font-family,system-ui" in table for table in tables)
        assert page.startswith(f'<div {NO_MATH} style="font:13px/1.45 ')


def test_text_fits_the_width() -> None:
    """No line of a table is wider than asked for."""
    found = summary_of([[("read", "/long" * 100, 10, 5, 0)]])

    assert max(len(line) for line in found.text(80).splitlines()[2:]) <= 80


def test_a_transfer_reads_from_its_source() -> None:
    """The bytes read by a sendfile are credited to the source file, those written to the destination."""
    tally = Tally()
    tally.add(
        batch(
            syscall=["sendfile64"],
            file=["/to"],
            old_file=["/from"],
            bytes=[100],
            latency_ns=[1],
            ret=[100],
            is_error=[False],
            pid=[1],
        )
    )
    found = tally.summary(title="t", duration_s=1.0, completeness=Completeness())

    assert {r.file: (r.bytes_read, r.bytes_written) for r in found.files} == {"/to": (0, 100), "/from": (100, 0)}


def test_an_empty_trace_has_an_empty_summary() -> None:
    """Nothing traced is shown as nothing, without an error."""
    found = Tally().summary(title="t", duration_s=0.0, completeness=Completeness())

    assert found.calls == 0
    assert found.tables() == []
    assert "complete" in found.text()
    assert np.isfinite(found.duration_s)


def test_probes_and_waits_are_told_apart() -> None:
    """Answers of normal work are counted and listed apart from failures, and waits apart from slow calls."""
    rows = batch(
        syscall=["ioctl", "ioctl", "ioctl", "openat", "read", "read", "wait4"],
        file=["/a", "/b", "/b", "/none", "/a", "pipe:[7]", ""],
        file_kind=["file", "file", "file", "", "file", "pipe", ""],
        ret=[-25, -25, -25, -2, 10, 10, 5],
        is_error=[True, True, True, True, False, False, False],
        probe=[True, True, True, False, False, False, False],
        latency_ns=[1, 1, 1, 50, 40, 3000, 2000],
    )
    tally = Tally()
    tally.add(rows)
    found = tally.summary(title="t", duration_s=1.0, completeness=Completeness())

    assert found.totals().endswith("93 ns in calls, 5 µs waiting, 1 failed; 3 probes")
    assert [(r.syscall, r.error, r.calls, r.example) for r in found.failures] == [("openat", "ENOENT", 1, "/none")]
    assert [(r.syscall, r.error, r.calls, r.example) for r in found.answers] == [("ioctl", "ENOTTY", 3, "/a")]
    assert [(r.syscall, r.latency_ns) for r in found.waits] == [("read", 3000), ("wait4", 2000)]
    assert [r.latency_ns for r in found.slowest] == [50, 40, 1, 1, 1]
    assert [title for title, _, _ in found.tables()][2:] == [
        *("Slowest", "Waiting", "Errors", "Probes, which are no errors")
    ]


def test_sampled_rows_do_not_make_the_totals_small() -> None:
    """Where rows are missing by sampling or loss, totals and calls are the kernel's exact counts; a note says so."""
    tally = Tally()
    tally.add(batch(syscall=["read"], file=["/a"], bytes=[10], latency_ns=[5], ret=[10], is_error=[False], pid=[1]))
    counters = {"read": {"calls": 1000, "errors": 1, "bytes": 9990, "latency_ns": 7000}}
    found = tally.summary(
        title="t", duration_s=1.0, completeness=Completeness(accounting=Accounting(sampled_out=999)), counters=counters
    )

    assert (found.calls, found.errors, found.bytes_read, found.latency_ns) == (1000, 1, 9990, 7000)
    assert [(r.syscall, r.calls) for r in found.syscalls] == [("read", 1000)]
    assert "exact counts" in found.notes[0]


def test_a_summary_shows_itself_as_text_and_in_a_page() -> None:
    """A summary printed, or the value of a cell, is what it says and not its fields."""
    found = summary_of([[("read", "/a", 5, 7, 0)]])

    assert (repr(found), found._repr_html_()) == (found.text(), found.html())
