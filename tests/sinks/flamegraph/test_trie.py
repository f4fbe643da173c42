"""The life of a trie."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ior_nb.errors import ConfigError
from ior_nb.runtime import Configurator, EventBatch, EventIngester, LiveTrieSource, Snapshotter, new_tables
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.flamegraph.fields import open_flags
from tests.fakes import batch
from tests.sinks.flamegraph.events import event, fed, rows


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
    looked = trie._current()
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
