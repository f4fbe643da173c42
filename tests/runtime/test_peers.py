"""What sockets are called where users read names."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.runtime import EventBatch
from ior_nb.runtime.mine import SOCKET, kind_of
from ior_nb.runtime.peers import Named, name_of, peer_of, seen_files
from tests.fakes import batch


@pytest.mark.parametrize(
    ("socket", "peer", "name"),
    [
        ("inet:stream:tcp", "127.0.0.1:5432", "tcp 127.0.0.1:5432"),
        ("inet6:dgram:udp", "[::1]:53", "udp [::1]:53"),
        ("unix:stream:0", "/run/a b", "unix /run/a b"),
        ("netlink:raw:0", "kernel", "netlink kernel"),
        ("inet:raw:255", "10.0.0.1", "inet 10.0.0.1"),
    ],
)
def test_a_socket_is_called_by_its_protocol_and_its_peer(socket: str, peer: str, name: str) -> None:
    """The peer can be had back from it, and it is known as a socket."""
    assert name_of(socket, peer) == name
    assert peer_of(name) == peer
    assert kind_of(name) == SOCKET


@pytest.mark.parametrize("name", ["", "/data/tcp 1", "socket:[1]", "pipe:[2]", "tcp", "tcpdump out"])
def test_the_name_of_another_file_has_no_peer(name: str) -> None:
    """Only names that were made here have one."""
    assert peer_of(name) == ""


def test_rows_of_sockets_with_a_peer_are_shown_by_it() -> None:
    """The column `file` stays what it is; rows without a peer are shown by it."""
    rows = batch(
        file=["socket:[1]", "/data/x", "socket:[2]", "socket:[3]"],
        socket=["inet:stream:tcp", "", "inet:stream:tcp", "inet:stream:tcp"],
        peer=["127.0.0.1:80", "", "", "127.0.0.1:80"],
    )

    seen = rows.tables["file"].at(seen_files(rows))

    assert seen == ["tcp 127.0.0.1:80", "/data/x", "socket:[2]", "tcp 127.0.0.1:80"]
    assert rows.text("file").tolist() == ["socket:[1]", "/data/x", "socket:[2]", "socket:[3]"]


def test_rows_without_sockets_cost_nothing() -> None:
    """They are shown by the very column."""
    rows = batch(file=["/data/x"])

    assert seen_files(rows) is rows["file"]


def test_rows_that_are_picked_out_are_named_without_a_look_at_the_others() -> None:
    """Of a piece that is read by rows these alone are read, with what their names are made of."""
    rows = batch(file=["/data/x", "socket:[1]"], socket=["", "inet:stream:tcp"], peer=["", "127.0.0.1:80"], pid=[7, 8])

    class Piece:
        size, bounds, source = rows.size, rows.bounds, rows.source

        def read(self, *columns: str) -> EventBatch:
            raise AssertionError(columns)

        some = staticmethod(rows.some)

    class Pieces:
        def pieces(self) -> list[Piece]:
            return [Piece()]

    (piece,) = Named(Pieces()).pieces()

    assert piece.some(np.array([1]), "file").text("file").tolist() == ["tcp 127.0.0.1:80"]
    assert piece.some(np.array([0, 1]), "pid")["pid"].tolist() == [7, 8]
