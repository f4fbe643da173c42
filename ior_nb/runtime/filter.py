"""`Filter`: which events a user wants to see, as an immutable syntax tree with a vectorised mask.

The text form, the parser and the split between kernel and Python live in `globalfilter`; engines and sinks only need
`mask`. Every node says whether it matches a *row*, and `Not` is exactly the rows its part does not match: calls that
never return match neither `latency>=1ms` nor `latency<1ms`, so `not latency>=1ms` has them and `latency<1ms` has not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime.batch import EventBatch, is_one_value
from ior_nb.runtime.patterns import IS_IMPORT, IS_MINE, NEGATIONS, exact_value, matcher, verdicts

__all__ = [
    "DIMENSIONS",
    "NUMBER_OPERATORS",
    "TEXT_OPERATORS",
    "UNTIMED",
    "And",
    "Dimension",
    "Errors",
    "Filter",
    "Mine",
    "Node",
    "Not",
    "Number",
    "Or",
    "Probes",
    "Text",
    "check_columns",
    "columns_of",
    "import_rows",
    "leaves",
    "node_of_value",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One thing rows can be compared by."""

    name: str
    columns: tuple[str, ...]
    """The columns looked at. A text matches when any of them does; all but the first are ignored where empty."""
    doc: str
    """What it is, in one line."""
    text: bool = False
    """Whether it is compared with a text, else with a number."""
    unit: str = ""
    """`ns` (durations), `bytes` (sizes), or empty for plain numbers and text."""
    measured: bool = False
    """Whether a value below 0 says that nobody measured it: then it matches no comparison, `!=` included."""
    aliases: tuple[str, ...] = ()
    """Other names people may type: those of a flame graph, and those ior has."""
    foreign: bool = False
    """Whether the column is none of the schema: recordings of a cluster have it, and nothing else does."""


