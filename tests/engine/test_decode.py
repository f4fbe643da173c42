"""String tables that begin anew while a trace runs: nothing that comes out of it may show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ior_nb.engine.chunks import CHUNK
from ior_nb.engine.collector import wire
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.runtime import EventBatch, Recoder, StringTable
from ior_nb.runtime.schema import NAMES, TEXT_COLUMNS
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.sinks.streamrow import without_warnings
from ior_nb.syscalls import resolve
from tests.bench.frames import frames
from tests.engine.records import alive, named, reads
from tests.fakes import FakeEngine

ROWS = 12_000


def decoded(limit: int) -> Iterator[EventBatch]:
    """Yield the batches of the fixed generator."""
    decoder = Decoder(limit=limit)
    for frame in frames(ROWS, rows_in_frame=1_024):
        decoder.names.take(frame.names)
        yield decoder.events(frame.events)


def values(batch: EventBatch) -> dict[str, list[Any]]:
    """Return the rows as Python values."""
    return {name: (batch.text(name) if name in TEXT_COLUMNS else batch[name]).tolist() for name in NAMES}


def through_a_session(limit: int, folder: Path) -> dict[str, Any]:
    """Run the batches through a whole session and return what every sink says."""
    engine = FakeEngine()
    with TracerSession(engine=engine) as session:
        session.set(session.parse("not file~part-0007"))
        window = trace(pid=1, session=session)
        found = window.__enter__()
        window._stretch._t0 = 0
        session.recorder().start(folder / f"{limit}.parquet", block=True)
        tables = []
        for batch in decoded(limit):
            tables.append(batch.tables["file"])
            engine.emit(batch)
        run = session.running
        assert run is not None
        snapshot = run.statistics.snapshot(top=50_000)
        result: dict[str, Any] = {
            "files": snapshot.files,
            "directories": snapshot.directories,
            "processes": [dataclasses.replace(row, rate=0.0) for row in snapshot.processes],
            "stacks": run.trie.folded(),
            "stream": values(without_warnings(session.stream_buffer().snapshot())),
        }
        session.stop_recording()
        window.end()
    result["rows"] = values(found.batch)
    result["recorded"] = pq.read_table(folder / f"{limit}.parquet").to_pydict()
    summary = found.summary()
    result["summary"] = (summary.files, summary.syscalls, summary.failures, summary.slowest, summary.distinct_files)
    result["tables"] = len({id(table) for table in tables})
    return result


def test_new_string_tables_show_in_no_row() -> None:
    """A decoder whose tables begin anew every few frames decodes the same rows."""
    plain, renewed = list(decoded(1 << 20)), list(decoded(500))

    assert len({id(batch.tables["file"]) for batch in plain}) == 1
    assert len({id(batch.tables["file"]) for batch in renewed}) > 5
    assert max(len(batch.tables["file"]) for batch in renewed) < 4_000
    for one, other in zip(plain, renewed, strict=True):
        assert values(one) == values(other)


def test_new_string_tables_show_in_no_sink(tmp_path: Path) -> None:
    """Statistics, trie, stream, rows, recording and summary are the same, however often the tables begin anew."""
    plain, renewed = through_a_session(1 << 20, tmp_path), through_a_session(500, tmp_path)

    assert plain.pop("tables") == 1
    assert renewed.pop("tables") > 5
    for name, value in plain.items():
        assert renewed[name] == value, name


def test_a_name_said_once_is_known_however_many_tables_later() -> None:
    """The name of a file that is used again after a long time is still known."""
    decoder = Decoder(limit=40)
    decoder.names.take(named(1, "/old"))
    seen = []
    for number in range(2, 1_501):
        decoder.names.take(named(number, f"/new/{number}"))
        if number % 100 == 0:
            used = (number, number - 90, 1)
            seen.append(tuple(decoder.events(reads(n)).text("file")[0] for n in used))

    assert seen == [(f"/new/{n}", f"/new/{n - 90}", "/old") for n in range(100, 1_501, 100)]
    assert len(decoder.tables["file"]) <= 142


def test_ids_that_come_no_more_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files the collector still knows keep their names however long they rest; the rest takes no room for good."""
    monkeypatch.setattr("ior_nb.engine.names._MANY", 100)
    monkeypatch.setattr("ior_nb.engine.names._YOUNG", 10)
    decoder = Decoder(limit=40)
    decoder.names._enough = 100
    decoder.names.take(named(7, "/held"))
    first = decoder.events(reads(7))
    asked, most = 0, 0
    for number in range(1_000, 5_000):
        decoder.names.take(named(number * 128, f"/new/{number}"))
        if decoder.names.ask():
            asked += 1
            late = named(number * 128 + 1, "/late")  # comes after the question, and is not in the answer
            decoder.names.take(late)
            decoder.names.keep(alive(7))
            assert decoder.events(reads(number * 128 + 1)).text("file").tolist() == ["/late"]
        most = max(most, decoder.names.file_places.used)
    last = decoder.events(reads(7))

    assert asked > 20
    assert most <= 250
    assert len(decoder.names.paths) <= 500
    assert first.text("file").tolist() == last.text("file").tolist() == ["/held"]
    assert decoder.events(reads(1_000 * 128)).text("file").tolist() == [""]


