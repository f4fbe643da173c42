"""Objects of a store beside the bytes that came for them: the log of the server is the witness."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace

SIZE = 2_000_000
SERVER = f"""
import http.server, re, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def answer(self, body):
        asked = re.match(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
        a, b = (int(asked[1]), min(int(asked[2] or {SIZE} - 1), {SIZE} - 1)) if asked else (0, {SIZE} - 1)
        path, size = self.path.partition("?")[0], b - a + 1 if body else 0
        print(self.command, path, asked[0] if asked else "-", size, flush=True)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {{a}}-{{b}}/{SIZE}")
        self.send_header("Content-Length", str(b - a + 1))
        self.end_headers()
        if body: self.wfile.write(b"x" * (b - a + 1))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass
class Store:
    """The server, in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> list[tuple[str, str, str, int]]:
        """End it; return method, path, range and size of the body of each answer."""
        self.process.terminate()
        lines = (line.split() for line in self.process.communicate()[0].splitlines())
        return [(method, path, asked, int(size)) for method, path, asked, size in lines]


@pytest.fixture
def store() -> Iterator[Store]:
    """A store with any object one asks for."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Store(process, int(process.stdout.readline()))
        process.kill()


def compared(found: Trace, store: Store) -> None:
    """Hold what was seen against the log of the server."""
    log = store.log()
    table = found.objects().set_index("object")
    for path in {path for _, path, _, _ in log}:
        row = table.loc[f"127.0.0.1:{store.port}{path}"]
        mine = [entry for entry in log if entry[1] == path]
        bodies = sum(size for *_, size in mine)
        assert row.requests == len(mine)
        assert row.whole == sum(method == "GET" and asked == "-" for method, _, asked, _ in mine)
        assert bodies <= row.fetched_bytes <= bodies + 400 * len(mine)
    assert len(table) == len({path for _, path, _, _ in log})
    assert "SECRET" not in str(table.index) + str(found.metadata())


def test_objects_of_requests_are_those_the_server_was_asked_for(session: TracerSession, store: Store) -> None:
    """Three parts by one connection, one of them twice, and a whole object by another."""
    requests = importlib.import_module("requests")
    with ior_trace(session=session, objects=True) as t, requests.Session() as one:
        for part, (first, last) in enumerate([(0, 499_999), (1000, 500_999), (1000, 500_999)]):
            headers = {"Range": f"bytes={first}-{last}"}
            one.get(f"{store.url}/bucket/part-{min(part, 1)}?signature=SECRET", headers=headers)
        requests.get(f"{store.url}/whole")

    table = t.objects().set_index("object")
    twice = table.loc[f"127.0.0.1:{store.port}/bucket/part-1"]
    assert (twice.requests, twice.asked_bytes, twice.distinct_bytes) == (2, 1_000_000, 500_000)
    assert 2.0 <= twice.amplification < 2.01
    assert set(t.filter("object~part-0").df()["peer"]) == {f"127.0.0.1:{store.port}"}
    compared(t, store)


def test_objects_of_fsspec_are_those_the_server_was_asked_for(session: TracerSession, store: Store) -> None:
    """What it reads ahead is fetched, and was asked for by it, not by its user."""
    pytest.importorskip("aiohttp")
    fsspec = pytest.importorskip("fsspec")

    def read() -> None:
        files = fsspec.filesystem("http", skip_instance_cache=True)
        for part in range(2):
            with files.open(f"{store.url}/bucket/part-{part}", block_size=300_000) as file:
                file.seek(1000)
                file.read(400_000)

    with ior_trace(session=session, objects=True) as t:
        read()

    compared(t, store)
    gc.collect()  # its thread closes the connections: now, or some time in the trace of another test


def test_without_asking_nothing_is_watched(session: TracerSession, store: Store) -> None:
    """No hook, no object, and the peer all the same."""
    connection = importlib.import_module("http.client").HTTPConnection("127.0.0.1", store.port)
    with ior_trace(session=session) as t:
        connection.request("GET", "/x")
        connection.getresponse().read()
    connection.close()

    assert len(t.objects()) == 0
    assert f"127.0.0.1:{store.port}" in set(t.df()["peer"])
