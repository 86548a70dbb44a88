"""WebSocket clients: trio-websocket, with its sharp edges covered.

    async with open_websocket("wss://example.org/feed", connect_timeout=10) as socket:
        await socket.send("hello")
        while True:
            text = await socket.receive()

What is covered: the socket is always closed, also when the far side closed
first; leaving a mute server takes ``disconnect_timeout`` at most; a crash of
the library's reader, which there can surface as a stray cancellation that
silently ends the caller's siblings, is a WebSocketFailed here.
"""

import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import cast
from urllib.parse import SplitResult, urlsplit

import h11
import trio
import trio_websocket
import wsproto.utilities

# What sending and closing may end with.
_FAILURES = (
    trio_websocket.HandshakeError,
    wsproto.utilities.ProtocolError,
    h11.ProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
)

# The parsers below the reader also raise ValueError (UnicodeDecodeError) for
# header bytes that are no text.
_READER_FAILURES = (*_FAILURES, ValueError)

_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class WebSocketFailed(Exception):
    """The connection could not be made, or broke in a way that has no close code.

    ``status`` is the HTTP status when the server refused the handshake, else 0.
    The text names the server but neither path nor query, which may hold secrets.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class WebSocketClosed(Exception):
    """The connection is over. 1006 means that it broke without a close frame (RFC 6455, 7.1.5)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"closed with {code} {reason}".rstrip())


class WebSocketClient:
    """An open connection. Made by ``open_websocket``."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._connection: trio_websocket.WebSocketConnection | None = None
        self._failure: WebSocketFailed | None = None
        self._reader_ended = False
        # Waits for something only the reader can bring about.
        self._waiting = trio.CancelScope()

    async def send(self, message: str | bytes) -> None:
        """Send a text or a binary message. Raises WebSocketClosed, WebSocketFailed.

        When cancelled, half of it may be on the wire, so the connection is
        unusable afterwards.
        """
        connection = self._usable()
        try:
            await connection.send_message(message)
        except trio_websocket.ConnectionClosed as closed:
            raise self._ending(closed.reason) from None
        except _FAILURES as error:
            raise self._failed(error) from error
        except trio.Cancelled:
            self._failure = WebSocketFailed(f"{self._server}: a send was cancelled half-way")
            raise

    async def receive(self) -> str | bytes:
        """The next message, as text or binary as it was sent; an empty one is a message too.

        Raises WebSocketClosed, after what came before the close has been
        received, or WebSocketFailed. When cancelled, no message is lost.
        """
        try:
            return await self._usable().get_message()
        except trio_websocket.ConnectionClosed as closed:
            raise self._ending(closed.reason) from None

    def _usable(self) -> trio_websocket.WebSocketConnection:
        if self._failure is not None:
            raise self._failure
        assert self._connection is not None
        return self._connection

    def _ending(self, reason: trio_websocket.CloseReason | None) -> Exception:
        if self._failure is not None:
            return self._failure
        if reason is None:
            return WebSocketClosed(1006, "")
        return WebSocketClosed(reason.code, reason.reason or "")

    def _failed(self, error: BaseException) -> WebSocketFailed:
        status = getattr(error, "status_code", 0)
        what = f"refused with HTTP {status}" if status else repr(error)
        return WebSocketFailed(f"{self._server}: {what}", status=status)

    async def _guard(self, reader: Callable[[], Awaitable[object]]) -> None:
        try:
            await reader()
        except _READER_FAILURES as error:
            self._failure = self._failed(error)
            self._failure.__cause__ = error
        finally:
            self._reader_ended = True
            self._waiting.cancel()


class _GuardedNursery:
    """Stands in for the nursery trio-websocket starts its reader in, the only use it has for it."""

    def __init__(self, nursery: trio.Nursery, client: WebSocketClient) -> None:
        self._nursery = nursery
        self._client = client

    def start_soon(self, reader: Callable[[], Awaitable[object]]) -> None:
        self._nursery.start_soon(self._client._guard, reader, name="websocket_reader")


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    connect_timeout: float,
    disconnect_timeout: float = 2.0,
    max_message_size: int = 1024 * 1024,
    queue: int = 64,
    headers: Iterable[tuple[str, str]] = (),
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[WebSocketClient]:
    """Connect (TCP, TLS for wss, handshake) within ``connect_timeout`` s; close when left.

    Raises WebSocketFailed when that does not succeed and ValueError for a URL
    that is not ws or wss. A message larger than ``max_message_size`` bytes
    closes the connection with 1009. Up to ``queue`` messages wait for a slow
    receiver, so that it does not delay the answers to pings; beyond that the
    sender's TCP has to wait. Left normally, the far side gets a close frame
    and ``disconnect_timeout`` s to answer; left by an exception or
    cancellation, the socket is just closed.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("expected a URL that begins with ws:// or wss:// and names a host")
    client = WebSocketClient(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    deadline = trio.current_time() + connect_timeout
    tcp, stream = await _connect(parts, deadline, ssl_context or _default_ssl_context, client)
    ending: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            # What happens in the block is kept out of the nursery, which would
            # put it into a group.
            try:
                with trio.move_on_at(deadline) as client._waiting:
                    client._connection = await trio_websocket.wrap_client_stream(
                        cast(trio.Nursery, _GuardedNursery(nursery, client)),
                        stream,
                        parts.netloc.rpartition("@")[2],
                        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                        extra_headers=[(k.encode(), v.encode()) for k, v in headers],
                        message_queue_size=queue,
                        max_message_size=max_message_size,
                    )
                if client._connection is None:
                    how = "the server hung up" if client._reader_ended else "no handshake in time"
                    raise client._failure or WebSocketFailed(f"{client._server}: {how}")
                yield client
                with trio.move_on_after(disconnect_timeout) as client._waiting:
                    if client._reader_ended:
                        client._waiting.cancel()
                    # It is over in any case, and the socket is closed below.
                    with suppress(*_FAILURES):
                        await client._connection.aclose()
            except BaseException as error:  # noqa: BLE001 - raised again below
                ending = error
            # Makes the reader end, whichever state it is in.
            tcp.socket.close()
            nursery.cancel_scope.cancel()
    finally:
        tcp.socket.close()
    if ending is not None:
        try:
            raise ending
        finally:
            del ending


async def _connect(
    parts: SplitResult,
    deadline: float,
    context: ssl.SSLContext | Callable[[], ssl.SSLContext],
    client: WebSocketClient,
) -> tuple[trio.SocketStream, trio.SocketStream | trio.SSLStream[trio.SocketStream]]:
    host = cast(str, parts.hostname)
    try:
        with trio.fail_after(deadline - trio.current_time()):
            tcp = await trio.open_tcp_stream(host, parts.port or _DEFAULT_PORTS[parts.scheme])
            if parts.scheme == "ws":
                return tcp, tcp
            try:
                stream = trio.SSLStream(
                    tcp,
                    context if isinstance(context, ssl.SSLContext) else context(),
                    server_hostname=host,
                    https_compatible=True,
                )
                await stream.do_handshake()
            except BaseException:
                tcp.socket.close()
                raise
            return tcp, stream
    except trio.TooSlowError:
        raise WebSocketFailed(f"{client._server}: no connection in time") from None
    except (OSError, trio.BrokenResourceError) as error:
        raise WebSocketFailed(f"{client._server}: {error.__cause__ or error}") from error


@functools.cache
def _default_ssl_context() -> ssl.SSLContext:
    # Reading the certificates takes 30 ms of blocked loop, so once for all connections.
    return ssl.create_default_context()
