from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.errors import ConfigError
from ior_nb.flamegraph import FIELDS, METRICS, PRESETS, LiveTrie
from ior_nb.flamegraph.fields import open_flags
from ior_nb.runtime import (
    Configurator,
    EventBatch,
    EventIngester,
    LiveTrieSource,
    SnapshotNode,
    Snapshotter,
    StringTable,
    new_tables,
)
from ior_nb.runtime.index import Index
from ior_nb.runtime.shown import FOLDED, ROOT
from tests.fakes import batch

COLUMNS = ("comm", "pid", "tid", "syscall", "file", "family", "cell", "open_flags", "latency_ns", "gap_ns", "bytes")
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
    ),
    max_size=40,
)


def rows(events: Sequence[Event], tables: dict[str, StringTable] | None = None) -> EventBatch:
    """Build a batch of events."""
    return batch(tables, **{name: [event[i] for event in events] for i, name in enumerate(COLUMNS)})


def event(**values: Any) -> Event:
    """Build one event."""
    usual = dict.fromkeys(COLUMNS, 1) | {"comm": "c", "syscall": "read", "file": "/f", "family": "FS", "open_flags": -1}
    return tuple((usual | values).values())


def frames_of(row: Event, fields: Sequence[str]) -> list[tuple[str, int]]:
    """Return the frames of one row by name and place of the field, by the rules and nothing else."""
    values = dict(zip(COLUMNS, row, strict=True))
    frames: list[tuple[str, int]] = []
    for place, field in enumerate(fields):
        if field == "path":
            pieces = values["file"].split("/")
            names = [pieces[0]] * bool(pieces[0]) + ["/" + piece for piece in pieces[1:]]
        elif field == "cell":
            names = [str(values["cell"])] * (values["cell"] >= 0)
        elif field == "flags":
            names = {-1: [], 0: ["O_RDONLY"]}.get(values["open_flags"], ["O_WRONLY|O_CREAT|O_TRUNC"])
        else:
            text = str(values[field])
            names = [name for name in [text.strip() if field == "comm" else text] if name]
        frames += [(name, place) for name in names]
    return frames


def weight_of(row: Event, metric: str) -> int:
    """Return what one row adds."""
    column = METRICS[metric].column
    return int(row[COLUMNS.index(column)]) if column else 1


class Oracle:
    """A trie of dictionaries, one row after the other."""

    def __init__(self, name: str = "", field: int = ROOT) -> None:
        self.name, self.field = name, field
        self.value = self.total = self.height = 0
        self.below: dict[tuple[str, int], Oracle] = {}

    def add(self, frames: list[tuple[str, int]], weight: int, height: int) -> None:
        self.total += weight
        self.height += height
        if frames:
            self.below.setdefault(frames[0], Oracle(*frames[0])).add(frames[1:], weight, height)
        else:
            self.value += weight

    def tree(self, whole: int | None = None, depth: int = 0) -> SnapshotNode:
        whole = self.total if whole is None else whole
        shown = [c for c in self.below.values() if not whole or c.total / whole >= 0.001]
        if not shown and depth < 2:
            shown = sorted((c for c in self.below.values() if c.total), key=lambda c: (-c.total, c.name, c.field))[:8]
        shown.sort(key=lambda c: (c.name, c.field))
        children = tuple(c.tree(whole, depth + 1) for c in shown)
        return SnapshotNode(name=self.name, value=self.value, total=self.total, children=children, height=self.height)


def oracle_of(events: Sequence[Event], fields: Sequence[str], metric: str, height: str = "") -> Oracle:
    """Build the oracle's trie."""
    root = Oracle()
    for row in events:
        root.add(frames_of(row, fields), weight_of(row, metric), weight_of(row, height) if height else 0)
    return root


def folded_of(events: Sequence[Event], fields: Sequence[str], metric: str) -> str:
    """Build the collapsed stacks of rows."""
    stacks: dict[str, int] = {}
    for row in events:
        names = [name.replace(";", "\\x3b") for name, _ in frames_of(row, fields)]
        stack = ";".join(names).replace("\n", "\\x0a").replace("\r", "\\x0d") or "[unknown]"
        stacks[stack] = stacks.get(stack, 0) + weight_of(row, metric)
    return "".join(f"{stack} {value}\n" for stack, value in sorted(stacks.items()) if value)


