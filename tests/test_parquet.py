"""Recordings: what is written, what survives, what is refused."""

import errno
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ior_nb.parquet
from ior_nb.errors import RecordingError
from ior_nb.export.arrow import event_batch, record_batch
from ior_nb.parquet import Recorder, read, read_chain, target
from ior_nb.parquet.chain import Chain, link, links
from ior_nb.parquet.reader import checked
from ior_nb.parquet.rows import RowQueue
from ior_nb.parquet.thrift import Field, Items, Kind, Struct, decode, encode
from ior_nb.runtime import RecordingState
from ior_nb.runtime.batch import EventBatch, new_tables
from ior_nb.runtime.schema import NAMES

REFERENCE_COLUMNS = [
    ("seq", pa.uint64()),
    ("time_ns", pa.uint64()),
    ("gap_ns", pa.uint64()),
    ("latency_ns", pa.uint64()),
    ("comm", pa.string()),
    ("pid", pa.uint32()),
    ("tid", pa.uint32()),
    ("syscall", pa.string()),
    ("family", pa.string()),
    ("fd", pa.int32()),
    ("ret", pa.int64()),
    ("bytes", pa.uint64()),
    ("address_space_bytes", pa.uint64()),
    ("requested_sleep_ns", pa.int64()),
    ("nfds", pa.int32()),
    ("timeout_ns", pa.int64()),
    ("file", pa.string()),
    ("is_error", pa.bool_()),
    ("filter_epoch", pa.uint64()),
    ("old_file", pa.string()),
    ("epoll_op", pa.string()),
    ("epoll_target_fd", pa.int32()),
    ("epoll_events", pa.uint32()),
]

TABLES = new_tables()
RANDOM = np.random.default_rng(7)


def events(count: int, first: int = 0) -> EventBatch:
    """Return rows numbered from `first`, each with a file name that tells its number."""
    seq = np.arange(first, first + count, dtype=np.uint64)
    return EventBatch(
        {
            "seq": seq,
            "time_ns": 10**15 + seq * np.uint64(1009),
            "latency_ns": RANDOM.integers(0, 2**60, count, dtype=np.uint64),
            "ret": -seq.astype(np.int64),
            "is_error": seq % 2 == 1,
            "file": TABLES["file"].intern_many([f"/file/{i}" for i in seq.tolist()]),
            "syscall": TABLES["syscall"].intern_many(["read"] * count),
        },
        TABLES,
    )


def numbers(table: pa.Table) -> list[int]:
    """Return the row numbers of a table, after a look at the text that goes with them."""
    seq: list[int] = table["seq"].to_pylist()
    assert table["file"].to_pylist() == [f"/file/{i}" for i in seq]
    return seq


