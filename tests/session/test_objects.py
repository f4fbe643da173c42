"""What HTTP libraries are seen to ask for, and what of it is looked at."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import socket
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ior_nb.errors import CollectorDied, ConfigError, LostEventsWarning
from ior_nb.result import tables
from ior_nb.result.objects import Asked, asked_of, pairs_of, summed
from ior_nb.runtime.clock import FOR_EVER, boot_clock
from ior_nb.session.objects import Objects, _watch_aiohttp, ranges_of, spelled
from ior_nb.session.plan import plan
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.fakes import FakeEngine, batch


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers everything; notes what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, self.headers.get("Range"), body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_PUT = do_GET  # noqa: N815 - as its parent calls them

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on loopback whose `seen` is the witness."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        made.seen = []  # type: ignore[attr-defined]
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def objects() -> Iterator[Objects]:
    """A watch that is on."""
    made = Objects()
    made.begin()
    yield made
    made.end()


def asked(objects: Objects) -> dict[str, Asked]:
    """Return all that was asked."""
    return objects.asked(0, FOR_EVER)


def test_a_request_is_seen_without_its_query(server: http.server.ThreadingHTTPServer, objects: Objects) -> None:
    """Host, path, range: what signs it is in the query, and that is dropped."""
    client = http.client.HTTPConnection("127.0.0.1", server.server_port)
    client.request("GET", "/bucket/part-0.parquet?X-Signature=SECRET", headers={"Range": "bytes=10-19"})
    client.getresponse().read()
    client.close()

    name = f"127.0.0.1:{server.server_port}/bucket/part-0.parquet"
    assert asked(objects) == {name: Asked(("GET",), 1, 0, 10, 10)}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("http://store/a?key=secret", "store/a"),
        ("HTTP://me:secret@store:8080/a", "store:8080/a"),
        ("ftp://me:sec@ret@store/a#secret", "store/a"),
        ("http://[::1]:80", "[::1]/"),
        ("/a", "[::1]:3128/a"),
    ],
)
def test_a_proxy_is_asked_for_an_object_of_another_host(objects: Objects, target: str, name: str) -> None:
    """The whole address is the target then: the object is that of its host, without who asks."""
    objects.note(Ends(1, 3128), "::1", 3128, "GET", target, "")

    assert list(asked(objects)) == [name]


def test_a_body_is_no_request(server: http.server.ThreadingHTTPServer, objects: Objects) -> None:
    """One that looks like a request is not looked at: who sends it tells them apart."""
    client = http.client.HTTPConnection("127.0.0.1", server.server_port)
    body = b"GET /forged HTTP/1.1\r\nRange: bytes=0-9\r\n\r\n"
    for form in (body, iter([body])):
        client.request("PUT", "/real", body=form, headers={"Content-Length": str(len(body))})
        client.getresponse().read()
    client.close()

    assert [name.rpartition("/")[2] for name in asked(objects)] == ["real"]
    assert [seen[3] for seen in server.seen] == [body, body]  # type: ignore[attr-defined]


def test_after_the_end_nothing_is_seen(server: http.server.ThreadingHTTPServer) -> None:
    """The hook stays, and tells nobody."""
    objects = Objects()
    objects.begin()
    objects.end()
    client = http.client.HTTPConnection("127.0.0.1", server.server_port)
    client.request("GET", "/x")
    client.getresponse().read()
    client.close()

    assert asked(objects) == {}


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("bytes=0-99", ((0, 100),)),
        ("bytes=5-", ((5, None),)),
        ("bytes=-500", ((None, 500),)),
        ("bytes=0-0, 10-19", ((0, 1), (10, 20))),
        ("", ()),
        ("lines=1-2", ()),
        ("bytes=x-y", ()),
        ("bytes=-", ()),
    ],
)
def test_ranges_are_read_as_servers_read_them(text: str, ranges: object) -> None:
    """What is none asks for the whole object."""
    assert ranges_of(text) == ranges


def test_bytes_asked_for_twice_are_counted_once_among_the_distinct() -> None:
    """Ranges that overlap are joined; an open one, or none, is unknown until it is answered; HEAD asks for no bytes."""
    requests = [("a", "GET", ranges_of(text)) for text in ("bytes=0-99", "bytes=50-149", "bytes=0-99", "bytes=-10")]

    found = summed([*requests, ("a", "HEAD", ()), ("b", "GET", ()), ("b", "GET", ranges_of("bytes=9-"))])

    assert found == {"a": Asked(("GET", "HEAD"), 5, 0, 310, 160), "b": Asked(("GET",), 2, 2, 0, 0)}


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::ffff:127.0.0.1", 80, 0, 0), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1%lo", 80, 0, 3), "[fe80::1%3]:80"),
        ("/run/socket", ""),
    ],
)
def test_addresses_are_spelled_as_in_the_columns(address: object, text: str) -> None:
    """So that requests and rows meet."""
    assert spelled(address) == text


class Ends:
    """A socket's ends."""

    def __init__(self, local: int, peer: int) -> None:
        self.getsockname = lambda: ("127.0.0.1", local)
        self.getpeername = lambda: ("127.0.0.1", peer)


