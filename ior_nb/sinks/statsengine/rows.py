"""From copied sums to the parts of a sheet. Nothing here needs a lock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ior_nb.runtime import sheet
from ior_nb.runtime.sheet import CALL, NEVER, Process, Ranked, Totals, Who
from ior_nb.sinks.statsengine.activity import MAXIMA, SUMS, ranked
from ior_nb.sinks.statsengine.calls import ERRNOS, Calls, Exact
from ior_nb.sinks.statsengine.files import NO_FILE, Files, roll_up
from ior_nb.sinks.statsengine.lines import NO_LINE, Lines
from ior_nb.sinks.statsengine.processes import Processes
from ior_nb.sinks.statsengine.table import Table

__all__ = ["CallRows", "FileRows", "LineRows", "ProcessRows"]


class CallRows:
    """A copy of the sums by system call, made under the lock; its methods need none."""

    def __init__(self, calls: Calls, now_ns: int) -> None:
        self._exact = Exact(calls)
        self._histogram = calls.histogram[: calls.used].copy()
        self._recent, _ = calls.recent.view(now_ns, calls.used)
        self._unseen = self._exact.bring_together(self._histogram)
        self._errno_keys = calls.errnos.codes[1 : calls.errnos.used].copy()
        self._errno_counts = calls.errnos.columns["count"][1 : calls.errnos.used].copy()

    def hidden(self) -> tuple[Totals, np.ndarray]:
        """Return what is known of calls that are no rows: their sums, and their latencies by powers of two."""
        return self._exact.hidden(), self._unseen

    def calls(self) -> sheet.Calls:
        """Return every system call that was made."""
        exact = self._exact
        sums = {
            **{name: getattr(exact, name) for name in CALL if name not in ("read", "written")},
            "read": exact.bytes * exact.reads,
            "written": exact.bytes * exact.writes,
        }
        some = np.flatnonzero(exact.count)
        timed = exact.timed[some] > 0
        histogram = self._histogram[some].reshape(-1)
        buckets = np.flatnonzero(histogram)
        entries, numbers = np.divmod(self._errno_keys, ERRNOS)
        return sheet.Calls(
            names=tuple(exact.names[i] for i in some.tolist()),
            families=tuple(exact.families[i] for i in some.tolist()),
            sums=np.stack([sums[name][some] for name in CALL], axis=1),
            lowest=np.where(timed, exact.lowest[some], NEVER),
            highest=np.where(timed, exact.highest[some], 0),
            recent=self._recent[some],
            buckets=buckets,
            counts=histogram[buckets],
            errnos={
                (exact.names[entry], number): count
                for entry, number, count in zip(
                    entries.tolist(), numbers.tolist(), self._errno_counts.tolist(), strict=True
                )
            },
        )


def _columns(table: Table, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: table.columns[name][: table.used].copy() for name in names}


class FileRows:
    """A copy of the sums by file and directory, made under the lock; its methods need none."""

    def __init__(self, files: Files) -> None:
        self._paths, self._names = files.paths.own, files.directory_names
        self._codes = files.table.codes[: files.table.used].copy()
        self._files = _columns(files.table, SUMS + MAXIMA)
        self._folded, self._folds = dict(files.table.folded), files.table.folds
        directories = files.directories
        self._directory_of = files.directory_entries()
        self._directory_codes = directories.codes[: directories.used].copy()
        self._base = _columns(directories, (*SUMS, *MAXIMA, "files"))
        self._base_folded, self._base_folds = dict(directories.folded), directories.folds

    def files(self, *, by: str, top: int) -> Ranked:
        """Return the best files."""
        entries, table = ranked(self._files, self._folded, self._folds, by=by, top=top, pinned=NO_FILE)
        return table(self._paths.at(self._codes[entries]))

    def directories(self, *, by: str, top: int) -> Ranked:
        """Return the best directories."""
        columns = roll_up(self._base, self._files, self._directory_of)
        entries, table = ranked(columns, self._base_folded, self._base_folds, by=by, top=top, pinned=NO_FILE)
        return table(self._names.at(self._directory_codes[entries]))


class ProcessRows:
    """A copy of the sums by process, made under the lock; its methods need none."""

    def __init__(self, processes: Processes) -> None:
        table = processes.table
        self._comms = processes.comms.own
        self._pids = table.codes[: table.used].copy()
        self._columns = _columns(table, (*SUMS, *MAXIMA, "life", "comm", "ppid"))
        self._folded, self._folds = dict(table.folded), table.folds
        self._ended = processes.ended()

    def processes(self, *, by: str, top: int) -> tuple[Ranked, dict[Process, Who]]:
        """Return the best processes, and what is known of them."""
        columns = self._columns
        entries, table = ranked(columns, self._folded, self._folds, by=by, top=top, pinned=0)
        ids = zip(self._pids[entries].tolist(), columns["life"][entries].tolist(), strict=True)
        keys = [Process("", pid, life) for pid, life in ids]
        comms = self._comms.at(columns["comm"][entries])
        known = zip(comms, columns["ppid"][entries].tolist(), self._ended[entries].tolist(), strict=True)
        return table(keys), dict(zip(keys, (Who(*who) for who in known), strict=True))


class LineRows:
    """A copy of the sums by line, made under the lock; its methods need none."""

    def __init__(self, lines: Lines) -> None:
        table = lines.table
        self._names = lines.names
        self._codes = table.codes[: table.used].copy()
        self._columns = _columns(table, SUMS + MAXIMA)
        self._folded, self._folds = dict(table.folded), table.folds

    def lines(self, *, by: str, top: int) -> Ranked:
        """Return the best lines."""
        entries, table = ranked(self._columns, self._folded, self._folds, by=by, top=top, pinned=NO_LINE)
        return table(self._names.at(self._codes[entries]))
