from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.chunks import CHUNK
from ior_nb.engine.collector import mapped, program, wire
from ior_nb.engine.collector.btf import Btf
from ior_nb.engine.collector.wire import Frame, Unpacker, pack, pack_json
from ior_nb.engine.fields import EVENT
from ior_nb.syscalls import BY_NAME, NATIVE
from ior_nb.syscalls.machine import ARGUMENT_REGISTERS, COMPAT_CHANGES_NAMES, REGISTERS_START

FRAMES = st.lists(st.tuples(st.sampled_from(list(Frame)), st.binary(max_size=50)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 40), max_size=20))
def test_frames_survive_any_cutting_of_the_stream(frames: list[tuple[Frame, bytes]], cuts: list[int]) -> None:
    """However a stream is cut, the same frames come out."""
    stream = b"".join(pack(kind, payload) for kind, payload in frames)
    unpacker = Unpacker()
    found: list[tuple[Frame, bytes]] = []
    at = 0
    for cut in [*cuts, len(stream)]:
        found += unpacker.feed(stream[at : at + cut])
        at += cut

    assert found == frames


@given(st.binary(min_size=8, max_size=200))
def test_garbage_is_refused_not_believed(noise: bytes) -> None:
    """A stream that is not of frames raises ValueError or waits for more; it never yields a wrong frame type."""
    try:
        frames = Unpacker().feed(noise)
    except ValueError:
        return

    assert all(isinstance(kind, Frame) for kind, _ in frames)


@pytest.mark.parametrize("kind", list(Frame))
def test_a_frame_longer_than_its_type_is_refused(kind: Frame) -> None:
    """Each type has its own bound: the head alone says that it is none, so nothing of it is kept."""
    most = (wire.TO_COLLECTOR | wire.to_session(2))[kind]
    unpacker = Unpacker({kind: most})

    assert unpacker.feed(struct.pack("<II", most, kind)) == []
    with pytest.raises(ValueError, match="not a frame"):
        Unpacker({kind: most}).feed(struct.pack("<II", most + 1, kind))


def test_each_side_takes_the_frames_that_are_for_it_alone() -> None:
    """A collector takes requests, a session everything else."""
    assert set(wire.TO_COLLECTOR) == {Frame.REQUEST}
    assert set(wire.to_session(1)) == set(Frame) - {Frame.REQUEST}
    with pytest.raises(ValueError, match="not a frame"):
        Unpacker(wire.TO_COLLECTOR).feed(pack(Frame.EVENTS, b""))
    with pytest.raises(ValueError, match="not a frame"):
        Unpacker(wire.to_session(1)).feed(pack(Frame.REQUEST, b""))


def test_a_session_takes_all_its_machine_can_send() -> None:
    """Counters of every processor, and calls in flight of every thread there is room for, fit into their frames."""
    most = wire.to_session(4096)

    assert most[Frame.COUNTERS] >= 4096 * 8 * (5 + wire.BUCKETS) * wire.SPECS
    assert most[Frame.EVENTS] >= 65536 * (wire.HEADER_BYTES + wire.EVENT_BYTES)
    assert most[Frame.CACHED] >= 65536 * wire.CACHED_FILE_BYTES


def test_json_frames_round_trip() -> None:
    """A request is JSON in a frame."""
    assert Unpacker().feed(pack_json(Frame.REQUEST, {"id": 1})) == [(Frame.REQUEST, b'{"id":1}')]


def test_records_have_the_sizes_the_kernel_program_is_checked_against() -> None:
    """The decoder's record types are the wire's, with the ring's header in front."""
    assert EVENT.itemsize == wire.HEADER_BYTES + wire.EVENT_BYTES
    assert CHUNK.itemsize == wire.HEADER_BYTES + wire.CHUNK_BYTES
    assert EVENT.fields is not None
    assert EVENT.fields["nr"][1] - wire.HEADER_BYTES == 148


