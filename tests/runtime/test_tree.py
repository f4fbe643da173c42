"""Flame tries of several hosts as one: the same as of all their rows together."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.errors import ConfigError, SourceError
from ior_nb.runtime import Tree, new_tables
from ior_nb.runtime.sheet import packed, tree_from_bytes, tree_to_bytes, trees_merged
from ior_nb.runtime.shown import FOLDED, ROOT
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.flamegraph.picture import Picture
from tests.sinks.flamegraph.events import EVENTS, event, fed, rows

FEW = settings(deadline=None, max_examples=40)
HOSTS = st.lists(EVENTS, min_size=3, max_size=3)
OPTIONS = {"fields": ("comm", "path", "python"), "count_field": "bytes", "height_field": "duration"}
Stack = tuple[tuple[int, str], ...]


def stacks(tree: Tree) -> dict[Stack, tuple[int, int]]:
    """Own value and height of each node, by its frames."""
    found: dict[Stack, tuple[int, int]] = {}
    ways: list[Stack] = []
    for at, parent in enumerate(tree.parents.tolist()):
        frame = (int(tree.fields[at]), tree.texts[int(tree.names[at])])
        ways.append((*ways[parent], frame) if at else ())
        assert ways[at] not in found
        found[ways[at]] = int(tree.own[at]), int(tree.heights[at])
    return found


@FEW
@given(HOSTS)
def test_merged_trees_are_the_trie_of_all_rows(hosts: list[list[tuple[object, ...]]]) -> None:
    """Each stack has the sum of what it has on all hosts, and no other stack is there."""
    together = fed([row for host in hosts for row in host], **OPTIONS)
    found = trees_merged(fed(host, **OPTIONS).tree(1 << 20) for host in hosts)

    assert stacks(found) == stacks(together.tree(1 << 20))
    assert Picture.of(found, 1).folded == together.folded()
    assert Picture.of(found, 1).json == together.snapshot_json()[0]


@pytest.mark.parametrize("fields", ["host,pid,path", "label,host,tid", "func,python,host", "host", "comm,path"])
@FEW
@given(hosts=HOSTS)
def test_a_tree_of_a_host_has_it_for_a_frame(fields: str, hosts: list[list[tuple[object, ...]]]) -> None:
    """Where the host is asked for, the sum is the trie of rows that say theirs, which those of a live trace do not."""
    options: dict[str, Any] = {"fields": fields.split(","), "height_field": "duration"}
    names, tables, together = ("ada", "/f", "\u202eb;"), new_tables(), LiveTrie(**options)
    parts = []
    for name, events in zip(names, hosts, strict=True):
        together.ingest(rows([(*event[:-1], name) for event in events], tables))
        parts.append(fed([(*event[:-1], "") for event in events], **options).tree(1 << 20).of_host(name))

    assert stacks(trees_merged(parts)) == stacks(together.tree(1 << 20))
    assert all((part.parents[1:] < np.arange(1, len(part.parents))).all() for part in parts)


@FEW
@given(HOSTS, st.integers(0, 12))
def test_merging_trees_is_associative_and_commutative_and_nothing_adds_nothing(
    hosts: list[list[tuple[object, ...]]], limit: int
) -> None:
    """In whatever order and groups trees are merged, the result is the same to the byte; an empty one adds nothing."""
    a, b, c = (fed(host, **OPTIONS).tree(limit) for host in hosts)
    whole = tree_to_bytes(trees_merged([a, b, c]))

    assert tree_to_bytes(a.merge(b).merge(c)) == tree_to_bytes(a.merge(b.merge(c))) == whole
    assert tree_to_bytes(trees_merged([c, a, b])) == tree_to_bytes(b.merge(a).merge(c)) == whole
    assert tree_to_bytes(trees_merged([a, b, c, Tree()])) == tree_to_bytes(Tree().merge(a.merge(b).merge(c))) == whole


@FEW
@given(EVENTS, st.integers(0, 12))
def test_a_pruned_tree_keeps_all_totals(rows: list[tuple[object, ...]], limit: int) -> None:
    """Of the largest nodes each has its total, what was left out is in a leaf below it, and no more nodes are left."""
    whole = fed(rows, **OPTIONS).tree(1 << 20)
    found = whole.pruned(limit)
    totals, heights = (dict(zip(stacks(t), Picture.of(t, 1).totals.tolist(), strict=True)) for t in (whole, found))

    assert sum(fields != FOLDED for fields in found.fields.tolist()) <= limit + 1
    assert {stack: total for stack, total in heights.items() if stack[-1:] != ((FOLDED, "[other;]"),)}.items() <= (
        totals.items()
    )
    assert (int(found.own.sum()), int(found.heights.sum())) == (int(whole.own.sum()), int(whole.heights.sum()))


def test_trees_of_other_frames_are_not_added_up() -> None:
    """Tries that were asked for different frames or metrics are an error, which names both."""
    with pytest.raises(ConfigError, match=r"flame graphs of .*comm.* and of .*cannot be added"):
        fed(fields=("comm",)).tree().merge(fed(fields=("pid",)).tree())


def test_a_large_tree_is_small_when_it_is_sent() -> None:
    """2,000 nodes are less than 30 kB."""
    tree = fed([event(file=f"/srv/data/set-{i % 97}/part-{i}", bytes=i) for i in range(4_000)], **OPTIONS).tree(2_000)

    assert len(tree_to_bytes(tree)) < 30_000


SENT = tree_to_bytes(fed([event(file=f"/a/{i}", comm=f"c{i % 3}", bytes=i) for i in range(20)], **OPTIONS).tree(9))


def test_a_tree_that_was_sent_is_the_same() -> None:
    """All that a tree says survives being sent."""
    tree = fed([event(file="/\udc80\x00;", comm="\udcff", bytes=5)], **OPTIONS).tree()

    assert stacks(tree_from_bytes(tree_to_bytes(tree))) == stacks(tree)
    assert tree_from_bytes(tree_to_bytes(tree)).asked == tree.asked


@settings(FEW, max_examples=300)
@given(st.integers(0, 1 << 32))
def test_an_altered_tree_is_refused_or_harmless(seed: int) -> None:
    """Whatever somebody puts into a tree, it is an error of ours, or it can be merged with others and shown."""
    chance = random.Random(seed)
    contents = packed.unpack(2, SENT, lambda found: found)
    nodes, texts = contents._arrays["nodes"].copy(), {name: list(t) for name, t in contents._texts.items()}
    if chance.random() < 0.3:
        name = chance.choice(list(texts))
        texts[name] = chance.choice([[], ["x"], texts[name] * 2, texts[name][::-1], texts[name][1:]])
    else:
        extreme = [-(2**63), -3, -2, -1, 0, 1, 2, 2**40, 2**61, 2**63 - 1]
        nodes[chance.randrange(5), chance.randrange(nodes.shape[1])] = chance.choice(extreme)
    try:
        found = tree_from_bytes(packed.pack(2, texts, {"nodes": nodes}))
    except SourceError:
        return
    picture = Picture.of(trees_merged([found, found]), 1)

    assert picture.json
    assert picture.columns(0.001, 100, ()).totals.min() >= 0


def test_a_tree_too_deep_to_be_one_is_refused() -> None:
    """A chain of nodes that no path has is an error, and found without walking it node by node."""
    count = 60_000
    zeros = np.zeros(count, np.int64)
    fields = np.where(np.arange(count) == 0, ROOT, 0)
    nodes = np.stack([np.arange(-1, count - 1), zeros, fields, zeros, zeros])

    with pytest.raises(SourceError, match="too deep"):
        tree_from_bytes(packed.pack(2, {"asked": ["count", "", "comm"], "texts": ["x"]}, {"nodes": nodes}))
