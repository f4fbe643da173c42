"""How numbers and traced text are shown: units, and names made harmless.

Names of files and threads come from whoever made them: nothing of theirs may act on a terminal, a page or the eye.
"""

from __future__ import annotations

import html
import unicodedata

__all__ = [
    "HTML_FONT",
    "NO_MATH",
    "at_host",
    "brief",
    "escaped_html",
    "middle_cut",
    "printable",
    "printable_lines",
    "show_bytes",
    "show_count",
    "show_ns",
]

NO_MATH = 'class="tex2jax_ignore mathjax_ignore"'
"""Of markup whose dollars are no formulas: pages set what stands between two, and paths and code may have any."""
HTML_FONT = "font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,'Segoe UI',sans-serif);"
"""Style of what is shown in a page: Jupyter's own font where that is, a plain one elsewhere. Tables need it again: in
pages without a doctype they do not inherit it."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, format (bidi), surrogate, unassigned, lines


def printable(text: str) -> str:
    """Return the text with every character that is invisible, or acts on its surroundings, as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(c) for c in text)


def brief(reason: str, longest: int) -> str:
    """Return the first sentence of a reason, without its full stop, harmless and cut to so many characters."""
    return middle_cut(printable(reason.partition("\n")[0].partition(". ")[0].removesuffix(".")), longest)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable_lines(text: str) -> str:
    """Return text of several lines for a terminal: nothing in it acts but the ends of its lines."""
    return text if text.isascii() and text.isprintable() else "\n".join(map(printable, text.split("\n")))


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
    """Return bytes with a binary unit: the smallest in which, rounded, fewer than 1024 are shown."""
    if abs(count) < 1023.5:
        return f"{count:,.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if abs(count) < 1023.95:
            return f"{count:,.1f} {unit}"
    return f"{count / 1024:,.1f} TiB"


def show_ns(duration: float) -> str:
    """Return nanoseconds to three digits, with the smallest unit in which, rounded, fewer than 1000 are shown."""
    if abs(duration) < 999.5:
        return f"{duration:,.0f} ns"
    for unit in ("µs", "ms", "s"):
        duration /= 1000
        if abs(duration) < 999.5:
            return f"{duration:.3g} {unit}"
    return f"{duration:,.0f} s"


def at_host(host: str, number: int | str) -> str:
    """Return the id of a process or thread, of several hosts `node:8`. The host is raw."""
    return f"{host}:{number}" if host else str(number)


def show_count(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
