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


def recorded(
    path: Path,
    boot: str,
    at: int,
    *,
    parent: int = 5,
    before: bool = True,
    host: str = "ada",
    namespace: str = "",
    every: int = 1,
) -> None:
    """Write three calls of process 7, two of its main thread; `before` says it ran before this recording began."""
    rows = batch(
        pid=[7] * 3,
        tid=[7, 8, 7],
        ppid=[parent] * 3,
        comm=["sh"] * 3,
        syscall=["read"] * 3,
        time_ns=[at, at + every, at + 2 * every],
        first_on_tid=[True, True, False],
        started_before=[before] * 3,
    )
    about = {"ior_nb.hostname": host, "ior_nb.boot_id": boot, "ior_nb.started_at_boot_nano": str(at)}
    about |= {"ior_nb.started_at_unix_nano": str(10**18 + at)} | (
        {"ior_nb.pid_namespace": namespace} if namespace else {}
    )
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


def test_an_id_of_another_boot_is_another_process_also_where_nothing_shows_its_begin(tmp_path: Path) -> None:
    """A filter may leave out the first call; a container that was started anew has its ids anew, as a machine has."""
    for name, boots, spaces in (("one", ("boot", "another"), ("", "")), ("two", ("boot", "boot"), ("1", "2"))):
        (tmp_path / name).mkdir()
        for at in range(2):
            recorded(tmp_path / name / f"{at}.parquet", boots[at], 100 * (at + 1), namespace=spaces[at])

        assert load(tmp_path / name).filter("tid=8").processes()["calls"].tolist() == [1, 1]
        assert set(load(tmp_path / name).df()["host"]) == {"ada"}


@pytest.mark.parametrize("made_one", [False, True])
@pytest.mark.parametrize(("boots", "spaces"), [(("boot", "boot"), ("1", "2")), (("boot", "another"), ("", ""))])
def test_hosts_of_one_name_that_record_at_once_are_several(
    tmp_path: Path, boots: tuple[str, str], spaces: tuple[str, str], *, made_one: bool
) -> None:
    """Containers, or machines: each has its own process 7, and its own name, also in what is made of them."""
    (tmp_path / "two").mkdir()
    for at in range(2):
        recorded(tmp_path / "two" / f"{at}.parquet", boots[at], 100 + at, namespace=spaces[at], every=10)
    convert(tmp_path / "two", tmp_path / "one.parquet", sort=True)
    trace = load(tmp_path / ("one.parquet" if made_one else "two"))
    found = trace.processes()
    note = any("several hosts are called ada" in note for note in trace.notes)

    assert sorted(zip(found["calls"], found["threads"], strict=True)) == [(3, 2), (3, 2)]
    assert len(set(found["host"])) == 2
    assert all(name.startswith("ada-") for name in found["host"])
    assert note != made_one
    assert not any("overlap in time" in note for note in trace.notes)


def test_a_folder_made_of_hosts_of_one_name_has_a_file_of_each(tmp_path: Path) -> None:
    """By the same names, whichever recordings are put together."""
    (tmp_path / "two").mkdir()
    for at in range(2):
        recorded(tmp_path / "two" / f"{at}.parquet", "boot", 100 + at, namespace=f"{at + 1}", every=10)
    hosts = set(load(tmp_path / "two").df()["host"])
    written = convert(tmp_path / "two", tmp_path / "made")

    assert {one.path.stem for one in written} == hosts
    assert set(load(tmp_path / "made").df()["host"]) == hosts
    assert lives(tmp_path / "made") == [(3, 2)] * 2


@pytest.mark.parametrize("spaces", [("1", "1"), ("", ""), ("1", ""), ("", "1")])
def test_recordings_of_one_boot_and_namespace_have_a_process_once(tmp_path: Path, spaces: tuple[str, str]) -> None:
    """Also where one of them does not say which namespace it is of, as older programs did not."""
    recorded(tmp_path / "a.parquet", "boot", 100, every=10, namespace=spaces[0])
    recorded(tmp_path / "b.parquet", "boot", 101, every=10, namespace=spaces[1])

    assert lives(tmp_path) == [(6, 2)]
    assert set(load(tmp_path).df()["host"]) == {"ada"}


