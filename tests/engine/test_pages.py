"""Counts of faults on mapped files become counts by path."""

from __future__ import annotations

import mmap

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.names import CHUNK, Names
from ior_nb.engine.pages import CACHED_FILE, by_file
from ior_nb.runtime import new_tables


def names_of(*paths: str) -> Names:
    """Return names in which the files 1, 2, ... have these paths."""
    chunks = np.zeros(len(paths), CHUNK)
    for at, path in enumerate(paths):
        chunks[at]["id"], chunks[at]["type"], chunks[at]["parts"] = at + 1, wire.N_FILE, 1
        chunks[at]["length"] = chunks[at]["bytes"] = len(path)
        chunks[at]["text"] = np.void(path.encode().ljust(wire.CHUNK_TEXT, b"\0"))
    names = Names(new_tables())
    names.take(chunks.tobytes())
    return names


def counts(*rows: tuple[int, int, int, int]) -> bytes:
    """Return a frame of (faults, mapped, filled, file)."""
    return np.array([(*row, 0) for row in rows], CACHED_FILE).tobytes()


def test_two_files_of_one_path_are_one() -> None:
    """A file made anew under its name has another inode, and the counts of both are those of the path."""
    found = by_file(counts((3, 5, 7, 1), (11, 13, 17, 2), (0, 0, 0, 3)), names_of("/a", "/a", "/c"))

    assert found == {"/a": {"faults": 14, "mapped_bytes": 18 * mmap.PAGESIZE, "faulted_bytes": 24 * mmap.PAGESIZE}}


def test_a_file_nobody_has_named_has_the_empty_path() -> None:
    """What is counted is told, although its name is not known."""
    assert by_file(counts((1, 0, 1, 0)), names_of())[""]["faulted_bytes"] == mmap.PAGESIZE
