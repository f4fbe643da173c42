"""How addresses of sockets are spelled."""

from __future__ import annotations

import ctypes
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.collector.wire import LOCAL_ROOM, PEER_ROOM
from ior_nb.engine.spelling import address_text


def inet6(host: str, port: int, scope: int = 0) -> bytes:
    """A struct sockaddr_in6."""
    return struct.pack("<HHI16sI", 10, socket.htons(port), 0, socket.inet_pton(socket.AF_INET6, host), scope)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (struct.pack("<HH4s8x", 2, socket.htons(5432), bytes([127, 0, 0, 1])), "127.0.0.1:5432"),
        (struct.pack("<HH4s8x", 2, 0, bytes([10, 1, 2, 3])), "10.1.2.3"),
        (inet6("::1", 80), "[::1]:80"),
        (inet6("::ffff:127.0.0.1", 80), "127.0.0.1:80"),
        (inet6("fe80::1", 80, 3), "[fe80::1%3]:80"),
        (inet6("2001:db8::1", 0, 3), "2001:db8::1"),
        (b"\1\0/run/a b\0/rest", "/run/a b"),
        (b"\1\0relative", "relative"),
        (b"\1\0\0name\0more", "@name@more"),
        (b"\1\0\xff", "\\xff"),
        (b"\1\0", ""),
        (struct.pack("<HHII", 16, 0, 0, 0), "kernel"),
        (struct.pack("<HHII", 16, 0, 77, 0x11), "port 77 groups 0x11"),
        (struct.pack("<HHIII", 40, 0, 1024, 2, 0), "2:1024"),
        (struct.pack("<HHIII", 40, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0), "*:*"),
        (b"", ""),
        (b"\2\0\1", ""),
        (b"\xff\xff" + bytes(20), ""),
    ],
)
def test_an_address_is_spelled_as_its_tools_spell_it(raw: bytes, text: str) -> None:
    """Address and port, a path, a name without a file, a port of netlink; nothing for what is none."""
    assert address_text(raw) == text


def test_a_unix_socket_without_a_name_is_told_by_its_number() -> None:
    """As the file of its other end is called."""
    assert address_text(b"\1\0", 4711) == "socket:[4711]"


def test_a_path_that_had_no_room_ends_in_an_ellipsis() -> None:
    """One that just fits has its end, and does not."""
    room = LOCAL_ROOM - 2

    assert address_text(b"\1\0" + b"n" * room) == "n" * room + "…"
    assert address_text(b"\1\0" + b"n" * (room - 1) + b"\0") == "n" * (room - 1)


@given(st.binary(max_size=PEER_ROOM), st.integers(0, 2**64 - 1))
def test_any_bytes_have_a_spelling(raw: bytes, inode: int) -> None:
    """A program may give any address it likes."""
    assert isinstance(address_text(raw, inode), str)


def test_there_is_room_for_every_address() -> None:
    """The longest is that of a Unix socket: a family and 108 bytes."""
    assert ctypes.sizeof(ctypes.c_uint16) + 108 <= PEER_ROOM