def test_rows_have_what_their_connection_was_asked_for_last(objects: Objects) -> None:
    """By both ends and by time; what came before, what is another connection's or another process's has none."""
    import os

    begin = boot_clock()
    objects.note(Ends(1, 80), "h", 80, "GET", "/one", "")
    between = boot_clock()
    objects.note(Ends(1, 80), "h", 80, "GET", "/two", "")
    me = os.getpid()
    rows = batch(
        time_ns=[begin - 1, between, boot_clock(), boot_clock(), boot_clock(), boot_clock()],
        local=[*["127.0.0.1:1"] * 3, "127.0.0.1:2", "127.0.0.1:1", "127.0.0.1:80"],
        peer=[*["127.0.0.1:80"] * 5, "127.0.0.1:1"],
        pid=[me, me, me, me, me + 1, me],
    )

    assert objects.stamp(rows).text("object").tolist() == ["", "h/one", "h/two", "", "", ""]
    assert objects.stamp(rows[2:]).text("object").tolist() == ["h/two", "", "", ""]
    assert objects.stamp(rows[1:2]).text("object").tolist() == ["h/one"]


def test_what_was_fetched_stands_beside_what_was_asked() -> None:
    """Amplification is known where ranges say how much was wanted."""
    rows = batch(
        syscall=["recvfrom", "recvfrom", "read"],
        object=["h/part", "h/whole", ""],
        bytes=[700, 300, 9],
        latency_ns=[1, 1, 1],
    )

    found = tables.objects(
        rows, summed([("h/part", "GET", ((0, 350),)), ("h/whole", "GET", ()), ("h/none", "HEAD", ())])
    )

    assert found["object"].tolist() == ["h/part", "h/whole", "h/none"]
    assert found["fetched_bytes"].tolist() == [700, 300, 0]
    assert found["amplification"].tolist()[0] == 2.0
    assert np.isnan(found["amplification"].tolist()[1:]).all()


def test_a_recording_says_what_was_asked() -> None:
    """In its footer; what others wrote there is not believed."""
    found = summed([("h/part", "GET", ((0, 350),))])

    assert asked_of(pairs_of(found)) == found
    assert asked_of({"ior_nb.objects": '{"a": [1], "b": 7, "c": ["x", -1, null, 2, 3]}'}) == {
        "c": Asked((), 0, 0, 0, 2)
    }


class Request:
    """What aiohttp's has of it."""

    method = "GET"
    url = types.SimpleNamespace(host="store", port=443, raw_path="/bucket/key")
    headers = types.MappingProxyType({"Range": "bytes=0-9"})

    async def send(self, connection: Any) -> str:
        return "sent"


def test_a_request_of_aiohttp_is_seen_where_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every session, also one made before; afterwards the class is as it was."""
    library = types.ModuleType("aiohttp")
    library.__spec__ = types.SimpleNamespace(name="aiohttp")  # type: ignore[assignment]
    library.ClientRequest = Request  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aiohttp", library)
    before = Request.send
    one, other = socket.socketpair()
    one.close()
    other.close()
    transport = types.SimpleNamespace(get_extra_info=lambda _: Ends(1, 443))
    objects = Objects()
    objects.begin()

    assert asyncio.run(Request().send(types.SimpleNamespace(transport=transport))) == "sent"
    assert asyncio.run(Request().send(None)) == "sent"  # whatever happens to us, it is sent

    objects.end()
    assert asked(objects) == {"store/bucket/key": Asked(("GET",), 1, 0, 10, 10)}
    assert Request.send is before


def test_a_trace_that_ends_before_another_is_told_of_no_more_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which they end, and the requests of both are sent."""
    library = types.ModuleType("aiohttp")
    library.__spec__ = types.SimpleNamespace(name="aiohttp")  # type: ignore[assignment]
    library.ClientRequest = Request  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aiohttp", library)
    monkeypatch.setattr(Request, "send", Request.send)  # as it is afterwards
    told: dict[str, list[Any]] = {"first": [], "second": []}
    (first,) = _watch_aiohttp(lambda *asked: told["first"].append(asked))
    (second,) = _watch_aiohttp(lambda *asked: told["second"].append(asked))
    transport = types.SimpleNamespace(get_extra_info=lambda name: name)
    for stop in (first, second):
        assert asyncio.run(Request().send(types.SimpleNamespace(transport=transport))) == "sent"
        stop()
    assert asyncio.run(Request().send(None)) == "sent"

    assert [len(asked) for asked in told.values()] == [1, 2]


def test_a_window_keeps_what_was_asked_when_its_engine_fails(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for while a window was open is in its trace, also when the engine gives no books at its end."""
    engine = FakeEngine()

    def fail() -> dict[str, int]:
        raise CollectorDied("the collector has ended")

    with TracerSession(engine=engine) as session:
        window = trace(objects=True, session=session)
        with trace(objects=True, session=session):
            inner = window.__enter__()
            connection = http.client.HTTPConnection(*server.server_address)
            connection.request("GET", "/one")
            connection.getresponse().read()
            connection.close()
            monkeypatch.setattr(engine, "flush", fail)
            with pytest.warns(LostEventsWarning):
                window.end()

    assert [name.rpartition("/")[2] for name in inner.asked] == ["one"]


def test_objects_are_those_of_this_process() -> None:
    """Nothing tells what another one asks for, and that is said before anything starts."""
    with pytest.raises(ConfigError, match="a trace by command"):
        plan(objects=True, command=["true"])
