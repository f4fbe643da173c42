"""`TracerSession`: owns what lives long, wires the engine to sinks and views. Reads top to bottom.

A *session* holds the stream ring, the recorder, the row numbering and the filter epoch; a *run* is one engine trace;
a *window* is one `Trace` the user asked for. The first window starts a run, windows opened meanwhile (a cell while
`%ior start` is on, a nested `trace()`) are stretches of time on it, and closing the first one ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ior_nb import errors
from ior_nb.clock import FOR_EVER, boot_clock
from ior_nb.globalfilter import FilterStack, parse
from ior_nb.judging import Judges
from ior_nb.plan import Plan
from ior_nb.result import Trace
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
from ior_nb.window import Window, files_of

if TYPE_CHECKING:
    from ior_nb.engine.contract import Engine
    from ior_nb.widgets.dashboard import Dashboard

__all__ = ["ENGINES", "TracerSession", "default_session", "engine_name"]

# Name -> "module:class". A new engine is one row here and one module. `auto` is the first, and never made-up data.
ENGINES: Final = {"bcc": "ior_nb.engine.bcc:BccEngine", "demo": "ior_nb.engine.demo:DemoEngine"}


_KEPT_TRACES: Final = 50
_KEPT_ROWS: Final = 5_000_000


class TracerSession:
    """The tracer of one process: `TraceRuntimeBindings` for engines and views, windows for users.

    All methods may be called from any thread. Used as a context manager it closes itself.

    Args:
        engine: `auto`, or the name of an engine, which is then the only one tried, or an engine, as a
            `ior_nb.ReplayEngine`; the session closes it.
        stream_rows: rows the live stream keeps.
    """

    def __init__(self, *, engine: str | Engine = "auto", stream_rows: int = 10_000) -> None:
        self.engine_name = engine_name(engine) if isinstance(engine, str) else engine.name
        self._asked = engine if isinstance(engine, str) else ""
        self._given = None if isinstance(engine, str) else engine
        self._engine: Any = None
        self._lock = threading.RLock()
        self._run: Run | None = None
        self._stream = RingBuffer(stream_rows)
        self._sequencer = Sequencer()
        self._epoch = 0
        self.filters = FilterStack()
        self._recorder: Any = None
        self._cells: list[list[int]] = []  # [t0, t1, execution count], in order of time
        self._sources: dict[str, Any] = {}
        self._traces: dict[int, Trace] = {}
        self._dashboard: Dashboard | None = None
        self._dashboards: weakref.WeakSet[Dashboard] = weakref.WeakSet()
        self.last_run: Run | None = None
        self.listeners: list[Callable[[Trace], None]] = []
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

    def set_live_filter_setter(self, setter: Callable[[Filter, int], None] | None) -> None:
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
        """Return the engine, made on first use.

        Raises:
            RecordingError: the recordings to play instead (IOR_NB_REPLAY) cannot be read.
        """
        with self._lock:
            if self._engine is None and self._given is not None:
                self._engine = self._given
            elif self._engine is None:
                module, _, name = ENGINES[engine_name(self._asked)].partition(":")
                made = getattr(importlib.import_module(module), name)()
                if self._asked == "auto" and (recordings := os.environ.get("IOR_NB_REPLAY")):
                    from ior_nb.engine.replay import working

                    made = working(made, recordings)
                self._engine, self.engine_name = made, made.name
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
            engine = self.engine()
            window.plan = window.plan.within(engine.syscalls)
            if self._run is None:
                window.trace.engine = engine.name  # only now is it known whether recordings stand in for it
                wanted = self.filters.active
                if window.plan.filter.active:
                    wanted = Filter.of([*wanted.parts(), *window.plan.filter.parts()])
                judges = Judges(engine, wanted, self._epoch)
                ours = service_threads() if window.plan.own else ()
                if self._recorder is not None and self._recorder.worker_tid is not None:
                    ours += (self._recorder.worker_tid,)
                run = Run(engine, window, ours, judges)
                if not engine.can_wait:
                    run.watch()  # rows come before anybody can look, and a dashboard must have counted them
                context = context_with_runtime_bindings(Context(), self)
                try:
                    run(context)
                    self._run = run  # not before it has started: a dashboard would ask too early
                    if self._recorder is not None and self._recorder.status().active:
                        run.watch()
                except BaseException:
                    self._run = None
                    with contextlib.suppress(Exception):
                        engine.stop()  # an interrupt may have come between the hooks and their answer
                    raise
            else:
                self._run.join(window)

    def settle(self) -> None:
        """Wait until a window that another thread is closing is closed."""
        with self._lock:
            pass

    def close_window(self, window: Window) -> None:
        """Take it off its run; the run ends with its owner. Called by the window."""
        with self._lock:
            run = self._run
            if run is None or window not in run.windows:
                return
            if run.owner is window:
                self._run = None
                self.last_run = run if self._dashboards else None  # a dashboard shows its rows after the end
                run.end()
                for source in ("probes", "filter"):
                    self._sources[source] = None
            else:
                run.leave(window)

    # ---- rows

    def take(self, batch: EventBatch) -> EventBatch:
        """Stamp a batch of the run: sequence and cell. Called by the pump thread."""
        first = self._sequencer.take(len(batch))
        columns: dict[str, np.ndarray] = {"seq": np.arange(first, first + len(batch), dtype=np.uint64)}
        if self._cells and len(batch) and not self._engine.replays:  # a recording knows its own cells
            times = batch["time_ns"]
            low, high = int(times.min()), int(times.max())
            cells = np.full(len(batch), -1, np.int32)
            for t0, t1, number in reversed(self._cells):
                if t0 <= high and t1 > low:
                    cells[(cells == -1) & (times >= t0) & (times < t1)] = number
                elif t1 <= low:
                    break
            columns["cell"] = cells
        return batch.with_columns(**columns)

    def deliver(self, batch: EventBatch) -> None:
        """Hand rows to the sinks of the session."""
        self._stream.push(batch)
        if self._recorder is not None and self._recorder.status().active:
            self._recorder.record(batch)

    def own_files(self) -> set[str]:
        """Files of ours that a trace must not show."""
        return set() if self._recorder is None else files_of(self._recorder)

    def begin_cell(self, number: int) -> list[int]:
        """Rows from now on belong to this cell, until `end_cell`."""
        entry = [boot_clock(), FOR_EVER, number]
        self._cells.append(entry)
        return entry

    def end_cell(self, entry: list[int]) -> None:
        """The cell has ended."""
        entry[1] = boot_clock()

    # ---- FilterControl

    def parse(self, text: str) -> Filter:
        """Return the filter of a text.

        Raises:
            FilterSyntaxError: it is none; the message points at the position.
        """
        return parse(text)

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Make a filter the active one, in the running trace at once; False when it already is."""
        with self._lock:
            changed = self.filters.push(filter, label)
            if changed:
                self._filter_changed()
            return changed

    def undo(self) -> bool:
        """Go back to the filter before; False when there is none."""
        with self._lock:
            before = self.filters.active
            went = self.filters.pop()
            if went and self.filters.active != before:
                self._filter_changed()
            return went

    def _filter_changed(self) -> None:
        self._epoch += 1
        if self._run is not None:
            self._run.set_filter(self.filters.active, self._epoch)

    # ---- cells

    def cells(self) -> list[tuple[int, int, int]]:
        """Return execution count, begin and end of the cells run while something was traced, in order of time."""
        return [(number, begin, end) for begin, end, number in self._cells]

    def remember(self, cell: int, found: Trace) -> None:
        """Keep the trace of a cell, for `traces`; the oldest go when there are many, or many rows."""
        self._traces.pop(cell, None)
        self._traces[cell] = found
        while len(self._traces) > 1 and (
            len(self._traces) > _KEPT_TRACES or sum(len(t) for t in self._traces.values()) > _KEPT_ROWS
        ):
            del self._traces[next(iter(self._traces))]

    def traces(self) -> dict[int, Trace]:
        """Return the traces of the last cells, by execution count."""
        return dict(self._traces)

    # ---- recording

    def record(self, path: str | Path, *, generated: bool = False) -> None:
        """Record every row of the session from now on; a `generated` name never replaces a file.

        Raises:
            RecordingError: the path cannot be written, or a recording is on.
        """
        recorder = self.recorder()
        run = self._run
        if run is not None:
            run.watch()
        metadata = run.owner.trace.metadata() if run is not None else {}
        if metadata:  # rows of now on, not of the trace's beginning
            metadata |= {
                "ior_nb.started_at_unix_nano": str(time.time_ns()),
                "ior_nb.started_at_boot_nano": str(boot_clock()),
            }
        recorder.start(path, metadata=metadata, generated=generated)
        if run is not None and recorder.worker_tid is not None:
            run.ignore([recorder.worker_tid])

    def stop_recording(self) -> Path | None:
        """Finish the recording; return where it is."""
        if self._run is not None:
            with contextlib.suppress(errors.SourceError):  # what arrived is recorded, whatever became of the engine
                self._run.flush()
        published: Path | None = self.recorder().stop()
        return published

    # ---- views

    def announce(self, trace: Trace) -> None:
        """Tell who wants to know (`listeners`) of a trace that was ended from a view."""
        for listener in list(self.listeners):
            listener(trace)

    def dashboard(self, panels: Sequence[str] = ()) -> Dashboard:
        """Return the live dashboard, one as long as it is open; with names of panels, a new one of only these."""
        from ior_nb.desk import Desk
        from ior_nb.widgets.dashboard import Dashboard

        if panels or self._dashboard is None or self._dashboard.closed:
            if panels:
                made = Dashboard(Desk(self), panels)
            else:
                made = self._dashboard = Dashboard(Desk(self), on_close=self._dashboard_closed)
            self.keep(made)
            return made
        return self._dashboard

    def _dashboard_closed(self) -> None:
        self._dashboard = None

    def keep(self, dashboard: Dashboard) -> None:
        """Close this dashboard with the session."""
        self._dashboards.add(dashboard)

    def shows(self, trace: Trace) -> bool:
        """Say whether the dashboard is open and shows this finished trace."""
        shown = self._dashboard
        return shown is not None and not shown.closed and getattr(shown.runtime, "ended", None) is trace

    # ---- life

    def close(self) -> None:
        """Close the dashboards, end the trace, the recording and the collector. Idempotent."""
        try:
            for shown in list(self._dashboards):
                shown.close()
        finally:
            self._close()

    def _close(self) -> None:
        self._dashboard = self.last_run = None
        with self._lock:
            if self._run is not None:
                self.close_window(self._run.owner)
            if self._recorder is not None and self._recorder.status().active:
                self._recorder.stop()
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _forget(self) -> None:
        """In a forked child: collector, run, sockets and pages are the parent's, and its threads may hold any lock."""
        self._lock = threading.RLock()
        self._run = self.last_run = self._engine = self._recorder = self._dashboard = None
        self._dashboards = weakref.WeakSet()
        self._sources = {}
        self._stream, self._sequencer = RingBuffer(self._stream.capacity), Sequencer()
        self.filters = FilterStack(self.filters.active)

    def __enter__(self) -> TracerSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _call(session: weakref.ref[TracerSession], method: Callable[[TracerSession], None]) -> None:
    alive = session()
    if alive is not None:
        method(alive)


def engine_name(asked: str) -> str:
    """Return the name of the engine asked for.

    Raises:
        ConfigError: there is none of that name.
    """
    if asked != "auto" and asked not in ENGINES:
        raise errors.ConfigError(f"there is no engine {asked!r}; choose one of auto, {', '.join(ENGINES)}")
    return next(iter(ENGINES)) if asked == "auto" else asked


_defaults: dict[str, TracerSession] = {}
_defaults_lock = threading.Lock()
os.register_at_fork(
    before=_defaults_lock.acquire, after_in_child=_defaults_lock.release, after_in_parent=_defaults_lock.release
)


def default_session(engine: str = "auto") -> TracerSession:
    """Return the session of this process for an engine: one collector serves `trace()` and the magics alike."""
    engine_name(engine)
    with _defaults_lock:
        if engine not in _defaults:  # `auto` and `bcc` are two: only `auto` may play recordings back instead
            _defaults[engine] = TracerSession(engine=engine)
        return _defaults[engine]
