"""`FilterStack`: the active filter and how to get back to the ones before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from ior_nb.globalfilter.text import node_text
from ior_nb.real import Lock
from ior_nb.runtime.filter import Filter, Node, Or, leaves

__all__ = ["DEPTH", "FilterStack"]

DEPTH: Final = 50
"""How many levels back are kept."""


class FilterStack:
    """The active filter with its history. Any thread may use it."""

    def __init__(self, active: Filter | None = None) -> None:
        self._active = active if active is not None else Filter()
        self._history: deque[tuple[Filter, str]] = deque(maxlen=DEPTH)
        self._lock = Lock()

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

    def pop(self) -> bool:
        """Go back one level; False when there is none."""
        with self._lock:
            if not self._history:
                return False
            self._active, _ = self._history.pop()
            return True


def _change(before: Filter, after: Filter) -> str:
    old, new = before.parts(), after.parts()
    came = [part for part in new if part not in old]
    named = {name for part in came for name in _names(part)}
    gone = [name for part in old if part not in new for name in _names(part) if name not in named]
    terms = [f"({node_text(part)})" if isinstance(part, Or) and len(came) > 1 else node_text(part) for part in came]
    return " ".join([*terms, *(f"clear {name}" for name in dict.fromkeys(gone))])


def _names(part: Node) -> Iterable[str]:
    return dict.fromkeys(getattr(leaf, "dimension", type(leaf).__name__.lower()) for leaf in leaves(part))
