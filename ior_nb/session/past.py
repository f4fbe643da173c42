"""`Past`: a finished trace as one more trace starter. It publishes its sources as a run does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from pathlib import Path
from typing import Final

import numpy as np

from ior_nb.aggregate.hosts import first_hosts
from ior_nb.engine.counted import COUNTER
from ior_nb.engine.pages import states
from ior_nb.errors import ConfigError, SourceError
from ior_nb.globalfilter import to_text
from ior_nb.real import Lock, RLock
from ior_nb.result.trace import Trace
from ior_nb.runtime import (
    Completeness,
    EventBatch,
    Filter,
    PageState,
    RuntimePublisher,
    SnapshotSource,
    TraceState,
    runtime_publisher_from_context,
    trace_filters_from_context,
)
from ior_nb.runtime.completeness import COUNTED, Counters
from ior_nb.runtime.filter import Text
from ior_nb.runtime.passing import Passing
from ior_nb.runtime.progress import Step
from ior_nb.runtime.rows import Rows
from ior_nb.session.byhost import ByHost
from ior_nb.session.piecewise import Piecewise
from ior_nb.sinks.flamegraph import LiveTrie, TrieByHost
from ior_nb.sinks.statsengine import Statistics
from ior_nb.sinks.streamrow import RingBuffer
from ior_nb.syscalls import BY_NAME

__all__ = ["Past"]

_AT_ONCE: Final = 2.0
"""Seconds of counting that a view waits for when it opens, or asks for something else."""
_A_TICK: Final = 0.4
"""Seconds of each of its later looks, as long as there is more to count."""
_RECORDINGS: Final = 64
"""Of so many it is asked which host they begin with before their rows are counted."""


class Past:
    """A finished trace: its rows, and what was made of them. `TraceStarter`, `LiveTrace` and `HostsTrace`.

    Its rows are counted when somebody looks, and again when the filter or the frames of the flame graph change: two
    seconds at once, the others a bit with each look of a view, which shows what was counted by then and how long the
    rest takes, until somebody stops that. Whatever is asked for meanwhile begins anew. What its run counted is exact,
    and stays as long as nobody asks for another filter.

    Args:
        trace: the trace.
        statistics, trie: those of its run.
        counted: whether they hold all that the filter in force lets pass.
        hosts: those the run met; without a run those that recordings begin with.
        fixed: whether it is all that is ever shown here; then it has a stream of its own.
    """

    def __init__(
        self,
        trace: Trace,
        statistics: SnapshotSource | None = None,
        trie: LiveTrie | None = None,
        *,
        counted: bool = False,
        hosts: set[str] | None = None,
        fixed: bool = False,
    ) -> None:
        self.trace = trace
        self._statistics = Statistics() if statistics is None else statistics
        self._keeps, self._fixed = counted, fixed
        self._counting = RLock()  # by one thread at a time
        self._publishing = Lock()
        self._over = False
        self._counted: Filter | None = None
        self._wanted = Filter()
        self._hosts = first_hosts(trace.rows, _RECORDINGS) if hosts is None else hosts
        self._trie = TrieByHost(self._hosts) if trie is None else trie
        self._host = ""
        self._looked = self._paused = False
        # statistics and trie, where rows are left: what takes these, and what follows the last of them
        self._going_on: dict[str, tuple[Piecewise, Callable[[EventBatch], None], Callable[[], None]]] = {}

    def __call__(self, context: Context) -> None:
        """Publish; see `runtime.TraceStarter`."""
        publisher = runtime_publisher_from_context(context)
        if publisher is None:
            raise SourceError("a finished trace is shown by a session: the context carries no publisher")
        self._publisher: RuntimePublisher = publisher
        self._wanted = trace_filters_from_context(context) or Filter()
        self._counted = self._wanted if self._keeps else None
        self._trie.refill_from(self._rows)
        if self._fixed:
            self._publish_stream()
        publisher.set_dashboard_snapshot_source(self._statistics)
        publisher.set_live_trie(self._trie)
        publisher.set_probe_manager(None)
        publisher.set_live_filter_setter(self.set_filter)
        publisher.set_live_trace(self)

    def _publish_stream(self) -> None:
        ring = RingBuffer()
        for part in _last(self._passing(Filter()), ring.capacity):
            ring.push(part)
        self._publisher.set_event_stream_source(ring)

    def set_filter(self, wanted: Filter) -> None:
        """Show the rows that this filter accepts."""
        self._wanted = wanted
        if self._looked:
            self.update()

    @contextlib.contextmanager
    def giving_way(self) -> Iterator[None]:
        """Publish nothing while another trace begins in its place; never again, unless that fails."""
        with self._publishing:
            self._over = True
        try:
            yield
        except BaseException:
            self._over = False
            raise

    # ---- HostsTrace

    def choose(self, host: str) -> None:
        """Count the rows of one host; empty for all.

        Raises:
            ConfigError: there is none of that name.
        """
        if not (names := self._names()):
            raise ConfigError("this trace is of one host; there is none to choose")
        if host and host not in names:
            raise ConfigError(f"no host is called {host!r}; choose from {', '.join(names)}")
        with self._counting:
            self._host, self._counted = host, None
            if self._fixed:
                self._publish_stream()
            self.update()

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(filter(None, self._hosts))) if len(self._hosts) > 1 else ()

    # ---- LiveTrace

    def state(self) -> TraceState:
        """Return how the trace went."""
        trace = self.trace
        return TraceState(
            title=trace.name if trace.title == "this cell" else trace.title,
            engine=trace.engine,
            rows=trace.accounting.emitted + trace.accounting.in_flight,
            elapsed_s=trace.duration_s,
            completeness=self._completeness(),
            notes=trace.notes,
            fixed=self._fixed,
            counting=self._step(),
            paused=self._paused,
            origin_ns=trace.window[0],
            hosts=self._names(),
            host=self._host,
        )

    def update(self) -> None:
        """Count the rows that the filter accepts, or some more of them, unless they have been counted."""
        with self._counting:
            self._looked = True
            wanted = self._wanted
            if wanted == self._counted:
                for name in () if self._paused else list(self._going_on):
                    if name in self._going_on:
                        self._go_on(name, _A_TICK)
                return
            self._paused = False
            start, end = self.trace.window

            def make() -> Statistics:
                now = [start]
                # Began with the trace; each snapshot reads the clock again. When a missing call was, nobody knows.
                made = Statistics(clock=lambda: now[0], drain_ns=max(end - start, 1))
                now[0] = end
                return made

            statistics = ByHost(make, self._hosts)

            def over() -> None:
                if not self._narrowed(wanted).active and self.trace.completeness.unrecorded:
                    statistics.merge_counters(_by_number(self.trace.counters))

            self._counted = wanted
            self._going_on["statistics"] = Piecewise(self._passing(wanted), ByHost.columns), statistics.ingest, over
            self._go_on("statistics", _AT_ONCE)
            with self._publishing:
                if self._over:
                    return
                self._publisher.set_dashboard_snapshot_source(statistics)
            self._trie.reset()

    def _go_on(self, name: str, seconds: float) -> None:
        """Count some more rows."""
        counting, take, over = self._going_on[name]
        for part in counting.some(seconds):
            take(part)
        if counting.over:
            del self._going_on[name]
            over()

    def _step(self) -> Step | None:
        """Return how far the slower of the two has come; None when all is counted."""
        return next((counting.step() for counting, *_ in list(self._going_on.values()) if not counting.over), None)

    def reset(self) -> None:
        """Count on after a stop; else there is nothing to begin anew."""
        if not self._paused:
            raise ConfigError("the trace has ended; what it shows is all of it")
        self._paused = False

    def stop(self) -> None:
        """Count no more rows; where all are counted there is nothing to stop."""
        if not self._going_on:
            raise ConfigError("no trace is running")
        self._paused = True

    def pages(self, paths: Sequence[str]) -> dict[str, PageState]:
        """Return what is in the page cache now, and what was known of writes at the end."""
        return states(self.trace.pages, paths) if self.trace.here else {}

    def export(self, path: str, wanted: Filter) -> Path:
        """Write the rows that a filter accepts to a file."""
        wanted = self._narrowed(wanted)
        return (self.trace.filter(wanted) if wanted.active else self.trace).export(path)

    # ---- rows

    def _completeness(self) -> Completeness:
        lacking = self.trace.completeness
        wanted = self._narrowed(self._wanted)
        return lacking.narrowed(to_text(wanted)) if wanted.active else lacking

    def _rows(self, columns: Sequence[str]) -> Iterator[EventBatch]:
        """Return the first rows for the trie; the others come with the next looks."""
        counting = Piecewise(self._passing(self._counted or Filter()), columns)
        self._going_on["trie"] = counting, self._trie.ingest, lambda: None
        yield from counting.some(_AT_ONCE)
        if counting.over:
            self._going_on.pop("trie", None)

    def _narrowed(self, wanted: Filter) -> Filter:
        """Return the filter, of the chosen host's rows alone."""
        return Filter.of((*wanted.parts(), Text("host", "~", f"^{self._host}$"))) if self._host else wanted

    def _passing(self, wanted: Filter) -> Rows:
        wanted = self._narrowed(wanted)
        return Passing(self.trace.rows, wanted) if wanted.active else self.trace.rows


def _last(rows: Rows, count: int) -> list[EventBatch]:
    """Return the last rows, in order."""
    found: list[EventBatch] = []
    for piece in reversed(list(rows.pieces())):
        if sum(map(len, found)) >= count:
            break
        found.append(piece.read())
    return found[::-1]


def _by_number(counters: Counters) -> np.ndarray:
    """Return exact counters as the kernel has them; how slow which call was, they no longer tell."""
    known = {BY_NAME[name].number: row for name, row in counters.items() if name in BY_NAME}
    found = np.zeros(max(known, default=0) + 1, COUNTER)
    for number, row in known.items():
        for measure in COUNTED:
            found[measure][number] = row.get(measure, 0)
    return found
