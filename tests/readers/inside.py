"""Read Parquet files with one reader and say, by column, what every value is: run by the reader's own Python.

    python inside.py NAME FILE...

It prints one line of JSON: for each file {"columns": {name: digest}, "schema": {name: the reader's type}} or
{"error": text}. The digest is of the values as Python has them: numbers, booleans and text. A folder is a data set: of
it the line says {"set": [host and task of each row, sorted]}. Nothing but the reader and the standard library is
imported.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
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
    session = _session()
    table = session.read.parquet(path)
    rows = table.collect()
    return {name: [row[i] for row in rows] for i, name in enumerate(table.columns)}, dict(table.dtypes)


def _session() -> Any:
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
    return session


Set = list[tuple[Any, Any]]
"""Host and task of each row of a folder whose recordings do not all have the column `task`."""


def duckdb_set(path: str) -> Set:
    """Read a folder with DuckDB."""
    found: Any = importlib.import_module("duckdb")
    rows: Set = found.sql(f"select host, task from read_parquet('{path}/*.parquet', union_by_name=true)").fetchall()
    return rows


def polars_set(path: str) -> Set:
    """Read a folder with Polars; of its older versions only one can join by name, file by file."""
    pl: Any = importlib.import_module("polars")
    parts = [pl.scan_parquet(str(file)).select(pl.col("^host|task$")) for file in sorted(Path(path).iterdir())]
    rows: Set = pl.concat(parts, how="diagonal").select("host", "task").collect().rows()
    return rows


def pyarrow_set(path: str) -> Set:
    """Read a folder with pyarrow's data sets."""
    import pyarrow
    import pyarrow.dataset

    files = [str(file) for file in sorted(Path(path).iterdir())]
    schema = pyarrow.unify_schemas([pyarrow.dataset.dataset(file).schema for file in files])
    table = pyarrow.dataset.dataset(files, schema=schema).to_table(columns=["host", "task"])
    return list(zip(table["host"].to_pylist(), table["task"].to_pylist()))  # noqa: B905 - as above


def spark_set(path: str) -> Set:
    """Read a folder with Spark."""
    rows = _session().read.option("mergeSchema", "true").parquet(path).select("host", "task").collect()
    return [tuple(row) for row in rows]


SETS = {"duckdb": duckdb_set, "polars": polars_set, "pyarrow": pyarrow_set, "spark": spark_set}
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
            if Path(path).is_dir():
                found[path] = {"set": sorted(map(str, SETS[sys.argv[1]](path)))}
                continue
            columns, schema = read(path)
            found[path] = {"columns": {name: digest(values) for name, values in columns.items()}, "schema": schema}
        except BaseException as error:  # Rust's panics are no Exceptions
            found[path] = {"error": f"{type(error).__name__}: {error}"[:300]}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
