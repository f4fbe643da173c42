"""A made-up data-science workload: what the demo engine plays.

Programs are short scripts of calls (`SCRIPTS`): import a module, read a CSV file, answer a request. A slice of time is
filled by drawing scripts, a thread and a file for each, and a latency and a pause for each call: numpy over whole
slices. For one seed and rate the rows, and their times since the start, are always the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import probe_rows
from ior_nb.runtime import EventBatch, new_tables
from ior_nb.runtime.schema import is_error
from ior_nb.syscalls import BY_NAME

__all__ = ["MAIN", "Slice", "Workload"]

_SLICES_PER_SECOND: Final = 10
_MOST_ROWS: Final = 65_536  # of a slice
_BUSY: Final = 0.7  # share of a slice a thread spends in calls at most: at higher rates latencies are shorter
_ENOENT, _EAGAIN, _ECONNREFUSED = 2, 11, 111
_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class _Thread:
    comm: str
    pid: int
    tid: int
    ppid: int


_THREADS: Final = (
    _Thread("python", 4242, 4242, 4200),
    _Thread("IO pool 1", 4242, 4251, 4200),
    _Thread("IO pool 2", 4242, 4252, 4200),
    _Thread("fetch", 4242, 4260, 4200),
    _Thread("python worker", 4301, 4301, 4242),
    _Thread("python worker", 4302, 4302, 4242),
    _Thread("python worker", 4303, 4303, 4242),
    _Thread("gzip", 4330, 4330, 4242),
)
MAIN: Final = 4242


@dataclass(frozen=True, slots=True)
class _Step:
    """One call of a script."""

    call: str
    ret: int = 0
    """What it returns; `_FD` stands for the descriptor of this run of the script, `_SOME` for 1 to `size` bytes."""
    size: int = -1
    """Bytes asked for; -1 where nothing is."""
    median_ns: float = 1_500.0
    sigma: float = 0.6
    """Spread of the latency: it is log-normal."""
    at: int = -1
    """Position in the file; -1 where there is none."""
    on_fd: bool = True
    flags: int = -1
    """Of an open."""
    sibling: bool = False
    """The file is the other one of its pair: what is looked for first, or the temporary one."""
    renames: bool = False
    """The sibling becomes the file."""


_FD: Final = 1 << 62
_SOME: Final = _FD + 1


@dataclass(frozen=True, slots=True)
class _Script:
    """What a program does again and again."""

    weight: float
    files: str
    """A row of `_pools`."""
    threads: tuple[int, ...]
    steps: tuple[_Step, ...]


def _reads(count: int, size: int, median_ns: float, call: str = "read") -> tuple[_Step, ...]:
    return tuple(_Step(call, size, size, median_ns, 0.5, at=i * size) for i in range(count))


_LOOK: Final = _Step("newfstatat", median_ns=2_000, on_fd=False)
_MISS: Final = _Step("newfstatat", -_ENOENT, median_ns=1_600, on_fd=False, sibling=True)
_OPEN: Final = _Step("openat", _FD, median_ns=4_500, flags=0o2000000)
_STAT: Final = _Step("newfstat", median_ns=500)
_CLOSE: Final = _Step("close", median_ns=700)
_END: Final = _Step("read", 0, 256 * _KIB, 400)

# To add a program, add a row. Rows need not look like any machine's, only plausible.
SCRIPTS: Final = (
    _Script(22, "modules", (0, 4, 5, 6), (_MISS, _MISS, _LOOK, _OPEN, _STAT, *_reads(2, 16 * _KIB, 6_000), _CLOSE)),
    _Script(5, "csv", (0, 1, 2), (_OPEN, _STAT, *_reads(12, 256 * _KIB, 70_000), _END, _CLOSE)),
    _Script(
        7,
        "parquet",
        (1, 2, 4, 5, 6),
        (
            _OPEN,
            _STAT,
            _Step("pread64", 8, 8, 3_000, at=8 * _MIB - 8),
            _Step("pread64", 64 * _KIB, 64 * _KIB, 20_000, at=8 * _MIB - 64 * _KIB),
            *_reads(6, _MIB, 260_000, "pread64"),
            _CLOSE,
        ),
    ),
    _Script(30, "log", (0, 3, 4, 5, 6), (_Step("write", 96, 96, 2_500, 0.9),)),
    _Script(8, "config", (0, 4, 5, 6), (_MISS, _MISS, _Step("openat", -_ENOENT, median_ns=2_200, flags=0o2000000,
                                                            on_fd=False, sibling=True))),
    _Script(
        6,
        "http",
        (3,),
        (
            _Step("sendto", 412, 412, 14_000),
            _Step("recvfrom", -_EAGAIN, 16 * _KIB, 900),
            _Step("recvfrom", _SOME, 16 * _KIB, 5_000, 0.8),
            _Step("recvfrom", _SOME, 64 * _KIB, 9_000, 0.8),
        ),
    ),
    _Script(0.5, "http", (3,), (_Step("connect", -_ECONNREFUSED, median_ns=60_000),)),
    _Script(
        2,
        "results",
        (0, 4, 5, 6),
        (
            _Step("openat", _FD, median_ns=9_000, flags=0o2001101, sibling=True),
            *(_Step("write", 64 * _KIB, 64 * _KIB, 24_000, at=i * 64 * _KIB, sibling=True) for i in range(4)),
            _Step("fsync", median_ns=3_500_000, sigma=0.8, sibling=True),
            _Step("close", median_ns=900, sibling=True),
            _Step("rename", median_ns=12_000, on_fd=False, renames=True),
        ),
    ),
    _Script(3, "folders", (0,), (_OPEN, _STAT, _Step("getdents64", 1_104, 32 * _KIB, 9_000),
                                 _Step("getdents64", 0, 32 * _KIB, 500), _CLOSE)),
    _Script(9, "pipe", (4, 5, 6, 7), (_Step("write", 4 * _KIB, 4 * _KIB, 3_000),
                                      _Step("read", _SOME, 64 * _KIB, 8_000, 1.0))),
    _Script(5, "", (0, 1, 2, 4), (_Step("mmap", 0x7F00_0000_0000, median_ns=2_000, on_fd=False),
                                  _Step("munmap", median_ns=3_000, on_fd=False))),
    _Script(4, "epoll", (3,), (_Step("epoll_wait", 1, median_ns=90_000, sigma=1.0),)),
    _Script(4, "", (1, 2), (_Step("futex", median_ns=40_000, sigma=1.2, on_fd=False),)),
)  # fmt: skip


def _pools() -> dict[str, list[tuple[str, str, str]]]:
    """Return file, sibling and kind by name of the pool, the most popular first."""
    packages = (
        "numpy/core numpy/linalg pandas/core pandas/io pyarrow/lib sklearn/tree matplotlib/axes scipy/stats".split()
    )
    modules = "__init__ api base common frame generic missing series utils".split()
    site = "/opt/env/lib/python3.12/site-packages"
    socket = "socket:[{}]"
    return {
        "": [("", "", "")],
        "modules": [(f"{site}/{p}/{m}.py", f"{site}/{p}/{m}.abi3.so", "file") for p in packages for m in modules],
        "csv": [(f"/data/trips/2024-{month:02}.csv", "", "file") for month in range(1, 13)],
        "parquet": [(f"/data/orders/part-{i:03}.parquet", "", "file") for i in range(48)],
        "log": [(f"/home/ada/project/logs/{name}.log", "", "file") for name in ("run", "worker", "http")],
        "config": [("", f"{folder}/matplotlibrc", "") for folder in ("/home/ada/project", "/etc", "/home/ada")],
        "http": [(socket.format(90_001 + i), "", "socket") for i in range(4)],
        "results": [(f"/home/ada/project/out/{n}.json", f"/home/ada/project/out/{n}.json.tmp", "file")
                    for n in ("metrics", "model", "report")],
        "folders": [("/data/orders", "", "directory"), ("/data/trips", "", "directory")],
        "pipe": [(f"pipe:[{80_100 + i}]", "", "pipe") for i in range(3)],
        "epoll": [("anon_inode:[eventpoll]", "", "anon")],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """The calls of a slice of time, in the order in which they end. Times count from the start of the workload."""

    number: np.ndarray
    """Numbers of the calls: int64, shape (n,)."""
    begins: np.ndarray
    """ns: int64, shape (n,)."""
    ends: np.ndarray
    thread: np.ndarray
    """Index into the threads."""
    columns: dict[str, np.ndarray]
    """The other columns, but gaps: they depend on which calls are left."""

    def __len__(self) -> int:
        return len(self.number)

    def take(self, which: np.ndarray) -> Slice:
        """Return some of the calls: bool, shape (n,)."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return Slice(self.number[which], self.begins[which], self.ends[which], self.thread[which], columns)


