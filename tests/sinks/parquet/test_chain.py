"""Crashes and damage: what can be read afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ior_nb.sinks.parquet
from ior_nb.errors import RecordingError
from ior_nb.export.arrow import columns, event_batch
from ior_nb.real import Descriptor
from ior_nb.runtime.schema import NAMES
from ior_nb.sinks.parquet import Recorder, read, read_chain
from ior_nb.sinks.parquet.chain import Chain, links
from ior_nb.sinks.parquet.reader import checked
from ior_nb.sinks.parquet.rowgroup import link
from tests.sinks.parquet.recordings import RANDOM, REFERENCE_COLUMNS, Gate, events, numbers, record


def places(path: Path) -> list[tuple[int, int]]:
    """Return where the links of a chain begin, and their lengths."""
    with path.open("rb") as file:
        return links(file)[0]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """The temporary file of a recording with row groups of 100, 100 and 50 rows, as a crash leaves it."""
    path = tmp_path / "ior-0123456789abcdef.tmp"
    file = Descriptor(os.open(path, os.O_RDWR | os.O_CREAT))
    written = Chain(file, link(columns([]), {b"ior.hostname": b"here"}))
    for first, count in ((0, 100), (100, 100), (200, 50)):
        written.append(link(columns([events(count, first)])))
    file.close()
    return path


def test_chain_is_read_with_its_metadata(chain: Path) -> None:
    """What a crash leaves has all finished row groups and the metadata of the start; read knows it by its content."""
    table = read(chain)

    assert numbers(table) == list(range(250))
    assert table.schema.metadata == {b"ior.hostname": b"here"}
    assert read_chain(chain).equals(table)
    assert read(chain, ["ret"]).column_names == ["ret"]


def test_running_recording_can_be_read(tmp_path: Path) -> None:
    """The temporary file can be read while it is written."""
    gate = Gate()
    recorder = Recorder(gate, group_rows=10)
    recorder.start(tmp_path / "a")
    temporary = recorder.status().temporary_path
    assert temporary is not None
    recorder.record(events(10))
    gate.entered.wait(30)
    found = read(temporary).num_rows
    gate.open.set()
    recorder.stop()

    assert found == 0


def test_torn_tail_costs_no_finished_group(chain: Path) -> None:
    """Cut off anywhere, a chain gives all row groups before the cut, or one error when not even its head is whole."""
    ends = [begin + length for begin, length in places(chain)]
    data = chain.read_bytes()
    cuts = {0, 1, 3, 4, 11, 12, 16, *range(17, len(data), 997)}
    cuts |= {end + d for end in ends for d in (-5, -4, -1, 0, 1, 7, 8, 11, 12, 13)}
    for cut in sorted(cuts):
        chain.write_bytes(data[:cut])
        complete = sum(end <= cut for end in ends)
        if complete:
            assert numbers(read(chain)) == list(range([0, 100, 200, 250][complete - 1]))
        else:
            with pytest.raises(RecordingError, match=f"cannot read {chain}"):
                read(chain)


@pytest.mark.parametrize("kept", [0, 4])
def test_zeros_where_a_power_cut_lost_a_group_end_the_chain(chain: Path, kept: int) -> None:
    """A row group that is there by length but not by content ends what can be read."""
    data = bytearray(chain.read_bytes())
    begin, length = places(chain)[2]
    data[begin + 4 : begin + length - kept] = bytes(length - 4 - kept)
    chain.write_bytes(data)

    assert numbers(read(chain)) == list(range(100))


def test_chain_whose_head_is_damaged_is_an_error(chain: Path) -> None:
    """Without the schema nothing can be read."""
    data = bytearray(chain.read_bytes())
    begin, length = places(chain)[0]
    data[begin + 4 : begin + length - 4] = bytes(length - 8)
    chain.write_bytes(data)

    with pytest.raises(RecordingError, match=f"cannot read {chain}"):
        read(chain)


def test_damaged_recording_is_an_error_and_never_a_crash(tmp_path: Path) -> None:
    """With any byte changed, reading gives a table or one error that names the file."""
    path = record(tmp_path / "a", events(300), group_rows=100)
    data = path.read_bytes()
    messages = []
    for at in RANDOM.integers(0, len(data), 150).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 0x5A
        path.write_bytes(damaged)
        try:
            event_batch(read(path))
        except RecordingError as error:
            messages.append(str(error))

    assert messages
    assert all(str(path) in message for message in messages)


def test_damaged_page_is_noticed(tmp_path: Path) -> None:
    """A changed byte in the data is found by its checksum, not returned as a row."""
    path = record(tmp_path / "a", events(3000), group_rows=3000)
    column = pq.read_metadata(path).row_group(0).column(NAMES.index("latency_ns"))
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(RecordingError, match="CRC"):
        read(path)


def test_cut_recording_gives_its_finished_groups(tmp_path: Path) -> None:
    """A published file that was cut off, by a copy that failed, is read as the chain it still is."""
    path = record(tmp_path / "a", events(300), group_rows=100)
    path.write_bytes(path.read_bytes()[:-3000])

    assert numbers(read(path)) in (list(range(200)), list(range(300)))


def test_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    """Missing, foreign, empty and special files are one error with name and reason."""
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    (tmp_path / "text").write_text("PAR1 no, this is text PAR1")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")

    for name, reason in [
        ("missing", "No such file"),
        ("foreign.parquet", "no recording: it has no column latency_ns, pid"),
        ("text", ""),
        ("empty", ""),
        ("pipe", "no regular file"),
        (".", "no regular file"),
    ]:
        with pytest.raises(RecordingError, match=f"cannot read {tmp_path / name}: .*{reason}"):
            read(tmp_path / name)
    with pytest.raises(RecordingError, match="not the temporary file"):
        read_chain(foreign)


def test_missing_column_is_named(tmp_path: Path) -> None:
    """Asking for a column the file lacks is one error that names both."""
    path = record(tmp_path / "a", events(1))

    with pytest.raises(RecordingError, match=r"a\.parquet: it has no column nobody"):
        read(path, ["seq", "nobody"])


def test_file_of_an_older_program_is_read(tmp_path: Path) -> None:
    """Files with the reference columns alone, plain strings, and another writer's layout become batches."""
    table = pq.read_table(record(tmp_path / "a", events(5))).select([name for name, _ in REFERENCE_COLUMNS])
    pq.write_table(table, tmp_path / "old.parquet", use_dictionary=False)
    batch = event_batch(read(tmp_path / "old.parquet"))

    assert batch.text("file").tolist() == [f"/file/{i}" for i in range(5)]
    assert batch["cell"].tolist() == [-1] * 5


