"""The bar of a long work: in a notebook an output of its cell, on a terminal a line, else nothing."""

from __future__ import annotations

import sys
from typing import Any

from ior_nb.runtime.progress import Bar, Line, Step
from ior_nb.runtime.text import HTML_FONT, NO_MATH, escaped_html

__all__ = ["NotebookBar", "bar"]


def bar() -> Bar | None:
    """Return a bar where somebody would see it."""
    found = sys.modules.get("IPython")
    shell: Any = found.get_ipython() if found is not None else None
    return Line.of_terminal() if getattr(shell, "kernel", None) is None else NotebookBar()


class NotebookBar:
    """An output that changes in its place: markup alone, so that every kind of page shows it."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, step: Step) -> None:
        """Display it, or change what is displayed."""
        from IPython.display import DisplayHandle

        html = (
            f'<div {NO_MATH} style="{HTML_FONT}"><progress value="{step.done}" max="{max(step.whole, 1)}"></progress> '
            f"{escaped_html(step.text())}; an interrupt of the kernel ends it</div>"
        )
        bundle = {"text/plain": step.text(), "text/html": html}
        if self._handle is None:
            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display(bundle, raw=True)
        else:
            self._handle.update(bundle, raw=True)

    def close(self) -> None:
        """Leave an empty output: one that was displayed cannot be taken back."""
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
