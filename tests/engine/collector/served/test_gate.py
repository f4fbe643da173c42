"""What a client of the service may ask for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.__main__ import Refused
from ior_nb.engine.collector.filters import filter_row
from ior_nb.engine.collector.served.gate import Gate, Limits, Pace
from ior_nb.engine.collector.served.peer import Peer

ME, OTHER = 1234, 4321
LIMITS = Limits()
SCOPE: dict[str, Any] = {
    "mode": "pids",
    "pids": [70],
    "follow": True,
    "tid": 0,
    "uid": 0,
    "cgroup": 0,
    "at_exec": False,
}
START: dict[str, Any] = {
    "verb": "start",
    "scope": SCOPE,
    "enabled": [0, 1],
    "rates": {"0": 10},
    "owner": 1,
    "ignore_tids": [5],
    "ignore_pids": [6],
    "hurry": [1],
    "filter": {},
    "generation": 3,
    "waits": False,
    "stacks": 32,
    "programs": ["/etc/shadow"],
    "counter": [1, 2],
}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc in which 70 has one user, and 71 another effective one."""
    me = os.getuid()
    for pid, ids in {70: [me] * 4, 71: [me, me + 1, me, me], 72: [me + 1] * 4, 73: [me, me, me + 1, me]}.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text("Name:\tUid: 0\nUid:\t" + "\t".join(map(str, ids)) + "\n")
    return tmp_path


def gate(uid: int, proc: Path = Path("/nonexistent"), said: list[tuple[str, dict[str, Any]]] | None = None) -> Gate:
    """Return the gate of a user."""

    def audit(what: str, **about: Any) -> None:
        if said is not None:
            said.append((what, about))

    return Gate(Peer(70, uid, -1, "test"), LIMITS, audit, proc=proc)


def mine(proc: Path) -> int:
    """Return the user to whom the folders belong; root would be let through."""
    return proc.stat().st_uid


def with_scope(**changes: Any) -> dict[str, Any]:
    """Return a request to start with another scope."""
    return START | {"scope": SCOPE | changes}


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ({"mode": "all"}, "the whole machine is for root alone"),
        ({"mode": "cgroup", "cgroup": 1}, "control groups are for root alone"),
        ({"mode": "uid", "uid": OTHER}, "another one than you"),
        ({"mode": "uid", "uid": 0}, "another one than you"),
        ({"pids": [1]}, "process 1 is gone, not yours"),
    ],
)
def test_what_is_not_a_users_own_is_refused(scope: dict[str, Any], why: str) -> None:
    """The whole machine, control groups, other users and their processes are refused, with the reason."""
    with pytest.raises(Refused, match=why) as refused:
        gate(ME).request(with_scope(**scope))

    assert refused.value.kind == "PermissionDenied"


@pytest.mark.parametrize("scope", [{"mode": "all"}, {"mode": "cgroup", "cgroup": 1}, {"mode": "uid", "uid": OTHER}])
def test_root_may_see_all(scope: dict[str, Any]) -> None:
    """To root nothing of the machine is refused."""
    assert gate(0).request(with_scope(**scope))["scope"]["mode"] == scope["mode"]


def test_a_user_may_trace_himself() -> None:
    """By his own number."""
    assert gate(ME).request(with_scope(mode="uid", uid=ME, pids=[]))["scope"]["uid"] == ME


@pytest.mark.parametrize("pid", [71, 72, 73, 74])
def test_a_process_with_any_other_id_is_refused(pid: int, proc: Path) -> None:
    """Real, effective, saved: one that is another's makes it another's; so does its end."""
    user = gate(mine(proc), proc)

    assert user._may_see(70)
    assert not user._may_see(pid)


def test_a_process_whose_folder_is_anothers_is_refused(proc: Path) -> None:
    """The kernel gives the folder of an undumpable process to root."""
    (proc / "70" / "status").write_text(f"Uid:\t{ME}\t{ME}\t{ME}\t{ME}\n")

    assert not gate(ME, proc)._may_see(70)


