"""`FilterStack`: the active filter and how to get back to the ones before."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

from ior_nb.globalfilter.text import node_text
from ior_nb.runtime.filter import And, Filter, Node, Not, Number, Or, leaves

__all__ = ["DEPTH", "FilterStack"]

DEPTH: Final = 50
"""How many levels back are kept."""


class FilterStack:
    """The active filter with its history. Any thread may use it."""

    def __init__(self, active: Filter | None = None) -> None:
        self._active = active if active is not None else Filter()
        self._history: deque[tuple[Filter, str]] = deque(maxlen=DEPTH)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many levels `pop` can go back."""
        return len(self._history)

    def __repr__(self) -> str:
        return f"FilterStack({len(self)} levels, active {self._active})"

    @property
    def active(self) -> Filter:
        """The filter in force."""
        return self._active

    @property
    def labels(self) -> tuple[str, ...]:
        """What each change was, oldest first; `pop` takes back the last one."""
        with self._lock:
            return tuple(label for _, label in self._history)

    def push(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Make a filter the active one; the oldest level is dropped beyond 50.

        Args:
            filter: the new one.
            label: what the change is called; without it, the terms that came and `clear ...` for those that went.

        Returns:
            False, and nothing changed, when it is the active one already.
        """
        with self._lock:
            if filter == self._active:
                return False
            self._history.append((self._active, label or _change(self._active, filter)))
            self._active = filter
            return True

    def replace(self, filter: Filter) -> bool:  # noqa: A002 - the field's own word
        """Make a filter the active one without a level to go back to; False when it is the active one already."""
        with self._lock:
            changed = filter != self._active
            self._active = filter
            return changed

    def pop(self) -> bool:
        """Go back one level; False when there is none. The level is used up even where both filters are equal."""
        with self._lock:
            if not self._history:
                return False
            self._active, _ = self._history.pop()
            return True

    def retarget(self, pid: int | None) -> None:
        """Take over another process: no filter, active or in the history, may go on asking for the former one.

        What asks for a process id with `pid=` asks for the new one; every other comparison of pid or tid (another
        operator, or below a `not`) is about the former process and is taken out.

        Args:
            pid: the new process; None for all, then `pid=` is taken out as well.
        """
        with self._lock:
            self._active = _retargeted(self._active, pid)
            history = [(_retargeted(f, pid), label) for f, label in self._history]
            self._history.clear()
            self._history.extend(history)


def _change(before: Filter, after: Filter) -> str:
    old, new = before.parts(), after.parts()
    came = [part for part in new if part not in old]
    named = {name for part in came for name in _names(part)}
    gone = [name for part in old if part not in new for name in _names(part) if name not in named]
    return " ".join([*map(node_text, came), *(f"clear {name}" for name in dict.fromkeys(gone))])


def _names(part: Node) -> Iterable[str]:
    return dict.fromkeys(getattr(leaf, "dimension", "errors") for leaf in leaves(part))


def _retargeted(filter: Filter, pid: int | None) -> Filter:  # noqa: A002 - the field's own word
    return Filter(None if filter.tree is None else _rewritten(filter.tree, pid))


def _rewritten(node: Node, pid: int | None) -> Node | None:
    """Return the condition for another process, None when nothing is left of it."""
    match node:
        case Number("pid", "=", _):
            return None if pid is None else Number("pid", "=", pid)
        case Number("pid" | "tid"):
            return None
        case Not(part):
            inner = _rewritten(part, None)
            return None if inner is None else Not(inner)
        case And(parts) | Or(parts):
            kept = tuple(dict.fromkeys(p for part in parts if (p := _rewritten(part, pid)) is not None))
            if parts == kept:
                return node
            return type(node)(kept) if len(kept) > 1 else kept[0] if kept else None
    return node
