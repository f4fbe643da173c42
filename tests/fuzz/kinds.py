"""What is fuzzed: of each kind how an input is made, and what has to be true of it.

A check returns whether the input was taken; False says that it was refused in the way the user is told of. Anything
else that is raised is a crash.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa
from IPython.core.error import UsageError

from ior_nb import errors
from ior_nb.commands.magics import _cell_parser
from ior_nb.commands.options import load_arguments, trace_arguments
from ior_nb.commands.verbs import PARSERS, HelpShown, arguments_of
from ior_nb.engine.collector import wire
from ior_nb.engine.collector.wire import Frame, Unpacker
from ior_nb.engine.counted import counters_of
from ior_nb.engine.decode import Decoder
from ior_nb.export.arrow import record_batch
from ior_nb.globalfilter import complete, parse, to_text
from ior_nb.result.load import load
from ior_nb.runtime.schema import TEXT_COLUMNS
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.sinks.parquet.thrift import decode, encode
from tests.bench.frames import frames
from tests.fakes import FakeEngine
from tests.fuzz import recordings
from tests.fuzz.recordings import INTEGERS, TEXTS
from tests.fuzz.surfaces import SURFACES, played

__all__ = ["KINDS", "Kind", "everything"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input."""

    make: Callable[[Random], Any]
    check: Callable[[Any, Random], bool]
    share: float
    """Of the time of a run."""


def _said(error: Exception) -> bool:
    """Return False, for a refusal whose words may be shown."""
    if not str(error).replace("\n", "").isprintable():
        raise AssertionError(f"on its way to a terminal: {str(error)!r}")
    return False


# ---- filter text

_WORDS: Final = (
    *("and", "or", "not", "errors", "(", ")", ",", " ", "\t", "file", "comm", "path", "latency", "bytes", "pid", "tid"),
    *("syscall", "family", "tracepoint", "duration", "cell", "ret", "fd", "gap", "host", "kind", "offset", "errno"),
    *("=", "!=", "~", "!~", "<", ">", "<=", ">=", "==", "*", "**", '"', "'", "\\", "1", "0", "-1", "1.5", "1e9", "1ms"),
    *(
        "2us",
        "3s",
        "1KiB",
        "4 MB",
        "99999999999999999999",
        "read",
        "openat",
        "FS",
        "python",
        "/tmp/*",
        "/a b",
        "é",
        "\x00",
    ),
    *("\u202e", "\x1b", "#", "$", "&&", "||", "!", "[", "]", "{", "}", "..", "0x10", "NaN", "inf", "-", "+", "K", "µs"),
)


def _condition(random: Random) -> str:
    if random.random() < 0.1:
        return random.choice(("errors", "not errors", f"({_condition(random)})"))
    if random.random() < 0.5:
        name, value = random.choice((("latency", "1ms"), ("bytes", "4KiB"), ("pid", "1"), ("ret", "-2"), ("fd", "3")))
        return f"{name}{random.choice(('=', '>', '>=', '<', '<=', '!='))}{value}"
    name = random.choice(("file", "comm", "path", "syscall", "host"))
    value = random.choice(("a", "*.csv", "read", "/tmp/*", '"a b"', '"é*"'))
    return f"{name}{random.choice(('=', '~', '!=', '!~'))}{value}"


def _filter_text(random: Random) -> str:
    if random.random() < 0.02:
        return random.choice(("(", "not ", "a=b and ", '"', "*")) * random.randrange(1, 400)
    words = [random.choice(_WORDS) for _ in range(random.randrange(1, 14))]
    if random.random() < 0.5:  # often right
        words = [
            random.choice((" and ", " or ", " and not ")).join(
                _condition(random) for _ in range(random.randrange(1, 5))
            )
        ]
    text = random.choice(("", " ", "")).join(words)
    if random.random() < 0.3 and text:
        at = random.randrange(len(text))
        text = text[:at] + random.choice((*TEXTS, chr(random.randrange(1, 0x3000)))) + text[at + 1 :]
    return text[:2_000]


