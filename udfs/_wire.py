"""HTTP connections from which every piece is written down (``bclust.functions.wire``) before anybody looks at it.

asyncio hands a piece to ``StreamReader.feed_data`` in the same step in which it reads it from the socket (and decrypts it). So
that is where it is written down; and only then is it taken from the socket, which until that has shown it and kept it. Above are
the connections and pools of httpcore, as ever. What goes through a proxy takes connections of httpx's own, and is not written
down.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import aiohappyeyeballs
import h11
import httpcore2
import httpx2

from bclust.functions import wire

_POOLS = 8
# what is called with each piece of the response to the request that is sent
_reader: ContextVar[Callable[[bytes], None] | None] = ContextVar("reader", default=None)


class Pools(httpx2.AsyncBaseTransport):
    """Each request goes to the pool that waits for the fewest responses, unless its response was read by an earlier process."""

    def __init__(self, certificates: ssl.SSLContext, limits: httpx2.Limits) -> None:
        self._pools = [_transport(certificates, limits) for _ in range(_POOLS)]
        self._waiting = [0] * _POOLS

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, or find its response."""
        exchange = wire.get()
        if exchange is None:
            _reader.set(None)
        else:
            name = hashlib.sha256(f"{request.method} {request.url}\n".encode() + request.content).hexdigest()
            for data in exchange.found(name):
                if response := response_in(data):
                    exchange.use(data)
                    return response
            _reader.set(exchange.reader(name))
        least = self._waiting.index(min(self._waiting))
        self._waiting[least] += 1
        try:
            return await self._pools[least].handle_async_request(request)
        finally:
            self._waiting[least] -= 1

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            await pool.aclose()


def response_in(data: bytes) -> httpx2.Response | None:
    """The response to a POST that these bytes are, if they are all of it, and it brings something (status 2xx)."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "any"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    body = bytearray()
    head: h11.Response | None = None
    try:
        connection.receive_data(data)
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                return None  # there should be more
    except h11.RemoteProtocolError:
        return None
    if head is None or not 200 <= head.status_code < 300:
        return None
    return httpx2.Response(head.status_code, headers=list(head.headers), stream=httpx2.ByteStream(bytes(body)))


def _transport(certificates: ssl.SSLContext, limits: httpx2.Limits) -> httpx2.AsyncHTTPTransport:
    transport = httpx2.AsyncHTTPTransport(verify=certificates, limits=limits)
    transport._pool = httpcore2.AsyncConnectionPool(  # httpx has no parameter for it
        ssl_context=certificates,
        max_connections=limits.max_connections,
        max_keepalive_connections=limits.max_keepalive_connections,
        keepalive_expiry=limits.keepalive_expiry,
        network_backend=_Network(),
    )
    return transport


class _Network(httpcore2.AsyncNetworkBackend):
    """Connections by asyncio's streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        local = aiohappyeyeballs.addr_to_addr_infos((local_address, 0)) if local_address else None
        with _errors(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                connected = await aiohappyeyeballs.start_connection(
                    found, local_addr_infos=local, happy_eyeballs_delay=0.25, socket_factory=lambda address: _Shown(*address[:3])
                )
                assert isinstance(connected, _Shown)
                reader = _Reader(connected, loop)
                protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
                transport, _ = await loop.create_connection(lambda: protocol, sock=connected)
        for option in socket_options or ():
            connected.setsockopt(*option)
        return _Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Shown(socket.socket):
    """What is read of it stays in it until ``take`` is called, or more is read: who dies in between has not received it."""

    _seen = 0  # bytes that were read and are still there

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.take()
        data = super().recv(size, flags | socket.MSG_PEEK)
        self._seen = len(data)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.take()
        self._seen = super().recv_into(buffer, nbytes, flags | socket.MSG_PEEK)
        return self._seen

    def take(self) -> None:
        seen, self._seen = self._seen, 0
        with contextlib.suppress(OSError):  # a connection that broke says so when more is read
            while seen and (taken := super().recv(seen)):
                seen -= len(taken)


class _Reader(asyncio.StreamReader):
    """``write_down`` is called with each piece as soon as it is read."""

    write_down: Callable[[bytes], None] | None = None
    waiting = 0  # bytes that nobody has taken yet

    def __init__(self, connected: _Shown, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._socket = connected

    def feed_data(self, data: Any) -> None:
        if self.write_down is not None and data:
            self.write_down(bytes(data))
        self._socket.take()
        self.waiting += len(data)
        super().feed_data(data)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._incoming, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _errors(httpcore2.ReadTimeout, httpcore2.ReadError):
            async with asyncio.timeout(timeout):
                data = await self._incoming.read(max_bytes)
        self._incoming.waiting -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._incoming.write_down = _reader.get()
        with _errors(httpcore2.WriteTimeout, httpcore2.WriteError):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.transport.abort()  # nothing is left to be sent; the other side may be gone

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with _errors(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                async with asyncio.timeout(timeout):
                    await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # of a connection that waits: whether it was closed, or something came that nobody asked for
            return bool(self._incoming.waiting) or self._incoming.at_eof() or self._writer.is_closing()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._writer.get_extra_info(names.get(info, info))


@contextlib.contextmanager
def _errors(timeout: type[Exception], other: type[Exception]) -> Iterator[None]:
    """What httpcore calls the errors of the system."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise other(str(error) or type(error).__name__) from error