def test_a_recording_made_of_several_says_the_same(tmp_path: Path) -> None:
    """Of one boot its process is one; of several boots nobody knows any more, and they stay apart."""
    for name, boots in (("one", ("boot", "boot")), ("two", ("boot", "another"))):
        (tmp_path / name).mkdir()
        for at, boot in enumerate(boots):
            recorded(tmp_path / name / f"{at}.parquet", boot, 100 * (at + 1))
        convert(tmp_path / name, tmp_path / f"{name}.parquet")

    assert lives(tmp_path / "one.parquet") == [(6, 2)]
    assert lives(tmp_path / "two.parquet") == [(3, 2)] * 2


def calls(
    path: Path, *rows: tuple[int, int, bool], since: int, before: bool = False, parent: int = 5, host: str = "ada"
) -> None:
    """Write a recording of one boot that began at `since`, of calls of process 7: (begins, ends, is its first)."""
    begins, ends, first = zip(*rows, strict=True)
    found = batch(
        pid=[7] * len(rows),
        tid=[7] * len(rows),
        ppid=[parent] * len(rows),
        comm=["sh"] * len(rows),
        syscall=["read"] * len(rows),
        state=["done"] * len(rows),
        started_before=[before] * len(rows),
        time_ns=list(begins),
        latency_ns=[end - begin for begin, end in zip(begins, ends, strict=True)],
        first_on_tid=list(first),
    )
    about = {"ior_nb.hostname": host, "ior_nb.boot_id": "boot", "ior_nb.started_at_boot_nano": str(since)}
    about |= {"ior_nb.started_at_unix_nano": str(10**18 + since), "ior_nb.ended_at_boot_nano": str(ends[-1] + 200)}
    pq.write_table(pa.Table.from_batches([record_batch(found)]).replace_schema_metadata(about), path)


def told(folder: Path) -> list[tuple[int, bool]]:
    """Return calls of each process, and whether it may be several, in the order of their numbers."""
    found = load(folder).processes()
    doubts = found["perhaps_several"] if "perhaps_several" in found else [False] * len(found)
    return sorted(zip(found["calls"].tolist(), doubts, strict=True))


@pytest.mark.parametrize("sort", [None, False, True], ids=["two files", "made one", "made one by time"])
def test_a_process_that_began_in_two_recordings_at_once_is_one(tmp_path: Path, sort: bool | None) -> None:
    """Both have its first call: it still went on in one when the other's hook saw it begin."""
    (tmp_path / "two").mkdir()
    calls(tmp_path / "two" / "a.parquet", (100, 110, True), (120, 130, False), since=10)
    calls(tmp_path / "two" / "b.parquet", (101, 109, True), (121, 129, False), since=20)
    if sort is not None:
        (tmp_path / "one").mkdir()
        convert(tmp_path / "two", tmp_path / "one" / "all.parquet", sort=sort)

    assert told(tmp_path / ("two" if sort is None else "one")) == [(4, False)]


def test_a_process_is_one_where_calls_of_one_recording_lie_between_those_of_another(tmp_path: Path) -> None:
    """An id is one process at a time, whichever calls each has."""
    calls(tmp_path / "a.parquet", (100, 110, True), (300, 310, False), since=10)
    calls(tmp_path / "b.parquet", (200, 210, True), since=20)

    assert told(tmp_path) == [(3, False)]


def test_an_orphan_is_one_process_in_recordings_that_overlap(tmp_path: Path) -> None:
    """One knows the parent it began with, the other the one it has now."""
    calls(tmp_path / "a.parquet", (100, 110, True), (300, 310, False), since=10)
    calls(tmp_path / "b.parquet", (200, 210, True), (400, 410, False), since=150, before=True, parent=1)

    assert told(tmp_path) == [(4, False)]


