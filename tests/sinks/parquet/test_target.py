"""Names of recordings, and what is in the way of one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ior_nb.errors import RecordingError
from ior_nb.export.arrow import columns
from ior_nb.runtime import RecordingState
from ior_nb.sinks.parquet import Recorder, read, target
from tests.sinks.parquet.recordings import events, names, numbers, record


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("a", "a.parquet"),
        ("a.b \n", "a.b.parquet"),
        ("A.PARQUET", "A.PARQUET"),
        ("a.parquet.tmp", "a.parquet"),
        ("ä", "ä.parquet"),
    ],
)
def test_name_gets_its_ending(tmp_path: Path, asked: str, name: str) -> None:
    """`.parquet` is put behind a name that does not have it, and blanks around it are dropped."""
    assert record(f"  {tmp_path}/{asked}") == tmp_path / name


def test_path_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the working directory of the start, not of the end."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(columns)
    recorder.start("a")
    monkeypatch.chdir("other")

    assert recorder.stop() == tmp_path / "a.parquet"


@pytest.mark.parametrize("path", ["", "  ", "a\0b", "/", "..", "sub/", "~nobody-of-that-name/a"])
def test_path_that_is_no_file_name_is_refused(path: str) -> None:
    """An empty path, a directory or a NUL is one error at the start."""
    recorder = Recorder(columns)
    with pytest.raises(RecordingError, match="cannot record to"):
        recorder.start(path)

    assert recorder.status() == RecordingState()


@pytest.mark.parametrize("directory", ["missing", "file", "/proc", "/sys"])
def test_directory_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, directory: str) -> None:
    """A missing or unwritable directory is an error of start, which names the path and leaves nothing."""
    (tmp_path / "file").touch()
    target = tmp_path / directory / "a.parquet"
    recorder = Recorder(columns)
    with pytest.raises(RecordingError, match=f"cannot record to {target}"):
        recorder.start(target)

    assert not recorder.status().active
    assert names(tmp_path) == ["file"]


def test_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    """Missing permission is an error of start."""
    tmp_path.chmod(0o500)
    me = os.geteuid()
    if me == 0:  # root may write everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(RecordingError, match="Permission denied"):
            Recorder(columns).start(tmp_path / "a")
    finally:
        os.seteuid(me)


def test_target_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A directory or a pipe of that name is not replaced."""
    (tmp_path / "dir.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    for name in ("dir", "pipe"):
        with pytest.raises(RecordingError, match="no regular file"):
            Recorder(columns).start(tmp_path / name)


@pytest.mark.parametrize(("asked", "mode"), [({}, 0o600), ({"mode": 0o666}, 0o640)])
def test_temporary_file_is_beside_the_target_and_obeys_the_umask(
    tmp_path: Path, asked: dict[str, Any], mode: int
) -> None:
    """While recording, the rows are in ior-<16 hex digits>.tmp, for their owner alone unless asked otherwise."""
    recorder = Recorder(columns)
    before = os.umask(0o027)
    try:
        recorder.start(tmp_path / "a", **asked)
    finally:
        os.umask(before)
    (temporary,) = tmp_path.iterdir()
    path = recorder.stop()
    assert path is not None

    assert temporary.parent == tmp_path
    assert len(temporary.name) == len("ior-.tmp") + 16
    assert int(temporary.stem.removeprefix("ior-"), 16) >= 0
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_generated_names_never_replace(tmp_path: Path) -> None:
    """A name that is taken gets -1, -2, ... before its ending, also when a directory or a link has it."""
    (tmp_path / "a-2.parquet").mkdir()
    (tmp_path / "a-3.parquet").symlink_to("nowhere")
    paths = [record(tmp_path / "a", events(1, i), generated=True) for i in range(3)]

    assert [p.name for p in paths] == ["a.parquet", "a-1.parquet", "a-4.parquet"]
    assert [numbers(read(p)) for p in paths] == [[0], [1], [2]]
    assert len(names(tmp_path)) == 5


def test_generated_name_stays_within_the_limit(tmp_path: Path) -> None:
    """A name that would get too long by its number is shortened, at a character."""
    name = "ä" * 123 + ".parquet"  # 254 bytes
    (tmp_path / name).touch()

    assert record(tmp_path / name, generated=True).name == "ä" * 122 + "-1.parquet"


def test_generated_name_gives_up_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every number is taken the recording stays in its temporary file."""
    monkeypatch.setattr(target, "_MOST_NUMBERS", 1)
    for name in ("a.parquet", "a-1.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(RecordingError, match=r"1 files have this name already.*ior-.*\.tmp"):
        record(tmp_path / "a", generated=True)

    assert len(names(tmp_path)) == 3


def test_generated_names_do_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no hard links, a taken name is not replaced either."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    paths = [record(tmp_path / "a", events(1, i), generated=True) for i in range(2)]

    assert [p.name for p in paths] == ["a.parquet", "a-1.parquet"]
    assert [numbers(read(p)) for p in paths] == [[0], [1]]
    assert len(names(tmp_path)) == 2


def test_rename_that_fails_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links, the file that kept the name is removed when the rename fails."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RecordingError, match="not permitted"):
        record(tmp_path / "a", generated=True)

    assert [name[-4:] for name in names(tmp_path)] == [".tmp"]


def test_chosen_name_is_replaced_and_keeps_the_mode(tmp_path: Path) -> None:
    """A file the user named is replaced in one step, only at the end, and its mode stays."""
    target = tmp_path / "a.parquet"
    target.write_text("old")
    target.chmod(0o604)
    recorder = Recorder(columns)
    recorder.start(target)
    recorder.record(events(3))
    during = target.read_text()
    recorder.stop()

    assert during == "old"
    assert numbers(read(target)) == [0, 1, 2]
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


def test_symlink_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A link of the target's name becomes the recording; what it pointed at is not touched."""
    (tmp_path / "precious").write_text("old")
    (tmp_path / "a.parquet").symlink_to("precious")
    path = record(tmp_path / "a", events(1))

    assert (tmp_path / "precious").read_text() == "old"
    assert not path.is_symlink()
    assert numbers(read(path)) == [0]
