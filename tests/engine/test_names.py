"""Names as they come: told apart, joined, and found by their ids."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.engine.chunks import CHUNK
from ior_nb.engine.collector import wire
from ior_nb.engine.names import Names, Waiting
from ior_nb.runtime import new_tables

ROOT = 2


def chunks(kind: int, *texts: bytes, base: int = 0, first: int = 10) -> bytes:
    """Return the NAMES frame of texts with ids from `first` on; a longer one takes several chunks."""
    made = []
    for number, text in enumerate(texts, first):
        parts = range(0, max(len(text), 1), wire.CHUNK_TEXT)
        for part, at in enumerate(parts):
            chunk, piece = np.zeros(1, CHUNK), text[at : at + wire.CHUNK_TEXT]
            chunk["len"], chunk["id"], chunk["type"], chunk["base"] = wire.CHUNK_BYTES, number, kind, base
            chunk["part"], chunk["parts"], chunk["length"], chunk["bytes"] = part, len(parts), len(text), len(piece)
            chunk["text"] = np.array([piece], f"S{wire.CHUNK_TEXT}").view(f"V{wire.CHUNK_TEXT}")
            made.append(chunk)
    return b"".join(chunk.tobytes() for chunk in made)


def files(names: Names, *ids: int) -> list[str]:
    """Return the paths of files."""
    return names._texts.at(names.paths_of(names.file_places.find(np.array(ids, np.uint32))))


def arguments(names: Names, *ids: int) -> list[str]:
    """Return the absolute paths of path arguments, which are forgotten."""
    found = names.waiting[wire.N_PATH1].take(np.array(ids, np.uint32))
    return names._texts.at(names.join(found["base"], found["code"]))


@pytest.fixture
def names() -> Names:
    """Return names, of the root alone."""
    made = Names(new_tables())
    made.take(chunks(wire.N_FILE, b"/", first=ROOT))
    return made


def test_texts_made_to_look_alike_are_told_apart(names: Names) -> None:
    """Bits that nothing but a shift moves cannot be undone in the next word."""
    one, other = bytearray(b"/tmp/aaaabbbbbbb"), bytearray(b"/tmp/aaaabbbbbbb")
    other[7] ^= 0x80
    other[15] ^= 0x80
    other[12] ^= 0x04
    names.take(chunks(wire.N_FILE, bytes(one), bytes(other)))

    assert files(names, 10)[0] == "/tmp/aaaabbbbbbb"
    assert files(names, 11)[0] != "/tmp/aaaabbbbbbb"


def test_names_of_several_frames_are_those_of_one_after_the_other(names: Names) -> None:
    """Long names and short ones, whose parts come with different frames, beside a discarded chunk."""
    long = b"/" + b"x" * 500
    whole = chunks(wire.N_FILE, b"/a", long, b"/b", b"", b"/c")
    gone = bytearray(chunks(wire.N_FILE, b"/gone", first=13))
    gone[3] |= 0x40
    cut = 3 * CHUNK.itemsize
    names.take(whole[:cut])
    names.take(bytes(gone), whole[cut:])

    assert files(names, 10, 11, 12, 13, 14) == ["/a", long.decode(), "/b", "/", "/c"]


@pytest.mark.parametrize(
    ("base", "argument", "path"),
    [
        (0, b"/a/b", "/a/b"),
        (0, b"//a/./b/", "/a/b"),
        (0, b"/../a", "/a"),
        (0, b"/.git", "/.git"),
        (0, b"/", "/"),
        (0, b"", ""),
        (ROOT, b"a", "/a"),
        (0, b"a", "a"),
        (20, b"a", "/d/a"),
        (20, b"./a", "/d/a"),
        (20, b"/a", "/d/a"),
    ],
)
def test_an_argument_is_joined_with_its_base(names: Names, base: int, argument: bytes, path: str) -> None:
    """At once and again; an absolute one with the base of a changed root alone."""
    names.take(chunks(wire.N_FILE, b"/d", first=20))
    names.take(chunks(wire.N_PATH1, argument, argument, base=base))
    names.take(chunks(wire.N_PATH1, b"a", b"/a", base=ROOT, first=30))

    assert arguments(names, 10) == [path]
    assert arguments(names, 31, 30, 11) == ["/a", "/a", path]


def test_arguments_are_found_in_any_order_and_once() -> None:
    """Those of other ids are nothing, and those that nobody asked for wait on."""
    waiting = Waiting()
    rows = np.zeros(4, Waiting.FIELDS)
    rows["id"], rows["code"] = (7, 3, 9, 5), (70, 30, 90, 50)
    waiting.add(rows)

    assert waiting.take(np.array([9, 4, 3, 11], np.uint32))["code"].tolist() == [90, 0, 30, 0]
    assert waiting.take(np.array([9, 7, 5], np.uint32))["code"].tolist() == [0, 70, 50]
    assert waiting.take(np.array([5], np.uint32))["code"].tolist() == [0]


def test_a_number_given_again_says_that_who_had_it_has_ended(names: Names) -> None:
    """Whose last thread made no call in the trace ends unseen; a number that was nobody's says nothing."""
    names.begin({200: 1})
    born = np.zeros(2, CHUNK)
    born["len"], born["type"], born["parts"] = wire.CHUNK_BYTES, wire.N_BIRTH, 1
    born["id"], born["time"], born["base"] = (200, 300), (50, 60), 1
    names.take(born.tobytes())

    assert names.take_deaths() == [(200, 50)]