def fed(*parts: Sequence[Event], **options: Any) -> LiveTrie:
    """Return a trie that was given batches which share their tables, and was looked at after each."""
    trie, tables = LiveTrie(**options), new_tables()
    for part in parts:
        trie.ingest(rows(part, tables) if part else EventBatch.empty(tables))
        trie.snapshot_tree()
    return trie


def total_at(node: SnapshotNode, *names: str) -> int:
    """Return the total of a node."""
    for name in names:
        node = {c.name: c for c in node.children}[name]
    return node.total


ALL_FIELDS = tuple(FIELDS)


@pytest.mark.parametrize("fields", [*PRESETS, ALL_FIELDS, ALL_FIELDS[::-1], ("cell", "file"), ("tid",)], ids=",".join)
@given(parts=st.lists(EVENTS, max_size=3), metric=st.sampled_from([*METRICS]), height=st.sampled_from(["", *METRICS]))
@settings(max_examples=30)
def test_tree_equals_a_trie_of_dictionaries(
    fields: tuple[str, ...], parts: list[list[Event]], metric: str, height: str
) -> None:
    """For every order and metric, tree, folded text and version are those of a loop over all rows."""
    trie = fed(*parts, fields=fields, count_field=metric, height_field=height)
    events = [e for part in parts for e in part]

    assert trie.snapshot_tree() == (oracle_of(events, fields, metric, height).tree(), sum(map(bool, parts)))
    assert trie.folded() == folded_of(events, fields, metric)


@given(parts=st.lists(EVENTS, max_size=3), cap=st.integers(2, 30), metric=st.sampled_from([*METRICS]))
@settings(max_examples=150)
def test_cap_keeps_every_total_exact(parts: list[list[Event]], cap: int, metric: str) -> None:
    """Beyond the cap small subtrees fold: every node with a name has a true part of its total, sums hold everywhere."""
    fields = ("comm", "syscall", "path")
    trie = fed(*parts, fields=fields, count_field=metric, height_field="duration", cap=cap)

    assert_true_parts(trie, [e for part in parts for e in part], cap)


@pytest.mark.parametrize("seed", range(6))
def test_a_full_tree_stays_exact_over_many_batches(seed: int) -> None:
    """The same over a long stream of stacks, few of them frequent, that folds many times."""
    random = np.random.default_rng(seed)
    cap, parts = int(random.integers(4, 60)), []
    for _ in range(30):
        paths = ["".join(f"/{min(n, 400)}" for n in random.zipf(1.3, 3).tolist()) for _ in range(40)]
        parts.append([event(comm=f"c{i % 3}", file=path, bytes=i) for i, path in enumerate(paths)])
    trie = fed(*parts, count_field=("count", "bytes")[seed % 2], height_field="duration", cap=cap)

    assert_true_parts(trie, [e for part in parts for e in part], cap)


def assert_true_parts(trie: LiveTrie, events: Sequence[Event], cap: int) -> None:
    """Assert that no node has more than it should, sums hold everywhere, and no name is twice below a node."""
    whole = oracle_of(events, trie.fields, trie.count_field, trie.height_field)
    found = trie.snapshot_columns(min_share=0)

    def check(at: int, truth: Oracle | None) -> int:
        below = np.flatnonzero(found.parents == found.ids[at])
        nodes = 1
        for child in below.tolist():
            name, field = found.labels[child], int(found.fields[child])
            known = truth.below[name, field] if truth and field != FOLDED else None
            nodes += check(child, known)
            assert known is None or found.totals[child] <= known.total
            assert field >= 0 or (field, name) == (FOLDED, "[other;]")
            assert field != FOLDED or not (found.parents == found.ids[child]).any()
        assert len(set(zip(found.labels[below], found.fields[below].tolist(), strict=True))) == len(below)
        assert found.totals[at] == found.values[at] + found.totals[below].sum()
        assert found.heights[at] >= found.heights[below].sum()
        return nodes

    assert check(0, whole) == len(found.ids)
    assert len(found.ids) - 1 <= cap
    assert (found.totals[0], found.heights[0]) == (whole.total, whole.height)


def test_folding_takes_the_smallest_and_keeps_their_parents_totals() -> None:
    """The largest nodes keep names and totals; the rest of a parent is one `[other;]` leaf with what is missing."""
    events = [event(file=f"/f{i}") for i in range(20) for _ in range(i + 1)]
    trie = fed(events, fields=("path",), cap=16)
    root, _ = trie.snapshot_tree()

    assert len(root.children) == 12
    assert [c.total for c in root.children[:11]] == [int(c.name[2:]) + 1 for c in root.children[:11]]
    assert total_at(root, "[other;]") == sum(range(1, 10))
    assert root.total == 210
    assert "[other] 45\n" in trie.folded()


