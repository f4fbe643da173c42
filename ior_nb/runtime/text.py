"""How numbers and traced text are shown: units, and names made harmless.

Names of files and threads come from whoever made them: nothing of theirs may act on a terminal, a page or the eye.
"""

from __future__ import annotations

import html
import unicodedata

__all__ = ["HTML_FONT", "escaped_html", "middle_cut", "printable", "show_bytes", "show_count", "show_ns"]

HTML_FONT = "font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,'Segoe UI',sans-serif);"
"""Style of what is shown in a page: Jupyter's own font where that is, a plain one elsewhere. Tables need it again: in
pages without a doctype they do not inherit it."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, format (bidi), surrogate, unassigned, lines


def printable(text: str) -> str:
    """Return the text with every character that is invisible, or acts on its surroundings, as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escaped_html(text: str) -> str:
    """Return traced text for use between tags or in an attribute value."""
    return html.escape(printable(text), quote=True)


def middle_cut(text: str, width: int) -> str:
    """Return the text with its middle cut out when it is wider than `width` characters."""
    if len(text) <= width:
        return text
    right = (width - 1) * 2 // 3
    return f"{text[: width - 1 - right]}…{text[len(text) - right :]}"


def show_bytes(count: float) -> str:
    """Return bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError


def show_ns(duration: float) -> str:
    """Return nanoseconds with a fitting unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(duration) >= size:
            return f"{duration / size:,.3g} {unit}" if duration < 1000 * size else f"{duration / size:,.0f} {unit}"
    return f"{duration:,.0f} ns"


def show_count(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
