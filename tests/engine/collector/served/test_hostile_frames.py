"""Both sides of the service's socket are sent what nobody would send."""

from __future__ import annotations

import json
import random
import socket
import struct
from typing import Any

import pytest

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.served.client import Served
from ior_nb.engine.collector.served.gate import Gate, Limits
from ior_nb.engine.collector.served.peer import Peer, Stranger
from ior_nb.engine.collector.wire import Frame, Unpacker, pack, pack_json
from ior_nb.engine.counted import counters_of
from ior_nb.engine.decode import Decoder
from ior_nb.engine.intake import Intake

TO_SERVICE = 60_000
TO_CLIENT = 60_000
REQUESTS: list[Any] = [
    {"id": 1, "verb": "load", "buffer_bytes": 1},
    {"id": 2, "verb": "start", "scope": {"mode": "uid", "uid": 7}, "enabled": [1], "rates": {}, "filter": {}},
    {"id": 3, "verb": "flush", "counters": True},
    {"id": 4, "verb": "filter", "filter": {"pid": 1}, "generation": 1},
    {"id": 5, "verb": "specs", "enabled": [3], "rates": {"3": 7}},
    {"id": 6, "verb": "stop"},
    [],
    None,
    "x",
    {"id": {}, "verb": []},
]


class Fed(Served):
    """A collector that has no program, and whose client sends what it is given."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(
            connection, Gate(Peer(1, 7, -1, "fuzz"), Limits(), lambda *_, **__: None), lambda *_, **__: None
        )
        self.data = b""

    def _received(self) -> bytes:
        return self.data

    def _do_load(self, request: dict[str, Any]) -> dict[str, Any]:
        return {}


def damaged(stream: bytes, chance: random.Random) -> bytes:
    """Return a stream with some bytes changed, left out, doubled, or a length that is a lie."""
    changed = bytearray(stream)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(changed) or 1)
        match chance.randrange(5):
            case 0 if changed:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at : at + chance.randint(1, 9)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 9))
            case 3 if len(changed) >= 8:
                struct.pack_into("<I", changed, 0, chance.choice([0, 1, 7, 1 << 20, (1 << 20) + 1, (1 << 32) - 1]))
            case 4:
                changed += changed[at:]
    return bytes(changed)


def test_a_hostile_client_is_answered_refused_or_cut_off() -> None:
    """60,000 damaged streams: each is answered with frames, or ends its own collector with one of two errors."""
    chance = random.Random(15)
    answered = cut = 0
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(TO_SERVICE // 2):
            served = Fed(theirs)
            for _ in range(2):
                served.data = damaged(pack_json(Frame.REQUEST, chance.choice(REQUESTS)), chance)
                try:
                    served._heard({theirs.fileno(): 1})
                except (Stranger, ValueError):
                    cut += 1
                    break
            frames = Unpacker(wire.to_session(1)).feed(b"".join(served._queue))
            assert {kind for kind, _ in frames} == {Frame.ANSWER}
            answered += len(frames) - 1
            for _, payload in frames[1:]:
                assert json.loads(payload)["ok"] in (True, False)
            assert served._queued < 1 << 20

    assert answered > TO_SERVICE // 10
    assert cut > TO_SERVICE // 10


def test_a_hostile_service_is_an_error_of_its_own_client() -> None:
    """60,000 damaged frames: each gives rows or one of Python's own errors, and keeps nothing for long."""
    chance = random.Random(16)
    record = wire.event_record(1, 2, 3, time=5, latency=6, pid=7, tid=7, nr=1)
    name = struct.pack("<II", wire.CHUNK_BYTES, 0) + struct.pack("<I4B", 1, wire.N_FILE, 0, 1, 0).ljust(
        wire.CHUNK_BYTES, b"\0"
    )
    streams = {
        Frame.EVENTS: record * 3,
        Frame.NAMES: name * 2,
        Frame.ALIVE: struct.pack("<3I", 1, 1, 1),
        Frame.CACHED: bytes(wire.CACHED_FILE_BYTES),
        Frame.FACTS: struct.pack("<II", 40, 0) + wire.STACK.pack(wire.FACT_STACK, 1, 1, 0) + bytes(16),
        Frame.COUNTERS: b"{}\n" + bytes(64),
        Frame.ANSWER: b'{"id": 1, "ok": true}',
    }
    taken = refused = 0
    rows = 0

    def deliver(batch: Any) -> None:
        nonlocal rows
        rows += len(batch)

    for _ in range(TO_CLIENT // 200):
        intake = Intake(Decoder(), 1 << 20, lambda: None)
        intake.begin(deliver, quiet=False)
        for _ in range(200):
            kind = chance.choice(list(streams))
            try:
                for got, payload in Unpacker(wire.to_session(1)).feed(damaged(pack(kind, streams[kind]), chance)):
                    if got is Frame.COUNTERS:
                        counters_of(payload)
                    elif got is Frame.ANSWER:
                        json.loads(payload)
                    else:
                        intake.receive([(got, payload)])
                taken += 1
            except (ValueError, LookupError, TypeError, OverflowError, struct.error, RecursionError):
                refused += 1
        intake.settle()

    assert taken > TO_CLIENT // 4
    assert refused > TO_CLIENT // 20
    assert rows > 0


@pytest.mark.parametrize("depth", [100, 100_000])
def test_json_without_a_bottom_is_no_request(depth: int) -> None:
    """It ends the connection of who has sent it, not more."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        served = Fed(theirs)
        served.data = pack(Frame.REQUEST, b"[" * depth)

        with pytest.raises(Stranger, match="no JSON"):
            served._heard({theirs.fileno(): 1})
