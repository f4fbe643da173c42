"""Rows that stay in recordings answer as the same rows in memory do, and are read as little as a question needs."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ior_nb import aggregate
from ior_nb.errors import ConfigError, RecordingError
from ior_nb.export.arrow import columns
from ior_nb.export.stacks import stacks
from ior_nb.result.imports import ImportTally
from ior_nb.result.lines import LineTally
from ior_nb.result.load import load
from ior_nb.result.sql import Asked, answered, query_of
from ior_nb.result.tally import Tally
from ior_nb.runtime import EventBatch
from ior_nb.runtime.filter import Filter, Number
from ior_nb.runtime.passing import Passing
from ior_nb.runtime.rows import Rows
from ior_nb.sinks.parquet import Recorder
from ior_nb.sinks.statsengine import Statistics
from tests.events import made
from tests.fakes import batch

Event = dict[str, Any]
QUESTIONS: dict[str, Callable[[Rows], Any]] = {
    **{
        name: getattr(aggregate, name)
        for name in (
            "totals syscalls families files processes threads errors probes lines imports timeline "
            "latency_bins counted span ended objects"
        ).split()
    },
    "directories": lambda rows: aggregate.directories(aggregate.files(rows)),
    "peers": lambda rows: aggregate.peers(rows, {}),
    "labels": lambda rows: aggregate.labels(rows, {}),
    "library": lambda rows: aggregate.lines(rows, library=True),
    "slowest": lambda rows: aggregate.slowest(rows, 3, columns=("seq", "latency_ns", "file"))["seq"],
    "waiting": lambda rows: aggregate.slowest(rows, 3, waiting=True, columns=("seq",))["seq"],
    "heat": lambda rows: aggregate.heat(rows)[1],
    "stacks": lambda rows: (stacks(rows).frames, stacks(rows).weights),
}


def plain(answer: Any) -> Any:
    """Return an answer as values that can be compared."""
    if isinstance(answer, float):
        return "nan" if answer != answer else answer
    if isinstance(answer, dict):
        return {name: plain(values) for name, values in answer.items()}
    if isinstance(answer, tuple | list):
        return [plain(part) for part in answer]
    return plain(answer.tolist()) if isinstance(answer, np.ndarray) else answer


def recorded(path: Path, rows: EventBatch, group_rows: int = 4) -> Path:
    """Write a recording in small row groups."""
    recorder = Recorder(columns, group_rows=group_rows)
    recorder.start(path, metadata={"ior_nb.hostname": "ada", "ior_nb.boot_id": "one"})
    recorder.record(rows)
    published = recorder.stop()
    assert published is not None
    return published


def numbered(rows: list[Event]) -> EventBatch:
    """Return rows with numbers from 1 on."""
    events = made(rows)
    return events.with_columns(seq=np.arange(1, len(events) + 1, dtype=np.uint64))


def some_rows(count: int, seed: int) -> list[Event]:
    """Return rows of every kind that tables tell apart."""
    pick = random.Random(seed)
    return [
        {
            "time_ns": 10**12 + at * 1000 + pick.randrange(5000),
            "gap_ns": pick.randrange(1000),
            "latency_ns": pick.choice([0, 3, 900, 1000, 12_345, 10**7]) + pick.randrange(3),
            "comm": pick.choice(["a", "b;c", ""]),
            "pid": pick.choice([7, 8]),
            "ppid": pick.choice([1, 1, 1, 2]),
            "tid": pick.choice([7, 8, 9]),
            "syscall": (call := pick.choice(["read", "write", "sendfile64", "openat", "futex", "exit_group"])),
            "family": "Network" if call == "sendfile64" else "FS",
            "bytes": pick.choice([0, 0, 5, 4096]),
            "file": pick.choice(["", "/a/x", "/a/y", "/b"]),
            "old_file": pick.choice(["", "", "/old"]),
            "path_arg": "x",
            "cell": pick.choice([-1, 3]),
            "label": pick.choice(["", "a", "a/b"]),
            "state": pick.choice(["done", "done", "done", "in flight", "refused"]),
            "is_error": (wrong := pick.random() < 0.2),
            "ret": pick.choice([-2, -13]) if wrong else 1,
            "probe": wrong and pick.random() < 0.5,
            "fd": 3,
        }
        for at in range(count)
    ]


@pytest.mark.parametrize("name", QUESTIONS)
def test_recordings_answer_as_memory_does(tmp_path: Path, name: str) -> None:
    """A question to two files in small row groups, whole and filtered, is answered as of the same rows at hand."""
    one, two = some_rows(90, 1), some_rows(70, 2)
    recorded(tmp_path / "a.parquet", numbered(one), 40)
    recorded(tmp_path / "b.parquet", numbered(two), 40)
    loaded, whole = load(tmp_path).rows, numbered([*one, *two])
    rare = int(np.quantile(whole["latency_ns"], 0.9))
    many, few = (Filter(Number("latency", ">=", limit)) for limit in (1000, rare))
    ask = QUESTIONS[name]

    assert plain(ask(loaded)) == plain(ask(whole))
    assert plain(ask(Passing(loaded, many))) == plain(ask(whole.take(many.mask(whole))))
    assert plain(ask(Passing(loaded, few))) == plain(ask(whole.take(few.mask(whole))))


def test_a_report_needs_no_rows_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of a recording too large for the memory is that of its rows; a format of all rows at once is refused."""
    loaded = load(recorded(tmp_path / "x.parquet", numbered(some_rows(90, 1))))
    fits = loaded.export(tmp_path / "fits.html").read_text()
    monkeypatch.setattr("ior_nb.result.held.most_bytes", lambda: 1)
    loaded = load(tmp_path / "x.parquet")

    assert loaded.export(tmp_path / "report.html").read_text() == fits
    with pytest.raises(ConfigError, match="would take"):
        loaded.export(tmp_path / "rows.arrow")


