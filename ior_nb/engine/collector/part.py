"""A part of the program that is loaded when it is first asked for: its functions, their tails and their hooks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ior_nb.engine.collector.loader import Loading

__all__ = ["Part"]


class Part:
    """Functions more of one program.

    Args:
        loading: the program; they are added to it.
        functions: of its image.
        tails: which of them others go on to, and where they look for it.
        hooks: where the others hang.

    Raises:
        Refused: the kernel does not take it; the program is as before.
    """

    def __init__(
        self, loading: Loading, functions: Iterable[str], tails: Mapping[str, int], hooks: Mapping[str, str]
    ) -> None:
        self._loaded, self._hooks = loading.loaded, loading.hooks
        at = {function: hook for hook, function in hooks.items()}
        kinds = {name: self._hooks.kind(at[name]) if name in at else self._hooks.kind() for name in functions}
        self._loaded.add(loading.image, kinds)
        self._maps = self._loaded.maps
        self._programs = self._loaded.programs
        self._tails = tails
        self._links: list[int] = []
        self._joined = False

    def away(self) -> None:
        """Let nothing go on to its tails, for a trace without it. Idempotent.

        Not at the end of each trace: the kernel waits for a grace period with every tail that it takes away.
        """
        if self._joined:
            self._loaded.empty_tails(self._tails)
            self._joined = False

    def _join(self) -> None:
        """Let the rest of the program go on to its tails."""
        self._joined = True
        self._loaded.fill_tails(self._tails)

    def _attach(self, hook: str, function: str) -> None:
        self._links.append(self._hooks.hang(hook, function))

    def _detach(self) -> None:
        """Take its hooks away. Idempotent."""
        while self._links:
            os.close(self._links.pop())