def _filters(text: str, random: Random) -> bool:
    if random.random() < 0.1:
        complete(text, random.randrange(len(text) + 1))
    try:
        wanted = parse(text)
    except errors.FilterSyntaxError as error:
        return _said(error)
    again = to_text(wanted)
    assert parse(again) == wanted, again
    if random.random() < 0.05:
        assert len(wanted.mask(recordings.rows())) == 60
    return True


# ---- what comes from the collector


@cache
def _frames() -> tuple[bytes, bytes]:
    (made,) = frames(40, rows_in_frame=40)
    return made.names, made.events


def _stream(random: Random) -> tuple[bytes, list[int]]:
    parts = []
    for _ in range(random.randrange(1, 5)):
        payload = random.randbytes(random.choice((0, 1, 7, 8, 100)))
        head = bytearray(wire.FRAME.pack(len(payload), random.choice(list(Frame))))
        if random.random() < 0.3:
            head[random.randrange(8)] = random.randrange(256)
        parts.append(bytes(head) + payload)
    data = b"".join(parts)
    return data, sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(4)))


def _cutter(made: tuple[bytes, list[int]], random: Random) -> bool:
    data, cuts = made
    try:
        whole = Unpacker().feed(data)
    except ValueError:
        return False
    unpacker, found = Unpacker(), []
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += unpacker.feed(data[begin:end])
    assert found == whole
    return True


def _records(random: Random) -> list[tuple[Frame, bytes]]:
    made = []
    for kind, payload in zip((Frame.NAMES, Frame.EVENTS), _frames(), strict=True):
        data = bytearray(payload)
        stride = wire.HEADER_BYTES + (wire.CHUNK_BYTES if kind is Frame.NAMES else wire.EVENT_BYTES)
        for _ in range(random.choice((0, 1, 3, 30))):
            at = random.randrange(len(data))
            if random.random() < 0.6:
                at = random.randrange(len(data) // stride) * stride + random.randrange(min(56, stride))
            if random.random() < 0.5:
                data[at] = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 0x7F, 0x80, 0xFF, random.randrange(256)))
            else:
                size = random.choice((4, 8))
                data[at : at + size] = random.choice(INTEGERS).to_bytes(16, "little", signed=True)[:size]
                del data[len(payload) :]
        if random.random() < 0.1:
            del data[random.randrange(len(data)) :]
        made.append((kind, bytes(data)))
    if random.random() < 0.2:
        made.append(
            (
                Frame.COUNTERS,
                random.choice((b'{"cpus":1}\n', b"\n", b"")) + random.randbytes(random.choice((0, 8, 416 * 512))),
            )
        )
    if random.random() < 0.3:
        made.append(
            (
                Frame.ALIVE,
                random.choice(INTEGERS).to_bytes(16, "little", signed=True)[:4]
                + random.randbytes(4 * random.randrange(9)),
            )
        )
    random.shuffle(made)
    return made * random.choice((1, 1, 2))


def _decoder(made: list[tuple[Frame, bytes]], random: Random) -> bool:
    decoder = Decoder(limit=random.choice((30, 1 << 17)))
    decoder.names._enough = random.choice((20, 1 << 17))
    try:
        for kind, payload in made:
            if kind is Frame.NAMES:
                decoder.names.take(payload)
                decoder.names.ask()
            elif kind is Frame.ALIVE:
                decoder.names.keep(payload)
            elif kind is Frame.COUNTERS:
                counters_of(payload)
            else:
                batch = decoder.events(payload)
                for name in TEXT_COLUMNS:
                    batch.text(name)
    except MemoryError:
        raise
    except Exception:  # the pump makes a SourceError of any
        return False
    assert sum(getattr(decoder.names, name).nbytes for name in ("paths", "devs", "comms")) < 1 << 20
    return True


# ---- recordings


def everything(path: Path, random: Random | None = None) -> bool:
    """Load a recording and try every surface; with `random` a few of them. Tell whether it could be read."""
    try:
        found = load(path)
        for _ in found.batches():  # damage inside is found when rows are read
            pass
    except errors.RecordingError as error:
        return _said(error)
    except errors.ConfigError:
        return False
    names = list(SURFACES) if random is None else random.sample(list(SURFACES), 3)
    for name in names:
        try:
            SURFACES[name](found, path.parent)
        except Exception as error:
            raise AssertionError(f"{name} of a recording that can be read: {type(error).__name__}: {error}") from error
    if random is None or random.random() < 0.2:
        played(path)
    return True


