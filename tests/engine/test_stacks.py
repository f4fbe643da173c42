"""What facts of the kernel program become: code objects, stacks, lines."""

from __future__ import annotations

import struct
from types import CodeType

import numpy as np
import pytest

from ior_nb.engine import codecount, stacks
from ior_nb.engine.collector import wire
from ior_nb.engine.stacks import Stacks, line_of
from ior_nb.runtime import new_tables

SOURCE = """
def f(a):
    x = [
        g(b)
        for b in a
    ]
    try:
        with open(x) as file:
            return file
    finally:
        g(
            x,
        )


async def h(a):
    async for b in a:
        yield await b
"""


def every_code(code: CodeType) -> list[CodeType]:
    """Return a code object and all below it."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return [code, *(c for one in inner for c in every_code(one))]


def record(payload: bytes) -> bytes:
    """Return a record as the ring has it."""
    return (struct.pack("<II", len(payload), 0) + payload).ljust(8 + (len(payload) + 7 & ~7), b"\0")


def code_fact(number: int, code: CodeType, *, file: bytes = b"", function: bytes = b"", kinds: int = 0) -> bytes:
    """Return the record of a code object."""
    name = function or code.co_qualname.encode()
    path = file or code.co_filename.encode()
    head = (wire.FACT_CODE, code.co_firstlineno, number, 0, kinds, len(path), len(name), len(code.co_linetable), 7)
    return record(wire.CODE.pack(*head) + path + name + code.co_linetable)


def stack_fact(number: int, *frames: tuple[int, int], cut: bool = False, owners: bool = False) -> bytes:
    """Return the record of a stack, innermost first."""
    flags = cut * wire.STACK_CUT | owners * wire.STACK_OWNERS
    head = wire.STACK.pack(wire.FACT_STACK, number, len(frames), flags)
    return record(head + b"".join(wire.FRAME_OF_STACK.pack(code, at, 0) for code, at in frames))


def test_the_line_of_every_instruction_is_python_s_own() -> None:
    """Every entry of the table is read as the interpreter reads it, those without a line included."""
    for code in every_code(compile(SOURCE, "x.py", "exec")):
        for begin, end, line in code.co_lines():
            for offset in range(begin, end, 2):
                assert line_of(code.co_linetable, code.co_firstlineno, offset) == (line or 0)


def test_a_damaged_table_has_no_lines() -> None:
    """A table that ends in the middle of an entry gives 0, not an exception."""
    assert line_of(b"\xf0", 1, 2) == 0
    assert line_of(b"", 1, 0) == 0


def test_a_stack_has_its_names_lines_and_the_users_line() -> None:
    """Outermost first; the columns are those of the innermost frame that is the user's own."""
    tables = new_tables()
    known = Stacks(tables)
    code = compile("import x\n\n\nx()\n", "/home/ada/a.py", "exec")
    at = next(begin for begin, _, line in code.co_lines() if line == 4)

    known.learn(code_fact(5, code) + code_fact(6, code, file=b"/lib/python3.11/io.py", function=b"open;(x)"))
    known.learn(stack_fact(3, (6, at), (5, at)))

    assert tables["stack"][known.texts[3]] == "<module> (/home/ada/a.py:4);open\\x3b\\x28x) (/lib/python3.11/io.py:4)"
    assert (tables["py_file"][known.files[3]], known.lines[3]) == ("/home/ada/a.py", 4)
    assert tables["py_func"][known.functions[3]] == "<module>"


def test_a_stack_says_where_it_is_in_one_text() -> None:
    """File and line, as the column of the line that opened a file has them; nothing for a stack without a file."""
    tables = new_tables()
    known = Stacks(tables)
    code = compile("x()", "/home/ada/a.py", "exec")

    known.learn(code_fact(1, code) + stack_fact(1, (1, 2)) + stack_fact(2))

    assert [tables["opened_at"][known.places[number]] for number in (1, 2)] == ["/home/ada/a.py:1", ""]


def test_a_line_table_comes_in_pieces() -> None:
    """What is too long for one record is joined before a stack needs it."""
    known = Stacks(new_tables())
    code = compile("x()\n" * 300, "a.py", "exec")
    whole, head = code.co_linetable, wire.CODE.size + len("a.py<module>")
    at = next(begin for begin, _, line in code.co_lines() if line == 299)
    pieces = [whole[i : i + 100] for i in range(0, len(whole), 100)]

    first = code_fact(1, code)[wire.HEADER_BYTES :][:head]
    known.learn(record(_with_table(first, pieces[0])))
    for piece in pieces[1:]:
        known.learn(record(wire.CODE.pack(wire.FACT_MORE, 0, 1, 0, 0, 0, 0, len(piece), 7) + piece))
    known.learn(stack_fact(1, (1, at)))

    assert known.lines[1] == 299


def _with_table(code: bytes, table: bytes) -> bytes:
    """Return the fact of a code object with another line table."""
    words = list(wire.CODE.unpack_from(code))
    words[7] = len(table)
    return wire.CODE.pack(*words) + code[wire.CODE.size :] + table


def test_a_name_that_is_not_whole_says_so() -> None:
    """A file's name beyond the longest ends with a mark; the function's, which is whole, does not."""
    tables = new_tables()
    known = Stacks(tables)
    code = compile("x()", "a.py", "exec")
    file = b"/" * wire.LONGEST_NAME

    known.learn(code_fact(1, code, file=file, kinds=wire.FACT_LONG) + stack_fact(1, (1, 2)))

    assert tables["py_file"][known.files[1]] == f"{file.decode()}…"
    assert tables["py_func"][known.functions[1]] == "<module>"


