"""Maps, programs and the cache against the real kernel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.collector import hooks, trial
from ior_nb.engine.collector.bpf import MAP_ARRAY, PROG_RAW_TRACEPOINT, UPDATE_NOEXIST, Map, MapSpec, Program, Refused
from ior_nb.engine.collector.btf import VMLINUX, Btf

pytestmark = pytest.mark.timeout(180)  # compiling is five seconds of a processor, which others may want too
HASH = 1
EXIT = b"\xb7\0\0\0\0\0\0\0\x95\0\0\0\0\0\0\0"  # r0 = 0; exit


def test_a_map_keeps_what_is_put_into_it() -> None:
    """Set, get, keys, values, delete, clear; a key that must be new is not written over."""
    made = Map(MapSpec("test", HASH, 4, 8, 16, 0))
    keys = [number.to_bytes(4, "little") for number in range(5)]
    for number, key in enumerate(keys):
        made.set(key, number.to_bytes(8, "little"))

    assert made.get(keys[3]) == (3).to_bytes(8, "little")
    assert not made.set(keys[3], bytes(8), UPDATE_NOEXIST)
    assert sorted(made.keys()) == keys
    assert sorted(made.values()) == [number.to_bytes(8, "little") for number in range(5)]
    assert (made.delete(keys[0]), made.delete(keys[0]), made.get(keys[0])) == (True, False, None)
    made.clear()
    assert list(made.keys()) == []
    made.close()


def test_a_map_the_kernel_refuses_is_named() -> None:
    """The message says which of the maps it was."""
    with pytest.raises(Refused, match="map 'wrong'"):
        Map(MapSpec("wrong", MAP_ARRAY, 3, 8, 1, 0))


def test_a_refused_program_comes_with_the_verifiers_words() -> None:
    """A program that does not end says what the verifier says."""
    with pytest.raises(Refused, match="program 'endless'") as caught:
        Program("endless", PROG_RAW_TRACEPOINT, b"\x05\0\xff\xff\0\0\0\0" + EXIT)

    assert caught.value.log


def test_the_trial_counts_its_own_calls() -> None:
    """Ten calls are made and ten are counted, also when it is tried again."""
    btf = Btf(VMLINUX.read_bytes())

    assert [trial.examine(btf).counted for _ in range(3)] == [trial.CALLS] * 3


def test_the_kernel_says_what_it_has() -> None:
    """Helpers have the numbers of the header, hooks are known by name."""
    btf = Btf(VMLINUX.read_bytes())

    assert (btf.helpers()["probe_read_kernel"], btf.helpers()["ringbuf_reserve"]) == (113, 131)
    assert all(btf.has_hook(hook) for hook in hooks.HOOKS)
    assert not btf.has_hook("sys_nothing")


def test_trace_events_have_numbers_without_a_mounted_tracefs() -> None:
    """Root learns them from a tracefs that is mounted nowhere, and leaves no mount behind."""
    before = Path("/proc/self/mountinfo").read_text()

    numbers = hooks.event_numbers()

    assert numbers is not None
    assert numbers.keys() == hooks.HOOKS.keys()
    assert len(set(numbers.values())) == len(numbers)
    assert Path("/proc/self/mountinfo").read_text() == before


LOAD = """
import pathlib, sys
sys.path.insert(0, {root!r})
from ior_nb.engine.collector import cache, compiler
cache.folder = lambda: pathlib.Path({where!r})
if {without}: compiler.find_bcc = lambda: None
from ior_nb.engine.collector.tracer import Tracer
tracer = Tracer(event_bytes=1 << 20, name_bytes=1 << 20)
print(tracer.loading.compiled, 'bcc' in sys.modules, bool(tracer.loading.cache)); tracer.close()
"""


def load(where: Path, *, without: bool = False) -> str:
    """Load the program as a collector whose cache is a folder; return what it says: compiled, with bcc, refused."""
    code = LOAD.format(root=str(Path(hooks.__file__).parents[3]), where=str(where), without=without)
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True)
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the first collector says, and the folder where it has kept what it compiled."""
    where = tmp_path_factory.mktemp("first") / "cache"
    return load(where), where


@pytest.fixture
def kept(first: tuple[str, Path], tmp_path: Path) -> Path:
    """A folder of the test's own with what the first collector has kept."""
    return Path(shutil.copytree(first[1], tmp_path / "cache"))


@pytest.mark.parametrize("change", ["none", "damaged", "readable by others"])
def test_bcc_compiles_only_what_is_not_kept(change: str, first: tuple[str, Path], kept: Path) -> None:
    """The second collector takes the program from the cache, unless it was changed: then it is compiled again."""
    (file,) = kept.iterdir()
    if change == "damaged":
        file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    elif change == "readable by others":
        file.chmod(0o644)
    second = load(kept)

    assert first[0] == "True True False"
    assert second == {"none": "False False False"}.get(change, "True True True")


def test_a_machine_without_bcc_uses_what_was_kept(kept: Path) -> None:
    """Once a program is kept bcc is not needed any more, as in an image built without LLVM."""
    assert load(kept, without=True) == "False False False"


def test_an_engine_that_met_skipped_runs_loads_anew(engine_slot: list[BccEngine]) -> None:
    """When the kernel has skipped calls the next trace begins with another collector, which chooses again."""
    engine = BccEngine()
    engine_slot.append(engine)
    engine.open()
    first = engine.collector_pid
    engine._skipping = True
    engine.open()

    assert first is not None
    assert engine.collector_pid not in (first, None)
    engine.close()
    engine_slot.clear()
