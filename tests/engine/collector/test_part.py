"""A part of the program: where its tails are, from one trace to the next."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ior_nb.engine.collector.part import Part

TAILS = {"walk": 7, "done": 8}


class Loaded:
    """A program that notes what its tails are."""

    def __init__(self) -> None:
        self.maps: dict[str, Any] = {}
        self.programs: dict[str, Any] = {}
        self.filled: set[str] = set()
        self.emptied = 0

    def add(self, image: object, kinds: Mapping[str, int]) -> None:
        """Load functions."""

    def fill_tails(self, tails: Mapping[str, int]) -> None:
        self.filled |= tails.keys()

    def empty_tails(self, tails: Mapping[str, int]) -> None:
        self.filled -= tails.keys()
        self.emptied += 1


def test_tails_stay_for_the_next_trace_and_go_before_one_without() -> None:
    """Taking one away waits for a grace period of the kernel, some 40 ms, so no end of a trace does; once is enough."""
    loaded = Loaded()
    hooks = SimpleNamespace(kind=lambda *_: 0, hang=lambda *_: 0)
    part = Part(SimpleNamespace(loaded=loaded, hooks=hooks, image=None), TAILS, TAILS, {})  # type: ignore[arg-type]
    for _ in range(2):
        part._join()
        part._detach()
    after = loaded.emptied, set(loaded.filled)
    part.away()
    part.away()

    assert after == (0, {"walk", "done"})
    assert (loaded.emptied, loaded.filled) == (1, set())