def test_a_folded_name_that_returns_often_is_a_new_node() -> None:
    """What was folded stays folded; the name starts again when it has come more often than the smallest that stayed."""
    trie, tables = LiveTrie(("path",), cap=4), new_tables()
    trie.ingest(rows([event(file=f"/f{i}") for i in (0, 0, 0, 1, 1, 1, 2, 3, 4)], tables))
    seen = []
    for again in (2, 1, 1, 1):
        trie.snapshot_tree()
        trie.ingest(rows([event(file="/f4")] * again, tables))
        seen.append({c.name: c.total for c in trie.snapshot_tree()[0].children})

    assert seen == [
        {"/f0": 3, "/f1": 3, "[other;]": 5},
        {"/f0": 3, "/f1": 3, "[other;]": 6},
        {"/f0": 3, "/f1": 3, "[other;]": 7},
        {"/f0": 3, "/f1": 3, "[other;]": 7, "/f4": 1},
    ]


def test_a_heavy_stack_that_comes_late_has_its_own_node() -> None:
    """However full the tree, a stack that grows large is shown, whether its rows come at once or one by one."""
    trie, tables = LiveTrie(("comm", "path"), "bytes", cap=64), new_tables()
    for i in range(20):
        trie.ingest(rows([event(file=f"/d/f{i * 50 + n}", bytes=100) for n in range(50)], tables))
        trie.snapshot_tree()
    for _ in range(50):
        trie.ingest(rows([event(file="/d/slow", bytes=10)], tables))
        trie.snapshot_tree()
    trie.ingest(rows([event(file="/d/fast", bytes=5000)], tables))
    root, _ = trie.snapshot_tree()

    assert root.total == 20 * 50 * 100 + 50 * 10 + 5000
    assert total_at(root, "c", "/d", "/fast") == 5000
    assert total_at(root, "c", "/d", "/slow") == 50 * 10 - 110


def test_stacks_too_small_for_a_full_tree_make_no_nodes() -> None:
    """After a fold a stack seen once counts in the leaf of its deepest frame, and leaves room for others."""
    trie, tables = LiveTrie(("path",), cap=16), new_tables()
    trie.ingest(rows([event(file=f"/d/f{i}") for i in range(20)] * 3, tables))
    trie.snapshot_tree()
    before = trie._nodes.count
    trie.ingest(rows([event(file=f"/d/g{i}/h") for i in range(100)], tables))
    root, _ = trie.snapshot_tree()

    assert trie._nodes.count == before
    assert {c.name for c in root.children} == {"/d"}
    assert total_at(root, "/d", "[other;]") == 160 - sum(
        c.total for c in root.children[0].children if c.name != "[other;]"
    )


def test_folding_again_leaves_one_leaf_of_folded_frames() -> None:
    """What was folded before and what is folded now meet in one `[other;]`, however large it has become."""
    events = [event(file=f"/f{i}") for i in range(40)]
    trie = fed(events[:20], events[20:], events[:20], fields=("path",), cap=16)
    found = trie.snapshot_columns(min_share=0)

    assert found.labels.tolist().count("[other;]") == 1
    assert found.totals[0] == found.totals[1:].sum() == 60


def test_small_batches_put_aside_equal_one_large_batch() -> None:
    """Whether anybody looks between batches or not, the result is the same."""
    events = [event(file=f"/d{i % 3}/f{i % 50}", comm=f"c{i % 4}", latency_ns=i) for i in range(500)]
    trie, tables = LiveTrie(count_field="duration"), new_tables()
    for i in range(0, 500, 7):
        trie.ingest(rows(events[i : i + 7], tables))

    assert trie.snapshot_tree() == (oracle_of(events, trie.fields, "duration").tree(), 72)


def test_a_lone_leaf_is_not_folded() -> None:
    """A leaf without siblings keeps its name, for the leaf in its place would be as large."""
    events = [event(comm=f"c{i}", file="/f") for i in range(6) for _ in range(9 - i)]
    root, _ = fed(events, fields=("comm", "file"), cap=11).snapshot_tree()

    assert sorted(c.name for c in root.children) == ["[other;]", "c0", "c1", "c2"]
    assert {g.name for c in root.children for g in c.children} == {"/f"}


