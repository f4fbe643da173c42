"""Which columns a kernel does not fill, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from ior_nb.engine.collector.btf import Btf
from ior_nb.engine.collector.columns import OPTIONAL, Optional, refused, unfilled
from ior_nb.runtime.schema import NAMES


class Kernel:
    """A kernel with some hooks and some members."""

    def __init__(self, *hooks: str, members: Mapping[str, Sequence[str]] | None = None) -> None:
        self._hooks, self._members = hooks, members or {}

    def has_hook(self, hook: str) -> bool:
        return hook in self._hooks

    def offsets(self, wanted: Mapping[str, Sequence[str]]) -> None:
        for name, members in wanted.items():
            for member in members:
                if member not in self._members.get(name, ()):
                    raise LookupError(f"this kernel's BTF has no {name}.{member}")


ROWS = (
    Optional("one, two", hooks=("old|new", "other"), since="Linux 6.12"),
    Optional("three", members={"sock": ("a",)}),
)


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (Kernel("new", "other", members={"sock": ["a"]}), {}),
        (Kernel("old", "other", members={"sock": ["a"]}), {}),
        (Kernel("old", members={"sock": ["a"]}), {"one, two": "this kernel has no tracepoint other (Linux 6.12)"}),
        (
            Kernel("other"),
            {
                "one, two": "this kernel has no tracepoint old or new (Linux 6.12)",
                "three": "this kernel's BTF has no sock.a",
            },
        ),
    ],
)
def test_a_column_is_filled_where_all_it_needs_is_there(kernel: Kernel, told: dict[str, str]) -> None:
    """Of hooks under several names one is enough; what is missing is named, with what brings it."""
    assert unfilled(cast(Btf, kernel), ROWS) == told


def test_only_columns_that_exist_are_told_of() -> None:
    """A name in the table is a column of the schema, or says what else there is not."""
    names = [name for row in OPTIONAL for name in row.columns.split(", ")]

    assert [name for name in names if name not in NAMES and " " not in name] == []


def test_what_a_kernel_refuses_is_told_too() -> None:
    """Its columns, where its hooks are there and its program is not taken."""
    assert list(refused(["on_contended", "on_ring"])) == ["wait_lock_ns"]
    assert refused([]) == {}
