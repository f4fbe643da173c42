"""`Books`: the books of one `Trace` while it is being made: which rows are its, and where every call went."""

from __future__ import annotations

import functools
import platform
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from ior_nb import errors
from ior_nb.aggregate import added, counted, missing
from ior_nb.engine.contract import account, so_far
from ior_nb.export.arrow import columns
from ior_nb.globalfilter import to_text
from ior_nb.real import current
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, Completeness, EventBatch, Filter
from ior_nb.runtime.clock import FOR_EVER, boot_clock
from ior_nb.runtime.completeness import COUNTED, only_where
from ior_nb.runtime.index import rows_of
from ior_nb.session.plan import Plan
from ior_nb.sinks.parquet import Recorder
from ior_nb.syscalls import SYSCALLS

__all__ = ["Books", "new_recorder"]

_NAMES: Final = {c.number: c.name for c in SYSCALLS}


class Books:
    """A stretch of time on a run. The run keeps the books; they know neither run nor session.

    Attributes:
        replays: whether the rows are of another time, and belong to the trace whenever they began.
        rows: how many have been received and kept.
        calls: on a run that traces more than was asked for, the numbers of the calls that were.
        totals, counters: what the engine had counted when the window was opened.

    Args:
        wanted: what was asked for.
        engine: name of the engine.
    """

    def __init__(self, wanted: Plan, engine: str) -> None:
        self.plan = wanted
        self.trace = Trace(title=wanted.title, scope=str(wanted.scope), engine=engine, options=wanted.options)
        self.trace.home = wanted.home
        self.trace.records_command, self.trace.records_cells = wanted.record_command, wanted.record_cells
        self.totals: dict[str, int] = {}
        self.counters: np.ndarray = np.zeros(0)
        self.calls: frozenset[int] | None = None
        self.replays = False
        self._times = (FOR_EVER, 0)  # of the first and the last row
        self._t0 = self._t1 = FOR_EVER
        self._counts = {"done": 0, "flight": 0, "filtered": 0, "outside_done": 0, "outside_flight": 0}
        self._recorder: Recorder | None = None
        self.rows = 0
        self._warnings: list[tuple[str, type[errors.IorWarning]]] = []
        self._outside: dict[str, dict[str, int]] = {}  # what the rows counted that are not the trace's
        self._in_force: list[str] = []
        self._inherited: tuple[str, ...] = ()

    def narrow(self, wanted: Filter) -> None:
        """From now on the filter of the session lets only these rows pass; the trace says so."""
        if (text := to_text(wanted)) not in self._in_force[-1:]:
            self._in_force.append(text)
        plan = self.plan
        found = (
            *self._inherited,
            only_where(self._in_force),
            only_where([to_text(plan.filter)]),
            "without processes that ran before the trace" if plan.leave_out is not None else "",
            "only the system calls asked for, of those that are traced" if self.calls is not None else "",
        )
        self.trace.caveats = tuple(dict.fromkeys(caveat for caveat in found if caveat))

    def inherit(self, caveats: tuple[str, ...]) -> None:
        """The rows were narrowed before they came here."""
        self._inherited = caveats
        self.trace.caveats = tuple(dict.fromkeys([*caveats, *self.trace.caveats]))

    def so_far(self, totals: Mapping[str, int]) -> Completeness:
        """Return what the rows of a trace that goes on lack, by what the engine has counted."""
        self.trace.accounting, self.trace.window = so_far(totals, self._counts["filtered"]), self.span
        lacking = self.trace.completeness
        kept = () if self.plan.keep_rows else ("only the last rows, as many as the stream keeps",)
        return replace(lacking, caveats=lacking.caveats + kept)

    @property
    def span(self) -> tuple[int, int]:
        """Its begin and end so far on the boot clock, ns."""
        return self._t0, min(self._t1, boot_clock())

    def stop_clock(self, why: str) -> None:
        """The run ends before the window does."""
        if self._t1 == FOR_EVER:
            self._t1 = boot_clock()
            self.inherit((*self._inherited, why))

    def receive(self, batch: EventBatch, hidden: np.ndarray | None) -> np.ndarray | None:
        """Take the rows that began inside the window, without those a filter or the run keeps out.

        Returns:
            Which rows began inside it; None where all did.
        """
        times, flight, counts = batch["time_ns"], batch.in_flight, self._counts
        goes_on = self._t1 == FOR_EVER
        if self.replays or (len(times) and self._t0 <= int(times.min()) and (goes_on or int(times.max()) < self._t1)):
            if hidden is None and self.calls is None and not self.plan.filter.active and self.plan.leave_out is None:
                self._keep(batch, len(rows_of(flight)))
                return None
            inside, began = np.ones(len(batch), bool), None
        else:
            inside = began = (times >= self._t0) & (times < self._t1)
        outside = ~inside
        if hidden is not None:
            counts["filtered"] += int((hidden & inside & ~flight).sum())
            inside = inside & ~hidden
        counts["outside_done"] += int((outside & ~flight).sum())
        counts["outside_flight"] += int((outside & flight).sum())
        if outside.any():
            self._outside = added(self._outside, counted(batch.take(outside)))
        if self.calls is not None:
            wanted = batch.tables["syscall"].among(_NAMES[n] for n in self.calls)
            others = inside & ~wanted.take(batch["syscall"])
            counts["filtered"] += int((others & ~flight).sum())
            inside = inside & ~others
        if self.plan.filter.active:
            refused = inside & ~self.plan.filter.mask(batch)
            counts["filtered"] += int((refused & ~flight).sum())
            inside = inside & ~refused
        if self.plan.leave_out is not None:
            dropped = inside & self.plan.leave_out(batch)
            counts["filtered"] += int((dropped & ~flight).sum())
            inside = inside & ~dropped
        self._keep(batch if inside.all() else batch.take(inside), int((inside & flight).sum()))
        return began

    def _keep(self, rows: EventBatch, in_flight: int) -> None:
        """Take rows that are the trace's, of which so many are in flight."""
        self._counts["flight"] += in_flight
        self._counts["done"] += len(rows) - in_flight
        if not len(rows):
            return
        self.rows += len(rows)
        self.trace.window = self.span
        if self.replays:
            low, high = self._times
            self._times = min(low, int(rows["time_ns"].min())), max(high, int(rows["time_ns"].max()) + 1)
        self.trace.add(rows, keep=self.plan.keep_rows)
        recorder = self._recorder  # the books may be closed meanwhile
        if recorder is not None:
            recorder.record(rows)

    def seen(self, delta: dict[str, int]) -> dict[str, int]:
        """Return the totals of a window on a running trace, counted from its rows and from what kept rows away.

        The kernel's own count of calls begun cannot be cut at the window's ends: calls are on their way then.
        """
        counts = self._counts
        flight = counts["flight"] + counts["outside_flight"]
        rows = counts["done"] + counts["filtered"] + counts["outside_done"] + flight
        away = sum(delta.get(name, 0) for name in ("filtered", "sampled_out", "lost_ring", "lost_buffer"))
        return {"seen": rows + away, "open": flight, "killed": 0}

    def finish(self, totals: dict[str, int] | None, counters: np.ndarray | None, failure: Exception | None) -> None:
        """Close the books of the trace."""
        counts = self._counts
        window = self.span
        if self.replays and self.rows:
            window = self._times
        if totals is None:
            rows = counts["done"] + counts["flight"]
            accounting = Accounting(seen=rows, emitted=counts["done"], in_flight=counts["flight"], died=True)
        else:
            in_flight = totals["open"] + totals["killed"] - counts["outside_flight"]
            outside = counts["outside_done"] + counts["outside_flight"]
            accounting = account(
                totals,
                seen=totals["seen"] - outside,
                emitted=counts["done"],
                filtered=counts["filtered"],
                in_flight=in_flight,
                outside_window=outside,
            )
        named = _by_name(counters) if counters is not None and len(counters) else {}
        named = missing(named, self._outside)
        if self.calls is not None:
            named = {name: row for name, row in named.items() if name in {_NAMES[n] for n in self.calls}}
        self.trace.finish(window=window, accounting=accounting, counters=named)
        if self._recorder is not None:
            self._recorder.set_metadata(self.trace.metadata())
            try:
                self.trace.recording = self._recorder.stop()
            except errors.RecordingError as error:
                self.trace.recording = self._recorder.status().path
                self.trace.recording_error = str(error)
                self.trace.notes += (f"recording: {error}",)
                self._warnings.append((str(error), errors.IorWarning))
            self._recorder = None
        if failure is not None:
            self.trace.notes += (str(failure),)
        if not accounting.complete:
            self._warnings.append((accounting.line(), errors.LostEventsWarning))

    def warn(self) -> None:
        """Warn of what is missing, once, but not in a thread of ours: it would appear somewhere in the notebook."""
        texts, self._warnings = self._warnings, []
        for text, kind in texts if current() is None else ():
            warnings.warn(text, kind, stacklevel=4)


def new_recorder() -> Recorder:
    """Return a recorder whose rows say which machine they are of."""
    return Recorder(to_arrow=functools.partial(columns, host=platform.node()))


def _by_name(counters: np.ndarray) -> dict[str, dict[str, int]]:
    """Return the kernel's counters of every syscall that was called."""
    return {
        _NAMES[number]: {key: int(counters[key][number]) for key in COUNTED}
        for number in np.flatnonzero(counters["calls"]).tolist()
        if number in _NAMES
    }
