"""A recording of a host becomes one of a cluster: each row is told its worker, its task and its time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from dask.utils import key_split

from ior_nb.dask.clocks import Difference
from ior_nb.dask.spans import Spans
from ior_nb.export.arrow import encodable
from ior_nb.real import Descriptor
from ior_nb.runtime.completeness import whole_number
from ior_nb.runtime.schema import TEXT_COLUMNS
from ior_nb.sinks.parquet import Chain, link
from ior_nb.sinks.parquet.reader import opened
from ior_nb.sinks.parquet.target import Target

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
        pairs = [
            tuple(whole_number(footer.get(f"ior_nb.{what}_at_{clock}_nano")) or 0 for clock in ("boot", "unix"))
            for what in ("started", "ended")
        ]
        (first, wall), (last, later) = pairs
        if last <= first:
            last, later = first, wall
        return cls((first, last), (wall + begin.offset_ns, later + end.offset_ns))

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

    def __init__(self, spans: Spans) -> None:
        self.names = ["", *dict.fromkeys(worker.address for worker in spans.workers)]
        self._known = {worker.pid: self.names.index(worker.address) for worker in spans.workers}
        self._parents: dict[int, int] = {}

    def of(self, pid: np.ndarray, ppid: np.ndarray) -> np.ndarray:
        """Return the number of the worker of each row."""
        both, which = np.unique(np.stack([pid, ppid]).astype(np.int64), axis=1, return_inverse=True)
        self._parents |= {p: q for p, q in both.T.tolist() if q}
        return np.array([self._of(p) for p in both[0].tolist()], np.int32)[which.reshape(-1)]

    def _of(self, pid: int) -> int:
        for _ in range(_ANCESTORS):
            if (number := self._known.get(pid)) is not None:
                return number
            pid = self._parents.get(pid, 0)
        return 0


def stamp(source: Path, target: Path, spans: Spans, begin: Difference, end: Difference) -> Stamped:
    """Write the rows of a recording anew, with `worker`, `task`, `task_prefix` and `wall_ns`; the old one stays.

    Args:
        source: the recording.
        target: what it becomes; one that is there is replaced.
        spans: which thread did which task when.
        begin, end: how far the clock of the host was from the scheduler's then.

    Raises:
        RecordingError: it cannot be read, or the other not be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tasks = [encodable(task) for task in spans.tasks]
    prefixes = list(dict.fromkeys(encodable(key_split(task)) if task else "" for task in spans.tasks))
    prefix_of = np.array([prefixes.index(encodable(key_split(task)) if task else "") for task in spans.tasks], np.int32)
    workers = _Workers(spans)
    rows_of = with_task = 0
    with opened(source) as file:
        parquet = pq.ParquetFile(file)
        parquet = pq.ParquetFile(
            file,
            metadata=parquet.metadata,
            read_dictionary=[name for name in TEXT_COLUMNS if name in parquet.schema_arrow.names],
        )
        footer = {k.decode(): v.decode("utf-8", "backslashreplace") for k, v in parquet.metadata.metadata.items()}
        clock = WallClock.of(footer, begin, end)
        pairs = footer | clock.pairs() | _told(begin, end, spans)

        def extended(rows: Any) -> Any:
            column = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in ("tid", "pid", "ppid", "time_ns")}
            task = spans.of(column["tid"], column["time_ns"])
            added = {
                "worker": _text(workers.of(column["pid"], column["ppid"]), workers.names),
                "task": _text(task, tasks),
                "task_prefix": _text(prefix_of[task], prefixes),
                "wall_ns": pa.array(clock.of_rows(column["time_ns"])),
            }
            fields = [*rows.schema, *(pa.field(name, values.type, nullable=False) for name, values in added.items())]
            return task, pa.RecordBatch.from_arrays([*rows.columns, *added.values()], schema=pa.schema(fields))

        none = parquet.schema_arrow.empty_table().to_batches() or [
            pa.RecordBatch.from_arrays([pa.array([], f.type) for f in parquet.schema_arrow], schema=parquet.schema_arrow)
        ]
        last = link(extended(none[0].replace_schema_metadata(None))[1], _encoded(pairs))
        place = Target(target, generated=False, mode=source.stat().st_mode & 0o777)
        ours = Descriptor(place.create())
        try:
            chain = Chain(ours, last)
            for group in range(parquet.num_row_groups):
                for rows in parquet.read_row_group(group).combine_chunks().to_batches():
                    task, whole = extended(rows.replace_schema_metadata(None))
                    chain.append(link(whole))
                    rows_of, with_task = rows_of + len(task), with_task + int(np.count_nonzero(task))
            chain.finish(last)
            path = place.publish()
        except BaseException:
            place.discard()
            raise
        finally:
            ours.close()
    return Stamped(path, rows_of, with_task)


def _text(codes: np.ndarray, texts: list[str]) -> Any:
    """Return a column of text, with the words of these rows alone."""
    import pyarrow as pa

    used, which = np.unique(codes, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(which.reshape(-1).astype(np.int32)), pa.array([texts[code] for code in used.tolist()], pa.string())
    )


def _told(begin: Difference, end: Difference, spans: Spans) -> dict[str, str]:
    import json

    return {
        "ior_nb.clock_offset_nano": json.dumps([begin.offset_ns, end.offset_ns]),
        "ior_nb.clock_error_nano": str(max(begin.error_ns, end.error_ns) if min(begin.error_ns, end.error_ns) >= 0 else -1),
        "ior_nb.workers": json.dumps([[worker.address, worker.pid] for worker in spans.workers]),
    }


def _encoded(pairs: Mapping[str, str]) -> dict[bytes, bytes]:
    return {k.encode(errors="backslashreplace"): v.encode(errors="backslashreplace") for k, v in pairs.items()}