# To add a dimension, add a row. The parser, the completion, the text form and the masks read this table; only what a
# kernel can decide by itself needs a line in globalfilter/pushdown.py too.
DIMENSIONS: Final[dict[str, Dimension]] = {
    d.name: d
    for d in (
        Dimension(
            name="syscall",
            columns=("syscall",),
            doc="name of the system call",
            text=True,
            aliases=("tracepoint",),
        ),
        Dimension(name="family", columns=("family",), doc="family of the system call", text=True),
        Dimension(name="comm", columns=("comm",), doc="name of the thread", text=True),
        Dimension(
            name="file",
            columns=("file", "old_file"),
            doc="file acted on, or source of a rename or link",
            text=True,
            aliases=("path",),
        ),
        Dimension(name="pid", columns=("pid",), doc="process id"),
        Dimension(name="tid", columns=("tid",), doc="thread id"),
        Dimension(name="fd", columns=("fd",), doc="descriptor, -1 for none"),
        Dimension(
            name="latency", columns=("latency_ns",), doc="duration of the call", unit="ns", aliases=("duration",)
        ),
        Dimension(
            name="gap",
            columns=("gap_ns",),
            doc="time since the thread's previous call",
            unit="ns",
            aliases=("durationToPrev",),
        ),
        Dimension(name="time", columns=("time_ns",), doc="start of the call on the boot clock", unit="ns"),
        Dimension(name="bytes", columns=("bytes",), doc="bytes moved", unit="bytes"),
        Dimension(
            name="fetched",
            columns=("fetched_bytes",),
            doc="bytes the call made the device read",
            unit="bytes",
            measured=True,
        ),
        Dimension(name="source", columns=("source",), doc="device, direct, waited or cache, for reads", text=True),
        *(
            Dimension(name=name, columns=(f"{name}_ns",), doc=doc, unit="ns", measured=True)
            for name, doc in (
                ("on_cpu", "time the call ran"),
                ("wait_cpu", "time it waited for a processor"),
                ("wait_device", "time it waited for a device"),
                ("wait_lock", "time it waited for a lock in the kernel"),
                ("wait_other", "time it waited for somebody else"),
            )
        ),
        Dimension(name="ret", columns=("ret",), doc="return value, -errno for errors"),
        Dimension(name="cell", columns=("cell",), doc="execution count of the cell, -1 outside"),
        Dimension(name="host", columns=("host",), doc="machine of the row; empty while it is traced", text=True),
        Dimension(name="label", columns=("label",), doc="what the user called the work, as outer/inner", text=True),
        *(
            Dimension(name=name, columns=(name,), doc=doc, text=True, foreign=True)
            for name, doc in (
                ("task", "key of the Dask task; recordings of a cluster have it"),
                ("task_prefix", "kind of that task, as read-csv"),
                ("worker", "address of the Dask worker that ran it"),
            )
        ),
        Dimension(name="peer", columns=("peer",), doc="other end of the socket, as 127.0.0.1:5432", text=True),
        Dimension(name="local", columns=("local",), doc="the socket's own address", text=True),
        Dimension(name="object", columns=("object",), doc="object of a store, as host/bucket/part-0", text=True),
        Dimension(name="py_file", columns=("py_file",), doc="file of the line of Python that made the call", text=True),
        Dimension(name="py_line", columns=("py_line",), doc="number of that line, 0 for none"),
        Dimension(name="py_func", columns=("py_func",), doc="function of that line", text=True),
        Dimension(name="opened_at", columns=("opened_at",), doc="line that opened the file, `file:line`", text=True),
        Dimension(name="stack", columns=("stack",), doc="Python stack of the call, outermost first", text=True),
    )
}
TEXT_OPERATORS: Final = ("~", "!~", "=", "!=")
_COMPARE: Final[dict[str, Callable[[np.ndarray, int], np.ndarray]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBER_OPERATORS: Final = tuple(_COMPARE)
_UNFINISHED: Final = ("no return", "in flight")
UNTIMED: Final = (*_UNFINISHED, "refused", "untimed")
"""States of rows that have no latency; the last two have a result."""
_LACKING: Final = {"latency": UNTIMED, "ret": _UNFINISHED}


@dataclass(frozen=True, slots=True)
class Number:
    """A comparison with a number: `pid=3`, `latency>=1000000`. Durations are nanoseconds, sizes bytes.

    Calls that never return, or have not returned, match no comparison of latency or ret, `!=` included; refused ones
    and page faults none of latency; and what was not measured matches none of it.

    Raises:
        ValueError: no such dimension or operator, or a value beyond 64 bits with sign.
    """

    dimension: str
    operator: str
    value: int

    def __post_init__(self) -> None:
        if self.dimension not in DIMENSIONS or DIMENSIONS[self.dimension].text or self.operator not in _COMPARE:
            raise ValueError(f"no numeric comparison {self.dimension}{self.operator}")
        if not -(1 << 63) <= self.value < 1 << 63:
            raise ValueError(f"{self.value} does not fit into 64 bits with sign")

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        column = batch[DIMENSIONS[self.dimension].columns[0]]
        limits = np.iinfo(column.dtype)
        if limits.min <= self.value <= limits.max:
            result = np.asarray(_COMPARE[self.operator](column, self.value))
        else:  # no value of the column is that large, or that small
            always = ("!=", "<", "<=") if self.value > limits.max else ("!=", ">", ">=")
            result = np.full(len(batch), self.operator in always)
        if DIMENSIONS[self.dimension].measured:
            result &= column >= 0
        if (lacking := _LACKING.get(self.dimension)) is not None:
            result &= ~batch.tables["state"].among(lacking).take(batch["state"])
        return result


@dataclass(frozen=True, slots=True)
class Text:
    """A comparison with a text: `comm~python`, `file=/data/*`. `patterns` says what the operators mean.

    Raises:
        ValueError: no such dimension or operator.
    """

    dimension: str
    operator: str
    pattern: str

    def __post_init__(self) -> None:
        if self.dimension not in DIMENSIONS or not DIMENSIONS[self.dimension].text:
            raise ValueError(f"no text dimension {self.dimension}")
        if self.operator not in TEXT_OPERATORS:
            raise ValueError(f"no text comparison {self.dimension}{self.operator}")

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,): an array index a row; strings are only looked at once for each table."""
        asked = NEGATIONS.get(self.operator, self.operator)
        first, *others = DIMENSIONS[self.dimension].columns
        result = (self._found if DIMENSIONS[self.dimension].foreign else self._matches)(batch, first, asked)
        for name in others:
            codes = batch[name]
            if codes[:1].any() if is_one_value(codes) else codes.any():
                # An absent source path is no match, else `^$` would match every row.
                result |= self._matches(batch, name, asked) & (codes != 0)
        return ~result if asked != self.operator else result

    def _matches(self, batch: EventBatch, column: str, asked: str) -> np.ndarray:
        codes, table = batch[column], batch.tables[column]
        value = exact_value(asked, self.pattern)
        if value is None:
            matching = verdicts(table, asked, self.pattern)
            return matching.take(codes) if matching.any() else np.zeros(len(batch), bool)
        code = table.code(value)
        return np.zeros(len(batch), bool) if code is None else np.asarray(codes == code)

    def _found(self, batch: EventBatch, column: str, asked: str) -> np.ndarray:
        """Look for the pattern in a column that is not ours, where nothing is the empty text."""
        matches = matcher(asked, self.pattern)
        texts, which = batch.words(column)
        return np.array([matches(text) for text in texts]).take(which)


@dataclass(frozen=True, slots=True)
class Errors:
    """Failed calls only."""

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        return batch.failed.copy()


@dataclass(frozen=True, slots=True)
class Probes:
    """Calls that failed as part of normal work, which are no errors."""

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        return batch["probe"].copy()


@dataclass(frozen=True, slots=True)
class Mine:
    """Calls on the user's own files (`runtime.mine` says which those are not) that no import made for itself."""

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,): an array index a row."""
        own = verdicts(batch.tables["file"], IS_MINE, "").take(batch["file"])
        if batch["old_file"].any():
            own |= verdicts(batch.tables["old_file"], IS_MINE, "").take(batch["old_file"])
        result = ~import_rows(batch)
        result &= own
        return result


@dataclass(frozen=True, slots=True)
class _Several:
    parts: tuple[Node, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ValueError("and, or take at least two parts")


@dataclass(frozen=True, slots=True)
class And(_Several):
    """All of them, at least two."""

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        result = self.parts[0].mask(batch)
        for part in self.parts[1:]:
            result &= part.mask(batch)
        return result


@dataclass(frozen=True, slots=True)
class Or(_Several):
    """Any of them, at least two."""

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        result = self.parts[0].mask(batch)
        for part in self.parts[1:]:
            result |= part.mask(batch)
        return result


@dataclass(frozen=True, slots=True)
class Not:
    """The rows its part does not match."""

    part: Node

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return bool, shape (n,)."""
        return ~self.part.mask(batch)


