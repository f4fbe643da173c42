"""Read Parquet files with one reader and say, by column, what every value is: run by the reader's own Python.

    python inside.py NAME FILE...

It prints one line of JSON: for each file {"columns": {name: digest}, "schema": {name: the reader's type}} or
{"error": text}. The digest is of the values as Python has them: numbers, booleans and text. Nothing but the reader and
the standard library is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from typing import Any

Found = tuple[dict[str, list[Any]], dict[str, str]]


def duckdb(path: str) -> Found:
    """Read with DuckDB."""
    found: Any = importlib.import_module("duckdb").sql(f"select * from '{path}'")
    rows = found.fetchall()
    columns = {name: [row[i] for row in rows] for i, name in enumerate(found.columns)}
    return columns, {name: str(kind) for name, kind in zip(found.columns, found.types)}  # noqa: B905 - readers may have an old Python


def polars(path: str) -> Found:
    """Read with Polars."""
    table: Any = importlib.import_module("polars").read_parquet(path)
    return {name: table[name].to_list() for name in table.columns}, {n: str(t) for n, t in table.schema.items()}


def fastparquet(path: str) -> Found:
    """Read with fastparquet."""
    table: Any = importlib.import_module("fastparquet").ParquetFile(path).to_pandas()
    return {name: table[name].tolist() for name in table.columns}, {n: str(t) for n, t in table.dtypes.items()}


def pyarrow(path: str) -> Found:
    """Read with pyarrow."""
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(path).read()
    return {name: table[name].to_pylist() for name in table.column_names}, {f.name: str(f.type) for f in table.schema}


def spark(path: str) -> Found:
    """Read with Spark's vectorised reader."""
    session: Any = (
        importlib.import_module("pyspark.sql")
        .SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    assert session.conf.get("spark.sql.parquet.enableVectorizedReader") == "true"
    session.sparkContext.setLogLevel("OFF")
    table = session.read.parquet(path)
    rows = table.collect()
    return {name: [row[i] for row in rows] for i, name in enumerate(table.columns)}, dict(table.dtypes)


READ = {f.__name__: f for f in (duckdb, polars, fastparquet, pyarrow, spark)}


def plain(value: Any) -> Any:
    """Return a value without what is the reader's own: unsigned numbers of Spark are decimals."""
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, bytes):
        return value.decode()
    return int(value) if int(value) == value else repr(value)


def digest(values: list[Any]) -> str:
    """Return a hash of the values."""
    return hashlib.sha256(repr([plain(v) for v in values]).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def main() -> None:
    """Read, and say what was found."""
    read = READ[sys.argv[1]]
    found: dict[str, Any] = {}
    for path in sys.argv[2:]:
        try:
            columns, schema = read(path)
            found[path] = {"columns": {name: digest(values) for name, values in columns.items()}, "schema": schema}
        except BaseException as error:  # Rust's panics are no Exceptions
            found[path] = {"error": f"{type(error).__name__}: {error}"[:300]}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
