"""The replay engine: recordings played back, at their own speed, another, or at once.

It is the one engine that reads files of ours, so the import contract lets this module see `export.arrow`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from ior_nb import errors
from ior_nb.aggregate import added, counted, missing
from ior_nb.engine.contract import Ended
from ior_nb.engine.moves import Moves
from ior_nb.engine.player import Player, sampled
from ior_nb.export.arrow import event_batch
from ior_nb.real import Event
from ior_nb.runtime import Accounting, EventBatch, Pushdown, TraceOptions, new_tables, progress
from ior_nb.runtime.batch import ROWS_AT_ONCE
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.completeness import accounting_of, caveats_of, counters_of, unfilled_of
from ior_nb.runtime.schema import NAMES
from ior_nb.runtime.text import brief, middle_cut, printable
from ior_nb.sinks.parquet import Recording, find, told_apart
from ior_nb.syscalls import SYSCALLS

__all__ = ["ReplayEngine", "StandIn", "of_environment"]

_CALLS: Final = 512  # system calls have smaller numbers
_LONGEST: Final = 1 << 61  # a damaged recording may say anything; its rows lie no further apart than this, ns


class ReplayEngine:
    """Plays recordings back through the pipeline of a live trace: `TracerSession(engine=ReplayEngine("run.parquet"))`.

    All rows of a recording are played, whatever calls and processes are asked for; a filter, sampling, and probes that
    are switched work as they do live. The times are moved so that the playback begins now; all that lies between two
    times is as recorded. Several recordings are played one after the other.

    Args:
        path: a recording, a pattern, a folder, or several of these.
        speed: None as fast as possible (then `flush` and `stop` wait for the end), 1.0 as recorded, 2.0 twice as fast.
        clock: now on the boot clock, ns.

    Raises:
        ConfigError: a speed that is not positive.
    """

    name = "replay"
    replays = True
    counts_only = False
    can_wait = False
    filters = False
    syscalls = SYSCALLS
    how = ""
    moves = Moves()

    def __init__(
        self,
        path: str | Path | Iterable[str | Path],
        speed: float | None = None,
        *,
        clock: Callable[[], int] = boot_clock,
    ) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise errors.ConfigError(f"the speed of a replay is a positive number, or None for no waiting, not {speed}")
        self.path = path if isinstance(path, str | Path) else tuple(path)
        self.speed = speed
        self._recordings: list[Recording] = []
        self._range: tuple[float, float | None] = (0.0, None)
        self._tables = new_tables()
        self._played_to = 0
        self._player = Player("ior-replay", clock)
        self._enabled: frozenset[int] = frozenset()
        self._off: frozenset[int] = frozenset()
        self._rates: dict[int, int] = {}
        self._so_far = np.zeros(_CALLS, np.int64)

    # ---- what a replay is asked for

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """What is played, in order; there after `open`."""
        return tuple(self._recordings)

    @property
    def duration_s(self) -> float:
        """Length of the recordings one after the other, seconds; known after `open`."""
        spans = (r.span() for r in self._recordings)
        return sum(last - first for first, last in spans) / 1e9

    def seek(self, t0: float = 0.0, t1: float | None = None) -> None:
        """Play only the calls that began in [t0, t1), at once also in the running playback.

        Args:
            t0: seconds since the first call of each recording.
            t1: the same; to the end when None.

        Raises:
            ConfigError: that is no stretch of time.
        """
        if not 0 <= t0 < float("inf") or (t1 is not None and not t0 <= t1 < float("inf")):
            raise errors.ConfigError(f"from {t0} s to {t1} s is no stretch of a recording")
        self._range = (t0, t1)
        self._player.restart()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is played, for `timeout` seconds at most; tell whether it is."""
        with progress.work("replay"):
            return self._player.wait(timeout)

    # ---- Engine

    @property
    def title(self) -> str:
        """The recordings' names; there after `open`."""
        names = [printable(r.path.name) for r in self._recordings]
        if not names:
            return "replay"
        more = f" and {len(names) - 1} more" if names[1:] else ""
        label = " (demo data)" if any(r.made_up for r in self._recordings) else ""
        return f"replay of {middle_cut(names[0], 60)}{more}{label}"

    @property
    def caveats(self) -> tuple[str, ...]:
        """What narrowed the rows of the recordings."""
        return tuple(dict.fromkeys(caveat for r in self._recordings for caveat in caveats_of(r.metadata)))

    @property
    def pages(self) -> dict[str, dict[str, int]]:
        """Return nothing: they are of another time."""
        return {}

    @property
    def unfilled(self) -> dict[str, str]:
        """What the columns of the recordings lack."""
        return {names: why for r in self._recordings for names, why in unfilled_of(r.metadata).items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """That the times are moved; that something is missing at the end; that the data is of the demo."""
        notes = ["played back: the times are moved to the playback's"]
        for recording in self._recordings:
            name = printable(recording.path.name)
            if recording.made_up:
                notes.append(f"demo data: {name} was made up, nothing was traced")
            if recording.unfinished:
                notes.append(f"{name} has no end: it is being written, or was cut off")
        return tuple(notes)

    def open(self) -> None:
        """Find the recordings and read their footers. Idempotent.

        Raises:
            RecordingError: there are none, or one is damaged.
        """
        if not self._recordings:
            self._recordings = told_apart([Recording(path) for path in find(self.path)])

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Begin to play; of `options` only the sampling counts, for a recording has the calls it has.

        Raises:
            RecordingError: there are no recordings, or one is damaged.
        """
        self.open()
        now = self._played_to = self._player.clock()
        self._enabled, self._off, self._rates = options.enabled, frozenset(), dict(options.rates)
        self._so_far[:] = 0
        self._player.whole = sum(recording.rows for recording in self._recordings)
        self._player.start(self._play, on_batch, self._choose)
        return now

    def go_live(self) -> None:
        """It always is."""

    def flush(self) -> dict[str, int]:
        """Wait until what is due has been handed over: everything, when it is played as fast as possible.

        Raises:
            SourceError: a recording turned out to be damaged, or went away.
        """
        with progress.work("replay"):
            return self._player.flush()

    def counters(self) -> np.ndarray:
        """Return the counters of the rows played."""
        return self._player.counters()

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Leave calls out that are switched off from now on, and sample; what never was on is played all the same."""
        self._off = (self._off | self._enabled - enabled) - enabled
        self._enabled, self._rates = enabled, dict(rates)

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """It judges nothing: every row is handed over."""

    def deaths(self) -> list[tuple[int, int]]:
        """Return nothing: recordings have no ends of processes."""
        return []

    def stop(self) -> Ended:
        """End the playback: at the end of the recordings when it is as fast as possible, else at once.

        Raises:
            SourceError: a recording turned out to be damaged, or went away.
        """
        with progress.work("replay"):
            return self._player.stop()

    def close(self) -> None:
        """End the playback at once. Idempotent."""
        self._player.end()
        self._recordings = []

    # ---- in the player's thread

    def _choose(self, rows: EventBatch) -> tuple[EventBatch, np.ndarray | None]:
        off, rates = self._off, self._rates
        if not off and not rates:
            return rows, None
        numbers = self._player.numbers(rows)
        if off:
            played = ~np.isin(numbers, list(off))
            rows, numbers = rows.take(played), numbers[played]
        return rows, sampled(numbers, rates, self._so_far)

    def _play(self) -> None:
        t0, t1 = self._range
        for recording in self._recordings:
            if not recording.rows:
                continue
            first, _ = recording.span()
            start = first + round(t0 * 1e9)
            end = None if t1 is None else first + round(t1 * 1e9)
            begin = max(self._player.clock(), self._played_to)
            due = begin
            books = accounting_of(recording.metadata) or Accounting()
            partial = bool(books.sampled_out or books.lost_total)
            # Of a stretch nobody knows which calls are missing: the footer counts those of the whole recording.
            whole = counters_of(recording.metadata) if (t0, t1) == (0.0, None) else {}
            rows: dict[str, dict[str, int]] = {}
            for batch in recording.batches(
                event_batch, start=start, end=end, columns=NAMES, tables=self._tables, rows_at_once=ROWS_AT_ONCE
            ):
                if partial and whole:
                    rows = added(rows, counted(batch))
                since = np.minimum(batch["time_ns"] - np.uint64(start), np.uint64(_LONGEST)).astype(np.int64)
                moved = batch.with_columns(time_ns=(since + begin).astype(np.uint64))
                # Rows stand in the order in which the calls finished, and that is when each was there.
                latency = np.minimum(batch["latency_ns"], np.uint64(_LONGEST)).astype(np.int64)
                finished = since + latency
                self._played_to = max(self._played_to, begin + int(since.max()))
                if self.speed is None:
                    self._player.hand(moved)
                else:
                    times = begin + np.minimum(finished / self.speed, _LONGEST).astype(np.int64)
                    times = np.maximum(np.maximum.accumulate(times), due)
                    due = int(times[-1])
                    self._player.pace(moved, times)
            self._player.miss(books, {} if not partial else missing(whole, rows) if whole else None)


class StandIn(ReplayEngine):
    """Recordings in place of an engine that cannot work here: the first trace plays the first file, the next the next.

    Every trace gets the whole of its file, at its end at the latest. One that is watched plays as it was recorded.

    Args:
        path: a recording, a pattern, a folder; from the last file it goes on with the first.
        reason: why there is nothing better.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, 1.0)
        self._reason = brief(reason, 160)
        self._found: list[Recording] = []
        self._turn = 0
        self._wanted = Event()  # a dashboard that opens later sees the whole of it move

    @property
    def notes(self) -> tuple[str, ...]:
        """What is played, and why."""
        names = ", ".join(printable(r.path.name) for r in self._recordings)
        why = f"this machine does not allow tracing ({self._reason}; see %ior doctor)"
        return (f"played back from {names}: {why}", *super().notes[1:])

    def open(self) -> None:
        """Find the recordings and read their footers. Idempotent.

        Raises:
            RecordingError: there are none, or one is damaged.
        """
        if not self._found:
            try:
                self._found = [Recording(path) for path in find(self.path)]
            except errors.RecordingError as error:
                raise errors.RecordingError(
                    f"IOR_NB_REPLAY, to be played back where tracing is not allowed ({self._reason}): {error}"
                ) from error

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Begin to play the next file, or to wait until somebody looks at a trace that is quiet.

        Raises:
            RecordingError: there are no recordings, or one is damaged.
        """
        self.open()
        self._wanted.set()
        self._player.end()
        self._recordings = [self._found[self._turn % len(self._found)]]
        self._turn += 1
        if options.quiet:
            self._wanted.clear()
        return super().start(options, on_batch)

    def go_live(self) -> None:
        """Play what has been waiting."""
        self._wanted.set()

    def flush(self) -> dict[str, int]:
        """Wait until what is due has been handed over.

        Raises:
            SourceError: a recording turned out to be damaged, or went away.
        """
        self._wanted.set()
        return super().flush()

    def stop(self) -> Ended:
        """End the playback; what has not been played yet is handed over now.

        Raises:
            SourceError: a recording turned out to be damaged, or went away.
        """
        self._player.rush()
        self._wanted.set()
        return super().stop()

    def close(self) -> None:
        """End the playback at once. Idempotent."""
        self._wanted.set()
        super().close()

    def _play(self) -> None:
        self._wanted.wait()
        super()._play()


def of_environment() -> ReplayEngine:
    """Return the engine that plays the recordings of IOR_NB_REPLAY.

    Raises:
        ConfigError: the variable names none.
    """
    recordings = os.environ.get("IOR_NB_REPLAY")
    if not recordings:
        raise errors.ConfigError(
            "the engine replay plays the recordings that IOR_NB_REPLAY names (a file, a pattern or a folder); "
            "set it, or use TracerSession(engine=ReplayEngine(path))"
        )
    return ReplayEngine(recordings)
