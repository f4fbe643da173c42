"""Recordings nobody should have to trust: real ones with bytes changed, and well-formed ones that hold nonsense."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ior_nb.engine.decode import Decoder
from ior_nb.export.arrow import columns, record_batch
from ior_nb.runtime import EventBatch
from ior_nb.sinks.parquet import Recorder
from tests.bench.frames import frames

__all__ = ["INTEGERS", "TEXTS", "chain", "damaged", "hostile", "published", "rows", "with_footer"]

INTEGERS: Final = (
    *(0, 1, -1, 2, 127, 128, 255, 4095, 4096, -4095, -4096, 65535, 1 << 22, (1 << 22) + 1),
    *(2**31 - 1, -(2**31), 2**32 - 1, 2**53, 2**62, 2**62 - 1, 2**63 - 1, -(2**63), -(2**63) + 1, 2**63, 2**64 - 1),
)
TEXTS: Final = (
    *("", "/", ".", "..", "/a", "//", "\x1b[2J", "\x1b]0;x\x07", "<script>alert(1)</script>", "</script>", "\u202e"),
    *("\x00", "\n", "\r\n", "a;b", "=1+1", '"', "'", "$x$", "&amp;", "x" * 5_000, "/" * 300, "é" * 100, "\\", "%s{}"),
    *("{", "other", "(other)", "[other]", "unknown", "done", "in flight", "warning", "no return", "read", "openat"),
)
_BYTES: Final = (b"\xff\xfe", b"\xed\xa0\x80", b"\x80", b"")
_JSON: Final = (
    *("", "null", "[]", "{}", "{", "[" * 10_000, "1e999", "-1", "NaN", '"x"', '{"seen":-5}', '{"lost":{"ring":1e30}}'),
    *('{"seen":9223372036854775807,"emitted":9223372036854775807}', '{"read":{"calls":9223372036854775807}}'),
    *('{"read":{"calls":-1,"bytes":-1,"errors":-1,"latency_ns":-1}}', '{"\\u001b":{"calls":1}}', '{"lost":{"x":[]}}'),
    *('{"write":{"calls":9223372036854775807,"bytes":9223372036854775807,"latency_ns":9223372036854775807}}',),
    *('{"seen":1,"lost":{"ring":9223372036854775807}}', '{"seen":1,"sampled_out":1,"died":true}', "[{}]", "[[]]"),
    *('[{"counted_only":9223372036854775807},{"counted_only":9223372036854775807}]',),
)
_KEYS: Final = (
    *("version", "hostname", "kernel", "machine", "engine", "title", "scope", "started_at_unix_nano", "options"),
    *("started_at_boot_nano", "ended_at_boot_nano", "accounting", "counters", "returncode"),
)
_OF_IOR: Final = (
    "version",
    "hostname",
    "ended_early",
    "sampling",
    "sampling.totals",
    "rows_dropped",
    "started_at_unix_nano",
)


@cache
def rows(count: int = 60) -> EventBatch:
    """Return rows as the decoder makes them."""
    decoder = Decoder()
    (frame,) = frames(count, rows_in_frame=count)
    decoder.names.take(frame.names)
    batch = decoder.events(frame.events)
    return batch.with_columns(seq=np.arange(1, count + 1, dtype=np.uint64), cell=np.full(count, 3))


@cache
def published() -> bytes:
    """Return a recording as the recorder publishes it, of three row groups."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(to_arrow=columns, group_rows=20)
        recorder.start(Path(folder) / "x.parquet", block=True, metadata={"ior_nb.version": "1", "ior_nb.title": "x"})
        for begin in range(0, 60, 20):
            recorder.record(rows()[begin : begin + 20])
        path = recorder.stop()
        assert path is not None
        return path.read_bytes()


def chain() -> bytes:
    """Return a recording as a crash leaves it: without its footer."""
    data = published()
    return data[: -8 - int.from_bytes(data[-8:-4], "little")]


def damaged(random: Random) -> bytes:
    """Return one of the two with some bytes changed, moved, doubled or gone."""
    data = bytearray(random.choice((published, published, chain))())
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            break
        # Most of the file is pages, most of the harm in headers and footer.
        at = (
            random.randrange(len(data))
            if random.random() < 0.5
            else len(data) - 1 - random.randrange(min(len(data), 4000))
        )
        match random.randrange(8):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + random.randrange(1, 40)]
            case 2:
                data[at:at] = data[: random.randrange(40)]
            case 3:
                data[at : at + 8] = random.choice(INTEGERS).to_bytes(16, "little", signed=True)[:8]
            case 4:
                data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
            case _:
                data[at] ^= 1 << random.randrange(8)
    return bytes(data)


