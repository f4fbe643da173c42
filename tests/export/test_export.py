"""Exported files, read back by the rules of their formats and by parsers that are not ours."""

from __future__ import annotations

import csv as reader
import io
import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ior_nb.errors import ConfigError, RecordingError
from ior_nb.export import EXPORTERS, About, export, format_of
from ior_nb.export.arrow import encodable, event_batch
from ior_nb.export.csv import HEADER
from ior_nb.export.stacks import METRICS, one_line, stacks, tree
from ior_nb.result.figures import flame
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, Completeness, EventBatch
from ior_nb.runtime.completeness import COUNTED
from ior_nb.runtime.stacks import Frame, own_frame, place_of
from ior_nb.runtime.stacks import written as to_text
from ior_nb.runtime.text import printable
from tests.events import HOSTILE, ROWS, latency, made
from tests.fakes import batch

Event = dict[str, Any]
SPEEDSCOPE: Final = "speedscope@1.25.0"
SOME: Final = [
    {"comm": "py", "syscall": "read", "file": "/srv/api/lib", "latency_ns": 2_500, "bytes": 10, "pid": 7, "tid": 7},
    {"comm": "py", "syscall": "openat", "file": "/srv/api", "latency_ns": 1_000, "bytes": 0, "pid": 7, "tid": 8},
    {"comm": "sh", "syscall": "read", "file": "", "latency_ns": 40, "bytes": 5, "pid": 9, "tid": 9},
    {"comm": "py", "syscall": "read", "file": "/srv/api/lib", "latency_ns": 500, "bytes": 90, "pid": 7, "tid": 7},
]


def some() -> EventBatch:
    """Return four plain rows."""
    columns = {name: [event[name] for event in SOME] for name in SOME[0]}
    return batch(**columns, time_ns=[1_000_007_123, 1_000_004_000, 1_000_000_000, 1_000_020_000])


def written(events: EventBatch, name: str, about: About | None = None, **options: Any) -> bytes:
    """Return the file of a format."""
    return b"".join(EXPORTERS[name].function()(events, about or About(), **options))


def plain_frames(event: Event) -> tuple[str, ...]:
    """Return the frames comm, syscall and path of a row."""

    def parts(text: str) -> list[str]:
        escaped = printable(encodable(text))
        return [escaped] if escaped else []

    path = [c for part in parts(event["file"]) for c in re.findall("/[^/]*|[^/]+", part)]
    return (*parts(event["comm"].strip()), *parts(event["syscall"]), *path)


def plain_stacks(rows: list[Event], metric: str = "count") -> Counter[tuple[str, ...]]:
    """Return the weight of each stack."""
    weight: dict[str, Callable[[Event], int]] = {
        "count": lambda _: 1,
        "duration": latency,
        "bytes": lambda e: int(e["bytes"]),
        "gap": lambda e: int(e["gap_ns"]),
        **dict.fromkeys(METRICS.keys() - {"count", "duration", "bytes", "gap"}, lambda _: 0),  # not measured here
    }
    found: Counter[tuple[str, ...]] = Counter()
    for event in rows:
        found[plain_frames(event)] += weight[metric](event)
    return +found