def test_frames_that_run_a_cell_are_left_out() -> None:
    """A stack that was cut begins with a mark, unless what is missing is the notebook's own machinery."""
    tables = new_tables()
    known = Stacks(tables)
    code = compile("x()", "/home/ada/a.py", "exec")
    known.learn(code_fact(1, code) + code_fact(2, code, file=b"/tmp/ipykernel_1/2.py"))

    known.learn(stack_fact(1, (1, 2), (1, 2), cut=True) + stack_fact(2, (1, 2), (2, 2), (1, 2), cut=True))

    frame = "<module> (/home/ada/a.py:1)"
    assert tables["stack"][known.texts[1]] == f"…;{frame};{frame}"
    assert tables["stack"][known.texts[2]] == f"<module> (/tmp/ipykernel_1/2.py:1);{frame}"


OURS, NOTEBOOKS = stacks.__file__, "/x/site-packages/ipykernel/iostream.py"
CELL, LIBRARY = "/tmp/ipykernel_1/2.py", "/lib/python3.11/threading.py"


@pytest.mark.parametrize(
    ("files", "options", "own"),
    [
        ((OURS, CELL), {"owners": True}, True),  # innermost first
        ((OURS, CELL), {}, False),
        ((LIBRARY, OURS, CELL), {"owners": True}, False),
        ((NOTEBOOKS, LIBRARY), {"owners": True}, True),
        ((NOTEBOOKS, LIBRARY), {}, False),
        ((NOTEBOOKS, CELL), {"owners": True}, False),
        ((NOTEBOOKS, LIBRARY), {"owners": True, "cut": True}, False),
        ((LIBRARY, NOTEBOOKS), {"owners": True}, False),
        ((LIBRARY,), {"owners": True}, False),
    ],
)
def test_machinery_is_what_the_innermost_frame_says(
    files: tuple[str, ...], options: dict[str, bool], own: bool
) -> None:
    """Of the process that traces alone: the tracer's own code; the notebook's, where no code of the user's asked it."""
    known = Stacks(new_tables())
    code = compile("x()", "x", "exec")
    for number, file in enumerate(files):
        known.learn(code_fact(number, code, file=file.encode()))

    known.learn(stack_fact(3, *((number, 2) for number in range(len(files))), **options))

    assert known.own[3] == own


def test_a_stack_of_code_nobody_knows_is_none() -> None:
    """Without one of its frames another would look as if it made the call."""
    known = Stacks(new_tables())

    known.learn(stack_fact(1, (99, 2)))

    assert known.known(np.array([1, 1 << 20], np.uint32)).tolist() == [1, 0]
    assert known.texts[1] == 0


@pytest.mark.parametrize(("kind", "encoding"), [(1, "latin-1"), (2, "utf-16-le"), (4, "utf-32-le")])
def test_names_are_read_in_every_form_python_keeps_them(kind: int, encoding: str) -> None:
    """One, two or four bytes a character."""
    tables = new_tables()
    known = Stacks(tables)
    code = compile("x()", "a.py", "exec")

    known.learn(code_fact(1, code, file="aü.py".encode(encoding), kinds=kind << 4) + stack_fact(1, (1, 2)))

    assert tables["py_file"][known.files[1]] == "aü.py"


@pytest.mark.parametrize(("kind", "encoding"), [(2, "utf-16-le"), (4, "utf-32-le")])
def test_a_name_that_no_text_can_hold_is_spelled_as_python_spells_it(kind: int, encoding: str) -> None:
    """As that of a file in a folder whose bytes are no UTF-8: what is beside them is as it was."""
    code = compile("x", "x.py", "exec")
    known = Stacks(tables := new_tables())
    named = "/a\udcff/b.py".encode(encoding, "surrogatepass")

    known.learn(code_fact(1, code, file=named, kinds=kind << 4) + stack_fact(1, (1, 2)))

    assert tables["py_file"].at(known.files[1:2]) == ["/a\\udcff/b.py"]


def test_stacks_used_last_are_taken_over_into_other_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long trace begins new tables; ids the kernel program still uses keep their meaning."""
    monkeypatch.setattr(stacks, "_ALIVE", 1)
    known = Stacks(new_tables())
    code = compile("x()\ny()", "a.py", "exec")
    known.learn(code_fact(1, code) + stack_fact(1, (1, 2)) + stack_fact(2, (1, 2)))
    known.known(np.array([2], np.uint32))
    fresh = new_tables()

    known.renew(fresh)

    assert fresh["stack"][known.texts[2]] == "<module> (a.py:1)"
    assert known.lines[2] == 1
    assert fresh["opened_at"][known.places[2]] == "a.py:1"
    assert known.texts[1] == 0


@pytest.mark.skipif(not codecount.counter_address(), reason="this Python numbers its code objects itself")
def test_code_objects_that_are_freed_are_counted() -> None:
    """One more for each, and they are freed all the same."""
    import ctypes

    counter = ctypes.c_uint64.from_address(codecount.counter_address())
    before = counter.value

    for number in range(7):
        exec(compile(f"x = {number}", "made up", "exec"), {})  # what is counted

    assert counter.value - before >= 7
