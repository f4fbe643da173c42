"""What a collector sends, made into batches: as it comes, or kept until somebody looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.decode import EVENT, Decoder
from ior_nb.engine.machinery import Machinery
from ior_nb.engine.pages import by_file
from ior_nb.engine.searches import Searches
from ior_nb.real import Lock
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import ROWS_AT_ONCE

__all__ = ["Intake"]


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
        self._quiet = False
        self._kept: deque[tuple[Frame, bytes]] = deque()
        self._kept_bytes = 0
        self._lock = Lock()

    def begin(self, deliver: Callable[[EventBatch], None], *, quiet: bool) -> None:
        """A trace begins; nothing is decoded while it is quiet."""
        self._deliver = deliver
        self._decoder.machinery = Machinery()
        self._searches = Searches(self._hand_on)
        self._quiet = quiet
        self.pages = {}
        self._kept.clear()
        self._kept_bytes = 0

    def end(self) -> None:
        """Hand on the rest; whom it goes to, and his rows, are not ours to keep."""
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
            while self._kept:
                self._decode_one()
            self._searches.flush()
            self._quiet = False

    def receive(self, kind: Frame, payload: bytes) -> None:
        """Take a frame of names or events."""
        with self._lock:
            if not self._quiet:
                self._decode(kind, payload)
                return
            self._kept.append((kind, payload))
            self._kept_bytes += len(payload)
            while self._kept_bytes > self.limit:
                self._decode_one()

    def _decode_one(self) -> None:
        kind, payload = self._kept.popleft()
        self._kept_bytes -= len(payload)
        self._decode(kind, payload)

    def _decode(self, kind: Frame, payload: bytes) -> None:
        names = self._decoder.names
        if kind is Frame.NAMES:
            names.take(payload)
            if names.ask():
                self._ask()
        elif kind is Frame.ALIVE:
            names.keep(payload)
        elif kind is Frame.CACHED:
            self.pages = by_file(payload, names, self._decoder.tables["file"])
        elif kind is Frame.FACTS:
            self._decoder.stacks.learn(payload)
        elif kind is Frame.EVENTS:
            step = ROWS_AT_ONCE * EVENT.itemsize
            for at in range(0, len(payload), step):
                self._searches.take(self._decoder.events(payload[at : at + step]))

    def _hand_on(self, batch: EventBatch) -> None:
        self._deliver(batch)
