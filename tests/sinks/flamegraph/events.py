"""Rows as tuples, and a trie of dictionaries to compare with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ior_nb.runtime import EventBatch, StringTable, new_tables
from ior_nb.sinks.flamegraph import LiveTrie
from tests.fakes import batch

COLUMNS = (
    *("comm", "pid", "tid", "syscall", "file", "family", "cell", "open_flags", "latency_ns", "gap_ns", "bytes"),
    *("stack", "py_func", "fetched_bytes", "wait_device_ns", "label", "host"),
)


Event = tuple[Any, ...]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["api", " api ", "a;b", "", "web\nserver"]),
        st.integers(0, 3),
        st.integers(0, 2**32 - 1),
        st.sampled_from(["read", "openat", "write"]),
        st.one_of(
            st.sampled_from(
                ["/srv/api/lib", "/srv/api", "/", "a/b", "", ";", "/x;[other;]", "//a/", "pipe:[7]", "/x\r1"]
            ),
            st.text("/;ab\n", max_size=12),
        ),
        st.sampled_from(["FS", "Network"]),
        st.integers(-1, 3),
        st.sampled_from([-1, os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC]),
        st.integers(0, 10**9),
        st.integers(0, 2**40),
        st.integers(0, 5000),
        st.sampled_from(["", "f (a.py:1)", "f (a.py:1);g (b.py:2)", "…;g\\x3bh (b.py:2)"]),
        st.sampled_from(["", "f", "g;h"]),
        st.integers(-1, 5000),
        st.integers(-1, 10**9),
        st.sampled_from(["", "epoch 3", "a;b"]),
        st.sampled_from(["", "ada", "b;c"]),
    ),
    max_size=40,
)


def rows(events: Sequence[Event], tables: dict[str, StringTable] | None = None) -> EventBatch:
    """Build a batch of events."""
    return batch(tables, **{name: [event[i] for event in events] for i, name in enumerate(COLUMNS)})


def event(**values: Any) -> Event:
    """Build one event."""
    usual = dict.fromkeys(COLUMNS, 1) | {"comm": "c", "syscall": "read", "file": "/f", "family": "FS", "open_flags": -1}
    usual |= {"stack": "", "py_func": "", "label": "", "host": ""}
    return tuple((usual | values).values())


def fed(*parts: Sequence[Event], **options: Any) -> LiveTrie:
    """Return a trie that was given batches which share their tables, and was looked at after each."""
    trie, tables = LiveTrie(**options), new_tables()
    for part in parts:
        trie.ingest(rows(part, tables) if part else EventBatch.empty(tables))
        trie.snapshot_tree()
    return trie
