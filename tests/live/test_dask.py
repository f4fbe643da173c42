"""A cluster of two hosts, traced as a whole: a job, a worker that is killed, a host without rights, a host alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.dataframe
import pytest
from distributed import Client

import ior_nb.dask
from ior_nb.errors import IorWarning
from tests.live import cluster as hosts
from tests.live.cluster import Cluster
from tests.live.dask_tasks import die_once, on_the_loop, size_of

pytestmark = [
    pytest.mark.timeout(150),
    # What Dask and Tornado leave to the garbage collector when a client goes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TABLES = 23


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all hosts have, with the tables to read."""
    made = tmp_path_factory.mktemp("cluster")
    for number in range(TABLES):
        (made / f"part-{number:02}.csv").write_text("k,v\n" + "".join(f"{i % 11},{i * number}\n" for i in range(211)))
    return made


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler and two hosts: one with two workers, the other with one, whose worker has no nanny."""
    if reason := hosts.lacking():
        pytest.skip(reason)
    with Cluster(folder) as made:
        made.add("node-a", "--nworkers", "2", "--nthreads", "2")
        made.add("node-b", "--nthreads", "2", nanny=False)
        yield made


@pytest.fixture
def client(cluster: Cluster) -> Client:
    """The client, when all workers are there."""
    return cluster.wait(3)


def read_and_write(folder: Path, target: Path) -> None:
    """A job: tables in, a shuffle, Parquet out."""
    frame: Any = dask.dataframe.read_csv(str(folder / "part-*.csv"))
    frame.shuffle("k", npartitions=5).to_parquet(str(target), write_index=False)


def test_every_table_has_its_task(client: Client, folder: Path, tmp_path: Path) -> None:
    """Each is read by a task of its own, by a worker there is; the rows seen are the sum of the hosts'."""
    with ior_nb.dask.trace(client, tmp_path / "trace") as run:
        read_and_write(folder, tmp_path / "out")
    rows = run.trace().df()
    tables = rows[rows["file"].str.contains("/part-") & (rows["syscall"] == "read")]

    assert {host.host for host in run.hosts} == {"node-a", "node-b"}
    assert run.problems == {}
    assert tables["file"].nunique() == tables["task"].nunique() == TABLES
    assert set(tables["task_prefix"]) == {"read_csv"} or all("read" in prefix for prefix in tables["task_prefix"])
    assert run.accounting.complete
    assert run.trace().accounting.seen == run.accounting.seen == sum(host.accounting.seen for host in run.hosts)
    assert len(rows) == sum(host.rows for host in run.hosts)
    assert all(0 <= host.clock_error_ns < 10**9 for host in run.hosts)
    assert set(tables["worker"]) <= set(client.scheduler_info(n_workers=-1)["workers"])
    assert len(run.frame()) == len(rows)


def test_a_worker_that_is_killed_goes_on_in_its_successor(client: Client, folder: Path, tmp_path: Path) -> None:
    """What the killed worker did has its task, and so has what the one does that is started in its place."""
    table = tmp_path / "table.csv"
    table.write_text("k,v\n1,2\n")
    address = next(a for a, about in client.scheduler_info(n_workers=-1)["workers"].items() if about["nanny"])
    with ior_nb.dask.trace(client, tmp_path / "trace") as run:
        task = client.submit(die_once, str(table), workers=[address.rpartition(":")[0].removeprefix("tcp://")])
        done = task.result(timeout=60)
    rows = run.trace().df()
    reads = rows[(rows["file"] == str(table)) & (rows["syscall"] == "read")]

    assert done == len("1,2\n")
    assert set(reads["task"]) == {task.key}
    assert reads["pid"].nunique() == 2
    assert set(reads["label"]) == {"mortal"}
    assert reads["worker"].nunique() == 2
    assert run.accounting.complete


def test_tasks_whose_calls_are_nobodys_are_named(client: Client, tmp_path: Path) -> None:
    """A coroutine runs on the event loop: its name is told, and what ran in a thread has its rows."""
    with ior_nb.dask.trace(client, tmp_path / "trace") as run:
        task: Any = client.submit(on_the_loop)
        task.result(timeout=60)

    assert task.key in [name for host in run.hosts for name in host.unstamped]
    assert "not told apart" in "\n".join(run.lines())


