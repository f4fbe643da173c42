"""What becomes of bytes written: against what the kernel says of the file, and of the device."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb.runtime import PageState
from ior_nb.session.desk import Desk
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.live.mounts import ext4, mount

MIB = 1 << 20
PROGRAM = """
import mmap, os, sys
folder = sys.argv[1]

def write(name, size, sync=False, delete=False):
    with open(f"{folder}/{name}", "wb", buffering=0) as file:
        for _ in range(size):
            file.write(b"x" * (1 << 20))
        if sync:
            os.fsync(file.fileno())
    if delete:
        os.unlink(f"{folder}/{name}")

write("later", 5)
write("synced", 3, sync=True)
write("temporary", 7, delete=True)
with open(f"{folder}/mapped", "w+b") as file:
    file.truncate(4 << 20)
    data = mmap.mmap(file.fileno(), 0)
    data[:] = b"y" * (4 << 20)
    data.flush()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on a device of its own."""
    with ext4(tmp_path) as place:
        yield place


def test_what_becomes_of_bytes_written(disk: Path, session: TracerSession) -> None:
    """Synced bytes are written in calls, others are pending or, of a deleted file, never written."""
    with ior_trace(command=[sys.executable, "-c", PROGRAM, str(disk)], session=session) as t:
        pass
    table = t.writeback()
    found = {Path(row["file"]).name: row for row in table[table["file"].str.startswith(str(disk))].to_dict("records")}
    columns = ("dirtied_bytes", "written_bytes", "written_in_calls", "pending_bytes", "never_bytes")

    assert {name: tuple(row[c] // MIB for c in columns) for name, row in found.items()} == {
        "later": (5, 0, 0, 5, 0),
        "synced": (3, 3, 3, 0, 0),
        "temporary": (7, 0, 0, 0, 7),
        "mapped": (4, 4, 4, 0, 0),
    }
    assert all(row["dirtied_by"].startswith("python") for row in found.values())
    assert all(0 < row["first_dirtied_s"] <= row["last_dirtied_s"] < t.duration_s for row in found.values())
    assert found["later"]["cached_now_bytes"] == 5 * MIB
    assert "5.0 MiB still to be written, 7.0 MiB of deleted files never written" in str(t)


def test_what_is_written_through_an_overlay_is_its_file_s(disk: Path, session: TracerSession) -> None:
    """As in containers: the pages are those of a layer, the file is the one that was written to."""
    layers = {name: disk / name for name in ("lowerdir", "upperdir", "workdir")}
    for layer in layers.values():
        layer.mkdir()
    options = ",".join(f"{name}={layer}" for name, layer in layers.items())
    with mount(disk / "merged", "-t", "overlay", "overlay", "-o", options) as merged:
        with ior_trace(command=[sys.executable, "-c", PROGRAM, str(merged)], session=session) as t:
            pass
        found = t.writeback().set_index("file")[["dirtied_bytes", "pending_bytes", "never_bytes"]] // MIB

    assert {Path(str(file)).name: tuple(row) for file, row in found.iterrows() if Path(str(file)).parent == merged} == {
        "later": (5, 5, 0),
        "synced": (3, 0, 0),
        "temporary": (7, 0, 7),
        "mapped": (4, 0, 0),
    }


@pytest.mark.parametrize("filter_text", ["", "syscall=write"])
def test_what_has_another_name_is_not_deleted(disk: Path, session: TracerSession, filter_text: str) -> None:
    """Its bytes are still to be written, wherever it is; where a filter keeps renames away nobody says "never"."""
    program = f"""
import os
os.mkdir("{disk}/draft")
for size, name in enumerate(("one.tmp", "draft/part", "gone", "temporary"), 1):
    with open(f"{disk}/{{name}}", "wb", buffering=0) as file:
        file.write(b"x" * (size << 20))
os.rename("{disk}/one.tmp", "{disk}/one")
os.rename("{disk}/draft", "{disk}/final")
os.link("{disk}/temporary", "{disk}/object")
os.unlink("{disk}/temporary")
os.unlink("{disk}/gone")
"""
    with ior_trace(command=[sys.executable, "-c", program], session=session, filter=filter_text) as t:
        pass
    found = t.writeback().set_index("file")[["pending_bytes", "never_bytes"]] // MIB
    gone = (3, 0) if filter_text else (0, 3)

    assert tuple(found.loc[f"{disk}/one.tmp"]) == (1, 0)
    assert tuple(found.loc[f"{disk}/draft/part"]) == (2, 0)
    assert tuple(found.loc[f"{disk}/temporary"]) == (4, 0)
    assert tuple(found.loc[f"{disk}/gone"]) == gone


def test_a_view_is_told_while_the_trace_runs_and_after(disk: Path, session: TracerSession) -> None:
    """What is in the page cache now, and what of it is not on the device; a later look sees what was synced since."""
    later, gone, away = (str(disk / name) for name in ("later", "gone", "away"))
    desk = Desk(session)
    with ior_trace(session=session):
        Path(later).write_bytes(b"x" * 2 * MIB)
        Path(gone).write_bytes(b"x" * MIB)
        Path(gone).unlink()
        desk.update()
        before = desk.control.pages([later, gone, away])
        os.sync()
        session.engine().flush()
        after = desk.control.pages([later])
    ended = desk.control.pages([later, gone])

    assert before[later] == PageState(cached=2 * MIB, dirtied=2 * MIB, pending=2 * MIB)
    assert before[gone] == PageState(dirtied=MIB, never=MIB)
    assert before[away] == PageState()
    assert after[later] == ended[later] == PageState(cached=2 * MIB, dirtied=2 * MIB, written=2 * MIB)
    assert ended[gone] == before[gone]


def test_blocks_are_counted_where_they_were_written(disk: Path, session: TracerSession) -> None:
    """Written bytes are what the device was given, whoever hands them over, and belong to the file they are of."""
    image = Path(f"/sys/dev/block/{disk.stat().st_dev >> 8}:{disk.stat().st_dev & 255}/stat")
    program = f"""
import os
for name, size in (("one", 3), ("two", 5)):
    with open(f"{disk}/{{name}}", "wb", buffering=0) as file:
        file.write(b"x" * (size << 20))
os.sync()
"""
    before = int(image.read_text().split()[6])
    with ior_trace(command=[sys.executable, "-c", program], session=session) as t:
        pass
    sectors = int(image.read_text().split()[6]) - before
    mine = {Path(path).name: row["written_bytes"] for path, row in t.pages.items() if path.startswith(str(disk))}

    assert mine == {"one": 3 * MIB, "two": 5 * MIB}
    assert 8 * MIB <= 512 * sectors < 9 * MIB  # and a little of the file system's own
