"""From raw frames to columns, sums, the stream, a recording and a DataFrame: rows for each second of processor time.

Frames come from the fixed generator of `frames.py`; making them is not part of any figure.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ior_nb import TracerSession
from ior_nb.engine.decode import Decoder
from ior_nb.result.tally import Tally
from ior_nb.runtime import EventBatch
from ior_nb.session.tracing import trace
from ior_nb.sinks.streamrow import RingBuffer
from tests.bench.frames import frames
from tests.bench.report import Row, log
from tests.bench.tools import median
from tests.fakes import FakeEngine

TITLE = "decode: fixed generator, rows for each second of processor time on one core"
FRAME = 1_000_000


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    rows = 500_000 if quick else 5_000_000
    result, batches = _pipeline(rows)
    for size in (2_048, 8_192):
        result.append(_decode_only(min(rows, 1_000_000), size))
    return [*result, *_recorder(batches), _dataframe(batches)]


def _million(value: float) -> float:
    return value / 1e6


def _pipeline(rows: int) -> tuple[list[Row], list[EventBatch]]:
    first = _first_frame()
    log(f"decoder, summary, stream: {rows:,} rows")
    decoder, tally, stream = Decoder(), Tally(), RingBuffer(10_000)
    session = TracerSession(engine=FakeEngine())
    trace(pid=1, session=session).__enter__()
    run = session.running
    assert run is not None
    spent = dict.fromkeys(("names", "events", "stamp", "tally", "ring"), 0.0)
    kept: list[EventBatch] = []
    done = 0
    for frame in frames(rows):
        t0 = time.thread_time()
        decoder.names.take(frame.names)
        t1 = time.thread_time()
        batch = decoder.events(frame.events)
        t2 = time.thread_time()
        batch = run._stamped(batch, [])
        t3 = time.thread_time()
        tally.add(batch)
        t4 = time.thread_time()
        stream.push(batch)
        t5 = time.thread_time()
        for name, seconds in zip(spent, (t1 - t0, t2 - t1, t3 - t2, t4 - t3, t5 - t4), strict=True):
            spent[name] += seconds
        if done < FRAME:
            kept.append(batch)
        done += frame.rows
    whole = sum(spent.values())
    both = spent["names"] + spent["events"]
    result = [
        Row.judged("Decoder, names included (frames of 16,384)", _million(rows / both), 5, "M/s", most=False),
        Row(what="  of it, names", measured=f"{spent['names'] * 1e9 / rows:.0f} ns a row"),
        Row(what="  of it, events", measured=f"{spent['events'] * 1e9 / rows:.0f} ns a row"),
        Row(what="  before all, once: the first frame of a process", measured=f"{first:.3f} s"),
        Row(what="session stamp (seq, cell)", measured=f"{_million(rows / spent['stamp']):,.1f} M/s"),
        Row(what="Tally (summary)", measured=f"{_million(rows / spent['tally']):,.2f} M/s"),
        Row(what="RingBuffer.push", measured=f"{_million(rows / spent['ring']):,.1f} M/s"),
        Row.judged("all of these, one after the other", _million(rows / whole), 2, "M/s", most=False),
    ]
    return result, kept


def _first_frame() -> float:
    """Return what decoding a frame of 100 events takes when it is the first: what is only loaded then."""
    frame = next(frames(100))
    decoder = Decoder()
    begin = time.thread_time()
    decoder.names.take(frame.names)
    decoder.events(frame.events)
    return time.thread_time() - begin


def _decode_only(rows: int, size: int) -> Row:
    decoder = Decoder()
    spent = 0.0
    for frame in frames(rows, rows_in_frame=size):
        begin = time.thread_time()
        decoder.names.take(frame.names)
        decoder.events(frame.events)
        spent += time.thread_time() - begin
    return Row(what=f"Decoder in frames of {size:,}", measured=f"{_million(rows / spent):.2f} M/s")


def _recorder(batches: list[EventBatch]) -> list[Row]:
    try:
        from ior_nb.export.arrow import columns
        from ior_nb.sinks.parquet import Recorder
    except ImportError as error:
        return [Row(what="Parquet recorder", measured="not available", ratio=str(error))]
    rows = sum(map(len, batches))
    log(f"recorder: {rows:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(to_arrow=columns)
        recorder.start(Path(folder) / "rows.parquet", block=True)
        wall, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            recorder.record(batch)
        path = recorder.stop()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if path is None:
            raise RuntimeError("nothing was recorded")
        size = path.stat().st_size
    return [
        Row.judged("Parquet recorder, wall", _million(rows / wall), 1.5, "M/s", most=False),
        Row.judged("Parquet recorder, processor time", _million(rows / cpu), 1, "M/s", most=False),
        Row.judged("Parquet, bytes a row", size / rows, 16, "bytes", digits=1),
    ]


def _dataframe(batches: list[EventBatch]) -> Row:
    from ior_nb.export.pandas import dataframe

    times = []
    rows = 0
    for _ in range(4):
        begin = time.perf_counter()
        frame = dataframe(EventBatch.concat(batches))
        times.append((time.perf_counter() - begin) * 1e6 / len(frame))
        rows = len(frame)
        del frame
    return Row.judged(f"DataFrame, from {rows:,} rows, for 1 M", median(times[1:]), 0.5, "s")
