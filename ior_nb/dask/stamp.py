"""A recording of a host becomes one of a cluster: each row is told its worker, its task and its time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from dask.utils import key_split

from ior_nb.dask.above import Above
from ior_nb.dask.clocks import Difference
from ior_nb.dask.spans import Noted
from ior_nb.export.arrow import encodable
from ior_nb.real import Descriptor
from ior_nb.result.axis import moment_of
from ior_nb.runtime.schema import TEXT_COLUMNS
from ior_nb.sinks.parquet import Chain, link
from ior_nb.sinks.parquet.reader import opened
from ior_nb.sinks.parquet.target import Target

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Stamped", "WallClock", "stamp"]

_ANCESTORS: Final = 64


@dataclass(frozen=True, slots=True)
class Stamped:
    """What came of it."""

    path: Path
    rows: int = 0
    with_task: int = 0


@dataclass(frozen=True, slots=True)
class WallClock:
    """The scheduler's wall clock, by the clock of the rows: at two moments, and by a straight line elsewhere."""

    boot: tuple[int, int]
    wall: tuple[int, int]

    @classmethod
    def of(cls, footer: Mapping[str, str], begin: Difference, end: Difference) -> WallClock:
        """Return it from the footer of a recording, which has this host's wall clock."""
        if begin.error_ns < 0 or end.error_ns < 0:  # who was not told knows no more than the other
            begin = end = max(begin, end, key=lambda one: one.error_ns)
        (wall, first), (later, last) = moment_of(footer, "started"), moment_of(footer, "ended")
        wall, later = wall + begin.offset_ns, later + end.offset_ns
        if not (first < last and wall < later):  # a clock that was set back, unseen by a scheduler that did not answer
            last, later = first, wall
        return cls((first, last), (wall, later))

    def of_rows(self, time_ns: np.ndarray) -> np.ndarray:
        """Return the wall clock of the begin of each row, ns since the epoch."""
        (first, last), (wall, later) = self.boot, self.wall
        since = time_ns.astype(np.int64) - first
        drift = (later - wall) - (last - first)
        moved = since + wall
        if drift and last > first:
            moved += (drift * np.clip(since / (last - first), 0, 1)).astype(np.int64)
        return moved

    def pairs(self) -> dict[str, str]:
        """Return what the footer says of it."""
        return {
            "ior_nb.started_at_unix_nano": str(self.wall[0]),
            "ior_nb.ended_at_unix_nano": str(self.wall[1]),
        }


class _Workers:
    """Which worker each process is of: itself, or the nearest of those it comes from."""

    def __init__(self, noted: Noted) -> None:
        self.names = ["", *dict.fromkeys(worker.address for worker in noted.workers)]
        of_pid: dict[int, set[str]] = {}
        for worker in noted.workers:
            of_pid.setdefault(worker.pid, set()).add(worker.address)
        # Workers that are threads of one process are told apart by their tasks alone.
        self._known = {p: self.names.index(min(found)) if len(found) == 1 else 0 for p, found in of_pid.items()}
        self._parents: dict[int, int] = {}

    def of(self, pid: np.ndarray, ppid: np.ndarray) -> np.ndarray:
        """Return the number of the worker of each row."""
        both, which = np.unique(np.stack([pid, ppid]).astype(np.int64), axis=1, return_inverse=True)
        self._parents |= {p: q for p, q in both.T.tolist() if q}
        return np.array([self._of(p) for p in both[0].tolist()], np.int32)[which.reshape(-1)]

    def _of(self, pid: int) -> int:
        return next((self._known[one] for one in self._line(pid) if one in self._known), 0)

    def come_from(self, ancestor: int, pid: np.ndarray) -> np.ndarray:
        """Tell of each row whether its process comes from another, as far as rows so far have told, or is that."""
        found, which = np.unique(pid, return_inverse=True)
        return np.array([ancestor in self._line(p) for p in found.tolist()], bool)[which]

    def _line(self, pid: int) -> list[int]:
        found = [pid]
        while (pid := self._parents.get(pid, 0)) and len(found) < _ANCESTORS:
            found.append(pid)
        return found


