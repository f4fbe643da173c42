from __future__ import annotations

import pytest

from ior_nb.globalfilter import parse, to_text
from ior_nb.runtime.filter import columns_of
from ior_nb.runtime.mine import LIBRARY, MINE, NONE, PIPE, SOCKET, SYSTEM, kind_of
from tests.fakes import batch


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", NONE),
        ("/home/me/data/a.csv", MINE),
        ("relative.csv", MINE),
        ("/tmp/x", MINE),
        ("/", MINE),
        ("/dev/shm/array", MINE),
        ("/home/me/bin/run", MINE),
        ("/home/me/etc/usr", MINE),
        ("/home/me/env/lib/python3.12/site-packages/pandas/core/frame.py", LIBRARY),
        ("/opt/conda/envs/a/lib/python3.12/os.py", LIBRARY),
        ("/home/me/project/__pycache__/m.cpython-312.pyc", LIBRARY),
        ("/opt/app/libfoo.so.1.2", LIBRARY),
        ("/home/me/.ipython/profile_default/history.sqlite", LIBRARY),
        ("/home/me/project/.venv/pyvenv.cfg", LIBRARY),
        ("/opt/app/share/locale/de/LC_MESSAGES/app.mo", LIBRARY),
        ("/usr/share/zoneinfo/UTC", LIBRARY),
        ("/root/.gitconfig", LIBRARY),
        ("/home/me/.config/git/ignore", LIBRARY),
        ("/home/me/.cache/models/big.bin", MINE),
        ("/home/me/project/.env", MINE),
        ("/proc/self/status", SYSTEM),
        ("/etc/passwd", SYSTEM),
        ("/dev/null", SYSTEM),
        ("/usr", SYSTEM),
        ("pipe:[7]", PIPE),
        ("anon_inode:[eventfd]", PIPE),
        ("socket:[7]", SOCKET),
    ],
)
def test_the_name_says_whose_a_file_is(name: str, kind: int) -> None:
    """The user's own are those that no rule takes for a library's, the system's, or no file."""
    assert kind_of(name) == kind


def test_mine_is_a_word_of_filters() -> None:
    """The rows are those on files of the user's own, and those whose source is one; the word joins others."""
    rows = batch(
        file=["/data/a", "/usr/lib/b", "pipe:[7]", "", "/usr/b"],
        old_file=["", "", "", "", "/data/a"],
        is_error=[True, False, False, False, False],
    )

    assert parse("mine").mask(rows).tolist() == [True, False, False, False, True]
    assert parse("not mine").mask(rows).tolist() == [False, True, True, True, False]
    assert to_text(parse("errors MINE")) == "errors and mine"


def test_mine_names_the_columns_it_looks_at() -> None:
    """Files and stacks: rows that are read from a file have those columns alone."""
    assert columns_of(parse("mine")) == ("file", "old_file", "stack")
