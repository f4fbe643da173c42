"""Chrome trace events, as Perfetto, chrome://tracing and speedscope read them: a lane per thread, a slice per call."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Final

import numpy as np

from ior_nb.aggregate import MEASURED, Groups, processes
from ior_nb.export.about import About
from ior_nb.export.arrow import encodable
from ior_nb.export.joined import decimal, joined, optional, spelled
from ior_nb.runtime import EventBatch, progress
from ior_nb.runtime.text import at_host
from ior_nb.version import VERSION

__all__ = ["perfetto"]

_ROWS: Final = 65_536
_OTHERS: Final = ("worker", "task")
"""Columns of a cluster, arguments of slices."""
_FREE: Final = 1 << 22
"""From here on no kernel gives ids: PID_MAX_LIMIT."""


def perfetto(batch: EventBatch, about: About) -> Iterator[bytes]:
    """Yield the JSON object: names of processes and threads, then one complete event (`X`) per call, sorted by start.

    Times are microseconds with three decimals since the first call, whose boot time stands in `otherData`: so they
    stay exact in readers that keep them as doubles. File, result and the like are the arguments of a slice;
    its Python stack is one of `stackFrames`, which are a tree.

    Processes of several hosts each have a number of their own: their id where no other host has it too, else one that
    no process has. Their names say host and id, and so do the arguments of slices.
    """
    other = {
        "exporter": f"ior-nb {VERSION}",
        "title": about.title,
        "completeness": about.completeness.line() if about.completeness is not None else "",
        "start_boot_ns": str(int(batch["time_ns"].min())) if len(batch) else "",
    }
    yield f'{{"displayTimeUnit":"ns","otherData":{json.dumps(other)},"traceEvents":['.encode()
    numbered, labels = _numbered(batch)
    yield ",\n".join(_names(numbered, labels)).encode()
    frames = _Frames()
    if len(batch):
        order = np.argsort(batch["time_ns"], kind="stable")
        for at in progress.over(range(0, len(batch), _ROWS), lambda at: min(_ROWS, len(batch) - at)):
            rows = order[at : at + _ROWS]
            true = batch["pid"][rows] if labels else None
            yield _slices(numbered.take(rows), int(batch["time_ns"].min()), frames, true)
    yield f"]{frames.told()}}}\n".encode()


class _Frames:
    """Python frames by number, the outermost first: each knows the one it was called by."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], int] = {}

    def innermost(self, stack: str) -> int:
        """Return the number of the innermost frame of a stack as text; 0 where there is none."""
        at = 0
        for name in stack.split(";") if stack else ():
            at = self._numbers.setdefault((at, name), len(self._numbers) + 1)
        return at

    def told(self) -> str:
        """Return the member of the file that has them; nothing without any."""
        frames = {
            str(number): {"category": "python", "name": name} | ({"parent": str(parent)} if parent else {})
            for (parent, name), number in self._numbers.items()
        }
        return f',"stackFrames":{json.dumps(frames)}' if frames else ""


def _numbered(batch: EventBatch) -> tuple[EventBatch, dict[int, str]]:
    """Return the rows with one number for each process of several hosts, and by it the host and id that it stands for.

    A main thread goes on having the number of its process.
    """
    groups = Groups("host", "pid")
    at = groups.of(batch)
    keys = groups.keys()
    hosts, pids = keys["host"].tolist(), keys["pid"].tolist()
    if len(set(hosts)) < 2:
        return batch, {}
    used, count = np.unique(keys["pid"], return_counts=True)
    shared = np.flatnonzero(np.isin(keys["pid"], used[count > 1])).tolist()
    taken = np.union1d(used, batch["tid"])
    free = np.setdiff1d(np.arange(_FREE, _FREE + len(taken) + len(shared)), taken)
    numbers = keys["pid"].copy()
    numbers[sorted(shared, key=lambda group: (hosts[group], pids[group]))] = free[: len(shared)]
    number = numbers.astype(np.uint32).take(at)
    main = batch["tid"] == batch["pid"]
    numbered = batch.with_columns(pid=number, tid=np.where(main, number, batch["tid"]))
    return numbered, {n: at_host(*whose) for n, *whose in zip(numbers.tolist(), hosts, pids, strict=True)}


