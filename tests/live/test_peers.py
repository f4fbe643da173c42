"""Both ends of every socket: what the kernel says of them is what the sockets of the test say themselves."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ior_nb.result.trace import Trace
from ior_nb.runtime import Row
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace

INET, INET6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


def spelled(address: object) -> str:
    """Return an address as getpeername of Python gives it, as the column has it."""
    if isinstance(address, bytes):
        return "@" + address[1:].decode()
    if isinstance(address, str):
        return address
    assert isinstance(address, tuple)
    host, port = str(address[0]).removeprefix("::ffff:"), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.fixture
def traced(session: TracerSession) -> Callable[[Callable[[], object]], Trace]:
    """`traced(work)` traces this process while it works."""

    def run(work: Callable[[], object]) -> Trace:
        with ior_trace(session=session, stacks="off") as t:
            work()
        assert t.accounting.complete, t.accounting.line()
        return t

    return run


Traced = Callable[[Callable[[], object]], Trace]


def rows_of(trace: Trace, *calls: str) -> list[Row]:
    """Return the rows of sockets, of these calls alone if any are named, in the order they were made."""
    rows = [row for row in trace.batch if row.socket and (not calls or row.syscall in calls)]
    return sorted(rows, key=lambda row: row.time_ns)


@contextlib.contextmanager
def listening(family: int, address: Any) -> Iterator[socket.socket]:
    """A socket that accepts connections."""
    with socket.socket(family, STREAM) as made:
        made.bind(address)
        made.listen()
        yield made


def connected(family: int, address: Any) -> Callable[[], list[tuple[str, str]]]:
    """Return a function that connects, sends and is answered; what it returns is both ends of client and server."""

    def work() -> list[tuple[str, str]]:
        with listening(family, address) as server, socket.socket(family, STREAM) as client:
            client.connect(server.getsockname())
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"question")
                accepted.recv(100)
                accepted.sendall(b"answer")
                client.recv(100)
                return [
                    (spelled(client.getpeername()), spelled(client.getsockname())),
                    (spelled(accepted.getpeername()), spelled(accepted.getsockname())),
                ]

    return work


@pytest.mark.parametrize(("family", "address"), [(INET, ("127.0.0.1", 0)), (INET6, ("::1", 0))])
def test_a_connection_has_its_ends_from_connect_and_accept_on(traced: Traced, family: int, address: object) -> None:
    """The row of connect itself has the peer, that of accept that of the new socket; before there is none."""
    ends: list[list[tuple[str, str]]] = []

    found = traced(lambda: ends.append(connected(family, address)()))

    (client, server) = ends[0]
    assert {(r.peer, r.local) for r in rows_of(found, "socket")} == {("", "")}
    assert [(r.peer, r.local) for r in rows_of(found, "connect", "accept4")] == [client, server]
    talk = [(r.syscall, r.peer, r.local) for r in rows_of(found, "sendto", "recvfrom")]
    assert talk == [
        ("sendto", *client),
        ("recvfrom", *server),
        ("sendto", *server),
        ("recvfrom", *client),
    ]


def test_an_address_of_ipv4_in_a_socket_of_ipv6_is_one_of_ipv4(traced: Traced) -> None:
    """Both ends of a mapped connection are spelled as IPv4, whatever the socket is."""
    ends: list[str] = []

    def work() -> None:
        with listening(INET, ("127.0.0.1", 0)) as server, socket.socket(INET6, STREAM) as client:
            client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
            client.sendall(b"x")
            ends.extend([spelled(client.getpeername()), spelled(client.getsockname())])

    found = traced(work)

    assert [(r.socket, r.peer, r.local) for r in rows_of(found, "sendto")] == [("inet6:stream:tcp", *ends)]
    assert ends[0].startswith("127.0.0.1:")


def test_a_connection_that_fails_names_whom_it_was_for(traced: Traced) -> None:
    """Nobody listens there: the row of connect has the address all the same, and the socket has no peer."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = nobody.getsockname()
        with socket.socket() as client:

            def work() -> None:
                assert client.connect_ex(address) == 111
                client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

            found = traced(work)

    assert [(r.ret, r.peer) for r in rows_of(found, "connect")] == [(-111, spelled(address))]
    assert [r.peer for r in rows_of(found, "getsockopt")] == [""]


