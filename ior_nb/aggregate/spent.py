"""What calls made devices read and where their time went, of those it was measured of; and who waits for somebody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ior_nb.aggregate.rows import at_others, fault_rows, latencies, waits_at
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value, repeated
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.schema import PARTS

__all__ = [
    "MEASURED",
    "WAITED",
    "WORDS",
    "Spent",
    "amount",
    "may_wait",
    "reasons",
    "slept",
    "totals",
    "wait_rows",
    "waiting",
]

MEASURED: Final = ("fetched_bytes", *PARTS)
"""Columns that may not be measured; then they are below 0."""
WORDS: Final = dict(zip(PARTS, ("on CPU", "CPU queue", "device", "kernel lock", "others"), strict=True))
"""What each part of a latency is called where there is little room."""
_NOTHING: Final = np.zeros(1, np.int64)
_LEAST: Final = 0.1
"""Share of a latency that is worth a word."""
_MOST: Final = 2
_ALWAYS: Final = 2
"""What `waits_at` says of calls that do nothing but wait."""
_STORED: Final = ("file", "directory", "block")
"""Kinds of files that only a device or a server keeps waiting, so that their calls are slow and none that wait."""


def amount(batch: EventBatch, name: str) -> np.ndarray:
    """Return a column of `MEASURED`, int64, 0 where it was not measured."""
    column = batch[name]
    if is_one_value(column):
        return column if len(column) and column[0] >= 0 else repeated(_NOTHING, len(column))
    return np.asarray(np.maximum(column, 0))


class Spent:
    """Adds up what was measured of batches.

    Attributes:
        fetched: bytes; -1 where nobody counted.
        parts: ns by column of `PARTS`, those that were measured.
        latency: ns in the calls they are parts of, and what faults slept.
        slept: ns faults on mapped files slept.
    """

    def __init__(self) -> None:
        self.fetched = -1
        self.parts: dict[str, int] = {}
        self.latency = 0
        self.slept = 0

    def add(self, measured: Mapping[str, int], latency: int, slept: int) -> None:
        """Count rows.

        Args:
            measured: `totals` of them.
            latency: how long they took together.
            slept: how long faults among them did, of what was measured.
        """
        parts = dict(measured)
        if (fetched := parts.pop("fetched_bytes", -1)) >= 0:
            self.fetched = max(self.fetched, 0) + fetched
        for name, total in parts.items():
            self.parts[name] = self.parts.get(name, 0) + total
        if parts:
            self.slept += slept
            self.latency += latency + slept


def totals(batch: EventBatch) -> dict[str, int]:
    """Return the sum of each column of `MEASURED` that was measured of some row."""
    return {name: total for name in MEASURED if (total := _total(batch[name])) >= 0}


def slept(batch: EventBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are faults, and how long each slept, int64, ns: it is all that is known of their time."""
    rows = rows_of(fault_rows(batch))
    if not len(rows):
        return rows, np.zeros(0, np.int64)
    parts = np.stack([np.maximum(batch[name][rows], 0) for name in PARTS])
    return rows, np.asarray(parts.sum(axis=0, dtype=np.int64))


def _total(column: np.ndarray) -> int:
    """Return the sum of what was measured, -1 where nothing was."""
    if is_one_value(column):
        return int(column[0]) * (len(column) if column[0] >= 0 else 1)
    if int(column.min()) >= 0:
        return int(column.sum())
    known = column[column >= 0]
    return int(known.sum()) if len(known) else -1


WAITED: Final = ("syscall", "file_kind", "latency_ns", "state", "wait_other_ns")
"""The columns of `wait_rows` and `waiting`."""


def may_wait(batch: EventBatch, at: np.ndarray) -> bool:
    """Tell whether some row may be one of `wait_rows`; `at` is `waits_at` of the calls there are."""
    slept = batch["wait_other_ns"]
    if not is_one_value(slept) or (slept[:1] > 0).any():
        return True
    return bool((at == _ALWAYS if len(slept) and not slept[0] else at > 0).any())


def wait_rows(batch: EventBatch, at: np.ndarray | None = None) -> np.ndarray:
    """Return which rows wait for somebody else: bool, shape (n,).

    Calls that do nothing but wait are. Of others, where it was measured, those that did for most of their time, but for
    reads and writes of files: there somebody is a server. Elsewhere the call, and the kind of its file, say it.

    Args:
        batch: the rows.
        at: `waits_at` of the call of each row, where it is known.
    """
    if at is None:
        at = waits_at(batch.tables["syscall"]).take(batch["syscall"])
    slept = batch["wait_other_ns"]
    if is_one_value(slept) and len(slept) and not slept[0]:  # nobody waited, but for those that do nothing else
        return np.asarray(at == _ALWAYS)
    may = at_others(batch, at)
    if is_one_value(slept) and (not len(slept) or slept[0] < 0):
        return may
    stored = batch.tables["file_kind"].among(_STORED).take(batch["file_kind"])
    most = slept > latencies(batch)[0] >> 1
    return np.where(slept < 0, may, (at == _ALWAYS) | most & (may | ~stored))


def waiting(batch: EventBatch, rows: np.ndarray) -> np.ndarray:
    """Return how long each row waited for somebody else: int64.

    Args:
        batch: the rows.
        rows: `wait_rows` of them; where it was not measured, all of their time.
    """
    slept = batch["wait_other_ns"]
    if is_one_value(slept) and len(slept) and slept[0] >= 0:
        return slept
    return np.where(slept < 0, np.where(rows, latencies(batch)[0], 0), slept)


def reasons(batch: EventBatch) -> list[str]:
    """Return what took most of the time of each row, in a word or two; empty where nobody measured. For few rows."""
    found = []
    for latency, *parts in zip(*(batch[name].tolist() for name in ("latency_ns", *PARTS)), strict=True):
        shares = sorted(zip(parts, WORDS.values(), strict=True), reverse=True)
        some = [f"{word} {part / latency:.0%}" for part, word in shares if latency and part >= _LEAST * latency]
        found.append(", ".join(some[:_MOST]))
    return found
