"""The fixed generator of raw frames: what a collector would send, byte for byte as the rings hold it.

12 system calls from 50 threads of 10 processes; 20,000 files, Zipf-distributed; 15 % of the calls take a path,
2 % fail.
Names come before the events that use them: a file's name once, a path argument with its own id for each call. Sizes are
round numbers, nine in ten moved whole; a file is read from front to back; latencies and gaps are log-normal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.engine.chunks import CHUNK
from ior_nb.engine.collector import wire
from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.fields import EVENT
from ior_nb.syscalls import resolve

__all__ = ["Frames", "files_read_once", "frames"]

FILES: Final = 20_000
THREADS: Final = 50
PROCESSES: Final = 10
ERRORS: Final = 0.02
# Name -> share. The three that take a path are 15 %.
CALLS: Final = {
    "read": 0.24,
    "write": 0.16,
    "pread64": 0.12,
    "pwrite64": 0.06,
    "lseek": 0.06,
    "close": 0.07,
    "newfstat": 0.05,
    "recvfrom": 0.05,
    "sendto": 0.04,
    "openat": 0.07,
    "newfstatat": 0.06,
    "unlinkat": 0.02,
}
_SIZES: Final = np.array([1, 512, 4_096, 8_192, 65_536, 131_072])
_DIRECTORY: Final = 1  # file id of the working directory
_ROOT: Final = 2


@dataclass(frozen=True, slots=True)
class Frames:
    """The payloads of a NAMES frame and of the EVENTS frame behind it."""

    names: bytes
    events: bytes
    rows: int

    def sent(self) -> list[tuple[Frame, bytes]]:
        """Return both as a collector sends them."""
        return [(Frame.NAMES, self.names), (Frame.EVENTS, self.events)]


def frames(rows: int, *, rows_in_frame: int = 16_384, seed: int = 1) -> Iterator[Frames]:
    """Yield frames of `rows` events in all."""
    random = np.random.default_rng(seed)
    numbers = np.array([resolve(n).number for n in CALLS], np.uint16)
    takes_path = np.array([n in ("openat", "newfstatat", "unlinkat") for n in CALLS])
    has_file = ~takes_path
    has_file[list(CALLS).index("openat")] = True  # the file it opened
    paths = _paths()
    weights = 1 / np.arange(1, FILES + 1)
    cumulated = np.cumsum(weights / weights.sum())
    sent = np.zeros(FILES, bool)
    head = _heads()
    positions = np.zeros(FILES, np.int64)
    clock = 10**12
    last_id = 0
    while rows > 0:
        count = min(rows, rows_in_frame)
        rows -= count
        call = np.searchsorted(np.cumsum(list(CALLS.values())), random.random(count) * 0.999999)
        file = np.minimum(np.searchsorted(cumulated, random.random(count)), FILES - 1)
        thread = random.integers(0, THREADS, count)
        failed = random.random(count) < ERRORS
        asked = _SIZES[random.integers(0, len(_SIZES), count)]
        moved = np.where(random.random(count) < 0.9, asked, random.integers(1, asked + 1))
        e = np.zeros(count, EVENT)
        e["len"] = wire.EVENT_BYTES
        e["latency"] = random.lognormal(7.6, 0.8, count)
        e["gap"] = random.lognormal(6.9, 0.8, count)
        e["time"] = clock + np.cumsum(random.integers(100, 900, count)).astype(np.uint64)
        clock = int(e["time"][-1])
        e["ret"] = np.where(failed, -2, np.where(takes_path[call], 7, moved))
        e["args"][:, 0] = np.where(takes_path[call], -100, 3 + file % 100).astype(np.uint64)
        e["args"][:, 1] = 0x7FFF00000000
        e["args"][:, 2] = asked
        e["pos"] = positions[file]
        np.add.at(positions, file, moved)
        opened = ~(takes_path[call] & failed)
        e["file"] = np.where(has_file[call] & opened, 10 + file, 0)
        e["comm"] = 1 + thread % PROCESSES
        e["pid"] = 1000 + thread % PROCESSES
        e["tid"] = 1000 + thread
        e["nr"] = numbers[call]
        with_path = np.flatnonzero(takes_path[call])
        ids = last_id + 1 + np.arange(len(with_path))
        last_id += len(with_path)
        e["names"][with_path] = ids
        seen = np.unique(file[e["file"] > 0])
        new = seen[~sent[seen]]
        sent[new] = True
        arguments = np.zeros(len(with_path), CHUNK)
        arguments["id"], arguments["type"], arguments["base"] = ids, wire.N_PATH1, _ROOT
        _fill(arguments, paths, file[with_path])
        names = np.concatenate([head, _files(paths, new), arguments])
        head = head[:0]
        yield Frames(names.tobytes(), e.tobytes(), count)


def files_read_once(files: int, *, rows_in_frame: int = 8_192) -> Iterator[Frames]:
    """Yield frames of one read of each of `files` files."""
    for first in range(0, files, rows_in_frame):
        ids = np.arange(first, min(first + rows_in_frame, files))
        paths = np.array([f"/tmp/build/object-{i:09}.o".encode() for i in ids.tolist()])
        names = _files(paths, np.arange(len(ids)))
        names["id"] = 10 + ids
        e = np.zeros(len(ids), EVENT)
        e["len"], e["nr"], e["pid"], e["tid"] = wire.EVENT_BYTES, resolve("read").number, 1000, 1000
        e["time"], e["latency"], e["file"] = 10**12 + ids, 500, 10 + ids
        yield Frames(names.tobytes(), e.tobytes(), len(ids))


def _paths() -> np.ndarray:
    """Return the text of every file's path: bytes, shape (FILES,)."""
    return np.array(
        [f"/srv/data/set-{i % 97:02}/part-{i % 1009:04}/table-{i:05}.parquet".encode() for i in range(FILES)]
    )


def _fill(chunks: np.ndarray, paths: np.ndarray, files: np.ndarray) -> None:
    texts = paths[files]
    chunks["len"] = wire.CHUNK_BYTES
    chunks["parts"] = 1
    chunks["length"] = chunks["bytes"] = np.char.str_len(texts)
    chunks["text"] = texts.astype(f"S{wire.CHUNK_TEXT}").view(f"V{wire.CHUNK_TEXT}")


def _files(paths: np.ndarray, files: np.ndarray) -> np.ndarray:
    chunks = np.zeros(len(files), CHUNK)
    chunks["id"], chunks["type"] = 10 + files, wire.N_FILE
    chunks["mode"], chunks["dev"], chunks["inode"], chunks["magic"] = 0o100644, 8 << 20 | 1, 1000 + files, 0xEF53
    _fill(chunks, paths, files)
    return chunks


def _heads() -> np.ndarray:
    """Return what comes before the first event: names of threads, births, the directories."""
    comms = np.zeros(PROCESSES, CHUNK)
    comms["id"], comms["type"] = 1 + np.arange(PROCESSES), wire.N_COMM
    _fill(comms, np.array([b"python"] * PROCESSES), np.arange(PROCESSES))
    births = np.zeros(PROCESSES, CHUNK)
    births["id"], births["type"], births["base"] = 1000 + np.arange(PROCESSES), wire.N_BIRTH, 999
    births["len"] = wire.CHUNK_BYTES
    places = np.zeros(2, CHUNK)
    places["id"], places["type"], places["mode"] = (_DIRECTORY, _ROOT), wire.N_FILE, 0o040755
    _fill(places, np.array([b"/srv/data", b""]), np.arange(2))
    return np.concatenate([comms, births, places])