def test_many_distinct_stacks_in_one_batch_stay_under_the_cap() -> None:
    """Folding keeps up with one batch that makes far more nodes than the cap allows."""
    events = [event(file="/" + "/".join(f"{i}_{j}" for j in range(i % 40))) for i in range(3000)]
    trie = fed(events, events, fields=("path",), cap=100)
    found = trie.snapshot_columns(min_share=0)

    assert found.totals[0] == 6000
    assert len(found.ids) - 1 <= 100


def test_no_cap_below_two() -> None:
    """A cap of 0 or 1 is none."""
    root, _ = fed([event(file=f"/{i}") for i in range(500)], fields=("path",), cap=1).snapshot_tree()

    assert len(root.children) == 500


def test_shortcuts_thrown_away_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many keys are remembered they are learnt again, onto the same nodes."""
    monkeypatch.setattr("ior_nb.flamegraph.trie._REMEMBERED", 5)
    events = [event(file=f"/a/{i % 7}", comm=f"c{i % 3}") for i in range(60)]
    trie, tables = LiveTrie(cap=8), new_tables()
    plain = LiveTrie(cap=0)
    for i in range(0, 60, 20):
        for each in (trie, plain):
            each.ingest(rows(events[i : i + 20], tables))
            each.snapshot_tree()

    assert trie.snapshot_tree()[0].total == 60
    assert plain.snapshot_tree()[0] == oracle_of(events, plain.fields, "count").tree()
    assert "[other;]" not in plain.folded()


@pytest.mark.parametrize("places", [0, 40, 1000])
def test_the_table_without_hashes_changes_nothing(monkeypatch: pytest.MonkeyPatch, places: int) -> None:
    """Whether combinations are found without hashes, with them, or with them from some row on, is all the same."""
    monkeypatch.setattr("ior_nb.flamegraph.sequences._DIRECT", places)
    events = [event(file=f"/d{i % 3}/f{i // 2}", comm=f"c{i % 5}", pid=i % 7, open_flags=i % 2 - 1) for i in range(200)]
    fields = ("comm", "pid", "path", "flags")
    parts = [events[:i] for i in range(20, 220, 20)]
    trie = fed(*parts, fields=fields, cap=0)

    assert trie.snapshot_tree()[0] == oracle_of([e for part in parts for e in part], fields, "count").tree()


def test_names_of_folded_frames_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of names that never come back leaves no more of them in memory than the cap allows."""
    monkeypatch.setattr("ior_nb.flamegraph.trie._REMEMBERED", 100)
    trie, tables = LiveTrie(("path",), cap=10), new_tables()
    for i in range(0, 1000, 50):
        trie.ingest(rows([event(file=f"/{n}") for n in range(i, i + 50)], tables))
        trie.snapshot_tree()

    assert len(trie._nodes.texts) < 200
    assert trie.snapshot_tree()[0].total == 1000


def test_a_name_cannot_forge_a_frame_or_a_line() -> None:
    """In text `;` and line ends are escaped, and merge with the same text typed; in the tree a name is one frame."""
    trie = fed(
        [
            event(comm="a;b", syscall="read", file="/x\ny;[other;]"),
            event(comm="a", syscall="read", file="/l\nm"),
            event(comm="a", syscall="read", file="/l\\x0am"),
            event(comm="n 9", syscall="read", file="\r"),
        ]
    )

    assert trie.folded() == "a;read;/l\\x0am 2\na\\x3bb;read;/x\\x0ay\\x3b[other\\x3b] 1\nn 9;read;\\x0d 1\n"
    assert [node.name for node in trie.snapshot_tree()[0].children] == ["a", "a;b", "n 9"]


def test_a_frame_says_which_field_it_is_of() -> None:
    """Equal names of different fields are different frames, and each has its field; the root and folded ones none."""
    events = [event(cell=3, pid=3), event(cell=-1, pid=3, file="[other;]"), event(cell=3, pid=7, file="/a/b")]
    found = fed(events, fields=["cell", "pid", "path"]).snapshot_columns()

    assert found.labels.tolist() == ["", "3", "3", "/f", "7", "/a", "/b", "3", "[other;]"]
    assert found.fields.tolist() == [ROOT, 0, 1, 2, 1, 2, 2, 1, 2]
    assert len(set(found.ids)) == len(found.ids)
    capped = fed([event(file=f"/{i}") for i in range(40)], fields=["path"], cap=4).snapshot_columns(min_share=0)
    assert [label for label, field in zip(capped.labels, capped.fields, strict=True) if field == FOLDED] == ["[other;]"]


