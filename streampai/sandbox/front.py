"""The door of each service: counts calls, applies faults, stamps ``Date``, notices leavers.

It stands between Hypercorn and the Quart application. An answer is kept until
it is whole, so that a fault may still replace it; then it is sent from outside
any scope that the application cancels, which keeps Hypercorn's recycling of
idle connections alive.
"""

from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from time import time

import attrs
import trio

from .activity import Activity
from .books import Call, CallBook
from .connection import SCOPE_KEY, Connection, Message, Receive, Scope, Send
from .faults import Fault, ServiceFaults

# Quart and Hypercorn each have their own names for the same ASGI messages.
Application = Callable[..., Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>bad gateway</body></html>"
# No body of these protocols comes near this; larger ones are refused.
BODY_LIMIT = 1024 * 1024


@attrs.frozen(kw_only=True)
class Service:
    """What lies under one path prefix: its faults, and how it words an error."""

    prefix: str
    faults: ServiceFaults
    error_body: Callable[[int], bytes]


@attrs.frozen
class Answer:
    status: int
    headers: Headers
    body: bytes


class Front:
    """An ASGI application around another one."""

    def __init__(
        self,
        app: Application,
        *,
        book: CallBook,
        activity: Activity,
        services: Sequence[Service] = (),
        clock_skew: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._app = app
        self._book = book
        self._activity = activity
        self._services = services
        self._clock_skew = clock_skew

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        with self._activity.busy():
            if scope["type"] == "websocket":
                scope[SCOPE_KEY] = Connection(send)
                await self._app(scope, receive, send)
            else:
                await self._exchange(scope, receive, send)

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        call = self._book.open(scope["method"], scope["path"], query)
        body = await _read_body(receive)
        if body is None:
            return
        answers: list[Answer] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                _notice_leaving, receive, nursery.cancel_scope, name="sandbox/client_watch"
            )
            answers.append(await self._answer(scope, body, Connection(send), call))
            nursery.cancel_scope.cancel()
        # None when the client left, or was cut off, first.
        for answer in answers:
            await self._reply(answer, call, send)

    async def _reply(self, answer: Answer, call: Call, send: Send) -> None:
        call.status = answer.status
        date = formatdate(time() + self._clock_skew(), usegmt=True).encode()
        headers = [*answer.headers, (b"date", date)]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    async def _answer(
        self, scope: Scope, body: bytes, connection: Connection, call: Call
    ) -> Answer:
        if len(body) > BODY_LIMIT:
            return Answer(413, (), b"")
        service = next((s for s in self._services if scope["path"].startswith(s.prefix)), None)
        fault = service and service.faults.decide(scope["method"], scope["path"])
        if not service or not fault:
            return await self._ask(scope, body)
        call.fault = fault.action + (" after effect" if fault.after_effect else "")
        if fault.after_effect:
            answer = await self._ask(scope, body)
            return await _suffer(fault, service, connection) or answer
        return await _suffer(fault, service, connection) or await self._ask(scope, body)

    async def _ask(self, scope: Scope, body: bytes) -> Answer:
        """The application's whole answer."""
        told = False
        status = 500
        headers: list[tuple[bytes, bytes]] = []
        parts: list[bytes] = []

        async def receive() -> Message:
            nonlocal told
            if told:
                await trio.sleep_forever()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.extend(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                parts.append(bytes(message.get("body", b"")))

        await self._app(scope, receive, send)
        return Answer(status, headers, b"".join(parts))


async def _read_body(receive: Receive) -> bytes | None:
    """None when the client left before the end. What is beyond the limit is read and dropped."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= BODY_LIMIT:
            body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _notice_leaving(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _suffer(fault: Fault, service: Service, connection: Connection) -> Answer | None:
    """The answer in place of the true one; None when the call goes on as if nothing had been."""
    headers = tuple((k.lower().encode(), v.encode()) for k, v in fault.headers)
    as_json = ((b"content-type", b"application/json"), *headers)
    match fault.action:
        case "status":
            return Answer(fault.status, as_json, service.error_body(fault.status))
        case "failure":
            return Answer(200, as_json, service.error_body(200))
        case "html":
            return Answer(fault.status, ((b"content-type", b"text/html"), *headers), HTML)
        case "empty":
            return Answer(fault.status, headers, b"")
        case "slow":
            await trio.sleep(fault.seconds)
        case "hold" if fault.hold is not None:
            fault.hold.reached.set()
            with trio.move_on_after(fault.seconds):
                await fault.hold.released.wait()
        case "stall":
            await trio.sleep(fault.seconds)
            await _cut(connection)
        case "cut":
            await _cut(connection)
    return None


async def _cut(connection: Connection) -> None:
    await connection.cut()
    # Hypercorn notices its closed stream, and the leaver's watch ends this call.
    await trio.sleep_forever()
