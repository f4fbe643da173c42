"""Counts of faults on mapped files, by the name of the file: what the collector sends of them at the end of a trace."""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.names import Names

__all__ = ["CACHED_FILE", "by_file"]

CACHED_FILE: Final = np.dtype(list(wire.CACHED_FILE))


def by_file(payload: bytes, names: Names) -> dict[str, dict[str, int]]:
    """Return what a CACHED frame says: path -> `faults`, `mapped_bytes` and `faulted_bytes`, see `Trace.pages`."""
    counts = np.frombuffer(payload, CACHED_FILE)
    counts = counts[counts["faults"] > 0]
    paths = names.texts_of(names.file_places.find(counts["file"]))
    found: dict[str, dict[str, int]] = {}
    for path, faults, mapped, filled in zip(
        paths, counts["faults"].tolist(), counts["mapped"].tolist(), counts["filled"].tolist(), strict=True
    ):
        row = found.setdefault(path, {"faults": 0, "mapped_bytes": 0, "faulted_bytes": 0})
        row["faults"] += faults
        row["mapped_bytes"] += mapped * mmap.PAGESIZE
        row["faulted_bytes"] += filled * mmap.PAGESIZE
    return found
