"""An EventSub server on loopback that does what a test tells it."""

import itertools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import trio
import trio_websocket


class FakeSocket:
    """The server's end of one connection."""

    def __init__(self, server: "FakeEventSub", path: str, session_id: str) -> None:
        self.server = server
        self.path = path
        self.session_id = session_id
        self.inbound: list[Any] = []
        self.closed = trio.Event()
        self.close_code = 0
        self.wire: trio_websocket.WebSocketConnection | None = None

    async def send(self, kind: str, payload: object, **metadata: str) -> None:
        assert self.wire is not None
        await self.wire.send_message(
            orjson.dumps(
                {
                    "metadata": {
                        "message_id": next(self.server.ids),
                        "message_type": kind,
                        "message_timestamp": self.server.timestamp(),
                        **metadata,
                    },
                    "payload": payload,
                }
            ).decode()
        )

    async def welcome(self) -> None:
        session = {
            "id": self.session_id,
            "status": "connected",
            "keepalive_timeout_seconds": self.server.keepalive,
            "reconnect_url": None,
            "recovery_url": None,
        }
        await self.send("session_welcome", {"session": session})

    async def keepalive(self) -> None:
        await self.send("session_keepalive", {})

    async def notify(self, text: str, **metadata: str) -> None:
        """A chat message; its text is its id as well."""
        event = {
            "broadcaster_user_id": "7001",
            "chatter_user_id": "8123",
            "chatter_user_login": "moss_otter",
            "chatter_user_name": "Moss_Otter",
            "message_id": text,
            "message": {"text": text, "fragments": []},
        }
        subscription = {"id": "s-1", "type": "channel.chat.message", "version": "1"}
        await self.send("notification", {"subscription": subscription, "event": event}, **metadata)

    async def ask_to_reconnect(self, url: str | None) -> None:
        session = {"id": self.session_id, "status": "reconnecting", "reconnect_url": url}
        await self.send("session_reconnect", {"session": session})

    async def revoke(self, kind: str, status: str) -> None:
        await self.send(
            "revocation", {"subscription": {"id": "s-1", "type": kind, "status": status}}
        )

    async def close(self, code: int) -> None:
        assert self.wire is not None
        await self.wire.aclose(code, "as told")

    async def drop(self) -> None:
        """End TCP without a close frame."""
        assert self.wire is not None
        await trio.aclose_forcefully(self.wire._stream)


class FakeEventSub:
    """``sockets`` gives each connection in the order they come."""

    def __init__(self) -> None:
        self.port = 0
        self.keepalive = 10
        self.welcomes: Callable[[FakeSocket], bool] = lambda _: True
        self.rejects: Callable[[str], bool] = lambda _: False
        self.clock_ahead = timedelta()
        self.ids = (f"m-{number}" for number in itertools.count(1))
        self._sessions = (f"session-{number}" for number in itertools.count(1))
        self._send, self._receive = trio.open_memory_channel[FakeSocket](math.inf)

    def timestamp(self, ago: timedelta = timedelta()) -> str:
        moment = datetime.now(UTC) + self.clock_ahead - ago
        return moment.isoformat().replace("+00:00", "Z")

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def next_socket(self) -> FakeSocket:
        with trio.fail_after(5):
            return await self._receive.receive()

    async def handle(self, request: trio_websocket.WebSocketRequest) -> None:
        socket = FakeSocket(self, request.path, next(self._sessions))
        if self.rejects(request.path):
            await request.reject(403)
            self._send.send_nowait(socket)
            return
        socket.wire = await request.accept()
        if self.welcomes(socket):
            await socket.welcome()
        self._send.send_nowait(socket)
        try:
            while True:
                socket.inbound.append(await socket.wire.get_message())
        except trio_websocket.ConnectionClosed as exc:
            socket.close_code = exc.reason.code if exc.reason else 1006
        except trio.ClosedResourceError:
            socket.close_code = 1006
        finally:
            socket.closed.set()


@asynccontextmanager
async def open_fake_eventsub() -> AsyncIterator[FakeEventSub]:
    fake = FakeEventSub()
    async with trio.open_nursery() as nursery:
        serve = partial(trio_websocket.serve_websocket, ssl_context=None)
        server = await nursery.start(serve, fake.handle, "127.0.0.1", 0)
        fake.port = server.port
        yield fake
        nursery.cancel_scope.cancel()
