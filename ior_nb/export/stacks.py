"""Stacks from the columns of rows, and the tree they make: what flame graphs of every format are drawn from.

A stack is read off the distinct combinations of the chosen columns, never off single events. Each field gives any
number of frames, none where it does not apply.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ior_nb.aggregate import CLASS_OF, Groups, Sums, weighed, weights_of
from ior_nb.aggregate.columns import objects
from ior_nb.aggregate.hosts import several
from ior_nb.errors import ConfigError
from ior_nb.export.arrow import encodable
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.frames import ALIASES, FIELDS, METRICS, Field, by_host
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.text import printable

__all__ = [
    "DEFAULT_FIELDS",
    "FIELDS",
    "METRICS",
    "NOT_RECORDED",
    "UNKNOWN",
    "Stacks",
    "Tree",
    "merged",
    "metric_name",
    "one_line",
    "stacks",
    "told_apart",
    "tree",
]

_NONE: Final[Counters] = {}
_KEY: Final = 63
"""Bits of a number that is sorted by."""
UNKNOWN: Final = "[unknown]"
"""The one frame of a stack that would have none."""
DEFAULT_FIELDS: Final = ("comm", "syscall", "path")
_COUNTED_AS: Final = {"count": "calls", "duration": "latency_ns", "bytes": "bytes"}

NOT_RECORDED: Final = "[not recorded]"
"""The frame above the system calls of calls that were counted and are no rows."""


def one_line(frames: Sequence[str]) -> str:
    """Return a stack as text, frames joined by `;`; one in a name is an escape, so that none can forge a frame."""
    return ";".join(frame.replace(";", "\\x3b") for frame in frames)


@dataclass(frozen=True, slots=True)
class Stacks:
    """Distinct stacks, sorted by their text."""

    names: list[str]
    """Of frames."""
    codes: np.ndarray
    """The frames of each stack, root first, as places in `names`; -1 behind the last: int, shape (n, deepest)."""
    weights: dict[str, np.ndarray]
    """Metric -> one integer per stack."""
    fields: tuple[str, ...] = ()
    """What the frames are."""

    @property
    def frames(self) -> list[tuple[str, ...]]:
        """The names of the frames of each stack, root first, never empty."""
        return [tuple(self.names[code] for code in row if code >= 0) for row in self.codes.tolist()]

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
    rows: Rows,
    fields: str | Sequence[str] = DEFAULT_FIELDS,
    metrics: Sequence[str] = tuple(METRICS),
    unrecorded: Counters = _NONE,
) -> Stacks:
    """Return the stacks of all rows. In `duration` only finished calls weigh. Names in frames are printable.

    Args:
        rows: the rows.
        fields: keys of `FIELDS`, root first, as a sequence or separated by commas. Of several hosts theirs stand above
            the ids of processes and threads.
        metrics: what to add up.
        unrecorded: calls that were counted and are no rows; of their stacks only the system call is known.

    Raises:
        ConfigError: an unknown field or metric, a field given twice, or none at all.
    """
    given = told_apart(fields, rows)
    of_fields = [FIELDS[name] for name in given]
    metrics = [metric_name(m) for m in metrics]
    columns = list(dict.fromkeys(of.column for of in of_fields))
    groups, sums = Groups(*columns), Sums(tuple(metrics))
    for batch in read(rows, *dict.fromkeys([*columns, *(name for m in metrics for name in weighed(m))])):
        at = groups.of(batch)
        sums.grow(len(groups))
        for m in metrics:
            if METRICS[m].column:
                sums.add(m, at, weights_of(batch, m))
            else:
                sums.count(m, at)
    groups.done()
    numbers: dict[str, int] = {UNKNOWN: 0}
    parts = [(_frames(of, values, numbers), which) for of in of_fields for values, which in [groups.values(of.column)]]
    found = _stacked(parts)
    weights = {m: sums.columns[m][: len(groups)] for m in metrics}
    del groups, sums, parts
    if unrecorded:
        more = np.full((len(unrecorded), max(2, found.shape[1])), -1, np.int32)
        more[:, 0] = numbers.setdefault(NOT_RECORDED, len(numbers))
        more[:, 1] = [numbers.setdefault(name, len(numbers)) for name in unrecorded]
        found = np.concatenate([_wide(found, more.shape[1]), more])
        for m in metrics:
            counted = [row[_COUNTED_AS[m]] if m in _COUNTED_AS else 0 for row in unrecorded.values()]
            weights[m] = np.concatenate([weights[m], np.array(counted, np.int64)])
    return merged(list(numbers), found, weights, tuple(given))


def _stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the frames of each stack, root first and without gaps, at least one.

    Args:
        parts: of each field the frames of its values, and which of these each stack has.
    """
    ends = np.cumsum([frames.shape[1] for frames, _ in parts]).tolist()
    found = np.full((len(parts[0][1]), max(1, ends[-1])), -1, np.int32)
    for (frames, which), begin, end in zip(parts, [0, *ends], ends, strict=False):
        found[:, begin:end] = frames.take(which, axis=0)
    if any(bool((frames[:, -1:] < 0).any()) for frames, _ in parts[:-1]):  # of an inner field
        found = np.take_along_axis(found, np.argsort(found < 0, axis=1, kind="stable"), axis=1)
    found[found[:, 0] < 0, 0] = 0
    return found