def test_reference_examples_of_collapsed_stacks() -> None:
    """The reference's examples come out, with the bare name of the call."""
    events = [event(comm="api", syscall="openat", file="/srv/api/lib", bytes=2)] * 2

    assert fed(events).folded() == "api;openat;/srv;/api;/lib 2\n"
    assert fed(events, fields=["comm"], count_field="bytes").folded() == "api 4\n"
    assert fed([event(file="")] * 2, fields=["path"]).folded() == "[unknown] 2\n"
    assert fed([event(file=""), event(file="[unknown]")], fields=["file"]).folded() == "[unknown] 2\n"


def test_small_frames_are_left_out() -> None:
    """A frame below a thousandth of the root's total is hidden, one at it is shown, totals keep both."""
    events = [event(file="/big", bytes=99_800), event(file="/at", bytes=100), event(file="/below", bytes=99)]
    trie = fed([*events, event(file="/big", bytes=1)], fields=["path"], count_field="bytes")
    root, _ = trie.snapshot_tree()

    assert [(c.name, c.total) for c in root.children] == [("/at", 100), ("/big", 99_801)]
    assert root.total == 100_000
    assert "/below 99" in trie.folded()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_eight_largest_stay_where_all_would_go(depth: int) -> None:
    """A root or first-level frame with small children only shows the eight largest, equal ones by name; deeper none."""
    events = [event(file="/p" * depth + f"/{i:04}", bytes=2 if i % 300 == 7 else 1) for i in range(2000)]
    events += [event(file="/p" * depth + "/zero", bytes=0)]
    root, _ = fed(events, fields=["path"], count_field="bytes").snapshot_tree()
    for _ in range(depth):
        root = root.children[0]
    largest = ["/0000", "/0007", "/0307", "/0607", "/0907", "/1207", "/1507", "/1807"]

    assert [c.name for c in root.children] == (largest if depth < 2 else [])
    assert root.total == 2007


def test_nothing_is_left_out_of_zero() -> None:
    """When the root's total is 0 every frame is shown."""
    root, _ = fed(
        [event(file=f"/{i}", bytes=0) for i in range(50)], fields=["path"], count_field="bytes"
    ).snapshot_tree()

    assert len(root.children) == 50
    assert root.total == 0


def test_calls_that_did_not_return_have_no_duration() -> None:
    """A call in flight counts as a call, but its time does not."""
    trie, plain = LiveTrie(["comm"], "duration"), LiveTrie(["comm"])
    for each in (trie, plain):
        each.ingest(
            batch(comm=["a"] * 3, latency_ns=[5, 9000, 9000], state=["done", "no return", "in flight"]),
        )

    assert (trie.snapshot_tree()[0].total, plain.snapshot_tree()[0].total) == (5, 3)


def test_sums_beyond_a_float_are_exact() -> None:
    """Sums of large numbers lose no bit."""
    trie = fed([event(gap_ns=2**58 + 1)] * 3, fields=["comm"], count_field="gap")

    assert trie.snapshot_tree()[0].total == 3 * 2**58 + 3


def test_empty_trie() -> None:
    """Without rows there is a root and nothing else, in every form, and version 0."""
    trie = LiveTrie()
    trie.ingest(EventBatch.empty())

    assert trie.snapshot_tree() == (SnapshotNode(name="", value=0, total=0), 0)
    assert trie.snapshot_json() == (b'{"n":"","v":0,"t":0}', 0)
    assert trie.snapshot_columns().ids.tolist() == [0]
    assert trie.folded() == ""


def test_json_of_one_row() -> None:
    """JSON has the keys of the reference; height only where it is not 0, children only where there are some."""
    trie = fed([event(file="/a", comm='"q"\n', latency_ns=7)], fields=["comm", "path"], height_field="duration")
    text, version = trie.snapshot_json()

    assert version == 1
    assert json.loads(text) == {
        "n": "",
        "v": 0,
        "t": 1,
        "ht": 7,
        "c": [{"n": '"q"', "v": 0, "t": 1, "ht": 7, "c": [{"n": "/a", "v": 1, "t": 1, "ht": 7}]}],
    }


