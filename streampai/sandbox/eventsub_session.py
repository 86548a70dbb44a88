"""One EventSub socket: what waits for it, the task that writes, the task that must hear nothing."""

from collections import deque
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import attrs
import orjson
import trio

from .connection import Connection
from .options import stamp

# A client that leaves so much unread is cut off, as by a network timeout.
OUTBOX_LIMIT = 20_000


class Socket(Protocol):
    """What a session needs of Quart's ``websocket``."""

    async def send(self, data: str | bytes) -> None: ...

    async def receive(self) -> Any: ...

    async def close(self, code: int, reason: str = "") -> None: ...


@attrs.define(eq=False, kw_only=True)
class Delivery:
    """One event that the platform made for one channel, and who got it."""

    number: int
    kind: str
    id: str
    act: str
    at: str
    # Sent completely on this many live sockets.
    delivered: int = 0
    message_ids: list[str] = attrs.field(factory=list)


@attrs.frozen
class Frame:
    text: str
    delivery: Delivery | None = None


def envelope(kind: str, payload: Any, *, message_id: str = "", **metadata: Any) -> str:
    head = {
        "message_id": message_id or str(uuid4()),
        "message_type": kind,
        "message_timestamp": stamp(),
    }
    return orjson.dumps({"metadata": {**head, **metadata}, "payload": payload}).decode()


class Session:
    """One socket. ``send``, ``close`` and ``cut`` are plain calls; ``run`` acts on them."""

    def __init__(self, connection: Connection, *, keepalive: float) -> None:
        self.id = f"AgoQ{uuid4().hex}{uuid4().hex[:8]}"
        self.keepalive = keepalive
        self.connected_at = datetime.now(UTC)
        self.silent = False
        # Held back so that the next event overtakes it.
        self.overtaken: Frame | None = None
        self.closing: tuple[int, str] | None = None
        self.open = True
        self.sent = 0
        self._connection = connection
        self._cutting = False
        self._outbox: deque[Frame] = deque()
        self._wake = trio.Event()

    def welcome(self) -> None:
        self.send(Frame(envelope("session_welcome", self.describe("connected"))))

    def send(self, frame: Frame) -> None:
        """Put a frame in the queue; nothing once the socket is silent, closing or gone."""
        if self.silent or not self.open or self.closing:
            return
        if len(self._outbox) >= OUTBOX_LIMIT:
            self.close(4005, "network timeout")
            return
        self._outbox.append(frame)
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close with a code, after what is queued."""
        self.closing = self.closing or (code, reason)
        self._wake.set()

    def cut(self) -> None:
        """End without a word: nothing that still waits is sent."""
        self.open = False
        self._cutting = True
        self._outbox.clear()
        self._wake.set()

    def describe(self, status: str, **more: Any) -> dict[str, Any]:
        return {
            "session": {
                "id": self.id,
                "status": status,
                "connected_at": stamp(self.connected_at),
                "keepalive_timeout_seconds": round(self.keepalive),
                "reconnect_url": None,
                "recovery_url": None,
                **more,
            }
        }

    async def run(self, socket: Socket) -> None:
        """Write what is queued until closed, cut or the client leaves."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, socket, name="sandbox/eventsub_reader")
                await self._write(socket)
                nursery.cancel_scope.cancel()
        finally:
            self.open = False

    async def _hear(self, socket: Socket) -> None:
        """Anything but pongs is a fault of the client's."""
        await socket.receive()
        self.close(4001, "sent inbound traffic")

    async def _write(self, socket: Socket) -> None:
        while True:
            self._wake = trio.Event()
            while self._outbox:
                await self._put(socket, self._outbox.popleft())
            if not self._connection.alive:
                return
            if self._cutting:
                await self._connection.cut()
                return
            if self.closing:
                await socket.close(*self.closing)
                return
            with trio.move_on_after(self.keepalive) as idle:
                await self._wake.wait()
            # A keepalive is sent only when nothing else was.
            if idle.cancelled_caught and not self.silent:
                await self._put(socket, Frame(envelope("session_keepalive", {})))

    async def _put(self, socket: Socket, frame: Frame) -> None:
        # Sending to a peer that left raises in one Quart and is a silent nothing in another.
        if self._connection.alive:
            await socket.send(frame.text)
        if self._connection.alive:
            self.sent += 1
            if frame.delivery is not None:
                frame.delivery.delivered += 1
        # Quart of before 0.23 sends to a peer that left without ever yielding.
        await trio.lowlevel.checkpoint()
