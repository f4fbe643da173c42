"""What a process writes of its labels, and what another reads of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from ior_nb.runtime import labellog
from ior_nb.runtime.labellog import Change, Log, Reader, files, mark


def _written(place: Path) -> list[Change]:
    return [change for *_, path in files(place) for change in Reader(path).news()]


def test_what_is_written_is_read(place: Path) -> None:
    """Changes come out as they went in, each once."""
    log = Log()
    changes = [Change(5, 7, "epoch 3"), Change(6, 0, "größer/∞"), Change(7, 7, "")]
    log.add(changes[0], {})
    reader = Reader(next(files(place))[3])

    assert reader.news() == changes[:1]
    for change in changes[1:]:
        log.add(change, {})
    assert reader.news() == changes[1:]
    assert reader.news() == []


def test_a_log_that_somebody_reads_is_whole(place: Path) -> None:
    """While a trace lives a full file is followed by another, and none goes."""
    mark()
    log = Log()
    changes = [Change(n, 7, "x" * 1000) for n in range(300)]
    for change in changes:
        log.add(change, {})

    assert len(list(files(place))) > 1
    assert _written(place) == changes


def test_a_log_that_nobody_reads_stays_small_and_says_what_holds(place: Path) -> None:
    """Without a trace one file is left, which begins with what every thread has at that time."""
    log = Log()
    log.add(Change(0, 9, "other"), {9: "other"})
    for n in range(1, 300):
        log.add(Change(n, 7, "x" * 1000), {9: "other", 7: "x" * 1000})

    assert len(list(files(place))) == 1
    assert _written(place)[0][1:] == (9, "other")
    assert _written(place)[-1] == Change(299, 7, "x" * 1000)


def test_what_a_process_left_goes_though_another_has_its_number(place: Path) -> None:
    """A file, and a mark, says when it was begun; who has the number now was not there yet."""
    log = Log()
    (place / f"{log._name}-0").rename(place / f"{os.getpid()}-1-0")
    (place / f"trace-{os.getpid()}-1").touch()
    mark()

    assert list(files(place)) == []
    assert [path.name.split("-")[2] == "1" for path in place.iterdir()] == [False]


def test_a_mark_of_a_dead_tracer_keeps_nothing(place: Path) -> None:
    """Whoever traced and was killed reads no more."""
    mark().rename(place / "trace-4194304-1")  # above every number there is
    log = Log()
    for n in range(300):
        log.add(Change(n, 7, "x" * 1000), {})

    assert len(list(files(place))) == 1


def test_what_the_dead_have_left_is_cleared_away(place: Path) -> None:
    """Who begins to write removes the files of processes that have ended."""
    Log()
    next(files(place))[3].rename(place / "4194304-1-0")

    Log()

    assert [process for process, *_ in files(place)] == [os.getpid()]


def test_a_traced_process_with_too_many_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an end to what is kept, and it can be read."""
    monkeypatch.setattr(labellog, "_MOST", 2)
    mark()
    log = Log()

    kept = [log.add(Change(n, 7, "x" * 1000), {}) for n in range(500)]

    readers = [Reader(path) for *_, path in files(place)]
    assert len([change for reader in readers for change in reader.news()]) == kept.index(False)
    assert [reader.full for reader in readers] == [False, True]


@pytest.mark.parametrize("traced", [True, False])
def test_what_fits_in_no_file_is_the_end(place: Path, traced: bool) -> None:
    """A process of which more holds at once than the largest file has room for has no more labels."""
    if traced:
        mark()
    log = Log()
    current = dict.fromkeys(range(1, 400), "x" * 4000)

    assert not log.add(Change(1, 400, "x" * 5000), current)
    assert not log.add(Change(2, 400, ""), {})


def test_a_text_longer_than_the_first_file_is_in_a_later_one(place: Path) -> None:
    """Files grow until it fits."""
    mark()
    log = Log()

    assert log.add(Change(1, 7, "x" * 10_000), {7: "x" * 10_000})
    assert _written(place)[-1] == Change(1, 7, "x" * 10_000)


def test_a_handler_of_a_signal_may_change_what_is_being_changed(place: Path) -> None:
    """A change that interrupts another one is written after it."""
    log = Log()
    put = log._put

    def interrupted(change: Change) -> bool:
        if change.text == "outer":
            log.add(Change(2, 7, "handler"), {})
        return put(change)

    log._put = interrupted  # type: ignore[method-assign]
    log.add(Change(1, 7, "outer"), {})

    assert [change.text for change in _written(place)] == ["outer", "handler"]


def test_a_folder_of_others_is_not_written_to(place: Path) -> None:
    """Who can look into the folder could read what was not meant for him, or put something there."""
    place.mkdir()
    place.chmod(0o777)

    with pytest.raises(PermissionError, match="no folder of this user alone"):
        Log()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ior-lbl1",
        b"ELF" * 100,
        struct.pack("=8sQ", b"ior-lbl1", 1 << 40),
        struct.pack("=8sQQII", b"ior-lbl1", 32, 1, 7, 1 << 31),
        struct.pack("=8sQQII", b"ior-lbl1", 32, 1 << 63, 7, 0),
        struct.pack("=8sQQII", b"ior-lbl1", 4, 1, 7, 0),
    ],
)
def test_a_file_that_is_no_log_has_no_changes(tmp_path: Path, content: bytes) -> None:
    """Anybody may have written it: what makes no sense is nothing."""
    path = tmp_path / "1-1-0"
    path.write_bytes(content)

    assert Reader(path).news() == []


def test_a_file_that_is_gone_has_no_changes(tmp_path: Path) -> None:
    """It may have been cleared away."""
    assert Reader(tmp_path / "1-1-0").news() == []
