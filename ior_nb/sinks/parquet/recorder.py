"""The recorder: takes batches from the tracer's thread, writes them from a thread of its own."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ior_nb.errors import RecordingError
from ior_nb.real import Descriptor, Event, Lock
from ior_nb.runtime import EventBatch, RecordingState, own
from ior_nb.sinks.parquet.chain import Chain
from ior_nb.sinks.parquet.rowgroup import Columns, Link, link
from ior_nb.sinks.parquet.rows import RowQueue
from ior_nb.sinks.parquet.target import PRIVATE, Target

__all__ = ["Recorder"]

_PIECE: Final = 16_384
"""Rows that are tried where a whole row group finds no room."""


class Recorder:
    """Records event batches to Parquet files, one recording at a time.

    All methods may be called from any thread. A thread named `ior-recorder` writes, in row groups that survive a crash.
    When writing fails (the disk is full), the row groups there are stay, later rows are counted as dropped, and the
    failure is delivered once: by `stop` or by `take_failure`. The file gets its end and its name when the recording is
    stopped, so that its footer counts all there was.

    Args:
        to_arrow: converts the batches of a row group; `ior_nb.export.arrow.columns`.
        clock: seconds that never go back.
        queue_rows: rows that may wait to be written.
        group_rows: rows of a row group.
        flush_seconds: no row waits longer than this for its row group to become whole.
    """

    def __init__(
        self,
        to_arrow: Callable[[Sequence[EventBatch]], Columns],
        *,
        clock: Callable[[], float] = time.monotonic,
        queue_rows: int = 1_000_000,
        group_rows: int = 262_144,
        flush_seconds: float = 10.0,
    ) -> None:
        self._to_arrow = to_arrow
        self._new_queue = functools.partial(
            RowQueue, queue_rows, group_rows=group_rows, seconds=flush_seconds, clock=clock
        )
        self._turns = Lock()  # one start or stop at a time
        self._recording: _Recording | None = None  # the running one, or the last

    def start(
        self,
        path: str | Path,
        *,
        metadata: Mapping[str, str] | None = None,
        generated: bool = False,
        block: bool = False,
        mode: int = PRIVATE,
    ) -> None:
        """Begin a recording. An undelivered failure of the one before is forgotten.

        Args:
            path: its name; `.parquet` is appended where it is missing.
            metadata: pairs for the footer.
            generated: the name was made up by the program: never replace a file, put -1, -2, ... behind the name.
                A name of the user's replaces the file that has it.
            block: let `record` wait while the queue is full, instead of dropping rows.
            mode: of the file, where none is replaced.

        Raises:
            RecordingError: a recording is running, or none can be written there. Nothing was begun.
        """
        with self._turns:
            if self._recording is not None:
                if (before := self._recording.status()).active:
                    raise RecordingError(f"already recording to {before.path}. Stop that recording first.")
                self._recording.stop()
            target = Target(path, generated=generated, mode=mode)
            self._recording = _Recording(target, self._to_arrow, self._new_queue(), metadata or {}, block=block)

    def record(self, batch: EventBatch) -> None:
        """Hand over rows. Without a recording this does nothing; it never raises.

        It does not block either, unless the recording was started with `block=True`.
        """
        recording = self._recording
        if recording is not None and not recording.stopped:
            recording.record(batch)

    def set_metadata(self, metadata: Mapping[str, str]) -> None:
        """Add pairs to the footer, for what is only known at the end. Without a recording this does nothing."""
        recording = self._recording
        if recording is not None:
            recording.set_metadata(metadata)

    def stop(self) -> Path | None:
        """Write what is queued, finish the file and give it its name.

        Returns:
            The file; None when nothing was being recorded.

        Raises:
            RecordingError: the recording ended early, or could not be given its name. Raised once, and not when
                `take_failure` had it.
        """
        with self._turns:
            recording = self._recording
            if recording is None or recording.stopped:
                return None
            recording.stop()
            if (failure := recording.take_failure()) is not None:
                raise failure
            return recording.status().path

    def discard(self) -> None:
        """End the recording as if it had never begun: no file gets its name, none that has it is touched."""
        with self._turns:
            if self._recording is not None and not self._recording.stopped:
                self._recording.discarded = True
                self._recording.stop()

    def status(self) -> RecordingState:
        """Return what is going on, or how the last recording went."""
        recording = self._recording
        return recording.status() if recording is not None else RecordingState()

    def take_failure(self) -> RecordingError | None:
        """Return the failure that ended the recording, once; None when there is none or it has been delivered."""
        recording = self._recording
        return recording.take_failure() if recording is not None else None


class _Recording:
    """One recording, from the creation of its file to its name. The worker alone touches the file once it runs."""

    def __init__(
        self,
        target: Target,
        to_arrow: Callable[[Sequence[EventBatch]], Columns],
        queue: RowQueue,
        metadata: Mapping[str, str],
        *,
        block: bool,
    ) -> None:
        self.stopped = False
        self.discarded = False
        self.worker = own.OwnThread(self._run, name="ior-recorder")
        self._target = target
        self._to_arrow = to_arrow
        self._queue = queue
        self._block = block
        self._lock = Lock()  # guards all below
        self._active = True
        self._metadata = _encoded(metadata)
        self._rows_dropped = 0
        self._path: Path | None = target.path
        self._error: RecordingError | None = None
        self._untaken: RecordingError | None = None
        self._stopping = Event()
        self.failed = Event()

        file: Descriptor | None = None
        try:
            self._file = file = Descriptor(target.create(), target.temporary)
            self._chain = Chain(file, self._no_rows())
            self.worker.start()
        except BaseException as error:
            if file is not None:
                file.close()
            target.discard()
            if isinstance(error, OSError) and not isinstance(error, RecordingError):
                raise RecordingError(f"cannot record to {target.path}: {_reason(error)}. Nothing was begun.") from error
            raise

    def record(self, batch: EventBatch) -> None:
        missing = self._queue.put(batch, block=self._block)
        if missing:
            with self._lock:
                self._rows_dropped += missing

    def set_metadata(self, metadata: Mapping[str, str]) -> None:
        pairs = _encoded(metadata)
        with self._lock:
            self._metadata.update(pairs)

    def stop(self) -> None:
        with self._lock:
            self._active = False
        self._queue.close()
        self._stopping.set()
        self.worker.join()
        self.stopped = True

    def take_failure(self) -> RecordingError | None:
        with self._lock:
            failure, self._untaken = self._untaken, None
            return failure

    def status(self) -> RecordingState:
        with self._lock:
            return RecordingState(
                active=self._active,
                path=self._path,
                requested_path=self._target.path,
                temporary_path=self._target.temporary,
                rows_written=self._chain.rows,
                rows_dropped=self._rows_dropped,
                bytes_written=self._chain.size,
                error=self._error,
            )

    def _run(self) -> None:
        rows: list[EventBatch] = []
        failure: Exception | None = None
        before = 0
        try:
            while rows := self._queue.get():
                before = self._chain.rows
                self._append(rows)
        except Exception as error:
            failure = error
            missing = self._queue.abandon() + sum(map(len, rows)) - (self._chain.rows - before)
            with self._lock:
                self._active = False
                self._rows_dropped += missing
                self._error = self._untaken = self._early(error)
            self.failed.set()
            if self._chain.rows:
                self._stopping.wait()
        problem, path = self._finish(failure)
        self._file.close()
        with self._lock:
            if problem is not None and (self._error is None or str(problem) != str(self._error)):
                self._error = self._untaken = problem
            self._path = path

    def _append(self, batches: list[EventBatch]) -> None:
        """Write a row group; where there is no room for it, as much of it as there is."""
        try:
            self._chain.append(link(self._to_arrow(batches)))
        except OSError:
            rows = EventBatch.concat(batches)
            if len(rows) <= _PIECE:
                raise
            for at in range(0, len(rows), _PIECE):
                self._append([rows[at : at + _PIECE]])

    def _finish(self, failure: Exception | None) -> tuple[RecordingError | None, Path | None]:
        """Publish what there is; return what the user has to know, and the file."""
        wanted, written = self._target.path, self._chain.rows
        try:
            if self.discarded:
                self._target.discard()
                return None, None
            if failure is not None and not written:
                self._target.discard()
                return self._early(failure), None
            self._chain.finish(self._no_rows(failure))
            path = self._target.publish()
        except Exception as error:
            temporary = self._target.temporary
            if temporary is not None and temporary.exists():
                where = f"Its {written:,} rows are in {temporary}, which can be read as it is."
            else:
                where = f"Its temporary file {temporary} is gone."
            if failure is not None:
                return _error(failure, f"the recording to {wanted} ended early: {_reason(failure)}. {where}"), None
            return _error(error, f"the recording cannot be put at {wanted}: {_reason(error)}. {where}"), None
        if failure is None:
            return None, path
        return self._early(failure, path), path

    def _early(self, failure: Exception, path: Path | None = None) -> RecordingError:
        wanted, written = self._target.path, self._chain.rows
        if not written:
            return _error(failure, f"cannot record to {wanted}: {_reason(failure)}. Nothing was recorded.")
        text = f"the recording to {wanted} ended early: {_reason(failure)}. Its first {written:,} rows are in "
        return _error(failure, f"{text}{path or wanted}.")

    def _no_rows(self, failure: Exception | None = None) -> Link:
        """Return a link without rows, with all metadata there is by now."""
        with self._lock:
            pairs = dict(self._metadata)
            if self._rows_dropped:
                pairs[b"ior.rows_dropped"] = str(self._rows_dropped).encode()
        if failure is not None:
            pairs[b"ior.ended_early"] = _reason(failure).encode(errors="backslashreplace")
        return link(self._to_arrow([]), pairs)


def _error(cause: Exception, text: str) -> RecordingError:
    error = RecordingError(text)
    error.__cause__ = cause
    return error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def _encoded(metadata: Mapping[str, str]) -> dict[bytes, bytes]:
    return {k.encode(errors="backslashreplace"): v.encode(errors="backslashreplace") for k, v in metadata.items()}
