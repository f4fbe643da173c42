"""A cluster as people start one: a scheduler, and on each host `dask worker`. The hosts are namespaces of this machine.

Each has a network and a name of its own, and a wire to the scheduler's.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from distributed import Client

from tests.nobody import as_nobody

ROOT: Final = Path(__file__).resolve().parents[2]
_PREFIX: Final = f"ior{os.getpid() % 10_000}"
_numbers = itertools.count(2)


def lacking() -> str:
    """Return what is missing here to have hosts; empty where there is all."""
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    return f"needs {' and '.join(missing)} (apt install iproute2 util-linux)" if missing else ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Cluster:
    """A scheduler, and hosts that come with `add`.

    Args:
        folder: where its processes keep things.
    """

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    client: Client | None = None

    def __enter__(self) -> Cluster:
        self.net = f"10.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}"
        _ip("link", "add", _PREFIX, "type", "bridge")
        _ip("addr", "add", f"{self.net}.1/24", "dev", _PREFIX)
        _ip("link", "set", _PREFIX, "up")
        with socket.socket() as free:
            free.bind((f"{self.net}.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://{self.net}.1:{port}"
        self._start("scheduler", ["--host", f"{self.net}.1", "--port", str(port), "--no-dashboard"], [])
        self.client = Client(self.address, timeout=60)
        return self

    def add(
        self,
        name: str,
        *options: str,
        nobody: bool = False,
        nanny: bool = True,
        beside: subprocess.Popen[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `dask worker` on a new host, or beside another one on its host."""
        number = next(_numbers)
        place = self.folder / f"{name}-{number}"
        place.mkdir(mode=0o777)
        place.chmod(0o777)
        found = [self.address, "--local-directory", str(place), "--no-dashboard", *options]
        if not nanny:
            found.append("--no-nanny")
        if beside is not None:
            host = ["nsenter", "--target", str(beside.pid), "--net", "--uts"]
            return self._start("worker", found, host, nobody=nobody)
        space, outer, inner = f"{_PREFIX}-{number}", f"{_PREFIX}o{number}", f"{_PREFIX}i{number}"
        _ip("netns", "add", space)
        self.namespaces.append(space)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
        _ip("link", "set", outer, "master", _PREFIX, "up")
        _ip("-n", space, "addr", "add", f"{self.net}.{number}/24", "dev", inner)
        _ip("-n", space, "link", "set", inner, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        host = ["ip", "netns", "exec", space, "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name]
        return self._start("worker", [*found, "--host", f"{self.net}.{number}"], host, nobody=nobody)

    def _start(
        self, what: str, options: list[str], host: list[str], *, nobody: bool = False
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, *options]
        if nobody:
            command = as_nobody(*command, capabilities="2")  # to search, as this machine's Python may need it
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "warning"}
        with (self.folder / f"{what}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen([*host, *command], stdout=log, stderr=log, env=environ)
        self.processes.append(process)
        return process

    def wait(self, workers: int) -> Client:
        """Wait for so many workers; return the client."""
        assert self.client is not None
        self.client.wait_for_workers(workers, timeout=60)
        return self.client

    def __exit__(self, *exception: Any) -> None:
        try:
            if self.client is not None:
                self.client.shutdown()
                self.client.close()
        finally:
            for process in self.processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            for space in self.namespaces:
                subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
            subprocess.run(["ip", "link", "del", _PREFIX], check=False, capture_output=True)
