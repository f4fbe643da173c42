"""What an exported file says about the trace its rows come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ior_nb.runtime import Completeness
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.stacks import CELLS

__all__ = ["About"]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The heading of an export. A format without room for it says all the same what the rows lack."""

    title: str = "I/O trace"
    """What was traced."""
    facts: tuple[str, ...] = ()
    """Short statements for the line below the title: engine, scope, length, host."""
    completeness: Completeness | None = None
    """What the rows lack; None where nobody knows."""
    notes: tuple[str, ...] = ()
    """What else the reader should know."""
    duration_s: float = 0.0
    """Length of the traced time; 0 where unknown."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What a recording of the trace has in its footer."""
    sources: tuple[str, ...] = ()
    """Cells with what each of their lines made, as HTML that is ours."""
    foreign: Mapping[str, Any] | None = None
    """The Arrow types of columns that are not ours, by name; None where the rows have to be asked."""
    origin_ns: int | None = None
    """Its start on the boot clock; None where unknown: then time counts from the first row."""
    overview: str = ""
    """What to see of it first, as HTML that is safe as it stands; empty for none."""

    @property
    def told(self) -> str:
        """What the rows lack, in a line; empty where they are whole."""
        return self.completeness.told() if self.completeness is not None else ""

    @property
    def partial(self) -> bool:
        """Whether there are calls that were wanted and are no rows."""
        return self.completeness is not None and self.completeness.partial

    @property
    def unrecorded(self) -> Counters:
        """The calls that were counted and are no rows."""
        return self.completeness.unrecorded if self.completeness is not None else {}

    def pairs(self) -> dict[str, str]:
        """Return what the metadata of a file says: all that a recording would have in its footer but the cells."""
        lacking = self.completeness.pairs() if self.completeness is not None else {}
        metadata = {name: text for name, text in self.metadata.items() if name != CELLS}
        return {"ior_nb.title": self.title} | lacking | metadata
