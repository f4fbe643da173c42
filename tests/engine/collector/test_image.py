"""Compiled programs as data: they survive being written down, and their maps are put in by place."""

from __future__ import annotations

import struct

import pytest

from ior_nb.engine.collector.bpf import MapSpec, condensed
from ior_nb.engine.collector.image import Image, relocated


def load64(kind: int, value: int, high: int = 0) -> bytes:
    """A 64-bit load into r1; kind 1 is that of a map."""
    return struct.pack("<BBhi", 0x18, 1 | kind << 4, 0, value) + struct.pack("<BBhi", 0, 0, 0, high)


def test_an_image_survives_being_written_down() -> None:
    """What is read back is what was kept."""
    image = Image((MapSpec("slots", 1, 4, 248, 65536, 1),), {"on_enter": load64(1, 0) + bytes(8)})

    assert Image.from_json(image.to_json()) == image


@pytest.mark.parametrize(
    "data", [{}, {"maps": [{}], "code": {}}, {"maps": [], "code": {"f": "zz"}}, {"maps": 3, "code": {}}]
)
def test_what_is_no_image_is_refused(data: dict[str, object]) -> None:
    """Each of the errors that stand for a cache entry of another shape."""
    with pytest.raises((LookupError, TypeError, ValueError)):
        Image.from_json(data)


def test_only_words_that_name_a_map_are_changed() -> None:
    """A number that is loaded, an ordinary instruction and the second half of a load stay as they are."""
    plain = struct.pack("<BBhi", 0xB7, 1, 0, 5)
    code = plain + load64(1, 5) + load64(0, 5, high=0x18) + load64(1, 6) + plain

    changed = relocated(code, {5: 70, 6: 71}.__getitem__)

    assert changed == plain + load64(1, 70) + load64(0, 5, high=0x18) + load64(1, 71) + plain


LOG = """
0: R1=ctx() R10=fp0
; int on_enter(struct enter_args *ctx) { @ main.c:12
0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()
from 14 to 16: R0=scalar() R6=ctx()
25: (7b) *(u64 *)(r0 +8) = r8
R0 invalid mem access 'scalar'
processed 17 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (LOG, "R0 invalid mem access 'scalar'"),
        (
            "...\nThe sequence of 8193 jumps is too complex.\nprocessed 90 insns",
            "...\nThe sequence of 8193 jumps is too complex.",
        ),
        (
            "7: (85) call pc+1\nunknown func bpf_get_current_ancestor_cgroup_id#123\n",
            "unknown func bpf_get_current_ancestor_cgroup_id#123",
        ),
        ("", ""),
    ],
)
def test_of_the_verifiers_log_the_reason_is_left(log: str, reason: str) -> None:
    """Instructions, registers and statistics are for the full log; the message has why."""
    assert condensed(log) == reason
