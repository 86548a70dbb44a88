"""One WebSocket, as its browser session sees it: batches out, a close frame, an abort.

Two kinds: ``DirectSocket`` writes frames of its own to the TCP stream that
Hypercorn reads from, one system call for all that is ready; ``AsgiSocket``
goes through the ASGI server's own sending, for when the inside of Hypercorn
is not as it was when this was written.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, cast

import trio
from hypercorn.protocol.ws_stream import (
    ASGIWebsocketState,
    FrameTooLargeError,
    WebsocketBuffer,
    WSStream,
)
from hypercorn.trio.tcp_server import TCPServer
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message

from .wire import join

# The protocol's reference packs as many; SDKs decode a frame before they show anything of it.
MESSAGES_PER_FRAME = 16
BYTES_PER_WRITE = 65_536

AsgiSend = Callable[[Any], Awaitable[None]]


class SocketGone(Exception):
    """The browser is no longer there, or the connection had to be given up."""


class BrowserSocket(Protocol):
    async def send(self, messages: Sequence[bytes]) -> None:
        """Write them, several to a text frame. Raises SocketGone.

        Cancelling may leave half a frame behind; the socket is then given up.
        """

    async def close(self, code: int, reason: str) -> None:
        """Write a close frame, unless one has been written. Raises SocketGone."""

    def abort(self) -> None:
        """Close the connection at once; whoever waits for it is woken."""


def batches(messages: Sequence[bytes]) -> Iterator[list[bytes]]:
    """As many messages as may stand in one frame, at least one."""
    iterator = iter(messages)
    while batch := list(islice(iterator, MESSAGES_PER_FRAME)):
        start = size = 0
        for index, message in enumerate(batch):
            if size + len(message) > BYTES_PER_WRITE and index > start:
                yield batch[start:index]
                start, size = index, 0
            size += len(message) + 1
        yield batch[start:]


def text_frame(payload: bytes) -> bytes:
    """An unmasked, unfragmented, uncompressed text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


class _InboundBuffer(WebsocketBuffer):
    """Hypercorn's buffer goes on growing after a message was too large; this one is emptied."""

    def __init__(self, limit: int, overflowed: Callable[[], None]) -> None:
        super().__init__(limit)
        self._overflowed = overflowed

    def extend(self, event: Message[Any]) -> None:
        try:
            super().extend(event)
        except FrameTooLargeError:
            self.clear()
            self._overflowed()
            raise


class DirectSocket:
    """Writes under Hypercorn's own lock, so its pongs and close replies stay whole.

    Unlike Hypercorn's sending it can be cancelled, so a browser that does not
    read cannot hold up a shutdown.
    """

    def __init__(self, stream: WSStream, tcp: TCPServer) -> None:
        self._stream = stream
        self._tcp = tcp
        self._lock: trio.Lock = tcp.send_lock
        self._tcp_stream = cast(trio.SocketStream, tcp.stream)
        self._half_written = False

    @classmethod
    def find(cls, send: Any) -> "DirectSocket | None":
        """The stream beneath an ASGI ``send``, or None where it cannot be reached."""
        stream = getattr(send, "__self__", None)
        protocol = getattr(getattr(stream, "send", None), "__self__", None)
        tcp = getattr(getattr(protocol, "send", None), "__self__", None)
        if (
            isinstance(stream, WSStream)
            and isinstance(tcp, TCPServer)
            and isinstance(getattr(tcp, "stream", None), trio.SocketStream)
            and isinstance(getattr(tcp, "send_lock", None), trio.Lock)
        ):
            return cls(stream, tcp)
        return None

    def prepare(self, max_message: int, overflowed: Callable[[], None]) -> None:
        """Before the handshake is answered: no compression, and a bounded buffer.

        Hypercorn accepts compression whenever it is offered. It would cost some
        117 KiB for each browser, our frames are not compressed anyway, and a few
        bytes could unfold to a thousand times as many.
        """
        self._stream.handshake.extensions = None
        self._stream.buffer = _InboundBuffer(max_message, overflowed)

    @property
    def ended(self) -> bool:
        """Hypercorn is done with it: the connection has ended, or bytes came before the handshake
        was answered, and were answered with 400."""
        return bool(self._stream.closed)

    async def send(self, messages: Sequence[bytes]) -> None:
        frames: list[bytes] = []
        size = 0
        for batch in batches(messages):
            frames.append(text_frame(join(batch)))
            size += len(frames[-1])
            if size >= BYTES_PER_WRITE:
                await self._write(b"".join(frames))
                frames, size = [], 0
        if frames:
            await self._write(b"".join(frames))

    async def close(self, code: int, reason: str) -> None:
        connection = self._stream.connection
        if connection.state is ConnectionState.OPEN:
            frame = connection.send(CloseConnection(code=code, reason=reason))
            self._stream.state = ASGIWebsocketState.CLOSED
            await self._write(frame, closing=True)

    def abort(self) -> None:
        self._tcp_stream.socket.close()

    async def _write(self, data: bytes, *, closing: bool = False) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            if self._half_written or not (
                closing or self._stream.connection.state is ConnectionState.OPEN
            ):
                raise SocketGone
            await self._write_all(data)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise SocketGone from exc
        finally:
            self._lock.release()

    async def _write_all(self, data: bytes) -> None:
        socket = self._tcp_stream.socket
        if (descriptor := socket.fileno()) < 0:
            raise SocketGone
        # Mostly there is room in the kernel and one call does it, without a
        # pass of the scheduler; the writer's next take() is a checkpoint.
        try:
            written = os.write(descriptor, data)
        except BlockingIOError:
            written = 0
        if written < len(data):
            self._half_written = True
            await self._tcp_stream.send_all(memoryview(data)[written:])
            self._half_written = False


class AsgiSocket:
    """The same through the server's own sending. It cannot be cancelled while the peer does not
    read; the kernel's TCP_USER_TIMEOUT then ends the connection."""

    def __init__(self, send: AsgiSend) -> None:
        self._send = send

    async def send(self, messages: Sequence[bytes]) -> None:
        for batch in batches(messages):
            await self._send(
                {"type": "websocket.send", "bytes": None, "text": join(batch).decode()}
            )

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def abort(self) -> None:
        """Nothing can be done from here; see the class."""
