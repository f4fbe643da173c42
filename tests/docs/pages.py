"""The pages of the documentation, and the fenced blocks in them.

A comment in the line above a block says what is special about it:

    <!-- live -->          it needs the right to trace: run, or as an output compared, in the live tests only
    <!-- needs: NAME -->   it needs a module that may be missing
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PAGES", "ROOT", "Block", "blocks", "differs"]

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK: Final = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_NUMBER: Final = re.compile(r"-?\d[\d,]*(\.\d+)?( ?(ns|µs|ms|s|B|[KMGT]iB)\b)?")
_STRIP: Final = re.compile("▏.*▕")
_NOUN: Final = re.compile(r"\b(call|error|file)s\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str
    mark: str
    """What the comment above it says."""

    def __str__(self) -> str:
        return f"{self.page.name}, line {self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, b.start()) + 1, b["language"], b["text"], b["mark"] or "")
        for b in _BLOCK.finditer(text)
    ]


def differs(shown: str, printed: str) -> list[str]:
    """Return the lines a page shows and the program did not print, whatever the numbers were; `...` is no line."""
    there = set(map(_shape, printed.splitlines()))
    return [line for line in shown.splitlines() if line.strip() not in ("", "...") and _shape(line) not in there]


def _shape(line: str) -> str:
    words = _NOUN.sub(r"\1", _NUMBER.sub("0", _STRIP.sub("▏▕", line))).split()
    return re.sub("─+", "─", " ".join(words))
