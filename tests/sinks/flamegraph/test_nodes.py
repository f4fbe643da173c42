"""The tree and what is folded in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.runtime import SnapshotNode, new_tables
from ior_nb.runtime.shown import FOLDED, ROOT
from ior_nb.sinks.flamegraph import FIELDS, METRICS, PRESETS, LiveTrie
from tests.sinks.flamegraph.events import COLUMNS, EVENTS, Event, event, fed, rows


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
        elif field == "python":
            names = [name for name in values["stack"].split(";") if name]
        else:
            text = str(values[{"func": "py_func"}.get(field, field)])
            names = [name for name in [text.strip() if field == "comm" else text] if name]
        frames += [(name, place) for name in names]
    return frames


def weight_of(row: Event, metric: str) -> int:
    """Return what one row adds: nothing of what was not measured."""
    column = METRICS[metric].column
    if not column:
        return 1
    return max(int(row[COLUMNS.index(column)]), 0) if column in COLUMNS else 0


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
    monkeypatch.setattr("ior_nb.sinks.flamegraph.trie._REMEMBERED", 5)
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
    monkeypatch.setattr("ior_nb.sinks.flamegraph.sequences._DIRECT", places)
    events = [event(file=f"/d{i % 3}/f{i // 2}", comm=f"c{i % 5}", pid=i % 7, open_flags=i % 2 - 1) for i in range(200)]
    fields = ("comm", "pid", "path", "flags")
    parts = [events[:i] for i in range(20, 220, 20)]
    trie = fed(*parts, fields=fields, cap=0)

    assert trie.snapshot_tree()[0] == oracle_of([e for part in parts for e in part], fields, "count").tree()


def test_names_of_folded_frames_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of names that never come back leaves no more of them in memory than the cap allows."""
    monkeypatch.setattr("ior_nb.sinks.flamegraph.trie._REMEMBERED", 100)
    trie, tables = LiveTrie(("path",), cap=10), new_tables()
    for i in range(0, 1000, 50):
        trie.ingest(rows([event(file=f"/{n}") for n in range(i, i + 50)], tables))
        trie.snapshot_tree()

    assert len(trie._nodes.texts) < 200
    assert trie.snapshot_tree()[0].total == 1000


def test_stacks_become_nodes_when_somebody_looks() -> None:
    """Rows alone make no node: who feeds the trie does not wait for what nobody looks at."""
    events = [event(file=f"/d/f{i}") for i in range(40)]
    trie, tables = LiveTrie(("path",)), new_tables()
    trie.ingest(rows(events, tables))
    before = trie._nodes.count
    root, _ = trie.snapshot_tree()

    assert before == 1
    assert root.total == 40
    assert trie._nodes.count == 42


def test_stacks_that_wait_for_a_look_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of new stacks who feeds makes nodes of the oldest, and the result is the same."""
    monkeypatch.setattr("ior_nb.sinks.flamegraph.trie._LATER", 10)
    monkeypatch.setattr("ior_nb.sinks.flamegraph.trie._ENOUGH", 1)
    events = [event(file=f"/d{i % 3}/f{i}", comm=f"c{i % 4}", latency_ns=i) for i in range(200)]
    trie, tables = LiveTrie(count_field="duration"), new_tables()
    for i in range(0, 200, 20):
        trie.ingest(rows(events[i : i + 20], tables))
    waiting = trie._stacks.count - trie._placed

    assert waiting == 10
    assert trie.snapshot_tree()[0] == oracle_of(events, trie.fields, "duration").tree()
