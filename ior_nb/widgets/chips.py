"""The filter in force as chips, and what can be done with it from any panel that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ior_nb.errors import ConfigError
from ior_nb.runtime import Filter, FilterControl
from ior_nb.runtime.filter import Mine

__all__ = ["act_on", "chips"]


def chips(filters: FilterControl) -> list[str]:
    """Return the text of each term of the filter in force."""
    return [filters.text(Filter(part)) for part in filters.active.parts()]


def act_on(filters: FilterControl, what: str, body: Mapping[str, Any]) -> bool:
    """Do what a chip or its buttons ask for; False when it is something else.

    `drop` takes one term out, `mine` puts that word in or takes it out; then there are `clear` and `undo`.

    Raises:
        ConfigError: there is nothing to undo.
    """
    if what == "drop":
        text = str(body["text"])
        filters.set(Filter.of(part for part in filters.active.parts() if filters.text(Filter(part)) != text))
    elif what == "mine":
        parts = filters.active.parts()
        without = [part for part in parts if part != Mine()]
        filters.set(Filter.of(without if len(without) < len(parts) else [*parts, Mine()]))
    elif what == "clear":
        filters.set(Filter(), "clear")
    elif what == "undo":
        if not filters.undo():
            raise ConfigError("there is no filter to undo")
    else:
        return False
    return True
