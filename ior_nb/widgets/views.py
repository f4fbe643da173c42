"""`Views`: the views of one panel in pages, and whether anybody looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Views"]

_SILENT_S: Final = 10.0
"""A visible view that has not been heard of for so long is gone; nothing more is sent."""
_BUSY_S: Final = 600.0
"""While a cell runs the kernel may be unable to hear: a view that lived when it began is believed so long."""
_EXPECTED_S: Final = 30.0
"""How long after it was displayed a view may take to say hello."""
_MOST: Final = 100
"""Views there may be before those long silent are forgotten: a page that crashed says no goodbye."""


@dataclass(slots=True)
class _View:
    heard: float
    visible: bool = True
    behind: Any = None
    """The refresh it showed when it was behind; None when it was not."""


class Views:
    """What the views of a panel have told. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._views: dict[str, _View] = {}
        self._expected = 0.0

    def __contains__(self, view: object) -> bool:
        return view in self._views

    def expect(self, now: float) -> None:
        """A view is about to be displayed: it counts before it has said hello."""
        self._expected = now

    def heard(self, view: str, now: float, *, visible: bool, shown: Any, latest: Any) -> bool:
        """A view lives and shows a refresh; return whether the latest was lost, and not only on its way."""
        if len(self._views) > _MOST:
            self._views = {name: known for name, known in self._views.items() if now - known.heard < _BUSY_S}
        before = self._views.get(view)
        behind = shown != latest
        self._views[view] = _View(now, visible, shown if behind else None)
        self._expected = 0.0
        return behind and before is not None and before.behind == shown

    def acted(self, view: str, now: float) -> None:
        """Its user has done something there."""
        self._views.setdefault(view, _View(now)).heard = now

    def left(self, view: str) -> None:
        """A view was removed."""
        self._views.pop(view, None)

    def watched(self, now: float, busy_since: float | None) -> bool:
        """Return whether anybody looks: a visible view was heard of, or one has just been displayed.

        Args:
            now: the time.
            busy_since: since when the kernel runs a cell and may not hear; None when it does not.
        """
        cell = busy_since if busy_since is not None and now - busy_since < _BUSY_S else None

        def alive(heard: float, patience_s: float) -> bool:
            return now - heard < patience_s or (cell is not None and heard > cell - patience_s)

        if self._expected and alive(self._expected, _EXPECTED_S):
            return True
        return any(view.visible and alive(view.heard, _SILENT_S) for view in list(self._views.values()))

    def silent(self, now: float, seconds: float) -> bool:
        """Return whether no view has been heard of for so long."""
        return not any(now - view.heard < seconds for view in list(self._views.values()))
