"""What an exported file says about the trace its rows come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["About"]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The heading of an export. Formats without room for it leave it out."""

    title: str = "I/O trace"
    """What was traced."""
    facts: tuple[str, ...] = ()
    """Short statements for the line below the title: engine, scope, length, host."""
    completeness: str = ""
    """The completeness line of the result: which calls are rows, and which are missing."""
    complete: bool = True
    """Whether nothing is missing."""
    notes: tuple[str, ...] = ()
    """What else the reader should know."""
    duration_s: float = 0.0
    """Length of the traced time; 0 where unknown."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What a recording of the trace has in its footer."""
    sources: tuple[str, ...] = ()
    """Cells with what each of their lines made, as HTML that is ours."""
    origin_ns: int | None = None
    """Its start on the boot clock; None where unknown: then time counts from the first row."""
