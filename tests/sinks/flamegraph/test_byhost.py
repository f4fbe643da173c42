"""The flame trie of rows that may be of several hosts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.errors import ConfigError
from ior_nb.export.stacks import told_apart
from ior_nb.runtime import new_tables
from ior_nb.runtime.frames import METRICS
from ior_nb.sinks.flamegraph import TrieByHost
from tests.sinks.flamegraph.events import COLUMNS, EVENTS, Event, event, fed, rows


def of_hosts(parts: list[list[Event]], hosts: set[str] | None = None, **options: Any) -> TrieByHost:
    """Return the trie that was given batches, looked at after each."""
    trie, tables = TrieByHost(set() if hosts is None else hosts, **options), new_tables()
    for part in filter(None, parts):
        trie.ingest(rows(part, tables))
        trie.snapshot_tree()
    return trie


def all_of(host: str, events: list[Event]) -> list[Event]:
    """Return the same rows, of one host."""
    return [(*row[: COLUMNS.index("host")], host) for row in events]


@pytest.mark.parametrize("host", [None, "ada", ""], ids=["of several", "of one", "of one without a name"])
@pytest.mark.parametrize("fields", ["comm,syscall,path", "pid,syscall,path", "path,tid,pid", "host,pid", "pid,host"])
@given(parts=st.lists(EVENTS, max_size=3), metric=st.sampled_from([*METRICS]), height=st.sampled_from(["", *METRICS]))
@settings(max_examples=20)
def test_its_tree_is_that_of_the_fields_a_finished_trace_has(
    fields: str, host: str | None, parts: list[list[Event]], metric: str, height: str
) -> None:
    """The host above the first id, of several; of one what it always was. It does not matter when the second came."""
    if host is not None:
        parts = [all_of(host, part) for part in parts]
    events = [row for part in parts for row in part]
    apart = told_apart(fields, rows(events)) if events else fields.split(",")
    options: dict[str, Any] = {"count_field": metric, "height_field": height}
    found, plain = of_hosts(parts, fields=fields.split(","), **options), fed(*parts, fields=apart, **options)

    assert found.fields == plain.fields
    assert found.snapshot_tree() == plain.snapshot_tree()
    assert found.folded() == plain.folded()
    assert found.snapshot_columns().ids.tolist() == plain.snapshot_columns().ids.tolist()
    assert found.tree().asked == plain.tree().asked


@pytest.mark.parametrize("seed", range(20))
def test_of_one_host_no_frame_is_there_twice_below_a_node_beyond_the_cap(seed: int) -> None:
    """The leaves of what was folded below the host, and beside it, are one; their sum is that of the rows."""
    random = np.random.default_rng(seed)
    trie, tables = TrieByHost(set(), ("comm", "pid"), cap=int(random.integers(3, 20))), new_tables()
    for pids in random.zipf(1.3, (15, 30)).clip(max=100).tolist():
        trie.ingest(rows([event(host="ada", comm=f"c{pid % 5}", pid=pid) for pid in pids], tables))
        found = trie.snapshot_columns(min_share=0)

        assert len(set(found.ids.tolist())) == len(found.ids)
        assert found.values.sum() == found.totals[0] == trie.version * 30


def test_what_was_met_once_stays_told_apart() -> None:
    """Also after it began anew, and where others met it."""
    hosts = {"bob"}
    trie = of_hosts([[event(host="ada", pid=7)]], hosts, fields=("pid",))
    before = trie.folded()
    trie.reset()
    trie.ingest(rows([event(host="ada", pid=7)]))

    assert before == trie.folded() == "ada;7 1\n"
    assert trie.fields == ("host", "pid")
    assert hosts == {"ada", "bob"}


def test_a_host_that_is_asked_for_is_there_of_one_too() -> None:
    """And is gone again when it is not asked for; an unknown field changes nothing."""
    trie = of_hosts([[event(host="ada")]], fields=("host", "pid"))
    asked = trie.folded()
    with pytest.raises(ConfigError, match="unknown"):
        trie.reconfigure(("colour",))
    same = trie.fields
    trie.reconfigure(("pid",))
    trie.ingest(rows([event(host="ada")]))

    assert asked == "ada;1 1\n"
    assert same == ("host", "pid")
    assert (trie.fields, trie.folded()) == (("pid",), "1 1\n")
