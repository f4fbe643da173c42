"""What is drawn of a tree."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from ior_nb.runtime import EventBatch, SnapshotNode, new_tables
from ior_nb.runtime.shown import FOLDED, ROOT
from ior_nb.sinks.flamegraph import LiveTrie
from tests.fakes import batch
from tests.sinks.flamegraph.events import EVENTS, Event, event, fed, rows


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
