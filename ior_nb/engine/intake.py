"""What a collector sends, made into batches: as it comes, or kept until somebody looks."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.engine.machinery import Machinery
from ior_nb.engine.moves import Moves
from ior_nb.engine.pages import by_file
from ior_nb.engine.searches import Searches
from ior_nb.real import Lock
from ior_nb.runtime import EventBatch

__all__ = ["AT_ONCE", "Intake"]

AT_ONCE: Final = 65_536 * EVENT.itemsize
"""Bytes of a kind of frames that are decoded together at most: a batch has a cost of its own, half a millisecond."""


class Intake:
    """The frames of one collector. Used by the pump thread, and by who ends the quiet.

    Args:
        decoder: of its frames.
        limit: bytes of frames that are kept in the quiet; what is more is decoded.
        ask: asks the collector which names may still come. Nobody waits for the answer, which is a frame.
    """

    def __init__(self, decoder: Decoder, limit: int, ask: Callable[[], None]) -> None:
        self.limit = limit
        self._decoder = decoder
        self._ask = ask
        self._deliver: Callable[[EventBatch], None] = lambda batch: None
        self._searches = Searches(self._hand_on)
        self.pages: dict[str, dict[str, int]] = {}
        """Counts of faults on mapped files, as `by_file` has them, those that came last."""
        self.moves = Moves()
        self._quiet = False
        self._kept: deque[tuple[Frame, bytes]] = deque()
        self._kept_bytes = 0
        # What is decoded together, for few rows at a time cost much more; nothing between two calls.
        self._gathered: defaultdict[Frame, list[bytes]] = defaultdict(list)
        self._bytes: Counter[Frame] = Counter()
        self._lock = Lock()

    def begin(self, deliver: Callable[[EventBatch], None], *, quiet: bool) -> None:
        """A trace begins; nothing is decoded while it is quiet."""
        self._deliver = deliver
        self._decoder.machinery = Machinery()
        self._searches = Searches(self._hand_on)
        self._quiet = quiet
        self.pages = {}
        self.moves = Moves()
        self._kept.clear()
        self._kept_bytes = 0

    def end(self) -> None:
        """Hand on the rest, and let go of whom rows go to: it holds all of them, and we live longer than its trace."""
        self.go_live()
        self._deliver = lambda batch: None

    @property
    def waiting(self) -> bool:
        """Whether rows wait for what their searches may find."""
        return self._searches.waiting

    def settle(self) -> None:
        """Hand on what waits: somebody wants all there is, or nothing comes any more."""
        with self._lock:
            if not self._quiet:
                self._searches.flush()

    def go_live(self) -> None:
        """End the quiet: decode what was kept, and from now on everything as it comes."""
        with self._lock:
            self._decode(self._let_go(-1))
            self._searches.flush()
            self._quiet = False

    def receive(self, frames: Iterable[tuple[Frame, bytes]]) -> None:
        """Take frames of names and events, all that came at once: their events are decoded together."""
        with self._lock:
            if self._quiet:
                for kind, payload in frames:
                    self._kept.append((kind, payload))
                    self._kept_bytes += len(payload)
                frames = self._let_go(self.limit)
            self._decode(frames)

    def _let_go(self, limit: int) -> Iterator[tuple[Frame, bytes]]:
        """Yield the oldest frames that are kept, until so many bytes are left at most."""
        while self._kept and self._kept_bytes > limit:
            kind, payload = self._kept.popleft()
            self._kept_bytes -= len(payload)
            yield kind, payload

    def _decode(self, frames: Iterable[tuple[Frame, bytes]]) -> None:
        try:
            for kind, payload in frames:
                self._take(kind, payload)
        finally:
            self._catch_up()

    def _take(self, kind: Frame, payload: bytes) -> None:
        if kind is Frame.NAMES:
            self._gather(kind, payload)
        elif kind is Frame.EVENTS:
            for at in range(0, len(payload), AT_ONCE):
                self._gather(kind, payload[at : at + AT_ONCE])
        elif kind is Frame.FACTS:
            self._decoder.stacks.learn(payload)
        else:
            self._catch_up()
            if kind is Frame.ALIVE:
                self._decoder.names.keep(payload)
            elif kind is Frame.CACHED:
                self.pages = by_file(payload, self._decoder.names, self._decoder.tables["file"])

    def _gather(self, kind: Frame, payload: bytes) -> None:
        if self._bytes[kind] + len(payload) > AT_ONCE:
            self._catch_up()
        self._gathered[kind].append(payload)
        self._bytes[kind] += len(payload)

    def _catch_up(self) -> None:
        """Decode what was gathered: names first, which may come early and never late."""
        gathered, self._gathered, self._bytes = self._gathered, defaultdict(list), Counter()
        if names := gathered[Frame.NAMES]:
            self._decoder.names.take(*names)
            if self._decoder.names.ask():
                self._ask()
        if events := gathered[Frame.EVENTS]:
            batch = self._decoder.events(*events)
            self.moves.take(batch)
            self._searches.take(batch)

    def _hand_on(self, batch: EventBatch) -> None:
        self._deliver(batch)
