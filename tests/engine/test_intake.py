"""What a collector sends, as it comes and as it waits."""

from __future__ import annotations

import pytest

from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.engine.intake import AT_ONCE, Intake
from ior_nb.runtime import EventBatch
from tests.bench.frames import frames
from tests.engine.records import alive, named, reads

MOST = AT_ONCE // EVENT.itemsize


def intake(got: list[EventBatch], *, quiet: bool = False, limit: int = 1 << 30) -> Intake:
    """Return one whose batches go to a list."""
    made = Intake(Decoder(), limit, lambda: None)
    made.begin(got.append, quiet=quiet)
    return made


def sent(rows: int, rows_in_frame: int) -> list[tuple[Frame, bytes]]:
    """Return frames as a collector sends them, each with the names of its events before it."""
    return [pair for frame in frames(rows, rows_in_frame=rows_in_frame) for pair in frame.sent()]


def told(batches: list[EventBatch]) -> list[tuple[int, str, str]]:
    """Return what tells rows apart."""
    return [row for b in batches for row in zip(b["time_ns"].tolist(), b.text("file"), b.text("path_arg"), strict=True)]


def test_events_that_came_at_once_are_one_batch() -> None:
    """What waits is decoded together, and its rows are those of one frame after the other."""
    together: list[EventBatch] = []
    apart: list[EventBatch] = []
    one, other = intake(together), intake(apart)
    one.receive(sent(4_000, 500))
    one.settle()
    for pair in sent(4_000, 500):
        other.receive([pair])
    other.settle()

    assert len(together) == 1 < len(apart)
    assert told(together) == told(apart)
    assert len(told(apart)) == 4_000


def test_names_take_no_room_from_the_events_that_come_with_them() -> None:
    """As many events as a batch may have are one batch, however many bytes of names came among them."""
    got: list[EventBatch] = []
    made = intake(got)
    names = [(Frame.NAMES, named(at, "/" + "a" * 200)) for at in range(10_000)]
    made.receive([*names, (Frame.EVENTS, reads(7, MOST // 2)), *names, (Frame.EVENTS, reads(7, MOST // 2))])
    made.end()

    assert [len(batch) for batch in got] == [MOST]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_batch_has_so_many_rows_at_most(quiet: bool) -> None:
    """However much came at once, or was kept, and however long a frame is; no row is lost."""
    got: list[EventBatch] = []
    made = intake(got, quiet=quiet)
    made.receive([(Frame.NAMES, named(7, "/a")), (Frame.EVENTS, reads(7, 3 * MOST - 5))])
    made.receive([(Frame.EVENTS, reads(7, 1_000))] * 80)
    made.end()

    assert max(map(len, got)) <= MOST
    assert sum(map(len, got)) == 3 * MOST - 5 + 80_000


def test_ids_are_let_go_behind_the_events_before_the_answer() -> None:
    """The collector says which ids may still come: those of events it has sent before need not be among them."""
    got: list[EventBatch] = []
    made = intake(got)
    names = made._decoder.names
    names._enough = 0
    young = [(Frame.NAMES, named(100 + at, f"/{at}")) for at in range(20_000)]  # the latest are not let go
    made.receive([(Frame.NAMES, named(7, "/a")), *young, (Frame.EVENTS, reads(7, 1))])
    made.receive([(Frame.EVENTS, reads(7, 2)), (Frame.ALIVE, alive()), (Frame.EVENTS, reads(7, 3))])

    assert [batch.text("file").tolist() for batch in got] == [["/a"], ["/a", "/a"], ["", "", ""]]


def test_what_came_before_a_frame_that_says_nothing_is_kept() -> None:
    """Rows that had come are handed on, although what came with them cannot be decoded."""
    got: list[EventBatch] = []
    made = intake(got)
    with pytest.raises((ValueError, IndexError)):
        made.receive([(Frame.EVENTS, reads(0, 3)), (Frame.CACHED, b"?"), (Frame.EVENTS, reads(0, 1))])
    made.settle()

    assert sum(map(len, got)) == 3
