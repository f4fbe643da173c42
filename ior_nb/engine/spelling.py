"""How the kernel's words for paths, files and sockets are spelled, as a user knows them."""

from __future__ import annotations

import re
import socket
from typing import Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.wire import LOCAL_ROOM, PEER_ROOM

__all__ = ["absolute", "address_text", "both_ends", "readable", "socket_text", "special_name"]

# include/uapi/linux/magic.h, and fs/pidfs.c
_PIPEFS, _SOCKFS, _ANON, _NSFS, _PIDFS = 0x50495045, 0x534F434B, 0x09041934, 0x6E736673, 0x50494446
_SOCKET_FAMILIES: Final = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 40: "vsock"}
_SOCKET_TYPES: Final = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket", 6: "dccp", 10: "packet"}
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 262: "mptcp"}
_UNIX, _INET, _INET6, _NETLINK, _VSOCK = 1, 2, 10, 16, 40
_MAPPED: Final = bytes(10) + b"\xff\xff"
_ANY: Final = 0xFFFFFFFF
_ABOVE_ROOT: Final = re.compile(r"^(?:/+\.\.?(?=/|$))+/*")
_REPEATED_SLASH: Final = re.compile(r"/(?:\.?/)+")


def readable(raw: bytes) -> str:
    r"""Decode UTF-8; a byte that is none becomes `\xNN`."""
    return raw.decode("utf-8", "backslashreplace")


def absolute(base: str, argument: str) -> str:
    """Join a base directory and a path argument: `//` and `/./` are taken out, and `..` above a root."""
    if not argument:
        return ""
    if argument.startswith("/"):
        if "/." in argument:
            argument = _ABOVE_ROOT.sub("/", argument)
        text = argument if base in ("", "/") else base + argument
    else:
        text = f"{base}/{argument}" if base else argument
    if "//" in text or "/." in text:
        text = _REPEATED_SLASH.sub("/", text)
        if text.endswith("/."):
            text = text[:-1]
    return text.rstrip("/") or "/" if len(text) > 1 else text


def special_name(text: str, flags: int, magic: int, inode: int, word: int) -> str:
    """Name a file the way readlink of /proc/PID/fd/N does (each file system's d_dname)."""
    if flags & wire.NF_DETACHED:
        if magic == _PIPEFS:
            return f"pipe:[{inode}]"
        if magic == _SOCKFS:
            return f"socket:[{inode}]"
        if magic == _ANON:
            return f"anon_inode:{text}"
        if magic == _PIDFS:
            return "anon_inode:[pidfd]"
        if magic == _NSFS:
            kind = word.to_bytes(8, "little").partition(b"\0")[0]
            return f"{readable(kind) or 'ns'}:[{inode}]"
        return f"/{text} (deleted)"
    if flags & wire.NF_CUT:
        text = f"…{text}"
    return f"{text} (deleted)" if flags & wire.NF_DELETED else text or "/"


def socket_text(word: int) -> str:
    """Return family, type and protocol of a socket as text."""
    family, kind, protocol = word >> wire.SOCKET_FAMILY & 0xFF, word >> wire.SOCKET_TYPE & 0xF, word & 0xFFFF
    names = (
        _SOCKET_FAMILIES.get(family, str(family)),
        _SOCKET_TYPES.get(kind, str(kind)),
        _PROTOCOLS.get(protocol, str(protocol)) if family in (2, 10) else str(protocol),
    )
    return ":".join(names)


def address_text(raw: bytes, inode: int = 0) -> str:
    """Return a `struct sockaddr` as text; empty for an address of nobody, or of a family nobody knows here.

    Args:
        raw: the address, its family first; it may be what a program made up.
        inode: of a Unix socket without an address, to be told from others.
    """
    family = int.from_bytes(raw[:2], "little")

    def number(at: int) -> int:
        return int.from_bytes(raw[at : at + 4], "little")

    if family == _UNIX:
        return _unix_text(raw[2:]) or (f"socket:[{inode}]" if inode else "")
    if family == _INET and len(raw) >= 8:
        return _with_port(socket.inet_ntop(socket.AF_INET, raw[4:8]), raw)
    if family == _INET6 and len(raw) >= 24:
        if raw[8:20] == _MAPPED:
            return _with_port(socket.inet_ntop(socket.AF_INET, raw[20:24]), raw)
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        if raw[8] == 0xFE and raw[9] & 0xC0 == 0x80 and number(24):  # link-local: the same on every network
            host += f"%{number(24)}"
        return _with_port(host, raw, "[{}]")
    if family == _NETLINK and len(raw) >= 12:
        who = f"port {number(4)}" if number(4) else "kernel"
        return f"{who} groups {number(8):#x}" if number(8) else who
    if family == _VSOCK and len(raw) >= 12:
        return ":".join("*" if number(at) == _ANY else str(number(at)) for at in (8, 4))
    return ""


def both_ends(raw: bytes, peer: int, local: int, inode: int) -> tuple[str, str]:
    """Return the peer and the own address of a chunk of ends: its text, how long both are, an inode to tell by."""
    # The family of a Unix socket without a name is there all the same.
    other = address_text(raw[: max(peer, 2 if inode else 0)], inode)
    return other, address_text(raw[PEER_ROOM : PEER_ROOM + local])


def _with_port(host: str, raw: bytes, beside: str = "{}") -> str:
    port = int.from_bytes(raw[2:4], "big")
    return f"{beside.format(host)}:{port}" if port else host


def _unix_text(name: bytes) -> str:
    """Return a path, or a name without a file as `@name`, as ss does; one longer than its room ends in an ellipsis."""
    if name[:1] == b"\0" and name[1:]:
        return f"@{readable(name[1:])}".replace("\0", "@")
    path, end, _ = name.partition(b"\0")
    return readable(path) + ("…" if len(name) == LOCAL_ROOM - 2 and not end else "")