def _frames(of: Field, values: Sequence[Any], numbers: dict[str, int]) -> np.ndarray:
    """Return the frames of each value of a field; new names are given numbers."""
    ready = [encodable(value) if isinstance(value, str) else value for value in values]
    frames = [of.frames(value) for value in ready]
    flat = list(itertools.chain.from_iterable(frames))
    known = {frame: numbers.setdefault(printable(frame), len(numbers)) for frame in dict.fromkeys(flat)}
    lengths = np.array([len(some) for some in frames], np.int64)
    found = np.full((len(frames), int(lengths.max(initial=0))), -1, np.int32)
    found[np.arange(found.shape[1]) < lengths[:, None]] = [known[frame] for frame in flat]
    return found


def _wide(codes: np.ndarray, width: int) -> np.ndarray:
    return np.pad(codes, ((0, 0), (0, width - codes.shape[1])), constant_values=-1)


def merged(names: list[str], codes: np.ndarray, weights: dict[str, np.ndarray], fields: tuple[str, ...] = ()) -> Stacks:
    """Return stacks sorted by their text, equal ones as one: different values may give equal frames."""
    # A stack sorts as its line does when every frame has its `;`, but for the last one.
    lines = [one_line([name]) for name in names]
    tokens = [*lines, *(line + ";" for line in lines)]
    place = np.empty(len(tokens) + 1, np.int64)
    place[sorted(range(len(tokens)), key=tokens.__getitem__)] = np.arange(1, len(tokens) + 1)
    place[-1] = 0
    keys = _keys(codes, place)
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else keys[0].argsort()
    new = np.ones(len(order), bool)
    new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in (key.take(order) for key in keys)])
    del keys
    first = np.flatnonzero(new)
    sums = {m: np.add.reduceat(values[order], first) if len(first) else values for m, values in weights.items()}
    return Stacks(names, codes.take(order[new], axis=0), sums, fields)


def _keys(codes: np.ndarray, place: np.ndarray) -> list[np.ndarray]:
    """Return numbers that sort as stacks do, the most significant first: of each column as many bits as it needs.

    Args:
        codes: of the stacks.
        place: of each frame as the last one, then of each as one with others behind, then of none: from 0 on.
    """
    keys, used = [np.zeros(len(codes), np.int64)], 0
    for depth in range(codes.shape[1]):
        token = codes[:, depth].astype(np.intp)
        if depth + 1 < codes.shape[1]:
            token[codes[:, depth + 1] >= 0] += len(place) // 2
        met = np.zeros(len(place), bool)
        met[place.take(token, mode="wrap")] = True
        ranks = met.cumsum() - 1
        bits = int(ranks[-1]).bit_length()
        if used + bits > _KEY:
            keys.append(np.zeros(len(codes), np.int64))
            used = 0
        keys[-1] <<= bits
        keys[-1] |= ranks.take(place).take(token, mode="wrap")
        used += bits
    return keys