@given(EVENTS)
def test_json_and_columns_say_the_same_as_the_tree(events: list[Event]) -> None:
    """All three forms hold the same nodes in the same order."""
    trie = fed(events, count_field="duration", height_field="bytes")
    tree, _ = trie.snapshot_tree()
    found = trie.snapshot_columns()

    def from_json(node: dict[str, Any]) -> SnapshotNode:
        children = tuple(from_json(c) for c in node.get("c", []))
        return SnapshotNode(
            name=node["n"], value=node["v"], total=node["t"], children=children, height=node.get("ht", 0)
        )

    def from_columns(at: int) -> SnapshotNode:
        children = tuple(from_columns(c) for c in np.flatnonzero(found.parents == found.ids[at]).tolist())
        return SnapshotNode(
            name=found.labels[at],
            value=int(found.values[at]),
            total=int(found.totals[at]),
            children=children,
            height=int(found.heights[at]),
        )

    assert from_json(json.loads(trie.snapshot_json()[0])) == tree
    assert from_columns(0) == tree
    assert len(set(found.ids.tolist())) == len(found.ids)
    assert found.ids.max() < 2**53


def test_a_path_of_thousands_of_components_breaks_no_form() -> None:
    """No form recurses: depth is bounded by nothing but the name."""
    path = "/a" * 2047
    trie = fed([event(file=path)], fields=["path"])
    tree, _ = trie.snapshot_tree()
    depth = 0
    while tree.children:
        tree, depth = tree.children[0], depth + 1

    assert depth == 2047
    assert trie.snapshot_json()[0].count(b'"n":"/a"') == 2047
    assert len(trie.snapshot_columns(limit=5000).ids) == 2048
    assert trie.folded() == ";".join(["/a"] * 2047) + " 1\n"


def test_ids_are_stable() -> None:
    """A frame keeps its id over refreshes, resets and folding; its parent's id is in the list, before it."""
    trie, tables = LiveTrie(cap=40), new_tables()

    def ids() -> dict[str, int]:
        found = trie.snapshot_columns()
        where = {i: n for n, i in enumerate(found.ids.tolist())}
        paths: list[str] = []
        for n, (parent, label) in enumerate(zip(found.parents.tolist(), found.labels, strict=True)):
            assert parent == -1 or where[parent] < n
            paths.append(label if n == 0 else f"{paths[where[parent]]}|{label}")
        return dict(zip(paths, found.ids.tolist(), strict=True))

    trie.ingest(rows([event(file="/z/y")] * 5, tables))
    first = ids()
    trie.ingest(rows([event(file=f"/a{i}", comm="b") for i in range(100)], tables))
    second = ids()
    trie.reset()
    trie.ingest(rows([event(file="/z/y")], new_tables()))

    assert first.items() <= second.items()
    assert first == ids()


def test_columns_keep_the_largest() -> None:
    """A limit leaves the largest nodes, parents before their children."""
    events = [event(comm=f"c{i}", file=f"/f{j}") for i in range(4) for j in range(5) for _ in range(10 * i + j)]
    found = fed(events, fields=["comm", "path"]).snapshot_columns(limit=6)

    assert found.labels.tolist() == ["", "c1", "c2", "c3", "/f3", "/f4"]
    assert found.totals.tolist() == [340, 60, 110, 160, 33, 34]


def test_columns_show_more_below_the_frame_in_focus() -> None:
    """Below the frame a view is zoomed to, the share is one of that frame's total, and its nodes go last."""
    events = [event(comm="big", file="/x")] * 5000 + [event(comm="small", file=f"/{i}") for i in range(4)]
    trie = fed(events, fields=["comm", "path"])
    plain = trie.snapshot_columns(min_share=0.01)
    zoomed = trie.snapshot_columns(min_share=0.01, limit=6, focus=[("comm", "small")])

    assert plain.labels.tolist() == ["", "big", "/x"]
    assert zoomed.labels.tolist() == ["", "small", "/0", "/1", "/2", "/3"]
    assert (
        trie.snapshot_columns(min_share=0.01, focus=[("comm", "gone"), ("path", "x")]).labels.tolist()
        == plain.labels.tolist()
    )


def test_a_snapshot_never_changes() -> None:
    """Later rows and a reset alter no tree that was handed out."""
    trie, tables = LiveTrie(), new_tables()
    trie.ingest(rows([event()], tables))
    tree, version = trie.snapshot_tree()
    columns = trie.snapshot_columns()
    trie.ingest(rows([event(), event(comm="later")], tables))
    trie.snapshot_tree()
    trie.reset()

    assert (tree.total, version, len(tree.children)) == (1, 1, 1)
    assert columns.totals.tolist() == [1, 1, 1, 1]
    assert trie.snapshot_tree()[1] == 3


