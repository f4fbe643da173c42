"""`Filters`: the filter of everything on screen: its text, its history, and who is told when it changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from ior_nb.globalfilter.complete import complete
from ior_nb.globalfilter.parser import parse
from ior_nb.globalfilter.text import to_text
from ior_nb.globalfilter.undo import FilterStack
from ior_nb.real import RLock
from ior_nb.runtime import EventBatch, Filter, Suggestion
from ior_nb.runtime.filter import DIMENSIONS, check_columns

__all__ = ["Filters"]

_MOST_VALUES = 500
_OFFERED = ("comm", "syscall", "family", "file", "host", "label", "py_file", "py_func", "opened_at")


class Filters:
    """`runtime.FilterControl`. All methods may be called from any thread.

    Attributes:
        epoch: how often the filter in force has changed; rows are stamped with it.
        setter: puts a new filter into what is on screen, as its starter has published it.
        foreign: columns of the rows that are not of the schema; a filter may ask for no others of that sort.

    Args:
        seen: the rows whose values are offered while a filter is typed.
        active: the filter to begin with.
        lock: held during a change.
    """

    def __init__(self, seen: Callable[[], EventBatch], active: Filter | None, lock: RLock) -> None:
        self._seen = seen
        self._stack = FilterStack(active)
        self._lock = lock
        self.epoch = 0
        self.foreign: Collection[str] = ()
        self.setter: Callable[[Filter], None] | None = None

    @property
    def active(self) -> Filter:
        """The filter in force."""
        return self._stack.active

    @property
    def labels(self) -> tuple[str, ...]:
        """What each change was, oldest first."""
        return self._stack.labels

    def parse(self, text: str) -> Filter:
        """Return the filter of a text.

        Raises:
            FilterSyntaxError: it is none; the message points at the position.
        """
        return parse(text)

    def text(self, filter: Filter) -> str:  # noqa: A002 - the field's own word
        """Return the text form; empty for no filter."""
        return to_text(filter) if filter.active else ""

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Make a filter the active one, at once in what is on screen; False when it already is.

        Raises:
            ConfigError: the rows have no column that it asks for.
        """
        check_columns(filter, self.foreign)
        with self._lock:
            changed = self._stack.push(filter, label)
            if changed:
                self._changed()
            return changed

    def undo(self) -> bool:
        """Go back to the filter before; False when there is none."""
        with self._lock:
            went = self._stack.pop()
            if went:
                self._changed()
            return went

    def suggest(self, text: str, position: int) -> list[Suggestion]:
        """Return what may stand at the cursor; values that were seen come the most frequent first."""
        rows = self._seen()
        known: dict[str, Sequence[str]] = {}
        for name in _OFFERED:
            table = rows.tables[name]
            codes, counts = np.unique(rows[name], return_counts=True)
            found = (table[int(code)] for code in codes[np.argsort(-counts)][:_MOST_VALUES])
            known[name] = [value for value in found if value]
        for name in DIMENSIONS.keys() & rows.extras:
            texts, which = rows.words(name)
            order = np.argsort(-np.bincount(which, minlength=len(texts)), kind="stable")
            known[name] = [texts[at] for at in order[:_MOST_VALUES].tolist() if texts[at]]
        return complete(text, position, known)

    def _changed(self) -> None:
        self.epoch += 1
        if self.setter is not None:
            self.setter(self.active)
