"""Traces of clusters of Dask: one collector a host, and rows that know their worker and their task.

import ior_nb.dask

with ior_nb.dask.trace(client, "/shared/run1") as run:
    dask.dataframe.read_csv("/shared/*.csv").groupby("k").sum().compute()
run.trace().tasks()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

try:
    import distributed as _distributed
except ImportError as error:
    raise ImportError("a cluster is traced with distributed, which is not there: pip install 'ior-nb[dask]'") from error

from ior_nb.dask.run import Run, Wanted

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Run", "trace"]

del _distributed


def trace(client: Client, folder: str | Path, *, engine: str = "auto", **wanted: Unpack[Wanted]) -> Run:
    """Trace what the workers of a cluster call, on all its hosts, in a `with` block.

    Args:
        client: of the cluster; not an asynchronous one.
        folder: where the recordings go, HOST-PID.parquet, or more than that where hosts are called the same. Hosts with
            the same folder write there, those of others are fetched when the trace ends.
        engine: as of `ior_nb.trace`.
        **wanted: `families`, `syscalls`, `sampling`, `filter`, `stacks`, `waits`, `record_mode`, as of `ior_nb.trace`.

    Returns:
        A context manager that gives the `Run`.

    Raises:
        ConfigError: something asked for is not possible; nothing was started.
        SourceError: (entering the block) no host can be traced.
    """
    return Run(client, folder, engine, wanted)