CLIENT = """
import sys
from distributed import Client
import ior_nb.dask
from tests.live.dask_tasks import Actor, label_a_program, label_it, size_of

address, folder, *paths = sys.argv[1:]
client = Client(address)
hosts = {worker.rpartition(":")[0]: worker for worker in client.scheduler_info(n_workers=-1)["workers"]}
with ior_nb.dask.trace(client, folder) as run:
    client.gather(client.map(label_it, paths[:-5]))
    client.submit(label_a_program, paths[-5]).result()
    actor = client.submit(Actor, actor=True).result()
    actor.begin(paths[-4]).result(), actor.end(paths[-4]).result()
    with ior_nb.label("of a thread"):
        client.submit(size_of, paths[-3]).result()
    with ior_nb.label("epoch", shared=True):
        client.gather([client.submit(label_it, paths[-2], pure=False, workers=[one]) for one in hosts.values()])
    client.submit(ior_nb.label("sent")(size_of), paths[-1]).result()
counted = run.trace().labels().set_index("label")["calls"].to_dict()
assert counted == run.frame().groupby("label").seq.count().compute().to_dict()
assert counted == run.sql("SELECT label, count(*) AS n FROM trace GROUP BY ALL").set_index("label")["n"].to_dict()
client.close()
"""


def test_labels_are_those_of_tasks_below_what_a_client_elsewhere_shares(
    cluster: Cluster, client: Client, folder: Path, tmp_path: Path
) -> None:
    """On each host: nested, of programs, of actors, sent along; above is what the client shares, and no more of it."""
    paths = sorted(map(str, folder.glob("part-*.csv")))
    command = [sys.executable, "-W", "ignore", "-c", CLIENT, cluster.address, str(tmp_path / "trace"), *paths]
    subprocess.run(command, check=True, cwd=hosts.ROOT)
    trace = ior_nb.load(tmp_path / "trace")
    rows = trace.df()
    reads = rows[rows["file"].isin(paths) & (rows["syscall"] == "read") & (rows["bytes"] > 0)]
    labels = reads.groupby("file", observed=True)["label"].agg(lambda found: sorted(set(found)))

    *many, of_program, of_actor, of_thread, shared, sent = paths
    assert {path: labels[path] for path in many} == {path: [f"task/{Path(path).name}"] for path in many}
    assert [labels[path] for path in (of_program, of_actor, of_thread, sent)] == [
        ["program"],
        ["actor"],
        [""],
        ["sent"],
    ]
    assert labels[shared] == [f"epoch/task/{Path(shared).name}"]
    assert set(reads[reads["file"] == shared]["host"]) == {"node-a", "node-b"}
    assert set(labels.sum()) - {""} <= set(trace.labels()["label"])


