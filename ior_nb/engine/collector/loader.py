"""From this machine to a loaded program: which way to hang in the kernel, from the cache or from the compiler.

What a kernel can do is asked of its BTF or found by trying, never told from its version.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ior_nb.engine.collector import cache, mapped, trial
from ior_nb.engine.collector.advice import EVENT_NUMBERS_READABLE, RECORDING, SUPPORTED_KERNEL
from ior_nb.engine.collector.bpf import Map, Refused, unlimit_memory
from ior_nb.engine.collector.btf import NEEDED_HELPERS, VMLINUX, Btf
from ior_nb.engine.collector.columns import refused, unfilled
from ior_nb.engine.collector.compiler import bcc_version, compile_text
from ior_nb.engine.collector.hooks import ALSO, HOOKS, KINDS, MEASURED, Hooks, also_there, event_numbers
from ior_nb.engine.collector.image import Image, Loaded, load
from ior_nb.engine.collector.machine import MAPS, Machine, Seat
from ior_nb.engine.collector.program import (
    FUNCTIONS,
    TAILS,
    WANTED_PYTHON,
    Variant,
    source,
)
from ior_nb.engine.collector.python import STACKS_HERE
from ior_nb.engine.collector.ring import PAGE
from ior_nb.engine.collector.sizes import possible_cpus, possible_threads

__all__ = ["UNREADABLE", "WAYS", "Loading", "NotHere", "kernel_btf", "load_program"]

_HERE: Final = Path(__file__).resolve().parent


class NotHere(Exception):
    """This kernel cannot do it; the message says what is missing and what to use instead."""


# Where the program hangs, and how it is built for it.
WAYS: Final = {
    "raw": Variant(classic=False, preemptible=False, typed=True),
    "raw-preemptible": Variant(classic=False, preemptible=True, typed=True),
    "tracepoint": Variant(classic=True, preemptible=False, typed=True, mapped=False),
}


@dataclass(frozen=True, slots=True)
class Loading:
    """A loaded program, and how it came to be so."""

    loaded: Loaded
    image: Image
    """What it is of; it has more than is loaded where there is a part for Python stacks."""
    hooks: Hooks
    way: str
    """A key of `WAYS`."""
    compiled: bool
    """Whether bcc compiled it just now; else it came from the cache."""
    notes: tuple[str, ...]
    """What the reader of a trace has to know of the choice."""
    measured: tuple[str, ...]
    """What it can measure of a call besides its time; keys of `hooks.MEASURED`."""
    cache: str
    """Why nothing is kept, or what was kept is not used; empty when all is well."""
    unfilled: Mapping[str, str]
    """Columns this kernel does not fill, and why; see `columns.unfilled`."""
    kept: Mapping[str, dict[str, Any]]
    """What the cache keeps of it, by its key."""
    preempted: Callable[[], None]
    """To be called when the kernel has skipped runs at raw tracepoints: from then on it is known as one that does."""


def load_program(*, event_bytes: int, name_bytes: int, way: str = "auto", seat: Seat | None = None) -> Loading:
    """Load everything; nothing is attached yet.

    Args:
        event_bytes: of the ring of events, a power of two.
        name_bytes: of the ring of names.
        way: a key of `WAYS`, or "auto": the cheapest that is right on this kernel.
        seat: at another process's dispatcher, whose way is taken then.

    Raises:
        NotHere: the kernel lacks something.
        ImportError: a compiler is needed, and there is no bcc.
        Refused: the kernel refuses the program.
    """
    unlimit_memory()
    data = _btf_bytes()
    store = cache.Cache(cache.folder())
    sizes = {
        "event_pages": event_bytes // PAGE,
        "name_pages": name_bytes // PAGE,
        "cpus": possible_cpus(),
        "threads": possible_threads(),
    }
    key = _key(data, sizes)
    bcc = bcc_version()
    kept = store.get(key) or {}
    if not kept or (bcc and kept["bcc"] != bcc):
        kept = {"bcc": bcc, "preemptible": None, "unfilled": None, "measured": None, "images": {}}
    btf = _lazily(lambda: _checked(data))
    if kept["preemptible"] is None:
        kept["preemptible"] = trial.examine(btf()).preemptible
    if kept["unfilled"] is None:
        kept["unfilled"] = unfilled(btf())
    if kept["measured"] is None:
        kept["measured"] = [what for what, members in MEASURED.items() if btf().has(members)]

    way, numbers, notes = _chosen(way if seat is None else seat.way, preemptible=kept["preemptible"])
    found = _from_cache(kept["images"].get(way), WAYS[way], seat)
    compiled = found is None
    if found is None:
        found = _compile(btf(), WAYS[way], sizes, seat)
        kept["images"][way] = found[0].to_json()
        store.put(key, kept)
    image, loaded = found
    loaded.fill_tails({function: place for place, function in enumerate(TAILS)})

    def preempted() -> None:
        store.put(key, kept | {"preemptible": True})

    machine = Machine(loaded.maps, None if seat is None else seat.lock)
    hooks = Hooks(loaded.programs, numbers, machine, seat)
    measured = tuple(what for what in kept["measured"] if what not in ("waits", "locks") or what in hooks.watches)
    lacking = kept["unfilled"] | refused(image.code.keys() - loaded.programs.keys())
    return Loading(loaded, image, hooks, way, compiled, notes, measured, store.refused, lacking, {key: kept}, preempted)


def _chosen(way: str, *, preemptible: bool) -> tuple[str, dict[str, int] | None, tuple[str, ...]]:
    """Return the way to take, the numbers of its trace events, and what has to be said of it."""
    if way in ("raw", "raw-preemptible"):
        return way, None, ()
    if way == "auto" and not preemptible:
        return "raw", None, ()
    numbers = event_numbers()
    if numbers is not None:
        return "tracepoint", numbers, ()
    if way == "tracepoint":
        raise NotHere(UNREADABLE)
    return "raw-preemptible", None, (f"this kernel skips calls of busy processes, and counts them: {UNREADABLE}",)


UNREADABLE: Final = (
    f"the numbers of the trace events cannot be read; let them be: {EVENT_NUMBERS_READABLE}; where"
    " kernel.perf_event_paranoid is above 2 (Debian, Ubuntu) also: sudo sysctl kernel.perf_event_paranoid=2"
)


def kernel_btf() -> Btf:
    """Return what the kernel says of itself.

    Raises:
        NotHere: it says nothing, or lacks what tracing needs.
    """
    return _checked(_btf_bytes())


def _btf_bytes() -> bytes:
    try:
        return VMLINUX.read_bytes()
    except OSError as error:
        raise NotHere(
            f"this kernel ({platform.release()}) does not describe itself: {VMLINUX}: {error.strerror}; boot one with"
            f" CONFIG_DEBUG_INFO_BTF=y, as distributions build them, or {RECORDING}"
        ) from error


def _checked(data: bytes) -> Btf:
    """Return the kernel's BTF, after a look whether it has what the program needs."""
    try:
        btf = Btf(data)
    except (ValueError, IndexError) as error:
        raise NotHere(f"{VMLINUX} cannot be read: {error}") from error
    helpers = btf.helpers()
    for helper, since in NEEDED_HELPERS.items():
        if helpers and helper not in helpers:
            raise NotHere(f"Linux {platform.release()} has no bpf_{helper} (Linux {since}): {SUPPORTED_KERNEL}")
    for hook in HOOKS:
        if not btf.has_hook(hook):
            raise NotHere(f"Linux {platform.release()} has no tracepoint {hook!r}; {SUPPORTED_KERNEL}")
    return btf


