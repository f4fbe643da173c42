"""What can be asked of the rows of a trace: DataFrames, durations in ns, sizes in bytes, text as traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ior_nb.errors import ConfigError
from ior_nb.runtime import Completeness, own, progress
from ior_nb.runtime.clock import boot_id
from ior_nb.runtime.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from ior_nb.result.objects import Asked
    from ior_nb.result.sources import Sources

__all__ = ["Answers"]


@own.all_ours
@progress.all_told
class Answers:
    """The tables of a trace, which has the rows and knows what they lack."""

    pages: Mapping[str, Mapping[str, int]]
    origin: dict[str, str]
    asked: dict[str, Asked]
    """What was asked of each object of a store."""

    @property
    def rows(self) -> Rows:
        """Where they are."""
        raise NotImplementedError

    @property
    def completeness(self) -> Completeness:
        """What the rows lack."""
        raise NotImplementedError

    @property
    def duration_s(self) -> float:
        """Length of the trace."""
        raise NotImplementedError

    @property
    def sources(self) -> Sources:
        """Where lines have their text from."""
        raise NotImplementedError

    @property
    def here(self) -> bool:
        """Whether its files are those of this machine, which has not been started anew."""
        return self.origin.get("ior_nb.boot_id", boot_id()) == boot_id()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a trace is not pickled: t.to_parquet(PATH) keeps it, and ior_nb.load(PATH) is it again")

    def _start(self) -> int | None:
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What tells the trace from others."""
        raise NotImplementedError

    @property
    def started_at(self) -> float:
        """Wall clock at the start."""
        raise NotImplementedError

    def writeback(self) -> pd.DataFrame:
        """Return one row per file that was written to: made dirty by whom, in which cell, when; what of it was written.

        `written_in_calls` of `written_bytes` were handed to the device by calls of the trace (fsync and the like), the
        rest later, by the kernel. `pending_bytes` were still to be written when the trace ended, `never_bytes` dirty in
        files that were deleted, not merely renamed. Bytes are those of whole pages; `cached_now_bytes` is what of the
        file is in the page cache now, -1 where the kernel does not tell, or not us.
        """
        from ior_nb.result import tables, writeback

        found = writeback.rows(self.pages, self.rows, start_ns=self._start() or 0, here=self.here)
        return tables.framed(found, writeback.COLUMNS, self.completeness)

    def cache(self, other: Answers | None = None) -> str:
        """Return in a line what this run had to fetch from the device, and what a second run of the same had to.

        Args:
            other: the second run; without one, the first and the last cell of this trace are compared.

        Raises:
            ConfigError: there is nothing to compare.
        """
        from ior_nb.result import cold
        from ior_nb.result.comparison import told_apart

        if other is None:
            return cold.compared(*cold.by_cells(self.rows), [self.completeness])
        if not isinstance(other, Answers):
            raise ConfigError(f"a trace is compared with another, not with {other!r:.80} ({type(other).__name__})")
        names = told_apart((self.name, other.name), (self.started_at, other.started_at))
        runs = ((names[0], self.rows), (names[1], other.rows))
        return cold.compared(*runs, [self.completeness, other.completeness])

    def stats(self) -> pd.DataFrame:
        """Return the totals, one row per measure: calls, errors, bytes, time, exact percentiles, rates."""
        from ior_nb.result import tables

        return tables.stats(self.rows, self.completeness, duration_s=self.duration_s)

    def syscalls(self) -> pd.DataFrame:
        """Return one row per system call, most time first, with exact percentiles of its finished calls."""
        from ior_nb.result import tables

        return tables.syscalls(self.rows, self.completeness)

    def families(self) -> pd.DataFrame:
        """Return one row per family of system calls, most time first."""
        from ior_nb.result import tables

        return tables.families(self.rows, self.completeness)

    def files(self) -> pd.DataFrame:
        """Return one row per file, most bytes first. Calls without a file have the empty name, so sums are totals."""
        from ior_nb.result import tables

        return tables.files(self.rows, self.completeness)

    def lines(self, file: str = "", *, library: bool = False) -> pd.DataFrame:
        """Return one row per line of Python, most time first, with its text where that can be found.

        Args:
            file: only lines of files whose path ends so.
            library: the line that made the call itself, whoever's it is, instead of the user's own.
        """
        from ior_nb.result import tables

        return tables.lines(self.rows, self.completeness, file=file, library=library, sources=self.sources)

    def imports(self) -> pd.DataFrame:
        """Return one row per package with the calls its import made, most time first: `lines` has them as one row."""
        from ior_nb.result import tables

        return tables.imports(self.rows, self.completeness)

    def directories(self) -> pd.DataFrame:
        """Return one row per directory that holds files acted on, most bytes first."""
        from ior_nb.result import tables

        return tables.directories(self.rows, self.completeness)

    def peers(self) -> pd.DataFrame:
        """Return one row per peer of sockets, most bytes first; calls without a peer have the empty one."""
        from ior_nb.result import tables

        return tables.peers(self.rows, self.completeness)

    def objects(self) -> pd.DataFrame:
        """Return one row per object of a store: what was asked for beside what was fetched (`trace(objects=True)`)."""
        from ior_nb.result import tables

        return tables.objects(self.rows, self.asked, self.completeness)

    def tasks(self, metric: str = "bytes", *, by: str = "task_prefix") -> pd.DataFrame:
        """Return files × tasks of a cluster: a row per file, a column per task; the largest first. "" is none of them.

        So files × hosts, and files × labels, these of any rows.

        Args:
            metric: `bytes`, `bytes_read`, `bytes_written`, `calls`, `errors`, `time_ns` or `max_ns`.
            by: what the columns are: `task_prefix`, `task`, `worker`, `host` or `label`.

        Raises:
            ConfigError: the rows are not of a cluster, and `by` is what those alone have; or there is no such metric.
        """
        from ior_nb.result import tables

        return tables.tasks(self.rows, self.completeness, metric=metric, by=by)

    def processes(self) -> pd.DataFrame:
        """Return one row per process, most calls first."""
        from ior_nb.result import tables

        return tables.processes(self.rows, self.completeness, origin_ns=self._start())

    def labels(self) -> pd.DataFrame:
        """Return one row per label, most time first; calls without a label have the empty one: see `ior_nb.label`."""
        from ior_nb.result import tables

        return tables.labels(self.rows, self.completeness, origin_ns=self._start())

    def errors(self) -> pd.DataFrame:
        """Return one row per system call and error, most frequent first, with a file it happened to."""
        from ior_nb.result import tables

        return tables.errors(self.rows, self.completeness)

    def probes(self) -> pd.DataFrame:
        """Return the same of the failures that are no errors: answers to what programs ask as part of normal work."""
        from ior_nb.result import tables

        return tables.probes(self.rows, self.completeness)

    def slowest(self, n: int = 20) -> pd.DataFrame:
        """Return the n calls that took longest, the slowest first, without those that waited for somebody else."""
        from ior_nb.result import tables

        return tables.slowest(self.rows, n, self.completeness, origin_ns=self._start())

    def waiting(self, n: int = 20) -> pd.DataFrame:
        """Return the n longest waits for a child, a timer, a lock or the other end of a pipe, the longest first."""
        from ior_nb.result import tables

        return tables.slowest(self.rows, n, self.completeness, origin_ns=self._start(), waiting=True)

    def timeline(self, slot_s: float | str | None = None) -> pd.DataFrame:
        """Return calls, errors, bytes and latency in equal slots of time; `plot("timeline")` draws them.

        Args:
            slot_s: length of a slot, in seconds or with its unit, as in `1ms`; by default a round one that makes at
                most 60.

        Raises:
            ConfigError: a slot that is no length of time, not positive, or far too short.
        """
        from ior_nb.result import tables

        return tables.timeline(self.rows, self.completeness, slot_s=slot_s, origin_ns=self._start())

    # ---- pictures: plotly figures

    def flame(self, fields: str | Sequence[str] = ("comm", "syscall", "path"), metric: str = "count") -> Any:
        """Return the flame graph (an icicle), a plotly figure.

        Args:
            fields: the frames, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
                flags, host.
            metric: what widths mean: count, duration, bytes or gap.

        Raises:
            ConfigError: an unknown field or metric.
        """
        from ior_nb.result import figures

        return figures.flame(self.rows, fields, metric, self.completeness)

    def plot(self, what: str = "timeline", **options: Any) -> Any:
        """Return a plotly figure: `timeline`, `latency`, `heatmap`, `files` or `flame`.

        Times count from the start of the trace, as those of `slowest` and `timeline` do.

        Raises:
            ConfigError: there is no such figure, or it has no such option.
        """
        from ior_nb.result import figures

        return figures.plot(self.rows, what, self.completeness, origin_ns=self._start(), **options)
