"""Files that are no longer where they were: moved, deleted, or nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ior_nb.engine.moves import Moves
from ior_nb.syscalls import NATIVE
from tests.fakes import batch

EVERY = frozenset(call.number for call in NATIVE)


def renamed(*pairs: tuple[Path | str, Path | str], ret: int = 0, call: str = "rename") -> Moves:
    """Return what is known after these renames, in their order."""
    moves = Moves()
    for old, new in pairs:
        moves.take(batch(syscall=["read", call], ret=[0, ret], file=["/else", str(new)], old_file=["", str(old)]))
    return moves


def test_a_file_is_found_where_it_was_renamed_to(tmp_path: Path) -> None:
    """Itself or a folder above it, several times; where it is there again it is what is there."""
    (tmp_path / "final" / "deep").mkdir(parents=True)
    for name in ("done", "again", "final/deep/part"):
        (tmp_path / name).touch()
    moves = renamed(
        (tmp_path / "one", tmp_path / "two"),
        (tmp_path / "two", tmp_path / "done"),
        (tmp_path / "again", tmp_path / "done"),
        (tmp_path / "draft", tmp_path / "final"),
    )

    assert moves.place(f"{tmp_path}/one") == f"{tmp_path}/done"
    assert moves.place(f"{tmp_path}/again") == f"{tmp_path}/again"
    assert moves.place(f"{tmp_path}/draft/deep/part") == f"{tmp_path}/final/deep/part"
    assert moves.place(f"{tmp_path}/drafts") == f"{tmp_path}/drafts"


@pytest.mark.parametrize("call", ["rename", "renameat", "renameat2", "link", "linkat"])
def test_every_call_that_gives_a_name_is_known(call: str, tmp_path: Path) -> None:
    """A link and the end of the first name are a rename in two steps."""
    (tmp_path / "object").touch()

    assert renamed((tmp_path / "tmp_obj", tmp_path / "object"), call=call).place(f"{tmp_path}/tmp_obj") == (
        f"{tmp_path}/object"
    )


def test_a_file_of_a_chain_is_what_its_own_rename_made_it(tmp_path: Path) -> None:
    """As where logs are rotated: what was there before went on first."""
    for name in ("log.1", "log.2"):
        (tmp_path / name).touch()
    moves = renamed((tmp_path / "log.1", tmp_path / "log.2"), (tmp_path / "log", tmp_path / "log.1"))

    assert moves.place(f"{tmp_path}/log") == f"{tmp_path}/log.1"


def test_a_deleted_file_is_where_it_was(tmp_path: Path) -> None:
    """Renamed before, renamed to and fro, or never; a rename that failed and a symbolic link are none."""
    one, two = tmp_path / "one", tmp_path / "two"

    assert renamed((one, two)).place(str(one)) == str(one)
    assert renamed((one, two), (two, one)).place(str(one)) == str(one)
    two.touch()
    assert renamed((one, two), ret=-2).place(str(one)) == str(one)
    assert renamed((one, two), call="symlink").place(str(one)) == str(one)


def test_what_was_not_seen_may_have_moved_a_file(tmp_path: Path) -> None:
    """Calls that rename are off or sampled, or a filter may have kept them away, now or before."""
    gone = str(tmp_path / "gone")

    def place(enabled: frozenset[int], *, filtered: bool = False, rate: int = 1) -> str:
        moves = Moves()
        moves.watch(enabled, dict.fromkeys(EVERY, rate), filtered=filtered)
        moves.watch(EVERY, {}, filtered=False)
        return moves.place(gone)

    assert place(EVERY) == gone
    assert place(frozenset()) == place(EVERY, filtered=True) == place(EVERY, rate=7) == ""
