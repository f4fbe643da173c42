"""`TrieByHost`: the live flame trie of rows that may be of several hosts, as those of recordings may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ior_nb.aggregate.hosts import Hosts
from ior_nb.runtime import EventBatch
from ior_nb.runtime.frames import by_host
from ior_nb.sinks.flamegraph.fields import checked_fields
from ior_nb.sinks.flamegraph.picture import Picture
from ior_nb.sinks.flamegraph.trie import LiveTrie

__all__ = ["TrieByHost"]


class TrieByHost(LiveTrie):
    """A trie with the host above the ids of processes and threads; hidden as long as it is one and nobody asks for it.

    Args:
        hosts: where the names of those that are met are noted, here and by others.
        fields: as those of `LiveTrie`.
        options: its other arguments.
    """

    def __init__(self, hosts: set[str], fields: Sequence[str] = ("comm", "syscall", "path"), **options: Any) -> None:
        self._hosts, self._numbers = hosts, Hosts()
        self._asked = checked_fields(fields)
        self._hidden: tuple[Picture, Picture] | None = None
        super().__init__(by_host(self._asked), **options)

    @property
    def fields(self) -> tuple[str, ...]:
        """Frame fields, root first; the host among them as soon as there are several."""
        return self._asked if self._hides(self._fields) else self._fields

    def reconfigure(self, fields: Sequence[str]) -> None:
        """Set the fields and drop what was accumulated, also when they are the same.

        Raises:
            ConfigError: none, an unknown one, or one given twice; nothing changed.
        """
        self._asked = checked_fields(fields)
        super().reconfigure(by_host(self._asked))

    def ingest(self, batch: EventBatch) -> None:
        """Add the rows of a batch."""
        if len(batch) and len(self._hosts) < 2 and "host" in self._columns:
            found = np.array([host for host, _ in self._numbers.of(batch)])
            self._hosts.update(map(str, self._numbers.names(found)))
        super().ingest(batch)

    def _hides(self, fields: tuple[str, ...]) -> bool:
        asked = self._asked
        return len(self._hosts) < 2 and asked != fields == by_host(asked)

    def _current(self) -> Picture:
        picture = super()._current()
        if not self._hides(picture.kinds):
            return picture
        if self._hidden is None or self._hidden[0] is not picture:
            self._hidden = picture, picture.without("host")
        return self._hidden[1]
