"""How the column `stack` is written and read, and which frame is the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ior_nb
from ior_nb.runtime.stacks import CUT, NO_FRAME, Frame, is_cell, is_library, own_frame, parsed, written

NAMES = st.text(st.sampled_from("aä;(): \\x3b28\n…<>"), min_size=1).map(lambda name: f"f{name}f")
FRAMES = st.lists(st.builds(Frame, NAMES, NAMES, st.integers(0, 1 << 30)), min_size=1)


@given(FRAMES)
def test_a_stack_is_read_as_it_was_written_whatever_the_names(frames: list[Frame]) -> None:
    """No name of a function or a file can forge a frame, end a stack, or lose a character."""
    assert list(parsed(written(frames))) == frames
    assert list(parsed(written(frames, cut=True))) == [Frame(CUT, "", 0), *frames]


def test_no_stack_has_no_frame() -> None:
    """The empty text is a call without a stack."""
    assert parsed("") == ()
    assert own_frame(()) == NO_FRAME


@pytest.mark.parametrize(
    ("file", "library"),
    [
        ("/usr/lib/python3.11/json/decoder.py", True),
        ("/home/ada/.venv/lib/python3.13t/site-packages/pandas/io/common.py", True),
        ("/usr/lib/python3/dist-packages/bcc/__init__.py", True),
        ("<frozen importlib._bootstrap>", True),
        (str(Path(ior_nb.__file__).parent / "session/window.py"), True),
        ("/home/ada/notebook/reading.py", False),
        ("/home/ada/lib/python/reading.py", False),
        ("/tmp/ipykernel_4711/123456.py", False),
        ("<ipython-input-3-0a1b>", False),
        ("<string>", False),
    ],
)
def test_the_users_own_code_is_what_nobody_installed(file: str, library: bool) -> None:
    """The standard library, installed packages and the tracer itself are libraries; all else is the user's own."""
    assert is_library(file) == library


def test_the_users_line_is_the_innermost_of_the_users_own() -> None:
    """Below it may be any number of a library's; where all are a library's, the innermost is as near as it gets."""
    cell, mine = Frame("<module>", "/tmp/ipykernel_1/2.py", 3), Frame("load", "/home/ada/load.py", 7)
    theirs = Frame("read_csv", "/x/site-packages/pandas/io.py", 900)

    assert own_frame([cell, mine, theirs]) == mine
    assert own_frame([cell, theirs]) == cell
    assert own_frame([theirs]) == theirs


def test_what_a_dataclass_writes_is_no_line_of_the_user() -> None:
    """Its `__init__` has no text anybody could look at: the line that made the object has."""
    line, made = Frame("<module>", "/home/ada/a.py", 3), Frame("__create_fn__.<locals>.__init__", "<string>", 2)

    assert own_frame([line, made, Frame("mkdtemp", "/usr/lib/python3.11/tempfile.py", 9)]) == line
    assert own_frame([line, Frame("<module>", "<string>", 2)]).file == "<string>"


def test_a_cell_is_known_by_the_name_ipython_gives_its_code() -> None:
    """Those of ipykernel and of IPython's terminal."""
    assert is_cell("/tmp/ipykernel_4711/123456.py")
    assert is_cell("<ipython-input-3-0a1b>")
    assert not is_cell("/home/ada/ipykernel.py")