def test_ids_take_the_room_of_their_number_not_of_their_size() -> None:
    """Ids far apart, as on a machine of many processors, take no more room than ids side by side."""
    decoders = [Decoder(), Decoder()]
    for decoder, step in zip(decoders, (1, 1 << 17), strict=True):
        for number in range(1, 2_000):
            decoder.names.take(named(number * step, f"/{number}"))
    near, far = decoders

    assert far.names.paths.nbytes == near.names.paths.nbytes
    assert far.events(reads(1_999 << 17)).text("file").tolist() == ["/1999"]
    assert far.events(reads(1_999)).text("file").tolist() == [""]


def test_the_names_of_threads_begin_anew_too() -> None:
    """Any number of threads, each with a name of its own, take a bounded table; a thread's name stays known."""
    decoder = Decoder(limit=40)
    batches = []
    event = np.zeros(1, EVENT)
    event["len"], event["nr"], event["comm"], event["pid"] = wire.EVENT_BYTES, resolve("read").number, 1, 1
    for number in range(1, 300):
        chunk = np.zeros(1, CHUNK)
        chunk["len"], chunk["id"], chunk["type"], chunk["parts"] = wire.CHUNK_BYTES, number, wire.N_COMM, 1
        chunk["text"] = np.array([f"worker-{number}".encode()], f"S{wire.CHUNK_TEXT}").view(f"V{wire.CHUNK_TEXT}")
        decoder.names.take(chunk.tobytes())
        if number == 1 or number % 50 == 0:
            batch = decoder.events(event.tobytes())
            batches.append(batch)
            assert batch.text("comm").tolist() == ["worker-1"]

    assert len({id(batch.tables["comm"]) for batch in batches}) > 2


def test_a_recoder_has_one_code_for_a_string_of_any_table() -> None:
    """Strings keep their codes from table to table; of those dropped only the empty one keeps its code."""
    recoder = Recoder()
    first, second = StringTable(["a", "b", "c"]), StringTable(["c", "d", "a"])
    one = recoder.codes(np.array([3, 1, 0, 1], np.int32), first)
    other = recoder.codes(np.array([1, 2, 3, 0], np.int32), second)

    assert recoder.own.at(one) == ["c", "a", "", "a"]
    assert recoder.own.at(other) == ["c", "d", "a", ""]
    assert one[0] == other[0]
    kept = recoder.keep(other[[3, 0]])
    assert recoder.own.at(kept) == ["", "c"]
    assert recoder.codes(np.array([0, 3], np.int32), first).tolist() == kept.tolist()
    assert len(recoder.own) == 2


def test_a_fault_is_untimed_and_has_its_place_and_bytes() -> None:
    """The record of a page fault is a row without latency; how long it waited for a CPU nobody knows."""
    record = wire.event_record(
        nr=resolve("page_fault").number, ret=8192, pos=4096, fetched=8192, run_delay=wire.PACKED_UNKNOWN, tid=7
    )
    (row,) = Decoder().events(record)

    assert (row.syscall, row.family, row.state, row.latency_ns) == ("page_fault", "Memory", "untimed", 0)
    assert (row.bytes, row.fetched_bytes, row.wait_cpu_ns, row.on_cpu_ns) == (8192, 8192, -1, -1)
