"""The hash map made of numpy arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime.index import Index


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=60), max_size=6), st.data())
def test_index_numbers_keys_like_a_dictionary(parts: list[list[int]], data: st.DataObject) -> None:
    """Equal keys have one number, different keys different ones, counted up without a hole; some may be forgotten."""
    index = Index()
    truth: dict[int, int] = {}
    for part in parts:
        keys = np.array(part, np.uint64)
        numbers, new = index.number(keys, len(truth))
        for key, number in zip(part, numbers.tolist(), strict=True):
            assert truth.setdefault(key, number) == number
        assert [truth[part[row]] for row in new.tolist()] == list(range(len(truth) - len(new), len(truth)))
        gone = data.draw(st.sets(st.sampled_from(sorted(truth))) if truth else st.just(set()))
        kept = [key for key in truth if key not in gone]
        moved = np.full(len(truth), -1)
        moved[[truth[key] for key in kept]] = np.arange(len(kept))
        index.renumber(moved)
        truth = {key: at for at, key in enumerate(kept)}
        found = index.find(keys).tolist()

        assert [number if number >= 0 else None for number in found] == [truth.get(key) for key in part]


def test_index_gives_lower_ranks_lower_numbers() -> None:
    """Of new keys those of the lowest rank are numbered first."""
    index = Index()
    keys = np.arange(1000, dtype=np.uint64)
    numbers, new = index.number(keys, 5, 1000 - np.arange(1000))

    assert numbers.tolist() == list(range(1004, 4, -1))
    assert new.tolist() == list(range(999, -1, -1))


def test_index_survives_growth_and_full_slots() -> None:
    """Thousands of keys, many in the same place, are all found again after the table grew."""
    index = Index()
    keys = np.arange(20_000, dtype=np.uint64) << np.uint64(32)
    for begin in range(0, 20_000, 900):
        index.number(keys[begin : begin + 900], len(index))

    assert sorted(index.find(keys).tolist()) == list(range(20_000))
    assert (index.find(keys + np.uint64(1)) == -1).all()