class _Stamps:
    """The columns that are added.

    Args:
        noted: which thread did which task when.
        clock: the scheduler's.
        above: what the client calls its work.
        machine: where this is.
    """

    def __init__(self, noted: Noted, clock: WallClock, above: Above, machine: str) -> None:
        texts = noted.spans.texts
        self._above, self._machine = above, machine
        self._spans, self._clock, self._workers = noted.spans, clock, _Workers(noted)
        doing = [text.partition(" ")[::2] for text in texts.at(np.arange(len(texts)))]
        addresses = ["", *(noted.workers[int(number)].address for number, _ in doing[1:])]
        self._worker_of = np.array([self._workers.names.index(address) for address in addresses], np.int32)
        self._tasks = [encodable(task) for _, task in doing]
        of_task = [key_split(task) if task else "" for task in self._tasks]
        self._prefixes = list(dict.fromkeys(of_task))
        numbers = {prefix: number for number, prefix in enumerate(self._prefixes)}
        self._prefix_of = np.array([numbers[prefix] for prefix in of_task], np.int32)
        self.rows = self.with_task = 0

    def on(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows with them."""
        import pyarrow as pa

        tid, pid, ppid, at = (rows.column(n).to_numpy(zero_copy_only=False) for n in ("tid", "pid", "ppid", "time_ns"))
        task = self._spans.of(tid, at)
        task = np.zeros(len(at), np.int32) if task is None else task
        self.rows += len(at)
        self.with_task += int(np.count_nonzero(task))
        worker, wall = np.where(task != 0, self._worker_of[task], self._workers.of(pid, ppid)), self._clock.of_rows(at)
        if self._above:
            whose = worker != 0
            if self._machine == self._above.machine:
                whose &= ~self._workers.come_from(self._above.pid, pid)
            where = rows.schema.get_field_index("label")
            rows = rows.set_column(where, rows.schema.field(where), self._above.over(rows.column(where), wall, whose))
        added = {
            "worker": _text(worker, self._workers.names),
            "task": _text(task, self._tasks),
            "task_prefix": _text(self._prefix_of[task], self._prefixes),
            "wall_ns": pa.array(wall),
        }
        fields = [*rows.schema, *(pa.field(name, values.type, nullable=False) for name, values in added.items())]
        return pa.RecordBatch.from_arrays([*rows.columns, *added.values()], schema=pa.schema(fields))


def stamp(
    source: Path,
    target: Path,
    noted: Noted,
    begin: Difference,
    end: Difference,
    above: Above = Above(),  # noqa: B008 - frozen
    machine: str = "",
) -> Stamped:
    """Write the rows of a recording anew, with `worker`, `task`, `task_prefix` and `wall_ns`; the old one stays.

    Args:
        source: the recording.
        target: what it becomes; one that is there is replaced.
        noted: which thread did which task when.
        begin: how far the clock of the host was from the scheduler's at the begin.
        end: and at the end.
        above: what the client calls its work.
        machine: where the rows are from, as far as numbers of processes go.

    Raises:
        RecordingError: it cannot be read, or the other not be written.
        OSError: there is no room for it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(source) as file:
        about = pq.ParquetFile(file)
        texts = [name for name in TEXT_COLUMNS if name in about.schema_arrow.names]
        parquet = pq.ParquetFile(file, metadata=about.metadata, read_dictionary=texts)
        footer = {k.decode(): v.decode("utf-8", "backslashreplace") for k, v in (about.metadata.metadata or {}).items()}
        clock = WallClock.of(footer, begin, end)
        stamps = _Stamps(noted, clock, above, machine)
        bare = parquet.schema_arrow.remove_metadata()
        none = stamps.on(pa.RecordBatch.from_arrays([pa.array([], kind.type) for kind in bare], schema=bare))
        last = link(none, _encoded(footer | clock.pairs() | _told(begin, end, noted)))
        place = Target(target, generated=False, mode=source.stat().st_mode & 0o777)
        ours = Descriptor(place.create())
        try:
            chain = Chain(ours, last)
            for group in range(parquet.num_row_groups):
                for rows in parquet.read_row_group(group).combine_chunks().to_batches():
                    chain.append(link(stamps.on(rows.replace_schema_metadata(None))))
            chain.finish(last)
            path = place.publish()
        except BaseException:
            place.discard()
            raise
        finally:
            ours.close()
    return Stamped(path, stamps.rows, stamps.with_task)


def _text(codes: np.ndarray, texts: list[str]) -> Any:
    """Return a column of text, with the words of these rows alone."""
    import pyarrow as pa

    used, which = np.unique(codes, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(which.reshape(-1).astype(np.int32)), pa.array([texts[code] for code in used.tolist()], pa.string())
    )


def _told(begin: Difference, end: Difference, noted: Noted) -> dict[str, str]:
    errors = (begin.error_ns, end.error_ns)
    return {
        "ior_nb.clock_offset_nano": json.dumps([begin.offset_ns, end.offset_ns]),
        "ior_nb.clock_error_nano": str(max(errors) if min(errors) >= 0 else -1),
        "ior_nb.workers": json.dumps([[worker.address, worker.pid] for worker in noted.workers]),
    }


def _encoded(pairs: Mapping[str, str]) -> dict[bytes, bytes]:
    return {k.encode(errors="backslashreplace"): v.encode(errors="backslashreplace") for k, v in pairs.items()}
