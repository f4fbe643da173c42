"""Stacks from the columns of a batch, and the tree they make: what flame graphs of every format are drawn from.

A stack is read off the distinct combinations of the chosen columns, never off single events. Each field gives any
number of frames, none where it does not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ior_nb.aggregate import CLASS_OF, Groups, amount, latencies
from ior_nb.errors import ConfigError
from ior_nb.export.arrow import compact
from ior_nb.runtime import EventBatch
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.frames import ALIASES, FIELDS
from ior_nb.runtime.schema import PARTS, column
from ior_nb.runtime.text import printable

__all__ = [
    "DEFAULT_FIELDS",
    "FIELDS",
    "METRICS",
    "NOT_RECORDED",
    "UNKNOWN",
    "Stacks",
    "Tree",
    "metric_name",
    "one_line",
    "stacks",
    "tree",
]

_NONE: Final[Counters] = {}
UNKNOWN: Final = "[unknown]"
"""The one frame of a stack that would have none."""
DEFAULT_FIELDS: Final = ("comm", "syscall", "path")
METRICS: Final = {
    "count": "none",
    "duration": "nanoseconds",
    "bytes": "bytes",
    "gap": "nanoseconds",
    "fetched": "bytes",
    **{name.removesuffix("_ns"): "nanoseconds" for name in PARTS},
}
"""What a frame's width can mean, and its unit as speedscope calls it."""
_COUNTED_AS: Final = {"count": "calls", "duration": "latency_ns", "bytes": "bytes"}

NOT_RECORDED: Final = "[not recorded]"
"""The frame above the system calls of calls that were counted and are no rows."""


def one_line(frames: Sequence[str]) -> str:
    """Return a stack as text, frames joined by `;`; one in a name is an escape, so that none can forge a frame."""
    return ";".join(frame.replace(";", "\\x3b") for frame in frames)


@dataclass(frozen=True, slots=True)
class Stacks:
    """Distinct stacks, sorted by their text."""

    frames: list[tuple[str, ...]]
    """Root first, never empty."""
    weights: dict[str, np.ndarray]
    """Metric -> one integer per stack."""
    fields: tuple[str, ...] = ()
    """What the frames are."""

    def total(self, metric: str) -> int:
        """Return the sum of all stacks."""
        return int(self.weights[metric].sum())


def metric_name(metric: str) -> str:
    """Return the name of a metric without alias.

    Raises:
        ConfigError: there is no such metric.
    """
    name = ALIASES.get(metric, metric)
    if name not in METRICS:
        raise ConfigError(f"unknown metric {metric!r}; choose from {', '.join(METRICS)}")
    return name


def stacks(
    batch: EventBatch,
    fields: str | Sequence[str] = DEFAULT_FIELDS,
    metrics: Sequence[str] = tuple(METRICS),
    unrecorded: Counters = _NONE,
) -> Stacks:
    """Return the stacks of all rows. In `duration` only finished calls weigh. Names in frames are printable.

    Args:
        batch: the rows.
        fields: keys of `FIELDS`, root first, as a sequence or separated by commas.
        metrics: what to add up.
        unrecorded: calls that were counted and are no rows; of their stacks only the system call is known.

    Raises:
        ConfigError: an unknown field or metric, a field given twice, or none at all.
    """
    names = _field_names(fields)
    metrics = [metric_name(m) for m in metrics]
    found, sums = _of_rows(batch, names, metrics) if len(batch) else ([], {m: np.zeros(0, np.int64) for m in metrics})
    found += [(NOT_RECORDED, name) for name in unrecorded]
    for m in metrics:
        more = [row[_COUNTED_AS[m]] if m in _COUNTED_AS else 0 for row in unrecorded.values()]
        sums[m] = np.concatenate([sums[m], np.array(more, np.int64)])
    order = sorted(range(len(found)), key=lambda i: one_line(found[i]).encode())
    return Stacks([found[i] for i in order], {m: values[order] for m, values in sums.items()}, tuple(names))


