"""What the HTTP connections write down, and what they find: over real sockets, with and without TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from bclust.functions import wire
from udfs._wire import Pools, _Shown, response_in

BODY = b'{"answer": "' + b"x" * 300_000 + b'"}'


class Notes:
    """A ``Wire`` that remembers."""

    def __init__(self, earlier: dict[str, list[bytes]] | None = None) -> None:
        self.earlier = earlier or {}
        self.read: dict[str, bytes] = {}
        self.used: list[bytes] = []

    def found(self, request: str) -> list[bytes]:
        return self.earlier.get(request, [])

    def use(self, data: bytes) -> None:
        self.used.append(data)

    def reader(self, request: str) -> Any:
        def write(data: bytes) -> None:
            self.read[request] = self.read.get(request, b"") + data

        return write


class Server:
    """One that says BODY, in pieces, as often as it is asked."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.asked = 0
        self._context = context
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://localhost:{self.port}/v1"

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
                asked = await reader.readexactly(size)
                self.asked += 1
                status = b"500 Oh" if b"fail" in asked else b"200 OK"
                writer.write(
                    b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n" % len(BODY)
                )
                writer.write(BODY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Server, ssl.SSLContext]]:
    client = ssl.create_default_context()
    context = None
    if request.param == "tls":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        authority.configure_trust(client)
    running = Server(context)
    yield running, client
    running.stop()


def ask(url: str, certificates: ssl.SSLContext, notes: list[Notes], content: bytes = b'{"q": 1}') -> list[httpx2.Response]:
    """One request after the other, over connections that are kept."""

    async def all_of_them() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(transport=Pools(certificates, httpx2.Limits()), timeout=20) as client:
            responses = []
            for note in notes:
                wire.set(note)  # type: ignore[arg-type]
                responses.append(await client.post(url, content=content))
            return responses

    return asyncio.run(all_of_them())


def test_all_that_is_read_is_written_down_and_is_the_response(server: tuple[Server, ssl.SSLContext]) -> None:
    running, certificates = server
    notes = [Notes(), Notes(), Notes()]
    responses = ask(running.url, certificates, notes)
    assert [r.content for r in responses] == [BODY] * 3
    assert running.asked == 3
    for note in notes:
        [read] = note.read.values()
        again = response_in(read)
        assert again is not None and again.read() == BODY and again.json() == responses[0].json()
        assert response_in(read[:-1]) is None
        assert response_in(read[: len(read) // 2]) is None


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's own list of connections is Linux's")
def test_what_is_written_down_is_in_its_socket_until_then(server: tuple[Server, ssl.SSLContext]) -> None:
    running, certificates = server
    seen: list[tuple[int, int]] = []

    class Looking(Notes):
        def reader(self, request: str) -> Any:
            return lambda data: seen.append((len(data), _unread(running.port)))

    ask(running.url, certificates, [Looking(), Looking()])
    assert sum(size for size, _ in seen) > 2 * len(BODY)
    begun = 2**14 + 2**9 if running.url.startswith("https") else 0  # of TLS's records, one may be read in two pieces
    assert all(unread > 0 and unread + begun >= size for size, unread in seen)


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_connection_that_breaks_while_it_is_read_is_an_error_and_no_end_of_waiting(how: str) -> None:
    """The piece is shown, and then there is nothing to take."""
    ours, theirs = socket.socketpair()
    with _Shown(fileno=ours.detach()) as shown, theirs:
        theirs.sendall(b"hello")
        assert shown.recv(10) == b"hello"
        assert socket.socket.recv(shown, 5) == b"hello"  # taken behind its back
        if how == "closed":
            theirs.close()
        else:
            shown.setblocking(False)
        shown.take()
        shown.take()


def _unread(port: int) -> int:
    """Bytes that are in the sockets of connections to this port and not read yet."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if int(row[2].split(":")[1], 16) == port)


def test_a_response_that_was_read_before_is_taken_and_nobody_is_asked(server: tuple[Server, ssl.SSLContext]) -> None:
    running, certificates = server
    first = Notes()
    ask(running.url, certificates, [first])
    [(request, read)] = first.read.items()
    second, other = Notes({request: [read[:-5], read]}), Notes({request: [read]})
    [response] = ask(running.url, certificates, [second])
    assert response.json() == {"answer": "x" * 300_000}
    assert second.used == [read]
    assert running.asked == 1
    ask(running.url, certificates, [other], b'{"q": 2}')  # another question
    assert not other.used
    assert running.asked == 2


def test_an_error_that_was_read_before_is_no_answer(server: tuple[Server, ssl.SSLContext]) -> None:
    running, certificates = server
    first = Notes()
    ask(running.url, certificates, [first], b"fail")
    [(request, read)] = first.read.items()
    second = Notes({request: [read]})
    [response] = ask(running.url, certificates, [second], b"fail")
    assert response.status_code == 500
    assert running.asked == 2
    assert not second.used


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n", b"{}\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it is closed", None),
        (b"HTTP/1.1 302 There\r\ncontent-length: 0\r\nlocation: /x\r\n\r\n", None),
        (b"no HTTP at all\r\n\r\n", None),
        (b"", None),
    ],
)
def test_what_was_read_is_a_response_only_if_it_is_whole_and_brings_something(data: bytes, body: bytes | None) -> None:
    response = response_in(data)
    assert (response and response.read()) == body


def test_nobody_there_is_said_as_httpx_says_it() -> None:
    with pytest.raises(httpx2.ConnectError):
        ask("http://127.0.0.1:1/v1", ssl.create_default_context(), [Notes()])


def test_a_certificate_that_nobody_knows_is_refused(server: tuple[Server, ssl.SSLContext]) -> None:
    running, _ = server
    if running.url.startswith("https"):
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            ask(running.url, ssl.create_default_context(), [Notes()])
