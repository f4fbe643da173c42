"""`Completeness`: what the rows of a trace lack, as one value.

The trace makes it, and everything made of its rows carries it: tables, figures, exports, panels. Nothing that shows
numbers of rows finds out by itself what is missing; it shows this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeGuard

from ior_nb.runtime.text import middle_cut, printable
from ior_nb.runtime.values import WITHOUT_STACK, Accounting

__all__ = [
    "COUNTED",
    "COUNTS",
    "UNRECORDED",
    "Completeness",
    "Counters",
    "accounting_of",
    "caveats_of",
    "counters_of",
    "is_map",
    "json_of",
    "only_where",
    "pages_of",
    "unfilled_of",
    "whole_number",
]

COUNTED: Final = ("calls", "errors", "probes", "bytes", "latency_ns")
"""What the kernel counts of each system call."""
UNRECORDED: Final = "(not recorded)"
"""What stands for a name in the row of calls that were counted and are no rows."""
Counters = Mapping[str, Mapping[str, int]]
"""`COUNTED` by name of the system call."""

COUNTS: Final = tuple(
    f.name for f in fields(Accounting) if f.name not in ("lost", "without_stack", "died", "counts_only")
)
"""What of an `Accounting` is a number."""
_REASON: Final = re.compile(r"[a-z_]{1,20}")
_MOST: Final = 1 << 63
_MOST_CAVEATS: Final = 20
_LONGEST: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What rows lack: calls that were sampled out or lost, those a filter kept out, those that could not be seen."""

    accounting: Accounting = field(default_factory=Accounting)
    """Where every call went."""
    caveats: tuple[str, ...] = ()
    """What narrowed the rows, in words, as `only rows where errors`; raw, for a filter may have any text."""
    let_go: int = 0
    """Rows that are no longer in memory."""
    running: bool = False
    """Whether the trace still runs: then all this is so far."""
    unrecorded: Counters = field(default_factory=dict)
    """Calls that were counted and are no rows, by system call; empty where their number alone is known."""
    unfilled: Mapping[str, str] = field(default_factory=dict)
    """Columns that are empty because this kernel, or these rights, do not fill them, and why, by their names; raw."""
    exact: bool = True
    """Whether rows and `unrecorded` together are all calls that were wanted."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing that should be there: what was left out was asked for."""
        return self.accounting.complete and not self.accounting.unaccounted

    @property
    def partial(self) -> bool:
        """Whether there are calls that were wanted and are no rows: sampled out, lost, or let go."""
        return bool(self.accounting.sampled_out or self.accounting.lost_total or self.let_go)

    @property
    def whole(self) -> bool:
        """Whether every call that was seen is a row at hand, so that there is nothing to tell."""
        return self.complete and not (self.partial or self.accounting.filtered or self.caveats)

    def narrowed(self, text: str) -> Completeness:
        """Return it for the rows among these that a filter, by its canonical text, lets pass."""
        caveats = dict.fromkeys([*self.caveats, only_where([text])])
        exact = not (self.accounting.sampled_out or self.accounting.lost_total)
        return replace(self, caveats=tuple(c for c in caveats if c), unrecorded={}, exact=exact)

    def lines(self) -> list[str]:
        """Return all there is to tell, in lines safe for a terminal; the first is of the calls."""
        accounting = self.accounting
        if self.running and not accounting.counts_only:
            first = f"so far, {accounting.line()}" if accounting.seen else "still running"
        else:
            first = accounting.line()
        found = [first, *(middle_cut(printable(caveat), _LONGEST) for caveat in self.caveats)]
        missing = accounting.sampled_out + accounting.lost_total
        if missing and (accounting.filtered or self.caveats):
            found.append(f"nobody knows which of the {missing:,} calls without a row would be among these")
        if self.let_go:
            found.append(
                f"{self.let_go:,} older rows are no longer in memory; a recording keeps all (%ior record, or record=)"
            )
        if self.unfilled:
            why = ", ".join(f"{names} ({reason})" for names, reason in self.unfilled.items())
            found.append(middle_cut(printable(f"not filled: {why}"), 3 * _LONGEST))
        return found

    def line(self) -> str:
        """Return the same in one line."""
        return "; ".join(self.lines())

    def told(self) -> str:
        """Return the line where there is something to tell; empty where the rows are whole."""
        return "" if self.whole else self.line()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values, the line in words among them."""
        return {
            "completeness": self.line(),
            "complete": self.complete,
            "whole": self.whole,
            "caveats": list(self.caveats),
            "unfilled": dict(self.unfilled),
            "accounting": self.accounting.as_dict(),
        }

    def pairs(self) -> dict[str, str]:
        """Return it as metadata of files and Arrow schemas; `accounting_of` and `caveats_of` read it."""
        return {
            "ior_nb.completeness": self.line(),
            "ior_nb.caveats": json.dumps(self.caveats),
            "ior_nb.unfilled": json.dumps(dict(self.unfilled)),
            "ior_nb.accounting": json.dumps(self.accounting.as_dict()),
        }


def only_where(filters: Iterable[str]) -> str:
    """Return the caveat for the filters in force, one after the other; empty where all rows passed all the time.

    Args:
        filters: canonical texts, `all` for none, each followed by another one.
    """
    found = list(filters)
    if all(text == "all" for text in found):
        return ""
    narrows = ["only " if before == "all" else "" for before in ["all", *found]]
    return ", then ".join(
        "all rows" if text == "all" else f"{only}rows where {text}" for only, text in zip(narrows, found, strict=False)
    )


# ---- what metadata says; anybody may have written it


def accounting_of(pairs: Mapping[str, str]) -> Accounting | None:
    """Return the accounting of a footer; None where there is none that makes sense."""
    found = json_of(pairs, "ior_nb.accounting")
    if not is_map(found):
        return None
    counts = _all_counts({name: found.get(name, 0) for name in COUNTS})
    lost = _all_counts(found.get("lost", {}))
    if counts is None or lost is None or not all(map(_REASON.fullmatch, lost)):
        return None
    without = _all_counts(found.get("without_stack", {})) or {}
    rest: dict[str, Any] = dict(counts)
    rest["without_stack"] = {reason: count for reason, count in without.items() if reason in WITHOUT_STACK}
    return Accounting(lost=lost, died=found.get("died") is True, **rest)


def caveats_of(pairs: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a footer says narrowed the rows."""
    found = json_of(pairs, "ior_nb.caveats")
    texts = [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
    return tuple(middle_cut(printable(text), _LONGEST) for text in texts[:_MOST_CAVEATS])


def unfilled_of(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that a footer says are not filled, and why."""
    found = json_of(pairs, "ior_nb.unfilled")
    texts = {str(k): v for k, v in found.items() if isinstance(v, str)} if is_map(found) else {}
    return {printable(k)[:_LONGEST]: printable(v)[:_LONGEST] for k, v in list(texts.items())[:_MOST_CAVEATS]}


def counters_of(pairs: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return the exact counters of a footer."""
    found = json_of(pairs, "ior_nb.counters")
    counters: dict[str, dict[str, int]] = {}
    for name, values in found.items() if is_map(found) else ():
        if is_map(values) and re.fullmatch(r"\w{1,40}", name, re.ASCII):
            counters[name] = {k: max(whole_number(values.get(k)) or 0, 0) for k in COUNTED}
    sums = (sum(row[k] for row in counters.values()) for k in COUNTED)
    return counters if max(sums) < _MOST >> 1 else {}  # what is added to them has room too


def pages_of(pairs: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return what a footer says of faults on mapped files, by path."""
    found = json_of(pairs, "ior_nb.pages")
    pages = {str(path): _all_counts(row) or {} for path, row in (found.items() if is_map(found) else ())}
    return {path: row for path, row in pages.items() if row and max(row.values()) < _MOST >> 1}


def whole_number(text: object) -> int | None:
    """Return a number of the size of a count; None for anything else."""
    if isinstance(text, str) and re.fullmatch(r"-?\d{1,19}", text):
        text = int(text)
    return text if isinstance(text, int) and not isinstance(text, bool) and abs(text) < _MOST else None


def json_of(pairs: Mapping[str, str], key: str) -> Any:
    """Return what the JSON under a key says; None where there is none."""
    try:
        return json.loads(pairs.get(key, "null"))
    except (ValueError, RecursionError):
        return None


def is_map(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value from JSON is an object."""
    return isinstance(value, dict)


def _all_counts(found: object) -> dict[str, int] | None:
    """Return a map of counts; None when anything in it is none."""
    if not isinstance(found, dict):
        return None
    counts = {str(name): number for name, value in found.items() if (number := whole_number(value)) is not None}
    return counts if len(counts) == len(found) and min(counts.values(), default=0) >= 0 else None
