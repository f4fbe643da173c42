"""One group per peer of sockets, or per object of a store."""

from __future__ import annotations

import numpy as np

from ior_nb.aggregate.groups import Columns, Groups, mean
from ior_nb.aggregate.rows import latencies, moved
from ior_nb.aggregate.spent import wait_rows, waiting
from ior_nb.aggregate.tables import ranked
from ior_nb.aggregate.unrecorded import as_group
from ior_nb.runtime import EventBatch
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.peers import name_of, seen_files

__all__ = ["objects", "peers"]


def peers(batch: EventBatch, unrecorded: Counters) -> Columns:
    """Return one group per peer and protocol, most bytes first; calls without a peer have the empty one."""
    named = batch["peer"] != 0
    groups = Groups(np.where(named, seen_files(batch), 0))
    first = groups.first()
    own = batch.text("peer")[first]
    protocol = np.empty(len(own), object)
    pairs = zip(batch.text("socket")[first], own, strict=True)
    protocol[:] = [name_of(socket, peer).split(" ")[0] if peer else "" for socket, peer in pairs]
    latency, done = latencies(batch)
    read, written = moved(batch)
    # The row of an accept is of the socket that listens, with the peer of the one that was made.
    accepts = [code for name in ("accept", "accept4") if (code := batch.tables["syscall"].code(name)) is not None]
    talks = ~np.isin(batch["syscall"], accepts)
    apart = Groups(groups.of_row[talks], batch["inode"][talks])
    sockets = np.bincount(groups.of_row[talks][apart.first()], minlength=groups.count)
    columns: Columns = {
        "peer": own,
        "protocol": protocol,
        "connections": np.where(own != "", np.maximum(sockets, 1), 0),
        "calls": groups.sizes(),
        "errors": groups.sum(batch.failed),
        "bytes_read": groups.sum(read),
        "bytes_written": groups.sum(written),
        "time_ns": groups.sum(latency),
        "waiting_ns": groups.sum(waiting(batch, wait_rows(batch))),
        "timed": groups.sum(done),
        "max_ns": groups.max(latency),
    }
    columns["bytes"] = columns["bytes_read"] + columns["bytes_written"]
    columns = ranked(columns, "bytes", "calls", "time_ns")
    del columns["bytes"]
    columns = as_group(columns, "peer", unrecorded)
    columns["mean_ns"] = mean(columns["time_ns"], columns.pop("timed"))
    return columns


def objects(batch: EventBatch) -> Columns:
    """Return one group per object of a store, most bytes first; calls without one are in none."""
    batch = batch.take(batch["object"] != 0)
    groups = Groups(batch["object"])
    read, written = moved(batch)
    columns: Columns = {
        "object": batch.text("object")[groups.first()],
        "fetched_bytes": groups.sum(read),
        "sent_bytes": groups.sum(written),
        "calls": groups.sizes(),
        "time_ns": groups.sum(latencies(batch)[0]),
    }
    return ranked(columns, "fetched_bytes", "calls")
