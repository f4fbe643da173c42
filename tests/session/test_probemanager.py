from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ior_nb.errors import ConfigError, SessionClosed, SourceError
from ior_nb.session.probemanager import Manager
from ior_nb.syscalls import BY_NAME, FAMILIES, SYSCALLS

READ, WRITE = BY_NAME["read"].number, BY_NAME["write"].number


class Engine:
    """Remembers what it was told; refuses when asked to."""

    def __init__(self) -> None:
        self.told: list[tuple[frozenset[int], dict[int, int]]] = []
        self.refuse = False

    def __call__(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        if self.refuse:
            raise SourceError("the collector is gone")
        self.told.append((enabled, dict(rates)))


def test_a_toggle_is_one_write_of_the_whole_choice() -> None:
    """Switching a probe off and on again tells the engine twice, and ends where it began."""
    engine = Engine()
    manager = Manager({READ, WRITE}, {}, engine)
    manager.toggle("read")
    manager.toggle("read")

    assert [enabled for enabled, _ in engine.told] == [{WRITE}, {READ, WRITE}]
    assert manager.active_count() == (2, len(SYSCALLS))


def test_states_are_complete_and_sorted() -> None:
    """Every syscall has a state, by name; aliases are understood."""
    manager = Manager({READ}, {READ: 10}, Engine())
    states = {s.syscall: s for s in manager.states()}

    assert [s.syscall for s in manager.states()] == sorted(c.name for c in SYSCALLS)
    assert (states["read"].active, states["read"].rate, states["write"].active) == (True, 10, False)
    manager.toggle("fstat")
    assert manager.enabled == {READ, BY_NAME["newfstat"].number}


def test_families_are_switched_whole() -> None:
    """A family on and off changes exactly its members; all families are listed, the empty ones too."""
    manager = Manager(set(), {}, Engine())
    manager.set_family("time", active=True)
    found = {f.family: f for f in manager.families()}

    assert list(found) == list(FAMILIES)
    assert found["Time"].active == found["Time"].total > 0
    assert found["FS"].active == 0
    manager.set_family("Time", active=False)
    assert manager.enabled == frozenset()


def test_calls_the_engine_has_not_are_not_there() -> None:
    """What another architecture has is no probe here: neither listed nor counted, and asking is a mistake."""
    engine = Engine()
    here = [call for call in SYSCALLS if call.name != "open"]
    manager = Manager({READ}, {}, engine, here)
    with pytest.raises(ConfigError, match="this machine has no open: "):
        manager.set_active(["read", "open"], active=True)
    manager.set_active([call.name for call in here], active=True)
    manager.set_family("FS", active=False)
    found = {f.family: f for f in manager.families()}

    assert "open" not in [s.syscall for s in manager.states()]
    assert manager.active_count()[1] == len(SYSCALLS) - 1
    assert found["FS"].total == sum(call.family == "FS" for call in here)
    assert [BY_NAME["open"].number in enabled for enabled, _ in engine.told] == [False, False]


def test_rates_of_a_family_and_of_one_call() -> None:
    """A rate goes to one call or to a whole family."""
    engine = Engine()
    manager = Manager({READ}, {}, engine)
    manager.set_rate("FS", 100)
    manager.set_rate("read", 0)

    assert engine.told[-1][1][READ] == 0
    assert engine.told[-1][1][WRITE] == 100


def test_a_refused_change_changes_nothing_and_its_error_stays_at_the_probe() -> None:
    """The state is as before, the probe shows the error until the next change succeeds."""
    engine = Engine()
    manager = Manager({READ}, {}, engine)
    engine.refuse = True
    with pytest.raises(SourceError):
        manager.toggle("read")
    states = {s.syscall: s for s in manager.states()}

    assert states["read"].active
    assert states["read"].error == "the collector is gone"
    assert states["write"].error == ""
    engine.refuse = False
    manager.toggle("read")
    assert {s.syscall: s for s in manager.states()}["read"].error == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.toggle("opneat"),
        lambda m: m.set_family("Nonsense", active=True),
        lambda m: m.set_rate("nothing", 1),
        lambda m: m.set_rate("read", -1),
    ],
    ids=["toggle", "family", "rate", "negative"],
)
def test_unknown_names_and_rates_are_refused(change: Callable[[Manager], None]) -> None:
    """What nobody knows is a mistake, and nothing is told to the engine."""
    engine = Engine()
    manager = Manager({READ}, {}, engine)
    with pytest.raises(ConfigError):
        change(manager)

    assert engine.told == []


def test_a_number_is_no_name() -> None:
    """What is no text cannot be a system call, and is refused as such."""
    with pytest.raises(ConfigError, match="by its name"):
        Manager({READ}, {}, Engine()).toggle(READ)  # type: ignore[arg-type]


def test_a_closed_manager_refuses_changes_and_has_nothing_on() -> None:
    """After the run has ended no probe is on, and none can be switched."""
    manager = Manager({READ}, {}, Engine())
    manager.close()
    manager.close()

    with pytest.raises(SessionClosed):
        manager.toggle("read")
    assert manager.active_count()[0] == 0
    assert not any(state.active for state in manager.states())


def test_changes_from_many_threads_all_count() -> None:
    """Toggles of different probes at the same time do not lose each other."""
    manager = Manager(set(), {}, Engine())
    names = [c.name for c in SYSCALLS[:64]]
    threads = [threading.Thread(target=manager.toggle, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(manager.enabled) == 64
