"""What comes from a collector, and beside it."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any

from ior_nb.engine.sharing import Sharing


def test_all_that_has_come_is_read_at_once() -> None:
    """However often it was sent; what finds no room is the next, and the end is told when nothing is left."""
    theirs, ours = socket.socketpair()
    collector: Any = SimpleNamespace(connection=ours)
    sharing, buffer, got = Sharing(), bytearray(8), []
    with theirs, ours:
        for part in (b"abc", b"def", b"ghi"):
            theirs.send(part)
        theirs.close()
        while count := sharing.read(collector, buffer):
            got.append(bytes(buffer[:count]))

    assert got == [b"abcdefgh", b"i"]


def test_a_descriptor_may_come_beside_any_part() -> None:
    """That of the map comes with some bytes, wherever these are among those that were read."""
    theirs, ours = socket.socketpair()
    collector: Any = SimpleNamespace(connection=ours)
    sharing = Sharing()
    with theirs, ours, open(os.devnull, "rb") as there:
        theirs.send(b"abc")
        socket.send_fds(theirs, [b"def"], [there.fileno()])
        count = sharing.read(collector, bytearray(64))
    for descriptor in sharing._received:
        os.close(descriptor)

    assert count == 6
    assert len(sharing._received) == 1
