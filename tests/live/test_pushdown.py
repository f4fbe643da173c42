"""The law of the push-down, against the kernel itself: what it decides equals the mask over the same rows."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ior_nb.engine.bcc import BccEngine, as_json
from ior_nb.engine.collector import wire
from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.fields import EVENT
from ior_nb.globalfilter import split
from ior_nb.runtime import EventBatch, Filter, Scope, TraceOptions
from ior_nb.runtime.filter import And, Errors, Node, Not, Number, Or, Text
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.syscalls import BY_NAME
from tests.calls import STAT

CALLS = ("openat", "read", "pread64", STAT, "close", "write", "pipe2")


class Audited(BccEngine):
    """Keeps what the kernel program would have kept out, with its verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.verdicts: list[np.ndarray] = []

    def _receive(self, frames: list[tuple[Frame, bytes]]) -> None:
        for kind, payload in frames:
            if kind is Frame.EVENTS:
                self.verdicts.append(np.frombuffer(payload, EVENT)["flags"] & wire.EF_KEPT_OUT == 0)
        super()._receive(frames)


def busywork() -> None:
    """A few calls of several kinds, failing ones among them."""
    descriptor = os.open("/etc/hostname", os.O_RDONLY)
    os.read(descriptor, 10)
    os.pread(descriptor, 4, 0)
    os.close(descriptor)
    for path in ("/etc/hosts", "/no/such/file"):
        with contextlib.suppress(OSError):
            os.stat(path)
    with contextlib.suppress(OSError):
        os.close(1 << 20)
    first, second = os.pipe()
    os.write(second, b"x")
    os.close(first)
    os.close(second)


def generated(rng: random.Random, tids: list[int]) -> Node:
    """A random term, or a random condition of terms; most can be pushed."""
    numbers: list[Callable[[], Node]] = [
        lambda: Number("pid", "=", rng.choice([os.getpid(), os.getpid(), 1])),
        lambda: Number("tid", "=", rng.choice(tids)),
        lambda: Number(
            "latency", rng.choice(["<", "<=", ">", ">=", "="]), rng.choice([0, 300, 700, 1500, 4000, 10**9])
        ),
        Errors,
        lambda: Text("syscall", "=", rng.choice(CALLS)),
        lambda: Or(tuple(Text("syscall", "=", name) for name in rng.sample(CALLS, 2))),
        lambda: Not(Text("syscall", "=", rng.choice(CALLS))),
        lambda: Text("family", "=", rng.choice(["FS", "IPC", "Network"])),
        lambda: Text("comm", rng.choice(["=", "~"]), rng.choice(["wörker-7", "^wörk", "wörk*", "python", "nobody"])),
        lambda: Number("bytes", ">", 3),
        lambda: Text("file", "~", "host"),
    ]
    terms = [rng.choice(numbers)() for _ in range(rng.randint(1, 3))]
    unique = tuple(dict.fromkeys(terms))
    return unique[0] if len(unique) == 1 else And(unique)


def test_the_kernel_judges_as_the_mask_does(world: Any) -> None:
    """For 520 generated filters verdict and mask agree on every row, each dimension pushed at least 20 times."""
    engine, batches = Audited(), list[EventBatch]()
    ready, go = threading.Barrier(2), threading.Barrier(2)
    running = True

    def other() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("wörker-7")
        while True:
            ready.wait()
            if not running:
                return
            busywork()
            go.wait()

    worker = threading.Thread(target=other)
    worker.start()
    tids = [threading.get_native_id(), worker.native_id or 0, 1]
    rng = random.Random(11)
    enabled = frozenset(BY_NAME[name].number for name in CALLS)
    pushed_terms: Counter[str] = Counter()
    rows = kept = 0
    try:
        scope = Scope(pids=(os.getpid(),), follow=False)  # what other tests have started goes on meanwhile
        engine.start(TraceOptions(scope=scope, enabled=enabled), batches.append)
        for generation in range(520):
            wanted = Filter.of([generated(rng, tids)])
            pushed, rest = split(wanted)
            for name in ("pid", "tid", "calls", "latency_min_ns", "latency_max_ns"):
                pushed_terms[name] += getattr(pushed, name) is not None
            pushed_terms["errors_only"] += pushed.errors_only
            pushed_terms["comm"] += bool(pushed.comm)
            engine.flush()
            batches.clear()
            engine.verdicts.clear()
            engine._ask("filter", filter=as_json(pushed) | {"audit": True}, generation=generation & 0xFF)
            ready.wait()
            busywork()
            go.wait()
            engine.flush()
            events, verdict = EventBatch.concat(batches), np.concatenate(engine.verdicts)
            mine = np.isin(events["tid"], tids[:2])
            events, verdict = events.take(mine), verdict[mine]

            assert (events["filter_epoch"] == generation & 0xFF).all()
            assert (verdict == pushed.mask(events)).all(), (
                f"{wanted}: {events.text('syscall')[verdict != pushed.mask(events)]}"
            )
            assert ((verdict & rest.mask(events)) == wanted.mask(events)).all(), wanted
            rows += len(events)
            kept += int(verdict.sum())
    finally:
        running = False
        ready.wait()
        worker.join()
        engine.close()

    assert min(pushed_terms.values()) >= 20, pushed_terms
    assert 0 < kept < rows


def test_what_the_kernel_keeps_out_is_counted(session: TracerSession) -> None:
    """A filter given to a trace leaves its rows alone in the result; the rest is in the accounting as filtered."""
    os.stat("/etc/hostname")
    with trace(session=session, syscalls=STAT, filter="probes and file~nowhere") as found:
        for number in range(31):
            with contextlib.suppress(OSError):
                os.stat("/etc/hostname" if number % 2 else f"/nowhere/{number}")

    assert len(found.batch) == 16
    assert found.accounting.filtered == 15
    assert found.accounting.unaccounted == 0
    assert found.counters[STAT]["calls"] == 31


@pytest.mark.timeout(120)
def test_a_filter_changed_under_load_never_mixes_its_epochs(session: TracerSession) -> None:
    """Changes while four threads work: every row passes the filter of its own epoch, none is there twice."""
    texts = [f"syscall={name}" for name in CALLS] + ["errors", "latency>=1us", "not errors"]
    filters: dict[int, Filter] = {}
    threads, changes, rounds = 4, 55, 100
    begin = threading.Barrier(threads + 1, timeout=60)  # nobody waits for ever for one that failed

    def work() -> None:
        for _ in range(changes):
            begin.wait()
            for _ in range(rounds):
                busywork()

    with trace(session=session, syscalls=list(CALLS)) as found:
        run = session.running
        assert run is not None
        run.watch()
        filters[session.filter_epoch()] = session.filters.active
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for number in range(changes):
            begin.wait()
            session.set(session.parse(texts[number % len(texts)]))
            filters[session.filter_epoch()] = session.filters.active
        for worker in workers:
            worker.join()
        last = session.filter_epoch()

    rows, counted = found.batch, run.statistics.snapshot().calls
    assert len(filters) == 1 + changes
    assert found.accounting.unaccounted == 0
    assert len(np.unique(rows["seq"])) == len(rows)
    assert set(np.unique(rows["filter_epoch"]).tolist()) <= set(filters)
    for epoch in np.unique(rows["filter_epoch"]).tolist():
        of_epoch = rows.take(rows["filter_epoch"] == epoch)
        assert filters[epoch].mask(of_epoch).all(), filters[epoch]
    assert counted == int((rows["filter_epoch"] == last).sum())