def _compile(btf: Btf, wanted: Variant, sizes: dict[str, int], seat: Seat | None) -> tuple[Image, Loaded]:
    """Compile and load, the second time without what an old kernel may refuse."""
    typed = "get_current_task_btf" in btf.helpers()
    try:
        return _compiled(btf, replace(wanted, typed=typed), sizes, seat)
    except Refused:
        if not typed:
            raise
        return _compiled(btf, replace(wanted, typed=False), sizes, seat)


def _compiled(btf: Btf, variant: Variant, sizes: dict[str, int], seat: Seat | None) -> tuple[Image, Loaded]:
    variant = replace(variant, python=variant.python and STACKS_HERE and btf.has(WANTED_PYTHON))
    faults = variant.mapped and "on_cached" in also_there(btf)[0] and btf.has(mapped.WANTED)
    told = btf.has_hook("mm_filemap_fault") and btf.has_hook("mm_filemap_map_pages")
    variant = replace(variant, mapped=faults, faults_told=variant.faults_told and told, writes=mapped.sees_writes(btf))
    try:
        text = source(btf, variant, **sizes)
    except LookupError as error:
        seen = f"Linux {platform.release()}, {platform.machine()}"
        raise NotHere(f"{error.args[0]} ({seen}); {SUPPORTED_KERNEL}") from error
    image = compile_text(text, functions_of(text, variant))
    return image, _loaded(image, variant, seat)


def functions_of(text: str, variant: Variant) -> tuple[str, ...]:
    """Return the functions of a program's text: those of hooks not every kernel has where its fields are known."""
    return (*variant.functions, *(function for function in ALSO.values() if f"#define WITH_{function} " in text))


def _from_cache(data: Any, variant: Variant, seat: Seat | None) -> tuple[Image, Loaded] | None:
    """Load a kept image; None where there is none or the kernel does not take it any more."""
    if data is None:
        return None
    try:
        image = Image.from_json(data)
        return image, _loaded(image, variant, seat)
    except (Refused, LookupError, TypeError, ValueError):
        return None


def _loaded(image: Image, variant: Variant, seat: Seat | None) -> Loaded:
    """Load an image; what a kernel refuses of the functions that not every kernel has is left out."""
    given = {} if seat is None else dict(zip(MAPS, seat.maps, strict=True))
    maps = {spec.name: Map(spec, given[spec.name]) for spec in image.maps if spec.name in given}
    loaded = load(image, _kinds(variant), maps)
    for function in ALSO.values():
        if function in image.code:
            with contextlib.suppress(Refused):
                loaded.add(image, {function: KINDS["raw"]})
    return loaded


def _kinds(variant: Variant) -> dict[str, int]:
    return dict.fromkeys(FUNCTIONS, KINDS["tracepoint" if variant.classic else "raw"])


def _key(btf: bytes, sizes: dict[str, int]) -> str:
    """Return what a compiled program depends on, but for the compiler, as one word."""
    digest = hashlib.sha256(btf)
    digest.update(f"{platform.release()} {platform.machine()} {sorted(sizes.items())}".encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _sources() -> Iterable[Path]:
    syscalls = _HERE.parents[1] / "syscalls"
    for folder, pattern in (
        (_HERE, "*.py"),
        (_HERE / "bpf", "*.[ch]"),
        (_HERE / "include", "**/*.h"),
        (syscalls, "*.py"),
    ):
        yield from sorted(folder.glob(pattern))


def _lazily(make: Callable[[], Btf]) -> Callable[[], Btf]:
    """Return a function that calls `make` the first time only."""
    made: list[Btf] = []

    def get() -> Btf:
        if not made:
            made.append(make())
        return made[0]

    return get
