"""`TracerSession`: owns what lives long, wires the engine to sinks and views. Reads top to bottom.

A *session* holds the stream ring, the recorder, the row numbering and the filter epoch; a *run* is one engine trace;
a *window* is one `Trace` the user asked for. The first window starts a run, windows opened meanwhile (a cell while
`%ior start` is on, a nested `trace()`) are stretches of time on it, and closing the first one ends it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, Final

import numpy as np

from ior_nb import errors
from ior_nb.clock import FOR_EVER, boot_clock
from ior_nb.plan import Plan, plan
from ior_nb.run import Run, service_threads
from ior_nb.runtime import (
    EventBatch,
    Filter,
    LiveTrieSource,
    ProbeManager,
    SnapshotSource,
    StreamSource,
    context_with_runtime_bindings,
)
from ior_nb.streamrow import RingBuffer, Sequencer
from ior_nb.window import Window

__all__ = ["ENGINES", "TracerSession", "default_session", "trace"]

# Name -> "module:class". `auto` is the first that works. A new engine is one row here and one module.
ENGINES: Final = {"bcc": "ior_nb.engine.bcc:BccEngine"}


class TracerSession:
    """The tracer of one process: `TraceRuntimeBindings` for engines and views, windows for users.

    All methods may be called from any thread. Used as a context manager it closes itself.

    Args:
        engine: `auto`, or the name of an engine, which is then the only one tried.
        stream_rows: rows the live stream keeps.
    """

    def __init__(self, *, engine: str = "auto", stream_rows: int = 10_000) -> None:
        if engine != "auto" and engine not in ENGINES:
            raise errors.ConfigError(f"there is no engine {engine!r}; choose one of auto, {', '.join(ENGINES)}")
        self.engine_name = next(iter(ENGINES)) if engine == "auto" else engine
        self._engine: Any = None
        self._lock = threading.RLock()
        self._run: Run | None = None
        self._stream = RingBuffer(stream_rows)
        self._sequencer = Sequencer()
        self._epoch = 0
        self._recorder: Any = None
        self._cells: list[list[int]] = []  # [t0, t1, execution count], in order of time
        self._sources: dict[str, Any] = {}
        # Without these a recording would not be published at exit, and a forked child would think the run its own.
        reference = weakref.ref(self)
        atexit.register(lambda: _call(reference, TracerSession.close))
        os.register_at_fork(after_in_child=lambda: _call(reference, TracerSession._forget))

    # ---- RuntimePublisher

    def set_dashboard_snapshot_source(self, source: SnapshotSource | None) -> None:
        """Publish the statistics."""
        self._sources["statistics"] = source

    def set_event_stream_source(self, source: StreamSource | None) -> None:
        """Publish the stream."""
        self._sources["stream"] = source

    def set_live_trie(self, trie: LiveTrieSource | None) -> None:
        """Publish the flame trie."""
        self._sources["trie"] = trie

    def set_probe_manager(self, manager: ProbeManager | None) -> None:
        """Publish the probe control."""
        self._sources["probes"] = manager

    def set_live_filter_setter(self, setter: Callable[[Filter], None] | None) -> None:
        """Publish how a new filter is put into the running pipeline; None unregisters."""
        self._sources["filter"] = setter

    # ---- RuntimeState

    def stream_buffer(self) -> RingBuffer:
        """Return the ring of the last rows."""
        return self._stream

    def recorder(self) -> Any:
        """Return the session's recorder; it is made on first use."""
        with self._lock:
            if self._recorder is None:
                from ior_nb.export.arrow import record_batch
                from ior_nb.parquet import Recorder

                self._recorder = Recorder(to_arrow=record_batch)
            return self._recorder

    def stream_sequencer(self) -> Sequencer:
        """Return the one row numbering."""
        return self._sequencer

    def filter_epoch(self) -> int:
        """Return the filter generation rows are stamped with."""
        return self._epoch

    # ---- windows

    @property
    def running(self) -> Run | None:
        """The run that is on, None when nothing is traced."""
        return self._run

    def engine(self) -> Any:
        """Return the engine, made on first use."""
        with self._lock:
            if self._engine is None:
                module, _, name = ENGINES[self.engine_name].partition(":")
                self._engine = getattr(importlib.import_module(module), name)()
            return self._engine

    def prepare(self) -> None:
        """Load the engine without tracing anything, so that the first trace starts at once.

        Raises:
            SourceError: the engine cannot work here.
        """
        self.engine().open()

    def trace(self, wanted: Plan, *, cell: int = -1) -> Window:
        """Return a window, not opened yet: use it in a `with` statement."""
        return Window(self, wanted, cell=cell)

    def open_window(self, window: Window) -> None:
        """Start a run for it, or let it join the one that is on. Called by the window."""
        with self._lock:
            if self._run is None:
                run = Run(self.engine(), window, service_threads() if window.plan.own else ())
                context = context_with_runtime_bindings(Context(), self)
                self._run = run
                try:
                    run(context)
                except BaseException:
                    self._run = None
                    raise
            else:
                self._run.join(window)

    def close_window(self, window: Window) -> None:
        """Take it off its run; the run ends with its owner. Called by the window."""
        with self._lock:
            run = self._run
            if run is None or window not in run.windows:
                return
            if run.owner is window:
                self._run = None
                run.end()
                for source in ("probes", "filter"):
                    self._sources[source] = None
            else:
                run.leave(window)

    # ---- rows

    def take(self, batch: EventBatch) -> EventBatch:
        """Stamp a batch of the run: sequence, filter epoch, cell. Called by the pump thread."""
        first = self._sequencer.take(len(batch))
        columns: dict[str, np.ndarray] = {"seq": np.arange(first, first + len(batch), dtype=np.uint64)}
        if self._epoch:
            columns["filter_epoch"] = np.full(len(batch), self._epoch, np.uint64)
        if self._cells and len(batch):
            times = batch["time_ns"]
            low, high = int(times.min()), int(times.max())
            cells = np.full(len(batch), -1, np.int32)
            for t0, t1, number in reversed(self._cells):
                if t0 <= high and t1 > low:
                    cells[(times >= t0) & (times < t1)] = number
                elif t1 <= low:
                    break
            columns["cell"] = cells
        return batch.with_columns(**columns)

    def deliver(self, batch: EventBatch) -> None:
        """Hand rows to the sinks of the session."""
        self._stream.push(batch)
        if self._recorder is not None and self._recorder.status().active:
            self._recorder.record(batch)

    def begin_cell(self, number: int) -> list[int]:
        """Rows from now on belong to this cell, until `end_cell`."""
        entry = [boot_clock(), FOR_EVER, number]
        self._cells.append(entry)
        return entry

    def end_cell(self, entry: list[int]) -> None:
        """The cell has ended."""
        entry[1] = boot_clock()

    # ---- recording

    def record(self, path: str | Path) -> None:
        """Record every row of the session from now on.

        Raises:
            RecordingError: the path cannot be written, or a recording is on.
        """
        recorder = self.recorder()
        run = self._run
        if run is not None:
            run.engine.live()
        metadata = run.owner.trace.metadata() if run is not None else {}
        recorder.start(path, metadata=metadata)
        if run is not None and recorder.worker_tid is not None:
            run.ignore([recorder.worker_tid])

    def stop_recording(self) -> Path | None:
        """Finish the recording; return where it is."""
        if self._run is not None:
            self._run.flush()
        published: Path | None = self.recorder().stop()
        return published

    # ---- life

    def close(self) -> None:
        """End the trace, the recording and the collector. Idempotent."""
        with self._lock:
            if self._run is not None:
                self.close_window(self._run.owner)
            if self._recorder is not None and self._recorder.status().active:
                self._recorder.stop()
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _forget(self) -> None:
        """In a forked child: the collector, the run and the sockets are the parent's."""
        self._lock = threading.RLock()
        self._run = None
        self._engine = None
        self._recorder = None

    def __enter__(self) -> TracerSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _call(session: weakref.ref[TracerSession], method: Callable[[TracerSession], None]) -> None:
    alive = session()
    if alive is not None:
        method(alive)


