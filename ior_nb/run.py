"""`Run`: one engine trace, and what of this process stays out of it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ior_nb import errors
from ior_nb.clock import boot_clock
from ior_nb.flamegraph import LiveTrie
from ior_nb.judging import Judges
from ior_nb.probemanager import Manager
from ior_nb.runtime import EventBatch, Filter, TraceOptions, runtime_bindings_from_context
from ior_nb.statsengine import Engine

if TYPE_CHECKING:
    from ior_nb.window import Window

__all__ = ["Run", "messaging_descriptors", "service_threads"]

# Packages whose threads serve the notebook, not its user.
_SERVICE: Final = ("ipykernel", "IPython", "jupyter_client", "zmq", "debugpy", "_pydevd_bundle", "pydevd", "ior_nb")


class Run:
    """One engine trace, and the `TraceStarter` that begins it. Feeds the session's sinks and the open windows."""

    def __init__(self, engine: Any, owner: Window, ignore_tids: Sequence[int], judges: Judges) -> None:
        self.engine = engine
        self.owner = owner
        self.windows: list[Window] = [owner]
        self.options = TraceOptions(
            scope=owner.plan.scope,
            enabled=owner.plan.enabled,
            rates=owner.plan.rates,
            ignore_tids=tuple(ignore_tids) + owner.own_threads(),
            ignore_pids=(),
            pushdown=judges.pushed,
            generation=judges.generation,
            quiet=owner.plan.quiet,
        )
        self._judges = judges
        owner.replays = engine.replays
        self._ignored = set(self.options.ignore_tids)
        self._messages = owner.plan.own and not engine.replays
        self._messaging = messaging_descriptors() if self._messages else frozenset()
        self._bindings: Any = None
        self._lock = threading.Lock()  # between a change of the filter and the batch that is being counted
        self._watched = not owner.plan.quiet
        self._lost_before = 0
        self.totals: dict[str, int] = {}
        self.first_row = 1
        self.counted_since: int = 0
        """Boot clock from which on statistics and trie count, where that is not from the begin on; else 0."""
        self.statistics: Engine = Engine(clock=boot_clock)
        self.trie: LiveTrie = LiveTrie()
        self.probes = Manager(owner.plan.enabled, owner.plan.rates, engine.set_specs, engine.syscalls)

    def __call__(self, context: Context) -> None:
        """Start; see `runtime.TraceStarter`."""
        bindings = runtime_bindings_from_context(context)
        if bindings is None:
            raise errors.SessionClosed("a run is started by a session")
        self._bindings = bindings
        bindings.set_event_stream_source(bindings.stream_buffer())
        bindings.set_dashboard_snapshot_source(self.statistics)
        bindings.set_live_trie(self.trie)
        bindings.set_probe_manager(self.probes)
        bindings.set_live_filter_setter(self.set_filter)
        self.first_row = bindings.stream_sequencer().take(0)
        self.engine.start(self.options, self._on_batch)

    def _on_batch(self, batch: EventBatch) -> None:
        batch, passes = self._judges.judge(batch)
        batch = self._bindings.take(batch)
        messaging = self._is_messaging(batch)
        if messaging is not None:
            for window in list(self.windows):
                window.leave_out(batch.take(messaging))
            batch, passes = batch.take(~messaging), None if passes is None else passes[~messaging]
        hidden = None if passes is None else ~passes
        for window in list(self.windows):
            window.take(batch, hidden)
        shown = batch if hidden is None else batch.take(~hidden)
        if not len(shown):
            return
        self._bindings.deliver(shown)
        if self._watched:
            with self._lock:
                current = shown["filter_epoch"] == self._judges.epoch
                counted = shown if current.all() else shown.take(current)
                for pid, ended in self.engine.deaths():
                    self.statistics.retire(pid, ended)
                self.statistics.ingest(counted)
                self.trie.ingest(counted)

    def set_filter(self, wanted: Filter, epoch: int) -> None:
        """Let only rows pass that this filter accepts, from the calls that end now on; aggregates begin anew."""
        pushed = self._judges.prepare(wanted, epoch)
        counters = self.engine.counters()  # not under the lock: the answer comes through the pump, which takes it
        with self._lock:  # before the engine knows: the first row of the new epoch must find its aggregates
            self._judges.use(wanted, epoch)
            self._begin_anew(counters)
        self.engine.set_filter(pushed, epoch & 0xFF)

    def refresh(self) -> None:
        """Look at the kernel's own counts: statistics become exact under sampling and loss, a loss becomes a warning.

        Nothing is merged while a filter keeps rows out: the kernel counts those too.
        """
        totals = self.totals = self.engine.flush()
        lost = totals["lost_ring"] + totals["lost_buffer"] + totals["lost_names"]
        if lost > self._lost_before:
            text = f"{lost - self._lost_before:,} events or names were lost; the totals of system calls stay exact"
            self._bindings.stream_buffer().warn(text, boot_clock())
            self._lost_before = lost
        if not self.filter.active and (lost or totals["sampled_out"]):
            self.statistics.merge_counters(self.engine.counters())

    def reset(self) -> None:
        """Begin the statistics and the trie anew."""
        counters = self.engine.counters()
        with self._lock:
            self._begin_anew(counters)

    def _begin_anew(self, counters: np.ndarray) -> None:
        self.counted_since = boot_clock()
        self.statistics.reset(counters)
        self.trie.reset()

    @property
    def filter(self) -> Filter:
        """The filter in force."""
        return self._judges.filter

    def _is_messaging(self, batch: EventBatch) -> np.ndarray | None:
        """Which rows are not the user's: the kernel's main thread waking the one that prints, and our recordings."""
        files = batch.tables["file"]
        mask = np.zeros(len(batch), bool)
        for path in self._bindings.own_files() | {path for w in self.windows for path in w.own_files()}:
            if (code := files.code(path)) is not None:
                mask |= batch["file"] == code
        if self._messages and (eventfd := files.code("anon_inode:[eventfd]")) is not None:
            waking = (batch["pid"] == os.getpid()) & (batch["file"] == eventfd)
            if self._bindings.cells():  # a page may open channels later: who is woken between cells is not the user
                self._messaging |= set(batch["fd"][waking & (batch["cell"] < 0)].tolist())
            mask |= waking & np.isin(batch["fd"], list(self._messaging))
        return mask if mask.any() else None

    def join(self, window: Window) -> None:
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
        if window.own_threads():
            self.ignore(window.own_threads())
        self.watch()
        if wanted.enabled != self.probes.enabled:
            window.calls = frozenset(wanted.enabled)
        window.replays = self.engine.replays
        window.totals = self.engine.flush()
        window.counters = self.engine.counters()
        self.windows.append(window)

    def leave(self, window: Window) -> None:
        """End a window that is not the owner."""
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
            for name in ("calls", "errors", "bytes", "latency"):
                changed[name] -= window.counters[name]
            window.finish(delta | window.seen(delta), changed, None)
        finally:
            if window in self.windows:
                self.windows.remove(window)

    def end(self) -> None:
        """Stop the engine and finish every window."""
        for window in [w for w in self.windows if w is not self.owner]:
            window.stop_clock("the trace it was part of ended first")
            self.leave(window)
        failure: errors.SourceError | None = None
        interrupted: BaseException | None = None
        totals: dict[str, int] | None = None
        counters: np.ndarray | None = None
        try:
            ended = self.engine.stop()
            totals, counters = ended.totals, ended.counters
        except errors.SourceError as error:
            failure = error
        except BaseException as error:  # an interrupt: the hooks must go all the same
            interrupted = error
            with contextlib.suppress(Exception):
                ended = self.engine.stop()
                totals, counters = ended.totals, ended.counters
        self.probes.close()
        for window in self.windows:
            window.finish(totals, counters, failure)
        self.windows = []
        if interrupted is not None:
            raise interrupted

    def ignore(self, tids: Iterable[int]) -> None:
        """Leave threads out from now on."""
        fresh = set(tids) - self._ignored
        if fresh:
            self.engine.ignore(sorted(fresh))
            self._ignored |= fresh

    def ignore_new_service_threads(self) -> None:
        """Leave out the threads that have begun to serve the notebook or the tracer since the run began."""
        if self._messages:
            if threading.current_thread().name.startswith("ior-"):
                self.ignore([threading.get_native_id()])  # first: looking for the others makes calls
            self.ignore(service_threads())

    @property
    def watched(self) -> bool:
        """Whether statistics and trie are kept."""
        return self._watched

    def watch(self) -> None:
        """Somebody looks: from now on rows are decoded as they come, and statistics and trie are kept."""
        self._watched = True
        self.engine.live()

    def rows(self) -> EventBatch:
        """Return the rows so far, everything that happened before included: all the owner keeps, or the stream's."""
        self.watch()
        self.engine.flush()
        if self.owner.plan.keep_rows:
            return EventBatch.concat(self.owner.trace.batches())
        rows: EventBatch = self._bindings.stream_buffer().events()
        return rows.take(rows["seq"] >= self.first_row)

    def flush(self) -> None:
        """Wait until all that happened before has reached the sinks."""
        self.engine.flush()


def service_threads() -> tuple[int, ...]:
    """Return the ids of this process's threads that serve the notebook or the tracer, not the user's code."""
    found = [
        t.native_id
        for t in threading.enumerate()
        if (t is not threading.main_thread() and type(t).__module__.startswith(_SERVICE))
        or str(getattr(getattr(t, "_target", None), "__module__", "")).startswith(_SERVICE)
        or t.name.startswith(("ior-", "IOPub", "Heartbeat", "Control", "Shell channel", "subshell-"))
    ]
    for task in Path("/proc/self/task").iterdir():  # threads Python knows nothing of: ZeroMQ's own
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().startswith("ZMQbg"):
                found.append(int(task.name))
    return tuple(t for t in found if t is not None)


def messaging_descriptors() -> frozenset[int]:
    """Return the eventfds of a notebook kernel: its main thread writes to them when it prints. Empty elsewhere."""
    if "ipykernel" not in sys.modules:
        return frozenset()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()) == "anon_inode:[eventfd]":
                found.append(int(entry.name))
    return frozenset(found)