def import_rows(batch: EventBatch) -> np.ndarray:
    """Return which calls are the cost of imports, as far as their Python stack is known: bool, shape (n,)."""
    codes = batch["stack"]
    if is_one_value(codes) and not codes[:1].any():
        return np.zeros(len(batch), bool)
    return np.asarray(verdicts(batch.tables["stack"], IS_IMPORT, "").take(codes))


Leaf = Number | Text | Errors | Probes | Mine
Node = Leaf | And | Or | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter; without a tree it lets everything pass."""

    tree: Node | None = None

    @classmethod
    def of(cls, parts: Iterable[Node]) -> Filter:
        """Return the filter of the rows that all of `parts` match; of no parts, the one that lets everything pass."""
        parts = tuple(parts)
        return cls(And(parts) if len(parts) > 1 else parts[0] if parts else None)

    @property
    def active(self) -> bool:
        """Whether it can reject anything."""
        return self.tree is not None

    def parts(self) -> tuple[Node, ...]:
        """Return the terms that all have to match, those of nested ANDs too: `Filter.of` puts them together again."""
        return tuple(_and_terms(self.tree)) if self.tree is not None else ()

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return which rows pass: bool, shape (n,), the caller's own array."""
        return np.ones(len(batch), bool) if self.tree is None else self.tree.mask(batch)


def _and_terms(node: Node) -> Iterator[Node]:
    if isinstance(node, And):
        for part in node.parts:
            yield from _and_terms(part)
    else:
        yield node


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield the comparisons of a tree, left to right."""
    if isinstance(node, And | Or):
        for part in node.parts:
            yield from leaves(part)
    elif isinstance(node, Not):
        yield from leaves(node.part)
    else:
        yield node


def columns_of(wanted: Filter) -> tuple[str, ...]:
    """Return the columns its mask looks at."""
    found: dict[str, None] = {}
    for leaf in leaves(wanted.tree) if wanted.tree is not None else ():
        if isinstance(leaf, Errors):
            names: tuple[str, ...] = ("is_error", "probe")
        elif isinstance(leaf, Probes):
            names = ("probe",)
        elif isinstance(leaf, Mine):
            names = ("file", "old_file", "stack")
        else:
            names = DIMENSIONS[leaf.dimension].columns + (("state",) if leaf.dimension in _LACKING else ())
        found |= dict.fromkeys(names)
    return tuple(found)


def check_columns(wanted: Filter, there: Collection[str]) -> None:
    """Refuse a filter that asks for what rows do not have: it would let nothing pass, as if there were nothing.

    Args:
        wanted: the filter.
        there: the columns of the rows that are not of the schema.

    Raises:
        ConfigError: they have no column that the filter looks at.
    """
    for leaf in leaves(wanted.tree) if wanted.tree is not None else ():
        if isinstance(leaf, Text) and DIMENSIONS[leaf.dimension].foreign and leaf.dimension not in there:
            raise ConfigError(
                f"these rows have no column {leaf.dimension!r} to filter by: "
                "recordings of a cluster have it, once its trace has ended (ior_nb.dask.trace)"
            )


def node_of_value(dimension: str, value: str | int, *, directory: bool = False) -> Node:
    """Return the term for a value a view shows: a click on a cell of a table, or on a frame.

    A text gives its exact pattern, a duration everything at least as long, another number the equal ones.

    Args:
        dimension: a key of `DIMENSIONS`.
        value: as the row has it.
        directory: `value` is a directory; what lies directly in it is meant.

    Raises:
        ValueError: the value is not of the dimension's type.
    """
    if isinstance(value, str):
        if directory:
            return Text(dimension, "~", f"^{value.rstrip('/')}/*")
        # `=` has no escape for a star.
        return Text(dimension, "~", f"^{value}$") if "*" in value else Text(dimension, "=", value)
    return Number(dimension, ">=" if dimension in DIMENSIONS and DIMENSIONS[dimension].unit == "ns" else "=", value)
