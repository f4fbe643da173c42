"""`DataFrame`: one of pandas that says below itself what its rows lack, and lets no traced name act on a terminal."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from ior_nb.runtime import Completeness
from ior_nb.runtime.text import HTML_FONT, escaped_html, middle_cut, printable_lines

__all__ = ["DataFrame", "told"]

_PATHS: Final = ("file", "old_file", "path_arg", "directory", "example")
"""Columns of paths: the end of one says most."""


class DataFrame(pd.DataFrame):
    """A DataFrame as any other, and so are those made of it; `attrs` has what its rows lack.

    Only how it is shown differs. Pickled it is a plain DataFrame, which opens where ior-nb is not installed.
    """

    @property
    def _constructor(self) -> Any:
        return DataFrame

    def to_string(self, *args: Any, **options: Any) -> Any:
        """Return the table as text, or write it; see `DataFrame.to_string`. Paths are cut in their middle."""
        width = pd.get_option("display.max_colwidth")
        if width is not None and not args and options.get("formatters") is None:
            options["formatters"] = {
                name: lambda path: middle_cut(str(path), width) for name in _PATHS if name in self.columns
            }
        text = super().to_string(*args, **options)
        return printable_lines(text) if isinstance(text, str) else text

    def __repr__(self) -> str:
        shown, line = printable_lines(super().__repr__()), self._told()
        return f"{shown}\n\n{line}" if line else shown

    def _repr_html_(self) -> str | None:
        options = ("display.max_colwidth", None, "display.html.use_mathjax", False)
        with pd.option_context(*options):  # a page can scroll, and what is copied has to be whole
            table: str | None = super()._repr_html_()  # type: ignore[misc]  # the stubs lack it
        if table is None:
            return None
        table, line = printable_lines(table), self._told()
        return table if not line else f'{table}<div style="{HTML_FONT}opacity:.75">{escaped_html(line)}</div>'

    def _told(self) -> str:
        return "" if self.attrs.get("whole", True) else str(self.attrs.get("completeness", ""))

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain = pd.DataFrame(self)
        plain.attrs.update(self.attrs)
        _, _, *state = tuple(plain.__reduce_ex__(protocol))
        return pd.DataFrame, (), *state  # of what it says itself pickle refuses the class, which is not ours


def told(frame: pd.DataFrame, *lacking: Completeness) -> DataFrame:
    """Return the table with what its rows lack: in `attrs`, and below it where there is something to tell.

    Args:
        frame: the table.
        lacking: of each trace it was made of; none where nothing is known.
    """
    shown = DataFrame(frame, copy=False)
    if len(lacking) == 1:
        shown.attrs.update(lacking[0].as_dict())
    elif lacking:
        shown.attrs.update(
            completeness="; ".join(dict.fromkeys(one.line() for one in lacking)),
            complete=all(one.complete for one in lacking),
            whole=all(one.whole for one in lacking),
            parts=[one.as_dict() for one in lacking],
        )
    return shown
