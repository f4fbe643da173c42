"""`Desk`: a session, or one finished trace, as a dashboard sees it (`runtime.LiveRuntime`).

While a run is on, the views read its statistics and trie. When it has ended they stay; as soon as the user asks for
something else (a filter, other frames), statistics and trie are made again from the rows that were kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ior_nb.clock import boot_clock
from ior_nb.desk.controls import Control, Filters, Recording
from ior_nb.desk.past import Passing, Past, Refilled
from ior_nb.engine.contract import account
from ior_nb.errors import ConfigError, IorError
from ior_nb.flamegraph import LiveTrie
from ior_nb.globalfilter import FilterStack
from ior_nb.runtime import (
    Accounting,
    Filter,
    ProbeManager,
    RankedStatistics,
    TraceState,
)
from ior_nb.streamrow import RingBuffer

if TYPE_CHECKING:
    from ior_nb.result import Trace
    from ior_nb.run import Run
    from ior_nb.session import TracerSession

__all__ = ["Desk"]

_REFRESH_S: Final = 1.0
"""How often the kernel's own counts are asked for."""


class Desk:
    """`LiveRuntime` over a session. All methods may be called from any thread.

    Args:
        session: what is watched, started and stopped.
        trace: show this finished trace, with a filter of its own, instead of what the session does.
    """

    def __init__(self, session: TracerSession, trace: Trace | None = None) -> None:
        self._session = session
        self._given = trace
        self._lock = threading.RLock()
        self._run: Run | None = None  # the one that is on, or the last one
        self._refreshed = 0.0
        self._failure = ""
        self._shown: Filter | None = None  # the filter when somebody looked last
        self.filters = Filters(self, FilterStack() if trace is not None else session.filters)
        self.recording = Recording(session)
        self.control = Control(self)
        self._past: Past | None = None
        if trace is not None:
            self._past = Past(trace, RingBuffer(10_000))
            self._past.count(Filter())

    # ---- LiveRuntime

    def statistics(self) -> RankedStatistics | None:
        """Return the statistics."""
        if self._past is not None:
            return self._past.statistics
        return None if self._run is None else self._run.statistics

    def stream(self) -> Passing:
        """Return the last rows that pass the filter, and warnings."""
        if self._given is not None and self._past is not None:
            return Passing(self._past.ring, self.filters.active)
        first = 0 if self._run is None else self._run.first_row
        return Passing(self._session.stream_buffer(), self.filters.active, first)

    def trie(self) -> LiveTrie | Refilled | None:
        """Return the flame trie."""
        if self._past is not None:
            return self._past.trie
        return None if self._run is None else self._run.trie

    def probes(self) -> ProbeManager | None:
        """Return the probe control; None when no trace runs."""
        run = None if self._given is not None else self._session.running
        return None if run is None else run.probes

    def look(self) -> None:
        """Keep the sources up to date: a new run is watched, an ended one becomes the past."""
        if self._given is not None and self._past is not None:
            self._past.count(self.filters.active)
            return
        with self._lock:
            on = self._session.running
            run = on or self._session.last_run
            if run is not None and run is not self._run:
                self._run, self._past, self._failure, self._refreshed = run, None, "", 0.0
                if on is not None:
                    on.watch()
            if on is None and self._run is not None and self._run.owner.trace.finished:
                if self._past is None:
                    self._past = Past(self._run.owner.trace, self._session.stream_buffer(), self._run, self._shown)
                self._past.count(self.filters.active)
            self._shown = self.filters.active
        now = time.monotonic()
        if on is not None and now - self._refreshed >= _REFRESH_S:
            self._refreshed = now
            try:
                on.ignore_new_service_threads()  # the ticker, and those a page made the notebook start
                on.refresh()
                self._failure = ""
            except IorError as error:
                self._failure = str(error)
                raise

    # ---- for its parts

    @property
    def session(self) -> TracerSession:
        """The session."""
        return self._session

    @property
    def ended(self) -> Trace | None:
        """The trace on the desk, when it has ended."""
        if self._given is not None:
            return self._given
        if self._session.running is not None or self._run is None or not self._run.owner.trace.finished:
            return None
        return self._run.owner.trace

    def reset(self) -> None:
        """Begin the aggregates anew."""
        run = self._session.running
        if self._given is None and run is not None:
            run.reset()
        else:
            raise ConfigError("the trace has ended; what it shows is all of it")

    def state(self) -> TraceState:
        """Return what is going on."""
        ended = self.ended
        if ended is not None:
            return TraceState(
                title=ended.name if ended.title == "this cell" else ended.title,
                engine=ended.engine,
                rows=ended.accounting.emitted + ended.accounting.in_flight,
                elapsed_s=ended.duration_s,
                accounting=ended.accounting,
                notes=ended.notes,
                fixed=self._given is not None,
                origin_ns=ended.window[0],
                warnings=self._session.stream_buffer().warning_count if self._given is None else 0,
            )
        run = self._session.running or self._run  # which may be just ending
        if run is None:
            return TraceState()
        started = run.owner.trace.window[0]
        return TraceState(
            running=True,
            title=str(run.owner.trace.scope),
            engine=run.engine.name,
            rows=self._session.stream_sequencer().take(0) - run.first_row,
            elapsed_s=max(0, boot_clock() - started) / 1e9 if started else 0.0,
            accounting=_accounting(run.totals),
            notes=(*run.owner.trace.notes, *([self._failure] if self._failure else [])),
            warnings=self._session.stream_buffer().warning_count,
            origin_ns=0 if run.engine.replays else started,
            counted_s=max(0, boot_clock() - run.counted_since) / 1e9 if run.counted_since else 0.0,
        )

    def known(self) -> Mapping[str, Sequence[str]]:
        """Return the values of text dimensions the stream has seen."""
        rows, _ = self.stream().tail(-1)
        found: dict[str, Sequence[str]] = {}
        for name in ("comm", "syscall", "family", "file"):
            table = rows.tables[name]
            codes, counts = np.unique(rows[name], return_counts=True)
            found[name] = [text for code in codes[np.argsort(-counts)][:500] if (text := table[int(code)])]
        return found


def _accounting(totals: Mapping[str, int]) -> Accounting:
    if not totals:
        return Accounting()
    seen, emitted = totals["seen"], totals["emitted"]
    so_far = account(totals, seen=seen, emitted=emitted, filtered=0, in_flight=0)
    return replace(so_far, in_flight=max(0, so_far.unaccounted))