def in_text(stacks: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return the stacks as a folded file has them: `;` divides frames there, and is an escape in a name."""
    return {tuple(frame.replace(";", "\\x3b") for frame in frames): weight for frames, weight in stacks.items()}


# ---- stacks and folded


@given(ROWS, st.sampled_from(sorted(METRICS)))
def test_stacks_equal_a_loop_over_the_rows(rows: list[Event], metric: str) -> None:
    """Distinct stacks and their weights are those of plain Python, in byte order of their text."""
    found = stacks(made(rows), metrics=[metric])
    weights = found.weights[metric].tolist()

    assert {f: w for f, w in zip(found.frames, weights, strict=True) if w} == plain_stacks(rows, metric)
    lines = [one_line(frames).encode() for frames in found.frames]
    assert lines == sorted(lines)


@given(ROWS)
def test_tree_conserves_the_weights(rows: list[Event]) -> None:
    """A frame's total is its own weight and its children's; the root has all."""
    nodes = tree(stacks(made(rows)))
    own: Counter[tuple[str, ...]] = Counter()
    for frames, weight in plain_stacks(rows).items():
        for depth in range(len(frames) + 1):
            own[frames[:depth]] += weight

    assert {tuple(nodes.path(n)): int(t) for n, t in enumerate(nodes.totals["count"]) if n or rows} == own


def test_a_frame_is_once_in_the_tree_though_others_sort_between_its_stacks() -> None:
    """`read`, `read-x` and `read;/a` are in this order, and the first and the last have one frame `read`."""
    rows = batch(comm=["read", "read-x", "read"], file=["", "/a", "/a"])
    nodes = tree(stacks(rows, "comm,path"))

    assert [tuple(nodes.path(n)) for n in range(len(nodes.names))] == [
        (),
        ("read",),
        ("read-x",),
        ("read-x", "/a"),
        ("read", "/a"),
    ]
    assert nodes.totals["count"].tolist() == [3, 2, 1, 1, 1]


def test_flags_of_opens_are_frames_in_every_format() -> None:
    """The field `flags` gives the flags of opens by name in folded stacks, speedscope, report and figures."""
    rows = batch(syscall=["openat", "read"], open_flags=[0o2000001, -1], comm=["py", "py"])

    assert written(rows, "folded", fields="comm,flags").decode() == "py 1\npy;O_WRONLY|O_CLOEXEC 1\n"
    assert b"O_WRONLY|O_CLOEXEC" in written(rows, "speedscope", fields=("comm", "flags"))
    assert b"O_WRONLY|O_CLOEXEC" in written(rows, "html", fields=("flags",))
    assert "O_WRONLY|O_CLOEXEC" in flame(rows, "flags").data[0].labels


def test_report_has_long_paths_whole_in_their_title() -> None:
    """A path the page may have to cut has its end apart from the rest, and all of it as a title."""
    path = "/srv" + "/warehouse" * 9 + "/part-00001.parquet"
    page = written(batch(syscall=["read"], file=[path], bytes=[5]), "html").decode()

    assert f'<td class="l wide path" title="{path}"><span>{path[:-20]}</span>{path[-20:]}</td>' in page


def test_folded_is_the_documented_form() -> None:
    """Frames joined by `;`, one blank, the weight, sorted; a path is cut before its slashes; zero weights are out."""
    assert written(some(), "folded").decode() == "py;openat;/srv;/api 1\npy;read;/srv;/api;/lib 2\nsh;read 1\n"
    assert written(some(), "folded", metric="bytes").decode() == "py;read;/srv;/api;/lib 100\nsh;read 5\n"
    assert written(some(), "folded", fields="path").decode() == "/srv;/api 1\n/srv;/api;/lib 2\n[unknown] 1\n"
    assert written(some(), "folded", fields=("pid", "tracepoint"), metric="duration").decode() == (
        "7;openat 1000\n7;read 3000\n9;read 40\n"
    )


@given(ROWS, st.sampled_from(sorted(METRICS)))
def test_folded_lines_cannot_be_forged(rows: list[Event], metric: str) -> None:
    """However rows are named, the lines are the stacks: as many, with their weights, one line end each."""
    text = written(made(rows), "folded", metric=metric).decode()
    lines = [line.rpartition(" ") for line in text.splitlines()]

    expected = in_text(plain_stacks(rows, metric))
    assert {tuple(stack.split(";")): int(weight) for stack, _, weight in lines} == expected
    assert len(lines) == text.count("\n") == len(plain_stacks(rows, metric))


# ---- speedscope


def check_speedscope(file: Any) -> None:
    """Check the rules of speedscope's file-format-schema.json, and those its importer relies on."""
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert {type(file[name]) for name in ("name", "exporter")} == {str}
    assert 0 <= file["activeProfileIndex"] < len(file["profiles"])
    frames = file["shared"]["frames"]
    assert all({"name"} <= set(frame) <= {"name", "file", "line"} for frame in frames)
    assert all(isinstance(frame["name"], str) and isinstance(frame.get("file", ""), str) for frame in frames)
    assert all(type(frame.get("line", 0)) is int for frame in frames)
    assert len({frame["name"] for frame in frames}) == len(frames)
    for profile in file["profiles"]:
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert profile["type"] == "sampled"
        assert profile["unit"] in ("none", "nanoseconds", "bytes")
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["startValue"] == 0
        assert profile["endValue"] == sum(profile["weights"])
        assert all(isinstance(i, int) and 0 <= i < len(frames) for sample in profile["samples"] for i in sample)
        assert all(isinstance(w, int) and w > 0 for w in profile["weights"])


@given(ROWS, st.sampled_from(sorted(METRICS)))
def test_speedscope_keeps_the_rules_of_its_schema(rows: list[Event], metric: str) -> None:
    """Every profile is a valid sampled one, and its stacks and weights are those of the rows."""
    file = json.loads(written(made(rows), "speedscope", metric=metric))
    check_speedscope(file)
    names = [frame["name"] for frame in file["shared"]["frames"]]

    assert file["profiles"][file["activeProfileIndex"]]["name"].endswith(f": {metric}")
    for profile in file["profiles"]:
        found = {
            tuple(names[i] for i in sample): weight
            for sample, weight in zip(profile["samples"], profile["weights"], strict=True)
        }

        assert found == plain_stacks(rows, profile["name"].rpartition(": ")[2])


# ---- Chrome trace events


def check_trace_events(file: Any) -> None:
    """Check the rules of the trace event format for the two phases we use."""
    assert set(file) - {"stackFrames"} == {"traceEvents", "displayTimeUnit", "otherData"}
    frames = file.get("stackFrames", {})
    for number, frame in frames.items():  # a tree: no frame is below itself
        assert {"category", "name"} <= set(frame) <= {"category", "name", "parent"}
        assert {type(word) for word in (number, *frame.values())} == {str}
        assert int(frame.get("parent", 0)) < int(number)
        assert "parent" not in frame or frame["parent"] in frames
    assert file["displayTimeUnit"] in ("ms", "ns")
    assert all(isinstance(value, str) for value in file["otherData"].values())
    last = 0.0
    for event in file["traceEvents"]:
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is type(event["tid"]) is int
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
        else:
            assert event["ph"] == "X"
            assert isinstance(event["cat"], str)
            assert "sf" not in event or event["sf"] in frames
            assert event["ts"] >= last
            assert event["dur"] >= 0
            last = event["ts"]


@given(ROWS)
def test_trace_events_are_the_rows(rows: list[Event]) -> None:
    """One complete event per row, sorted by start, microseconds exact to the nanosecond, names and file as traced."""
    file = json.loads(written(made(rows), "perfetto"))
    check_trace_events(file)
    start = min((e["time_ns"] for e in rows), default=0)
    found = [e for e in file["traceEvents"] if e["ph"] == "X"]

    assert [
        (e["args"]["seq"], e["name"], e["cat"], e["pid"], e["tid"], round(e["ts"] * 1000), round(e["dur"] * 1000))
        for e in found
    ] == [
        (e["seq"], e["syscall"], e["family"], e["pid"], e["tid"], e["time_ns"] - start, latency(e))
        for e in sorted(({**e, "seq": i} for i, e in enumerate(rows)), key=lambda e: e["time_ns"])
    ]
    for event in found:
        row = rows[event["args"]["seq"]]

        assert event["args"].get("file", "") == encodable(row["file"])
        assert event["args"].get("bytes", 0) == row["bytes"]
        assert event["args"].get("ret") == (row["ret"] if row["state"] == "done" else None)
        assert ("error" in event["args"]) == row["is_error"]
        assert event["args"].get("state", "done") == row["state"]


@given(ROWS)
def test_trace_events_have_a_named_lane_per_thread(rows: list[Event]) -> None:
    """Every process and thread has one name, the last it had."""
    events = json.loads(written(made(rows), "perfetto"))["traceEvents"]
    lanes = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    expected = {(e["pid"], e["tid"]): "" for e in rows}
    expected |= {(e["pid"], e["tid"]): encodable(e["comm"]) for e in rows if e["comm"]}

    assert lanes == expected
    assert Counter(e["pid"] for e in events if e["name"] == "process_name") == Counter({e["pid"] for e in rows})


def test_trace_events_remember_the_boot_clock() -> None:
    """Times count from the first call, and the file says when that was."""
    file = json.loads(written(some(), "perfetto", About(title="<t>")))
    slices = [e for e in file["traceEvents"] if e["ph"] == "X"]

    assert [e["ts"] for e in slices] == [0, 4, 7.123, 20]
    assert file["otherData"]["start_boot_ns"] == "1000000000"
    assert file["otherData"]["title"] == "<t>"


# ---- a parser that is not ours


@pytest.fixture(scope="session")
def speedscope(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Path]], list[list[Any]]]:
    """Read files with speedscope's importer; skip where node, npm or the registry is not there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("speedscope")
    try:
        subprocess.run([npm, "pack", SPEEDSCOPE, "--silent"], cwd=folder, check=True, capture_output=True, timeout=40)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"npm cannot fetch {SPEEDSCOPE}: {error}")
    subprocess.run(["tar", "xzf", next(folder.glob("*.tgz")).name], cwd=folder, check=True)
    bundle = next(folder.glob("package/dist/release/speedscope-*.js"))
    script = Path(__file__).with_name("speedscope.mjs")

    def read(files: list[Path]) -> list[list[Any]]:
        done = subprocess.run(
            [node, str(script), str(bundle), *map(str, files)], check=True, capture_output=True, timeout=40
        )
        return list(json.loads(done.stdout))

    return read


def hostile_rows() -> list[Event]:
    """Return rows with every hostile name, one after the other on one thread."""
    return [
        {
            "comm": HOSTILE[-1 - i],
            "syscall": "read",
            "family": "FS",
            "file": name,
            "state": "done",
            "latency_ns": 1000 + i,
            "gap_ns": 0,
            "bytes": i,
            "time_ns": 10**12 + 5000 * i,
            "pid": 7,
            "tid": 7,
        }
        for i, name in enumerate(HOSTILE)
    ]


def test_speedscope_reads_folded_stacks_and_its_own_format(
    speedscope: Callable[[list[Path]], list[list[Any]]], tmp_path: Path
) -> None:
    """The importer of speedscope finds the stacks and weights of the rows in both files, whatever the names."""
    rows = hostile_rows()
    events = made(rows)
    folded, own = speedscope([export(events, tmp_path / "x.folded"), export(events, tmp_path / "x.speedscope.json")])
    expected = plain_stacks(rows)
    counted = next(p for p in own if p["name"].endswith(": count"))
    timed = next(p for p in own if p["name"].endswith(": duration"))

    assert {tuple(names): weight for names, weight in folded[0]["stacks"]} == in_text(expected)
    assert {tuple(names): weight for names, weight in counted["stacks"]} == expected
    assert folded[0]["total"] == counted["total"] == len(rows)
    assert (timed["unit"], timed["total"]) == ("nanoseconds", sum(map(latency, rows)))


def test_speedscope_reads_what_rows_lack(speedscope: Callable[[list[Path]], list[list[Any]]], tmp_path: Path) -> None:
    """A folded file has calls that are no rows as a stack, and words that weigh nothing; the other one has a name."""
    books = Accounting(seen=99, emitted=3, sampled_out=96)
    missing = {"pread64": {"calls": 96, "errors": 0, "bytes": 10, "latency_ns": 50}}
    about = About(title="t", completeness=Completeness(accounting=books, unrecorded=missing))
    files = [
        export(made(hostile_rows()[:3]), tmp_path / f"x.{end}", about=about) for end in ("folded", "speedscope.json")
    ]
    folded, own = speedscope(files)
    counted = next(p for p in own if p["name"].endswith(": count"))

    assert folded[0]["total"] == 99
    assert [["[not recorded]", "pread64"], 96] in folded[0]["stacks"]
    assert counted["total"] == 3
    assert "96 counted only" in counted["name"]


def test_speedscope_reads_trace_events(speedscope: Callable[[list[Path]], list[list[Any]]], tmp_path: Path) -> None:
    """The importer of speedscope finds one profile per thread, with every call and the time of all."""
    rows = hostile_rows()
    named = [{**e, "tid": 8, "comm": "second"} for e in rows[:3]]
    (lanes,) = speedscope([export(made(rows + named), tmp_path / "x.trace.json")])

    calls = [[(names, weight) for names, weight in lane["stacks"] if names] for lane in lanes]  # without idle time
    calls.sort(key=len)

    assert [len(lane) for lane in calls] == [3, len(rows)]
    for lane, expected in zip(calls, (named, rows), strict=True):
        assert sum(weight for _, weight in lane) == pytest.approx(sum(map(latency, expected)) / 1000)
        assert all(len(names) == 1 and names[0].startswith("read") for names, _ in lane)


# ---- Python stacks


NAMES: Final = ("<module>", "f", 'a;b(c)\\"<i>\n', "", "…", "x (y:3)", "é;")
FILES: Final = ("/home/ada/a.py", "/x;y/(z).py", "<string>", 'c:\\"d"\x1b.py', "/usr/lib/python3.11/io.py")
FRAMES: Final = st.builds(Frame, st.sampled_from(NAMES), st.sampled_from(FILES), st.integers(0, 9))
STACKED: Final = st.lists(st.lists(FRAMES, max_size=5), min_size=1, max_size=8)


def stacked(found: list[list[Frame]]) -> EventBatch:
    """Return a call of each stack."""
    own = [own_frame(frames) for frames in found]
    return batch(
        syscall=["read"] * len(found),
        time_ns=list(range(len(found))),
        stack=[to_text(frames) for frames in found],
        py_file=[frame.file for frame in own],
        py_line=[frame.line for frame in own],
        py_func=[frame.function for frame in own],
        opened_at=[place_of(frame) for frame in own],
    )


def shown(frame: Frame) -> str:
    """Return a frame as a flame graph has it."""
    return printable(to_text([frame]))


@given(STACKED)
def test_folded_stacks_are_python_s_frames(found: list[list[Frame]]) -> None:
    """A line a stack, a part a frame, whatever the names: none ends a frame or a line."""
    lines = written(stacked(found), "folded", fields="python,syscall").decode().splitlines()
    told = Counter({tuple(stack.split(";")): int(count) for stack, _, count in (one.rpartition(" ") for one in lines)})

    assert told == Counter((*map(shown, frames), "read") for frames in found)


@given(STACKED)
def test_speedscope_has_python_s_frames_with_their_places(found: list[list[Frame]]) -> None:
    """Each frame of the schema has name, file and line; stacks are those of the rows."""
    file = json.loads(written(stacked(found), "speedscope", fields="python,syscall"))
    check_speedscope(file)
    frames = file["shared"]["frames"]
    (profile,) = (one for one in file["profiles"] if one["name"].endswith(": count"))
    told = Counter(
        {tuple(frames[i]["name"] for i in s): w for s, w in zip(profile["samples"], profile["weights"], strict=True)}
    )
    places = {shown(frame): (printable(frame.file), frame.line) for stack in found for frame in stack}

    assert told == Counter((*map(shown, stack), "read") for stack in found)
    assert {f["name"]: (f["file"], f["line"]) for f in frames if "file" in f} == places


@given(STACKED)
def test_trace_events_have_python_s_frames_as_a_tree(found: list[list[Frame]]) -> None:
    """A slice names its innermost frame of `stackFrames`, whose parents are the rest; its line is an argument."""
    file = json.loads(written(stacked(found), "perfetto"))
    check_trace_events(file)
    slices = [event for event in file["traceEvents"] if event["ph"] == "X"]
    for event, frames in zip(slices, found, strict=True):
        names, at = [], event.get("sf")
        while at is not None:
            names.append(file["stackFrames"][at]["name"])
            at = file["stackFrames"][at].get("parent")
        own = own_frame(frames)

        assert names[::-1] == [to_text([frame]) for frame in frames]
        assert event["args"].get("py_file", "") == own.file
        assert (event["args"].get("py_line", 0), event["args"].get("py_func", "")) == (own.line, own.function)
        assert event["args"].get("opened_at", "") == place_of(own)


def test_a_comm_that_looks_like_a_frame_has_no_place() -> None:
    """Only frames of Python stacks have a file in speedscope."""
    file = json.loads(written(batch(syscall=["read"], comm=["f (a.py:3)"]), "speedscope", fields="comm,syscall"))

    assert all(set(frame) == {"name"} for frame in file["shared"]["frames"])


# ---- CSV and Arrow


def test_csv_has_the_columns_of_the_reference() -> None:
    """The header row is the one of ior, column for column, and what is ours behind it."""
    assert ",".join(HEADER) == (
        "seq,time_ns,gap_ns,latency_ns,comm,pid,tid,syscall,fd,ret,bytes,file,error,family,requested_sleep_ns,nfds,"
        "timeout_ns,address_space_bytes,old_file,epoll_op,epoll_target_fd,epoll_events,"
        "probe,py_file,py_line,py_func,stack,"
        "fetched_bytes,source,on_cpu_ns,wait_cpu_ns,wait_device_ns,wait_lock_ns,wait_other_ns,"
        "opened_at,peer,local,object,label,host"
    )
    assert len(HEADER) == 40


@given(ROWS)
def test_csv_reads_back_as_the_rows(rows: list[Event]) -> None:
    """A strict RFC 4180 reader gets every value back as traced, quotes, commas and line ends in names too."""
    text = written(made(rows), "csv", raw=True).decode()
    found = list(reader.DictReader(io.StringIO(text, newline=""), strict=True))

    assert text.startswith(",".join(HEADER) + "\n")
    assert len(found) == len(rows)
    for line, event in zip(found, rows, strict=True):
        for name in ("time_ns", "gap_ns", "latency_ns", "pid", "tid", "fd", "ret", "bytes"):
            assert line[name] == str(event[name])
        for name in ("comm", "syscall", "family", "file", "old_file"):
            assert line[name] == encodable(event[name])
        assert line["error"] == str(event["is_error"]).lower()


@given(ROWS)
def test_csv_is_no_formula_and_no_escape_sequence(rows: list[Event]) -> None:
    """No cell begins as a formula does, and no character acts on a terminal; nothing else of a name changes."""
    text = written(made(rows), "csv").decode()
    found = list(reader.DictReader(io.StringIO(text, newline=""), strict=True))

    assert text.replace("\n", "") == printable(text.replace("\n", ""))
    for line, event in zip(found, rows, strict=True):
        for name in ("comm", "syscall", "family", "file", "old_file"):
            shown = printable(encodable(event[name]))
            assert line[name] == (f"'{shown}" if shown[:1] in "=+-@" and shown else shown)


def test_csv_says_in_its_first_row_what_the_rows_lack() -> None:
    """A last column is there where rows are missing, filled once; without rows it is all there is."""
    lacking = About(completeness=Completeness(accounting=Accounting(seen=9, emitted=2, sampled_out=7)))
    lines = written(batch(file=["/a", "/b"]), "csv", lacking).decode().splitlines()
    none = written(batch(file=[]), "csv", lacking).decode().splitlines()

    assert lines[0] == none[0] == f"{','.join(HEADER)},completeness"
    assert lines[1].endswith(',"complete: 9 calls seen, 2 recorded, 7 counted only"')
    assert lines[2].endswith(",")
    assert none[1:] == [f'{"," * len(HEADER)}"complete: 9 calls seen, 2 recorded, 7 counted only"']


def test_csv_quotes_only_what_needs_it() -> None:
    """Plain values stand bare; a quote inside a quoted value is doubled."""
    lines = written(batch(file=["/plain", 'a"b', "x,y", " z", ""]), "csv").decode().split("\n")[1:6]

    assert [line.split(",", 11)[11].rsplit(",", len(HEADER) - 12)[0] for line in lines] == [
        "/plain",
        '"a""b"',
        '"x,y"',
        '" z"',
        "",
    ]


@given(ROWS)
def test_arrow_files_read_back_as_the_batch(rows: list[Event]) -> None:
    """An Arrow file has every column of every row."""
    events = made(rows)
    found = event_batch(pa.ipc.open_file(written(events, "arrow", About(title="t"))).read_all())

    assert len(found) == len(events)
    for name, column in events.columns.items():
        if name in events.tables:
            assert found.text(name).tolist() == [encodable(text) for text in events.text(name)]
        else:
            assert np.array_equal(found[name], column)


# ---- the report


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self._raw = ""
        self.raw: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._raw = tag if tag in ("script", "style") else ""

    def handle_data(self, data: str) -> None:
        if self._raw:
            self.raw[self._raw] = self.raw.get(self._raw, "") + data
        else:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""


ALLOWED_TAGS: Final = frozenset(
    "html head meta title style body main header h1 h2 p div span section input label b i small svg rect text line "
    "button details summary table thead tbody tr th td footer script".split()
)
ALLOWED_ATTRIBUTES: Final = frozenset(
    "aria-label charset checked class content data-sort data-v for height http-equiv id lang name open placeholder "
    "role scope style title type width x x1 x2 y y1 y2".split()
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.sampled_from(HOSTILE))
def test_report_is_self_contained_and_escapes_what_was_traced(rows: list[Event], title: str) -> None:
    """No address, no foreign script, and no traced byte becomes a tag, an attribute or an invisible character."""
    lacking = Completeness(caveats=(title,), unrecorded={"read": dict.fromkeys(COUNTED, 3)})
    about = About(title=title, facts=(title,), completeness=lacking, notes=(title,), duration_s=2.5)
    text = written(made(rows), "html", about).decode()
    page = Page(text)

    assert set(page.tags) <= ALLOWED_TAGS
    assert {name for _, name, _ in page.attributes} <= ALLOWED_ATTRIBUTES
    assert (page.tags["script"], page.tags["style"], page.tags["meta"]) == (1, 1, 5)
    assert all(c.isprintable() or c in "\n" for c in text)
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)

    assert policy.startswith("default-src 'none'")
    plain = written(made([]), "html").decode()
    for forbidden in ("http:", "https:", "url(", "src=", "@import", "<link", "<iframe", "<img"):
        assert forbidden not in plain.replace("default-src", "").replace("script-src", "")
        assert forbidden not in page.raw["style"] + page.raw["script"]


def test_report_script_is_the_one_the_policy_allows() -> None:
    """The hash in the page's policy is that of its script; nothing traced is in script or style."""
    import base64
    import hashlib

    pages = [Page(written(events, "html").decode()) for events in (made([]), made(hostile_rows()))]
    policy = next(value for _, name, value in pages[0].attributes if name == "content" and "sha256-" in value)
    digest = base64.b64encode(hashlib.sha256(pages[0].raw["script"].encode()).digest()).decode()

    assert f"'sha256-{digest}'" in policy
    assert pages[0].raw == pages[1].raw
    for word in ("innerHTML", "eval(", "Function(", "fetch(", "insertAdjacentHTML", "document.write", "XMLHttp"):
        assert word not in pages[0].raw["script"]


