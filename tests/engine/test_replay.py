"""Recordings that come back: as a trace, and played through a session."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ior_nb import errors, real
from ior_nb.engine.replay import ReplayEngine
from ior_nb.export.arrow import columns, event_batch, record_batch
from ior_nb.result.load import load
from ior_nb.runtime import Accounting, Completeness, EventBatch, Filter, Scope, TraceOptions, new_tables
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.schema import COLUMNS, NAMES
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.sinks.parquet import Recorder, Recording, find, footer
from ior_nb.syscalls import BY_NAME
from tests.fakes import FakeEngine, batch

OPTIONS = TraceOptions(scope=Scope(pids=(1,)), enabled=frozenset(BY_NAME[name].number for name in ("read", "write")))
START = 10**15
STEP = 1_000_000
OLD_COLUMNS = NAMES[:23]


def events(count: int, first: int = 0, **columns: Any) -> EventBatch:
    """Return reads and exits, one a millisecond, each with a file of its own."""
    numbers = range(first, first + count)
    rows: dict[str, Any] = {
        "seq": list(numbers),
        "time_ns": [START + i * STEP for i in numbers],
        "latency_ns": [1000 + i for i in numbers],
        "syscall": ["exit_group" if i % 7 == 3 else "read" for i in numbers],
        "state": ["no return" if i % 7 == 3 else "done" for i in numbers],
        "family": ["FS"] * count,
        "pid": [1000 + i % 3 for i in numbers],
        "tid": [1000 + i % 3 for i in numbers],
        "ret": [-2 if i % 5 == 1 else i for i in numbers],
        "is_error": [i % 5 == 1 for i in numbers],
        "file": [f"/file/{i}" for i in numbers],
        "cell": [i % 4 for i in numbers],
    } | columns
    wide = {name: np.array(rows.pop(name), np.uint64) for name in ("time_ns", "latency_ns")}
    return batch(**rows).with_columns(**wide)


def record(path: Path, *batches: EventBatch, group_rows: int = 100, metadata: dict[str, str] | None = None) -> Path:
    """Write a recording."""
    recorder = Recorder(columns, group_rows=group_rows)
    recorder.start(path, metadata=metadata if metadata is not None else {"ior_nb.hostname": "ada"})
    for rows in batches:
        recorder.record(rows)
    published = recorder.stop()
    assert published is not None
    return published


def old_file(path: Path, rows: EventBatch, metadata: dict[str, str] | None = None, **options: Any) -> Path:
    """Write a file as the Go program does: its columns, plain strings, small row groups, keys of its own."""
    table = pa.Table.from_batches([record_batch(rows)]).select(OLD_COLUMNS)
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pa.string()))
    pairs = metadata if metadata is not None else {"ior.hostname": "gopher", "ior.version": "1.2.3"}
    pq.write_table(table.replace_schema_metadata(pairs), path, row_group_size=64, **options)
    return path


def values(rows: EventBatch, *without: str) -> dict[str, list[Any]]:
    """Return the columns as plain lists."""
    return {c.name: (rows.text(c.name) if c.text else rows[c.name]).tolist() for c in COLUMNS if c.name not in without}


class Clock:
    """A clock the test moves."""

    def __init__(self, now: int = 5_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Listener:
    """Keeps what an engine hands over."""

    def __init__(self) -> None:
        self.batches: list[EventBatch] = []
        self.threads: set[str] = set()
        self.came = threading.Event()

    def __call__(self, rows: EventBatch) -> None:
        thread = real.current()
        self.threads.add(thread.name if thread is not None else "")
        self.batches.append(rows)
        self.came.set()

    @property
    def seq(self) -> list[int]:
        return [number for rows in self.batches for number in rows["seq"].tolist()]


@pytest.fixture
def clock() -> Clock:
    """A clock the test moves."""
    return Clock()


@pytest.fixture
def heard() -> Listener:
    """What an engine hands over."""
    return Listener()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording of 1,009 rows in groups of a hundred."""
    return record(tmp_path / "run.parquet", events(1009))


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """What a crash leaves of it."""
    recorder = Recorder(columns, group_rows=100)
    recorder.start(tmp_path / "crash", metadata={"ior_nb.hostname": "ada"})
    recorder.record(events(300))
    running = recorder._recording
    assert running is not None
    running._queue.close()
    running._target.publish = lambda: (_ for _ in ()).throw(OSError("no power"))  # type: ignore[method-assign]
    with pytest.raises(errors.RecordingError):
        recorder.stop()
    (left,) = tmp_path.glob("*.tmp")
    data = left.read_bytes()
    footer_size = int.from_bytes(data[-8:-4], "little")
    left.write_bytes(data[: -8 - footer_size])
    return left


# ---- as a trace


def test_load_gives_the_rows_that_were_recorded(tmp_path: Path) -> None:
    """All columns come back equal; the host is the one of the footer."""
    rows = events(1009)
    found = load(record(tmp_path / "a", rows)).batch

    assert values(found, "host") == values(rows, "host")
    assert found.text("host").tolist() == ["ada"] * 1009