def told_apart(fields: str | Sequence[str], *rows: Rows) -> list[str]:
    """Return the names of fields, with the host above ids where some of the rows are of several.

    Raises:
        ConfigError: an unknown field, a field given twice, or none at all.
    """
    given = _field_names(fields)
    apart = list(by_host(given))
    return apart if apart != given and any(map(several, rows)) else given


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


@dataclass(frozen=True, slots=True)
class Tree:
    """Frames by number; 0 is the root, and a parent's number is lower than its children's."""

    names: np.ndarray
    """Strings."""
    parents: np.ndarray
    depths: np.ndarray
    totals: dict[str, np.ndarray]
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
        most = min(max(1, limit), len(total))
        enough = total >= np.partition(total, -most)[-most]  # so few that they can be sorted
        enough[0] = False
        wanted = np.flatnonzero(enough & (total > max(0.0, least * float(total[0]))))
        # No child weighs more than its parent, and of equal ones the parent has the lower number.
        best = wanted[np.argsort(-total[wanted], kind="stable")[: max(0, limit - 1)]]
        return [0, *np.sort(best).tolist()]

    def classes(self, shown: Sequence[int]) -> dict[int, str]:
        """Return the byte class of each frame, that of the system call it is or stands below; empty above one.

        Args:
            shown: the numbers of frames, ascending, the root and the parents of all among them.
        """
        found = {0: ""}
        for number in shown[1:]:
            found[number] = found[self.parents[number]] or CLASS_OF.get(self.names[number], "")
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
    at = np.zeros(len(found.codes), np.intp)
    levels, count = [(np.full(1, -1, np.intp), np.full(1, -1, np.int32))], 1
    for depth in range(found.codes.shape[1]):
        levels.append(_level(found, depth, at, count))
        count += len(levels[-1][0])
    parents, names = (np.concatenate(parts) for parts in zip(*levels, strict=True))
    sizes = [len(level) for level, _ in levels]
    ends, totals = np.cumsum(sizes).tolist(), {}
    for metric, weights in found.weights.items():
        total = totals[metric] = np.zeros(count, np.int64)
        np.add.at(total, at, weights)
        for low, high in reversed(list(itertools.pairwise(ends))):
            np.add.at(total, parents[low:high], total[low:high])
    texts = objects([*found.names, ""])  # the last one is the root's
    return Tree(texts.take(names), parents, np.repeat(np.arange(len(levels), dtype=np.int32), sizes), totals)


def _level(found: Stacks, depth: int, at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parents of the frames of a depth, and the places of their names.

    Args:
        found: the stacks.
        depth: 0 below the root.
        at: the frame above of each stack; the frame itself afterwards, where a stack has one.
        count: number of the first frame of the depth.
    """
    codes = found.codes[:, depth]
    there = np.flatnonzero(codes >= 0)
    keys = at.take(there)
    keys *= len(found.names)
    keys += codes.take(there)
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    first, which = np.flatnonzero(new), new.cumsum()
    which -= 1
    behind = found.codes[:, depth + 1].take(there) >= 0 if depth + 1 < found.codes.shape[1] else np.zeros(1, bool)
    if behind.any() and not behind.all():  # a stack need not stand beside those that begin with it
        _, lead, same = np.unique(keys[first], return_index=True, return_inverse=True)
        order = np.argsort(lead)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        first, which = first[lead[order]], place[same[which]]
    leaders = there.take(first)
    parents = at.take(leaders)
    which += count
    at[there] = which
    return parents, codes.take(leaders)