def test_spec_rows_say_what_the_table_says() -> None:
    """A row of the kernel's table carries the registers of the roles and nothing for absent ones."""
    row = program.SPEC.unpack(program.spec(BY_NAME["openat"], enabled=True, rate=7))
    rate, enabled, fd, fd2, str1, how1, base1 = row[:7]
    places = [1 + (register - REGISTERS_START) // 8 for register in ARGUMENT_REGISTERS]

    assert (rate, enabled, fd, fd2) == (7, 1, 0, 0)
    assert (str1, how1, base1) == (places[1], program.HOW["path"], places[0])
    assert row[10] == program.RESULT["fd"]


def test_every_syscall_has_a_spec_row() -> None:
    """The table can be written whole, each number once; numbers only 32-bit calls have are not on, and not known."""
    rows = program.all_specs({0}, {1: 0})
    flags = {number: program.SPEC.unpack(row)[20] for number, row in rows}
    native = {call.number for call in NATIVE}

    assert [number for number, _ in rows] == sorted(native | COMPAT_CHANGES_NAMES)
    assert {number for number, bits in flags.items() if bits & program.SF_KNOWN} == native
    assert {n for n, bits in flags.items() if bits & program.SF_COMPAT_CHANGES_NAMES} == COMPAT_CHANGES_NAMES
    assert all(len(row) == program.SPEC.size for _, row in rows)


def _btf(structs: dict[str, list[tuple[str, int, int]]]) -> bytes:
    """Build a small BTF blob: struct -> (member, type id, bit offset); type 1 is an int, structs follow."""
    strings = b"\0"
    where: dict[str, int] = {"": 0}

    def name(text: str) -> int:
        nonlocal strings
        if text not in where:
            where[text] = len(strings)
            strings += text.encode() + b"\0"
        return where[text]

    types = struct.pack("<III", name("int"), 1 << 24, 4) + struct.pack("<I", 32)
    for struct_name, members in structs.items():
        types += struct.pack("<III", name(struct_name), 4 << 24 | len(members), 64)
        for member, type_id, offset in members:
            types += struct.pack("<III", name(member), type_id, offset)
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return head + types + strings


def test_btf_finds_members_in_anonymous_structs() -> None:
    """Members of an anonymous inner struct count as the outer one's; dots look into a named one."""
    blob = _btf({"": [("inner", 1, 32)], "outer": [("first", 1, 0), ("", 2, 64), ("named", 2, 128)]})
    wanted = {"outer": ["first", "inner", "named.inner", ""]}

    assert Btf(blob).offsets(wanted) == {
        ("outer", "first"): 0,
        ("outer", "inner"): 12,
        ("outer", "named.inner"): 20,
        ("outer", ""): 64,
    }


def test_btf_names_what_is_missing() -> None:
    """A kernel without a member is refused by the member's name; noise is refused as such."""
    with pytest.raises(LookupError, match=r"outer\.nothing"):
        Btf(_btf({"outer": [("first", 1, 0)]})).offsets({"outer": ["nothing"]})
    with pytest.raises(ValueError, match="not a BTF blob"):
        Btf(b"noise")


def test_btf_takes_the_first_of_several_names() -> None:
    """Where kernels call a member by one of two names, the one that is there is found, under its own name."""
    blob = Btf(_btf({"group": [("level", 1, 32), ("old", 1, 64)]}))

    assert blob.offsets({"group": ["new|old", "level|old"]}) == {("group", "old"): 8, ("group", "level"): 4}


def test_counters_are_summed_over_processors() -> None:
    """A COUNTERS frame of two processors becomes one array of 512 rows."""
    from ior_nb.engine.counted import COUNTER, counters_of

    raw = np.zeros((2, wire.SPECS), COUNTER)
    raw["calls"][:, 3] = (5, 7)
    raw["histogram"][1, 3, 10] = 4
    summed = counters_of(b'{"cpus":2}\n' + raw.tobytes())

    assert summed["calls"][3] == 12
    assert summed["histogram"][3].sum() == 4


def test_a_record_made_here_is_one_of_the_ring() -> None:
    """It has the size of a record behind its header, and each word where the kernel program puts it."""
    record = np.frombuffer(wire.event_record(time=3, pos=-1, nr=423, flags=3), EVENT)[0]

    assert record["len"] == wire.EVENT_BYTES
    assert (record["time"], record["pos"], record["nr"], record["flags"]) == (3, -1, 423, 3)
    assert not record["args"].any()


def test_every_tail_has_a_place_of_its_own() -> None:
    """The parts of the program that are loaded apart share one table of tail calls."""
    places = [*range(len(program.TAILS)), *program.PYTHON_TAILS.values(), *mapped.TAILS.values()]

    assert len(set(places)) == len(places)
