"""The cache of compiled programs: what stands there is loaded with privileges, so nothing else than ours is taken."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ior_nb.engine.collector import cache
from ior_nb.engine.collector.cache import Cache

ENTRY = {"bcc": "0.26", "images": {"raw": "…"}}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The file of an entry that was kept under `key`."""
    Cache(tmp_path / "ior-nb").put("key", ENTRY)
    return tmp_path / "ior-nb/key.json"


def test_what_was_kept_comes_back(kept: Path) -> None:
    """An entry is there for the next process, in a folder and a file that only its user can read."""
    store = Cache(kept.parent)

    assert store.get("key") == ENTRY
    assert store.get("another") is None
    assert store.refused == ""
    assert (kept.parent.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)


def test_nothing_is_left_of_a_file_half_written(kept: Path) -> None:
    """Entries are written beside their place and moved there: the folder holds nothing else."""
    Cache(kept.parent).put("key", ENTRY | {"bcc": "0.31"})

    assert [file.name for file in kept.parent.iterdir()] == ["key.json"]


@pytest.mark.parametrize("at", [0, 40, 64, 65, 90, -1])
def test_a_damaged_file_is_not_used(kept: Path, at: int) -> None:
    """One wrong bit anywhere, and the program is compiled again."""
    data = bytearray(kept.read_bytes())
    data[at] ^= 1
    kept.write_bytes(data)
    store = Cache(kept.parent)

    assert store.get("key") is None
    assert "damaged" in store.refused


def test_a_truncated_file_is_not_used(kept: Path) -> None:
    """Half an entry is none."""
    kept.write_bytes(kept.read_bytes()[:70])

    assert Cache(kept.parent).get("key") is None


def _readable(file: Path) -> None:
    file.chmod(0o644)


def _foreign(file: Path) -> None:
    os.chown(file, 65534, 65534)


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _open_folder(file: Path) -> None:
    file.parent.chmod(0o777)


def _foreign_folder(file: Path) -> None:
    os.chown(file.parent, 65534, 65534)


def _linked_folder(file: Path) -> None:
    real = file.parent.rename(file.parent.with_name("real"))
    file.parent.symlink_to(real)


@pytest.mark.parametrize("change", [_readable, _foreign, _link, _fifo, _open_folder, _foreign_folder, _linked_folder])
def test_what_others_could_have_written_is_refused(kept: Path, change: Callable[[Path], None]) -> None:
    """A file or folder of somebody else, open to others, or not a plain one, is not read and not written over."""
    if change in (_foreign, _foreign_folder) and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    change(kept)
    store = Cache(kept.parent)

    assert store.get("key") is None
    assert str(kept.parent) in store.refused


@pytest.mark.parametrize("change", [_open_folder, _linked_folder])
def test_nothing_is_put_where_others_may_write(kept: Path, change: Callable[[Path], None]) -> None:
    """A folder that is not to be trusted gets nothing, and the reason is told."""
    change(kept)
    store = Cache(kept.parent)
    store.put("new", ENTRY)

    assert not (kept.parent / "new.json").exists()
    assert "not used" in store.refused


def test_only_the_last_entries_are_kept(tmp_path: Path) -> None:
    """Kernels and versions come and go: the folder does not grow."""
    store = Cache(tmp_path)
    tmp_path.chmod(0o700)
    for number in range(12):
        store.put(f"key{number}", ENTRY)
        os.utime(tmp_path / f"key{number}.json", (number, number))

    assert len(list(tmp_path.iterdir())) == 8
    assert store.get("key11") == ENTRY
    assert store.get("key0") is None


def test_no_folder_no_cache() -> None:
    """Where nothing may be kept nothing is, without a word."""
    store = Cache(None)
    store.put("key", ENTRY)

    assert store.get("key") is None
    assert store.refused == ""


def test_a_process_with_rights_of_its_file_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights by setuid or file capabilities: the user's own folder is not the privileged process's."""

    class Secure:
        def getauxval(self, which: int) -> int:
            return int(which == 23)  # AT_SECURE

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Secure())

    assert cache.folder() is None


def test_roots_cache_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's programs are kept below /var, whatever the environment says."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp/elsewhere")

    assert cache.folder() == Path("/var/cache/ior-nb")