def test_report_shows_totals_and_names() -> None:
    """The page has the totals, the completeness line and every name as text."""
    lacking = Completeness(accounting=Accounting(lost={"ring": 3}), caveats=("only rows where errors",))
    about = About(title="my cell", completeness=lacking, notes=("a note",))
    text = " ".join(Page(written(some(), "html", about).decode()).text)

    for wanted in (
        "my cell",
        "3 lost (ring)",
        "only rows where errors",
        "a note",
        "/srv/api/lib",
        "openat",
        "105 B",
        "4.04 µs",
    ):
        assert wanted in text


def test_report_has_a_table_of_labels_where_there_are_any() -> None:
    """Each label is text, whatever is in it, and calls without one have a word; without labels there is no table."""
    rows = some()
    labels = np.zeros(len(rows), np.int32)
    labels[: len(rows) // 2] = rows.tables["label"].intern("epoch <3>")
    labelled = Page(written(rows.with_columns(label=labels), "html").decode()).text

    assert {"Labels", "epoch <3>", "(none)"} <= set(labelled)
    assert "Labels" not in Page(written(rows, "html").decode()).text


def test_report_flame_graph_is_as_wide_as_the_rows() -> None:
    """Each drawing has the frames of the heaviest stacks, children inside their parents, as wide as their share."""
    text = written(some(), "html", fields="comm,syscall,path", metric="bytes").decode()
    begin = text.index('class="graph g-bytes"')
    drawing = text[begin : text.index("hint", begin)]
    boxes = re.findall(r'x="([\d.]+)%" y="(\d+)" width="([\d.]+)%".*?<text[^>]*>([^<]*)</text>', drawing, re.DOTALL)
    widths = {(name, int(y) // 21): float(width) for _, y, width, name in boxes}

    assert widths[("all", 0)] == 100
    assert widths[("py", 1)] == pytest.approx(100 * 100 / 105, abs=0.01)
    assert widths[("/lib", 5)] == pytest.approx(100 * 100 / 105, abs=0.01)
    assert ("openat", 2) not in widths


@pytest.mark.parametrize("metric", ["weight", ""])
def test_unknown_metrics_and_fields_are_refused(metric: str, tmp_path: Path) -> None:
    """A wrong option is one line with the right ones, and no file is left."""
    for name in ("folded", "speedscope", "html"):
        with pytest.raises(ConfigError, match="choose from count"):
            export(some(), tmp_path / "x", format=name, metric=metric)
        with pytest.raises(ConfigError, match="choose from comm"):
            export(some(), tmp_path / "x", format=name, fields="comm,nothing")

    assert not list(tmp_path.iterdir())


# ---- files


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_exporter_writes_its_file(name: str, tmp_path: Path) -> None:
    """Rows and no rows, the extension appended where it is missing; the table knows the format by its ending."""
    for events in (some(), made([]), EventBatch.empty()):
        path = export(events, tmp_path / "trace", format=name)

        assert path == tmp_path / f"trace{EXPORTERS[name].extension}"
        assert path.stat().st_size or not len(events)
        assert format_of(path) == name
        assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_export_by_ending_replaces_and_by_name_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of the user's replaces what is there; a made-up name never does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "20250102-030405")
    (tmp_path / "a.csv").write_text("old")

    assert export(some(), "a.csv") == tmp_path / "a.csv"
    assert (tmp_path / "a.csv").read_text().startswith("seq,")
    names = [export(some(), "speedscope").name for _ in range(2)]
    assert names == [
        "ior-speedscope-20250102-030405.speedscope.json",
        "ior-speedscope-20250102-030405-1.speedscope.json",
    ]
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) & 0o111 == 0


@pytest.mark.parametrize("target", ["trace.xyz", "x.json", "nothing", ""])
def test_export_refuses_what_is_no_format(target: str, tmp_path: Path) -> None:
    """A name whose ending says nothing is refused with the formats there are."""
    with pytest.raises(ConfigError, match="speedscope"):
        export(some(), target)
    with pytest.raises(ConfigError, match="no format 'pdf'"):
        export(some(), tmp_path / "x.csv", format="pdf")
    with pytest.raises(ConfigError, match="no option 'metric'"):
        export(some(), tmp_path / "x.csv", metric="count")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing/x.csv", "no directory"),
        ("file/x.csv", "choose another|no directory"),
        ("folder", "is a directory"),
        ("new/", "is a directory"),
        ("a\0b.csv", "no file name"),
        ("  ", "no file name"),
        ("x" * 300 + ".csv", "too long"),
        ("pipe.csv", "no regular file"),
    ],
)
def test_export_refuses_bad_paths_in_one_line(name: str, words: str, tmp_path: Path) -> None:
    """A path that can be no file is one line that says why, and nothing is written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe.csv")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RecordingError, match=words) as caught:
        export(some(), name if name.isspace() else f"{tmp_path}/{name}", format="csv")

    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middle of writing is one line; the old file stays whole and no temporary one is left."""
    import ior_nb.export.csv as module

    def parts(batch: EventBatch, about: About) -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    (tmp_path / "a.csv").write_text("old")
    monkeypatch.setattr(module, "csv", parts)
    with pytest.raises(RecordingError, match="No space left"):
        export(some(), tmp_path / "a.csv")

    assert (tmp_path / "a.csv").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_trace_export_knows_parquet_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace writes all formats of the table, and its recording format, by ending, by option and by name."""
    monkeypatch.chdir(tmp_path)
    found = Trace(title="cell 3", scope="process 7", engine="fake")
    found.add(some())
    found.finish(window=(999_999_000, 1_000_100_000), accounting=Accounting(seen=4, emitted=4), counters={})
    paths = [
        found.export("a.parquet"),
        found.export("b", format="parquet"),
        found.export("parquet"),
        found.export("report.html"),
        found.export("perfetto"),
    ]

    assert [p.suffix for p in paths] == [".parquet"] * 3 + [".html", ".json"]
    assert "complete: 4 calls seen" in (tmp_path / "report.html").read_text()
    assert "cell 3" in (tmp_path / "report.html").read_text()
    with pytest.raises(ConfigError, match="no option"):
        found.export("c.parquet", metric="count")


@pytest.mark.bench
def test_exports_of_a_million_rows() -> None:
    """Each format takes at most 10 µs per row; the report is no larger than a picture."""
    rng = np.random.default_rng(1)
    few = made(hostile_rows() * 300)
    events = few.take(np.sort(rng.integers(0, len(few), 1_000_000)))
    for name in EXPORTERS:
        begin = time.perf_counter()
        size = len(written(events, name))
        spent = time.perf_counter() - begin
        print(f"{name:12} {spent:6.2f} s {size:14,} bytes")

        assert spent < 10
        assert name != "html" or size < 2_000_000
