"""`Run`: one engine trace, and what of this process stays out of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ior_nb import errors
from ior_nb.aggregate import Reading
from ior_nb.engine.contract import Engine, Feed
from ior_nb.engine.pages import states
from ior_nb.export import About, export
from ior_nb.globalfilter import to_text
from ior_nb.real import Lock
from ior_nb.runtime import (
    Completeness,
    EventBatch,
    Filter,
    PageState,
    StringTable,
    TraceOptions,
    TraceRuntimeBindings,
    TraceState,
    own,
    runtime_bindings_from_context,
    trace_filters_from_context,
)
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.completeness import COUNTED
from ior_nb.session import notebook
from ior_nb.session.books import Books
from ior_nb.session.byhost import ByHost
from ior_nb.session.celltimes import CellTimes
from ior_nb.session.fitted import with_tail
from ior_nb.session.judges import Judges
from ior_nb.session.labels import Labels
from ior_nb.session.objects import Objects
from ior_nb.session.plan import FRAMES_OF
from ior_nb.session.probemanager import Manager
from ior_nb.sinks.flamegraph import LiveTrie, TrieByHost
from ior_nb.sinks.statsengine import Statistics
from ior_nb.sinks.streamrow import Passing, warning, without_warnings

__all__ = ["Run"]

_REFRESH_S: Final = 1.0
"""How often the engine's own counts are asked for."""