def test_what_was_looked_at_is_a_copy() -> None:
    """Rows that come between the copy and what is made of it do not count."""
    trie, tables = LiveTrie(height_field="bytes"), new_tables()
    trie.ingest(rows([event()], tables))
    looked = trie._look()
    trie.ingest(rows([event(), event(comm="later")], tables))
    trie.snapshot_tree()

    assert (looked.tree.total, looked.tree.height, looked.folded) == (1, 1, "c;read;/f 1\n")


def test_a_snapshot_is_shared_until_something_changes() -> None:
    """The same version gives the same object."""
    trie = fed([event()])

    assert trie.snapshot_tree()[0] is trie.snapshot_tree()[0]
    assert trie.snapshot_json()[0] is trie.snapshot_json()[0]


def test_batches_with_other_tables_are_understood() -> None:
    """Codes of one trace's tables mean nothing in another's: equal names meet in one frame."""
    trie = LiveTrie(("comm", "path"))
    first, second = new_tables(), new_tables()
    second["comm"].intern("unused")
    for _ in range(2):
        trie.ingest(rows([event(comm="a", file="/x"), event(comm="b", file="/y")], first))
        trie.ingest(rows([event(comm="b", file="/y"), event(comm="a", file="/z")], second))

    assert trie.folded() == "a;/x 2\na;/z 2\nb;/y 4\n"


def test_version_only_grows() -> None:
    """Every batch with rows and every reset makes one version more; doing nothing makes none."""
    trie = LiveTrie()
    steps: list[tuple[Callable[[], None], int]] = [
        (lambda: trie.ingest(rows([event()])), 1),
        (lambda: trie.ingest(EventBatch.empty()), 1),
        (lambda: trie.set_count_field("count"), 1),
        (lambda: trie.set_count_field("bytes"), 2),
        (lambda: trie.set_height_field("gap"), 3),
        (lambda: trie.set_height_field(" gap "), 3),
        (lambda: trie.set_height_field(""), 4),
        (trie.reset, 5),
        (lambda: trie.reconfigure(trie.fields), 6),
    ]
    for step, version in steps:
        step()
        assert trie.version == trie.snapshot_tree()[1] == version


def test_configuring_drops_what_was_accumulated() -> None:
    """New fields, also the same ones, and a new metric start from nothing; the same metric does not."""
    trie, tables = LiveTrie(), new_tables()
    steps: list[tuple[Callable[[], None], int]] = [
        (lambda: trie.set_count_field("count"), 1),
        (lambda: trie.reconfigure(trie.fields), 0),
        (lambda: trie.set_count_field("duration"), 0),
        (lambda: trie.set_height_field("duration"), 0),
        (lambda: trie.reconfigure(["tracepoint", " path "]), 0),
        (trie.reset, 0),
    ]
    for configure, left in steps:
        trie.ingest(rows([event()], tables))
        configure()
        assert trie.snapshot_tree()[0].total == left
    trie.ingest(rows([event()], tables))

    assert trie.fields == ("syscall", "path")
    assert (trie.count_field, trie.height_field) == ("duration", "duration")
    assert trie.folded() == "read;/f 1\n"


@pytest.mark.parametrize(
    ("configure", "message"),
    [
        (lambda t: t.reconfigure([]), "no fields"),
        (lambda t: t.reconfigure(["comm", "colour"]), "'colour'; choose from comm, pid"),
        (lambda t: t.reconfigure(["comm", ""]), "''"),
        (lambda t: t.reconfigure(["syscall", "tracepoint"]), "twice"),
        (lambda t: t.set_count_field("weight"), "'weight'; choose from count"),
        (lambda t: t.set_count_field(""), "''"),
        (lambda t: t.set_height_field("weight"), "or nothing"),
        (lambda t: t.reconfigure([3]), "are names"),
        (lambda t: t.set_count_field(None), "is a name"),
    ],
)
def test_bad_configuration_changes_nothing(configure: Callable[[LiveTrie], None], message: str) -> None:
    """What is empty, unknown or given twice raises, and data, version and configuration stay."""
    trie = fed([event()])
    before = trie.snapshot_tree(), trie.fields, trie.count_field, trie.height_field
    with pytest.raises(ConfigError, match=message):
        configure(trie)

    assert (trie.snapshot_tree(), trie.fields, trie.count_field, trie.height_field) == before


@pytest.mark.parametrize("options", [{"fields": ()}, {"fields": "x"}, {"count_field": "x"}, {"height_field": "x"}])
def test_a_trie_cannot_be_made_wrong(options: dict[str, Any]) -> None:
    """The constructor checks what the setters check."""
    with pytest.raises(ConfigError):
        LiveTrie(**options)