def test_what_began_before_the_other_recording_did_is_not_what_that_saw_begin(tmp_path: Path) -> None:
    """It would have been there already."""
    calls(tmp_path / "a.parquet", (100, 110, True), since=10)
    calls(tmp_path / "b.parquet", (300, 310, True), (320, 330, False), since=150)

    assert told(tmp_path) == [(1, False), (2, False)]


def test_an_id_that_is_used_again_while_two_record_is_two_processes(tmp_path: Path) -> None:
    """One of them saw both begin; what the other saw belongs to that with which it overlaps."""
    calls(tmp_path / "a.parquet", (100, 110, True), (301, 310, True), (320, 330, False), since=10)
    calls(tmp_path / "b.parquet", (300, 311, True), (340, 350, False), since=20)

    assert told(tmp_path) == [(1, False), (4, False)]


def test_a_recording_that_saw_both_begin_is_believed(tmp_path: Path) -> None:
    """The other has no row of the second one's first call."""
    calls(tmp_path / "a.parquet", (100, 110, True), (300, 310, True), since=10)
    calls(tmp_path / "b.parquet", (105, 108, True), (340, 350, False), since=20)

    assert told(tmp_path) == [(2, False), (2, False)]


def test_a_table_says_where_nobody_can_tell(tmp_path: Path) -> None:
    """Each has calls of a child of the same parent that began while both recorded, the one's after the other's."""
    for name in ("two", "one", "again"):
        (tmp_path / name).mkdir()
    calls(tmp_path / "two" / "a.parquet", (100, 110, True), since=10)
    calls(tmp_path / "two" / "b.parquet", (300, 310, True), since=20)
    convert(tmp_path / "two", tmp_path / "one" / "all.parquet", sort=True)
    convert(tmp_path / "one", tmp_path / "again" / "all.parquet")
    load(tmp_path / "two").export(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()

    assert told(tmp_path / "two") == told(tmp_path / "one") == told(tmp_path / "again") == [(2, True)]
    assert "perhaps several" in page


def test_what_is_made_of_recordings_one_after_the_other_has_no_doubts(tmp_path: Path) -> None:
    """An id that begins again in it is another process."""
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
    calls(tmp_path / "two" / "a.parquet", (100, 110, True), since=10)
    calls(tmp_path / "two" / "b.parquet", (500, 510, True), since=400)
    convert(tmp_path / "two", tmp_path / "one" / "all.parquet")

    assert told(tmp_path / "two") == told(tmp_path / "one") == [(1, False), (1, False)]


@pytest.mark.parametrize("made_one", [False, True])
@pytest.mark.parametrize(("since", "host", "twice"), [(60, "ada", True), (400, "ada", False), (60, "bob", False)])
def test_calls_that_may_be_there_twice_are_told(
    tmp_path: Path, *, since: int, host: str, twice: bool, made_one: bool
) -> None:
    """Where recordings of a host overlap in time, also in what is made of them; a container is a host too."""
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
    calls(tmp_path / "two" / "a.parquet", (100, 110, True), since=10)
    calls(tmp_path / "two" / "b.parquet", (500, 510, True), since=since, host=host)
    convert(tmp_path / "two", tmp_path / "one" / "all.parquet")
    notes = load(tmp_path / ("one" if made_one else "two")).notes

    assert any("overlap in time" in note for note in notes) == twice


def test_a_child_of_another_parent_is_another_process(tmp_path: Path) -> None:
    """Also where it began while both recorded."""
    calls(tmp_path / "a.parquet", (100, 110, True), since=10)
    calls(tmp_path / "b.parquet", (300, 310, True), since=20, parent=6)

    assert told(tmp_path) == [(1, False), (1, False)]
