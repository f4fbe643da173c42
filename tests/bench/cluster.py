"""What tracing a cluster costs a job of it: with and without, in pairs; 200 tables, a shuffle, Parquet out.

Two hosts are namespaces of this machine. The order in a pair changes from one to the next.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import dask.dataframe
import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]

import ior_nb.dask
from tests.bench.report import Row, log
from tests.bench.tools import median
from tests.live.cluster import Cluster

TITLE = "cluster: a job of two hosts, three workers"


def tables(folder: Path, count: int, rows: int = 4000) -> None:
    """Write the tables."""
    folder.mkdir()
    chance = np.random.default_rng(7)
    for number in range(count):
        frame = pd.DataFrame({"k": chance.integers(0, 1000, rows), "v": chance.random(rows)})
        frame.to_csv(folder / f"part-{number:03}.csv", index=False)


def job(source: Path, target: Path) -> tuple[float, float]:
    """Read all, shuffle, write; return the seconds, and those on a CPU of all that is below this process."""
    shutil.rmtree(target, ignore_errors=True)
    began, spent = time.perf_counter(), everything()
    frame: Any = dask.dataframe.read_csv(str(source / "*.csv"))
    frame.shuffle("k", npartitions=16).to_parquet(str(target), write_index=False)
    return time.perf_counter() - began, everything() - spent


def everything() -> float:
    """Return what this process and all below it have run for: scheduler, nannies, workers, collectors."""
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def compared(what: str, plain: list[float], traced: list[float]) -> list[Row]:
    """Return the rows of pairs of seconds."""
    added = [f"{with_it / without - 1:+.0%}" for with_it, without in zip(traced, plain, strict=True)]
    return [
        Row(what=f"{what}without", measured=f"{median(plain):.2f} s"),
        Row(what="traced", measured=f"{median(traced):.2f} s", added=f"{median(traced) / median(plain) - 1:+.1%}"),
        Row(what="  pair by pair", measured=", ".join(added)),
    ]


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    count, pairs = (40, 2) if quick else (200, 5)
    folder = Path(tempfile.mkdtemp(prefix="ior-"))
    try:
        with Cluster(folder) as cluster:
            cluster.add("node-a", "--nworkers", "2", "--nthreads", "2")
            cluster.add("node-b", "--nworkers", "1", "--nthreads", "2")
            client = cluster.wait(3)
            tables(folder / "in", count)
            job(folder / "in", folder / "out")  # what is imported is no part of it
            plain, traced, starts, ends = [], [], [], []
            rows = seen = tasks = 0
            for number in range(pairs):
                log(f"pair {number + 1} of {pairs}")
                for with_trace in (False, True) if number % 2 else (True, False):
                    if not with_trace:
                        plain.append(job(folder / "in", folder / "out"))
                        continue
                    run = ior_nb.dask.trace(client, folder / f"trace-{number}")
                    began = time.perf_counter()
                    run.__enter__()
                    starts.append(time.perf_counter() - began)
                    traced.append(job(folder / "in", folder / "out"))
                    began = time.perf_counter()
                    run.__exit__(None, None, None)
                    ends.append(time.perf_counter() - began)
                    rows, seen = len(run.trace()), run.accounting.seen
                    tasks = sum(host.tasks for host in run.hosts)
    finally:
        shutil.rmtree(folder)
    return [
        *compared(f"{count} tables, ", [wall for wall, _ in plain], [wall for wall, _ in traced]),
        *compared("on a CPU, ", [cpu for _, cpu in plain], [cpu for _, cpu in traced]),
        Row(what="begin", measured=f"{median(starts):.2f} s"),
        Row(what="end", measured=f"{median(ends):.2f} s"),
        Row(what="rows of calls seen", measured=f"{rows:,} of {seen:,}"),
        Row(what="tasks noted", measured=f"{tasks:,}"),
    ]