def _names(batch: EventBatch, labels: dict[int, str]) -> list[str]:
    """Return the metadata events: what processes and threads are called, the latest name of each.

    Args:
        batch: the rows.
        labels: what stands behind the names of processes, by number.
    """
    found = processes(batch)
    lines = [
        _name("process_name", pid, pid, f"{comm} ({labels[pid]})" if labels else comm)
        for pid, comm in zip(found["pid"].tolist(), found["comm"], strict=True)
    ]
    threads, rows = Groups("pid", "tid"), np.flatnonzero(batch["comm"])
    at = threads.of(batch)
    last = np.zeros(len(threads), np.int64)
    last[at[rows]] = batch["comm"][rows]
    found = {**threads.keys(), "comm": batch.tables["comm"].texts(last)}
    order = threads.order()
    values = (found[name][order].tolist() for name in ("pid", "tid", "comm"))
    lines += [_name("thread_name", pid, tid, name) for pid, tid, name in zip(*values, strict=True)]
    return lines


def _name(what: str, pid: int, tid: int, name: str) -> str:
    return json.dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": encodable(name)}})


def _slices(batch: EventBatch, start: int, frames: _Frames, true: np.ndarray | None) -> bytes:
    """Return the events of these rows, each with a comma in front: the names before them are never none.

    Args:
        batch: the rows, sorted.
        start: when the first of all began.
        frames: the frames of Python.
        true: the process ids on their hosts, where there are several.
    """
    done, ret = batch.done, batch["ret"]
    codes, which = np.unique(np.where(batch["is_error"], -ret, 0), return_inverse=True)
    names = [f',"error":"{errno.errorcode.get(c, c)}"' if c else "" for c in codes.tolist()]
    parts = [
        ',\n{"ph":"X","name":',
        spelled(batch, "syscall", json.dumps),
        ',"cat":',
        spelled(batch, "family", json.dumps),
        ',"ts":',
        *_microseconds(batch["time_ns"].astype(np.int64) - start),
        ',"dur":',
        *_microseconds(batch["latency_ns"].astype(np.int64) * done),
        ',"pid":',
        decimal(batch["pid"]),
        ',"tid":',
        decimal(batch["tid"]),
        spelled(batch, "stack", lambda text: f',"sf":"{frames.innermost(text)}"' if text else ""),
        ',"args":{"seq":',
        decimal(batch["seq"]),
        *([] if true is None else [',"host":', spelled(batch, "host", json.dumps), ',"pid":', decimal(true)]),
        optional(done, ',"ret":', decimal(ret)),
        _taken(names, which),
        optional(batch["probe"], ',"probe":', decimal(batch["probe"])),
        spelled(batch, "file", lambda text: f',"file":{json.dumps(text)}' if text else ""),
        spelled(batch, "old_file", lambda text: f',"old_file":{json.dumps(text)}' if text else ""),
        spelled(batch, "py_file", lambda text: f',"py_file":{json.dumps(text)}' if text else ""),
        optional(batch["py_line"] > 0, ',"py_line":', decimal(batch["py_line"])),
        spelled(batch, "py_func", lambda text: f',"py_func":{json.dumps(text)}' if text else ""),
        spelled(batch, "opened_at", lambda text: f',"opened_at":{json.dumps(text)}' if text else ""),
        optional(batch["fd"] >= 0, ',"fd":', decimal(batch["fd"])),
        optional(batch["bytes"] > 0, ',"bytes":', decimal(batch["bytes"])),
        optional(batch["requested_bytes"] >= 0, ',"requested_bytes":', decimal(batch["requested_bytes"])),
        optional(batch["offset"] >= 0, ',"offset":', decimal(batch["offset"])),
        *(optional(batch[name] > 0, f',"{name}":', decimal(batch[name])) for name in MEASURED),
        optional(batch["cell"] >= 0, ',"cell":', decimal(batch["cell"])),
        spelled(batch, "label", lambda text: f',"label":{json.dumps(text)}' if text else ""),
        *(_other(batch, name) for name in _OTHERS if name in batch.extras),
        spelled(batch, "state", lambda text: "" if text in ("", "done") else f',"state":{json.dumps(text)}'),
        "}}",
    ]
    return joined(parts)


def _other(batch: EventBatch, name: str) -> object:
    """Return the argument of a column that is not ours."""
    texts, which = batch.words(name)
    return _taken([f',"{name}":{json.dumps(encodable(text))}' if text else "" for text in texts], which)


def _microseconds(ns: np.ndarray) -> list[object]:
    """Return nanoseconds as microseconds with three decimals, in parts to join."""
    thousandths = [f".{n:03}" for n in range(1000)]
    return [decimal(ns // 1000), _taken(thousandths, ns % 1000)]


def _taken(texts: list[str], which: np.ndarray) -> object:
    import pyarrow as pa

    return pa.array(texts, pa.large_string()).take(pa.array(which))