@cache
def _table() -> pa.Table:
    return pa.Table.from_batches([record_batch(rows())])


def hostile(random: Random) -> bytes:
    """Return a well-formed file whose columns hold what no trace would: wrong types, extreme values, strange text."""
    table = _table()
    for _ in range(random.choice((1, 1, 2, 5))):
        name = random.choice(table.schema.names)
        table = _with(table, name, _column(table, name, random))
    if random.random() < 0.2:
        table = table.drop_columns(random.sample(table.schema.names, random.randrange(1, 30)))
    if random.random() < 0.1:
        table = table.slice(0, random.randrange(3))
    if random.random() < 0.1:
        table = pa.concat_tables([table] * random.randrange(2, 5))
    return with_footer(table, _metadata(random) if random.random() < 0.5 else {}, random)


def with_footer(table: pa.Table, metadata: dict[bytes, bytes], random: Random) -> bytes:
    """Return the file of a table, however one may write it."""
    sink = pa.BufferOutputStream()
    options: dict[str, Any] = {
        "compression": random.choice(("zstd", "snappy", "gzip", "none")),
        "use_dictionary": random.random() < 0.7,
        "row_group_size": random.choice((None, 1, 7, 1000)),
        "write_statistics": random.random() < 0.8,
        "version": random.choice(("1.0", "2.4", "2.6")),
        "data_page_version": random.choice(("1.0", "2.0")),
    }
    pq.write_table(table.replace_schema_metadata(metadata), sink, **options)
    return bytes(sink.getvalue())


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _column(table: pa.Table, name: str, random: Random) -> pa.Array:
    count, kind = len(table), _table().schema.field(name).type
    number = random.choice(INTEGERS)
    if random.random() < 0.7:  # of its own type
        if pa.types.is_dictionary(kind):
            texts = [random.choice(TEXTS) for _ in range(count)]
            return pa.array(texts) if random.random() < 0.5 else pa.array(texts).dictionary_encode()
        if pa.types.is_boolean(kind):
            return pa.array([random.random() < 0.5 for _ in range(count)])
        low, high = (-(2**63), 2**63 - 1) if pa.types.is_signed_integer(kind) else (0, 2**64 - 1)
        bits = kind.bit_width
        low, high = (low >> (64 - bits), high >> (64 - bits))
        values = [min(max(random.choice(INTEGERS), low), high) for _ in range(count)]
        if random.random() < 0.5:
            values = [min(max(number, low), high)] * count
        if name == "time_ns" and random.random() < 0.5:
            values = sorted(values, reverse=True)
        return pa.array(values, kind)
    match random.randrange(10):
        case 0:
            return pa.nulls(count, kind)
        case 1:
            return pa.array([float(random.choice((0, 0.5, -1, 1e300, float("nan"), float("inf"))))] * count)
        case 2:
            return pa.array([random.choice(_BYTES)] * count, pa.binary())
        case 3:
            return pa.array([[1]] * count)
        case 4:
            return pa.array([number] * count, pa.int64() if number < 2**63 else pa.uint64())
        case 5:
            return pa.array([0] * count, pa.timestamp("ns"))
        case 6:
            return pa.array([{"a": 1}] * count)
        case 7:
            return pa.array([str(number)] * count)
        case 8:
            return pa.array([None if i % 2 else 1 for i in range(count)])
        case _:
            return pa.nulls(count)


def _metadata(random: Random) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for _ in range(random.randrange(1, 8)):
        key = f"ior_nb.{random.choice(_KEYS)}" if random.random() < 0.8 else f"ior.{random.choice(_OF_IOR)}"
        found[key.encode()] = _value(random).encode("utf-8", "replace")
    return found


def _value(random: Random) -> str:
    match random.randrange(5):
        case 0:
            return str(random.choice(INTEGERS))
        case 1:
            return random.choice(TEXTS)
        case 2:
            names = (
                "seen",
                "emitted",
                "sampled_out",
                "filtered",
                "outside_window",
                "in_flight",
                "unpaired",
                "lost",
                "died",
            )
            pick: dict[str, Any] = {name: random.choice(INTEGERS) for name in random.sample(names, 4)}
            return json.dumps(pick)
        case 3:
            call = random.choice(("read", "write", "openat", "x", "sendfile64"))
            return json.dumps({call: {n: random.choice(INTEGERS) for n in ("calls", "errors", "bytes", "latency_ns")}})
        case _:
            return random.choice(_JSON)
