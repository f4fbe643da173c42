"""`Tally`: adds up batches for a summary.

It takes batches as they come and stays small: it is as long as there are distinct calls and files, however many events
there were.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from ior_nb.aggregate import (
    MEASURED,
    Reading,
    Spent,
    Sums,
    amounts,
    uses,
    waiting,
    ways,
)
from ior_nb.real import Lock
from ior_nb.result.cost import Packages
from ior_nb.result.crowd import Crowd
from ior_nb.result.labelled import Labelled
from ior_nb.result.lines import Annotated
from ior_nb.result.longest import Longest
from ior_nb.result.overview import LONGEST, NAMED, Overview, grouped, others
from ior_nb.result.spent import Spending
from ior_nb.result.strip import Slots
from ior_nb.result.summary import CallRow, ErrorRow, FileRow, Summary
from ior_nb.result.talks import Talks
from ior_nb.result.writeback import left_over, most
from ior_nb.runtime import Completeness, EventBatch, Recoder, StringTable
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.completeness import COUNTED
from ior_nb.runtime.host import HostCounts
from ior_nb.runtime.index import grown, rows_of
from ior_nb.runtime.mine import MINE, NONE, PIPE, SOCKET, SYSTEM, kind_of
from ior_nb.runtime.text import middle_cut

__all__ = ["Tally"]

TOP: Final = 10
"""Rows of a table at most."""
_KERNELS: Final = ("/proc/", "/sys/", "/dev/")
"""Files nobody wrote: no news that they were read."""
_OF_FILES: Final = ("calls", "read", "written", "latency", "fetched", "failed", "missing", "kind", "faulted")
_WAITED: Final = ("wait_device_ns", "wait_lock_ns")
"""Waits that are for a file."""
_FILES: Final = 1 << 18
_FAILURES: Final = 1 << 14
"""Failed rows put aside before they are counted."""
_COUNTED: Final = ("calls", "bytes", "latency_ns")


class Tally:
    """Adds up batches; any thread may ask for the summary meanwhile.

    Of more than `_FILES` files the better half is kept, and a file that comes back counts as another one.
    """

    columns: Final = (
        *("syscall", "file", "old_file", "bytes", "latency_ns", "state", "is_error", "probe", "ret", "file_kind"),
        *("time_ns", "pid", "ppid", "tid", "comm", "peer", "socket", "inode", "host", "label", *MEASURED),
    )
    """Those it looks at."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._call_names, self._file_names = Recoder(), Recoder()
        self._calls = Sums(("calls", "errors", "probes", "bytes", "latency_ns", "waiting", "max"))
        self._files = Sums((*_OF_FILES, *_WAITED))
        self._used = np.zeros(64, bool)  # files, and not only looked at
        self._spent = Spent()
        self._dropped = 0  # files
        # (syscall, 1 for a probe, ret) -> count, file of the last
        self._errors: dict[tuple[int, int, int], tuple[int, str]] = {}
        self._failed: list[tuple[np.ndarray, np.ndarray, np.ndarray, StringTable]] = []  # call * 2 + probe, ret, file
        self._failures = 0
        self._crowd, self._slots, self._talks, self._labelled = Crowd(), Slots(), Talks(), Labelled()
        self._slow, self._waits = Longest(), Longest()
        self._ways = np.zeros((2, 0), np.int64)  # by syscall: 1 where it reads, where it writes
        self._uses = np.zeros(0, np.int8)

    def add(self, batch: EventBatch) -> None:
        """Count these rows. Calls in flight count as calls, without a latency."""
        if len(batch):
            with self._lock:
                self._add(batch)

    def _add(self, batch: EventBatch) -> None:
        reading, paths = Reading.of(batch), batch.tables["file"]
        calls = self._call_names.codes(reading.calls, batch.tables["syscall"])
        seen = reading.files
        file = self._file_names.codes(seen, paths)
        names = self._call_names.own
        if self._ways.shape[1] < len(names):
            self._ways, self._uses = ways(names), uses(names)
        self._calls.grow(len(names))
        self._files.grow(len(self._file_names.own))
        self._used = grown(self._used, len(self._file_names.own))
        self._add_calls(reading, calls)
        self._add_files(reading, calls, file)
        self._spent.add(reading.measured, int(reading.latencies.call.sum()), reading.slept)
        self._crowd.add(reading)
        self._talks.add(batch, reading.moved)
        self._labelled.add(batch, reading)
        for probe, rows in enumerate((reading.failed, reading.probes)):
            if len(rows):
                keys = reading.of_calls(calls, rows) * 2 + probe
                self._failed.append((keys, batch["ret"][rows], seen[rows], paths))
                self._failures += len(rows)
        if self._failures >= _FAILURES:
            self._add_errors()
        self._wait(reading, calls)
        if len(self._file_names.own) > _FILES:
            self._drop_files()

    def _add_calls(self, reading: Reading, calls: np.ndarray) -> None:
        """Add to the calls of each name; `calls` are the own codes of those of the batch."""
        columns = self._calls.columns
        columns["calls"][calls] += reading.counts.call
        columns["latency_ns"][calls] += reading.latencies.call
        columns["bytes"][calls] += reading.bytes_by_call
        columns["max"][calls] = np.maximum(columns["max"][calls], reading.longest.call)
        for name, rows in (("errors", reading.failed), ("probes", reading.probes)):
            if len(rows):
                columns[name][calls] += reading.count(rows).call

    def _add_files(self, reading: Reading, calls: np.ndarray, file: np.ndarray) -> None:
        """Add to the file of each row."""
        batch, files, wrong = reading.batch, self._files, reading.failed
        files.add("calls", file, 1)
        files.add("latency", file, reading.latency)
        files.add_some("written", file, reading.moved.written)
        read_from = self._read_from(reading, file)
        files.add_some("read", read_from, reading.moved.read)
        files.add_some("fetched", read_from, reading.fetched)
        self._use(reading, self._uses[calls], file)
        if len(wrong):
            files.add("failed", file[wrong], 1)
            files.add("missing", file[wrong[batch["ret"][wrong] == -errno.ENOENT]], 1)
        for name in _WAITED:
            files.add_some(name, file, amounts(batch[name]))
        if len(faults := reading.faults):
            files.add("faulted", file[faults], np.maximum(batch["fetched_bytes"][faults], 0))

    def _use(self, reading: Reading, uses_of: np.ndarray, file: np.ndarray) -> None:
        """Note which files are used, and not only looked at."""
        batch = reading.batch
        rows = rows_of(~self._used.take(file))
        how, folder = reading.of_calls(uses_of, rows), batch.tables["file_kind"].code("directory")
        used = how == 2
        used |= (how == 1) & (batch["file_kind"][rows] != folder) if folder else how == 1
        used &= ~batch["probe"][rows]
        self._used[file[rows[used]]] = True

    def _wait(self, reading: Reading, calls: np.ndarray) -> None:
        """Note which rows waited, how long, and which took longest of those that did and of the others."""
        batch, latency = reading.batch, reading.latency
        waits = reading.waits
        rows = rows_of(waits)
        slept = waiting(batch, waits)
        self._slots.add(reading, rows)
        if not is_one_value(slept) or slept[0]:
            self._calls.columns["waiting"][calls] += reading.by_call(slept)
        if len(rows):
            self._waits.add(batch, latency[rows], rows)
            latency = np.where(waits, -1, latency)
        self._slow.add(batch, latency)

    def _read_from(self, reading: Reading, file: np.ndarray) -> np.ndarray:
        """Return the file whose bytes each row read."""
        batch, sources = reading.batch, reading.sources
        if sources is None:
            return file
        credited = rows_of(sources != batch["file"])
        file = file.copy()
        file[credited] = self._file_names.codes(sources[credited], batch.tables["file"])
        self._files.grow(len(self._file_names.own))
        return file

    def _add_errors(self) -> None:
        """Count the failures put aside: few at a time would cost a sort each."""
        waiting, self._failed, self._failures = self._failed, [], 0
        if not waiting:
            return
        calls, rets, files = (np.concatenate(parts) for parts in list(zip(*waiting, strict=True))[:3])
        begins = np.cumsum([0, *(len(part[0]) for part in waiting)])
        keys, at, counts = np.unique(calls.astype(np.int64) << 16 | -rets, return_index=True, return_counts=True)
        for key, position, count in zip(keys.tolist(), at.tolist(), counts.tolist(), strict=True):
            way = key >> 17, key >> 16 & 1, -(key & 0xFFFF)
            known = self._errors.get(way, (0, ""))[0]
            table = waiting[int(np.searchsorted(begins, position, side="right")) - 1][3]
            self._errors[way] = known + count, table[int(files[position])]

    def _drop_files(self) -> None:
        """Forget the lesser half of the files."""
        best = self._ranked_files()
        kept = np.append(0, best[: _FILES // 2])
        self._dropped += len(best) - len(kept) + 1
        codes, used = self._file_names.keep(kept), np.zeros_like(self._used)
        self._files.keep(kept, codes)
        used[codes] = self._used[kept]
        self._used = used

    def _ranked_files(self) -> np.ndarray:
        """Return the files that were used, the best first."""
        columns = self._files.columns
        used = rows_of((columns["calls"] > 0) | (columns["read"] > 0))
        used = used[used != 0]
        moved = columns["read"][used] + columns["written"][used]
        ranked: np.ndarray = used[np.lexsort((columns["latency"][used], columns["calls"][used], moved))[::-1]]
        return ranked

    def summary(
        self,
        *,
        title: str,
        duration_s: float,
        completeness: Completeness,
        notes: tuple[str, ...] = (),
        counters: Mapping[str, Mapping[str, int]] | None = None,
        window: tuple[int, int] = (0, 0),
        home: str = "",
        sources: tuple[Annotated, ...] = (),
        host: HostCounts | None = None,
        imports: Packages = (),
        pages: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> Summary:
        """Return what was added up so far.

        Args:
            title: heading.
            duration_s: length of the trace.
            completeness: what the rows lack.
            notes: what else the reader should know.
            counters: the kernel's exact counts by syscall, where rows are missing: they take the place of the sums of
                rows; files, errors and the slowest calls then are those of the rows alone.
            window: its begin and end on the clock of the rows.
            home: the folder that names are shown relative to; empty for none.
            sources: cells with what their lines made.
            host: what the host counted, of a trace that has nothing else.
            imports: packages with what their import made.
            pages: what is counted by path of faults and of writes.
        """
        with self._lock:
            self._add_errors()
            totals = {name: int(values.sum()) for name, values in self._calls.columns.items()}
            moved = (self._calls.columns["bytes"][: self._ways.shape[1]] * self._ways).sum(axis=1)
            ranked = self._ranked_files()
            files, calls = self._file_rows(ranked[:TOP]), self._call_rows()
            failures, answers = self._error_rows(0), self._error_rows(1)
            slowest, waits, labels = self._slow.rows(), self._waits.rows(), self._labelled.rows(TOP)
            known = {
                self._call_names.own[code]: count
                for code, count in enumerate(self._calls.columns["probes"].tolist())
                if count
            }
            overview = self._overview(ranked, window, home)
            spending = self._spending(ranked)
            processes = len(self._crowd)
            distinct_files = len(ranked) + self._dropped
        if counters:
            exact, sums, moved = _exact(counters, {row.syscall: row.max_ns for row in calls}, known)
            calls, totals = exact, totals | sums
            notes += (
                "totals and system calls are exact counts; files, errors and slowest calls are of the rows alone",
            )
        return Summary(
            title=title,
            duration_s=duration_s,
            calls=totals["calls"],
            errors=totals["errors"],
            bytes_read=int(moved[0]),
            bytes_written=int(moved[1]),
            latency_ns=totals["latency_ns"],
            processes=processes,
            distinct_files=distinct_files,
            files=tuple(files),
            syscalls=tuple(calls),
            failures=tuple(failures),
            slowest=tuple(slowest),
            probes=totals["probes"],
            waiting_ns=totals["waiting"],
            answers=tuple(answers),
            waits=tuple(waits),
            labels=labels,
            overview=overview,
            spending=spending,
            completeness=completeness,
            notes=notes + left_over(pages),
            dirty=most(pages),
            sources=sources,
            host=host,
            imports=imports,
        )

    def _overview(self, ranked: np.ndarray, window: tuple[int, int], home: str) -> Overview:
        names = self._file_names.own.at(ranked)
        kinds = self._kinds(ranked)
        found = {name: column[ranked] for name, column in (*self._files.columns.items(), ("used", self._used))}
        sums = np.array([found[name] for name in ("calls", "read", "written")])
        mine = kinds == MINE
        # Where nothing is the user's own, he meant what is the system's.
        meant = mine if (mine & (found["used"] | (found["missing"] > 0))).any() else mine | (kinds == SYSTEM)
        gone = meant & (found["missing"] > 0) & (found["read"] + found["written"] == 0)
        used = mine & ~gone & found["used"]

        def named(which: np.ndarray) -> list[str]:
            return [names[at] for at in rows_of(which)[:NAMED].tolist()]

        of_system = (kinds == SYSTEM) & (found["read"] > 0)
        for at in rows_of(of_system).tolist():
            of_system[at] = not names[at].startswith(_KERNELS)
        read, written = mine & (found["read"] > 0), mine & (found["written"] > 0)
        shown, looked = rows_of(used), mine & ~gone & ~used
        sorts = (MINE, NONE) if meant is mine else (MINE, NONE, SYSTEM)
        failures = [
            (self._call_names.own[call], errno.errorcode.get(-ret, str(ret)))
            for (call, probe, ret), (_, file) in sorted(self._errors.items(), key=lambda item: -item[1][0])
            if not probe and kind_of(file) in sorts and not (ret == -errno.ENOENT and gone.any())
        ]
        synced = self._call_names.own.code("msync")
        return Overview(
            strip=self._slots.within(*window),
            lines=grouped([names[at] for at in shown.tolist()], sums[:, shown]),
            others=others(kinds, looked, sums),
            children=self._crowd.children(),
            talks=self._talks.talks(),
            used=named(used),
            files_used=len(shown),
            read=named(read),
            files_read=int(read.sum()),
            bytes_read=int(found["read"][mine].sum()),
            written=named(written),
            files_written=int(written.sum()),
            bytes_written=int(found["written"][mine].sum()),
            looked=named(looked),
            files_looked=int(looked.sum()),
            system=named(of_system),
            bytes_system=int(found["read"][of_system].sum()),
            missing=named(gone),
            files_missing=int(gone.sum()),
            failed=int(found["failed"][meant & ~gone].sum() + self._files.columns["failed"][0]),
            failures=failures,
            synced=int(self._calls.columns["calls"][synced]) if synced else 0,
            home=home,
        )

    def _spending(self, ranked: np.ndarray) -> Spending:
        """Return what was fetched, beside what was read from files that are on a device, and which files it was."""
        files = ranked[(self._files.columns["read"][ranked] > 0) & ~np.isin(self._kinds(ranked), (PIPE, SOCKET))]
        names = self._file_names.own.at(files)
        files = files[np.array([not name.startswith(_KERNELS) for name in names], bool)]
        read, fetched = (self._files.columns[name][files] for name in ("read", "fetched"))
        spent, faults = self._spent, self._call_names.own.code("page_fault")
        wheres = {name: self._most_of(name) for name in (*_WAITED, "faulted")}
        return Spending(
            fetched=spent.fetched,
            read=int(read.sum()),
            cached=int(np.maximum(read - fetched, 0).sum()),
            latency_ns=spent.latency,
            slept_ns=spent.slept,
            parts=dict(spent.parts),
            waiting_ns=int(self._calls.columns["waiting"].sum()),
            waited_in=self._call_names.own[int(self._calls.columns["waiting"].argmax())],
            faults=int(self._calls.columns["calls"][faults]) if faults else 0,
            faulted=int(self._files.columns["faulted"].sum()),
            wheres={name: file for name, file in wheres.items() if file},
        )

    def _most_of(self, name: str) -> str:
        """Return the file that has most of a column, without its folder; empty where none has half of it."""
        column = self._files.columns[name]
        best = int(column.argmax())
        path = self._file_names.own[best] if 0 < column.sum() <= 2 * column[best] else ""
        return middle_cut(path.rpartition("/")[2] or path, LONGEST)

    def _kinds(self, files: np.ndarray) -> np.ndarray:
        """Return the kinds of files as `runtime.mine` has them; a name is looked at once."""
        known = self._files.columns["kind"]  # one more than the kind, for 0 is one not asked for yet
        fresh = files[known[files] == 0]
        known[fresh] = np.fromiter(map(kind_of, self._file_names.own.at(fresh)), np.int64, len(fresh)) + 1
        return np.asarray(known[files] - 1)

    def counted(self) -> dict[str, dict[str, int]]:
        """Return calls, errors, bytes and time of all rows by system call; those in flight are in."""
        with self._lock:
            columns = self._calls.columns
            return {
                self._call_names.own[code]: {key: int(columns[key][code]) for key in COUNTED}
                for code in rows_of(columns["calls"]).tolist()
            }

    def _file_rows(self, codes: np.ndarray) -> list[FileRow]:
        columns, paths = self._files.columns, self._file_names.own
        names = ("calls", "read", "written", "latency")
        return [FileRow(paths[code], *(int(columns[n][code]) for n in names)) for code in codes.tolist()]

    def _call_rows(self) -> list[CallRow]:
        columns, calls = self._calls.columns, self._call_names.own
        used = rows_of(columns["calls"])
        best = used[np.lexsort((columns["calls"][used], columns["latency_ns"][used]))[::-1][:TOP]]
        names = ("calls", "errors", "bytes", "latency_ns", "max")
        return [CallRow(calls[code], *(int(columns[n][code]) for n in names)) for code in best.tolist()]

    def _error_rows(self, probe: int) -> list[ErrorRow]:
        names = self._call_names.own
        ranked = sorted((e for e in self._errors.items() if e[0][1] == probe), key=lambda item: -item[1][0])[:TOP]
        return [
            ErrorRow(names[call], errno.errorcode.get(-ret, str(ret)), count, file)
            for (call, _, ret), (count, file) in ranked
        ]


def _exact(
    counters: Mapping[str, Mapping[str, int]], slowest: Mapping[str, int], probes: Mapping[str, int]
) -> tuple[list[CallRow], dict[str, int], np.ndarray]:
    """Return rows, totals, and bytes read and written of the kernel's counters.

    Args:
        counters: by name of the call.
        slowest: latencies by name.
        probes: those of the rows by name. Searches are only told from rows, so there may be more of them.
    """
    asked = {name: max(c.get("probes", 0), probes.get(name, 0)) for name, c in counters.items()}
    failed = {n: max(c["errors"] + c.get("probes", 0) - asked[n], 0) for n, c in counters.items()}
    rows = [
        CallRow(name, c["calls"], failed[name], c["bytes"], c["latency_ns"], slowest.get(name, 0))
        for name, c in counters.items()
    ]
    totals = {name: sum(c[name] for c in counters.values()) for name in _COUNTED}
    totals |= {"errors": sum(failed.values()), "probes": sum(asked.values())}
    moved = (ways(counters) * [c["bytes"] for c in counters.values()]).sum(axis=1)
    return sorted(rows, key=lambda row: (-row.latency_ns, row.syscall))[:TOP], totals, moved