_folder: Final = tempfile.TemporaryDirectory(prefix="ior-nb-fuzz-")


def _loaded(data: bytes, random: Random) -> bool:
    path = Path(_folder.name) / "x.parquet"
    path.write_bytes(data)
    return everything(path, random)


def _footer(random: Random) -> bytes:
    return recordings.with_footer(
        pa.Table.from_batches([record_batch(recordings.rows())]), recordings._metadata(random), random
    )


@cache
def _thrift_footer() -> bytes:
    data = recordings.published()
    length = int.from_bytes(data[-8:-4], "little")
    return data[-8 - length : -8]


def _thrift_bytes(random: Random) -> bytes:
    if random.random() < 0.3:
        return random.randbytes(random.randrange(40))
    data = bytearray(_thrift_footer()[: random.choice((60, 300, 1 << 20))])
    for _ in range(random.choice((1, 2, 5))):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def _thrift(data: bytes, random: Random) -> bool:
    try:
        found = decode(data)
    except ValueError:
        return False
    assert decode(encode(found)) == found
    return True


# ---- option lines

_OPTIONS: Final = (
    *(
        "--pid",
        "--tid",
        "--uid",
        "--cgroup",
        "--system",
        "--no-follow",
        "--own",
        "--families",
        "--syscalls",
        "--sample",
    ),
    *(
        "--filter",
        "--engine",
        "--no-rows",
        "--record",
        "-o",
        "--name",
        "--no-display",
        "--start",
        "--end",
        "--",
        "-h",
        "-",
    ),
    *("--pid=1", "--sample=read=2", "--filter='latency>=1ms'", "--families=all", "--p", "--f", "--s", "--xyz", "-oX"),
)
_ARGUMENTS: Final = (
    *("0", "1", "-1", "99999999999999999999", "1.5", "1e400", "nan", "read", "FS,Network", "all", "read=0", "read=-1"),
    *("read=99999999999999999999", "=", ",", "'", '"', "\\", "$HOME", "~", "{x}", "latency>=1ms", "1m30s", "x.parquet"),
    *(
        "/sys/fs/cgroup",
        "/nonexistent",
        "é",
        "\x00",
        "\x1b[2J",
        "\u202e",
        "x" * 3_000,
        "demo",
        "replay:x",
        "bcc",
        "auto",
    ),
)


def _line(random: Random) -> str:
    words = [random.choice(_OPTIONS if random.random() < 0.6 else _ARGUMENTS) for _ in range(random.randrange(7))]
    line = " ".join(words)
    if random.random() < 0.3 and line:
        at = random.randrange(len(line))
        line = (
            line[:at]
            + random.choice(("'", '"', "\\", "\n", "\x00", " ", "=", chr(random.randrange(1, 0x3000))))
            + line[at:]
        )
    return line


def _options(line: str, random: Random) -> bool:
    parser = random.choice((_cell_parser, *PARSERS.values()))()
    try:
        options = arguments_of(parser, line)
        if hasattr(options, "paths"):
            load_arguments(options)
            return True
        wanted = trace_arguments(options) | {"record": None, "engine": "auto"}
        with TracerSession(engine=FakeEngine()) as session:
            trace(**wanted, title="a cell", session=session)
    except (UsageError, errors.ConfigError, HelpShown) as error:
        return _said(error)
    return True


KINDS: Final[dict[str, Kind]] = {
    "filter text": Kind(_filter_text, _filters, 0.3),
    "frames cut": Kind(_stream, _cutter, 0.08),
    "frames decoded": Kind(_records, _decoder, 0.2),
    "footers, thrift": Kind(_thrift_bytes, _thrift, 0.07),
    "footers, words": Kind(_footer, _loaded, 0.08),
    "recordings damaged": Kind(recordings.damaged, _loaded, 0.1),
    "recordings hostile": Kind(recordings.hostile, _loaded, 0.12),
    "option lines": Kind(_line, _options, 0.05),
}
