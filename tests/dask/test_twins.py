"""Hosts that are called the same, in whose containers processes have the same numbers, are several all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

import ior_nb.dask
from ior_nb.dask import places

pytestmark = [
    # What Dask and Tornado leave to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).resolve().parents[2]
IN_A_CONTAINER = """
import os
from ior_nb.dask import places
namespace = os.urandom(8).hex()
places.machine = lambda: f"boot pid:[{namespace}]"
os.getpid = lambda: 1
"""
ADA, ITS_TWIN, BOB = (f"{host} boot pid:[{space}]" for host, space in (("ada", 1), ("ada", 2), ("bob", 3)))


def test_containers_with_the_network_of_their_host_are_traced_each(tmp_path: Path) -> None:
    """Each has its rows, its tasks and its sums, though all say the same name and the same number of a process."""
    (tmp_path / "container.py").write_text(IN_A_CONTAINER)
    words = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--preload", str(tmp_path / "container.py")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "critical"}
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        command = [sys.executable, "-m", "dask", "worker", cluster.scheduler_address, *words, "--local-directory"]
        started = [
            subprocess.Popen([*command, str(tmp_path / name)], env=environ, stderr=subprocess.DEVNULL)
            for name in ("one", "two")
        ]
        try:
            client.wait_for_workers(2, timeout=30)
            with ior_nb.dask.trace(client, tmp_path / "trace", engine="demo") as run:
                client.gather(client.map(pow, range(23), [2] * 23, pure=False))
                board = run.dashboard()
            shown = board.runtime.control.state()
            board.close()
        finally:
            for process in started:
                process.terminate()
                process.wait(30)

    assert [(one.pid, one.problem) for one in run.hosts] == [(1, ""), (1, "")]
    assert sum(one.tasks for one in run.hosts) == 23
    assert len({one.path for one in run.hosts}) == len(shown.hosts) == 2
    assert len(run.trace()) == sum(one.rows for one in run.hosts)
    assert shown.completeness.accounting == run.accounting


def test_a_collector_is_called_by_its_host_and_by_more_where_that_is_not_enough() -> None:
    """Those that came with the trace keep their names, whoever comes later."""
    first = [(ADA, 1), (BOB, 7)]

    assert [places.called(one, first, [(BOB, 8)]) for one in first] == ["ada", "bob"]
    assert places.called((BOB, 8), first, [(BOB, 8)]) == "bob-8"
    twins = {places.called(one, [(ADA, 1), (ITS_TWIN, 1)]) for one in [(ADA, 1), (ITS_TWIN, 1)]}
    assert len(twins) == 2
    assert all(name.startswith("ada-1-") for name in twins)


def test_the_file_of_a_host_says_more_where_others_may_be_called_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """So no recording takes the place of another: not of a twin's, nor of one that came as late."""
    monkeypatch.setattr("platform.node", lambda: "ada")
    monkeypatch.setattr(places, "place", lambda: ADA)
    pid = os.getpid()
    long = places.file_name([ADA, ITS_TWIN])

    assert places.file_name([ADA, BOB]) == f"ada-{pid}.parquet"
    assert places.file_name([BOB]) == long
    assert long.startswith(f"ada-{pid}-")
    monkeypatch.setattr(places, "place", lambda: ITS_TWIN)
    assert places.file_name([ADA, ITS_TWIN]) not in (long, f"ada-{pid}.parquet")
