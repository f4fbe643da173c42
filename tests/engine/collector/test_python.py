"""What a file says of the interpreter in it, and what is said of those that are not known for sure."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.engine.collector import python
from ior_nb.engine.collector.python import STACKS_HERE, Unknown, candidates, inspect, layout_row, mapped, why_unknown

pytestmark = pytest.mark.skipif(not STACKS_HERE, reason="frames are known on x86-64 only")

DATA, CODE = 0x10000, 0x1000


def elf(
    version: int,
    *,
    debug: bytes = b"",
    symbols: tuple[bytes, ...] = (b"_PyRuntime", b"Py_Version"),
    code: bytes = b"",
) -> bytes:
    """Return a file with a version word, the first words of a runtime, and what makes code objects."""
    names = b"\0x" + b"\0x".join(symbols) + b"\0"  # as linkers do: one name can be the end of another
    places = {b"_PyRuntime": DATA + 64, b"Py_Version": DATA, b"_PyCode_New": DATA + 64 + 1024}
    table = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", names.index(b"x" + symbol) + 1, 17, 0, 2, places[symbol], 8) for symbol in symbols
    )
    data = struct.pack("<Q", version).ljust(64, b"\0") + debug.ljust(1024, b"\0") + code.ljust(4096, b"\0")
    at = 64 + 2 * 56 + 3 * 64
    where = [at, at + len(data), at + len(data) + len(table)]
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, CODE, 0, 64, 64, 4096)
    segments += struct.pack("<IIQQQQQQ", 1, 6, where[0], DATA, 0, len(data), len(data), 4096)
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 0, 11, 0, 0, where[1], len(table), 2, 0, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, where[2], len(names), 0, 0, 1, 0)
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 64 + 2 * 56, 0, 64, 56, 2, 64, 3, 2)
    return head + segments + sections + data + table + names


def told(version: int, **words: int) -> bytes:
    """Return debug offsets of a version, all zero but those given by their place."""
    found = [0] * 64
    found[0], found[1] = int.from_bytes(b"xdebugpy", "little"), version
    for name, value in words.items():
        found[int(name.removeprefix("w"))] = value
    return struct.pack("<64Q", *found)


def of(minor: int, *, level: int = 15) -> int:
    """Return the word of a version."""
    return 3 << 24 | minor << 16 | 4 << 8 | level << 4


def inspected(tmp_path: Path, data: bytes) -> python.Found:
    """Return what is found in a file of that content."""
    (tmp_path / "file").write_bytes(data)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        return inspect(fd)
    finally:
        os.close(fd)


def test_a_known_interpreter_has_a_layout_and_its_places(tmp_path: Path) -> None:
    """Where its runtime, the segment that holds it and its first code are."""
    found = inspected(tmp_path, elf(of(11)))

    assert (found.version, found.runtime, found.start) == ("3.11.4", DATA + 64, CODE)
    assert len(layout_row(found, 32)) == python.LAYOUT.size


def test_an_interpreter_s_own_word_counts(tmp_path: Path) -> None:
    """From 3.13 on the offsets it tells overrule ours."""
    found = inspected(tmp_path, elf(of(13), debug=told(of(13), w23=80)))

    assert dict(found.layout)["t_frame"] == 80


def making_code(*, first: int, stores: int = 1) -> bytes:
    """Return a function that takes versions from a word behind it, as compilers make it."""
    lea, load, store = b"\x48\x8d\x15" + struct.pack("<i", 1000 - 7), b"\x8b\x02", b"\x89\x43\x5c"
    return (lea + load + store * stores).ljust(1000, b"\x90") + struct.pack("<I", first)


@pytest.mark.parametrize(
    ("code", "away"),
    [
        (making_code(first=769), 1024 + 1000),
        (making_code(first=0), 0),
        (making_code(first=1 << 20), 0),
        (making_code(first=769, stores=2), 0),
    ],
)
def test_the_counter_of_a_stripped_312_is_found_where_that_is_sure(tmp_path: Path, code: bytes, away: int) -> None:
    """By the one store of a version; what has not begun with the code objects made beforehand is another word."""
    symbols = (b"_PyRuntime", b"Py_Version", b"_PyCode_New")
    found = inspected(tmp_path, elf(of(12), symbols=symbols, code=code))

    assert dict(found.layout)["counter"] == away
    assert dict(found.layout)["counts"] == bool(away)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"#!/bin/sh", "no 64-bit ELF file"),
        (elf(of(11))[:100], "damaged"),
        (elf(of(11), symbols=(b"Py_Version",)), "no symbol _PyRuntime"),
        (elf(of(11), symbols=(b"_PyRuntime",)), "older than Python 3.11"),
        (elf(of(10)), "Python 3.10 are not known"),
        (elf(of(16)), "Python 3.16 are not known"),
        (elf(of(14, level=11)), "no final release"),
        (elf(of(14)), "says nothing of its frames"),
        (elf(of(14), debug=told(of(13))), "another version"),
        (elf(of(13), debug=told(of(13), w2=1)), "free-threaded"),
        (elf(of(15), debug=told(of(15))), "shared library"),
    ],
)
def test_what_is_not_known_for_sure_is_refused_with_its_reason(tmp_path: Path, data: bytes, why: str) -> None:
    """No stack is better than a wrong one, and who has none is told why."""
    with pytest.raises(Unknown, match=why):
        inspected(tmp_path, data)


def test_a_program_can_be_met_before_it_runs(tmp_path: Path) -> None:
    """By the kernel's own numbers, which a mapping tells; of a script it is the interpreter."""
    interpreter = Path(sys.executable).resolve()
    (tmp_path / "script").write_text(f"#!{interpreter} -I\n")

    direct, by_script = mapped(str(interpreter)), mapped(str(tmp_path / "script"))
    fd = direct.open()

    assert os.fstat(fd).st_ino == interpreter.stat().st_ino
    assert direct.key == by_script.key
    os.close(fd)


def test_the_interpreter_of_this_process_is_found() -> None:
    """Its file is opened by its mapping, and is the one the process runs."""
    (file, *_) = [f for f in candidates(os.getpid()) if not f.library] or candidates(os.getpid())
    try:
        fd = file.open()
    except PermissionError:
        pytest.skip("this user may not open mapped files")

    assert os.fstat(fd).st_ino == Path(sys.executable).resolve().stat().st_ino
    os.close(fd)


def test_a_process_says_why_it_has_no_stacks() -> None:
    """This one has them; one that is no Python is told by its program; one that is gone by the kernel's words."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"x")
        assert other.stdout.read(1) == b"x"  # its program is in place
        told = why_unknown(other.pid)
        other.stdin.close()

    assert why_unknown(os.getpid()) == ""
    assert "cat: it has no symbol _PyRuntime: it was stripped of them, or is another Python" in told
    assert why_unknown(other.pid).startswith("its files cannot be read: No such")
