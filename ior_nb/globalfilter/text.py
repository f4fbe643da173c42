"""From `Filter` to its canonical text; `parse` turns it back into an equal filter."""

from __future__ import annotations

from ior_nb.globalfilter.values import quoted, shown_number
from ior_nb.runtime.filter import DIMENSIONS, And, Errors, Filter, Mine, Node, Not, Number, Or, Probes, Text

__all__ = ["node_text", "to_text"]


def to_text(filter: Filter) -> str:  # noqa: A002 - the field's own word
    """Return the canonical text; `all` when the filter lets everything pass."""
    return "all" if filter.tree is None else node_text(filter.tree)


def node_text(node: Node) -> str:
    """Return the text of one condition."""
    match node:
        case Number(dimension, operator, value):
            return f"{dimension}{operator}{shown_number(value, DIMENSIONS[dimension].unit)}"
        case Text(dimension, operator, pattern):
            return f"{dimension}{operator}{quoted(pattern)}"
        case Errors():
            return "errors"
        case Probes():
            return "probes"
        case Mine():
            return "mine"
        case Not(part):
            return f"not {_inside(part, And, Or)}"
        case And(parts):
            return " and ".join(_inside(p, And, Or) for p in parts)
        case Or(parts):
            return " or ".join(_inside(p, Or) for p in parts)


def _inside(node: Node, *to_be_grouped: type) -> str:
    return f"({node_text(node)})" if isinstance(node, to_be_grouped) else node_text(node)
