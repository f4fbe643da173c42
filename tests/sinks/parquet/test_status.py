"""What a recorder says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from ior_nb.errors import RecordingError
from ior_nb.export.arrow import columns
from ior_nb.runtime import RecordingState
from ior_nb.sinks.parquet import Recorder
from tests.sinks.parquet.recordings import events, names


def test_status_follows_the_recording(tmp_path: Path) -> None:
    """Status says what is asked for while recording, and what became of it afterwards."""
    (tmp_path / "a.parquet").touch()
    recorder = Recorder(columns)
    before = recorder.status()
    recorder.start(tmp_path / "a", generated=True)
    during = recorder.status()
    recorder.record(events(3))
    path = recorder.stop()
    after = recorder.status()
    assert path is not None

    assert before == RecordingState()
    assert (during.active, during.path, during.rows_written) == (True, tmp_path / "a.parquet", 0)
    assert during.temporary_path is not None
    assert after == RecordingState(
        path=tmp_path / "a-1.parquet",
        requested_path=tmp_path / "a.parquet",
        rows_written=3,
        bytes_written=path.stat().st_size,
    )


def test_without_a_recording_nothing_happens(tmp_path: Path) -> None:
    """Recording into nothing, and stopping nothing, are no errors."""
    recorder = Recorder(columns)
    recorder.record(events(1))
    recorder.set_metadata({"a": "b"})
    first = recorder.stop()
    record_path = tmp_path / "a"
    recorder.start(record_path)
    recorder.stop()
    recorder.record(events(1))

    assert first is None
    assert recorder.stop() is None
    assert recorder.take_failure() is None
    assert recorder.status().rows_dropped == 0


def test_second_start_is_refused(tmp_path: Path) -> None:
    """There is one recording at a time; a second start changes nothing and leaves no file."""
    recorder = Recorder(columns)
    recorder.start(tmp_path / "a")
    with pytest.raises(RecordingError, match=r"already recording to .*a\.parquet"):
        recorder.start(tmp_path / "b")
    recorder.stop()
    recorder.start(tmp_path / "b")
    recorder.stop()

    assert names(tmp_path) == ["a.parquet", "b.parquet"]
