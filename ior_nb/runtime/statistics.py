"""What the statistics say at one moment: frozen values the statistics engine makes and the views show.

Two kinds of numbers meet here. *Rows* are events that reached us; the kernel's *counters* know every call, also those
sampled out or lost. Totals and per-syscall counts are the exact ones wherever counters have been merged; what only rows
can tell (which file, which process, percentiles) says how many of the calls it knows: `measured`, `at_least`, and a row
of its own for the calls that were not recorded, so that the rows of a table always add up to the totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ior_nb.runtime.text import at_host

__all__ = [
    "Activity",
    "Bucket",
    "DirectoryRow",
    "FamilyRow",
    "FileRow",
    "Histogram",
    "LineRow",
    "ProcessRow",
    "Rates",
    "Snapshot",
    "SyscallRow",
    "Trend",
]


def _no_values() -> np.ndarray:
    values = np.zeros(0)
    values.setflags(write=False)
    return values


class _Timed:
    """What knows how many calls had a latency, and how long all of these took."""

    __slots__ = ()
    latency_total_ns: int
    timed: int

    @property
    def latency_mean_ns(self) -> float:
        """Mean latency of the timed calls; 0 without any."""
        return self.latency_total_ns / self.timed if self.timed else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One bar of a histogram."""

    label: str
    """The interval as text."""
    lower_ns: int
    """Lower edge, included."""
    upper_ns: int
    """Upper edge, not included; 0 where there is none."""
    count: int
    """Values inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many values lie in each decade."""

    total: int = 0
    """Sum of all buckets."""
    buckets: tuple[Bucket, ...] = ()
    """Ascending, without holes."""
    exact: bool = True
    """Whether every value was put into its bucket one by one. Calls the kernel only counted are known to a factor of
    two; where such an interval holds an edge, they are split the way the recorded ones are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Where a series is heading: the last 10 s against the 10 s before, half seconds without a call left out."""

    direction: str = "stable"
    """`stable` (less than 5 % of change, or nothing to compare), `rising` or `falling`."""
    delta_percent: float = 0.0
    """Change of the mean; 100 for a rise from zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Events and bytes per second."""

    seconds: float = 0.0
    """The time they are the mean of."""
    calls_per_s: float = 0.0
    """Calls."""
    errors_per_s: float = 0.0
    """Calls that failed."""
    bytes_per_s: float = 0.0
    """Bytes moved, each counted once."""
    read_bytes_per_s: float = 0.0
    """Bytes read."""
    written_bytes_per_s: float = 0.0
    """Bytes written."""
    address_space_bytes_per_s: float = 0.0
    """Address space mapped or released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyscallRow(_Timed):
    """Statistics of one system call."""

    name: str
    """As the kernel's tracepoints spell it; `(other)` beyond 1,024 different names."""
    family: str
    """Its family; empty where unknown."""
    count: int
    """Calls: exact where the kernel's counters were merged. Those in flight are in."""
    errors: int = 0
    """Calls that failed: exact as `count` is."""
    probes: int = 0
    """Calls that failed as part of normal work, which are no errors."""
    bytes: int = 0
    """Bytes moved, each counted once: exact as `count` is."""
    latency_total_ns: int = 0
    """Time spent in all timed calls."""
    latency_max_ns: int = 0
    """The slowest recorded call. Where the kernel counted one in a higher power of two: the upper edge of that."""
    latency_min_ns: int = 0
    """The fastest recorded call; or, likewise, the lower edge of a power of two."""
    rate: float = 0.0
    """Calls per second over the whole run."""
    window_rate: float = 0.0
    """Calls per second over the last 10 s."""
    bytes_read: int = 0
    """Bytes it read."""
    bytes_written: int = 0
    """Bytes it wrote; a transfer counts in both."""
    in_flight: int = 0
    """Calls of `count` that had not returned when the trace, or their thread, ended."""
    recorded: int = 0
    """Calls of `count` that are rows."""
    timed: int = 0
    """Calls with a latency: the m of "from n of m calls", and what the mean is the mean of."""
    measured: int = 0
    """Calls behind the percentiles: the n of "from n of m calls"."""
    p50_ns: int = 0
    """Median latency; percentiles are within 3 % of the exact nearest rank of the calls behind them."""
    p90_ns: int = 0
    """90th percentile."""
    p95_ns: int = 0
    """95th percentile."""
    p99_ns: int = 0
    """99th percentile."""
    p999_ns: int = 0
    """99.9th percentile."""
    errors_by_errno: Mapping[str, int] = field(default_factory=dict)
    """Recorded failures by name of the error, the most frequent first; what is missing to `errors` has no row."""

    @property
    def no_latency(self) -> bool:
        """Whether no call was timed, so that mean, minimum and maximum mean nothing."""
        return self.timed == 0

    @property
    def no_percentiles(self) -> bool:
        """Whether no recorded call stands behind the percentiles."""
        return self.measured == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRow(_Timed):
    """Statistics of one family of system calls: the sum of its rows."""

    name: str
    """The family; empty for calls of none."""
    count: int
    """Calls, as in `SyscallRow`."""
    errors: int = 0
    """Calls that failed."""
    probes: int = 0
    """Calls that failed as part of normal work."""
    bytes: int = 0
    """Bytes moved, each counted once."""
    bytes_read: int = 0
    """Bytes read."""
    bytes_written: int = 0
    """Bytes written."""
    rate: float = 0.0
    """Calls per second over the whole run."""
    window_rate: float = 0.0
    """Calls per second over the last 10 s."""
    in_flight: int = 0
    """Calls that had not returned."""
    recorded: int = 0
    """Calls of `count` that are rows."""
    timed: int = 0
    """Calls with a latency."""
    measured: int = 0
    """Calls behind the percentiles."""
    latency_total_ns: int = 0
    """Time spent in all timed calls."""
    latency_min_ns: int = 0
    """The fastest call, as in `SyscallRow`."""
    latency_max_ns: int = 0
    """The slowest call, as in `SyscallRow`."""
    p50_ns: int = 0
    """Median latency of the merged histograms."""
    p90_ns: int = 0
    """90th percentile."""
    p95_ns: int = 0
    """95th percentile."""
    p99_ns: int = 0
    """99th percentile."""
    p999_ns: int = 0
    """99.9th percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(_Timed):
    """What rows of files, directories and processes have in common. The rows of each table add up to the totals."""

    count: int = 0
    """Calls."""
    errors: int = 0
    """Calls that failed."""
    bytes_read: int = 0
    """Bytes read; a transfer between two files reads from its source."""
    bytes_written: int = 0
    """Bytes written."""
    fetched_bytes: int = 0
    """Bytes its recorded calls made devices read, readahead included: exact by file, arbitrary by thread."""
    faulted_bytes: int = 0
    """What of `bytes_read` faults on mapped files brought in."""
    latency_total_ns: int = 0
    """Time spent in its timed calls."""
    latency_max_ns: int = 0
    """The slowest call."""
    timed: int = 0
    """Calls with a latency."""
    special: str = ""
    """Empty for a real one; `other` (all that are not shown), `none` (calls that have none), `unrecorded` (calls the
    kernel counted that have no row)."""
    folded: int = 0
    """How many are summed in an `other` row; one that was dropped, came back and was dropped again counts twice."""
    at_least: bool = False
    """Whether calls without a row may belong here too, so that the numbers are lower bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow(Activity):
    """Statistics of one file."""

    path: str
    """The path; raw, so escape it before it is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRow(Activity):
    """Statistics of the files directly in one directory."""

    directory: str
    """Text before the last slash of their paths; `/` at the top, `.` for names without a slash (pipes, sockets)."""
    files: int = 0
    """Distinct files; one that was dropped and came back counts twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow(Activity):
    """Statistics of one process."""

    pid: int
    """Its id."""
    host: str = ""
    """The host it runs on, where there are several; raw."""
    lifetime: int = 0
    """0 for the first process of that id, 1 for the one that got the id next, and so on."""
    comm: str = ""
    """Last name of its main thread; until that is seen, the first name of any thread."""
    ppid: int = 0
    """Id of the parent; 0 where unknown."""
    ended: bool = False
    """Whether its end is known: the row changes no more."""
    rate: float = 0.0
    """Calls per second over the whole run."""

    @property
    def label(self) -> str:
        """The id, as `8` or `8#1`, of several hosts `node:8`; the text in brackets of a special row."""
        if self.special:
            return self.comm
        return at_host(self.host, f"{self.pid}#{self.lifetime}" if self.lifetime else self.pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow(Activity):
    """Statistics of one line of Python: the innermost of the user's own that was running."""

    function: str
    """The qualified name of its function; raw, as the file is. The text in brackets of a special row."""
    file: str = ""
    """The file."""
    line: int = 0
    """Its number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot(_Timed):
    """The statistics at one moment. Its arrays are shared and read-only."""

    generated_at: float = 0.0
    """Wall clock, seconds since the epoch."""
    elapsed_s: float = 0.0
    """Since the start or the last reset."""
    calls: int = 0
    """All calls: exact where the kernel's counters were merged. Those in flight are in."""
    errors: int = 0
    """Calls that failed."""
    probes: int = 0
    """Calls that failed as part of normal work, which are no errors."""
    waiting_ns: int = 0
    """What of `latency_total_ns` the recorded calls waited for somebody else."""
    fetched_bytes: int = -1
    """Bytes the recorded calls made devices read; -1 where nobody counts."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """What the time of the recorded calls went to: ns by column of `schema.PARTS`, those that are measured."""
    bytes: int = 0
    """Bytes moved, each counted once."""
    bytes_read: int = 0
    """Bytes read."""
    bytes_written: int = 0
    """Bytes written; a transfer counts in both."""
    address_space_bytes: int = 0
    """Address space mapped or released, by the recorded calls."""
    in_flight: int = 0
    """Calls of `calls` that had not returned when the trace, or their thread, ended."""
    recorded: int = 0
    """Calls of `calls` that are rows."""
    timed: int = 0
    """Calls with a latency."""
    latency_total_ns: int = 0
    """Time spent in all timed calls."""
    gaps: int = 0
    """Recorded calls with a gap: all but the first of each thread."""
    gap_total_ns: int = 0
    """Sum of the gaps."""
    run: Rates = field(default_factory=Rates)
    """Rates over the whole run."""
    window: Rates = field(default_factory=Rates)
    """Rates over the last 10 s."""
    latency_trend: Trend = field(default_factory=Trend)
    """Of the mean latency."""
    gap_trend: Trend = field(default_factory=Trend)
    """Of the mean gap."""
    throughput_trend: Trend = field(default_factory=Trend)
    """Of the bytes per second."""
    series_slot_ns: int = 500_000_000
    """Width of a slot of the series."""
    series_end_ns: int = 0
    """End of the last slot, on the clock of the rows."""
    calls_series: np.ndarray = field(default_factory=_no_values)
    """Calls per second in each slot: float64, shape (120,), oldest first."""
    latency_series_ns: np.ndarray = field(default_factory=_no_values)
    """Mean latency in each slot, 0 where no call was timed: float64, shape (120,)."""
    gap_series_ns: np.ndarray = field(default_factory=_no_values)
    """Mean gap in each slot, 0 where there was none: float64, shape (120,)."""
    throughput_series: np.ndarray = field(default_factory=_no_values)
    """Bytes per second in each slot: float64, shape (120,)."""
    latency_histogram: Histogram = field(default_factory=Histogram)
    """Of all timed calls."""
    gap_histogram: Histogram = field(default_factory=Histogram)
    """Of all gaps."""
    latency_counts: np.ndarray = field(default_factory=_no_values)
    """Recorded timed calls by latency, four buckets to a power of two: int64, shape (257,). It only grows until a
    reset; their sum is the sum of `measured`, less than `timed` where calls are counted that are no rows."""
    latency_edges_ns: np.ndarray = field(default_factory=_no_values)
    """The edges of these buckets, from 0 on: float64, shape (258,). Bucket 0 holds the value 0 alone."""
    syscalls: tuple[SyscallRow, ...] = ()
    """Every system call that was made; by count, then name."""
    families: tuple[FamilyRow, ...] = ()
    """Every family that was seen; by count, then name."""
    files: tuple[FileRow, ...] = ()
    """The files ranked highest, then the special rows."""
    directories: tuple[DirectoryRow, ...] = ()
    """The directories ranked highest, then the special rows."""
    processes: tuple[ProcessRow, ...] = ()
    """The processes ranked highest, then the special rows."""
    lines: tuple[LineRow, ...] = ()
    """The lines of Python ranked highest, then the special rows."""

    @property
    def gap_mean_ns(self) -> float:
        """Mean gap; 0 without any."""
        return self.gap_total_ns / self.gaps if self.gaps else 0.0

    @property
    def complete(self) -> bool:
        """Whether every call is a row."""
        return self.recorded >= self.calls
