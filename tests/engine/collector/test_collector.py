from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from ior_nb.engine.collector import __main__ as process
from ior_nb.engine.collector import wire
from ior_nb.engine.collector.__main__ import Collector
from ior_nb.engine.collector.wire import Frame


class FakeRing:
    """A ring that holds finished records."""

    size = 1 << 20
    stride = wire.HEADER_BYTES + wire.EVENT_BYTES

    def __init__(self, flags: list[int]) -> None:
        self._data = b"".join(
            struct.pack(f"<8x{wire.EVENT_BYTES - 2}xBB", value, number & 0xFF) for number, value in enumerate(flags)
        )
        self.produced = len(self._data)
        self.waiting = len(self._data)

    def read(self, until: int, limit: int = 0) -> bytes:
        data, self._data = self._data, b""
        self.waiting = 0
        return data


class Stuck(FakeRing):
    """A ring whose last records are still being written."""

    def read(self, until: int, limit: int = 0) -> bytes:
        return b""


def test_records_that_are_never_finished_are_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace ends although a record is not ready: it is told as lost, not left out in silence."""
    monkeypatch.setattr(process, "PATIENCE_S", 0.01)
    ours, theirs = socket.socketpair()
    collector = Collector(theirs, 0)
    tracer: Any = SimpleNamespace(
        events=Stuck([0, 0, 0]),
        names=FakeRing([]),
        stacks=None,
        pages=None,
        cpus=1,
        detach=lambda: None,
        in_flight=lambda: b"",
        open_calls=lambda: 0,
        counters=lambda: b"",
        totals=lambda: {"killed": 0},
    )
    collector._tracer, collector._running = tracer, True
    with ours, theirs:
        answer = collector._do_stop({})

    assert answer["totals"]["lost_buffer"] == 3


def test_records_dropped_for_want_of_room_are_counted_once() -> None:
    """A killed call whose record is dropped is lost in the buffer, and no longer one that is in flight."""
    flying = wire.EF_IN_FLIGHT
    ours, theirs = socket.socketpair()
    collector = Collector(theirs, 0)
    tracer: Any = SimpleNamespace(
        events=FakeRing([0, flying, wire.EF_FIRST, flying | wire.EF_FIRST, flying]),
        names=FakeRing([]),
        stacks=None,
        totals=lambda: {"killed": 7},
    )
    collector._tracer = tracer
    collector._limit = -1
    with ours, theirs:
        collector._drain()
        totals = collector._totals()

    assert totals == {"killed": 4, "lost_buffer": 5}
    assert Frame.EVENTS not in [kind for kind, _ in wire.Unpacker().feed(b"".join(collector._queue))]