def test_a_host_without_rights_is_told_and_the_others_are_traced(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    """A warning names the host and the reason; the folder has what the others did, fetched where it is not theirs."""
    name = "nobody"
    cluster.add("node-c", "--nthreads", "1", "--name", name, nobody=True)
    client = cluster.wait(4)
    elsewhere = tmp_path / "trace"
    try:
        with (
            pytest.warns(IorWarning, match="node-c") as told,
            ior_nb.dask.trace(client, elsewhere, engine="bcc") as run,
        ):
            client.gather(client.map(size_of, sorted(map(str, folder.glob("*.csv"))), pure=False))
    finally:
        client.retire_workers(names=[name], close_workers=True)

    assert {warning.filename for warning in told if warning.category is IorWarning} == {__file__}
    assert run.problems.keys() == {"node-c"}
    assert "CAP_BPF" in run.problems["node-c"]
    assert run.lines()[-1].startswith("all hosts but node-c: complete")
    assert {path.name.rpartition("-")[0] for path in elsewhere.iterdir()} == {"node-a", "node-b"}
    assert run.trace().accounting.complete


def test_a_host_that_is_retired_in_the_middle_has_its_tasks(cluster: Cluster, folder: Path, tmp_path: Path) -> None:
    """Its nanny ends the trace before it goes, and what it recorded is there with the others."""
    process = cluster.add("node-d", "--nthreads", "1", "--name", "retired")
    client = cluster.wait(4)
    paths = sorted(map(str, folder.glob("*.csv")))
    address = next(a for a, one in client.scheduler_info(n_workers=-1)["workers"].items() if one["id"] == "retired")
    with ior_nb.dask.trace(client, tmp_path / "trace") as run:
        tasks = client.map(size_of, paths, pure=False, workers=[address])
        client.gather(tasks)
        keys = {task.key for task in tasks}
        del tasks
        client.retire_workers([address], close_workers=True)
        process.wait(60)
    rows = run.trace(filter="host=node-d and file=*.csv").df()

    assert run.problems == {}
    assert set(rows["task"]) == keys
    assert "node-d" in next(line for line in run.lines() if "left before the trace ended" in line)


def test_a_host_that_is_killed_is_told_and_the_others_are_there(cluster: Cluster, folder: Path, tmp_path: Path) -> None:
    """The scheduler knows that it is gone: nobody waits for a connection to it."""
    process = cluster.add("node-e", "--nthreads", "1", "--name", "killed")
    client = cluster.wait(4)
    run = ior_nb.dask.trace(client, tmp_path / "trace").__enter__()
    client.gather(client.map(size_of, sorted(map(str, folder.glob("*.csv"))), pure=False))
    process.kill()
    process.wait()
    with pytest.warns(IorWarning, match="node-e"):
        run.__exit__(None, None, None)

    assert run.problems.keys() == {"node-e"}
    assert "its process is gone" in run.problems["node-e"]
    assert {one.host for one in run.hosts if one.rows} == {"node-a", "node-b"}
    shutil.rmtree(next(one.spools for one in run.hosts if one.problem))


def test_another_process_of_a_host_goes_on_when_the_one_that_traced_has_left(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    """Retired or killed: the next one traces the others, and says how long nobody did; their tasks have their rows."""
    paths = sorted(map(str, folder.glob("*.csv")))
    processes = [cluster.add("node-f", "--nthreads", "1", "--name", "f-0", nanny=False)]
    cluster.wait(4)
    processes += [
        cluster.add("node-f", "--nthreads", "1", "--name", f"f-{number}", nanny=False, beside=processes[0])
        for number in (1, 2)
    ]
    client = cluster.wait(6)
    run = ior_nb.dask.trace(client, tmp_path / "trace").__enter__()
    known = client.scheduler_info(n_workers=-1)["workers"]
    pids = client.run(os.getpid)
    there = {pids[address]: address for address, one in known.items() if str(one["id"]).startswith("f-")}
    keys: list[set[str]] = []

    def read() -> None:
        tasks = client.map(size_of, paths, pure=False, workers=list(there.values()))
        client.gather(tasks)
        keys.append({str(task.key) for task in tasks})

    def goes_on(after: int) -> int:
        """Wait until another process has gone on; return which."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for one in run._later.values():
                if one.report.after == after:
                    return one.report.pid
            time.sleep(0.05)
        raise AssertionError("nobody goes on")

    first = next(one.pid for one in run.hosts if one.host == "node-f")
    read()
    while not client.retire_workers([there[first]], close_workers=True):
        time.sleep(0.05)
    second = goes_on(first)
    del there[first]
    read()
    next(process for process in processes if process.pid == second).kill()
    third = goes_on(second)
    del there[second]
    read()
    with pytest.warns(IorWarning, match=f"nobody ended its trace.*; process {third} went on"):
        run.__exit__(None, None, None)
    client.retire_workers(list(there.values()), close_workers=True)
    rows = run.trace(filter="host=node-f and file=*.csv").df()
    lines = [line for line in run.lines() if line.startswith("node-f")]

    assert {*there} == {third}
    assert set(rows["task"]) == keys[0] | keys[2]
    assert set(rows[rows["task"].isin(keys[2])]["pid"]) == {third}
    assert [one.tasks for one in run.hosts if one.host == "node-f" and not one.problem] == [len(paths)] * 2
    assert any(f"left before the trace ended, and process {second} went on" in line for line in lines)
    assert not any(Path(one.spools).exists() for one in run.hosts)


def test_the_dashboard_adds_the_hosts_up(client: Client, folder: Path, tmp_path: Path) -> None:
    """What it shows of all is the sum of what it shows of each, and in the end of all rows; hosts send sums alone."""
    with ior_nb.dask.trace(client, tmp_path / "trace") as run:
        client.gather(client.map(size_of, sorted(map(str, folder.glob("*.csv"))), pure=False))
        board = run.dashboard()
        found = {}
        for host in ("", "node-a", "node-b"):
            board.runtime.control.choose(host)
            source = board.runtime.statistics()
            assert source is not None
            found[host] = source.snapshot()
        board.runtime.control.choose("")
    state, all_hosts = board.runtime.control.state(), board.runtime.statistics()
    assert all_hosts is not None
    at_its_end = all_hosts.snapshot()
    board.close()

    assert all(found.values())
    calls = {host: shown.calls for host, shown in found.items() if shown is not None}
    assert calls[""] == calls["node-a"] + calls["node-b"]
    assert min(calls.values()) > 0
    assert at_its_end is not None
    assert at_its_end.calls == len(run.trace()) == state.completeness.accounting.seen
