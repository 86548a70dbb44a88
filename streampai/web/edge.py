"""Between Hypercorn and Quart: what either leaves to chance at the end of a request or a WebSocket.

Messages of a WebSocket never pass through Quart, whose two versions queue them
differently (one without a bound) and cannot tell an empty message: they are
handed to the :class:`Doorway` that the handler finds in the scope.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import h11
import trio

from .socket import AsgiSocket, BrowserSocket, DirectSocket

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

DOORWAY = "streampai.doorway"
# Seconds. How long a browser may take to answer our close frame.
CLOSE_HANDSHAKE = 2.0


class Doorway:
    """The WebSocket's other side: ``socket`` to write to, ``open`` to be given what arrives."""

    def __init__(self, send: Send, *, max_message: int, direct: bool) -> None:
        self._direct = DirectSocket.find(send) if direct else None
        self._max_message = max_message
        self._deliver: Callable[[str | bytes], None] | None = None
        self._refused = False
        self.socket: BrowserSocket = self._direct or AsgiSocket(send)

    def open(self, deliver: Callable[[str | bytes], None], overflowed: Callable[[], None]) -> None:
        """Call before accepting. ``overflowed`` is called when a message is too large."""
        self._deliver = deliver
        if self._direct is not None:
            self._direct.prepare(self._max_message, overflowed)

    @property
    def ended(self) -> bool:
        """There is no WebSocket, or none any more: Hypercorn refused the handshake by itself,
        which is known after accepting, or the browser has left."""
        return self._refused or (self._direct is not None and self._direct.ended)

    def refuse(self) -> None:
        self._refused = True

    def deliver(self, event: Any) -> None:
        """A message has arrived: text, or bytes that should hold text; an empty one is empty bytes."""
        text = event.get("text")
        if self._deliver is not None:
            self._deliver(text if text is not None else event.get("bytes") or b"")


class Edge:
    """The application that Hypercorn is given. ``direct`` False writes through ASGI only."""

    def __init__(self, app: Application, *, max_message: int, direct: bool = True) -> None:
        self._app = app
        self._max_message = max_message
        self._direct = direct

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        async def shielded(message: Any) -> None:
            # The last part of the body makes Hypercorn recycle the connection and tell the
            # app, whereupon Quart-Trio would cancel this very send halfway: the connection
            # would never be closed for idleness.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                with trio.CancelScope(shield=True):
                    await send(message)
            else:
                await send(message)

        await self._app(scope, receive, shielded)

    async def _websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        doorway = Doorway(send, max_message=self._max_message, direct=self._direct)
        scope[DOORWAY] = doorway
        accepted = gone = False

        async def receive_all_but_messages() -> Any:
            nonlocal gone
            while (event := await receive())["type"] == "websocket.receive":
                doorway.deliver(event)
            gone = event["type"] == "websocket.disconnect"
            return event

        async def watched(message: Any) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            try:
                await send(message)
            except h11.LocalProtocolError:
                # Bytes came behind the handshake, and Hypercorn is about to answer them with 400.
                doorway.refuse()

        await self._app(scope, receive_all_but_messages, watched)
        if doorway.ended:
            doorway.socket.abort()
        elif accepted and not gone:
            await self._see_off(receive, doorway.socket)

    async def _see_off(self, receive: Receive, socket: BrowserSocket) -> None:
        """Take in what still arrives until the connection ends.

        Hypercorn's reader waits for room in a short queue; once nobody took from
        it, a browser that goes on sending would hold its connection for ever.
        """
        for _ in range(2):
            with trio.move_on_after(CLOSE_HANDSHAKE):
                while (await receive())["type"] != "websocket.disconnect":
                    pass
                return
            socket.abort()
