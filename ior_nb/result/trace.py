"""`Trace`: what one traced cell, command or stretch of time did."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ior_nb.aggregate import counted, ended, missing
from ior_nb.errors import ConfigError
from ior_nb.result.answers import Answers
from ior_nb.result.bars import bar
from ior_nb.result.footer import began_as, ended_as
from ior_nb.result.held import Held
from ior_nb.result.imports import by_package
from ior_nb.result.lines import Annotated, annotated
from ior_nb.result.objects import Asked, pairs_of
from ior_nb.result.sources import Sources
from ior_nb.result.stored import Stored, at_once, foreign_types, passing
from ior_nb.result.summary import Summary
from ior_nb.result.tallies import Tallies
from ior_nb.runtime import Accounting, Completeness, EventBatch, own, progress
from ior_nb.runtime.clock import Moment, moment
from ior_nb.runtime.completeness import Counters, only_where
from ior_nb.runtime.host import HostCounts
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.text import printable, show_count, show_ns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ior_nb.export import About
    from ior_nb.result.comparison import Diff
    from ior_nb.runtime import Filter

__all__ = ["Trace"]

_AT_ONCE: Final = 1_000_000
"""Rows of a recording that are added up when somebody only wants to know what it is."""

progress.shown_by(bar)


@own.all_ours
@progress.all_told
class Trace(Answers):
    """A trace. `trace()` hands it out at once; its results are there when the trace has ended.

    Attributes:
        title: what was traced, for headings.
        scope: whose calls were traced, in words.
        engine: name of the engine.
        began, ended: its start and its end, each on the wall clock and on that of the rows.
        window: (t0, t1) on the boot clock, ns; rows started inside.
        counters: exact counters by syscall name: {"calls", "errors", "probes", "bytes", "latency_ns"}; exact under
            sampling and loss, and of all calls, those a filter keeps out too. A file found later along a search path
            they do not know: its misses are errors there.
        caveats: what narrowed the rows, in words: filters that were in force, a stretch of a recording.
        unfilled: columns that are empty because the place of the trace does not fill them, and why, by their names.
        asked: what was asked of each object of a store, where that was traced.
        host: what the host counted instead, of a trace that has nothing else.
        keeps_rows: whether there is more to ask for than the summary.
        rows_let_go: rows that are no longer in memory, the oldest first, because all would take more than an eighth of
            it; the summary knows them all the same.
        returncode: exit status of a traced command (128 + n for signal n); None without a command.
        recording: where the recording was published; None without one.
        recording_error: why it ended early, or does not exist; empty when all is well.
        records_command: whether recordings have the whole command line.
        records_cells: whether they have the text of the cells whose lines made calls.
        texts: of cells, by the name their code has for a file, as a recording had them.
    """

    def __init__(self, *, title: str, scope: str, engine: str, options: Mapping[str, str] | None = None) -> None:
        self.title = title
        self.scope = scope
        self.engine = engine
        self.options = dict(options or {})
        self.began = self.ended = moment()
        self.window = (0, 0)
        self._accounting = Accounting()
        self.counts_only = False
        self.counters: dict[str, dict[str, int]] = {}
        self.pages: Mapping[str, Mapping[str, int]] = {}  # of faults and writes, see engine/pages.py
        self.returncode: int | None = None
        self.recording: Path | None = None
        self.recording_error = ""
        self.records_command = False
        self.records_cells = True
        self.texts: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self.caveats: tuple[str, ...] = ()
        self.unfilled: dict[str, str] = {}
        self.asked: dict[str, Asked] = {}
        self.host: HostCounts | None = None
        self.origin: dict[str, str] = {}
        """What of `metadata` is not of this machine and program, for rows that were read from a recording."""
        self.home = ""
        """The folder the traced program began in, where known: names in it are shown without it."""
        self.finished = False
        self._sums = Tallies()
        self.cells: Mapping[str, int] = {}
        """Number of each cell of the notebook by the name its code has for a file."""
        self._held = Held()
        self._rows: Rows = self._held
        self.keeps_rows = True
        self._count: Callable[[], int] = lambda: self._held.rows
        self._books: Callable[[], Accounting] | None = None
        self._name: str | None = None  # found among all rows: views ask several times a second
        self.rows_let_go = 0
        self._unrecorded: Counters | None = None  # of a finished trace: its rows change no more

    # ---- filled by the session

    def add(self, batch: EventBatch, *, keep: bool = True) -> None:
        """Take in rows of the window."""
        self._sums.add(batch)
        if not keep:
            self.leave_rows()
            return
        self.rows_let_go += self._held.add(batch)

    def leave_rows(self) -> None:
        """Keep none: nothing but the summary remains of them."""
        self.keeps_rows = False

    def stand_for(self, rows: Rows, *, count: Callable[[], int], books: Callable[[], Accounting]) -> None:
        """Be the trace of rows that stay where they are; their number and accounting are made when somebody asks."""
        self._rows, self._sums = rows, Tallies(rows)
        self._count, self._books = functools.cache(count), books

    def finish(
        self,
        *,
        window: tuple[int, int],
        counters: dict[str, dict[str, int]],
        accounting: Accounting | None = None,
        ended: Moment | None = None,
    ) -> None:
        """Close the books; a trace of another time or machine says when it ended, and may count later."""
        self.window = window
        self.ended = ended or moment(window[1])
        if accounting is not None:
            self.accounting = accounting
        self.counters = counters
        self.finished = True

    # ---- read by the user

    @property
    def accounting(self) -> Accounting:
        """Where every call went; while it runs, as far as somebody has looked."""
        if self._books is not None:
            self._accounting, self._books = self._books(), None
        return replace(self._accounting, counts_only=True) if self.counts_only else self._accounting

    @accounting.setter
    def accounting(self, accounting: Accounting) -> None:
        self._accounting, self._books = accounting, None

    @property
    def started_at(self) -> float:
        """Wall clock at the start, seconds since the epoch; 0 where unknown."""
        return self.began.wall / 1e9

    @property
    def duration_s(self) -> float:
        """Length of the window."""
        return (self.window[1] - self.window[0]) / 1e9

    @property
    def completeness(self) -> Completeness:
        """What the rows lack: the one value that every table, figure and export of the trace carries."""
        return replace(self._told(), unrecorded=self._missing())

    def _told(self) -> Completeness:
        """Return it for who adds nothing up: the rows need not be looked at."""
        exact = not (self.accounting.sampled_out or self.accounting.lost_total) or bool(self._exact())
        told = Completeness(
            accounting=self.accounting,
            caveats=self.caveats,
            let_go=self.rows_let_go,
            exact=exact,
            unfilled=self.unfilled,
        )
        return told if self.finished else replace(told, running=True)

    def _missing(self) -> Counters:
        """Return the calls that are no rows at hand, by system call; nothing where only their number is known."""
        if not self.finished or not self.keeps_rows:
            return {}
        if self._unrecorded is None:
            whole = self._exact() or (self._sums.of_all()[0].counted() if self.rows_let_go else {})
            self._unrecorded = missing(whole, counted(self.rows, flying=whole is not self.counters)) if whole else {}
        return self._unrecorded

    def _exact(self) -> Counters:
        """Return the counters where rows are missing and all rows are wanted: they know no filter."""
        lacking = self.accounting.sampled_out or self.accounting.lost_total
        return self.counters if lacking and not (self.accounting.filtered or self.caveats) else {}

    @property
    def name(self) -> str:
        """What tells the trace from others: the cell all its rows are of, or its title."""
        if self._name is None or not self.finished:
            self._name = self._named()
        return self._name

    def _named(self) -> str:
        cells: set[int] = set()
        for piece in self._rows.pieces():
            known = piece.bounds("cell")
            cells.update(known if known is not None else np.unique(piece.read("cell")["cell"]).tolist())
            if len(cells) > 1:
                break
        if len(cells) != 1 or min(cells) < 0:
            return self.title
        cell = cells.pop()
        return f"cell {cell}" if self.title == "this cell" else f"{self.title} (cell {cell})"

    @property
    def rows(self) -> Rows:
        """The rows, wherever they are, for whoever looks at some of their columns only.

        Raises:
            ConfigError: the trace is still running, or its rows were not kept.
        """
        if not self.finished:
            raise ConfigError("the trace is still running; its rows are there after the `with` block")
        if not self.keeps_rows:
            how = "and it was not recorded: trace with its rows (no keep_rows=False, no --no-rows), or record it"
            if self.recording is not None:
                how = f"its recording has them: ior_nb.load({str(self.recording)!r})"
            raise ConfigError(f"the rows of this trace were not kept in memory; {how}")
        return self._rows

    @property
    def batch(self) -> EventBatch:
        """All rows as one `EventBatch`, in memory.

        Raises:
            ConfigError: the trace is still running, its rows were not kept, or they would not fit.
        """
        if self.rows is self._held:
            return self._held.joined()
        return at_once(self._rows, len(self))

    def batches(self, *columns: str) -> Iterator[EventBatch]:
        """Yield the rows so far, or these columns of them, in pieces, in order; also while the trace is running."""
        return read(self._rows, *columns)

    def __len__(self) -> int:
        return self._count()

    def df(self) -> pd.DataFrame:
        """Return the rows as a DataFrame; text columns are categories."""
        from ior_nb.export.pandas import dataframe

        return dataframe(self.batch, self.completeness)

    def table(self) -> pa.Table:
        """Return the rows as an Arrow table; the metadata of its schema is that of a recording."""
        from ior_nb.export.arrow import table

        return table([self.batch], self.metadata(), foreign_types(self.rows))

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
        pairs = began_as(self)
        if not self.finished:
            return pairs
        return pairs | ended_as(self, self._told()) | pairs_of(self.asked) | self.recorded_cells()

    @property
    def sources(self) -> Sources:
        """Where lines have their text from: cells are those of this notebook or of the recording."""
        return Sources(self.texts, self.ended.wall if self.finished else 0, self.origin.get("ior_nb.hostname", ""))

    def recorded_cells(self) -> dict[str, str]:
        """Return what the footer of a recording says of cells."""
        if not self.records_cells:
            return {}
        if isinstance(self._rows, Stored):  # its footer has those of its rows
            return self.sources.pairs(self.texts, self.cells)
        stacks = self._sums.of_all()[1].costs()
        return self.sources.pairs((frame.file for stack in stacks for frame in stack), self.cells)

    def annotated(self, file: str = "") -> list[Annotated]:
        """Return the cells, or files, with what each of their lines made in the margin; most time first.

        Args:
            file: the files whose path ends so, of libraries too; else the cells.
        """
        _, lines, imports = self._sums.of_all()
        return annotated(lines.costs(), file=file, cells=self.cells, sources=self.sources, imports=imports.costs())

    # ---- other traces

    def filter(self, wanted: str | Filter) -> Trace:
        """Return the trace of the rows that pass: all that can be asked of this one can be asked of it.

        Its accounting counts the other rows as filtered. It has no counters, for those know no rows.

        Args:
            wanted: text such as `comm~python and latency>=1ms`, or a `Filter`.

        Raises:
            FilterSyntaxError: text that does not parse; the message points at the place.
            ConfigError: the rows have no column that it asks for.
        """
        from ior_nb.globalfilter import parse, to_text

        chosen = parse(wanted) if isinstance(wanted, str) else wanted
        rows = passing(self.rows, chosen)
        found = Trace(title=self.title, scope=self.scope, engine=self.engine, options=self.options)
        found.began, found.returncode, found.origin = self.began, self.returncode, dict(self.origin)
        found.home = self.home
        found.cells, found.texts, found.records_cells = self.cells, self.texts, self.records_cells
        found.notes, found.caveats, found.rows_let_go = self.notes, self.caveats, self.rows_let_go
        found.unfilled, found.asked = dict(self.unfilled), dict(self.asked)
        if chosen.active:
            found.caveats = tuple(dict.fromkeys([*found.caveats, only_where([to_text(chosen)])]))
        passed = functools.cache(lambda: ended(rows))

        def books() -> Accounting:
            before, (done, flying) = self.accounting, passed()
            kept_out = before.emitted + before.in_flight - done - flying
            return replace(before, emitted=done, in_flight=flying, filtered=before.filtered + kept_out)

        found.stand_for(rows, count=lambda: sum(passed()), books=books)
        found.finish(window=self.window, counters={}, ended=self.ended)
        return found

    def diff(self, other: Trace, *, titles: tuple[str, str] | None = None, rows_only: bool = False) -> Diff:
        """Return what changed from this trace to the other: by system call, file, latency, and as a flame graph.

        Args:
            other: the trace after.
            titles: what the two are called; by default their cells, or their titles, told apart where they are equal.
            rows_only: compare the rows of a trace too that lacks calls which nobody counted by name.

        Raises:
            ConfigError: the other is no trace; or one of the two lacks calls that the exact counts cannot stand in for.
        """
        from ior_nb.result.comparison import Diff, told_apart

        if not isinstance(other, Trace):
            kind = type(other).__name__
            raise ConfigError(f"a trace is compared with another, not with {other!r:.80} ({kind}); see %ior cells")
        return Diff(
            self.rows,
            other.rows,
            lacking=(self.completeness, other.completeness),
            titles=titles or told_apart((self.name, other.name), (self.started_at, other.started_at)),
            rows_only=rows_only,
        )

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
        from ior_nb.export import EXPORTERS, chosen, export

        name = chosen(target, format)[0]
        rows = self.batch if EXPORTERS[name].at_once else self.rows
        return export(rows, target, format=format, about=self._about(pictured=name == "html"), **options)

    def _start(self) -> int | None:
        return self.window[0] or None

    def _about(self, *, pictured: bool) -> About:
        from ior_nb.export import About

        notes = self.notes if self.recording is None else (*self.notes, f"recorded to {self.recording}")
        host = self.origin.get("ior_nb.hostname", platform.node())
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.started_at))
        summary = self.summary() if pictured else None  # which looks at all rows
        return About(
            title=self.name,
            facts=(self.scope, show_ns(self.duration_s * 1e9), when, *filter(None, [host]), f"engine {self.engine}"),
            completeness=self.completeness,
            notes=notes,
            duration_s=self.duration_s,
            metadata=self.metadata(),
            overview=summary.html_overview() if summary is not None else "",
            sources=tuple(source.html() for source in summary.sources) if summary is not None else (),
            foreign=foreign_types(self.rows),
            origin_ns=self._start(),
        )

    def summary(self) -> Summary:
        """Return totals, top files, top calls, slowest calls, errors, and the completeness line."""
        notes = self.notes
        if self.recording is not None:
            notes += (f"recorded to {printable(str(self.recording))}",)
        return self._sums.of_all()[0].summary(
            title=self.title,
            duration_s=self.duration_s,
            completeness=self._told(),
            notes=notes,
            pages=self.pages,
            counters=self._exact(),
            window=self.window,
            home=self.home,
            sources=tuple(self.annotated()),
            host=self.host,
            imports=by_package(self._sums.of_all()[2].costs()),
        )

    def __repr__(self) -> str:
        if not self._sums.there and isinstance(self._rows, Stored) and (self._rows.known_rows() or 0) > _AT_ONCE:
            return f"<Trace of {printable(self.title)}: {show_count(len(self), 'row')}, read when they are asked for>"
        summary = self.summary()
        return f"<Trace of {printable('; '.join(filter(None, (summary.headline(), summary.completeness.told()))))}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        summary = self.summary()
        return {"text/plain": summary.text(), "text/html": summary.html()}
