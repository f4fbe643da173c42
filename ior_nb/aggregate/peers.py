"""One group per peer of sockets, or per object of a store."""

from __future__ import annotations

import numpy as np

from ior_nb.aggregate.columns import Columns, by_bytes, ranked
from ior_nb.aggregate.columns import objects as texts
from ior_nb.aggregate.groups import ByText, Distinct
from ior_nb.aggregate.hosts import Apart
from ior_nb.aggregate.replies import REPLIES, Replies
from ior_nb.aggregate.rows import moved
from ior_nb.aggregate.spent import WAITED, wait_rows, waiting
from ior_nb.aggregate.sums import SUMMED, Measures, Sums, averaged
from ior_nb.aggregate.unrecorded import as_group
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.peers import name_of, seen_files
from ior_nb.runtime.rows import Rows, read

__all__ = ["objects", "peers"]


def peers(rows: Rows, unrecorded: Counters) -> Columns:
    """Return one group per peer and protocol, most bytes first; calls without a peer have the empty one."""
    groups, measures, waits = ByText("file"), Measures(), Sums(("waiting_ns", "answers", "answer_ns"))
    replies = Replies()
    inodes, sockets = Apart(), Distinct()
    about: dict[int, tuple[str, str]] = {0: ("", "")}  # peer and protocol
    for batch in read(rows, *dict.fromkeys((*SUMMED, *WAITED, *REPLIES, "file", "peer", "socket", "inode"))):
        named = batch["peer"] != 0
        at = groups.coded(batch, np.where(named, seen_files(batch), 0).astype(np.int32))
        measures.add(batch, at, len(groups))
        waits.grow(len(groups))
        waits.add("waiting_ns", at, waiting(batch, wait_rows(batch)))
        replied = replies.of(batch, at, *moved(batch))
        waits.add("answers", at[replied.rows], replied.first)
        waits.add("answer_ns", at[replied.rows], replied.waited)
        # The row of an accept is of the socket that listens, with the peer of the one that was made.
        accepts = batch.tables["syscall"].among(("accept", "accept4")).take(batch["syscall"])
        talks = np.flatnonzero(named & ~accepts)
        sockets.add(at[talks], inodes.of(batch, "inode", talks))
        used, first = np.unique(at, return_index=True)
        for group, row in zip(used.tolist(), first.tolist(), strict=True):
            if group not in about:
                peer, socket = (batch.tables[name][int(batch[name][row])] for name in ("peer", "socket"))
                about[group] = peer, name_of(socket, peer).split(" ")[0] if peer else ""
    found = np.flatnonzero(measures.sums.columns["calls"])
    sums = measures.columns(found)
    columns: Columns = {
        "peer": texts([about[group][0] for group in found.tolist()]),
        "protocol": texts([about[group][1] for group in found.tolist()]),
        "connections": np.where(found != 0, np.maximum(sockets.counts(len(groups)).take(found), 1), 0),
        **{name: sums[name] for name in ("calls", "errors", "bytes_read", "bytes_written", "time_ns")},
        **{name: values.take(found) for name, values in waits.columns.items()},
        "max_ns": sums["max_ns"],
        "timed": sums["timed"],
    }
    return averaged(as_group(by_bytes(columns), "peer", unrecorded))


def objects(rows: Rows) -> Columns:
    """Return one group per object of a store, most bytes first; calls without one are in none."""
    groups, measures = ByText("object"), Measures()
    for batch in read(rows, "object", *SUMMED):
        of_objects = batch.take(batch["object"] != 0)
        if len(of_objects):
            at = groups.of(of_objects)
            measures.add(of_objects, at, len(groups))
    found = np.flatnonzero(measures.sums.columns["calls"])
    sums = measures.columns(found)
    columns: Columns = {
        "object": groups.names(found),
        "fetched_bytes": sums["bytes_read"],
        "sent_bytes": sums["bytes_written"],
        "calls": sums["calls"],
        "time_ns": sums["time_ns"],
    }
    return ranked(columns, "fetched_bytes", "calls")