_default: TracerSession | None = None
_default_lock = threading.Lock()


def default_session() -> TracerSession:
    """Return the session of this process: one collector serves `trace()` and the magics alike."""
    global _default
    with _default_lock:
        if _default is None:
            _default = TracerSession()
        return _default


def trace(
    *,
    command: Sequence[str] | None = None,
    pid: int | None = None,
    tid: int | None = None,
    cgroup: str | Path | int | None = None,
    uid: int | None = None,
    system: bool = False,
    families: str | Iterable[str] | None = None,
    syscalls: str | Iterable[str] | None = None,
    sampling: dict[str, int] | None = None,
    follow: bool = True,
    own: bool = False,
    engine: str = "auto",
    record: str | Path | None = None,
    keep_rows: bool = True,
    cwd: str | Path | None = None,
    env: dict[str, str] | None = None,
    title: str | None = None,
    session: TracerSession | None = None,
    cell: int = -1,
) -> Window:
    """Trace the I/O system calls of a `with` block.

        with ior_nb.trace() as t:
            frame = pandas.read_csv("x.csv")
        t.df()

    Without `command`, `pid`, `tid`, `cgroup`, `uid` or `system` the calls of this process, its threads and all its
    children are traced, the notebook's own service threads left out.

    Args:
        command: program and arguments; started for the trace, which ends when it does. `Trace.returncode` has its
            status.
        pid: a running process and its children.
        tid: one thread.
        cgroup: a control group (version 2): its folder, or its id.
        uid: all processes of a user.
        system: every process of the machine.
        families: families of system calls; default FS, Network and AIO. `all` is all of them.
        syscalls: names of system calls; alone, only these; with `families`, in addition.
        sampling: name of a syscall or family -> N: one call in N becomes a row; 0 counts only. Counters stay exact.
        follow: whether children are traced.
        own: leave out processes that were running before the block.
        engine: `auto`, or an engine by name, which then is the only one tried.
        record: also write a Parquet recording there.
        keep_rows: whether the rows stay in memory for `df()`; without them the summary and the recording remain.
        cwd: working directory of the command.
        env: environment of the command.
        title: heading of the result.
        session: where to trace; the process's own session by default.
        cell: execution count to stamp on the rows.

    Returns:
        A context manager that gives the `Trace`; its results are there after the block.

    Raises:
        ConfigError: something asked for is not possible; nothing was started.
        RecordingError: the recording cannot be written; nothing was started.
        SourceError: (entering the block) the machine or the rights do not allow tracing.
    """
    if engine != "auto" and engine not in ENGINES:
        raise errors.ConfigError(f"there is no engine {engine!r}; choose one of auto, {', '.join(ENGINES)}")
    wanted = plan(
        command=command,
        pid=pid,
        tid=tid,
        cgroup=cgroup,
        uid=uid,
        system=system,
        families=families,
        syscalls=syscalls,
        sampling=sampling,
        follow=follow,
        own=own,
        record=record,
        keep_rows=keep_rows,
        cwd=cwd,
        env=env,
        title=title,
    )
    return (session or default_session()).trace(wanted, cell=cell)
