"""The encoding of Parquet's metadata."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.sinks.parquet.thrift import Field, Items, Kind, Struct, decode, encode

INTEGERS = {Kind.I16: 16, Kind.I32: 32, Kind.I64: 64}


def values(kind: Kind, depth: int) -> st.SearchStrategy[object]:
    """Values of one kind of field or list element."""
    match kind:
        case Kind.TRUE | Kind.FALSE:
            return st.booleans()
        case Kind.BYTE:
            return st.integers(0, 255)
        case Kind.DOUBLE:
            return st.binary(min_size=8, max_size=8)
        case Kind.BINARY:
            return st.binary(max_size=200)
        case Kind.STRUCT:
            return structs(depth - 1)
        case Kind.LIST | Kind.SET:
            element = st.sampled_from([k for k in Kind if depth > 0 or k < Kind.LIST])
            return element.flatmap(
                lambda k: st.lists(values(k, depth - 1), max_size=20).map(lambda found: Items(int(k), found))
            )
    return st.integers(-(2 ** (INTEGERS[kind] - 1)), 2 ** (INTEGERS[kind] - 1) - 1)


def fields(depth: int) -> st.SearchStrategy[Field]:
    """Fields of any kind; the kind of a boolean goes with its value."""
    kinds = [k for k in Kind if k is not Kind.FALSE and (depth > 0 or k < Kind.LIST)]
    return st.sampled_from(kinds).flatmap(
        lambda k: values(k, depth).map(lambda v: Field(int(Kind.FALSE if k is Kind.TRUE and not v else k), v))
    )


def structs(depth: int) -> st.SearchStrategy[Struct]:
    """Structs up to some depth, with their fields in order."""
    numbers = st.integers(1, 40) | st.integers(1, 2**15 - 1)
    return st.dictionaries(numbers, fields(depth), max_size=5).map(lambda found: dict(sorted(found.items())))


@given(structs(3))
def test_thrift_round_trip(struct: Struct) -> None:
    """Every struct comes back from its bytes, and cut off anywhere it is refused."""
    data = encode(struct)

    assert decode(data) == struct
    assert encode(decode(data)) == data
    for cut in {0, len(data) // 2, len(data) - 1}:
        with pytest.raises(ValueError, match="thrift"):
            decode(data[:cut])


def test_thrift_keeps_the_footer_of_pyarrow(tmp_path: Path) -> None:
    """A footer that pyarrow wrote is the same after reading and writing, fields we do not know included."""
    pq.write_table(pa.table({"a": [1.5, None], "b": [True, False], "c": [["x"], []]}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]

    assert encode(decode(footer)) == footer


@pytest.mark.parametrize("data", [b"\x1d\x00", b"\x1b\x00\x00"])
def test_thrift_refuses_types_it_does_not_know(data: bytes) -> None:
    """A type without a meaning here is an error, not a guess."""
    with pytest.raises(ValueError, match="unknown type"):
        decode(data)
    with pytest.raises(ValueError, match="unknown type"):
        encode({1: Field(data[0] & 15, b"")})
