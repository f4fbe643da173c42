"""The DataFrame that says what its rows lack."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest

from ior_nb.export.frame import DataFrame, told
from ior_nb.runtime import Accounting, Completeness


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_table_is_one_of_pandas(protocol: int) -> None:
    """Another process, or a machine without ior-nb, has its rows, types and what they lack."""
    lacking = Completeness(accounting=Accounting(seen=3, emitted=2, filtered=1))
    table = told(pd.DataFrame({"file": pd.Categorical(["/a", "/b"]), "bytes": [5, 7]}), lacking)
    found = pickle.loads(pickle.dumps(table, protocol))

    assert type(table) is DataFrame
    assert type(found) is pd.DataFrame
    pd.testing.assert_frame_equal(found, pd.DataFrame(table))
    assert found.attrs == table.attrs
    assert "1 filtered" in found.attrs["completeness"]
