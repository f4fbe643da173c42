"""Failures while recording: what survives, what is said."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ior_nb.errors import RecordingError
from ior_nb.export.arrow import Columns, columns
from ior_nb.runtime import RecordingState
from ior_nb.runtime.batch import EventBatch
from ior_nb.sinks.parquet import Recorder, read
from tests.sinks.parquet.recordings import events, failing, names, numbers, running


def ended(recorder: Recorder) -> None:
    """Wait until a recording has failed."""
    assert running(recorder).failed.wait(30)
    assert not recorder.status().active


def test_failure_keeps_what_was_written(tmp_path: Path) -> None:
    """A recording that fails is published with its finished row groups; later rows are counted, one error says it."""
    recorder = Recorder(failing(2, OSError(errno.ENOSPC, "No space left on device")), group_rows=100)
    recorder.start(tmp_path / "a")
    recorder.record(events(350))
    ended(recorder)
    recorder.record(events(11))
    status = recorder.status()
    with pytest.raises(RecordingError, match=r"ended early: No space left.* first 200 rows are in .*a\.parquet"):
        recorder.stop()

    assert numbers(read(tmp_path / "a.parquet")) == list(range(200))
    assert (status.active, status.rows_written, status.rows_dropped) == (False, 200, 161)
    assert status.path == tmp_path / "a.parquet"
    assert status.error is not None
    assert pq.read_metadata(tmp_path / "a.parquet").metadata == {
        b"ior.rows_dropped": b"161",
        b"ior.ended_early": b"No space left on device",
    }
    assert names(tmp_path) == ["a.parquet"]


def test_failure_before_the_first_group_leaves_no_file(tmp_path: Path) -> None:
    """When nothing could be written there is no file, and the error says so; bugs of the conversion count as well."""
    recorder = Recorder(failing(0, TypeError("a bug")))
    recorder.start(tmp_path / "a")
    recorder.record(events(5))
    with pytest.raises(RecordingError, match=r"TypeError: a bug\. Nothing was recorded"):
        recorder.stop()

    assert names(tmp_path) == []
    assert recorder.status().path is None
    assert recorder.status().temporary_path is None
    assert recorder.status().rows_dropped == 5


def test_failure_is_taken_once(tmp_path: Path) -> None:
    """take_failure has it once; stop then has nothing to raise, and a new start forgets it."""
    recorder = Recorder(failing(1, OSError(errno.EIO, "broken")), group_rows=10)
    recorder.start(tmp_path / "a")
    nothing_yet = recorder.take_failure()
    recorder.record(events(20))
    ended(recorder)
    failure = recorder.take_failure()

    assert nothing_yet is None
    assert isinstance(failure, RecordingError)
    assert isinstance(failure.__cause__, OSError)
    assert recorder.take_failure() is None
    assert recorder.stop() == tmp_path / "a.parquet"
    assert recorder.status().error is failure


def test_start_after_a_failure_begins_anew(tmp_path: Path) -> None:
    """A failed recording need not be stopped before the next one starts."""
    recorder = Recorder(failing(0, OSError(errno.EIO, "broken")))
    recorder.start(tmp_path / "a")
    recorder.record(events(1))
    running(recorder)._queue.close()
    ended(recorder)
    recorder.start(tmp_path / "b")

    assert recorder.take_failure() is None
    assert recorder.status().rows_dropped == 0
    assert recorder.stop() == tmp_path / "b.parquet"


@pytest.mark.parametrize("turn", range(50))
def test_failure_is_delivered_once_among_many_threads(tmp_path: Path, turn: int) -> None:
    """However stop and take_failure race, exactly one of them has the failure."""
    recorder = Recorder(failing(0, OSError(errno.EIO, "broken")), group_rows=1)
    recorder.start(tmp_path / f"{turn}")
    together = threading.Barrier(4)
    delivered: list[RecordingError] = []

    def stop() -> None:
        together.wait()
        try:
            recorder.stop()
        except RecordingError as error:
            delivered.append(error)

    def take() -> None:
        together.wait()
        if (error := recorder.take_failure()) is not None:
            delivered.append(error)

    threads = [threading.Thread(target=target) for target in (stop, take, stop, take)]
    recorder.record(events(1))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(delivered) == 1
    assert recorder.take_failure() is None


def test_file_that_cannot_get_its_name_is_kept(tmp_path: Path) -> None:
    """When publishing fails the complete file stays under its temporary name, which the error tells."""
    recorder = Recorder(columns)
    recorder.start(tmp_path / "a")
    recorder.record(events(3))
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(RecordingError, match=r"cannot be put at .*Its 3 rows are in .*ior-.*\.tmp"):
        recorder.stop()
    temporary = recorder.status().temporary_path
    assert temporary is not None

    assert numbers(read(temporary)) == [0, 1, 2]
    assert numbers(pq.read_table(temporary)) == [0, 1, 2]
    assert recorder.status().path is None


def test_failure_and_no_name_are_one_error(tmp_path: Path) -> None:
    """When writing failed and publishing fails too, the error names the first reason and the temporary file."""
    recorder = Recorder(failing(1, OSError(errno.EIO, "broken")), group_rows=10)
    recorder.start(tmp_path / "a")
    (tmp_path / "a.parquet").mkdir()
    recorder.record(events(20))
    with pytest.raises(RecordingError, match=r"ended early: broken\. Its 10 rows are in .*ior-.*\.tmp"):
        recorder.stop()
    temporary = recorder.status().temporary_path
    assert temporary is not None

    assert numbers(read(temporary)) == list(range(10))


def test_temporary_file_that_is_gone_is_told(tmp_path: Path) -> None:
    """When somebody removed the temporary file, the error does not promise it."""
    recorder = Recorder(columns)
    recorder.start(tmp_path / "a")
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(RecordingError, match=r"No such file.*is gone"):
        recorder.stop()


def test_bug_of_the_conversion_at_the_start_leaves_nothing(tmp_path: Path) -> None:
    """What the conversion raises at the start comes out as it is, and no file stays behind."""

    def broken(batches: Sequence[EventBatch]) -> Columns:
        raise TypeError(f"a bug with {len(batches)} batches")

    recorder = Recorder(broken)
    with pytest.raises(TypeError, match="a bug with 0 batches"):
        recorder.start(tmp_path / "a")

    assert names(tmp_path) == []
    assert recorder.status() == RecordingState()


def test_write_error_in_the_middle_of_a_group_costs_that_group_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that cannot reserve room, half a group is cut off and the rest is published."""
    left = [20_000]

    def pwritev(fd: int, parts: list[memoryview], offset: int) -> int:
        data = b"".join(parts)
        if len(data) > left[0]:
            if not left[0]:
                left[0] = 1_000_000  # room for the footer once the file has been cut
                raise OSError(errno.ENOSPC, "No space left on device")
            data = data[: left[0]]
        left[0] -= len(data)
        return os.pwrite(fd, data, offset)

    def fallocate(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "pwritev", pwritev)
    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    recorder = Recorder(columns, group_rows=100)
    recorder.start(tmp_path / "a")
    recorder.record(events(1000))
    with pytest.raises(RecordingError, match="No space left"):
        recorder.stop()
    written = recorder.status().rows_written

    assert 0 < written < 1000
    assert numbers(read(tmp_path / "a.parquet")) == list(range(written))


def test_full_disk_at_the_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When not even the beginning can be written, start fails and leaves nothing."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RecordingError, match=r"cannot record to .*No space left"):
        Recorder(columns).start(tmp_path / "a")

    assert names(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "none", place], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_full_disk_keeps_all_finished_groups(small_disk: Path) -> None:
    """When the disk fills up, every row group reported as written is in the published file, and tracing goes on."""
    recorder = Recorder(columns, group_rows=5000)
    recorder.start(small_disk / "a", block=True)
    handed = 0
    while recorder.status().active:
        recorder.record(events(5000, handed))
        handed += 5000
    ended(recorder)
    recorder.record(events(7, handed))
    status = recorder.status()
    with pytest.raises(RecordingError, match="No space left on device"):
        recorder.stop()

    assert status.rows_written >= 5000
    assert numbers(read(small_disk / "a.parquet")) == list(range(status.rows_written))
    assert status.rows_written + status.rows_dropped == handed + 7
    assert names(small_disk) == ["a.parquet"]
