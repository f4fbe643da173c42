"""`Books`: the books of one `Trace` while it is being made: which rows are its, and where every call went."""

from __future__ import annotations

import functools
import platform
import threading
import warnings
from typing import Final

import numpy as np

from ior_nb import errors
from ior_nb.engine.contract import account
from ior_nb.export.arrow import record_batch
from ior_nb.result.trace import Trace, counters_by_name
from ior_nb.runtime import Accounting, EventBatch, own
from ior_nb.runtime.clock import FOR_EVER, boot_clock
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
        self.totals: dict[str, int] = {}
        self.counters: np.ndarray = np.zeros(0)
        self.calls: frozenset[int] | None = None
        self.replays = False
        self._times = (FOR_EVER, 0)  # of the first and the last row
        self._t0 = self._t1 = FOR_EVER
        self._counts = {"done": 0, "flight": 0, "filtered": 0, "outside_done": 0, "outside_flight": 0}
        self._recorder: Recorder | None = None
        self.rows = 0

    def stop_clock(self, why: str) -> None:
        """The run ends before the window does."""
        if self._t1 == FOR_EVER:
            self._t1 = boot_clock()
            self.trace.notes += (why,)

    def receive(self, batch: EventBatch, hidden: np.ndarray | None) -> None:
        """Take the rows that began inside the window, without those a filter or the run keeps out."""
        times = batch["time_ns"]
        if self.replays:
            inside = np.ones(len(batch), bool)
        else:
            inside = (times >= self._t0) & (times < self._t1)
        flight = batch.in_flight
        counts = self._counts
        outside = ~inside
        if hidden is not None:
            counts["filtered"] += int((hidden & inside & ~flight).sum())
            inside = inside & ~hidden
        counts["outside_done"] += int((outside & ~flight).sum())
        counts["outside_flight"] += int((outside & flight).sum())
        if self.calls is not None:
            names = batch.tables["syscall"]
            codes = [code for n in self.calls if (code := names.code(_NAMES[n])) is not None]
            others = inside & ~np.isin(batch["syscall"], codes)
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
        in_flight = int((inside & flight).sum())
        counts["flight"] += in_flight
        rows = batch if inside.all() else batch.take(inside)
        counts["done"] += len(rows) - in_flight
        if not len(rows):
            return
        self.rows += len(rows)
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
        window = (self._t0, min(self._t1, boot_clock()))
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
        named = counters_by_name(counters, _NAMES) if counters is not None and len(counters) else {}
        if self.calls is not None:
            named = {name: row for name, row in named.items() if name in {_NAMES[n] for n in self.calls}}
        self.trace.finish(window=window, accounting=accounting, counters=named)
        if self._recorder is not None:
            self._recorder.set_metadata(self.trace.metadata())
            try:
                self.trace.recording = self._recorder.stop()
            except errors.RecordingError as error:
                self.trace.notes += (f"recording: {error}",)
                _warn(str(error), errors.IorWarning)
            self._recorder = None
        if failure is not None:
            self.trace.notes += (str(failure),)
        if not accounting.complete:
            _warn(accounting.line(), errors.LostEventsWarning)


def _warn(text: str, kind: type[Warning]) -> None:
    """Warn, but not from a thread of ours: the text would appear somewhere in the notebook. The result has it too."""
    if not isinstance(threading.current_thread(), own.OwnThread):
        warnings.warn(text, kind, stacklevel=3)


def new_recorder() -> Recorder:
    """Return a recorder whose rows say which machine they are of."""
    return Recorder(to_arrow=functools.partial(record_batch, host=platform.node()))