CHILD = """
import sys, itertools
import numpy as np
from ior_nb.export.arrow import columns
from ior_nb.sinks.parquet import Recorder
from ior_nb.real import Descriptor
from ior_nb.runtime.batch import EventBatch, new_tables
tables = new_tables()
recorder = Recorder(columns, group_rows=500, queue_rows=2000)
recorder.start(sys.argv[1], block=True)
for first in itertools.count(0, 100):
    seq = np.arange(first, first + 100)
    files = tables["file"].intern_many([f"/file/{i}" for i in seq.tolist()])
    recorder.record(EventBatch({"seq": seq, "file": files}, tables))
    print(recorder.status().rows_written, flush=True)
"""


@pytest.mark.parametrize("least", [1, 1500, 4000, 9000])
def test_killed_program_loses_no_finished_group(tmp_path: Path, least: int) -> None:
    """After kill -9 at any moment, all rows that were reported as written can be read, in order, without a hole."""
    package = Path(ior_nb.sinks.parquet.__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path / "a"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package)},
    ) as child:
        assert child.stdout is not None
        reported = 0
        while reported < least:
            reported = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                reported = int(line)
    (temporary,) = tmp_path.glob("ior-*.tmp")
    found = numbers(read(temporary))

    assert len(found) >= reported >= least
    assert found == list(range(len(found)))


def test_text_that_points_outside_its_dictionary_is_refused() -> None:
    """A damaged index is an error, not a row of another name nor a crash."""
    index = pa.array([0, 2], pa.int32())
    damaged = pa.DictionaryArray.from_arrays(index, pa.array(["a", "b"]), safe=False)

    with pytest.raises(ValueError, match="outside its dictionary"):
        checked(pa.record_batch({"file": damaged}))
