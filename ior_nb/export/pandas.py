"""A pandas DataFrame from an event batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ior_nb.export.arrow import compact
from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.schema import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["dataframe"]


def dataframe(batch: EventBatch) -> pd.DataFrame:
    """Return the rows as a DataFrame that is the caller's own; text columns are categoricals of the strings in use."""
    import pandas as pd

    columns: dict[str, object] = {}
    for column in COLUMNS:
        values = batch[column.name]
        if column.text:
            codes, texts = compact(values, batch.tables[column.name])
            columns[column.name] = pd.Categorical.from_codes(codes, categories=pd.Index(texts))
        else:
            columns[column.name] = values
    return pd.DataFrame({**columns, **batch.extras}, copy=True)
