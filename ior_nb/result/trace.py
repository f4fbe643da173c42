"""`Trace`: what one traced cell, command or stretch of time did."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.result.held import Held
from ior_nb.result.summary import Summary
from ior_nb.result.tally import Tally
from ior_nb.runtime import Accounting, EventBatch, own
from ior_nb.runtime.clock import Moment, boot_id, moment
from ior_nb.runtime.text import printable, show_ns
from ior_nb.version import VERSION

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ior_nb.export import About
    from ior_nb.result.comparison import Diff
    from ior_nb.runtime import Filter

__all__ = ["Trace", "clocks"]


@own.all_ours
class Trace:
    """A trace. `trace()` hands it out at once; its results are there when the trace has ended.

    Attributes:
        title: what was traced, for headings.
        scope: whose calls were traced, in words.
        engine: name of the engine.
        began, ended: its start and its end, each on the wall clock and on that of the rows.
        window: (t0, t1) on the boot clock, ns; rows started inside.
        accounting: where every call went.
        counters: exact counters by syscall name: {"calls", "errors", "probes", "bytes", "latency_ns"}; exact under
            sampling and loss, and of everything between attach and detach. A file found later along a search path they
            do not know: its misses are errors there.
        rows_let_go: rows that are no longer in memory, the oldest first, because all would take more than an eighth of
            it; the summary knows them all the same.
        returncode: exit status of a traced command (128 + n for signal n); None without a command.
        recording: where the recording was published; None without one.
    """

    def __init__(self, *, title: str, scope: str, engine: str, options: Mapping[str, str] | None = None) -> None:
        self.title = title
        self.scope = scope
        self.engine = engine
        self.options = dict(options or {})
        self.began = self.ended = moment()
        self.window = (0, 0)
        self.accounting = Accounting()
        self.counters: dict[str, dict[str, int]] = {}
        self.returncode: int | None = None
        self.recording: Path | None = None
        self.notes: tuple[str, ...] = ()
        self.origin: dict[str, str] = {}
        """What of `metadata` is not of this machine and program, for rows that were read from a recording."""
        self.finished = False
        self._tally = Tally()
        self._held = Held()
        self._rows_kept = True
        self._name: str | None = None  # found among all rows: views ask several times a second
        self.rows_let_go = 0

    # ---- filled by the session

    def add(self, batch: EventBatch, *, keep: bool = True) -> None:
        """Take in rows of the window."""
        self._tally.add(batch)
        if not keep:
            self._rows_kept = False
            return
        self.rows_let_go += self._held.add(batch)

    def finish(
        self,
        *,
        window: tuple[int, int],
        accounting: Accounting,
        counters: dict[str, dict[str, int]],
        ended: Moment | None = None,
    ) -> None:
        """Close the books; a trace of another time or machine says when it ended."""
        self.window = window
        self.ended = ended or moment(window[1])
        self.accounting = accounting
        self.counters = counters
        if self.rows_let_go:
            older = f"only the last {self._held.rows:,} rows are in memory, {self.rows_let_go:,} older ones are not"
            self.notes += (f"{older}; a recording keeps all (%ior record, or record=)",)
        self.finished = True

    # ---- read by the user

    @property
    def started_at(self) -> float:
        """Wall clock at the start, seconds since the epoch; 0 where unknown."""
        return self.began.wall / 1e9

    @property
    def duration_s(self) -> float:
        """Length of the window."""
        return (self.window[1] - self.window[0]) / 1e9

    @property
    def name(self) -> str:
        """What tells the trace from others: the cell all its rows are of, or its title."""
        if self._name is None or not self.finished:
            self._name = self._named()
        return self._name

    def _named(self) -> str:
        cells = {int(number) for batch in self.batches() for number in np.unique(batch["cell"])}
        if len(cells) != 1 or min(cells) < 0:
            return self.title
        (cell,) = cells
        return f"cell {cell}" if self.title == "this cell" else f"{self.title} (cell {cell})"

    @property
    def batch(self) -> EventBatch:
        """All rows as one `EventBatch`.

        Raises:
            ConfigError: the trace is still running, or its rows were not kept.
        """
        if not self.finished:
            raise ConfigError("the trace is still running; its rows are there after the `with` block")
        if not self._rows_kept:
            raise ConfigError("the rows of this trace were not kept in memory; read its recording")
        return self._held.joined()

    def batches(self) -> tuple[EventBatch, ...]:
        """Return the rows kept so far, in pieces, in order; also while the trace is running."""
        return tuple(self._held.batches)

    def __len__(self) -> int:
        return self._held.rows

    def df(self) -> pd.DataFrame:
        """Return the rows as a DataFrame; text columns are categories."""
        from ior_nb.export.pandas import dataframe

        return dataframe(self.batch)

    def table(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        from ior_nb.export.arrow import table

        return table([self.batch])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table().__arrow_c_stream__(requested_schema)

    def to_parquet(self, path: str | Path) -> Path:
        """Write the rows to a Parquet file, replacing it if it is there; return its path.

        Raises:
            RecordingError: it cannot be written.
        """
        return self.export(path, format="parquet")

    def metadata(self) -> dict[str, str]:
        """Return what the footer of a recording says about the trace."""
        import json

        pairs = {
            "ior_nb.version": VERSION,
            "ior_nb.hostname": platform.node(),
            "ior_nb.kernel": platform.release(),
            "ior_nb.machine": platform.machine(),
            "ior_nb.engine": self.engine,
            "ior_nb.title": self.title,
            "ior_nb.scope": self.scope,
            "ior_nb.boot_id": boot_id(),
            "ior_nb.options": json.dumps(self.options),
        } | self.origin
        pairs |= clocks("started", self.began)
        if self.finished:
            pairs |= clocks("ended", self.ended)
            pairs["ior_nb.accounting"] = json.dumps(self.accounting.as_dict())
            pairs["ior_nb.counters"] = json.dumps(self.counters)
            if self.returncode is not None:
                pairs["ior_nb.returncode"] = str(self.returncode)
        return pairs

    # ---- answers: DataFrames; durations in ns, sizes in bytes, text as traced

    def stats(self) -> pd.DataFrame:
        """Return the totals, one row per measure: calls, errors, bytes, time, exact percentiles, rates."""
        from ior_nb.result import tables

        return tables.stats(self.batch, duration_s=self.duration_s)

    def syscalls(self) -> pd.DataFrame:
        """Return one row per system call, most time first, with exact percentiles of its finished calls."""
        from ior_nb.result import tables

        return tables.syscalls(self.batch)

    def families(self) -> pd.DataFrame:
        """Return one row per family of system calls, most time first."""
        from ior_nb.result import tables

        return tables.families(self.batch)

    def files(self) -> pd.DataFrame:
        """Return one row per file, most bytes first. Calls without a file have the empty name, so sums are totals."""
        from ior_nb.result import tables

        return tables.files(self.batch)

    def directories(self) -> pd.DataFrame:
        """Return one row per directory that holds files acted on, most bytes first."""
        from ior_nb.result import tables

        return tables.directories(self.batch)

    def processes(self) -> pd.DataFrame:
        """Return one row per process, most calls first."""
        from ior_nb.result import tables

        return tables.processes(self.batch, origin_ns=self._start())

    def errors(self) -> pd.DataFrame:
        """Return one row per system call and error, most frequent first, with a file it happened to."""
        from ior_nb.result import tables

        return tables.errors(self.batch)

    def probes(self) -> pd.DataFrame:
        """Return the same of the failures that are no errors: answers to what programs ask as part of normal work."""
        from ior_nb.result import tables

        return tables.probes(self.batch)

    def slowest(self, n: int = 20) -> pd.DataFrame:
        """Return the n calls that took longest, the slowest first, without those that waited for somebody else."""
        from ior_nb.result import tables

        return tables.slowest(self.batch, n, origin_ns=self._start())

    def waiting(self, n: int = 20) -> pd.DataFrame:
        """Return the n longest waits for a child, a timer, a lock or the other end of a pipe, the longest first."""
        from ior_nb.result import tables

        return tables.slowest(self.batch, n, origin_ns=self._start(), waiting=True)

    def timeline(self, slot_s: float | str | None = None) -> pd.DataFrame:
        """Return calls, errors, bytes and latency in equal slots of time; `plot("timeline")` draws them.

        Args:
            slot_s: length of a slot, in seconds or with its unit, as in `1ms`; by default a round one that makes at
                most 60.

        Raises:
            ConfigError: a slot that is no length of time, not positive, or far too short.
        """
        from ior_nb.result import tables

        return tables.timeline(self.batch, slot_s=slot_s, origin_ns=self._start())

    # ---- pictures: plotly figures

    def flame(self, fields: str | Sequence[str] = ("comm", "syscall", "path"), metric: str = "count") -> Any:
        """Return the flame graph (an icicle), a plotly figure.

        Args:
            fields: what the frames are, root first: comm, syscall, path, file, family, pid, tid, cell, flags.
            metric: what widths mean: count, duration, bytes or gap.

        Raises:
            ConfigError: an unknown field or metric.
        """
        from ior_nb.result import figures

        return figures.flame(self.batch, fields, metric)

    def plot(self, what: str = "timeline", **options: Any) -> Any:
        """Return a plotly figure: `timeline`, `latency`, `heatmap`, `files` or `flame`.

        Times count from the start of the trace, as those of `slowest` and `timeline` do.

        Raises:
            ConfigError: there is no such figure, or it has no such option.
        """
        from ior_nb.result import figures

        return figures.plot(self.batch, what, origin_ns=self._start(), **options)

    # ---- other traces

    def filter(self, wanted: str | Filter) -> Trace:
        """Return the trace of the rows that pass: all that can be asked of this one can be asked of it.

        Its accounting counts the other rows as filtered. It has no counters, for those know no rows.

        Args:
            wanted: text such as `comm~python and latency>=1ms`, or a `Filter`.

        Raises:
            FilterSyntaxError: text that does not parse; the message points at the place.
        """
        from ior_nb.globalfilter import parse, to_text

        chosen = parse(wanted) if isinstance(wanted, str) else wanted
        batch = self.batch
        passed = chosen.mask(batch)
        flight = batch.in_flight
        dropped, dropped_flight = int((~passed).sum()), int((flight & ~passed).sum())
        found = Trace(title=self.title, scope=self.scope, engine=self.engine, options=self.options)
        found.began, found.returncode, found.origin = self.began, self.returncode, dict(self.origin)
        found.notes = (*self.notes, f"only rows where {to_text(chosen)}") if chosen.active else self.notes
        found.add(batch.take(passed))
        accounting = replace(
            self.accounting,
            emitted=self.accounting.emitted - (dropped - dropped_flight),
            in_flight=self.accounting.in_flight - dropped_flight,
            filtered=self.accounting.filtered + dropped,
        )
        found.finish(window=self.window, accounting=accounting, counters={}, ended=self.ended)
        return found

    def diff(self, other: Trace, *, titles: tuple[str, str] | None = None) -> Diff:
        """Return what changed from this trace to the other: by system call, file, latency, and as a flame graph.

        Args:
            other: the trace after.
            titles: what the two are called; by default their cells, or their titles, told apart where they are equal.

        Raises:
            ConfigError: the other is no trace.
        """
        from ior_nb.result.comparison import Diff

        if not isinstance(other, Trace):
            kind = type(other).__name__
            raise ConfigError(f"a trace is compared with another, not with {other!r:.80} ({kind}); see %ior cells")
        return Diff(self.batch, other.batch, titles=titles or _told_apart(self, other))

    def export(self, target: str | Path, *, format: str | None = None, **options: Any) -> Path:  # noqa: A002
        """Write the rows to a file; return its path.

        Args:
            target: a path, whose ending says the format, or the name of a format: then the name is made up, and never
                that of another file. `ior_nb.export.EXPORTERS` has the formats and their endings.
            format: the name of a format, where the ending does not say it.
            **options: of the format, such as `metric="bytes"` for folded stacks.

        Raises:
            ConfigError: no such format or option; nothing was written.
            RecordingError: the file cannot be written.
        """
        from ior_nb.export import export

        return export(self.batch, target, format=format, about=self._about(), **options)

    def _start(self) -> int | None:
        return self.window[0] or None

    def _about(self) -> About:
        from ior_nb.export import About

        notes = self.notes if self.recording is None else (*self.notes, f"recorded to {self.recording}")
        host = self.origin.get("ior_nb.hostname", platform.node())
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started_at))
        return About(
            title=self.title,
            facts=(self.scope, show_ns(self.duration_s * 1e9), when, host, f"engine {self.engine}"),
            completeness=self.accounting.line(),
            complete=self.accounting.complete and not self.accounting.unaccounted,
            notes=notes,
            duration_s=self.duration_s,
            metadata=self.metadata(),
            origin_ns=self._start(),
        )

    def summary(self) -> Summary:
        """Return totals, top files, top calls, slowest calls, errors, and the completeness line."""
        notes = self.notes
        if self.recording is not None:
            notes += (f"recorded to {printable(str(self.recording))}",)
        if not self.finished:
            notes += ("still running",)
        return self._tally.summary(
            title=self.title,
            duration_s=self.duration_s,
            accounting=self.accounting,
            notes=notes,
            counters=self.counters if self.accounting.sampled_out or self.accounting.lost_total else None,
        )

    def __repr__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        summary = self.summary()
        return {"text/plain": summary.text(), "text/html": summary.html()}


def clocks(what: str, when: Moment) -> dict[str, str]:
    """Return a moment as the footer of a recording has it; `what` is "started" or "ended"."""
    return {
        f"ior_nb.{what}_at_unix_nano": str(when.wall),
        f"ior_nb.{what}_at_boot_nano": str(when.boot),
    }


def _told_apart(before: Trace, after: Trace) -> tuple[str, str]:
    names = before.name, after.name
    if names[0] != names[1]:
        return names
    clocks = [time.strftime("%H:%M:%S", time.localtime(t.started_at)) for t in (before, after)]
    marks = clocks if clocks[0] != clocks[1] else ["before", "after"]
    return f"{names[0]} ({marks[0]})", f"{names[1]} ({marks[1]})"


def counters_by_name(counters: np.ndarray, names: Mapping[int, str]) -> dict[str, dict[str, int]]:
    """Return the kernel's counters of every syscall that was called."""
    return {
        names[number]: {
            "calls": int(counters["calls"][number]),
            "errors": int(counters["errors"][number]),
            "probes": int(counters["probes"][number]),
            "bytes": int(counters["bytes"][number]),
            "latency_ns": int(counters["latency"][number]),
        }
        for number in np.flatnonzero(counters["calls"]).tolist()
        if number in names
    }
