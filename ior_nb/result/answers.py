"""What can be asked of the rows of a trace: DataFrames, durations in ns, sizes in bytes, text as traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ior_nb.runtime import Completeness
from ior_nb.runtime.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from ior_nb.result.sources import Sources

__all__ = ["Answers"]


class Answers:
    """The tables of a trace, which has the rows and knows what they lack."""

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

    def _start(self) -> int | None:
        raise NotImplementedError

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

    def processes(self) -> pd.DataFrame:
        """Return one row per process, most calls first."""
        from ior_nb.result import tables

        return tables.processes(self.rows, self.completeness, origin_ns=self._start())

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