class Workload:
    """Draws calls, slice by slice.

    Args:
        seed: of the random numbers.
        rate: calls a second.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self._random = np.random.default_rng(seed)
        self._rows = max(1, min(round(rate / _SLICES_PER_SECOND), _MOST_ROWS))
        self._slice_ns = self._rows / rate * 1e9
        self.tables = new_tables()
        self._done = self.tables["state"].intern("done")
        self._steps = self._table_of_steps()
        self._lengths = np.array([len(s.steps) for s in SCRIPTS])
        self._first_step = np.cumsum(self._lengths) - self._lengths
        weights = np.array([s.weight for s in SCRIPTS])
        self._weights = weights / weights.sum()
        self._chances = np.cumsum(
            [[(t in s.threads) / len(s.threads) for t in range(len(_THREADS))] for s in SCRIPTS], 1
        )
        self._table_of_files()
        self._threads = {
            name: np.array([getattr(t, name) for t in _THREADS], np.uint32) for name in ("pid", "tid", "ppid")
        }
        self._comms = self.tables["comm"].intern_many([t.comm for t in _THREADS])
        self._last_end = np.full(len(_THREADS), -1)

    def _table_of_steps(self) -> np.ndarray:
        rows = []
        for step in (step for script in SCRIPTS for step in script.steps):
            call = BY_NAME[step.call]
            rows.append((
                call.number,
                self.tables["syscall"].intern(call.name),
                self.tables["family"].intern(call.family),
                call.bytes_class != "none",
                call.family == "FS" and (not step.on_fd or step.ret == _FD),
                call.family == "Memory",
                call.family == "Polling",
                np.log(step.median_ns),
                step.sigma, step.ret, step.size, step.at, step.on_fd, step.flags, step.sibling, step.renames,
            ))  # fmt: skip
        kinds = (
            "number:i8 syscall:i4 family:i4 moves:? takes_path:? maps:? waits:? log_median:f8 sigma:f8 ret:i8 size:i8"
        )
        kinds += " at:i8 on_fd:? flags:i8 sibling:? renames:?"
        return np.array(rows, [(name, kind) for name, _, kind in (word.partition(":") for word in kinds.split())])

    def _table_of_files(self) -> None:
        """Lay the pools one behind the other; `_first_file` and `_many_files` say where each script's is."""
        pools = _pools()
        files = [file for pool in pools.values() for file in pool]
        paths, siblings, kinds = ([file[i] for file in files] for i in range(3))
        sizes = [len(pool) for pool in pools.values()]
        begins = dict(zip(pools, (np.cumsum(sizes) - sizes).tolist(), strict=True))
        self._paths = self.tables["file"].intern_many(paths)
        self._siblings = self.tables["file"].intern_many(siblings)
        self._kinds = self.tables["file_kind"].intern_many(kinds)
        sockets = ["inet:stream:tcp" if kind == "socket" else "" for kind in kinds]
        self._sockets = self.tables["socket"].intern_many(sockets)
        self._peers = self.tables["peer"].intern_many(["10.0.0.7:443" if kind == "socket" else "" for kind in kinds])
        ports = (f"10.0.0.2:{40_000 + at}" if kind == "socket" else "" for at, kind in enumerate(kinds))
        self._locals = self.tables["local"].intern_many(ports)
        self._inodes = np.array([zlib.crc32(path.encode()) if path else 0 for path in paths], np.uint64)
        self._first_file = np.array([begins[s.files] for s in SCRIPTS])
        self._many_files = np.array([len(pools[s.files]) for s in SCRIPTS])

    def slices(self) -> Iterator[Slice]:
        """Yield the calls, for ever."""
        begin = 0.0
        while True:
            yield self._draw(begin)
            begin += self._slice_ns

    def batch(self, calls: Slice, start: int) -> EventBatch:
        """Return calls as rows.

        Args:
            calls: those that are left of a slice; gaps are between these.
            start: when the workload began, ns.
        """
        order = np.argsort(calls.thread, kind="stable")
        thread, ends = calls.thread[order], calls.ends[order]
        before = np.empty(len(calls), np.int64)
        before[1:] = ends[:-1]
        firsts = np.flatnonzero(np.diff(thread, prepend=-1))
        before[firsts] = self._last_end[thread[firsts]]
        lasts = np.append(firsts[1:], len(calls)) - 1
        if len(calls):
            self._last_end[thread[lasts]] = ends[lasts]
        previous = np.empty(len(calls), np.int64)
        previous[order] = before
        none = previous < 0
        columns = calls.columns | {
            "time_ns": (calls.begins + start).astype(np.uint64),
            "latency_ns": (calls.ends - calls.begins).astype(np.uint64),
            "gap_ns": np.where(none, 0, calls.begins - previous).astype(np.uint64),
            "first_on_tid": none,
        }
        batch = EventBatch(columns, self.tables)
        return batch.with_columns(probe=probe_rows(batch))

    def _draw(self, begin: float) -> Slice:
        random, count = self._random, self._rows
        # Every script has at least one call, so that many scripts are always enough.
        script = random.choice(len(SCRIPTS), size=count, p=self._weights)
        lengths = self._lengths[script]
        run = np.repeat(np.arange(count), lengths)[:count]
        runs = int(run[-1]) + 1
        script, lengths = script[:runs], lengths[:runs]
        step = self._first_step[script][run] + np.arange(count) - (np.cumsum(lengths) - lengths)[run]
        steps = self._steps[step]
        thread = (random.random(runs)[:, None] >= self._chances[script]).sum(axis=1) % len(_THREADS)
        popularity = random.random(runs) ** 3  # a few files are opened most of the time
        file = self._first_file[script] + (popularity * self._many_files[script]).astype(np.int64)
        fd = 3 + random.integers(0, 40, runs)
        begins, ends = self._times(steps, thread[run], np.flatnonzero(np.diff(run, prepend=-1)), begin)
        columns = self._columns(steps, thread[run], file[run], fd[run])
        order = np.argsort(ends, kind="stable")
        return Slice(steps["number"], begins, ends, thread[run], columns).take(order)

    def _times(
        self, steps: np.ndarray, thread: np.ndarray, firsts: np.ndarray, begin: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fill each thread's slice with its calls and pauses, longer ones before the `firsts` of a script."""
        random, threads = self._random, len(_THREADS)
        latency = np.exp(steps["log_median"] + steps["sigma"] * random.standard_normal(len(steps)))
        pause = random.exponential(1.0, len(steps))
        pause[firsts] *= 20
        busy = np.bincount(thread, latency, threads)
        latency = np.floor(latency * np.minimum(1, _BUSY * self._slice_ns / np.maximum(busy, 1))[thread])
        busy = np.bincount(thread, latency, threads)
        rest = np.bincount(thread, pause, threads) + random.exponential(20.0, threads)  # and one pause at the end
        pause *= ((self._slice_ns - busy) / rest)[thread]
        order = np.argsort(thread, kind="stable")
        spent = np.cumsum((latency + pause)[order])
        per_thread = np.bincount(thread, latency + pause, threads)
        spent -= (np.cumsum(per_thread) - per_thread)[thread[order]]
        ends = np.empty(len(steps))
        ends[order] = spent
        last = np.floor(begin + np.maximum(ends, latency)).astype(np.int64)
        return last - latency.astype(np.int64), last

    def _columns(
        self, steps: np.ndarray, thread: np.ndarray, file: np.ndarray, fd: np.ndarray
    ) -> dict[str, np.ndarray]:
        random, count = self._random, len(steps)
        size, ret = steps["size"], steps["ret"].copy()
        some = np.flatnonzero(ret == _SOME)
        ret[some] = 1 + (random.random(len(some)) ** 2 * size[some]).astype(np.int64)
        opens = ret == _FD
        ret[opens] = fd[opens]
        path = np.where(steps["sibling"], self._siblings[file], self._paths[file])
        there = (ret >= 0) | steps["on_fd"]
        maps, named = steps["maps"], path != 0
        return {
            "comm": self._comms[thread],
            **{name: values[thread] for name, values in self._threads.items()},
            "syscall": steps["syscall"],
            "family": steps["family"],
            "fd": np.where(steps["on_fd"], fd, -1).astype(np.int32),
            "ret": ret,
            "bytes": np.where(steps["moves"] & (ret > 0), ret, 0).astype(np.uint64),
            "address_space_bytes": np.where(maps, 2 * _MIB, 0).astype(np.uint64),
            "nfds": np.where(steps["waits"], 64, 0).astype(np.int32),
            "timeout_ns": np.where(steps["waits"], -1, 0),
            "file": path,
            "old_file": np.where(steps["renames"], self._siblings[file], 0).astype(np.int32),
            "is_error": is_error(ret),
            "state": np.full(count, self._done, np.int32),
            "started_before": self._threads["pid"][thread] == MAIN,
            "file_kind": np.where(there & named, self._kinds[file], 0).astype(np.int32),
            "inode": np.where(there & named, self._inodes[file] + steps["sibling"].astype(np.uint64), 0),
            "dev": np.where(there & named, np.uint64(0x801), np.uint64(0)),
            "offset": steps["at"],
            "requested_bytes": size,
            "open_flags": steps["flags"],
            "path_arg": np.where(steps["takes_path"], path, 0).astype(np.int32),
            "socket": self._sockets[file],
            "peer": self._peers[file],
            "local": self._locals[file],
        }
