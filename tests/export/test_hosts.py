"""Exports of rows of several hosts, whose processes have the same ids."""

from __future__ import annotations

import csv as reader
import io
import json
from typing import Any, Final

import pytest

from ior_nb.export import EXPORTERS, About
from ior_nb.export.stacks import one_line, stacks
from ior_nb.result.figures import diff_flame
from ior_nb.runtime import EventBatch
from tests.fakes import batch

ODD: Final = '<b>"\u202e;'


def rows(*hosts: str) -> EventBatch:
    """Process 7 of each host, with the threads 7 and 8, and process 9 of the last."""
    whose = [(host, 7, tid) for host in hosts for tid in (7, 8)] + [(hosts[-1], 9, 9)]
    names, pids, tids = (list(column) for column in zip(*whose, strict=True))
    count = len(whose)
    return batch(
        syscall=["read"] * count,
        comm=["worker"] * count,
        host=names,
        pid=pids,
        tid=tids,
        ppid=[1] * count,
        file=["/data"] * count,
        time_ns=list(range(100, 100 + count)),
        seq=list(range(count)),
    )


def written(events: EventBatch, name: str, **options: Any) -> bytes:
    """Return the file of a format."""
    return b"".join(EXPORTERS[name].function()(events, About(), **options))


def without_host(found: EventBatch) -> EventBatch:
    """Return the rows as they were before anybody asked where they are from."""
    return found.with_columns(host=found["host"] * 0)


def events(found: EventBatch) -> list[dict[str, Any]]:
    """Return the trace events."""
    return list(json.loads(written(found, "perfetto"))["traceEvents"])


def test_trace_events_of_several_hosts_have_a_process_each() -> None:
    """Ids that two hosts have are numbers nobody has, an id of one host stays; names say host and id."""
    found = events(rows("ada", ODD))
    names = {e["pid"]: e["args"]["name"] for e in found if e["name"] == "process_name"}
    lanes = {(e["pid"], e["tid"]) for e in found if e["name"] == "thread_name"}

    assert set(names.values()) == {"worker (ada:7)", f"worker ({ODD}:7)", f"worker ({ODD}:9)"}
    assert names[9] == f"worker ({ODD}:9)"
    assert all(pid >= 1 << 22 for pid in names if pid != 9)
    assert len(lanes) == 5
    assert sum(pid == tid for pid, tid in lanes) == len(names)  # main threads stay main threads


def test_trace_events_say_where_they_are_from() -> None:
    """Each slice is on the lane of its own process, and has host and id as they were traced."""
    found = events(rows("ada", ODD))
    names = {e["pid"]: e["args"]["name"] for e in found if e["name"] == "process_name"}
    slices = sorted((e for e in found if e["ph"] == "X"), key=lambda e: e["args"]["seq"])

    assert [(e["args"]["host"], e["args"]["pid"]) for e in slices] == [
        *[("ada", 7)] * 2,
        *[(ODD, 7)] * 2,
        (ODD, 9),
    ]
    for event in slices:
        assert names[event["pid"]] == f"worker ({event['args']['host']}:{event['args']['pid']})"


def test_numbers_of_processes_are_those_nobody_has() -> None:
    """A number that a foreign recording uses is given to no other process."""
    both = rows("ada", "bob")
    taken = both.with_columns(tid=both["tid"] + (1 << 22) - 7, pid=both["pid"])
    found = events(taken)
    given = {e["pid"] for e in found if e["name"] == "process_name"} - {9}

    assert len(given) == 2
    assert not given & set(taken["tid"].tolist())


def test_trace_events_of_one_host_name_none() -> None:
    """A recording that says its host is the file that its trace would have been."""
    one = rows("ada")

    assert written(one, "perfetto") == written(without_host(one), "perfetto")


@pytest.mark.parametrize("name", ["folded", "speedscope"])
def test_stacks_tell_ids_of_hosts_apart(name: str) -> None:
    """Above an id stands its host, of several; one host is the stacks it always was."""
    several = written(rows("ada", "b;b"), name, fields="syscall,pid").decode()
    one = rows("ada")

    assert "ada" in several
    assert one_line(["b;b"]) in several if name == "folded" else "b;b" in several
    assert written(one, name, fields="syscall,pid") == written(without_host(one), name, fields="syscall,pid")


def test_a_host_stands_above_its_ids() -> None:
    """In stacks of rows of several hosts, once, and where the user puts it when he does."""
    both = rows("ada", "")
    found = stacks(both, "syscall,tid,pid")

    assert found.fields == ("syscall", "host", "tid", "pid")
    assert ("read", "ada", "7", "7") in found.frames
    assert ("read", "7", "7") in found.frames  # a host without a name has no frame
    assert stacks(both, "tid,host").fields == ("tid", "host")
    assert stacks(both, "comm,file").fields == ("comm", "file")


def test_a_comparison_has_the_same_frames_on_both_sides() -> None:
    """A run on one host is compared with one on two host by host."""
    figure = diff_flame(rows("ada"), rows("ada", "bob"), "pid", "count")

    assert list(figure.data[0].labels).count("ada") == 1
    assert list(figure.data[0].labels).count("bob") == 1


def test_csv_says_the_host_of_each_row() -> None:
    """As text that no spreadsheet runs."""
    found = list(reader.DictReader(io.StringIO(written(rows("ada", "=1+1"), "csv").decode())))

    assert [row["host"] for row in found] == ["ada", "ada", "'=1+1", "'=1+1", "'=1+1"]


def test_a_report_has_the_hosts_of_ids() -> None:
    """In the tables of processes and of the slowest calls, of several; else there is no such column."""
    several, one = (written(found, "html").decode() for found in (rows("ada", "<b>"), rows("ada")))

    assert several.count(">host</th>") == 2
    assert "<b></td>" not in several
    assert ">host</th>" not in one