class Run:
    """One engine trace: the `TraceStarter` that begins it, and the `LiveTrace` a view may ask.

    It feeds the sinks of its bindings and the books of the open windows. Its sources and controls are published when
    the engine has started; the controls are taken back when its end begins.

    Args:
        engine: where the rows come from.
        owner: the books of the whole run.
        cells: when which cell of the notebook ran.
        stop: ends the owner, for a view that asks for it.
    """

    def __init__(
        self, engine: Engine, owner: Books, cells: CellTimes, *, stop: Callable[[], None] | None = None
    ) -> None:
        self.engine, self.owner = engine, owner
        self.windows: list[Books] = [owner]
        self._cells, self._stop = cells, stop or self.end
        self.options = TraceOptions(
            scope=owner.plan.scope,
            enabled=owner.plan.enabled,
            rates=owner.plan.rates,
            stacks=FRAMES_OF[owner.plan.stacks],
            waits=owner.plan.waits,
            programs=(owner.plan.command.path,) if owner.plan.command is not None else (),
            quiet=owner.plan.quiet,
        )
        owner.replays = engine.replays
        self._objects = Objects() if owner.plan.objects and not engine.replays else None
        self._labels = Labels()
        self._lock = Lock()  # between a change of the filter and the batch that is being counted
        # Rows of an engine that cannot wait come before anybody can look, and a dashboard must have counted them.
        self._watched = not owner.plan.quiet or not engine.can_wait
        self._missed = False  # rows came before anybody watched
        self._tables: Mapping[str, StringTable] | None = None  # of the last batch
        self.totals: dict[str, int] = {}
        self.first_row = 1
        self.counted_since = 0
        """Boot clock from which on statistics and trie count, where that is not from the begin on; else 0."""
        self.hosts: set[str] = set()  # that a replay has met
        self.statistics: Statistics | ByHost = ByHost(names=self.hosts) if engine.replays else Statistics()
        self.trie = TrieByHost(self.hosts) if engine.replays else LiveTrie()
        self.probes = Manager(owner.plan.enabled, owner.plan.rates, engine.set_specs, engine.syscalls)
        self._feed = Feed(self._on_batch)
        self.looked = False
        """Whether a view has looked at it."""
        self._ended = self._published = False
        self._refreshed, self._failure, self._lost_before = 0.0, "", 0

    def __call__(self, context: Context) -> None:
        """Start; see `runtime.TraceStarter`."""
        bindings = runtime_bindings_from_context(context)
        if bindings is None:
            raise errors.SourceError("a run is started by a session: the context carries no bindings")
        self._bindings: TraceRuntimeBindings = bindings
        self._judges = Judges(self.engine, trace_filters_from_context(context) or Filter(), bindings.filter_epoch())
        recorder = bindings.recorder()
        if recorder is not None and recorder.status().active:
            self._watched = True
        served = None if self.engine.replays else notebook.here()
        self.options = replace(
            self.options,
            pushdown=self._judges.pushed,
            generation=self._judges.generation,
            quiet=self.options.quiet and not self._watched,
        )
        self.first_row = bindings.stream_sequencer().reserve(0)
        try:
            if not self.engine.replays:
                own.survey(served.threads() if served is not None else {})
                self._labels.begin()
            if self._objects is not None:
                self._objects.begin()
            self.engine.start(self.options, self._feed)
            self._publish()
        except BaseException:
            self.abandon()
            raise

    def _publish(self) -> None:
        self._published = True
        bindings = self._bindings
        bindings.set_event_stream_source(Passing(with_tail(bindings.stream_buffer()), first=self.first_row))
        bindings.set_dashboard_snapshot_source(self.statistics)
        bindings.set_live_trie(self.trie)
        bindings.set_probe_manager(self.probes)
        bindings.set_live_filter_setter(self.set_filter)
        bindings.set_live_trace(self)

    def abandon(self) -> None:
        """Take back a start that failed, or was interrupted: nothing is left running, or on screen. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self._let_go()
        self.probes.close()
        if self._published:
            bindings = self._bindings
            bindings.set_live_trace(None)
            bindings.set_live_filter_setter(None)
            bindings.set_probe_manager(None)
            bindings.set_live_trie(None)
            bindings.set_dashboard_snapshot_source(None)
            bindings.set_event_stream_source(None)
        with contextlib.suppress(Exception):
            self.engine.stop()  # an interrupt may have come between the hooks and their answer

    def _let_go(self) -> None:
        self._feed.close()
        self._labels.end()
        if self._objects is not None:
            self._objects.end()

    def _on_batch(self, batch: EventBatch) -> None:
        deaths = self.engine.deaths()
        batch, passes = self._judges.judge(self._stamped(batch, deaths))
        reading = Reading.of(batch)  # held, so that all who count these rows share it
        hidden = None if passes is None else ~passes
        if deaths and self._watched:
            with self._lock:
                for pid, ended in deaths:
                    self.statistics.retire(pid, ended)
        began: np.ndarray | None = None  # those of before or after the trace are no row of it, so nobody shows them
        for window in list(self.windows):
            inside = window.receive(batch, hidden)
            began = inside if window is self.owner else began
        keep = passes if began is None else began if passes is None else began & passes
        shown = reading.batch if keep is None else batch.take(keep)
        if not len(shown):
            return
        self._tables = shown.tables
        self._bindings.stream_buffer().push(shown)
        if (recorder := self._bindings.recorder()) is not None:
            recorder.record(shown)
        if not self._watched:
            self._missed = True
        else:
            with self._lock:
                epochs = shown["filter_epoch"]
                current = (epochs[:1] if is_one_value(epochs) else epochs) == self._judges.epoch
                counted = shown if current.all() else shown.take(epochs == self._judges.epoch)
                self.statistics.ingest(counted)
                self.trie.ingest(counted)

    def _stamped(self, batch: EventBatch, deaths: list[tuple[int, int]]) -> EventBatch:
        """Return a batch with its sequence numbers, cells and labels."""
        first = self._bindings.stream_sequencer().reserve(len(batch))
        columns: dict[str, np.ndarray] = {"seq": np.arange(first, first + len(batch), dtype=np.uint64)}
        cells = None if self.engine.replays else self._cells.of(batch["time_ns"])  # a recording knows its own cells
        if cells is not None:
            columns["cell"] = cells
        batch = self._labels.stamp(batch.with_columns(**columns), deaths)
        return batch if self._objects is None else self._objects.stamp(batch)

    def set_filter(self, wanted: Filter) -> None:
        """Let only rows pass that this filter accepts, from the calls that end now on; aggregates begin anew.

        Raises:
            SessionClosed: the trace has ended.
        """
        if self._ended:
            raise errors.SessionClosed("the trace has ended; its filter cannot be changed any more")
        epoch = self._bindings.filter_epoch()
        pushed = self._judges.prepare(wanted, epoch)
        counters = self.engine.counters()  # not under the lock: the answer comes through the pump, which takes it
        with self._lock:  # before the engine knows: the first row of the new epoch must find its aggregates
            self._judges.use(wanted, epoch)
            self._begin_anew(counters)
        for window in list(self.windows):
            window.narrow(wanted)
        self.engine.set_filter(pushed, epoch & 0xFF)

    # ---- LiveTrace

    def state(self) -> TraceState:
        """Return what is going on."""
        trace = self.owner.trace
        started = trace.window[0]
        return TraceState(
            running=not trace.finished,
            title=str(trace.scope),
            engine=self.engine.name,
            rows=self.owner.rows,
            elapsed_s=max(0, boot_clock() - started) / 1e9 if started else 0.0,
            completeness=self.completeness(),
            notes=(*trace.notes, *([self._failure] if self._failure else [])),
            origin_ns=0 if self.engine.replays else started,
            counted_s=max(0, boot_clock() - self.counted_since) / 1e9 if self.counted_since else 0.0,
        )

    def update(self) -> None:
        """A view looks: count the rows from now on, and ask the engine for its own counts once a second."""
        if self._ended:
            return
        if not self.looked:
            self.looked = True
            self.watch()
        now = time.monotonic()
        if now - self._refreshed < _REFRESH_S:
            return
        self._refreshed = now
        try:
            self.refresh()
            self._failure = ""
        except errors.IorError as error:
            self._failure = str(error)
            raise

    def reset(self) -> None:
        """Begin the statistics and the trie anew.

        Raises:
            ConfigError: the trace has ended.
        """
        if self._ended:
            raise errors.ConfigError("the trace has ended; what it shows is all of it")
        counters = self.engine.counters()
        with self._lock:
            self._begin_anew(counters)

    def stop(self) -> None:
        """End the trace.

        Raises:
            ConfigError: it has ended.
        """
        if self._ended:
            raise errors.ConfigError("no trace is running")
        self._stop()

    def pages(self, paths: Sequence[str]) -> dict[str, PageState]:
        """Return what is known of pages of these files now; nothing of those of another machine."""
        return {} if self.engine.replays else states(self.engine.pages, paths, self.engine.moves)

    def export(self, path: str, wanted: Filter) -> Path:
        """Write the rows so far that a filter accepts to a file."""
        rows, lacking = self.rows(), self.completeness()
        if wanted.active:
            rows, lacking = rows.take(wanted.mask(rows)), lacking.narrowed(to_text(wanted))
        return export(rows, path, about=About(title=str(self.owner.trace.scope), completeness=lacking))

    # ---- for the session and the verbs

    def refresh(self) -> None:
        """Look at the kernel's own counts: statistics become exact under sampling and loss, a loss becomes a warning.

        Nothing is merged while a filter keeps rows out: the kernel counts those too.
        """
        totals = self.engine.flush()
        if self._ended:  # meanwhile: these may be another trace's
            return
        self.totals = totals
        self.owner.so_far(totals)
        lost = totals["lost_ring"] + totals["lost_buffer"] + totals["lost_names"]
        if lost > self._lost_before:
            text = f"{lost - self._lost_before:,} events or names were lost; the totals of system calls stay exact"
            self._bindings.stream_buffer().push(warning(text, boot_clock(), self._tables))
            self._lost_before = lost
        if self._is_counted(totals):
            self.statistics.merge_counters(self.engine.counters())

    def _is_counted(self, totals: Mapping[str, int]) -> bool:
        """Whether the counters know calls that are no rows, and all calls are wanted: they know no filter."""
        missing = totals["lost_ring"] + totals["lost_buffer"] + totals["sampled_out"]
        return bool(missing) and not self.filter.active

    def completeness(self) -> Completeness:
        """Return what the rows so far lack."""
        return self.owner.so_far(self.totals)

    def _begin_anew(self, counters: np.ndarray) -> None:
        self.counted_since = boot_clock()
        self.statistics.reset(counters)
        self.trie.reset()

    @property
    def filter(self) -> Filter:
        """The filter in force."""
        return self._judges.filter

    def join(self, window: Books) -> None:
        """Let a window begin on this run.

        Raises:
            ConfigError: what it wants is not what is being traced.
        """
        mine, wanted = self.options, window.plan
        own = wanted.own and mine.scope.mode == "pids" and os.getpid() in mine.scope.pids and not mine.scope.tid
        covers = mine.scope == wanted.scope or (own and (mine.scope.follow or not wanted.scope.follow))
        narrower = self.owner.plan.filter.active and self.owner.plan.filter != wanted.filter
        if wanted.command is not None or not covers or narrower or not wanted.enabled <= self.probes.enabled:
            raise errors.ConfigError(
                f"a trace of {mine.scope} is running, and {wanted.scope} with the calls and the filter asked for is "
                "not all of it (see %ior status, %ior probes); stop it first (%ior stop)"
            )
        if FRAMES_OF[wanted.stacks] > mine.stacks:
            window.trace.notes += ("Python stacks are as asked for by the trace that is running",)
        if wanted.waits and not mine.waits:
            window.trace.notes += ("what calls wait for is not told apart by the trace that is running",)
        if window.plan.objects and self._objects is None:
            window.trace.notes += ("no objects: the trace that is running was not asked for them",)
        self.watch()
        if wanted.enabled != self.probes.enabled:
            window.calls = frozenset(wanted.enabled)
        window.replays = self.engine.replays
        window.totals = self.engine.flush()
        window.counters = self.engine.counters()
        self.windows.append(window)

    def leave(self, window: Books) -> None:
        """End a window that is not the owner."""
        self._tell_asked(window)  # whatever becomes of the engine
        try:
            totals = self.engine.flush()
            counters = self.engine.counters()
        except errors.SourceError as error:
            window.finish(None, None, error)
        else:
            self.windows.remove(window)  # first: the pump must not touch a trace whose books are closed
            before = window.totals
            delta = {name: value - before.get(name, 0) for name, value in totals.items()}
            changed = counters.copy()
            for name in COUNTED:
                changed[name] -= window.counters[name]
            window.finish(delta | window.seen(delta), changed, None)
        finally:
            if window in self.windows:
                self.windows.remove(window)

    def end(self) -> None:
        """Stop the engine and finish every window."""
        self._ended = True  # from here on what was published refuses
        self.probes.close()
        self._bindings.set_probe_manager(None)
        self._bindings.set_live_filter_setter(None)
        for window in [w for w in self.windows if w is not self.owner]:
            window.stop_clock("the trace it was part of ended first")
            self.leave(window)
        failure: errors.SourceError | None = None
        interrupted: BaseException | None = None
        totals: dict[str, int] | None = None
        counters: np.ndarray | None = None
        notes: tuple[str, ...] = ()
        try:
            ended = self.engine.stop()
            totals, counters, notes = ended.totals, ended.counters, ended.notes
            self.owner.trace.pages = self._cells.told(ended.pages)
            if self._is_counted(totals):
                self.statistics.merge_counters(counters)
        except errors.SourceError as error:
            failure = error
        except BaseException as error:  # an interrupt: the hooks must go all the same
            interrupted = error
            with contextlib.suppress(Exception):
                ended = self.engine.stop()
                totals, counters = ended.totals, ended.counters
        self._let_go()
        for window in self.windows:
            window.trace.notes += (*notes, *self._labels.notes())
            self._tell_asked(window)
            window.finish(totals, counters, failure)
        self.windows = []
        if interrupted is not None:
            raise interrupted

    def _tell_asked(self, window: Books) -> None:
        if self._objects is not None:
            window.trace.asked = self._objects.asked(*window.span)

    @property
    def counts_all(self) -> bool:
        """Whether statistics and trie hold every row that passed the filter."""
        return self._watched and not self._missed and not self.counted_since

    def watch(self) -> None:
        """Decode rows as they come from now on, and keep statistics and trie: somebody looks, or a recording begins."""
        self._watched = True
        self.engine.go_live()

    def rows(self) -> EventBatch:
        """Return the rows of everything that has happened so far: all the owner keeps, or else those of the stream."""
        self.watch()
        self.engine.flush()
        if self.owner.plan.keep_rows:
            return EventBatch.concat(list(self.owner.trace.batches()))
        rows = without_warnings(self._bindings.stream_buffer().snapshot())
        return rows.take(rows["seq"] >= self.first_row)

    def flush(self) -> None:
        """Wait until all that happened before has reached the sinks."""
        self.engine.flush()
