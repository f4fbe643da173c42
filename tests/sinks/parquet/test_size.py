"""How large and how fast recordings are written."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from ior_nb.export.arrow import columns
from ior_nb.runtime.batch import EventBatch
from ior_nb.sinks.parquet import Recorder
from tests.sinks.parquet.recordings import TABLES


def workload(count: int, seed: int) -> EventBatch:
    """Return rows of 12 syscalls, 50 threads and 20,000 paths (Zipf), 15 % path calls, 2 % errors, no order in them."""
    random = np.random.default_rng(seed)
    call = random.choice(12, count, p=[0.25, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.02, 0.02, 0.02])
    thread = random.integers(0, 50, count)
    latency = np.exp(random.normal(7.5, 1, count)).astype(np.uint64)
    end = 10**15 * seed + np.cumsum(random.exponential(800, count)).astype(np.uint64)
    path = np.minimum(random.zipf(1.3, count), 20_000)
    is_path, moves = call % 12 >= 4, call < 3
    is_path &= call < 6
    error = random.random(count) < 0.02
    size = random.choice([512, 4096, 8192, 65536, 131072], count)
    names = TABLES["file"].intern_many([f"/home/user/project/data/part-{i % 97}/{i:05}.bin" for i in range(20_001)])
    return EventBatch(
        {
            "seq": np.arange(count, dtype=np.uint64) + np.uint64(count * seed),
            "time_ns": end - latency,
            "gap_ns": np.exp(random.normal(9, 1.5, count)).astype(np.uint64),
            "latency_ns": latency,
            "comm": TABLES["comm"].intern_many([f"worker-{i}" for i in range(10)])[thread % 10],
            "pid": (4000 + thread // 10).astype(np.uint32),
            "tid": (4000 + thread).astype(np.uint32),
            "syscall": TABLES["syscall"].intern_many([f"call{i}" for i in range(12)])[call],
            "family": TABLES["family"].intern_many(["FS"] * 9 + ["Network", "IPC", "Polling"])[call],
            "fd": np.where(is_path, -1, 3 + thread % 10),
            "ret": np.where(error, -2, np.where(moves, size, 0)),
            "bytes": np.where(moves & ~error, size, 0),
            "file": names[path],
            "is_error": error,
            "filter_epoch": np.ones(count),
            "cell": np.full(count, 3),
            "state": np.full(count, TABLES["state"].intern("done")),
            "file_kind": np.full(count, TABLES["file_kind"].intern("file")),
            "dev": np.full(count, 0x10300003),
            "inode": path * 7919 % 10**7,
            "offset": np.where(moves, random.integers(0, 2000, count) * 4096, -1),
            "requested_bytes": np.where(moves, size, -1),
            "open_flags": np.where(call == 4, 0o2000000, -1),
            "path_arg": np.where(is_path, names[path], 0),
        },
        TABLES,
    )


@pytest.mark.bench
def test_recorder_writes_small_and_fast(tmp_path: Path) -> None:
    """At most 14.6 bytes a row, and at least 1.5 M rows per second of processor time, conversion included."""
    batches = [workload(32_768, i) for i in range(1, 33)]
    recorder = Recorder(columns)
    recorder.start(tmp_path / "a", block=True)
    recorder.record(batches[0])
    begin = time.process_time()
    for batch in batches[1:]:
        recorder.record(batch)
    path = recorder.stop()
    seconds = time.process_time() - begin
    assert path is not None
    rows = recorder.status().rows_written
    print(f"{rows:,} rows: {path.stat().st_size / rows:.1f} bytes a row, {rows / seconds:,.0f} rows per CPU second")

    assert path.stat().st_size / rows <= 14.6
    assert rows / seconds >= 1.5e6
