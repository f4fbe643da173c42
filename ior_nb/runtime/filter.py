"""`Filter`: which events a user wants to see, as an immutable syntax tree.

The text form and the parser live in `globalfilter`; engines and sinks only need `mask`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.runtime.batch import EventBatch

__all__ = ["And", "Errors", "Filter", "Node", "Not", "Number", "Or", "Text"]

_NUMERIC: Final[dict[str, str]] = {
    "pid": "pid",
    "tid": "tid",
    "fd": "fd",
    "latency": "latency_ns",
    "gap": "gap_ns",
    "bytes": "bytes",
    "ret": "ret",
    "cell": "cell",
}
_TEXTUAL: Final[dict[str, tuple[str, ...]]] = {
    "syscall": ("syscall",),
    "family": ("family",),
    "comm": ("comm",),
    "file": ("file", "old_file"),
}
_OPERATORS: Final[dict[str, Callable[[np.ndarray, int], np.ndarray]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric comparison. Durations are nanoseconds.

    Rows of calls that never return, or have not, match no comparison of latency or ret.
    """

    dimension: str
    operator: str
    value: int

    def __post_init__(self) -> None:
        if self.dimension not in _NUMERIC or self.operator not in _OPERATORS:
            raise ValueError(f"no numeric comparison {self.dimension}{self.operator}")

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        result = np.asarray(_OPERATORS[self.operator](batch[_NUMERIC[self.dimension]], self.value))
        if self.dimension in ("latency", "ret"):
            done = batch.tables["state"].code("done")
            result = result & (batch["state"] == (-1 if done is None else done))
        return result


@dataclass(frozen=True, slots=True)
class Text:
    """A text pattern.

    Plain text is looked for anywhere, `^` and `$` anchor it, both without regard to case; with both anchors, or as
    `^dir/*` (the entries directly in a directory), case counts.
    """

    dimension: str
    pattern: str

    def __post_init__(self) -> None:
        if self.dimension not in _TEXTUAL:
            raise ValueError(f"no text dimension {self.dimension}")

    def accepts(self, text: str) -> bool:
        """Tell whether one value matches."""
        pattern = self.pattern
        start, end = pattern.startswith("^"), pattern.endswith("$") and len(pattern) > 0
        if start and pattern.endswith("/*"):
            directory = pattern[1:-1]
            return text.startswith(directory) and len(text) > len(directory) and "/" not in text[len(directory) :]
        core = pattern[start : len(pattern) - end] if len(pattern) > 1 else "" if start or end else pattern
        if start and end:
            return text == core
        core, text = core.lower(), text.lower()
        return text.startswith(core) if start else text.endswith(core) if end else core in text

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,): one look at each distinct string of the batch."""
        result = np.zeros(len(batch), bool)
        for i, name in enumerate(_TEXTUAL[self.dimension]):
            used, inverse = np.unique(batch[name], return_inverse=True)
            table = batch.tables[name]
            # An absent source path is no match, else `^$` would match every row.
            good = np.array([(i == 0 or c != 0) and self.accepts(table[c]) for c in used.tolist()], bool)
            result |= good[inverse] if len(used) else False
        return result


@dataclass(frozen=True, slots=True)
class Errors:
    """Failed calls only."""

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        return batch["is_error"]


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Node, ...]

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        result = np.ones(len(batch), bool)
        for part in self.parts:
            result &= part.mask(batch)
        return result


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple[Node, ...]

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        result = np.zeros(len(batch), bool)
        for part in self.parts:
            result |= part.mask(batch)
        return result


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Node

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        return ~self.part.mask(batch)


Node = Number | Text | Errors | And | Or | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter; without a tree it lets everything pass."""

    tree: Node | None = None

    @property
    def active(self) -> bool:
        """Whether it can reject anything."""
        return self.tree is not None

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return which rows pass: bool, shape (n,)."""
        return np.ones(len(batch), bool) if self.tree is None else self.tree.mask(batch)
