"""Ranges of files put together."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.aggregate.asked import _united


@pytest.mark.parametrize("far", [0, 1 << 61], ids=["near", "far"])
def test_the_union_of_ranges_is_that_of_each_byte(far: int) -> None:
    """Ranges of a file that touch or overlap are one, those of another file never; however large offsets are."""
    random = np.random.default_rng(3)
    number, begin = random.integers(0, 4, 300), random.integers(0, 900, 300)
    end = begin + random.integers(1, 9, 300)
    covered = {(file, at) for file, low, high in zip(number, begin, end, strict=True) for at in range(low, high)}
    found = _united(np.array([number, begin + far, end + far]))
    again = {(file, at - far) for file, low, high in found.T.tolist() for at in range(low, high)}

    assert again == covered
    assert len({(file, low) for file, low, _ in found.T.tolist()}) == found.shape[1]
    assert not {(file, high) for file, _, high in found.T.tolist()} & {(f, low) for f, low, _ in found.T.tolist()}
