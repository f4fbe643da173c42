"""The whole way of the data on one core: decode, filter, statistics, trie, stream; and a recorder on a second one.

The batches go through a `Run` as the pump thread feeds it, with one text term in the filter.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.engine.intake import Intake
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.bench.frames import Frames, files_read_once, frames
from tests.bench.report import Row, log
from tests.bench.tools import Load
from tests.fakes import FakeEngine

TITLE = "pipeline: fixed generator through a session: decode, filter `not file~nowhere`, statistics, trie, stream"
FILTER = "not file~nowhere"
ROWS = 6_500  # in a frame, which is a mebibyte at most
AT_ONCE = 8  # of them, with their names, are in the 10 MiB that the pump reads when they wait
SLICE = AT_ONCE * ROWS  # rows made at a time, which is not measured; memory is as near as that of a socket just read
PREADS = 3_000_000
FILES_IN_MAP = 65_536


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    rows = 1_000_000 if quick else 5_000_000
    return [
        *_pipeline(rows, record=False),
        *_flat(2_000_000 if quick else 50_000_000),
        *([] if quick else [_short_lived(4_000_000)]),
        *_pipeline(rows, record=True),
    ]


class _Pipeline:
    """A session whose engine is played by the bench."""

    def __init__(self, folder: Path | None = None) -> None:
        self.engine = FakeEngine()
        self._asked = False
        self.session = TracerSession(engine=self.engine)
        self.session.set(self.session.parse(FILTER))
        self.window = trace(pid=1, keep_rows=False, session=self.session)
        self.window.__enter__()
        self.window._stretch._t0 = 0  # the generator's clock begins anywhere
        self.intake = Intake(Decoder(), 0, self._ask)
        self.intake.begin(self.engine.emit, quiet=False)
        if folder is not None:
            self.session.recorder().start(folder / "rows.parquet", block=True)

    def feed(self, *frames: Frames) -> None:
        """What the pump does with what waits."""
        sent = [pair for frame in frames for pair in frame.sent()]
        for at in range(0, len(sent), 2 * AT_ONCE):
            self.intake.receive(sent[at : at + 2 * AT_ONCE])
            if self._asked:
                self._asked = False
                self.intake.receive([(Frame.ALIVE, _alive(sent[at + 2 * AT_ONCE - 1 :: -1]))])
        self.intake.settle()

    def _ask(self) -> None:
        self._asked = True

    def close(self) -> None:
        """End the trace and the recording."""
        self.window.end()
        self.session.close()


def _alive(sent: list[tuple[Frame, bytes]]) -> bytes:
    """Return what a collector answers whose map of files is full: the last ones; and all names of threads."""
    files = next(np.frombuffer(payload, EVENT)["file"] for kind, payload in sent if kind is Frame.EVENTS)
    last = int(files.max())
    alive = np.arange(max(last - FILES_IN_MAP, 0) + 1, last + 1)
    return np.concatenate([[len(alive)], alive, np.arange(1, 1 << 10)]).astype("<u4").tobytes()


def _pipeline(rows: int, *, record: bool) -> list[Row]:
    log(f"pipeline: {rows:,} rows{', recorded' if record else ''}")
    with tempfile.TemporaryDirectory() as folder:
        pipeline = _Pipeline(Path(folder) if record else None)
        wall = cpu = 0.0
        pending: list[Frames] = []
        made = 0
        for frame in frames(rows, rows_in_frame=ROWS):
            pending.append(frame)
            made += frame.rows
            # A recorder must not catch up while frames are made and no clock runs: then all are made first.
            if made < rows and (record or sum(f.rows for f in pending) < SLICE):
                continue
            w0, c0 = time.perf_counter(), time.process_time() if record else time.thread_time()
            pipeline.feed(*pending)
            if record and made >= rows:
                pipeline.session.recorder().stop()
            wall += time.perf_counter() - w0
            cpu += (time.process_time() if record else time.thread_time()) - c0
            pending.clear()
        run = pipeline.session.running
        assert run is not None
        snapshots = []
        begin = time.thread_time()
        run.trie.snapshot_tree()
        first = (time.thread_time() - begin) * 1000
        for view in (run.statistics.snapshot, run.trie.snapshot_tree):
            pipeline.feed(next(frames(1000)))
            begin = time.thread_time()
            view()
            snapshots.append((time.thread_time() - begin) * 1000)
        pipeline.close()
    each = cpu / rows * 1e9 / Load.run(PREADS).cpu_ns
    if record:
        return [
            Row.judged("with the recorder, a row's processor time in untraced 1-byte preads", each, 3.5, "×", digits=1),
            Row.judged("with the recorder on the second core, wall", rows / wall / 1e6, 1.5, "M/s", most=False),
            Row.judged("with the recorder, processor time of both", rows / cpu / 1e6, 1, "M/s", most=False),
        ]
    return [
        Row.judged("a row's processor time in untraced 1-byte preads", each, 2, "×", digits=1),
        Row.judged("decode, filter, statistics, trie, stream: one core", rows / cpu / 1e6, 2, "M/s", most=False),
        Row.judged("snapshot of the statistics", snapshots[0], 10, "ms"),
        Row.judged("snapshot of the trie", snapshots[1], 10, "ms"),
        Row(what="the first one, with the nodes of all stacks there are", measured=f"{first:.0f} ms"),
    ]


def _flat(rows: int) -> list[Row]:
    """Memory over a long run: the growth from its first fifth to its end."""
    log(f"pipeline, memory: {rows:,} rows")
    pipeline = _Pipeline()
    source = list(frames(1_000_000, rows_in_frame=ROWS))
    done, early = 0, 0
    while done < rows:
        pipeline.feed(*source)
        done += sum(frame.rows for frame in source)
        if not early and done >= rows / 5:
            early = _resident()
    late = _resident()
    pipeline.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Row.judged(f"memory growth over {rows * 4 // 5:,} rows", (late - early) / 1024, 32, "MiB"),
        Row(what="memory at its peak, the frames included", measured=f"{peak:.0f} MiB"),
    ]


def _short_lived(files: int) -> Row:
    """Memory of a trace of files that are read once and never again: the growth over its second half."""
    log(f"pipeline, memory: {files:,} files")
    pipeline = _Pipeline()
    done = early = 0
    for frame in files_read_once(files):
        pipeline.feed(frame)
        done += frame.rows
        early = early or (_resident() if done >= files // 2 else 0)
    late = _resident()
    pipeline.close()
    return Row.judged(f"memory growth over {files // 2:,} files read once", (late - early) / 1024, 256, "MiB")


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
