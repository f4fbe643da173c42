"""A pandas DataFrame from an event batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ior_nb.export.arrow import compact
from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.completeness import Completeness
from ior_nb.runtime.schema import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["dataframe"]


def dataframe(batch: EventBatch, lacking: Completeness | None = None) -> pd.DataFrame:
    """Return the rows as a DataFrame that is the caller's own; text columns are categoricals of the strings in use.

    Args:
        batch: the rows.
        lacking: what they lack; it stands in `attrs`, and below the table.
    """
    import pandas as pd

    from ior_nb.export.frame import told

    columns: dict[str, object] = {}
    for column in COLUMNS:
        values = batch[column.name]
        if column.text:
            codes, texts = compact(values, batch.tables[column.name])
            columns[column.name] = pd.Categorical.from_codes(codes, categories=pd.Index(texts))
        else:
            columns[column.name] = values
    return told(pd.DataFrame({**columns, **batch.extras}, copy=True), lacking or Completeness())