def damage(path: Path, column: str) -> None:
    """Make a column of the last row group unreadable."""
    about = pq.read_metadata(path)
    group = about.row_group(about.num_row_groups - 1)
    place = next(c for at in range(group.num_columns) if (c := group.column(at)).path_in_schema == column)
    data = bytearray(path.read_bytes())
    begin = place.dictionary_page_offset if place.has_dictionary_page else place.data_page_offset
    data[begin + place.total_compressed_size - 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A recording of four row groups, one second each, whose last `latency_ns` cannot be read."""
    failed: list[object] = [at in (2, 9) for at in range(16)]
    rows = batch(
        time_ns=[10**9 * (1 + at) for at in range(16)],
        latency_ns=[*range(1, 17)],
        cell=[at // 4 for at in range(16)],
        file=["/a", "/b"] * 8,
        ret=[-2 if one else 0 for one in failed],
        is_error=failed,
        probe=failed,
    )
    path = recorded(tmp_path / "x.parquet", rows)
    damage(path, "latency_ns")
    return path


def test_columns_that_a_question_does_not_need_are_not_read(damaged: Path) -> None:
    """Damage in another column is not noticed; in one that is needed it is an error that names the file."""
    found = load(damaged)

    assert len(found) == 16
    assert found.errors().empty
    with pytest.raises(RecordingError, match=r"x\.parquet"):
        found.files()


def test_columns_that_no_table_of_the_format_has_are_not_read(damaged: Path, tmp_path: Path) -> None:
    """A file of CSV is made of its columns and of those that are not ours; one of them has to be whole."""
    path = recorded(tmp_path / "y.parquet", batch(file=["/a", "/b"], cell=[1, 2]))
    damage(path, "cell")

    assert load(path).export(tmp_path / "y.csv").read_text().count("\n") == 3
    with pytest.raises(RecordingError):
        load(damaged).export(tmp_path / "x.csv")


def test_labels_of_a_report_are_looked_at_where_there_is_one(tmp_path: Path) -> None:
    """Without one the report has no such table, and no time is spent on it; one in the last row is enough."""
    none, one = (recorded(tmp_path / f"{n}.parquet", batch(label=["", "", n], pid=[7, 7, 8])) for n in ("", "z"))

    assert "<h2>Labels</h2>" not in load(none).export(tmp_path / "none.html").read_text()
    assert "<h2>Labels</h2>" in load(one).export(tmp_path / "one.html").read_text()


def test_texts_that_are_one_by_what_the_footer_says_are_not_read(tmp_path: Path) -> None:
    """Of a row group whose calls have all returned `state` need not be read to know that."""
    many = 1 << 14
    path = recorded(tmp_path / "x.parquet", batch(syscall=["read"] * many, latency_ns=[1, 3] * (many // 2)), many)
    damage(path, "state")

    assert load(path).syscalls()["mean_ns"].tolist() == [2]
    with pytest.raises(RecordingError):
        load(path).df()


def test_where_calls_read_is_not_looked_at_when_none_moved_bytes(tmp_path: Path) -> None:
    """Failed calls asked a file for nothing that can be asked for again."""
    failed: list[object] = [at % 2 == 0 for at in range(8)]
    moved: list[object] = [0 if one else 5 for one in failed]
    rows = batch(file=["/a"] * 8, ret=[-5 if one else 5 for one in failed], bytes=moved, is_error=failed)
    path = recorded(tmp_path / "x.parquet", rows.with_columns(offset=np.arange(8)))
    damage(path, "offset")

    assert load(path, filter="errors").files()["errors"].tolist() == [4]
    with pytest.raises(RecordingError):
        load(path).files()


def test_rows_that_are_picked_out_are_those_that_were_meant(tmp_path: Path) -> None:
    """Some rows of a row group, by their numbers, are what all of them have there: numbers, texts, times."""
    recorded(tmp_path / "a.parquet", numbered(some_rows(50, 3)), 50)
    recorded(tmp_path / "b.parquet", numbered(some_rows(50, 4)), 50)
    for piece in load(tmp_path).rows.pieces():
        which = np.array([3, 4, 11, 30])
        found, whole = piece.some(which, "seq", "file", "time_ns", "state"), piece.read().take(which)

        assert found["seq"].tolist() == whole["seq"].tolist()
        assert found["time_ns"].tolist() == whole["time_ns"].tolist()
        assert found.text("file").tolist() == whole.text("file").tolist()
        assert found.text("state").tolist() == whole.text("state").tolist()
        assert len(piece.some(which[:0], "file")) == 0


@pytest.mark.parametrize("wanted", ["time<13s", "cell<3", "cell=0 or time<=2s", "latency<13ns", "probes"])
def test_row_groups_that_have_no_such_row_are_not_read(damaged: Path, wanted: str) -> None:
    """What the footer says of a row group decides, also in parts of a filter."""
    found = load(damaged, filter=wanted)

    assert 0 < found.files()["calls"].sum() == len(found) <= 12


def test_a_file_that_is_another_by_now_is_not_read(tmp_path: Path) -> None:
    """A recording put in the place of a loaded one has other row groups: it has to be loaded again."""
    rows = batch(syscall=["read"] * 9)
    path = recorded(tmp_path / "x.parquet", rows)
    found = load(path)
    recorded(tmp_path / "x.parquet", rows[:5])

    with pytest.raises(RecordingError, match="another file than when it was loaded"):
        found.syscalls()


@pytest.mark.parametrize("hosts", [{"a": "a", "b": "b"}, {"a": "ada", "b": "ada"}], ids=["two names", "one name"])
def test_sql_asks_the_files_as_the_trace_has_them(tmp_path: Path, hosts: dict[str, str]) -> None:
    """Rows of several recordings are numbered anew and moved to one clock in SQL too; a filter needs the rows."""
    for name, boot in (("a", "one"), ("b", "two")):
        rows = batch(time_ns=[1000, 2000, 3000], seq=[1, 2, 3], file=[f"/{name}", "", ""])
        recorder = Recorder(partial(columns, host=hosts[name]))
        about = {"ior_nb.boot_id": boot, "ior_nb.hostname": hosts[name]}
        clocks = {"started": (10**18, 500), "ended": (10**18 + 3700, 4000)}
        for what, (wall, boot_ns) in clocks.items():
            about[f"ior_nb.{what}_at_unix_nano"] = str(wall + (77 if name == "b" else 0))
            about[f"ior_nb.{what}_at_boot_nano"] = str(boot_ns)
        recorder.start(tmp_path / f"{name}.parquet", metadata=about)
        recorder.record(rows)
        recorder.stop()
    found = load(tmp_path)
    answer = answered("SELECT seq, time_ns, file, host FROM trace ORDER BY seq", Asked.of(found))
    expected = found.df()[["seq", "time_ns", "file", "host"]].astype({"file": object, "host": object})

    pd.testing.assert_frame_equal(pd.DataFrame(answer), pd.DataFrame(expected), check_dtype=False)
    assert answer["host"].nunique() == 2
    assert query_of(found.rows) is not None
    few = found.filter("file=/b")
    assert query_of(few.rows) is None
    assert answered("SELECT count(*) FROM trace", Asked.of(few)).iloc[0, 0] == 1


@pytest.mark.parametrize("kind", [Tally, LineTally, ImportTally, Statistics])
def test_who_adds_up_names_the_columns_it_looks_at(kind: Any) -> None:
    """Rows of every kind, with all that can be measured, are counted from these columns alone."""
    count = 60
    rows = made(some_rows(count, 3))
    texts = {
        "stack": "f (/x.py:1);<module> (<frozen importlib._bootstrap>:2)",
        "peer": "127.0.0.1:1",
        "socket": "AF_INET:SOCK_STREAM:tcp",
    }
    codes = {name: rows.tables[name].intern_many([text, ""] * (count // 2)) for name, text in texts.items()}
    amounts = {name: np.arange(count) - 1 for name in aggregate.MEASURED}
    adder = kind()
    narrow = rows.with_columns(**codes, **amounts).read(*kind.columns)
    (adder.ingest if kind is Statistics else adder.add)(narrow)

    assert narrow["syscall"].size == count
    if kind is Statistics:
        assert adder.snapshot().calls == count