def _of_rows(
    batch: EventBatch, names: Sequence[str], metrics: Sequence[str]
) -> tuple[list[tuple[str, ...]], dict[str, np.ndarray]]:
    keys, of_value = [], []
    for name in names:
        row = FIELDS[name]
        codes, values = _distinct(batch, row.column)
        keys.append(codes)
        of_value.append([tuple(map(printable, row.frames(value))) for value in values])
    groups = Groups(*keys)
    first = groups.first()
    sums = {m: groups.sum(_weight(batch, m)) for m in metrics}
    columns = [[frames[c] for c in key[first].tolist()] for key, frames in zip(keys, of_value, strict=True)]
    numbers: dict[tuple[str, ...], int] = {}
    at = [
        numbers.setdefault(tuple(f for frames in parts for f in frames) or (UNKNOWN,), len(numbers))
        for parts in zip(*columns, strict=True)
    ]
    merged = Groups(np.array(at, np.int64))  # different values may give equal frames
    return list(numbers), {m: merged.sum(values) for m, values in sums.items()}


def _field_names(fields: str | Sequence[str]) -> list[str]:
    words = [w.strip() for w in (fields.split(",") if isinstance(fields, str) else fields)]
    names = [ALIASES.get(w, w) for w in words]
    for name in names:
        if name not in FIELDS:
            raise ConfigError(f"unknown stack field {name!r}; choose from {', '.join(FIELDS)}")
        if names.count(name) > 1:
            raise ConfigError(f"stack field {name!r} is given twice; once is enough")
    if not names:
        raise ConfigError(f"stacks of no fields say nothing; choose from {', '.join(FIELDS)}")
    return names


def _distinct(batch: EventBatch, name: str) -> tuple[np.ndarray, Sequence[Any]]:
    """Return a column as codes, and the values they stand for; text is ready for UTF-8."""
    if column(name).text:
        return compact(batch[name], batch.tables[name])
    values, codes = np.unique(batch[name], return_inverse=True)
    return codes, values.tolist()


def _weight(batch: EventBatch, metric: str) -> np.ndarray:
    if metric == "count":
        return np.ones(len(batch), np.int64)
    if metric == "duration":
        return latencies(batch)[0]
    if metric in ("gap", "bytes"):
        return batch[{"gap": "gap_ns", "bytes": "bytes"}[metric]].astype(np.int64)
    return amount(batch, "fetched_bytes" if metric == "fetched" else f"{metric}_ns")


@dataclass(slots=True)
class Tree:
    """Frames by number; 0 is the root, and a parent's number is lower than its children's."""

    names: list[str] = field(default_factory=lambda: [""])
    parents: list[int] = field(default_factory=lambda: [-1])
    depths: list[int] = field(default_factory=lambda: [0])
    totals: dict[str, np.ndarray] = field(default_factory=dict)
    """Metric -> weight of each frame and all below it."""

    def largest(self, metric: str, limit: int, least: float = 0.0) -> list[int]:
        """Return the numbers of the frames with the most weight, the root among them, ascending.

        A frame is only there when its parent is. The weight of those left out still is in their parents.

        Args:
            metric: the weight.
            limit: how many, at most.
            least: share of the root's weight below which a frame is left out.
        """
        total = self.totals[metric]
        wanted = np.flatnonzero(total > max(0.0, least * float(total[0])))
        wanted = wanted[wanted > 0]
        # No child weighs more than its parent, and of equal ones the parent has the lower number.
        best = wanted[np.argsort(-total[wanted], kind="stable")[: max(0, limit - 1)]]
        return [0, *np.sort(best).tolist()]

    def classes(self) -> list[str]:
        """Return the byte class of each frame, that of the system call it is or stands below; empty above one."""
        found = [""]
        for name, parent in zip(self.names[1:], self.parents[1:], strict=True):
            found.append(found[parent] or CLASS_OF.get(name, ""))
        return found

    def path(self, number: int) -> list[str]:
        """Return the frames from below the root to this one."""
        names = []
        while number > 0:
            names.append(self.names[number])
            number = self.parents[number]
        return names[::-1]


def tree(found: Stacks) -> Tree:
    """Return the stacks as a tree; children stand in the order of their stacks."""
    result = Tree()
    children: dict[tuple[int, str], int] = {}
    leaves = []
    for frames in found.frames:
        at = 0
        for depth, name in enumerate(frames, 1):
            number = children.get((at, name))
            if number is None:
                number = children[at, name] = len(result.names)
                result.names.append(name)
                result.parents.append(at)
                result.depths.append(depth)
            at = number
        leaves.append(at)
    depths, parents = np.array(result.depths), np.array(result.parents)
    for metric, weights in found.weights.items():
        total = np.zeros(len(result.names), np.int64)
        np.add.at(total, np.array(leaves, np.int64), weights)
        for depth in range(int(depths.max()), 0, -1):
            level = np.flatnonzero(depths == depth)
            np.add.at(total, parents[level], total[level])
        result.totals[metric] = total
    return result