def test_rights_of_the_service_are_not_lent() -> None:
    """Nothing is read by name or address, no thread hurried, no other's bytes believed; sizes are the service's."""
    start = gate(0).request(START)
    load = gate(0).request(
        {"verb": "load", "event_bytes": 1 << 40, "name_bytes": 3, "buffer_bytes": 1 << 60, "way": "x"}
    )

    assert not {"hurry", "programs", "counter", "stacks"} & start.keys()
    assert start["owner"] == 70
    assert load["buffer_bytes"] == LIMITS.buffer
    assert "way" not in load


def test_together_a_users_clients_take_no_more_than_he_may() -> None:
    """The part of each, times how many there may be."""
    ring = 24 << 20

    assert LIMITS.clients * (LIMITS.buffer + ring) <= LIMITS.memory
    assert LIMITS.clients * LIMITS.pace <= LIMITS.requests


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": [512]},
        {"enabled": [True]},
        {"enabled": [-1]},
        {"enabled": [1.0]},
        {"enabled": "01"},
        {"enabled": [0] * 5000},
        {"rates": {"512": 1}},
        {"rates": {"0": -1}},
        {"rates": {"٣": 1}},
        {"rates": [1]},
        {"generation": 256},
        {"filter": {"comm": "zz" * 16}},
        {"filter": {"comm": "00"}},
        {"filter": {"latency_min": 1 << 64}},
        {"filter": {"calls": [600]}},
        {"filter": {"shell": "rm"}},
        {"waits": 1},
        {"ignore_tids": [1 << 32]},
        {"scope": None},
        {"scope": {"mode": "none"}},
        {"scope": SCOPE | {"mode": "pids", "pids": []}},
        {"scope": SCOPE | {"more": 1}},
        {"shell": "rm"},
        {"verb": "trial"},
        {"verb": "lines"},
        {"verb": "_do_start"},
        {"verb": "__class__"},
        {"verb": ["start"]},
        {"verb": None},
    ],
    ids=str,
)
def test_what_is_no_request_is_refused(change: dict[str, Any]) -> None:
    """Values of other types, beyond their bounds, under other names: each is a refusal that says what."""
    with pytest.raises(Refused) as refused:
        gate(0).request(START | change)

    assert refused.value.kind == "ConfigError"
    assert str(refused.value).isascii()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([*START, *SCOPE, "calls", "comm", "counters", "id", "0", "600"])


@settings(max_examples=400)
@given(
    st.sampled_from(["load", "start", "specs", "filter", "flush", "alive", "stop", "trial", "close"]),
    st.dictionaries(NAMES, ANYTHING, max_size=5),
    st.dictionaries(NAMES, ANYTHING, max_size=3),
)
def test_whatever_is_asked_is_a_checked_request_or_a_refusal(
    verb: str, fields: dict[str, Any], scope: dict[str, Any]
) -> None:
    """What passes has no other names than known ones, and a collector's tables take it."""
    try:
        request = gate(ME).request(START | {"scope": SCOPE | scope} | fields | {"verb": verb})
    except Refused:
        return

    assert request["verb"] == verb
    assert request.keys() <= START.keys() | {"counters", "event_bytes", "name_bytes", "buffer_bytes"}
    assert "filter" not in request or filter_row(request["filter"], request["generation"])
    assert all(0 <= int(n) < wire.SPECS and r >= 0 for n, r in request.get("rates", {}).items())
    assert verb != "start" or (request["scope"]["mode"], request["scope"]["uid"]) == ("uid", ME)
    json.dumps(request)


def test_a_trace_is_written_down_with_its_end() -> None:
    """Whom it was of, and how much was seen."""
    said: list[tuple[str, dict[str, Any]]] = []
    user = gate(ME, said=said)
    user.done(user.request(with_scope(mode="uid", uid=ME, pids=[])), {})
    user.done({"verb": "stop"}, {"totals": {"seen": 7, "emitted": 6, "hidden": 1, "lost_ring": 0}})

    assert said == [
        ("traces", {"scope": {"mode": "uid", "follow": True, "uid": ME}, "calls": 2}),
        ("ends its trace", {"seen": 7, "emitted": 6, "hidden": 1}),
    ]


def test_who_asks_too_fast_waits() -> None:
    """A bucket that was overdrawn has to be filled first."""
    now = [0.0]
    pace = Pace(10, 5, lambda: now[0])
    for _ in range(8):
        pace.take()

    assert pace.wait() == pytest.approx(0.4)
    now[0] += 0.5
    assert pace.wait() == 0.0
