"""A part of the program that is loaded when it is first asked for: its functions, their tails and their hooks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ior_nb.engine.collector.bpf import attach_raw
from ior_nb.engine.collector.hooks import KINDS
from ior_nb.engine.collector.loader import Loading

__all__ = ["Part"]


class Part:
    """Functions more of one program, at raw tracepoints.

    Args:
        loading: the program; they are added to it.
        functions: of its image.
        tails: which of them others go on to, and where they look for it.

    Raises:
        Refused: the kernel does not take it; the program is as before.
    """

    def __init__(self, loading: Loading, functions: Iterable[str], tails: Mapping[str, int]) -> None:
        self._loaded = loading.loaded
        self._loaded.add(loading.image, dict.fromkeys(functions, KINDS["raw"]))
        self._maps = self._loaded.maps
        self._programs = self._loaded.programs
        self._tails = tails
        self._links: list[int] = []

    def _join(self) -> None:
        """Let the rest of the program go on to its tails."""
        self._loaded.fill_tails(self._tails)

    def _attach(self, hook: str, function: str) -> None:
        self._links.append(attach_raw(hook, self._programs[function]))

    def _detach(self) -> None:
        """Take its hooks away. Idempotent."""
        while self._links:
            os.close(self._links.pop())

    def _leave(self) -> None:
        """Take its hooks and its tails away. Idempotent."""
        self._detach()
        self._loaded.empty_tails(self._tails)
