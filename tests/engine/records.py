"""Records as the kernel program writes them."""

from __future__ import annotations

import numpy as np

from ior_nb.engine.chunks import CHUNK
from ior_nb.engine.collector import wire
from ior_nb.engine.fields import EVENT
from ior_nb.syscalls import resolve


def named(number: int, text: str, *, mode: int = 0o100644) -> bytes:
    """Return the NAMES frame of one file."""
    chunk = np.zeros(1, CHUNK)
    chunk["len"], chunk["id"], chunk["type"], chunk["parts"] = wire.CHUNK_BYTES, number, wire.N_FILE, 1
    chunk["mode"], chunk["length"], chunk["bytes"] = mode, len(text), len(text)
    chunk["text"] = np.array([text.encode()], f"S{wire.CHUNK_TEXT}").view(f"V{wire.CHUNK_TEXT}")
    return chunk.tobytes()


def reads(file: int, count: int = 1) -> bytes:
    """Return the EVENTS frame of reads of a file."""
    events = np.zeros(count, EVENT)
    events["len"], events["nr"], events["file"], events["pid"] = wire.EVENT_BYTES, resolve("read").number, file, 1
    return events.tobytes()


def alive(*ids: int) -> bytes:
    """Return the ALIVE frame of these files and no threads."""
    return np.array([len(ids), *ids], "<u4").tobytes()
