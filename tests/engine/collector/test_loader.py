"""Which way the program hangs in the kernel, and what is said where it cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from ior_nb.engine.collector import hooks, loader
from ior_nb.engine.collector.loader import NotHere

NUMBERS = dict.fromkeys(hooks.HOOKS, 7)


@pytest.mark.parametrize(
    ("way", "preemptible", "numbers", "chosen"),
    [
        ("auto", False, NUMBERS, "raw"),
        ("auto", False, None, "raw"),
        ("auto", True, NUMBERS, "tracepoint"),
        ("auto", True, None, "raw-preemptible"),
        ("raw", True, NUMBERS, "raw"),
        ("tracepoint", False, NUMBERS, "tracepoint"),
    ],
)
def test_the_cheapest_way_that_loses_nothing_is_taken(
    monkeypatch: pytest.MonkeyPatch, way: str, preemptible: bool, numbers: dict[str, int] | None, chosen: str
) -> None:
    """Raw tracepoints where they cannot be preempted, else trace events where their numbers can be read."""
    monkeypatch.setattr(loader, "event_numbers", lambda: numbers)

    found, used, notes = loader._chosen(way, preemptible=preemptible)

    assert found == chosen
    assert used == (numbers if chosen == "tracepoint" else None)
    assert bool(notes) == (chosen == "raw-preemptible")


def test_a_way_that_loses_says_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls will be skipped the reader of the trace gets the line that ends it; who asked for more is refused."""
    monkeypatch.setattr(loader, "event_numbers", lambda: None)

    assert "mount" in loader._chosen("auto", preemptible=True)[2][0]
    with pytest.raises(NotHere, match="sudo mount"):
        loader._chosen("tracepoint", preemptible=True)


class OldBtf:
    """What an old kernel says of itself."""

    def __init__(self, data: bytes) -> None:
        self.helpers_there, _, self.hooks_there = data.decode().partition("|")

    def helpers(self) -> dict[str, int]:
        return dict.fromkeys(self.helpers_there.split(), 1)

    def has_hook(self, hook: str) -> bool:
        return hook in self.hooks_there.split()


EVERY_HELPER = "probe_read_kernel ktime_get_boot_ns ringbuf_reserve"
EVERY_HOOK = " ".join(hooks.HOOKS)


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (
            f"probe_read_kernel ktime_get_boot_ns|{EVERY_HOOK}",
            r"no bpf_ringbuf_reserve \(Linux 5\.8\).*%ior load",
        ),
        (f"{EVERY_HELPER}|sys_enter sys_exit", r"no tracepoint 'sched_process_fork'.*%ior load"),
    ],
)
def test_an_old_kernel_is_told_what_it_lacks_and_what_to_use(
    monkeypatch: pytest.MonkeyPatch, kernel: str, said: str
) -> None:
    """One line: what is missing, since when it is there, what works instead."""
    monkeypatch.setattr(loader, "Btf", OldBtf)

    with pytest.raises(NotHere, match=said):
        loader._checked(kernel.encode())


def test_a_kernel_without_btf_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No description of the kernel's structs: the option of the kernel's build that brings it is named."""
    monkeypatch.setattr(loader, "VMLINUX", tmp_path / "vmlinux")

    with pytest.raises(NotHere, match=r"CONFIG_DEBUG_INFO_BTF=y.*%ior load"):
        loader._btf_bytes()


def test_another_kernel_program_or_size_is_another_entry() -> None:
    """What a compiled program depends on is in the key it is kept under."""
    key = loader._key(b"btf", {"cpus": 2})

    assert key == loader._key(b"btf", {"cpus": 2})
    assert len({key, loader._key(b"another", {"cpus": 2}), loader._key(b"btf", {"cpus": 4})}) == 3
