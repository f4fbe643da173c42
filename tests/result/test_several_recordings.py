"""Processes of several recordings: which of them are the same."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ior_nb import aggregate
from ior_nb.export.arrow import record_batch
from ior_nb.result.convert import convert
from ior_nb.result.load import load
from tests.fakes import batch


def recorded(path: Path, boot: str, at: int, *, parent: int = 5, before: bool = True, host: str = "ada") -> None:
    """Write three calls of process 7, two of its main thread; `before` says it ran before this recording began."""
    rows = batch(
        pid=[7] * 3,
        tid=[7, 8, 7],
        ppid=[parent] * 3,
        comm=["sh"] * 3,
        syscall=["read"] * 3,
        time_ns=[at, at + 1, at + 2],
        first_on_tid=[True, True, False],
        started_before=[before] * 3,
    )
    about = {"ior_nb.hostname": host, "ior_nb.boot_id": boot, "ior_nb.started_at_boot_nano": str(at)}
    about |= {"ior_nb.started_at_unix_nano": str(10**18 + at)}
    pq.write_table(pa.Table.from_batches([record_batch(rows)]).replace_schema_metadata(about), path)


def lives(folder: Path) -> list[tuple[int, int]]:
    """Return calls and threads of each process."""
    found = load(folder).processes()
    return sorted(zip(found["calls"].tolist(), found["threads"].tolist(), strict=True))


@pytest.mark.parametrize("parent", [5, 1], ids=["its parent lives", "an orphan"])
def test_a_process_that_goes_on_is_one(tmp_path: Path, parent: int) -> None:
    """It began in one recording, and another of the same boot found it running: once, with its first parent."""
    recorded(tmp_path / "a.parquet", "boot", 100, before=False)
    recorded(tmp_path / "b.parquet", "boot", 200, parent=parent)
    trace = load(tmp_path)

    assert lives(tmp_path) == [(6, 2)]
    assert trace.processes()["ppid"].tolist() == [5]
    assert aggregate.totals(trace.rows)["processes"] == 1
    assert len(trace.filter("syscall=read").processes()) == 1


def test_an_id_that_began_in_the_later_recording_is_another_process(tmp_path: Path) -> None:
    """So is one of another parent, that is no orphan."""
    recorded(tmp_path / "a.parquet", "boot", 100)
    recorded(tmp_path / "b.parquet", "boot", 200, before=False)
    recorded(tmp_path / "c.parquet", "boot", 300, parent=6)

    assert lives(tmp_path) == [(3, 2)] * 3


def test_an_id_of_another_boot_or_an_unknown_one_is_another_process(tmp_path: Path) -> None:
    """Both may have run before their recordings began."""
    recorded(tmp_path / "a.parquet", "", 100)
    recorded(tmp_path / "b.parquet", "", 200)
    recorded(tmp_path / "c.parquet", "boot", 300)
    recorded(tmp_path / "d.parquet", "another", 400)

    assert lives(tmp_path) == [(3, 2)] * 4


def test_a_recording_made_of_several_says_the_same(tmp_path: Path) -> None:
    """Of one boot its process is one; of several boots nobody knows any more, and they stay apart."""
    for name, boots in (("one", ("boot", "boot")), ("two", ("boot", "another"))):
        (tmp_path / name).mkdir()
        for at, boot in enumerate(boots):
            recorded(tmp_path / name / f"{at}.parquet", boot, 100 * (at + 1))
        convert(tmp_path / name, tmp_path / f"{name}.parquet")

    assert lives(tmp_path / "one.parquet") == [(6, 2)]
    assert lives(tmp_path / "two.parquet") == [(3, 2)] * 2
