"""`TracerSession`: owns what lives long, wires the engine to sinks and views. Reads top to bottom.

A *session* holds the stream ring, the recorder, the row numbering and the filter; a *run* is one engine trace;
a *window* is one `Trace` the user asked for. The first window starts a run, windows opened meanwhile (a cell while
`%ior start` is on, a nested `trace()`) are stretches of time on it, and closing the first one ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import weakref
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Final, Protocol

from ior_nb import errors
from ior_nb.engine import ENGINES
from ior_nb.engine.contract import Engine
from ior_nb.real import Lock
from ior_nb.result.axis import clocks
from ior_nb.result.trace import Trace
from ior_nb.runtime import Completeness, Filter, context_with_runtime_bindings, context_with_trace_filters, own
from ior_nb.runtime.clock import moment
from ior_nb.session.bindings import Bindings
from ior_nb.session.books import Books, new_recorder
from ior_nb.session.celltimes import Cell, CellTimes
from ior_nb.session.choice import Choice, best, made
from ior_nb.session.past import Past
from ior_nb.session.run import Run
from ior_nb.session.worker import Worker
from ior_nb.sinks.parquet import Recorder

__all__ = ["TracerSession", "View", "default_session", "engine_name"]

_KEPT_TRACES: Final = 50
_KEPT_ROWS: Final = 5_000_000
_OF_A_TRACE: Final = ("ior_nb.engine", "ior_nb.title", "ior_nb.scope", "ior_nb.options")
"""What a recording of several traces says of the last one."""


class View(Protocol):
    """What a session knows of a dashboard."""

    closed: bool

    def close(self) -> None:
        """Remove it. Idempotent."""


@own.all_ours
class TracerSession(Bindings):
    """The tracer of one process: what engines publish to and views read from, and the windows of users on its runs.

    All methods may be called from any thread. Used as a context manager it closes itself; a trace after that opens it
    again.

    Attributes:
        shown: the dashboard of all panels, as long as it is open.
        listeners: called with a trace that was ended by a button or a verb.

    Args:
        engine: `auto`, or the name of an engine, which is then the only one tried, or an engine, as a
            `ior_nb.ReplayEngine`; the session closes it.
        stream_rows: rows the live stream keeps.
    """

    def __init__(self, *, engine: str | Engine = "auto", stream_rows: int = 10_000) -> None:
        super().__init__(stream_rows)
        self.worker = Worker()
        self.engine_name = engine_name(engine) if isinstance(engine, str) else engine.name
        self._asked = engine if isinstance(engine, str) else ""
        self._given = None if isinstance(engine, str) else engine
        self._engine: Engine | None = None
        self.why = ""
        self._run: Run | None = None
        self._past: Past | None = None  # the ended run on screen
        self._recorder = new_recorder()
        self._lacks: list[str] = []  # what the traces of a recording lack
        self._cells = CellTimes()
        self._traces: dict[int, Trace] = {}
        self.shown: View | None = None
        self._kept: weakref.WeakSet[View] = weakref.WeakSet()
        self.listeners: list[Callable[[Trace], None]] = []
        # Without the first, a recording would not be finished at exit. Without the second, a forked child would take
        # the run of its parent for its own.
        reference = weakref.ref(self)
        atexit.register(lambda: _call(reference, TracerSession.close))
        os.register_at_fork(after_in_child=lambda: _call(reference, TracerSession._forget))

    # ---- RuntimeState

    def recorder(self) -> Recorder:
        """Return the session's recorder."""
        return self._recorder

    # ---- windows

    @property
    def how(self) -> str:
        """How rows are got, in a line; empty before the first trace."""
        return self._engine.how if self._engine is not None else ""

    @property
    def running(self) -> Run | None:
        """The run that is on, None when nothing is traced."""
        return self._run

    def engine(self) -> Engine:
        """Return the engine, made on first use. `auto` is the best that works; `why` then says why it is no better one.

        Raises:
            RecordingError: the recordings to play instead (IOR_NB_REPLAY) cannot be read.
        """
        with self._lock:
            if self._engine is None and self._given is not None:
                self._engine = self._given
            elif self._engine is None:
                chosen = (
                    best(os.environ.get("IOR_NB_REPLAY", "")) if self._asked == "auto" else Choice(made(self._asked))
                )
                self._engine, self.why = chosen
                self.engine_name = self._engine.name
            return self._engine

    def prepare(self) -> None:
        """Load the engine without tracing anything, so that the first trace starts at once.

        Raises:
            SourceError: the engine cannot work here.
        """
        self.engine().open()

    def open_window(self, window: Books, stop: Callable[[], None]) -> None:
        """Start a run for a window, or let the window join the run that is on. The window calls this.

        Args:
            window: its books.
            stop: what a view calls to end it.
        """
        with self._lock:
            engine = self.engine()
            window.plan = window.plan.within(engine.syscalls)
            if self._run is not None:
                self._run.join(window)
                window.narrow(self.filters.active)
                return
            window.narrow(self.filters.active)
            window.trace.engine = engine.name  # only now is it known whether recordings stand in for it
            run = Run(engine, window, self._cells, stop=stop)
            wanted = self.filters.active
            if window.plan.filter.active:
                wanted = Filter.of([*wanted.parts(), *window.plan.filter.parts()])
            with contextlib.nullcontext() if self._past is None else self._past.giving_way():
                try:
                    run(self._context(wanted))
                    self._run = run  # not before it has started: until then it cannot answer
                except BaseException:
                    self._run = None
                    run.abandon()
                    raise
            self._past = None

    def _context(self, wanted: Filter) -> Context:
        """Return the call context of a trace starter: these bindings, and a filter."""
        return context_with_trace_filters(context_with_runtime_bindings(Context(), self), wanted)

    def close_window(self, window: Books) -> None:
        """Take a window off its run; the run ends with its owner. The window calls this."""
        with self._lock:
            run = self._run
            if run is None or window not in run.windows:
                return
            if run.owner is not window:
                run.leave(window)
                return
            self._run = None
            try:
                run.end()
            finally:
                self._tell_recording(window.trace, window.trace.completeness)
                self._show_past(run)

    def _show_past(self, run: Run) -> None:
        """Show an ended run as a finished trace if somebody looks at it; else let go of it."""
        if run.owner.trace.finished and (run.looked or self._watched()):
            self._past = Past(run.owner.trace, run.statistics, run.trie, counted=run.counts_all, hosts=run.hosts)
            self._past(self._context(self.filters.active))
        else:
            self.clear()

    # ---- cells

    def begin_cell(self, number: int) -> Cell:
        """Count the rows from now on to this cell, until `end_cell`."""
        return self._cells.begin(number)

    def end_cell(self, cell: Cell) -> None:
        """The cell has ended."""
        self._cells.end(cell)

    def cells(self) -> list[tuple[int, int, int]]:
        """Return execution count, begin and end (boot clock, ns) of the cells run while something was traced."""
        return self._cells.ran()

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
        begun: list[Path] = []
        try:
            self.worker.do(lambda: self._record(path, generated, begun))
        except BaseException:  # an interrupt, too, leaves none
            self.worker.do(lambda: self._recorder.discard() if begun else None)
            raise

    def _record(self, path: str | Path, generated: bool, begun: list[Path]) -> None:
        recorder, run = self._recorder, self._run
        if run is not None:
            run.watch()
        trace = run.owner.trace if run is not None else Trace(title="", scope="", engine=self.engine_name)
        self._lacks = []
        # Rows of now on, not of the trace's beginning.
        recorder.start(path, metadata=trace.metadata() | clocks("started", moment()), generated=generated)
        begun.append(Path(path))

    def stop_recording(self) -> Path | None:
        """Finish the recording; return where it is."""
        return self.worker.do(self._stop_recording)

    def _stop_recording(self) -> Path | None:
        if self._run is not None:
            with contextlib.suppress(errors.SourceError):  # what arrived is recorded, whatever became of the engine
                self._run.refresh()
            self._tell_recording(self._run.owner.trace, self._run.completeness())
            self._recorder.set_metadata(self._run.owner.trace.recorded_cells())
        self._recorder.set_metadata(clocks("ended", moment()))
        return self._recorder.stop()

    def _tell_recording(self, trace: Trace, lacking: Completeness) -> None:
        """Let the recording that is on say of a trace whose rows it has what that was, and what its rows lack."""
        self._recorder.set_metadata({name: text for name, text in trace.metadata().items() if name in _OF_A_TRACE})
        if lacking.told():
            self._lacks.append(f"of a trace that was: {lacking.line()}")
            self._recorder.set_metadata({"ior_nb.caveats": json.dumps(self._lacks)})

    # ---- the filter of the session, for users

    def parse(self, text: str) -> Filter:
        """Return the filter of a text.

        Raises:
            FilterSyntaxError: it is none; the message points at the position.
        """
        return self.filters.parse(text)

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Make a filter the active one, in the running trace at once; False when it already is."""
        return self.filters.set(filter, label)

    def undo(self) -> bool:
        """Go back to the filter before; False when there is none."""
        return self.filters.undo()

    # ---- views

    def announce(self, trace: Trace) -> None:
        """Tell the `listeners` of a trace that a button or a verb has ended."""
        for listener in list(self.listeners):
            listener(trace)

    def keep(self, view: View) -> None:
        """Close this dashboard with the session."""
        self._kept.add(view)

    def left(self) -> None:
        """A dashboard was closed: let go of an ended trace that nobody looks at any more."""
        with self._lock:
            if self.shown is not None and self.shown.closed:
                self.shown = None
            if self._run is None and not self._watched():
                self.clear()
                self._past = None

    def _watched(self) -> bool:
        return any(not view.closed for view in list(self._kept))

    # ---- life

    def close(self) -> None:
        """Close the dashboards, end the trace, the recording and the collector. Idempotent."""
        try:
            for view in list(self._kept):
                view.close()
        finally:
            self._close()

    def _close(self) -> None:
        run = self._run
        try:
            self.worker.do(self._end_all)
        except BaseException:  # an interrupt: what it leaves would stay
            self.worker.do(self._end_all)
            raise
        if run is not None:
            run.owner.warn()

    def _end_all(self) -> None:
        with self._lock:
            if self._run is not None:
                self.close_window(self._run.owner)
            self.shown = self._past = None
            self.clear()
            if self._recorder.status().active:
                self._stop_recording()
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _forget(self) -> None:
        """Begin anew in a forked child: run, collector, pages are the parent's, and its threads may hold any lock."""
        self._begin(self._stream.capacity, self.filters.active)
        self._run = self._past = self._engine = self.shown = None
        self._recorder = new_recorder()
        self.worker = Worker()
        self._kept = weakref.WeakSet()

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
_defaults_lock = Lock()
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