def test_trie_satisfies_its_contracts() -> None:
    """It stands wherever a view asks for a source, or a control, of the flame trie."""
    source: LiveTrieSource = LiveTrie()
    ingester: EventIngester = LiveTrie()

    assert isinstance(source, Snapshotter)
    assert isinstance(source, Configurator)
    assert isinstance(ingester, EventIngester)


def test_fields_may_be_one_text() -> None:
    """Fields as they are typed on a command line are understood."""
    assert LiveTrie("path, tracepoint").fields == ("path", "syscall")
    assert LiveTrie(count_field="durationToPrev").count_field == "gap"


def test_open_flags_are_named() -> None:
    """Access mode first, then every flag once; what has no name is a number."""
    assert open_flags(-1) == ""
    assert open_flags(os.O_RDONLY | os.O_CLOEXEC) == "O_RDONLY|O_CLOEXEC"
    assert open_flags(os.O_RDWR | os.O_SYNC | os.O_TMPFILE) == "O_RDWR|O_TMPFILE|O_SYNC"
    assert open_flags(os.O_WRONLY | os.O_DSYNC | os.O_DIRECTORY) == "O_WRONLY|O_DSYNC|O_DIRECTORY"
    assert open_flags(1 << 40 | 3) == "O_ACCMODE|0x10000000000"


def test_readers_and_configuration_beside_a_feeder() -> None:
    """While one thread feeds, whoever reads or resets sees whole batches only."""
    trie, tables = LiveTrie(cap=50), new_tables()
    part = rows([event(file=f"/d{i % 9}/f{i}") for i in range(97)], tables)
    totals: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            totals.append(trie.snapshot_tree()[0].total)
            totals.append(int(trie.snapshot_columns().totals[0]))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        trie.ingest(part)
        if i == 50:
            trie.reconfigure(("path", "comm"))
    done.set()
    reader.join()

    assert all(total % 97 == 0 for total in totals)
    assert trie.snapshot_tree()[0].total == 49 * 97


def test_a_batch_larger_than_a_slice_is_added_whole() -> None:
    """Batches of any size come out the same."""
    count = 100_003
    trie = LiveTrie(("pid",))
    trie.ingest(batch(pid=[i % 7 for i in range(count)]))
    root, version = trie.snapshot_tree()

    assert (root.total, version) == (count, 1)
    assert [c.total for c in root.children] == [len(range(i, count, 7)) for i in range(7)]


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=60), max_size=6), st.data())
def test_index_numbers_keys_like_a_dictionary(parts: list[list[int]], data: st.DataObject) -> None:
    """Equal keys have one number, different keys different ones, counted up without a hole; some may be forgotten."""
    index = Index()
    truth: dict[int, int] = {}
    for part in parts:
        keys = np.array(part, np.uint64)
        numbers, new = index.number(keys, len(truth))
        for key, number in zip(part, numbers.tolist(), strict=True):
            assert truth.setdefault(key, number) == number
        assert [truth[part[row]] for row in new.tolist()] == list(range(len(truth) - len(new), len(truth)))
        gone = data.draw(st.sets(st.sampled_from(sorted(truth))) if truth else st.just(set()))
        kept = [key for key in truth if key not in gone]
        moved = np.full(len(truth), -1)
        moved[[truth[key] for key in kept]] = np.arange(len(kept))
        index.renumber(moved)
        truth = {key: at for at, key in enumerate(kept)}
        found = index.find(keys).tolist()

        assert [number if number >= 0 else None for number in found] == [truth.get(key) for key in part]


def test_index_gives_lower_ranks_lower_numbers() -> None:
    """Of new keys those of the lowest rank are numbered first."""
    index = Index()
    keys = np.arange(1000, dtype=np.uint64)
    numbers, new = index.number(keys, 5, 1000 - np.arange(1000))

    assert numbers.tolist() == list(range(1004, 4, -1))
    assert new.tolist() == list(range(999, -1, -1))


def test_index_survives_growth_and_full_slots() -> None:
    """Thousands of keys, many in the same place, are all found again after the table grew."""
    index = Index()
    keys = np.arange(20_000, dtype=np.uint64) << np.uint64(32)
    for begin in range(0, 20_000, 900):
        index.number(keys[begin : begin + 900], len(index))

    assert sorted(index.find(keys).tolist()) == list(range(20_000))
    assert (index.find(keys + np.uint64(1)) == -1).all()