def test_load_gives_what_the_trace_said_about_itself(tmp_path: Path) -> None:
    """Title, scope, engine, options, books, counters, window, status and start survive the file."""
    engine = FakeEngine()
    session = TracerSession(engine=engine)
    with trace(session=session, record=tmp_path / "a", families="FS", title="the run") as before:
        now = boot_clock()
        engine.emit(batch(time_ns=[now, now], syscall=["read", "write"], ret=[3, 4], bytes=[3, 4]))
        engine.emit(batch(time_ns=[now], syscall=["read"], state=["in flight"]))
        engine.totals |= {"seen": 5, "sampled_out": 2, "open": 1}
    before.returncode = 3
    before.counters = {"read": {"calls": 9, "errors": 1, "probes": 2, "bytes": 3, "latency_ns": 7}}
    after = load(before.to_parquet(tmp_path / "b.parquet"))

    for name in ("title", "scope", "engine", "options", "window", "counters", "returncode", "accounting"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.accounting.unaccounted == 0
    assert (after.accounting.sampled_out, after.accounting.in_flight) == (2, 1)
    assert abs(after.started_at - before.started_at) < 1e-3
    assert len(load(tmp_path / "a.parquet").batch) == 3
    assert any(note.startswith("recorded on ") and note.endswith("with fake") for note in after.notes)


def test_load_of_a_recording_saved_again_says_where_it_came_from(tmp_path: Path) -> None:
    """The machine, the program and the rows' host are those of the first recording."""
    first = record(tmp_path / "a", events(3), metadata={"ior_nb.hostname": "ada", "ior_nb.version": "0.0.1"})
    again = load(load(first).to_parquet(tmp_path / "b.parquet"))

    assert again.batch.text("host").tolist() == ["ada"] * 3
    assert footer(tmp_path / "b.parquet")["ior_nb.hostname"] == "ada"
    assert any("recorded on ada" in note and "ior-nb 0.0.1" in note for note in again.notes)


def test_load_reads_files_of_the_go_program(tmp_path: Path) -> None:
    """Its 23 columns come back; ours are absent; calls that never return are known by their names."""
    rows = events(200)
    found = load(old_file(tmp_path / "go.parquet", rows))
    ours = {c.name: ("" if c.text else c.absent) for c in COLUMNS[23:] if c.name not in ("state", "host")}

    assert {n: v for n, v in values(found.batch).items() if n in OLD_COLUMNS} == {
        n: v for n, v in values(rows).items() if n in OLD_COLUMNS
    }
    assert found.batch.text("state").tolist() == rows.text("state").tolist()
    assert all(set(values(found.batch)[name]) == {absent} for name, absent in ours.items())
    assert found.engine == "ior"
    assert found.notes == ("recorded on gopher by ior 1.2.3",)
    assert found.accounting.seen == 200
    assert found.accounting.complete
    assert found.window == (START, START + 199 * STEP + 1)


def test_load_counts_what_the_go_program_only_counted(tmp_path: Path) -> None:
    """Sampled calls without rows are in the accounting, and the rates in a note."""
    totals = [{"syscall": "read", "rate": 0, "traced": 0, "counted_only": 41, "total": 41}, {"counted_only": "x"}, 3]
    pairs = {"ior.version": "1", "ior.sampling": "read=0", "ior.sampling.totals": json.dumps(totals)}
    found = load(old_file(tmp_path / "go.parquet", events(10), pairs))

    assert (found.accounting.seen, found.accounting.emitted, found.accounting.sampled_out) == (51, 10, 41)
    assert found.accounting.unaccounted == 0
    assert any("read=0" in note for note in found.notes)


@given(edges=st.tuples(st.integers(0, 1100), st.integers(0, 1100)).map(sorted), kind=st.sampled_from(["new", "old"]))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_load_of_a_stretch_of_time_has_its_rows(
    edges: list[int], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The start is in, end is out, in seconds since the first call; the books balance."""
    folder = tmp_path_factory.getbasetemp() / "stretches"
    path = folder / f"{kind}.parquet"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        record(path, events(1009)) if kind == "new" else old_file(path, events(1009), write_statistics=False)
    low, high = edges
    found = load(path, start=low / 1000, end=high / 1000)

    assert found.batch["seq"].tolist() == list(range(min(low, 1009), min(high, 1009)))
    assert found.accounting.seen == found.accounting.emitted == len(found)
    assert found.accounting.outside_window == 1009 - len(found)
    assert found.accounting.unaccounted == 0


@pytest.mark.parametrize("edges", [(100, 101), (100, None), (None, 0), (0, 0), (0.5, 5000), (1, 1)])
@pytest.mark.parametrize("books", [True, False])
def test_load_of_a_stretch_never_has_a_negative_length(
    edges: tuple[float | None, float | None], books: bool, tmp_path: Path
) -> None:
    """A stretch is as long as what of it lies inside the recording: behind the end that is nothing."""
    window = {"ior_nb.started_at_boot_nano": str(START), "ior_nb.ended_at_boot_nano": str(START + 1010 * STEP)}
    path = record(tmp_path / "a", events(1009), metadata=window if books else None)
    found = load(path, start=edges[0], end=edges[1])
    start, end = edges[0] or 0, 5000 if edges[1] is None else edges[1]

    assert 0 <= found.duration_s <= 1.01
    assert found.duration_s == pytest.approx(max(0, min(end, 1.01) - min(start, 1.01)), abs=0.002)
    assert "-" not in found.summary().totals().split(":")[-1]


def last_byte(about: Any) -> int:
    """Return where a column of a row group ends."""
    begin = about.dictionary_page_offset if about.has_dictionary_page else about.data_page_offset
    return int(begin + about.total_compressed_size - 1)


def test_load_of_a_stretch_does_not_read_the_rest(recording: Path) -> None:
    """Row groups without a wanted row are skipped: damage in them is not noticed, in the wanted ones it is."""
    about = pq.read_metadata(recording).row_group(5).column(NAMES.index("latency_ns"))
    data = bytearray(recording.read_bytes())
    data[last_byte(about)] ^= 1
    recording.write_bytes(data)

    assert len(load(recording, start=0.1, end=0.3)) == len(load(recording, start="100ms", end="0.3s")) == 200
    with pytest.raises(errors.RecordingError, match=r"run\.parquet"):
        load(recording, start=0.45, end=0.55).syscalls()


def test_load_with_a_stretch_keeps_what_the_footer_counted(tmp_path: Path) -> None:
    """Losses of the whole recording stay, and the identity holds for the rows of the stretch."""
    engine = FakeEngine()
    window = trace(session=TracerSession(engine=engine), record=tmp_path / "a")
    before = window.__enter__()
    now = boot_clock()
    engine.emit(batch(time_ns=[now, now + 1, now + 2], syscall=["read"] * 3))
    engine.totals |= {"seen": 7, "lost_ring": 4}
    with pytest.warns(errors.LostEventsWarning):
        window.end()
    after = load(tmp_path / "a.parquet", end=2e-9)

    assert before.accounting.seen == 7
    assert (after.accounting.seen, after.accounting.emitted, after.accounting.lost_total) == (6, 2, 4)
    assert after.accounting.unaccounted == 0
    assert after.counters == {}


@pytest.mark.parametrize("wanted", ["errors and pid=1001", None])
def test_load_filters(recording: Path, wanted: str | None) -> None:
    """A filter, as text or as a value, chooses rows; the others are counted as filtered."""
    from ior_nb.runtime.filter import And, Errors, Number

    value = wanted or Filter(And((Errors(), Number("pid", "=", 1001))))
    found = load(recording, filter=value)
    rows = events(1009)
    passing = int((rows["is_error"] & (rows["pid"] == 1001)).sum())

    assert 0 < len(found) == passing
    assert found.accounting.filtered == 1009 - passing
    assert found.accounting.unaccounted == 0


def test_load_without_rows_keeps_the_summary(recording: Path) -> None:
    """What remains of a recording is its summary; its rows are refused."""
    found = load(recording, keep_rows=False)

    assert found.summary().calls == 1009
    with pytest.raises(errors.ConfigError, match="not kept"):
        found.df()


def test_rows_that_would_not_fit_are_refused_and_their_tables_are_not(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a recording of any size every table can be asked; only all of its rows at once need the memory for them."""
    found = load(recording)
    monkeypatch.setattr("ior_nb.result.held.most_bytes", lambda: 100_000)

    assert found.summary().calls == 1009
    assert found.syscalls()["calls"].sum() == 1009
    with pytest.raises(errors.ConfigError, match=r"1,009 rows of this trace would take .* narrow it"):
        found.df()
    assert len(found.filter("pid=1001").df()) > 0


def test_load_refuses_what_is_no_stretch(recording: Path) -> None:
    """Times that are negative, the wrong way round or no numbers are a mistake of the user, as is a bad filter."""
    for start, end in ((-1.0, None), (2.0, 1.0), (float("nan"), None), (float("inf"), None), (None, float("nan"))):
        with pytest.raises(errors.ConfigError, match="no stretch"):
            load(recording, start=start, end=end)
    with pytest.raises(errors.ConfigError, match="start='1': a unit is missing"):
        load(recording, start="1")
    with pytest.raises(errors.FilterSyntaxError):
        load(recording, filter="latency>>")


def test_what_a_crash_left_in_a_folder_is_told(recording: Path, chain: Path) -> None:
    """Beside recordings it is no part of what is loaded; where there is nothing else, it is said in the error."""
    found = load(chain.parent)
    recording.unlink()

    assert len(found) == 1009
    assert [note.partition(": ")[0] for note in found.notes if str(chain) in note] == ["left out"]
    for missing in (chain.parent, recording):
        with pytest.raises(errors.RecordingError, match=rf"{chain.name} \([\d.]+ KiB\) is a recording without an end"):
            load(missing)
    assert len(load(chain)) == 300


# ---- many recordings


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A folder of recordings of three machines, one of them below."""
    folder = tmp_path / "fleet"
    (folder / "more").mkdir(parents=True)
    for name, host, first in (("a", "ada", 0), ("b", "bob", 50), ("more/c", "eve", 90)):
        record(folder / name, events(10, first), metadata={"ior_nb.hostname": host, "ior_nb.engine": "bcc"})
    (folder / "notes.txt").write_text("not a recording")
    return folder


def test_load_makes_one_data_set_of_a_folder(fleet: Path) -> None:
    """Rows come file by file, with their hosts; the books are added up."""
    found = load(fleet)

    assert found.batch.text("host").tolist() == ["ada"] * 10 + ["bob"] * 10 + ["eve"] * 10
    assert found.batch["seq"].tolist() == list(range(1, 31))
    assert found.df()["host"].cat.categories.tolist() == ["ada", "bob", "eve"]
    assert (found.title, found.engine) == ("3 recordings", "bcc")
    assert (found.accounting.seen, found.accounting.unaccounted) == (30, 0)
    assert found.window == (0, 9 * STEP + 1)
    assert len(found.notes) == 4
    assert "no common time" in found.notes[0]


def test_recordings_without_that_column_have_their_probes_told(tmp_path: Path) -> None:
    """Call and error say which failures of an older file are probes; searches it cannot tell."""
    calls = ["newfstatat", "ioctl", "openat", "read"]
    rows = events(4, syscall=calls, state=["done"] * 4, ret=[-2, -25, -2, -5], is_error=[True] * 4)
    found = load(old_file(tmp_path / "a.parquet", rows))

    assert found.batch["probe"].tolist() == [True, True, False, False]
    assert found.summary().totals().endswith("2 failed; 2 probes, 3 processes")


def test_columns_that_are_not_ours_are_kept(tmp_path: Path) -> None:
    """Columns a newer program or a user added are in every table, and in the file written again, with their types."""
    table = pa.Table.from_batches([record_batch(events(4))])
    for name, column in {
        "shade": pa.array(["red", None, "red", "x"]),
        "weight": pa.array([1.5, 2.5, None, 4]),
        "level": pa.array([7, 8, 9, 10], pa.uint8()),
        "when": pa.array([0, 1, 2, 3], pa.timestamp("us")),
        "marks": pa.array([[1], [], None, [2, 3]], pa.list_(pa.int64())),
    }.items():
        table = table.append_column(name, column)
    pq.write_table(table, tmp_path / "a.parquet")
    found = load(tmp_path / "a.parquet")
    again = load(found.filter("pid>1000").to_parquet(tmp_path / "b.parquet"))

    assert found.df()["shade"].dropna().tolist() == ["red", "red", "x"]
    assert found.table()["marks"].to_pylist() == [[1], [], None, [2, 3]]
    assert again.table().select(["shade", "weight", "level", "when", "marks"]).to_pydict() == {
        name: column[1:3] for name, column in table.to_pydict().items() if name not in NAMES
    }
    assert [str(again.table().schema.field(n).type) for n in ("level", "when")] == ["uint8", "timestamp[us]"]


def test_recordings_with_and_without_a_foreign_column_make_one_trace(tmp_path: Path) -> None:
    """Rows of a recording that lacks a column have nothing there."""
    table = pa.Table.from_batches([record_batch(events(2))]).append_column("level", pa.array([7, 8], pa.uint8()))
    pq.write_table(table, tmp_path / "a.parquet")
    record(tmp_path / "b", events(2))

    assert load(tmp_path).table()["level"].to_pylist() == [7, 8, None, None]


@pytest.mark.parametrize("options", [{}, {"filter": "file~3"}, {"start": 0.002, "end": 0.008}])
def test_load_numbers_the_rows_of_several_recordings_anew(options: dict[str, Any], tmp_path: Path) -> None:
    """No two rows of a data set have the same `seq`, and they stand in its order; a single recording keeps its own."""
    one, two = (record(tmp_path / name, events(50, 50)) for name in "ab")
    seq = load([one, two], **options).batch["seq"]
    single = load(two, **options).batch["seq"]

    assert len(seq) == 2 * len(single) > 2
    assert (np.diff(seq.astype(np.int64)) > 0).all()
    assert set(single.tolist()) <= set(range(50, 100))


def test_load_takes_patterns_and_lists(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern, several paths, and a path relative to the home directory all name recordings."""
    monkeypatch.setenv("HOME", str(fleet))

    assert len(load(str(fleet / "?.parquet"))) == 20
    assert len(load(fleet / "**" / "*.parquet")) == 30
    assert len(load([fleet / "a.parquet", str(fleet / "more")])) == 20
    assert len(load("~/a.parquet")) == 10
    assert len(load("~/*.parquet")) == 20


def test_load_of_one_machine_has_one_window(tmp_path: Path) -> None:
    """Recordings of one machine share its clock."""
    paths = [record(tmp_path / name, events(10, first)) for name, first in (("a", 0), ("b", 50))]

    assert load(paths).window == (START, START + 59 * STEP + 1)


@pytest.mark.parametrize("what", ["missing.parquet", "*.none", "empty", "foreign.parquet", "text", "pipe", "a\0b"])
def test_load_says_what_it_cannot_read(tmp_path: Path, what: str) -> None:
    """Missing, foreign, empty and special files are one error that names them."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("PAR1 no, this is text PAR1")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(errors.RecordingError, match="cannot read") as caught:
        load(tmp_path / what)
    assert str(tmp_path) in str(caught.value)
    assert "\0" not in str(caught.value)


def test_load_of_nothing_is_an_error() -> None:
    """No path is no recording."""
    with pytest.raises(errors.RecordingError, match="no path"):
        load([])


def test_one_damaged_file_is_named(fleet: Path) -> None:
    """A data set with a damaged file is refused, and the file is said."""
    (fleet / "b.parquet").write_bytes(b"PAR1")

    with pytest.raises(errors.RecordingError, match=r"b\.parquet"):
        load(fleet)


@pytest.mark.parametrize("name", [b"a\nb\x1b[31m.parquet", b"<script>.parquet", b"\xff\xfe.parquet", b"[x]*?.parquet"])
def test_hostile_names_are_harmless(tmp_path: Path, name: bytes) -> None:
    """A file of any name is read, found in its folder, and shown without acting on a terminal or a page."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(record(tmp_path / "x", events(3)).read_bytes())
    (tmp_path / "x.parquet").unlink()
    for found in (load(path), load(tmp_path)):
        text, page = str(found), found._repr_html_()

        assert len(found) == 3
        assert text.replace("\n", "").isprintable()
        assert "<script>" not in page
        text.encode()
    path.write_bytes(b"no")
    with pytest.raises(errors.RecordingError) as caught:
        load(path)
    assert str(caught.value).isprintable()


# ---- crashes and damage


def test_load_reads_what_a_crash_left(chain: Path) -> None:
    """All finished row groups are there, and the result says that its end is missing."""
    found = load(chain)

    assert found.batch["seq"].tolist() == list(range(300))
    assert not found.accounting.complete
    assert found.accounting.unaccounted == 0
    assert any("cut off" in note for note in found.notes)
    assert load(chain, start=0.1, end=0.2).batch["seq"].tolist() == list(range(100, 200))


@given(
    cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=3)
)
@example(cut=1.0, flips=[(0.9765625, 128)])  # the name of a column in the footer
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", ["published", "old"])
def test_damage_only_ever_raises_recording_error(
    kind: str, cut: float, flips: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut off and changed anywhere, a file gives some of its rows or one error that names it."""
    folder = tmp_path_factory.getbasetemp() / "damage"
    folder.mkdir(exist_ok=True)
    whole = folder / f"{kind}.whole.parquet"
    if not whole.exists():
        record(whole, events(300)) if kind == "published" else old_file(whole, events(300))
    data = bytearray(whole.read_bytes())
    for where, change in flips:
        data[int(where * len(data))] ^= change
    path = folder / f"{kind}.parquet"
    path.write_bytes(data[: round(cut * len(data))] if cut < 0.9 else data)
    try:
        found = load(path, start=0.05)
        rows = len(found.df())
    except errors.RecordingError as error:
        assert str(path) in str(error)  # noqa: PT017 - most are damaged, some are not
    else:
        assert found.accounting.unaccounted <= 0 or flips
        assert rows == len(found)


@pytest.mark.parametrize(
    "value", ["", "null", "[]", "{", "[" * 100_000, '{"lost": 3}', '{"seen": -1}', '{"seen": 1e9}']
)
def test_footers_that_lie_are_ignored(tmp_path: Path, value: str) -> None:
    """Whatever a footer holds, loading gives the rows, and books counted from them."""
    keys = ("accounting", "counters", "options", "returncode", "started_at_unix_nano", "ended_at_boot_nano", "title")
    pairs = {f"ior_nb.{key}": value for key in keys} | {"ior.sampling.totals": value, "ior.rows_dropped": value}
    found = load(record(tmp_path / "a", events(5), metadata=pairs))

    assert len(found) == 5
    assert (found.accounting.seen, found.accounting.unaccounted) == (5, 0)
    assert repr(found)


def test_footers_are_shown_as_text(tmp_path: Path) -> None:
    """Control characters and markup of a footer act on nothing."""
    evil = "\x1b[2J<script>alert(1)</script>\u202e"
    keys = ("hostname", "title", "scope", "engine", "version")
    books = json.dumps({"seen": 5, "emitted": 5, "lost": {evil: 0}})
    pairs = {f"ior_nb.{key}": evil for key in keys} | {"ior_nb.accounting": books, "ior.ended_early": evil}
    found = load(record(tmp_path / "a", events(5), metadata=pairs))

    assert "<script>" not in found._repr_html_()
    assert repr(found).replace("\n", "").isprintable()


def test_rows_the_recorder_dropped_are_lost(tmp_path: Path) -> None:
    """What the footer says was dropped, or is missing against its books, is in the accounting."""
    dropped = load(record(tmp_path / "a", events(5), metadata={"ior.rows_dropped": "3"}))
    books = json.dumps({"seen": 9, "emitted": 8, "filtered": 1, "lost": {}})
    fewer = load(record(tmp_path / "b", events(5), metadata={"ior_nb.accounting": books}))

    for found in (dropped, fewer):
        assert found.accounting.lost == {"recorder": 3}
        assert found.accounting.unaccounted == 0
        assert not found.accounting.complete


# ---- piece by piece


def test_rows_come_in_pieces_that_share_their_tables(recording: Path) -> None:
    """No batch is longer than asked for, none is empty, and all code their text alike."""
    tables = new_tables()
    batches = list(Recording(recording).batches(event_batch, tables=tables, rows_at_once=64))

    assert max(map(len, batches)) <= 64
    assert min(map(len, batches)) > 0
    assert all(rows.tables is tables for rows in batches)
    assert np.concatenate([rows["seq"] for rows in batches]).tolist() == list(range(1009))


def test_a_row_group_is_not_read_at_once(tmp_path: Path) -> None:
    """One row group longer than the batch asked for comes in pieces."""
    path = record(tmp_path / "a", events(1009), group_rows=2000)

    assert pq.read_metadata(path).num_row_groups == 1
    assert [len(b) for b in Recording(path).batches(event_batch, rows_at_once=500)] == [500, 500, 9]


def test_columns_that_were_not_asked_for_are_absent(recording: Path) -> None:
    """Only the columns named are read; one that does not exist is an error."""
    (rows,) = Recording(recording).batches(event_batch, columns=["ret", "state"], start=START, end=START + STEP)

    assert (rows["ret"].tolist(), rows.text("state").tolist()) == ([0], ["done"])
    assert (rows["pid"].tolist(), rows.text("file").tolist()) == ([0], [""])
    with pytest.raises(errors.RecordingError, match="nobody"):
        list(Recording(recording).batches(event_batch, columns=["nobody"]))


def test_the_state_follows_from_the_call_also_when_the_call_is_not_wanted(tmp_path: Path) -> None:
    """A file without that column is asked for the calls."""
    path = old_file(tmp_path / "go.parquet", events(10))
    (rows,) = Recording(path).batches(event_batch, columns=["state"])

    assert rows.text("state").tolist() == events(10).text("state").tolist()


def test_hosts_in_the_rows_beat_the_footer(tmp_path: Path) -> None:
    """A data set saved as one file keeps its hosts; rows without one are of the footer's."""
    path = record(tmp_path / "a", events(3, host=["x", "", "y"]))

    assert load(path).batch.text("host").tolist() == ["x", "ada", "y"]


def test_times_beyond_the_signed_range_are_found(tmp_path: Path) -> None:
    """Statistics of unsigned times are read as such; a row with such a time is no row."""
    path = record(tmp_path / "a", events(2, time_ns=[5, 2**64 - 1]), group_rows=1)

    assert Recording(path).span() == (5, 2**64 - 1)
    assert len(load(path, end=1.0)) == 1
    with pytest.raises(errors.RecordingError, match="18446744073709551615 is no time of a boot clock"):
        list(Recording(path).batches(event_batch, start=2**64 - 1, end=2**65))
    assert list(Recording(path).batches(event_batch, start=2**64)) == []


def test_a_wrong_type_is_an_error(tmp_path: Path) -> None:
    """Text where numbers belong is refused by name."""
    table = pq.read_table(record(tmp_path / "a", events(3)))
    index = table.column_names.index("fd")
    pq.write_table(table.set_column(index, "fd", pa.array(["a", "b", "c"])), tmp_path / "b.parquet")

    with pytest.raises(errors.RecordingError, match=r"b\.parquet.*'fd'"):
        load(tmp_path / "b.parquet").df()


def test_find_is_in_order_and_skips_hidden_files(fleet: Path) -> None:
    """Files come by name, those that begin with a dot stay out."""
    (fleet / ".hidden.parquet").touch()

    assert [p.name for p in find(fleet)] == ["a.parquet", "b.parquet", "c.parquet"]


# ---- played back


@pytest.fixture
def engines() -> Iterator[list[ReplayEngine]]:
    """Engines that are closed in the end."""
    made: list[ReplayEngine] = []
    yield made
    for engine in made:
        engine.close()


def test_replay_through_a_session_gives_the_same_rows(recording: Path) -> None:
    """At full speed all rows are there when the block ends, complete, whatever was asked for; times keep distances."""
    with TracerSession(engine=ReplayEngine(recording)) as session:
        session.begin_cell(99)
        with trace(session=session, syscalls="openat") as result:
            pass
    rows = events(1009)
    moved = result.batch["time_ns"] - result.batch["time_ns"][0]

    assert values(result.batch, "seq", "time_ns", "host") == values(rows, "seq", "time_ns", "host")
    assert moved.tolist() == (rows["time_ns"] - np.uint64(START)).tolist()
    assert result.batch["seq"].tolist() == list(range(1, 1010))
    assert (result.accounting.seen, result.accounting.emitted, result.accounting.unaccounted) == (1009, 1009, 0)
    assert result.accounting.complete
    assert result.counters["read"]["calls"] == int((rows.text("syscall") == "read").sum())
    assert result.counters["read"]["errors"] + result.counters["exit_group"]["errors"] == int(rows["is_error"].sum())
    assert (result.title, result.engine) == ("replay of run.parquet", "replay")
    assert abs(result.duration_s - 1.008) < 1e-6
    assert any("played back" in note for note in result.notes)


def test_replay_of_calls_in_flight_balances(tmp_path: Path) -> None:
    """Calls that had not returned when they were recorded are in flight again."""
    states = ["done", "in flight", "in flight"]
    with trace(session=TracerSession(engine=ReplayEngine(record(tmp_path / "a", events(3, state=states))))) as result:
        pass

    assert (result.accounting.seen, result.accounting.emitted, result.accounting.in_flight) == (3, 1, 2)
    assert result.accounting.unaccounted == 0


def test_replay_is_filtered_like_a_live_trace(recording: Path) -> None:
    """A filter chooses rows, and counts the others."""
    with trace(session=TracerSession(engine=ReplayEngine(recording)), filter="errors", title="mine") as result:
        pass

    assert len(result) == int(events(1009)["is_error"].sum())
    assert result.accounting.filtered == 1009 - len(result)
    assert result.accounting.unaccounted == 0
    assert result.title == "mine (replay of run.parquet)"


def test_replay_can_be_had_again(recording: Path) -> None:
    """A session plays its engine once for every trace."""
    with TracerSession(engine=ReplayEngine(recording)) as session:
        for _ in range(2):
            with trace(session=session) as result:
                pass

            assert len(result) == 1009


def test_replay_plays_hosts_of_one_name_as_several(tmp_path: Path, heard: Listener) -> None:
    """As they are loaded: two containers that recorded at once have names of their own."""
    for space in ("1", "2"):
        about = {"hostname": "ada", "boot_id": "boot", "pid_namespace": space, "started_at_unix_nano": f"{10**18}"}
        about |= {"started_at_boot_nano": f"{START}", "ended_at_boot_nano": f"{START + STEP}"}
        record(tmp_path / space, events(3), metadata={f"ior_nb.{key}": value for key, value in about.items()})
    engine = ReplayEngine(tmp_path)
    engine.start(OPTIONS, heard)
    engine.stop()

    hosts = {name for rows in heard.batches for name in rows.text("host")}
    assert hosts == set(load(tmp_path).df()["host"])
    assert len(hosts) == 2


def test_replay_plays_many_recordings(fleet: Path, heard: Listener) -> None:
    """A folder is played file by file."""
    engine = ReplayEngine(fleet)
    engine.start(OPTIONS, heard)
    ended = engine.stop()

    assert heard.seq == [*range(10), *range(50, 60), *range(90, 100)]
    assert ended.totals["seen"] == ended.totals["emitted"] == 30
    assert heard.threads == {"ior-replay"}
    assert engine.title == "replay of a.parquet and 2 more"
    assert abs(engine.duration_s - 0.027) < 1e-9


def test_replay_keeps_the_recorded_pace(
    recording: Path, heard: Listener, clock: Clock, engines: list[ReplayEngine]
) -> None:
    """A call is there when it has ended, on the clock; flush waits for what is due, and for nothing else."""
    engines.append(ReplayEngine(recording, 1.0, clock=clock))
    engine = engines[0]
    start = engine.start(OPTIONS, heard)
    engine.flush()

    assert heard.seq == []
    clock.now += 1000  # the first call ends, 1,000 ns after it began
    engine.flush()
    assert heard.seq == [0]
    clock.now = start + 10 * STEP + 1009
    assert engine.flush()["seen"] == 10
    clock.now += 1
    assert engine.flush()["seen"] == 11
    assert heard.batches[0]["time_ns"].tolist() == [start]
    assert not engine.wait(0)
    clock.now += 3600 * 10**9
    assert engine.flush()["emitted"] == 1009
    assert engine.wait(10)
    assert heard.seq == list(range(1009))


def test_replay_at_twice_the_pace(recording: Path, heard: Listener, clock: Clock, engines: list[ReplayEngine]) -> None:
    """The speed shortens the waiting, not the times of the rows."""
    engines.append(ReplayEngine(recording, 2.0, clock=clock))
    start = engines[0].start(OPTIONS, heard)
    clock.now = start + 5 * STEP + 1000
    engines[0].flush()

    assert heard.seq == list(range(11))
    assert heard.batches[-1]["time_ns"][-1] == start + 10 * STEP


def test_replay_leaves_out_what_is_switched_off(
    recording: Path, heard: Listener, clock: Clock, engines: list[ReplayEngine]
) -> None:
    """A call switched off during a replay stops at once and comes back when on; what never was on is played."""
    engine = ReplayEngine(recording, 1.0, clock=clock)
    engines.append(engine)
    read, leave = BY_NAME["read"].number, BY_NAME["exit_group"].number
    engine.start(TraceOptions(scope=Scope(), enabled=frozenset({read})), heard)
    seen = []
    for enabled in ({read}, set[int](), {read, leave}, {read}):
        engine.set_specs(frozenset(enabled), {})
        clock.now += 100 * STEP
        engine.flush()
        seen.append({name for rows in heard.batches for name in rows.text("syscall")})
        heard.batches.clear()

    assert seen == [{"read", "exit_group"}, {"exit_group"}, {"read", "exit_group"}, {"read"}]


@pytest.mark.parametrize("rate", [0, 1, 7])
@pytest.mark.parametrize("live", [True, False])
def test_replay_samples(rate: int, live: bool, recording: Path) -> None:
    """Of N calls of a sampled one the first becomes a row, of rate 0 none; all are counted, from the start or live."""
    engine = ReplayEngine(recording)
    with TracerSession(engine=engine) as session:
        engine.open()
        with trace(session=session, sampling=None if live else {"read": rate}) as t:
            if live and (run := session.running) is not None:
                run.flush()
                run.probes.set_rate("read", rate)
                engine.seek()
    reads = 1009 - len(range(3, 1009, 7))
    rows = t.batch.take(t.batch.text("syscall") == "read")
    kept = -(-reads // rate) if rate else 0

    assert len(rows) - reads * live == kept
    assert t.accounting.sampled_out == reads - kept
    assert t.accounting.unaccounted == 0


def test_replay_stops_at_once_in_a_pause(tmp_path: Path, heard: Listener) -> None:
    """Nobody waits for the hour between two calls; what was not due was not seen."""
    path = record(tmp_path / "a", events(2, time_ns=[START, START + 3600 * 10**9], latency_ns=[0, 0]))
    engine = ReplayEngine(path, 1.0)
    engine.start(OPTIONS, heard)
    engine.flush()
    ended = engine.stop()

    assert heard.seq == [0]
    assert ended.totals["seen"] == ended.totals["emitted"] == 1
    assert "ior-replay" not in {t.name for t in threading.enumerate()}


def test_replay_seeks(recording: Path, heard: Listener, clock: Clock, engines: list[ReplayEngine]) -> None:
    """A stretch is played at once when it is asked for, forwards and backwards; time itself never goes back."""
    engines.append(ReplayEngine(recording, 1.0, clock=clock))
    engine = engines[0]
    engine.seek(0.5)
    engine.start(OPTIONS, heard)
    clock.now += STEP
    engine.flush()
    engine.seek(0.1, 0.103)
    engine.flush()
    clock.now += 1000 * STEP
    engine.flush()
    engine.seek(0.2, 0.202)
    engine.flush()
    clock.now += 1000 * STEP
    engine.flush()
    times = np.concatenate([rows["time_ns"] for rows in heard.batches])

    assert heard.seq[0] == 500
    assert [n for n in heard.seq if n < 500] == [100, 101, 102, 200, 201]
    assert (np.diff(times.astype(np.int64)) > 0).all()


def test_replay_at_full_speed_can_be_scrubbed(recording: Path, heard: Listener, engines: list[ReplayEngine]) -> None:
    """Every seek plays its stretch to the end before flush returns."""
    engines.append(ReplayEngine(recording))
    engine = engines[0]
    engine.seek(0.0, 0.002)
    engine.start(OPTIONS, heard)
    engine.flush()
    engine.seek(1.0)
    engine.flush()

    assert heard.seq == [0, 1, *range(1000, 1009)]


def test_replay_refuses_what_makes_no_sense(recording: Path, tmp_path: Path) -> None:
    """A speed or a stretch that is none, and a missing file, are refused before anything starts."""
    for speed in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(errors.ConfigError, match="speed"):
            ReplayEngine(recording, speed)
    for t0, t1 in ((-1.0, None), (2.0, 1.0), (float("nan"), None), (0.0, float("inf"))):
        with pytest.raises(errors.ConfigError, match="no stretch"):
            ReplayEngine(recording).seek(t0, t1)
    with TracerSession(engine=ReplayEngine(tmp_path / "none")) as session:
        with pytest.raises(errors.RecordingError, match="none"), trace(session=session):
            pass
        assert session.running is None


def sampled_out(path: Path, kept: int, more: int, counters: str) -> Path:
    """Write a recording that lacks so many reads."""
    books = Accounting(seen=kept + more, emitted=kept, sampled_out=more)
    about = {"ior_nb.version": "0", "ior_nb.counters": counters, **Completeness(accounting=books).pairs()}
    return record(path, events(kept, syscall=["read"] * kept, state=["done"] * kept), metadata=about)


@pytest.mark.parametrize("counters", ["", '{"read": {"calls": 151, "errors": 0, "bytes": 0, "latency_ns": 0}}'])
@pytest.mark.parametrize("end", [None, 10 * STEP / 1e9])
def test_a_replay_knows_the_missing_calls_by_name_where_a_load_does(
    counters: str, end: float | None, tmp_path: Path
) -> None:
    """Those of a whole recording, by the exact counters in its footer; of a stretch, or without these, nobody does."""
    path = sampled_out(tmp_path / "a", 100, 51, counters)
    engine = ReplayEngine(path)
    engine.seek(0.0, end)
    with TracerSession(engine=engine) as session, trace(session=session) as played:
        pass
    loaded = load(path, end=end)

    assert played.completeness.exact is loaded.completeness.exact is (end is None and bool(counters))
    assert played.syscalls()["calls"].tolist() == loaded.syscalls()["calls"].tolist()


def test_replay_of_a_damaged_recording_keeps_what_came_before(tmp_path: Path) -> None:
    """The trace ends with the rows before the damage, and says that more is missing."""
    recording = record(tmp_path / "run", events(120_000, file=["/f"] * 120_000), group_rows=40_000)
    about = pq.read_metadata(recording).row_group(2).column(NAMES.index("latency_ns"))
    data = bytearray(recording.read_bytes())
    data[last_byte(about)] ^= 1
    recording.write_bytes(data)
    with pytest.warns(errors.LostEventsWarning), trace(session=TracerSession(engine=ReplayEngine(recording))) as result:
        pass

    assert result.batch["seq"].tolist() == list(range(1, len(result) + 1))
    assert len(result) in range(32_768, 120_000)
    assert any("run.parquet" in note for note in result.notes)
    assert not result.accounting.complete


def test_replay_of_hostile_times_ends(tmp_path: Path, heard: Listener) -> None:
    """Times and latencies as large as they may be, in any order, neither stop the playback nor break it."""
    hostile = [0, 2**61, 1, 2**60, 7]
    path = record(tmp_path / "a", events(5, time_ns=hostile, latency_ns=hostile[::-1]))
    for speed in (None, 1e-9, 1e30):
        engine = ReplayEngine(path, speed)
        engine.start(OPTIONS, heard)
        engine.flush()
        engine.stop()

    assert heard.seq.count(4) >= 1


@pytest.mark.parametrize("column", ["time_ns", "latency_ns", "gap_ns", "bytes", "address_space_bytes"])
def test_numbers_that_cannot_be_counted_are_refused(column: str, tmp_path: Path, heard: Listener) -> None:
    """Values no kernel gives, or whose sum no number holds, end a load and a playback in one error that names them."""
    path = record(tmp_path / "a", events(5).with_columns(**{column: np.full(5, 2**62, np.uint64)}))
    with pytest.raises(errors.RecordingError, match=rf"a\.parquet: the column {column} is damaged") as refused:
        load(path).df()
    engine = ReplayEngine(path)
    engine.start(OPTIONS, heard)
    with pytest.raises(errors.SourceError, match=f"the column {column} is damaged"):
        engine.flush()
    engine.close()

    assert str(refused.value).isprintable()


@pytest.mark.parametrize("ret", [-(2**63), -4096, 0, 7, 2**63 - 1])
def test_a_failure_without_an_errno_is_refused(ret: int, tmp_path: Path) -> None:
    """A row that failed has a result that says how; any result may be one of a call that did not fail."""
    fine = record(tmp_path / "fine", events(3, ret=[ret, 1, -2], is_error=[False, False, True]))
    damaged = record(tmp_path / "damaged", events(3, ret=[ret, 1, -2], is_error=[True, False, True]))

    assert load(fine).summary().errors == 1
    assert len(load(fine).errors()) == 1
    with pytest.raises(errors.RecordingError, match=f"{ret} is no error"):
        load(damaged).errors()


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than bytes can hold, or a column larger than the memory there is, is an error at once."""
    path = record(tmp_path / "a", events(300))
    monkeypatch.setattr("ior_nb.sinks.parquet.scan._MANY_ROWS", 10)
    monkeypatch.setattr("ior_nb.sinks.parquet.scan._ROWS_A_BYTE", 0.001)
    with pytest.raises(errors.RecordingError, match="it says it has 300 rows in"):
        load(path)
    monkeypatch.undo()
    monkeypatch.setattr("ior_nb.sinks.parquet.scan.memory_limit", lambda: 8_000)
    with pytest.raises(errors.RecordingError, match="at once, too much for this machine"):
        load(path)
    monkeypatch.undo()
    monkeypatch.setattr("ior_nb.sinks.parquet.reader.memory_limit", lambda: 8_000)
    with pytest.raises(errors.RecordingError, match="the texts of the column file take"):
        load(path).files()


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_text_longer_than_any_name_is_refused(dictionary: bool, tmp_path: Path) -> None:
    """64 KiB and more are no name of anything; two paths, each byte escaped, are."""
    for size in (4 * 4_096 * 2, (1 << 16) + 1):
        written = pa.Table.from_batches([record_batch(events(3))])
        index = written.column_names.index("path_arg")
        written = written.set_column(index, "path_arg", pa.array(["x" * size, "", "y"]))
        pq.write_table(written, tmp_path / f"{size}.parquet", use_dictionary=dictionary)

    assert len(load(tmp_path / f"{4 * 4_096 * 2}.parquet").batch.text("path_arg")[0]) == 4 * 4_096 * 2
    with pytest.raises(errors.RecordingError, match="path_arg is damaged: a text in it has 65,537 bytes"):
        load(tmp_path / f"{(1 << 16) + 1}.parquet").df()


def test_a_recording_of_any_number_of_names_takes_bounded_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """String tables begin anew while a long recording is read; its rows are the same."""
    path = record(tmp_path / "a", events(3_000), group_rows=100)
    monkeypatch.setattr("ior_nb.sinks.parquet.scan.MOST_STRINGS", 200)
    pieces = list(Recording(path).batches(event_batch, rows_at_once=100))

    assert max(len(piece.tables["file"]) for piece in pieces) <= 301
    assert [name for piece in pieces for name in piece.text("file")] == [f"/file/{i}" for i in range(3_000)]
    assert load(path).batch.text("file").tolist() == [f"/file/{i}" for i in range(3_000)]


def test_closing_a_session_closes_its_engine(recording: Path) -> None:
    """An engine that was given is closed with the session, and can be used again."""
    engine = FakeEngine()
    session = TracerSession(engine=engine)
    with trace(session=session):
        pass
    session.close()

    assert engine.closed == 1
    assert session.engine_name == "fake"
    assert session.engine() is engine
