"""What a host sends, and what somebody may send in its place."""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ior_nb.errors import SourceError
from ior_nb.runtime import Sheet
from ior_nb.runtime.sheet import merged, packed, sheet_from_bytes, sheet_to_bytes, shown
from tests.runtime.test_sheet import said, sheet_of
from tests.sinks.statsengine.events import Event, some_events

FEW = settings(deadline=None, max_examples=60)
SHEET = sheet_of(some_events(random.Random(3), 60), top=4, counted=500)
SENT = sheet_to_bytes(SHEET)
HEAD = struct.Struct("<4sBBI")


def resent(data: bytes, **head: int) -> bytes:
    """The same contents with another head."""
    magic, version, kind, size = HEAD.unpack_from(data)
    values = {"version": version, "kind": kind, "size": size} | head
    return HEAD.pack(magic, values["version"], values["kind"], values["size"]) + data[HEAD.size :]


@FEW
@given(st.integers(0, 1 << 32), st.sampled_from([0, 3, 10_000]))
def test_a_sheet_that_was_sent_is_the_same(seed: int, top: int) -> None:
    """All that a sheet says survives being sent, names that are no Unicode and extreme values too."""
    events = [*some_events(random.Random(seed), 20), Event(file="/\udc80\x00\u202e", comm="\udcff")]
    sheet = sheet_of(events, top=top, counted=50)
    found = sheet_from_bytes(sheet_to_bytes(sheet))

    assert sheet_to_bytes(found) == sheet_to_bytes(sheet)
    assert said(shown(found, top=9, by="bytes")) == said(shown(sheet, top=9, by="bytes"))


def test_a_sheet_is_small() -> None:
    """256 files of long names are less than 20 kB."""
    events = [Event(file=f"/srv/data/set-{i % 97:02}/part-{i:04}/table.parquet", latency=i * 977) for i in range(5_000)]

    assert len(sheet_to_bytes(sheet_of(events, top=256))) < 20_000
    assert len(sheet_to_bytes(Sheet())) < 1_000


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes are not even a head"),
        (b"\x80\x04K\x01.pickled", "it is something else"),
        (resent(SENT, kind=9), "it is something else"),
        (resent(SENT, version=2), "it is of version 2, this is version 1"),
        (resent(SENT, size=1 << 30), "more than 67,108,864"),
        (resent(SENT, size=5), "its length is not what it says"),
        (SENT[:-1], "its length is not what it says"),
        (SENT + b"x", "its length is not what it says"),
        (HEAD.pack(b"IORM", 1, 1, 1000) + zlib.compress(bytes(1000)), "Expecting value"),
        (HEAD.pack(b"IORM", 1, 1, 5) + b"not zlib", "incorrect header"),
        (HEAD.pack(b"IORM", 1, 1, 100_001) + zlib.compress(b"[" * 100_000 + b"\0"), "recursion"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_sheet_is_refused_with_its_reason(data: bytes, why: str) -> None:
    """Bytes of another kind, version or length are an error that says what was seen and what to do."""
    with pytest.raises(SourceError, match=f"what a host sent cannot be read: .*{why}.*the same version"):
        sheet_from_bytes(data)


def altered(chance: random.Random) -> bytes:
    """A sheet with one of its texts or numbers changed by somebody who knows the format."""
    contents = packed.unpack(1, SENT, lambda found: found)
    texts: dict[str, Any] = {name: list(values) for name, values in contents._texts.items()}
    arrays = {name: values.copy() for name, values in contents._arrays.items()}
    if chance.random() < 0.4:
        name = chance.choice(list(texts))
        texts[name] = chance.choice([None, 7, [], ["x"], texts[name][::-1], texts[name] * 2, [1], ["a" * 20_000], {}])
    else:
        name = chance.choice(list(arrays))
        values = arrays[name].reshape(-1)
        what = chance.randrange(4)
        if what == 0 and len(values):
            extreme = [-(2**63), -2, -1, 0, 1, 2**40, 2**59, 2**62, 2**63 - 1]
            values[chance.randrange(len(values))] = chance.choice(extreme)
        elif what == 1:
            arrays[name] = values[:-1]
        elif what == 2:
            arrays[name] = np.concatenate([arrays[name], arrays[name]])
        else:
            del arrays[name]
    return packed.pack(1, texts, arrays)


@settings(FEW, max_examples=300)
@given(st.integers(0, 1 << 32))
def test_an_altered_sheet_is_refused_or_harmless(seed: int) -> None:
    """Whatever somebody puts into a sheet, it is an error of ours, or it can be merged with others and shown."""
    data = altered(random.Random(seed))
    try:
        found = sheet_from_bytes(data)
    except SourceError:
        return
    snapshot = shown(merged([found.of_host("there"), SHEET.of_host("here")]), top=5, by="latency")

    assert all(row.count >= 0 and row.bytes_read >= 0 for row in (*snapshot.files, *snapshot.processes))
    assert all(row.count > 0 and row.p50_ns >= 0 for row in snapshot.syscalls)


@FEW
@example(0, 10)
@given(st.integers(0, 255), st.integers(0, len(SENT) - 1))
def test_damaged_bytes_are_an_error_of_ours(value: int, at: int) -> None:
    """A byte that changed on the way is noticed."""
    damaged = bytearray(SENT)
    damaged[at] = value
    if bytes(damaged) != SENT:
        with pytest.raises(SourceError):
            sheet_from_bytes(bytes(damaged))
