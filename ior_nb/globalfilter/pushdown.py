"""What of a filter an engine can decide at the source, and what is left for the mask.

The law: `pushed.mask(batch) & rest.mask(batch) == filter.mask(batch)`. Only terms that all have to match are looked at,
and a term is pushed whole or not at all; whatever is not exactly expressible stays in the rest. `errors` and `probes`
are pushed and stay: which of the two a failure is, is told later, also by calls that did not fail.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from ior_nb.runtime.batch import EventBatch, new_tables
from ior_nb.runtime.filter import Errors, Filter, Node, Number, Probes, Text, leaves
from ior_nb.runtime.patterns import exact_value, fold
from ior_nb.runtime.pushdown import COMM_BYTES, Pushdown
from ior_nb.syscalls import SYSCALLS
from ior_nb.syscalls.probes import SEARCHING

__all__ = ["split"]

_PIDS: Final = range(1, 1 << 22)  # PID_MAX_LIMIT of the kernel
_LAST: Final = (1 << 63) - 1


def split(filter: Filter) -> tuple[Pushdown, Filter]:  # noqa: A002 - the field's own word
    """Return what an engine may decide, and the filter that remains to be applied to what it lets through."""
    pushed, rest = Pushdown(), []
    for part in filter.parts():
        more = _with(pushed, part)
        if more is None:
            rest.append(part)
        else:
            pushed = more
            if isinstance(part, Errors | Probes):
                rest.append(part)
    return pushed, Filter.of(rest)


def _with(pushed: Pushdown, part: Node) -> Pushdown | None:
    """Return the conditions with one more term, None when it cannot be taken."""
    match part:
        case Errors() | Probes():
            return replace(pushed, errors_only=True, finders=SEARCHING)
        case Number("pid", "=", value) if value in _PIDS and pushed.pid in (None, value):
            return replace(pushed, pid=value)
        case Number("tid", "=", value) if value in _PIDS and pushed.tid in (None, value):
            return replace(pushed, tid=value)
        case Number("latency", operator, value):
            return _with_latency(pushed, operator, value)
        case Text("comm", operator, pattern):
            return _with_comm(pushed, operator, pattern)
    if all(isinstance(leaf, Text) and leaf.dimension in ("syscall", "family") for leaf in leaves(part)):
        return _with_calls(pushed, part)
    return None


def _with_latency(pushed: Pushdown, operator: str, value: int) -> Pushdown | None:
    low, high = pushed.latency_min_ns, pushed.latency_max_ns
    bounds: dict[str, tuple[int | None, int | None]] = {
        "=": (value, value),
        ">": (value + 1, None),
        ">=": (value, None),
        "<": (None, value - 1),
        "<=": (None, value),
    }
    if operator not in bounds:
        return None
    new_low, new_high = bounds[operator]
    if (new_high is not None and new_high < 0) or (new_low is not None and new_low > _LAST):
        return None
    if new_low is not None:
        low = max(new_low, low or 0)  # a bound of 0 still keeps calls without a latency out
    if new_high is not None:
        high = new_high if high is None else min(new_high, high)
    return replace(pushed, latency_min_ns=low, latency_max_ns=high)


def _with_comm(pushed: Pushdown, operator: str, pattern: str) -> Pushdown | None:
    r"""Take a whole name, or its beginning where case counts or there is none.

    A byte that is no UTF-8 is shown as `\xNN`, so a pattern with a backslash may mean two different names.
    """
    prefix = False
    wanted = exact_value(operator, pattern) if operator in ("=", "~") else None
    if wanted is None:
        if operator == "=" and pattern.count("*") == 1 and pattern.endswith("*"):
            wanted = pattern[:-1]
        elif operator == "~" and pattern.startswith("^") and _has_no_case(pattern[1:]):
            wanted = pattern[1:]
        prefix = True
    if not wanted or pushed.comm or "\\" in wanted or "\0" in wanted or (prefix and "*" in wanted):
        return None
    try:
        length = len(wanted.encode())
    except UnicodeEncodeError:
        return None
    return replace(pushed, comm=wanted, comm_prefix=prefix) if length <= COMM_BYTES else None


def _has_no_case(text: str) -> bool:
    """Whether no other text is folded to this one; true of ASCII digits and signs."""
    return text.isascii() and fold(text) == text == text.upper()


@lru_cache(maxsize=1)
def _every_call() -> EventBatch:
    """One row for each system call: a term about nothing else is decided by its mask over these."""
    tables = new_tables()
    names = tables["syscall"].intern_many([s.name for s in SYSCALLS])
    return EventBatch({"syscall": names, "family": tables["family"].intern_many([s.family for s in SYSCALLS])}, tables)


def _with_calls(pushed: Pushdown, part: Node) -> Pushdown:
    numbers = {SYSCALLS[i].number for i in np.flatnonzero(part.mask(_every_call())).tolist()}
    if pushed.numbers is not None:
        numbers &= pushed.numbers
    if len(numbers) == len(SYSCALLS):
        return replace(pushed, calls=None)
    return replace(pushed, calls=tuple((s.number, s.name) for s in SYSCALLS if s.number in numbers))
