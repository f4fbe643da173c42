"""How the kernel's words for paths, files and sockets are spelled, as a user knows them."""

from __future__ import annotations

import re
from typing import Final

from ior_nb.engine.collector import wire

__all__ = ["absolute", "readable", "socket_text", "special_name"]

# include/uapi/linux/magic.h, and fs/pidfs.c
_PIPEFS, _SOCKFS, _ANON, _NSFS, _PIDFS = 0x50495045, 0x534F434B, 0x09041934, 0x6E736673, 0x50494446
_SOCKET_FAMILIES: Final = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 40: "vsock"}
_SOCKET_TYPES: Final = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket", 6: "dccp", 10: "packet"}
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 262: "mptcp"}
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