def test_a_connection_in_progress_has_its_peer(traced: Traced) -> None:
    """A socket that does not wait: its connect returns before anybody has answered."""
    with listening(INET, ("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setblocking(False)

        found = traced(lambda: client.connect_ex(server.getsockname()))

        assert [r.peer for r in rows_of(found, "connect")] == [spelled(server.getsockname())]


@pytest.mark.parametrize(("family", "host"), [(INET, "127.0.0.1"), (INET6, "::1")])
def test_a_connection_refused_before_connect_returns_names_whom_it_was_for(
    traced: Traced, family: int, host: str
) -> None:
    """As on the same machine: it says that it goes on, and is over. The row of connect has the address."""
    with socket.socket(family, STREAM) as nobody, socket.socket(family, STREAM) as client:
        nobody.bind((host, 0))
        client.setblocking(False)

        found = traced(lambda: client.connect_ex(nobody.getsockname()))

        assert [(r.ret, r.peer) for r in rows_of(found, "connect")] == [(-115, spelled(nobody.getsockname()))]


def test_another_socket_under_the_same_descriptor_is_another(traced: Traced) -> None:
    """A descriptor is used again at once: each row has the ends of its own time."""
    with listening(INET, ("127.0.0.1", 0)) as one, listening(INET, ("127.0.0.1", 0)) as other:
        numbers: list[int] = []

        def work() -> None:
            for server in (one, other, one):
                with socket.socket() as client:
                    numbers.append(client.fileno())
                    client.connect(server.getsockname())
                    client.sendall(b"x")

        found = traced(work)

        assert len(set(numbers)) == 1
        assert [r.peer for r in rows_of(found, "sendto")] == [spelled(s.getsockname()) for s in (one, other, one)]


def test_a_connection_from_before_the_trace_has_its_ends(traced: Traced) -> None:
    """Nobody saw it connect: the kernel knows it all the same."""
    with listening(INET, ("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        found = traced(lambda: client.sendall(b"x"))

        ends = spelled(client.getpeername()), spelled(client.getsockname())
        assert [(r.peer, r.local) for r in rows_of(found, "sendto")] == [ends]


def test_a_connection_that_was_reset_keeps_its_ends(traced: Traced) -> None:
    """After the other end has gone, a failing send still says to whom it was."""
    with listening(INET, ("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        ends = spelled(client.getpeername()), spelled(client.getsockname())

        def work() -> None:
            client.send(b"x")
            accepted.close()  # a reset
            for _ in range(2):
                with contextlib.suppress(OSError):
                    client.send(b"x")

        found = traced(work)

        assert [(r.peer, r.local) for r in rows_of(found, "sendto")] == [ends] * 3


@pytest.mark.parametrize(("family", "host"), [(INET, "127.0.0.1"), (INET6, "::1")])
def test_a_datagram_has_its_own_address(traced: Traced, family: int, host: str) -> None:
    """Unconnected: each row says where its own datagram went, or who sent it; once each, however often."""
    with (
        socket.socket(family, DGRAM) as one,
        socket.socket(family, DGRAM) as other,
        socket.socket(family, DGRAM) as who,
    ):
        for made in (one, other):
            made.bind((host, 0))
        targets = [one, other, one, other, one]
        sender: list[str] = []

        def work() -> None:
            for target in targets:
                who.sendto(b"x", target.getsockname()[:2])
            sender.append(who.getsockname()[1])
            one.recvfrom(10)
            one.recvmsg(10)
            who.sendmsg([b"x"], [], 0, one.getsockname()[:2])

        found = traced(work)

        sent = rows_of(found, "sendto", "sendmsg")
        assert [r.peer for r in sent] == [spelled(t.getsockname()) for t in (*targets, one)]
        assert {r.local.rpartition(":")[2] for r in sent} == {str(sender[0])}
        received = rows_of(found, "recvfrom", "recvmsg")
        assert [r.peer for r in received] == [spelled((host, sender[0]))] * 2
        assert {r.local for r in received} == {spelled(one.getsockname())}


def test_a_connected_datagram_socket_has_a_peer_and_loses_it(traced: Traced) -> None:
    """Connect gives it one, another connect another, and connecting to nobody takes it away."""
    with socket.socket(INET, DGRAM) as one, socket.socket(INET, DGRAM) as other, socket.socket(INET, DGRAM) as who:
        for made in (one, other):
            made.bind(("127.0.0.1", 0))

        def work() -> None:
            for target in (one, other):
                who.connect(target.getsockname())
                who.send(b"x")
            who.sendto(b"x", one.getsockname())
            who.send(b"x")
            disconnect(who)
            who.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)

        found = traced(work)

        first, second = spelled(one.getsockname()), spelled(other.getsockname())
        rows = rows_of(found, "connect", "sendto", "getsockopt")
        assert [r.peer for r in rows] == [first, first, second, second, first, second, "", ""]


def disconnect(one: socket.socket) -> None:
    """Connect to AF_UNSPEC, which Python has no address for."""
    import ctypes

    assert ctypes.CDLL(None).connect(one.fileno(), bytes(16), 16) == 0


@pytest.mark.parametrize("abstract", [False, True])
def test_a_unix_socket_has_the_path_of_its_other_end(traced: Traced, tmp_path: Path, abstract: bool) -> None:
    """A path, or a name without a file as @name; the other side, which has none, is told by its number."""
    name: str | bytes = f"\0ior-nb-{os.getpid()}".encode() if abstract else str(tmp_path / "socket")
    inode: list[int] = []

    def work() -> None:
        with listening(UNIX, name) as server, socket.socket(UNIX, STREAM) as client:
            client.connect(name)
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x")
                accepted.sendall(b"x")
                inode.append(os.fstat(client.fileno()).st_ino)

    found = traced(work)

    shown = spelled(name)
    assert [(r.peer, r.local) for r in rows_of(found, "connect")] == [(shown, "")]
    assert [(r.peer, r.local) for r in rows_of(found, "accept4", "sendto")] == [
        (f"socket:[{inode[0]}]", shown),
        (shown, ""),
        (f"socket:[{inode[0]}]", shown),
    ]


def test_the_longest_paths_are_whole(traced: Traced, tmp_path: Path) -> None:
    """A path of 107 bytes is one; the socket's own is cut where there is no room, and says so."""
    old = Path.cwd()
    os.chdir(tmp_path)
    try:
        name = "n" * 107
        with listening(UNIX, name) as server, socket.socket(UNIX, STREAM) as client:

            def work() -> None:
                client.connect(name)
                server.accept()[0].close()

            found = traced(work)
    finally:
        os.chdir(old)

    assert [r.peer for r in rows_of(found, "connect")] == [name]
    assert [r.local for r in rows_of(found, "accept4")] == [name[:94] + "…"]


def test_the_ends_of_a_pair_are_told_by_their_numbers(traced: Traced) -> None:
    """Neither has a name: each says which socket the other is."""
    inodes: list[int] = []

    def work() -> None:
        one, other = socket.socketpair()
        with one, other:
            one.sendall(b"x")
            other.sendall(b"x")
            inodes.extend(os.fstat(s.fileno()).st_ino for s in (one, other))

    found = traced(work)

    assert [r.peer for r in rows_of(found, "sendto")] == [f"socket:[{inodes[1]}]", f"socket:[{inodes[0]}]"]


def test_a_datagram_to_a_unix_path_has_it(traced: Traced, tmp_path: Path) -> None:
    """As one to a port does; a sender that is bound is named where it is received."""
    paths = [str(tmp_path / name) for name in ("one", "two")]
    with socket.socket(UNIX, DGRAM) as one, socket.socket(UNIX, DGRAM) as two:

        def work() -> None:
            one.bind(paths[0])
            two.bind(paths[1])
            one.sendto(b"x", paths[1])
            two.recvfrom(10)

        found = traced(work)

    assert [(r.peer, r.local) for r in rows_of(found, "bind", "sendto", "recvfrom")] == [
        ("", paths[0]),
        ("", paths[1]),
        (paths[1], paths[0]),
        (paths[0], paths[1]),
    ]


def test_netlink_talks_with_the_kernel(traced: Traced) -> None:
    """What is sent to port 0 goes to the kernel, and comes from there."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as one:
        one.bind((0, 0))
        port = one.getsockname()[0]
        request = bytes([20, 0, 0, 0, 18, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])  # RTM_GETLINK, dump

        def work() -> None:
            one.sendto(request, (0, 0))
            one.recvfrom(1 << 16)

        found = traced(work)

    assert [(r.peer, r.local) for r in rows_of(found, "sendto", "recvfrom")] == [("kernel", f"port {port}")] * 2


def test_threads_that_share_a_socket_see_its_new_ends(traced: Traced) -> None:
    """One connects, the other sends: what another thread knew of the socket before does not count."""
    with listening(INET, ("127.0.0.1", 0)) as server, socket.socket() as client:
        ready, done = threading.Event(), threading.Event()

        def other() -> None:
            client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
            ready.set()
            done.wait()
            client.sendall(b"x")

        def work() -> None:
            thread = threading.Thread(target=other)
            thread.start()
            ready.wait()
            client.connect(server.getsockname())
            done.set()
            thread.join()

        found = traced(work)

        peer = spelled(server.getsockname())
        assert [r.peer for r in rows_of(found, "getsockopt", "connect", "sendto")] == ["", peer, peer]


def test_a_datagram_to_the_same_address_again_has_the_ends_of_its_time(traced: Traced) -> None:
    """What was found out for one is not said of the next from another socket, or after its socket got other ends."""
    with contextlib.ExitStack() as stack:
        one, other, who, also = (stack.enter_context(socket.socket(INET, DGRAM)) for _ in range(4))
        for made in (one, other, who, also):
            made.bind(("127.0.0.1", 0))
        to = one.getsockname()
        ends: list[tuple[str, str]] = []

        def send(sender: socket.socket) -> None:
            sender.sendto(b"x", to)
            ends.append((spelled(to), spelled(sender.getsockname())))

        def work() -> None:
            for sender in (who, who, who, also, who, also, also):
                send(sender)
            who.connect(other.getsockname())
            for sender in (who, who, who, also):
                send(sender)
            disconnect(who)  # it loses its port, for that was not asked for by number
            for sender in (who, who, who):
                send(sender)
            for _ in ends:
                one.recvfrom(10)

        found = traced(work)

        assert [(r.peer, r.local) for r in rows_of(found, "sendto")] == ends
        assert [(r.local, r.peer) for r in rows_of(found, "recvfrom")] == ends
        assert len(set(ends)) == 3


def test_threads_see_a_stream_that_is_connected_anew(traced: Traced) -> None:
    """Its ends are looked at no more once it is connected, until a call connects it to somebody else."""
    with (
        listening(INET, ("127.0.0.1", 0)) as server,
        listening(INET, ("127.0.0.1", 0)) as second,
        socket.socket() as client,
    ):
        ready, done = threading.Event(), threading.Event()

        def other() -> None:
            for _ in range(3):
                client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
            ready.set()
            done.wait()
            for _ in range(3):
                client.send(b"x")

        def work() -> None:
            client.connect(server.getsockname())
            thread = threading.Thread(target=other)
            thread.start()
            ready.wait()
            for _ in range(3):
                client.send(b"x")
            disconnect(client)
            client.connect(second.getsockname())
            done.set()
            thread.join()

        found = traced(work)

        first, then = spelled(server.getsockname()), spelled(second.getsockname())
        assert [r.peer for r in rows_of(found, "getsockopt")] == [first] * 3
        assert [r.peer for r in rows_of(found, "sendto")] == [first] * 3 + [then] * 3


def test_rows_can_be_asked_for_by_their_peer(traced: Traced) -> None:
    """In filters, and put together by peer: connections, bytes each way."""
    with listening(INET, ("127.0.0.1", 0)) as server:
        peer = spelled(server.getsockname())

        def work() -> None:
            for _ in range(3):
                with socket.create_connection(server.getsockname()) as client:
                    client.sendall(b"12345")
                    accepted, _ = server.accept()
                    accepted.sendall(b"1234567")
                    accepted.close()
                    client.recv(100)

        found = traced(work)

    assert set(found.filter(f"peer={peer} and syscall=sendto").df()["bytes"]) == {5}
    assert len(found.filter(f"peer={peer}")) == len(found.filter("peer=127.0.0.1:* and local!=" + peer))
    table = found.peers().set_index("peer").loc[peer]
    assert (table.protocol, table.connections, table.bytes_written, table.bytes_read) == ("tcp", 3, 15, 21)
    assert f"talked to {peer} (3 connections, 15 B sent, 21 B received)" in found.summary().headline()
