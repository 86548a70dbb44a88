"""The TCP connection beneath one ASGI call, for cutting it the way a network does.

ASGI has no such thing as a broken connection, so this reaches through
Hypercorn's stream and protocol to its TCP server; the version is capped in
setup.cfg for that reason.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Scope = MutableMapping[str, Any]

# Where a WebSocket handler finds its Connection.
SCOPE_KEY = "sandbox.connection"


class Connection:
    """One client's connection."""

    def __init__(self, send: Send) -> None:
        self._exchange: Any = getattr(send, "__self__", None)
        protocol = getattr(getattr(self._exchange, "send", None), "__self__", None)
        self._server: Any = getattr(getattr(protocol, "send", None), "__self__", None)
        if not isinstance(getattr(self._server, "stream", None), trio.abc.Stream):
            raise RuntimeError("this Hypercorn is built differently: the sandbox cannot cut")

    @property
    def alive(self) -> bool:
        """False from the moment either side is known to have gone."""
        return not self._exchange.closed and self._server.stream.socket.fileno() >= 0

    async def cut(self) -> None:
        """End the connection without a word; the peer still gets what was sent before."""
        # A send in progress is let finish, else the last message would be half of
        # one; a peer that does not read cannot hold this up.
        with trio.move_on_after(0.5):
            async with self._server.send_lock:
                pass
        await trio.aclose_forcefully(self._server.stream)
