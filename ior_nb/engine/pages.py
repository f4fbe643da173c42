"""What is counted by file of page cache and faults: what the collector sends of it, by the name of the file."""

from __future__ import annotations

import mmap
import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.moves import Moves
from ior_nb.engine.names import Names
from ior_nb.runtime import PageState, StringTable
from ior_nb.runtime.host import cached_of

__all__ = ["ASKED", "CACHED_FILE", "by_file", "in_cache", "settle", "states"]

CACHED_FILE: Final = np.dtype(list(wire.CACHED_FILE))
_SUMS: Final = {
    "faults": ("faults", 1),
    "mapped_bytes": ("mapped", mmap.PAGESIZE),
    "faulted_bytes": ("filled", mmap.PAGESIZE),
    "dirtied_bytes": ("dirtied", mmap.PAGESIZE),
    "written_bytes": ("written", 1),
    "written_in_calls": ("in_calls", 1),
}
_LAST: Final = {"last_dirtied_ns": "last_dirty", "last_written_ns": "last_write"}
_MOST: Final = 1000
"""Files that are asked about at the end."""
ASKED: Final = 64
"""Files that are asked about for a view, each time."""
_ASKED_S: Final = 0.02
"""And how long that may take: a large file takes a while."""
_NONE: Final = Moves()


def by_file(payload: bytes, names: Names, texts: StringTable) -> dict[str, dict[str, int]]:
    """Return what a CACHED frame says by path, see `Trace.pages`; files nothing happened to are left out.

    Args:
        payload: the frame.
        names: what the ids of files mean.
        texts: what the codes of paths mean.
    """
    counts = np.frombuffer(payload, CACHED_FILE)
    counts = counts[(counts["faults"] > 0) | (counts["dirtied"] > 0)]
    paths = texts.at(names.paths_of(names.file_places.find(counts["file"])))
    found: dict[str, dict[str, int]] = {}
    for path, values in zip(paths, counts.tolist(), strict=True):
        words = dict(zip(CACHED_FILE.names or (), values, strict=True))
        row = found.setdefault(path, dict.fromkeys([*_SUMS, *_LAST, "first_dirtied_ns", "tid", "others"], 0))
        for name, (word, size) in _SUMS.items():
            row[name] += words[word] * size
        for name, word in _LAST.items():
            row[name] = max(row[name], words[word])
        if words["dirtied"]:
            row["others"] |= words["others"] or int(row["tid"] not in (0, words["tid"]))
            row["tid"] = row["tid"] or words["tid"]
            begun = row["first_dirtied_ns"] or words["first_dirty"]
            row["first_dirtied_ns"] = min(begun, words["first_dirty"])
            row["inode"] = words["inode"]
    return found


def settle(pages: dict[str, dict[str, int]], moves: Moves) -> None:
    """Add to files that were made dirty what is not written: still to be (`pending_bytes`), or never (`never_bytes`).

    A kernel that tells (Linux 6.5) and lets us is asked what of a file is dirty; else it is what was made dirty and not
    written, which is too much where a part of a page was. A file that was moved is asked about where it is now.
    """
    for path, row in list(pages.items())[:_MOST]:
        inode = row.pop("inode", 0)
        if not row["dirtied_bytes"]:
            continue
        place = moves.place(path)
        row["pending_bytes"], row["never_bytes"] = _left(place, row, in_cache(place, inode))


def _left(path: str, row: Mapping[str, int], there: tuple[int, int] | None) -> tuple[int, int]:
    """Return what of a file is still to be written, and what never will be."""
    left = max(row.get("dirtied_bytes", 0) - row.get("written_bytes", 0), 0)
    if there is None and path and not os.path.lexists(path):
        return 0, left
    return (left if there is None else there[1]), 0


def states(pages: Mapping[str, Mapping[str, int]], paths: Sequence[str], moves: Moves = _NONE) -> dict[str, PageState]:
    """Return what is known of the pages of files of this machine now.

    Args:
        pages: what was counted, by path; where the trace has ended, what is left is that of its end.
        paths: the files; of more than `ASKED`, and when it takes long, only the first are asked about.
        moves: where files are now.
    """
    found, until = {}, time.monotonic() + _ASKED_S
    for path in paths[:ASKED]:
        row = pages.get(path, {})
        place = moves.place(path)
        there = in_cache(place, row.get("inode", 0)) if time.monotonic() < until else None
        pending, never = row.get("pending_bytes", 0), row.get("never_bytes", 0)
        if "pending_bytes" not in row and row.get("dirtied_bytes"):
            pending, never = _left(place, row, there)
        found[path] = PageState(
            cached=-1 if there is None else there[0],
            dirtied=row.get("dirtied_bytes", 0),
            written=row.get("written_bytes", 0),
            pending=pending,
            never=never,
        )
    return found


def in_cache(path: str, inode: int = 0) -> tuple[int, int] | None:
    """Return how many bytes of a regular file are in the page cache now, and how many of them are not on the disk yet.

    Args:
        path: of the file.
        inode: which file it has to be; 0 for any.

    Returns:
        None where it is another file, is gone, or the kernel does not tell, or not us.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode) or inode not in (0, state.st_ino):
            return None
        found = cached_of(fd)
        return None if found is None else (found.pages * mmap.PAGESIZE, found.dirty * mmap.PAGESIZE)
    finally:
        os.close(fd)
