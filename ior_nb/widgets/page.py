"""What a page is given: the script and the style of a panel, columns of numbers, and a table that stands still."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ior_nb.runtime.text import escaped_html

__all__ = ["packed", "script", "still_table", "style"]

_HERE: Final = Path(__file__).parent / "js"
_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_FOR_TOOLS: Final = re.compile(rf"{_IMPORT.pattern}|^/\*\* @import .* \*/\n|^export (?!default)", re.MULTILINE)


def script(*names: str) -> str:
    """Return the text of one ES module: panel.js, the files named and what they import, each once, imported ones first.

    A page loads a panel as one text, which can import nothing. So `import` lines and the word `export` are for tools
    and tests, and are left out here, but for the `export default` of the panel itself; and two files of one panel must
    not have the same name at their top.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        text = (_HERE / name).read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            add(needed)
        parts[name] = _FOR_TOOLS.sub("", text)

    for name in ("panel.js", *names):
        add(name)
    return "\n".join(parts.values())


def style(*names: str) -> str:
    """Return the text of one style sheet: the common part, then the files named."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("panel.css", *names))


def packed(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns in the form `unpacked` of panel.js reads: typed buffers, not JSON.

    Args:
        columns: name -> numpy array (bool, int8, int32 and float32 as they are, other numbers as float64) or a sequence
            of str. NUL is the one character a text may not have; it is dropped.
    """
    result: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype != object:
            kind = {"b1": "u1", "i1": "i1", "i4": "i4", "f4": "f4"}.get(values.dtype.str[1:], "f8")
            result[name] = {"t": kind, "b": np.ascontiguousarray(values, kind).tobytes()}
        else:
            texts = [str(v).replace("\0", "") for v in values]
            result[name] = {"t": "s", "n": len(texts), "b": "\0".join(texts).encode("utf-8", "backslashreplace")}
    return result


def still_table(head: list[str], rows: list[list[str]], caption: str = "") -> str:
    """Return a static table; the cells are raw text."""
    body = "".join("<tr>" + "".join(f"<td>{escaped_html(c)}</td>" for c in row) + "</tr>" for row in rows)
    title = f"<caption>{escaped_html(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{''.join(f'<th>{escaped_html(h)}</th>' for h in head)}</tr></thead>{body}</table>"
