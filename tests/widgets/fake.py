"""A runtime of real sinks fed by the test, and a comm that notes what a panel sends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from comm.base_comm import BaseComm

from ior_nb.errors import ConfigError, RecordingError
from ior_nb.globalfilter import FilterStack, complete, parse, to_text
from ior_nb.runtime import (
    Accounting,
    Completeness,
    EventBatch,
    Filter,
    PageState,
    RecordingState,
    StringTable,
    Suggestion,
    Task,
    TraceState,
)
from ior_nb.runtime.batch import new_tables
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.probemanager import Manager
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.statsengine import Statistics
from ior_nb.sinks.streamrow import RingBuffer
from ior_nb.syscalls import BY_NAME, SYSCALLS
from tests.fakes import batch


class RecordedComm(BaseComm):
    """A comm without a page: notes messages, and hands in what a page would send."""

    log: ClassVar[list[tuple[str, Any, list[bytes]]]] = []

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        RecordedComm.log.append((msg_type, data, [bytes(b) for b in buffers or []]))

    def push(self, content: dict[str, Any]) -> None:
        """Hand in a custom message, as if the page had sent it."""
        self.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": [], "metadata": {}})


class FakeFilters:
    """`runtime.FilterControl`."""

    def __init__(self) -> None:
        self.stack = FilterStack()

    @property
    def active(self) -> Filter:
        return self.stack.active

    @property
    def labels(self) -> tuple[str, ...]:
        return self.stack.labels

    def parse(self, text: str) -> Filter:
        return parse(text)

    def text(self, filter: Filter) -> str:  # noqa: A002
        return to_text(filter) if filter.active else ""

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002
        return self.stack.push(filter, label)

    def undo(self) -> bool:
        return self.stack.pop()

    def suggest(self, text: str, position: int) -> list[Suggestion]:
        return complete(text, position)


class FakeRecording:
    """`runtime.RecordingControl`."""

    def __init__(self) -> None:
        self.now = RecordingState()

    def start(self, path: str = "") -> Path:
        if path == "/full":
            raise RecordingError("cannot write /full: no space left")
        named = Path(path or "ior-recording-20260101-000000.parquet")
        self.now = RecordingState(active=True, path=named)
        return named

    def stop(self) -> Path | None:
        self.now = RecordingState(active=False, path=self.now.path, rows_written=1234, bytes_written=20_000)
        return self.now.path

    def status(self) -> RecordingState:
        return self.now


class FakeControl:
    """`runtime.TraceControl`."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.running = True
        self.asked: list[Any] = []
        self.accounting = Accounting()
        self.looked_at: list[tuple[str, ...]] = []
        self.known: dict[str, PageState] = {}

    def state(self) -> TraceState:
        rows = self.runtime.ring.total_pushed
        return TraceState(
            running=self.running,
            title="process 4242 and its children",
            engine="fake",
            rows=rows,
            elapsed_s=12.5,
            completeness=Completeness(accounting=self.accounting),
            warnings=self.runtime.ring.warning_count,
        )

    def start(self, pid: int = 0, tid: int = 0, *, system: bool = False, families: Sequence[str] = ()) -> None:
        self.asked.append(("start", pid, tid, system, tuple(families)))
        self.running = True

    def stop(self) -> None:
        if not self.running:
            raise ConfigError("no trace is running")
        self.asked.append("stop")
        self.running = False

    def reset(self) -> None:
        self.asked.append("reset")
        self.runtime.engine.reset()
        self.runtime.flame.reset()

    def choose(self, host: str) -> None:
        self.asked.append(("choose", host))

    def tasks(self, pid: int = 0) -> list[Task]:
        if pid:
            return [Task(pid=pid, tid=pid + i, comm=f"worker-{i}") for i in range(4)]
        return [
            Task(pid=4242, tid=4242, comm="python", command="python -m ipykernel", uid=1000, own=True),
            Task(pid=99, tid=99, comm="<b>evil</b>\u202e", command="/tmp/<img src=x onerror=alert(1)>", uid=0),
        ]

    def pages(self, paths: Sequence[str]) -> dict[str, PageState]:
        self.looked_at.append(tuple(paths))
        return {path: self.known[path] for path in paths if path in self.known}

    def export(self, path: str) -> Path:
        self.asked.append(("export", path))
        return Path(path)


class FakeRuntime:
    """`runtime.LiveRuntime` over real sinks; `feed` plays the part of the pump."""

    def __init__(self, rows: int = 10_000) -> None:
        self.ring = RingBuffer(rows)
        self.engine = Statistics(clock=boot_clock)
        self.flame = LiveTrie()
        self.filters = FakeFilters()
        self.recording = FakeRecording()
        self.control = FakeControl(self)
        self.applied: list[Any] = []
        self.manager: Manager | None = Manager(
            [c.number for c in SYSCALLS if c.family in ("FS", "Network")],
            {},
            lambda on, rates: self.applied.append((on, rates)),
        )
        self.tables: dict[str, StringTable] = dict(new_tables())
        self.seq = 0
        self.looked = 0

    def statistics(self) -> Statistics:
        return self.engine

    def stream(self) -> RingBuffer:
        return self.ring

    def trie(self) -> LiveTrie:
        return self.flame

    def probes(self) -> Manager | None:
        return self.manager

    def update(self) -> None:
        self.looked += 1

    def feed(self, events: EventBatch) -> None:
        """Hand rows to all sinks."""
        self.ring.push(events)
        self.engine.ingest(events)
        self.flame.ingest(events)

    def calls(self, count: int = 100, *, files: int = 20, seed: int = 0, **fixed: Any) -> EventBatch:
        """Make up some calls; `fixed` columns have one value for all rows."""
        random = np.random.default_rng(seed + self.seq)
        names = np.array(["read", "write", "openat", "close", "sendto"])[random.integers(0, 5, count)]
        numbers = self.seq + 1 + np.arange(count)
        self.seq += count
        ret = np.where(random.random(count) < 0.05, -2, random.integers(1, 4096, count))
        columns: dict[str, Any] = {
            "seq": numbers,
            "time_ns": boot_clock() - 1_000_000 * (count - np.arange(count)),
            "latency_ns": random.integers(200, 2_000_000, count),
            "gap_ns": random.integers(100, 50_000, count),
            "comm": [f"worker-{i}" for i in random.integers(0, 3, count)],
            "pid": random.integers(100, 103, count),
            "tid": random.integers(100, 106, count),
            "syscall": names,
            "family": [BY_NAME[str(n)].family for n in names],
            "fd": random.integers(3, 9, count),
            "ret": ret,
            "bytes": np.where(ret > 0, ret, 0),
            "is_error": ret < 0,
            "file": [f"/data/part-{i % 4}/file-{i}.bin" for i in random.integers(0, files, count)],
        }
        for name, value in fixed.items():
            columns[name] = [value] * count
        return batch(self.tables, **{k: list(v) for k, v in columns.items()})
