"""A path in a cell of a table in HTML: cut where there is no room, whole when it is copied."""

from __future__ import annotations

from typing import Final

from ior_nb.runtime.text import escaped_html, printable

__all__ = ["PATH_CELL", "whole_path"]

PATH_CELL: Final = "width:99%;min-width:160px;max-width:0;overflow:hidden;text-overflow:ellipsis;text-align:left;"
"""Style of a cell whose path is cut where there is no room."""
_TAIL: Final = 18
"""Characters at the end of a path that stay where a page is too narrow for it."""
_HEAD: Final = 8
"""Less than that is not worth a cut."""


def whole_path(shown: str, tip: str = "", *, room: int = 0) -> str:
    """Return a path as HTML that a narrow page cuts in its middle; whole when it is copied, and under the pointer.

    Args:
        shown: the path; the text is raw.
        tip: what the pointer shows, where that is more.
        room: characters beside it that have to be seen too.
    """
    text = printable(shown)
    head, tail = text[:-_TAIL], text[-_TAIL:]
    title = f' title="{escaped_html(tip or shown)}"'
    if len(head) < _HEAD:
        return f"<span{title}>{escaped_html(text)}</span>"
    style = (
        "display:inline-block;overflow:hidden;text-overflow:ellipsis;vertical-align:bottom;white-space:nowrap;"
        f"max-width:calc(100% - {len(tail) + room + 3}ch);min-width:4ch"
    )
    return f'<span{title}><span style="{style}">{escaped_html(head)}</span>{escaped_html(tail)}</span>'