def names(directory: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return sorted(path.name for path in directory.iterdir())


def places(path: Path) -> list[tuple[int, int]]:
    """Return where the links of a chain begin, and their lengths."""
    with path.open("rb") as file:
        return links(file)[0]


class Gate:
    """A conversion that waits until it is let through, and remembers what came."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, batch: EventBatch) -> pa.RecordBatch:
        if len(batch):
            self.sizes.append(len(batch))
            self.entered.set()
            assert self.open.wait(30)
        return record_batch(batch)


def failing(after: int, error: Exception) -> Callable[[EventBatch], pa.RecordBatch]:
    """Return a conversion that raises once it has done `after` groups."""
    done = 0

    def convert(batch: EventBatch) -> pa.RecordBatch:
        nonlocal done
        if len(batch):
            if done == after:
                raise error
            done += 1
        return record_batch(batch)

    return convert


def running(recorder: Recorder) -> Any:
    """Return the inside of the recording."""
    assert recorder._recording is not None
    return recorder._recording


def ended(recorder: Recorder) -> None:
    """Wait until the writing thread of a failed recording has ended."""
    running(recorder).worker.join(30)
    assert not recorder.status().active


def record(path: str | Path, *batches: EventBatch, group_rows: int = 1000, generated: bool = False) -> Path:
    """Make a recording of some batches."""
    recorder = Recorder(record_batch, group_rows=group_rows)
    recorder.start(path, metadata={"ior.hostname": "here"}, generated=generated)
    for batch in batches:
        recorder.record(batch)
    published = recorder.stop()
    assert published is not None
    return published


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """The temporary file of a recording with row groups of 100, 100 and 50 rows, as a crash leaves it."""
    path = tmp_path / "ior-0123456789abcdef.tmp"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    written = Chain(fd, link(record_batch(EventBatch.empty()), {b"ior.hostname": b"here"}))
    for first, count in ((0, 100), (100, 100), (200, 50)):
        written.append(link(record_batch(events(count, first))))
    os.close(fd)
    return path


# --- what is written -------------------------------------------------------------------------------------------------


def test_recording_has_every_row_in_order(tmp_path: Path) -> None:
    """Batches of any size come back as they went in, in row groups of the size asked for."""
    path = record(tmp_path / "a.parquet", events(0), events(1), events(2499, 1), events(700, 2500), group_rows=1000)
    table = read(path)

    assert numbers(table) == list(range(3200))
    assert table.column_names == list(NAMES)
    assert pq.read_metadata(path).num_row_groups == 4
    assert names(tmp_path) == ["a.parquet"]


def test_recording_begins_with_the_columns_of_the_reference(tmp_path: Path) -> None:
    """The first 23 columns have the names and types of the files of the Go program, and none is nullable."""
    schema = pq.read_schema(record(tmp_path / "a", events(3)))

    assert [(f.name, f.type) for f in schema][:23] == REFERENCE_COLUMNS
    assert not any(f.nullable for f in schema)


def test_recording_is_read_by_plain_pyarrow_and_pandas(tmp_path: Path) -> None:
    """Readers that know nothing of us get every row, and text as plain strings."""
    path = record(tmp_path / "a", events(2500))

    assert numbers(pq.read_table(path)) == list(range(2500))
    assert pq.read_table(path, filters=[("seq", ">=", 2000)]).num_rows == 500
    assert pd.read_parquet(path)["file"].iloc[-1] == "/file/2499"


def test_recording_is_read_by_duckdb(tmp_path: Path) -> None:
    """DuckDB reads the rows of all row groups, also when it skips groups by their statistics."""
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb")
    path = record(tmp_path / "a", events(2500))
    found = duckdb.sql(f"select count(*), min(file), max(seq) from '{path}' where seq between 999 and 1000").fetchall()

    assert found == [(2, "/file/1000", 1000)]


def test_recording_of_no_rows_is_a_file_with_the_schema(tmp_path: Path) -> None:
    """A recording nothing came into is still a recording."""
    path = record(tmp_path / "a")

    assert read(path).num_rows == 0
    assert pq.read_table(path).column_names == list(NAMES)


def test_recording_of_one_row(tmp_path: Path) -> None:
    """One row is enough."""
    assert numbers(read(record(tmp_path / "a", events(1)))) == [0]


def test_recording_keeps_hostile_text(tmp_path: Path) -> None:
    """Control characters, NUL and markup come back; what UTF-8 cannot hold comes back escaped."""
    tables = new_tables()
    names = ["a\0b", "line\nbreak", "\x1b[31m", "<script>", "😀" * 1000, "\udcff"]
    batch = EventBatch({"file": tables["file"].intern_many(names)}, tables)
    path = record(tmp_path / "a", batch)

    assert event_batch(read(path)).text("file").tolist() == [*names[:-1], "\\xff"]


def test_row_group_holds_only_its_own_strings(tmp_path: Path) -> None:
    """The dictionaries of a row group are its own, so that many groups do not repeat a long table."""
    path = record(tmp_path / "a", *[events(100, 100 * i) for i in range(20)], group_rows=100)
    groups = [pq.ParquetFile(path, read_dictionary=["file"]).read_row_group(i, ["file"]) for i in range(20)]

    assert [len(g["file"].chunk(0).dictionary) for g in groups] == [100] * 20


def test_metadata_of_start_and_end_are_in_the_footer(tmp_path: Path) -> None:
    """Pairs given at the start and later are in the footer; later ones replace, and bad text is escaped."""
    recorder = Recorder(record_batch)
    recorder.start(tmp_path / "a", metadata={"ior.hostname": "here", "ior.mode": "cell"})
    recorder.record(events(1))
    recorder.set_metadata({"ior.mode": "session", "ior.accounting": '{"ä": "\udcff"}'})
    path = recorder.stop()
    assert path is not None

    expected = {b"ior.hostname": b"here", b"ior.mode": b"session", b"ior.accounting": '{"ä": "\\udcff"}'.encode()}
    assert pq.read_metadata(path).metadata == expected
    assert read(path).schema.metadata == expected


def test_read_returns_the_columns_asked_for(tmp_path: Path) -> None:
    """Only the named columns are read, from a finished recording and from a chain."""
    path = record(tmp_path / "a", events(5))

    assert read(path, ["ret", "seq"]).num_columns == 2
    assert read(path, []).num_columns == 0


def test_encodings_suit_the_columns(tmp_path: Path) -> None:
    """Times are differences, text is in dictionaries, everything is compressed."""
    group = pq.read_metadata(record(tmp_path / "a", events(5000), group_rows=5000)).row_group(0)
    chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}

    assert "DELTA_BINARY_PACKED" in chunks["time_ns"].encodings
    assert "RLE_DICTIONARY" in chunks["file"].encodings
    assert {c.compression for c in chunks.values()} == {"ZSTD"}
    assert chunks["time_ns"].statistics.max == 10**15 + 4999 * 1009


# --- the thread and the queue ----------------------------------------------------------------------------------------


def test_rows_are_written_by_the_thread_of_that_name(tmp_path: Path) -> None:
    """Conversion and writing happen in one thread, whose kernel id is known from the start to the end."""
    seen = []

    def convert(batch: EventBatch) -> pa.RecordBatch:
        if len(batch):
            seen.append((threading.current_thread().name, threading.get_native_id()))
        return record_batch(batch)

    recorder = Recorder(convert)
    before = recorder.worker_tid
    recorder.start(tmp_path / "a")
    tid = recorder.worker_tid
    recorder.record(events(1))
    recorder.stop()

    assert seen == [("ior-recorder", tid)]
    assert before is None
    assert recorder.worker_tid is None


def test_group_that_stays_small_is_written_when_it_is_due(tmp_path: Path) -> None:
    """Rows wait for their row group no longer than the flush interval."""
    now = [0.0]
    gate = Gate()
    gate.open.set()
    recorder = Recorder(gate, clock=lambda: now[0], flush_seconds=10)
    recorder.start(tmp_path / "a")
    recorder.record(events(5))
    now[0] = 9.9
    recorder.record(events(1, 5))
    now[0] = 10.0
    recorder.record(events(1, 6))
    flushed = gate.entered.wait(30)
    recorder.stop()

    assert flushed
    assert gate.sizes == [7]


def test_group_that_is_due_is_written_without_another_row(tmp_path: Path) -> None:
    """The writer wakes by itself."""
    gate = Gate()
    gate.open.set()
    recorder = Recorder(gate, flush_seconds=0.01)
    recorder.start(tmp_path / "a")
    recorder.record(events(5))
    flushed = gate.entered.wait(30)
    recorder.stop()

    assert flushed


def test_full_queue_drops_and_counts(tmp_path: Path) -> None:
    """Rows beyond the limit are dropped, counted, and the footer says so; the others are recorded."""
    gate = Gate()
    recorder = Recorder(gate, queue_rows=10)
    recorder.start(tmp_path / "a")
    recorder.record(events(10))
    gate.entered.wait(30)
    recorder.record(events(7, 10))
    recorder.record(events(7, 17))
    recorder.record(events(5, 24))
    gate.open.set()
    path = recorder.stop()
    assert path is not None

    assert numbers(read(path)) == list(range(20))
    assert recorder.status().rows_written == 20
    assert recorder.status().rows_dropped == 9
    assert pq.read_metadata(path).metadata == {b"ior.rows_dropped": b"9"}


def test_blocking_recording_waits_instead(tmp_path: Path) -> None:
    """With block=True nothing is dropped, also when a batch is larger than the queue, or the recording stops."""
    gate = Gate()
    recorder = Recorder(gate, queue_rows=10)
    recorder.start(tmp_path / "a", block=True)
    recorder.record(events(10))
    gate.entered.wait(30)
    producer = threading.Thread(target=recorder.record, args=(events(35, 10),))
    producer.start()
    queue = running(recorder)._queue
    with queue._changed:
        while not queue._waiting:
            assert queue._changed.wait(30)
    stopper = threading.Thread(target=recorder.stop)
    stopper.start()
    gate.open.set()
    producer.join(30)
    stopper.join(30)

    assert numbers(read(tmp_path / "a.parquet")) == list(range(45))
    assert recorder.status().rows_dropped == 0


def test_blocked_producers_do_not_wait_for_a_dead_writer(tmp_path: Path) -> None:
    """When writing fails, whoever waits for room goes on, and the rows are counted as dropped."""
    gate = Gate()

    def convert(batch: EventBatch) -> pa.RecordBatch:
        gate(batch)
        return failing(0, OSError(errno.EIO, "broken"))(batch)

    recorder = Recorder(convert, queue_rows=10)
    recorder.start(tmp_path / "a", block=True)
    recorder.record(events(10))
    gate.entered.wait(30)
    producers = [threading.Thread(target=recorder.record, args=(events(35),)) for _ in range(3)]
    for producer in producers:
        producer.start()
    gate.open.set()
    for producer in producers:
        producer.join(30)
    with pytest.raises(RecordingError, match="broken"):
        recorder.stop()

    assert recorder.status().rows_dropped == 10 + 3 * 35


def test_rows_of_many_threads_all_arrive(tmp_path: Path) -> None:
    """Several producers may record at once: written and dropped add up, and each thread's rows keep their order."""
    recorder = Recorder(record_batch, queue_rows=500, group_rows=100)
    recorder.start(tmp_path / "a")

    def produce(first: int) -> None:
        for i in range(100):
            recorder.record(events(13, first + 13 * i))

    producers = [threading.Thread(target=produce, args=(10_000 * k,)) for k in range(4)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    path = recorder.stop()
    assert path is not None
    found = np.array(numbers(read(path)))
    status = recorder.status()

    assert status.rows_written == len(found) == len(set(found.tolist()))
    assert status.rows_written + status.rows_dropped == 4 * 100 * 13
    assert all((np.diff(found[found // 10_000 == k].astype(int)) > 0).all() for k in range(4))


@given(st.lists(st.integers(0, 30)), st.integers(1, 20), st.integers(1, 40))
def test_queue_cuts_rows_into_whole_groups(sizes: list[int], group_rows: int, limit: int) -> None:
    """Whatever the batches, groups are whole but the last, and hold the rows that had room, in order."""
    queue = RowQueue(limit, group_rows=group_rows, seconds=1e9, clock=lambda: 0.0)
    kept: list[int] = []
    seq = 0
    for size in sizes:
        missing = queue.put(events(size, seq))
        kept += range(seq, seq + size - missing)
        seq += size
    queue.close()
    groups = []
    while (group := queue.take()) is not None:
        groups.append(group["seq"].tolist())

    assert list(itertools.chain(*groups)) == kept
    assert len(kept) == min(sum(sizes), limit)
    assert all(len(g) == min(group_rows, limit) for g in groups[:-1])
    assert queue.put(events(3)) == 3


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("a", "a.parquet"),
        ("a.b \n", "a.b.parquet"),
        ("A.PARQUET", "A.PARQUET"),
        ("a.parquet.tmp", "a.parquet"),
        ("ä", "ä.parquet"),
    ],
)
def test_name_gets_its_ending(tmp_path: Path, asked: str, name: str) -> None:
    """`.parquet` is put behind a name that does not have it, and blanks around it are dropped."""
    assert record(f"  {tmp_path}/{asked}") == tmp_path / name


def test_path_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the working directory of the start, not of the end."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(record_batch)
    recorder.start("a")
    monkeypatch.chdir("other")

    assert recorder.stop() == tmp_path / "a.parquet"


@pytest.mark.parametrize("path", ["", "  ", "a\0b", "/", "..", "sub/", "~nobody-of-that-name/a"])
def test_path_that_is_no_file_name_is_refused(path: str) -> None:
    """An empty path, a directory or a NUL is one error at the start."""
    recorder = Recorder(record_batch)
    with pytest.raises(RecordingError, match="cannot record to"):
        recorder.start(path)

    assert recorder.status() == RecordingState()


@pytest.mark.parametrize("directory", ["missing", "file", "/proc", "/sys"])
def test_directory_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, directory: str) -> None:
    """A missing or unwritable directory is an error of start, which names the path and leaves nothing."""
    (tmp_path / "file").touch()
    target = tmp_path / directory / "a.parquet"
    recorder = Recorder(record_batch)
    with pytest.raises(RecordingError, match=f"cannot record to {target}"):
        recorder.start(target)

    assert not recorder.status().active
    assert names(tmp_path) == ["file"]


def test_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    """Missing permission is an error of start."""
    tmp_path.chmod(0o500)
    me = os.geteuid()
    if me == 0:  # root may write everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(RecordingError, match="Permission denied"):
            Recorder(record_batch).start(tmp_path / "a")
    finally:
        os.seteuid(me)


def test_target_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A directory or a pipe of that name is not replaced."""
    (tmp_path / "dir.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    for name in ("dir", "pipe"):
        with pytest.raises(RecordingError, match="no regular file"):
            Recorder(record_batch).start(tmp_path / name)


def test_temporary_file_is_beside_the_target_and_obeys_the_umask(tmp_path: Path) -> None:
    """While recording, the rows are in ior-<16 hex digits>.tmp; the mode is that of any new file."""
    recorder = Recorder(record_batch)
    before = os.umask(0o027)
    try:
        recorder.start(tmp_path / "a")
    finally:
        os.umask(before)
    (temporary,) = tmp_path.iterdir()
    path = recorder.stop()
    assert path is not None

    assert temporary.parent == tmp_path
    assert len(temporary.name) == len("ior-.tmp") + 16
    assert int(temporary.stem.removeprefix("ior-"), 16) >= 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_generated_names_never_replace(tmp_path: Path) -> None:
    """A name that is taken gets -1, -2, ... before its ending, also when a directory or a link has it."""
    (tmp_path / "a-2.parquet").mkdir()
    (tmp_path / "a-3.parquet").symlink_to("nowhere")
    paths = [record(tmp_path / "a", events(1, i), generated=True) for i in range(3)]

    assert [p.name for p in paths] == ["a.parquet", "a-1.parquet", "a-4.parquet"]
    assert [numbers(read(p)) for p in paths] == [[0], [1], [2]]
    assert len(names(tmp_path)) == 5


def test_generated_name_stays_within_the_limit(tmp_path: Path) -> None:
    """A name that would get too long by its number is shortened, at a character."""
    name = "ä" * 123 + ".parquet"  # 254 bytes
    (tmp_path / name).touch()

    assert record(tmp_path / name, generated=True).name == "ä" * 122 + "-1.parquet"


def test_generated_name_gives_up_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every number is taken the recording stays in its temporary file."""
    monkeypatch.setattr(target, "_MOST_NUMBERS", 1)
    for name in ("a.parquet", "a-1.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(RecordingError, match=r"1 files have this name already.*ior-.*\.tmp"):
        record(tmp_path / "a", generated=True)

    assert len(names(tmp_path)) == 3


def test_generated_names_do_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no hard links, a taken name is not replaced either."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    paths = [record(tmp_path / "a", events(1, i), generated=True) for i in range(2)]

    assert [p.name for p in paths] == ["a.parquet", "a-1.parquet"]
    assert [numbers(read(p)) for p in paths] == [[0], [1]]
    assert len(names(tmp_path)) == 2


def test_rename_that_fails_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links, the file that kept the name is removed when the rename fails."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RecordingError, match="not permitted"):
        record(tmp_path / "a", generated=True)

    assert [name[-4:] for name in names(tmp_path)] == [".tmp"]


def test_chosen_name_is_replaced_and_keeps_the_mode(tmp_path: Path) -> None:
    """A file the user named is replaced in one step, only at the end, and its mode stays."""
    target = tmp_path / "a.parquet"
    target.write_text("old")
    target.chmod(0o604)
    recorder = Recorder(record_batch)
    recorder.start(target)
    recorder.record(events(3))
    during = target.read_text()
    recorder.stop()

    assert during == "old"
    assert numbers(read(target)) == [0, 1, 2]
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


def test_symlink_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A link of the target's name becomes the recording; what it pointed at is not touched."""
    (tmp_path / "precious").write_text("old")
    (tmp_path / "a.parquet").symlink_to("precious")
    path = record(tmp_path / "a", events(1))

    assert (tmp_path / "precious").read_text() == "old"
    assert not path.is_symlink()
    assert numbers(read(path)) == [0]


# --- states ----------------------------------------------------------------------------------------------------------


def test_status_follows_the_recording(tmp_path: Path) -> None:
    """Status says what is asked for while recording, and what became of it afterwards."""
    (tmp_path / "a.parquet").touch()
    recorder = Recorder(record_batch)
    before = recorder.status()
    recorder.start(tmp_path / "a", generated=True)
    during = recorder.status()
    recorder.record(events(3))
    path = recorder.stop()
    after = recorder.status()
    assert path is not None

    assert before == RecordingState()
    assert (during.active, during.path, during.rows_written) == (True, tmp_path / "a.parquet", 0)
    assert during.temporary_path is not None
    assert after == RecordingState(
        path=tmp_path / "a-1.parquet",
        requested_path=tmp_path / "a.parquet",
        rows_written=3,
        bytes_written=path.stat().st_size,
    )


def test_without_a_recording_nothing_happens(tmp_path: Path) -> None:
    """Recording into nothing, and stopping nothing, are no errors."""
    recorder = Recorder(record_batch)
    recorder.record(events(1))
    recorder.set_metadata({"a": "b"})
    first = recorder.stop()
    record_path = tmp_path / "a"
    recorder.start(record_path)
    recorder.stop()
    recorder.record(events(1))

    assert first is None
    assert recorder.stop() is None
    assert recorder.take_failure() is None
    assert recorder.status().rows_dropped == 0


def test_second_start_is_refused(tmp_path: Path) -> None:
    """There is one recording at a time; a second start changes nothing and leaves no file."""
    recorder = Recorder(record_batch)
    recorder.start(tmp_path / "a")
    with pytest.raises(RecordingError, match=r"already recording to .*a\.parquet"):
        recorder.start(tmp_path / "b")
    recorder.stop()
    recorder.start(tmp_path / "b")
    recorder.stop()

    assert names(tmp_path) == ["a.parquet", "b.parquet"]


# --- failures --------------------------------------------------------------------------------------------------------


def test_failure_keeps_what_was_written(tmp_path: Path) -> None:
    """A recording that fails is published with its finished row groups; later rows are counted, one error says it."""
    recorder = Recorder(failing(2, OSError(errno.ENOSPC, "No space left on device")), group_rows=100)
    recorder.start(tmp_path / "a")
    recorder.record(events(350))
    ended(recorder)
    recorder.record(events(11))
    status = recorder.status()
    with pytest.raises(RecordingError, match=r"ended early: No space left.* first 200 rows are in .*a\.parquet"):
        recorder.stop()

    assert numbers(read(tmp_path / "a.parquet")) == list(range(200))
    assert (status.active, status.rows_written, status.rows_dropped) == (False, 200, 161)
    assert status.path == tmp_path / "a.parquet"
    assert status.error is not None
    assert pq.read_metadata(tmp_path / "a.parquet").metadata == {
        b"ior.rows_dropped": b"150",
        b"ior.ended_early": b"No space left on device",
    }
    assert names(tmp_path) == ["a.parquet"]


def test_failure_before_the_first_group_leaves_no_file(tmp_path: Path) -> None:
    """When nothing could be written there is no file, and the error says so; bugs of the conversion count as well."""
    recorder = Recorder(failing(0, TypeError("a bug")))
    recorder.start(tmp_path / "a")
    recorder.record(events(5))
    with pytest.raises(RecordingError, match=r"TypeError: a bug\. Nothing was recorded"):
        recorder.stop()

    assert names(tmp_path) == []
    assert recorder.status().path is None
    assert recorder.status().temporary_path is None
    assert recorder.status().rows_dropped == 5


def test_failure_is_taken_once(tmp_path: Path) -> None:
    """take_failure has it once; stop then has nothing to raise, and a new start forgets it."""
    recorder = Recorder(failing(1, OSError(errno.EIO, "broken")), group_rows=10)
    recorder.start(tmp_path / "a")
    nothing_yet = recorder.take_failure()
    recorder.record(events(20))
    ended(recorder)
    failure = recorder.take_failure()

    assert nothing_yet is None
    assert isinstance(failure, RecordingError)
    assert isinstance(failure.__cause__, OSError)
    assert recorder.take_failure() is None
    assert recorder.stop() == tmp_path / "a.parquet"
    assert recorder.status().error is failure


def test_start_after_a_failure_begins_anew(tmp_path: Path) -> None:
    """A failed recording need not be stopped before the next one starts."""
    recorder = Recorder(failing(0, OSError(errno.EIO, "broken")))
    recorder.start(tmp_path / "a")
    recorder.record(events(1))
    running(recorder)._queue.close()
    ended(recorder)
    recorder.start(tmp_path / "b")

    assert recorder.take_failure() is None
    assert recorder.status().rows_dropped == 0
    assert recorder.stop() == tmp_path / "b.parquet"


@pytest.mark.parametrize("turn", range(50))
def test_failure_is_delivered_once_among_many_threads(tmp_path: Path, turn: int) -> None:
    """However stop and take_failure race, exactly one of them has the failure."""
    recorder = Recorder(failing(0, OSError(errno.EIO, "broken")), group_rows=1)
    recorder.start(tmp_path / f"{turn}")
    together = threading.Barrier(4)
    delivered: list[RecordingError] = []

    def stop() -> None:
        together.wait()
        try:
            recorder.stop()
        except RecordingError as error:
            delivered.append(error)

    def take() -> None:
        together.wait()
        if (error := recorder.take_failure()) is not None:
            delivered.append(error)

    threads = [threading.Thread(target=target) for target in (stop, take, stop, take)]
    recorder.record(events(1))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(delivered) == 1
    assert recorder.take_failure() is None


def test_file_that_cannot_get_its_name_is_kept(tmp_path: Path) -> None:
    """When publishing fails the complete file stays under its temporary name, which the error tells."""
    recorder = Recorder(record_batch)
    recorder.start(tmp_path / "a")
    recorder.record(events(3))
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(RecordingError, match=r"cannot be put at .*Its 3 rows are in .*ior-.*\.tmp"):
        recorder.stop()
    temporary = recorder.status().temporary_path
    assert temporary is not None

    assert numbers(read(temporary)) == [0, 1, 2]
    assert numbers(pq.read_table(temporary)) == [0, 1, 2]
    assert recorder.status().path is None


def test_failure_and_no_name_are_one_error(tmp_path: Path) -> None:
    """When writing failed and publishing fails too, the error names the first reason and the temporary file."""
    recorder = Recorder(failing(1, OSError(errno.EIO, "broken")), group_rows=10)
    recorder.start(tmp_path / "a")
    (tmp_path / "a.parquet").mkdir()
    recorder.record(events(20))
    with pytest.raises(RecordingError, match=r"ended early: broken\. Its 10 rows are in .*ior-.*\.tmp"):
        recorder.stop()
    temporary = recorder.status().temporary_path
    assert temporary is not None

    assert numbers(read(temporary)) == list(range(10))


def test_temporary_file_that_is_gone_is_told(tmp_path: Path) -> None:
    """When somebody removed the temporary file, the error does not promise it."""
    recorder = Recorder(record_batch)
    recorder.start(tmp_path / "a")
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(RecordingError, match=r"No such file.*is gone"):
        recorder.stop()


def test_bug_of_the_conversion_at_the_start_leaves_nothing(tmp_path: Path) -> None:
    """What the conversion raises at the start comes out as it is, and no file stays behind."""

    def broken(batch: EventBatch) -> pa.RecordBatch:
        raise TypeError(f"a bug with {len(batch)} rows")

    recorder = Recorder(broken)
    with pytest.raises(TypeError, match="a bug with 0 rows"):
        recorder.start(tmp_path / "a")

    assert names(tmp_path) == []
    assert recorder.status() == RecordingState()


def test_write_error_in_the_middle_of_a_group_costs_that_group_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that cannot reserve room, half a group is cut off and the rest is published."""
    real, left = os.pwrite, [20_000]

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        if len(data) > left[0]:
            if not left[0]:
                left[0] = 1_000_000  # room for the footer once the file has been cut
                raise OSError(errno.ENOSPC, "No space left on device")
            data = data[: left[0]]
        left[0] -= len(data)
        return real(fd, data, offset)

    def fallocate(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    recorder = Recorder(record_batch, group_rows=100)
    recorder.start(tmp_path / "a")
    recorder.record(events(1000))
    with pytest.raises(RecordingError, match="No space left"):
        recorder.stop()
    written = recorder.status().rows_written

    assert 0 < written < 1000
    assert numbers(read(tmp_path / "a.parquet")) == list(range(written))


def test_full_disk_at_the_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When not even the beginning can be written, start fails and leaves nothing."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RecordingError, match=r"cannot record to .*No space left"):
        Recorder(record_batch).start(tmp_path / "a")

    assert names(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "none", place], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_full_disk_keeps_all_finished_groups(small_disk: Path) -> None:
    """When the disk fills up, every row group reported as written is in the published file, and tracing goes on."""
    recorder = Recorder(record_batch, group_rows=5000)
    recorder.start(small_disk / "a", block=True)
    handed = 0
    while recorder.status().active:
        recorder.record(events(5000, handed))
        handed += 5000
    ended(recorder)
    recorder.record(events(7, handed))
    status = recorder.status()
    with pytest.raises(RecordingError, match="No space left on device"):
        recorder.stop()

    assert status.rows_written >= 5000
    assert numbers(read(small_disk / "a.parquet")) == list(range(status.rows_written))
    assert status.rows_written + status.rows_dropped == handed + 7
    assert names(small_disk) == ["a.parquet"]


# --- crashes and damage ----------------------------------------------------------------------------------------------


def test_chain_is_read_with_its_metadata(chain: Path) -> None:
    """What a crash leaves has all finished row groups and the metadata of the start; read knows it by its content."""
    table = read(chain)

    assert numbers(table) == list(range(250))
    assert table.schema.metadata == {b"ior.hostname": b"here"}
    assert read_chain(chain).equals(table)
    assert read(chain, ["ret"]).column_names == ["ret"]


def test_running_recording_can_be_read(tmp_path: Path) -> None:
    """The temporary file can be read while it is written."""
    gate = Gate()
    recorder = Recorder(gate, group_rows=10)
    recorder.start(tmp_path / "a")
    temporary = recorder.status().temporary_path
    assert temporary is not None
    recorder.record(events(10))
    gate.entered.wait(30)
    found = read(temporary).num_rows
    gate.open.set()
    recorder.stop()

    assert found == 0


def test_torn_tail_costs_no_finished_group(chain: Path) -> None:
    """Cut off anywhere, a chain gives all row groups before the cut, or one error when not even its head is whole."""
    ends = [begin + length for begin, length in places(chain)]
    data = chain.read_bytes()
    cuts = {0, 1, 3, 4, 11, 12, 16, *range(17, len(data), 997)}
    cuts |= {end + d for end in ends for d in (-5, -4, -1, 0, 1, 7, 8, 11, 12, 13)}
    for cut in sorted(cuts):
        chain.write_bytes(data[:cut])
        complete = sum(end <= cut for end in ends)
        if complete:
            assert numbers(read(chain)) == list(range([0, 100, 200, 250][complete - 1]))
        else:
            with pytest.raises(RecordingError, match=f"cannot read {chain}"):
                read(chain)


@pytest.mark.parametrize("kept", [0, 4])
def test_zeros_where_a_power_cut_lost_a_group_end_the_chain(chain: Path, kept: int) -> None:
    """A row group that is there by length but not by content ends what can be read."""
    data = bytearray(chain.read_bytes())
    begin, length = places(chain)[2]
    data[begin + 4 : begin + length - kept] = bytes(length - 4 - kept)
    chain.write_bytes(data)

    assert numbers(read(chain)) == list(range(100))


def test_chain_whose_head_is_damaged_is_an_error(chain: Path) -> None:
    """Without the schema nothing can be read."""
    data = bytearray(chain.read_bytes())
    begin, length = places(chain)[0]
    data[begin + 4 : begin + length - 4] = bytes(length - 8)
    chain.write_bytes(data)

    with pytest.raises(RecordingError, match=f"cannot read {chain}"):
        read(chain)


def test_damaged_recording_is_an_error_and_never_a_crash(tmp_path: Path) -> None:
    """With any byte changed, reading gives a table or one error that names the file."""
    path = record(tmp_path / "a", events(300), group_rows=100)
    data = path.read_bytes()
    messages = []
    for at in RANDOM.integers(0, len(data), 150).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 0x5A
        path.write_bytes(damaged)
        try:
            event_batch(read(path))
        except RecordingError as error:
            messages.append(str(error))

    assert messages
    assert all(str(path) in message for message in messages)


def test_damaged_page_is_noticed(tmp_path: Path) -> None:
    """A changed byte in the data is found by its checksum, not returned as a row."""
    path = record(tmp_path / "a", events(3000), group_rows=3000)
    column = pq.read_metadata(path).row_group(0).column(NAMES.index("latency_ns"))
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(RecordingError, match="CRC"):
        read(path)


def test_cut_recording_gives_its_finished_groups(tmp_path: Path) -> None:
    """A published file that was cut off, by a copy that failed, is read as the chain it still is."""
    path = record(tmp_path / "a", events(300), group_rows=100)
    path.write_bytes(path.read_bytes()[:-3000])

    assert numbers(read(path)) in (list(range(200)), list(range(300)))


def test_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    """Missing, foreign, empty and special files are one error with name and reason."""
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    (tmp_path / "text").write_text("PAR1 no, this is text PAR1")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")

    for name, reason in [
        ("missing", "No such file"),
        ("foreign.parquet", "no recording: it has no column latency_ns, pid"),
        ("text", ""),
        ("empty", ""),
        ("pipe", "no regular file"),
        (".", "no regular file"),
    ]:
        with pytest.raises(RecordingError, match=f"cannot read {tmp_path / name}: .*{reason}"):
            read(tmp_path / name)
    with pytest.raises(RecordingError, match="not the temporary file"):
        read_chain(foreign)


def test_missing_column_is_named(tmp_path: Path) -> None:
    """Asking for a column the file lacks is one error that names both."""
    path = record(tmp_path / "a", events(1))

    with pytest.raises(RecordingError, match=r"a\.parquet: it has no column nobody"):
        read(path, ["seq", "nobody"])


def test_file_of_an_older_program_is_read(tmp_path: Path) -> None:
    """Files with the reference columns alone, plain strings, and another writer's layout become batches."""
    table = pq.read_table(record(tmp_path / "a", events(5))).select([name for name, _ in REFERENCE_COLUMNS])
    pq.write_table(table, tmp_path / "old.parquet", use_dictionary=False)
    batch = event_batch(read(tmp_path / "old.parquet"))

    assert batch.text("file").tolist() == [f"/file/{i}" for i in range(5)]
    assert batch["cell"].tolist() == [-1] * 5


CHILD = """
import sys, itertools
import numpy as np
from ior_nb.export.arrow import record_batch
from ior_nb.parquet import Recorder
from ior_nb.runtime.batch import EventBatch, new_tables
tables = new_tables()
recorder = Recorder(record_batch, group_rows=500, queue_rows=2000)
recorder.start(sys.argv[1], block=True)
for first in itertools.count(0, 100):
    seq = np.arange(first, first + 100)
    files = tables["file"].intern_many([f"/file/{i}" for i in seq.tolist()])
    recorder.record(EventBatch({"seq": seq, "file": files}, tables))
    print(recorder.status().rows_written, flush=True)
"""


@pytest.mark.parametrize("least", [1, 1500, 4000, 9000])
def test_killed_program_loses_no_finished_group(tmp_path: Path, least: int) -> None:
    """After kill -9 at any moment, all rows that were reported as written can be read, in order, without a hole."""
    package = Path(ior_nb.parquet.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path / "a"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package)},
    ) as child:
        assert child.stdout is not None
        reported = 0
        while reported < least:
            reported = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                reported = int(line)
    (temporary,) = tmp_path.glob("ior-*.tmp")
    found = numbers(read(temporary))

    assert len(found) >= reported >= least
    assert found == list(range(len(found)))


# --- thrift ----------------------------------------------------------------------------------------------------------

INTEGERS = {Kind.I16: 16, Kind.I32: 32, Kind.I64: 64}


def values(kind: Kind, depth: int) -> st.SearchStrategy[object]:
    """Values of one kind of field or list element."""
    match kind:
        case Kind.TRUE | Kind.FALSE:
            return st.booleans()
        case Kind.BYTE:
            return st.integers(0, 255)
        case Kind.DOUBLE:
            return st.binary(min_size=8, max_size=8)
        case Kind.BINARY:
            return st.binary(max_size=200)
        case Kind.STRUCT:
            return structs(depth - 1)
        case Kind.LIST | Kind.SET:
            element = st.sampled_from([k for k in Kind if depth > 0 or k < Kind.LIST])
            return element.flatmap(
                lambda k: st.lists(values(k, depth - 1), max_size=20).map(lambda found: Items(int(k), found))
            )
    return st.integers(-(2 ** (INTEGERS[kind] - 1)), 2 ** (INTEGERS[kind] - 1) - 1)


def fields(depth: int) -> st.SearchStrategy[Field]:
    """Fields of any kind; the kind of a boolean goes with its value."""
    kinds = [k for k in Kind if k is not Kind.FALSE and (depth > 0 or k < Kind.LIST)]
    return st.sampled_from(kinds).flatmap(
        lambda k: values(k, depth).map(lambda v: Field(int(Kind.FALSE if k is Kind.TRUE and not v else k), v))
    )


def structs(depth: int) -> st.SearchStrategy[Struct]:
    """Structs up to some depth, with their fields in order."""
    numbers = st.integers(1, 40) | st.integers(1, 2**15 - 1)
    return st.dictionaries(numbers, fields(depth), max_size=5).map(lambda found: dict(sorted(found.items())))


@given(structs(3))
def test_thrift_round_trip(struct: Struct) -> None:
    """Every struct comes back from its bytes, and cut off anywhere it is refused."""
    data = encode(struct)

    assert decode(data) == struct
    assert encode(decode(data)) == data
    for cut in {0, len(data) // 2, len(data) - 1}:
        with pytest.raises(ValueError, match="thrift"):
            decode(data[:cut])


def test_thrift_keeps_the_footer_of_pyarrow(tmp_path: Path) -> None:
    """A footer that pyarrow wrote is the same after reading and writing, fields we do not know included."""
    pq.write_table(pa.table({"a": [1.5, None], "b": [True, False], "c": [["x"], []]}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]

    assert encode(decode(footer)) == footer


@pytest.mark.parametrize("data", [b"\x1d\x00", b"\x1b\x00\x00"])
def test_thrift_refuses_types_it_does_not_know(data: bytes) -> None:
    """A type without a meaning here is an error, not a guess."""
    with pytest.raises(ValueError, match="unknown type"):
        decode(data)
    with pytest.raises(ValueError, match="unknown type"):
        encode({1: Field(data[0] & 15, b"")})


# --- bench -----------------------------------------------------------------------------------------------------------


def workload(count: int, seed: int) -> EventBatch:
    """Return rows of 12 syscalls, 50 threads and 20,000 paths (Zipf), 15 % path calls, 2 % errors, no order in them."""
    random = np.random.default_rng(seed)
    call = random.choice(12, count, p=[0.25, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.02, 0.02, 0.02])
    thread = random.integers(0, 50, count)
    latency = np.exp(random.normal(7.5, 1, count)).astype(np.uint64)
    end = 10**15 * seed + np.cumsum(random.exponential(800, count)).astype(np.uint64)
    path = np.minimum(random.zipf(1.3, count), 20_000)
    is_path, moves = call % 12 >= 4, call < 3
    is_path &= call < 6
    error = random.random(count) < 0.02
    size = random.choice([512, 4096, 8192, 65536, 131072], count)
    names = TABLES["file"].intern_many([f"/home/user/project/data/part-{i % 97}/{i:05}.bin" for i in range(20_001)])
    return EventBatch(
        {
            "seq": np.arange(count, dtype=np.uint64) + np.uint64(count * seed),
            "time_ns": end - latency,
            "gap_ns": np.exp(random.normal(9, 1.5, count)).astype(np.uint64),
            "latency_ns": latency,
            "comm": TABLES["comm"].intern_many([f"worker-{i}" for i in range(10)])[thread % 10],
            "pid": (4000 + thread // 10).astype(np.uint32),
            "tid": (4000 + thread).astype(np.uint32),
            "syscall": TABLES["syscall"].intern_many([f"call{i}" for i in range(12)])[call],
            "family": TABLES["family"].intern_many(["FS"] * 9 + ["Network", "IPC", "Polling"])[call],
            "fd": np.where(is_path, -1, 3 + thread % 10),
            "ret": np.where(error, -2, np.where(moves, size, 0)),
            "bytes": np.where(moves & ~error, size, 0),
            "file": names[path],
            "is_error": error,
            "filter_epoch": np.ones(count),
            "cell": np.full(count, 3),
            "state": np.full(count, TABLES["state"].intern("done")),
            "file_kind": np.full(count, TABLES["file_kind"].intern("file")),
            "dev": np.full(count, 0x10300003),
            "inode": path * 7919 % 10**7,
            "offset": np.where(moves, random.integers(0, 2000, count) * 4096, -1),
            "requested_bytes": np.where(moves, size, -1),
            "open_flags": np.where(call == 4, 0o2000000, -1),
            "path_arg": np.where(is_path, names[path], 0),
        },
        TABLES,
    )


@pytest.mark.bench
def test_recorder_writes_small_and_fast(tmp_path: Path) -> None:
    """At most 16 bytes a row, and at least 1 M rows per second of processor time, conversion included."""
    batches = [workload(32_768, i) for i in range(1, 33)]
    recorder = Recorder(record_batch)
    recorder.start(tmp_path / "a", block=True)
    recorder.record(batches[0])
    begin = time.process_time()
    for batch in batches[1:]:
        recorder.record(batch)
    path = recorder.stop()
    seconds = time.process_time() - begin
    assert path is not None
    rows = recorder.status().rows_written
    print(f"{rows:,} rows: {path.stat().st_size / rows:.1f} bytes a row, {rows / seconds:,.0f} rows per CPU second")

    assert path.stat().st_size / rows <= 16
    assert rows / seconds >= 1e6


def test_text_that_points_outside_its_dictionary_is_refused() -> None:
    """A damaged index is an error, not a row of another name nor a crash."""
    index = pa.array([0, 2], pa.int32())
    damaged = pa.DictionaryArray.from_arrays(index, pa.array(["a", "b"]), safe=False)

    with pytest.raises(ValueError, match="outside its dictionary"):
        checked(pa.record_batch({"file": damaged}))
