"""One EventSub socket: its welcome, its reading, its silence, its end.

We send nothing on it: whatever a client sends but pongs makes Twitch close it.
"""

from collections.abc import Awaitable, Callable

import attrs
import trio

from ...errors import PlatformUnavailable, StreampaiError
from ...runtime import WebSocketClient, WebSocketClosed
from .models import Welcome, decode_message

_CLOSE_CODES = {
    4000: "it had an internal error",
    4001: "we sent something, which is a fault of ours",
    4002: "our pong did not arrive",
    4003: "the connection had no subscription",
    4004: "we were too late for a reconnection it had asked for",
    4005: "of a network timeout",
    4006: "of a network error",
    4007: "a reconnection was not valid",
}


@attrs.frozen(kw_only=True)
class Patience:
    """How long to wait, in seconds, for what Twitch promises."""

    connect: float = 10.0
    welcome: float = 10.0
    # From session_reconnect until Twitch cuts the old socket.
    reconnect: float = 30.0
    # What was under way on the old socket when the new one was welcomed.
    drain: float = 1.0
    # Until what failed to be subscribed is asked for again; doubled each time.
    late: float = 30.0
    late_at_most: float = 300.0


@attrs.define(eq=False)
class EventSubSocket:
    """A welcomed socket. ``reason`` is why it ended, None when it was to end."""

    session_id: str
    keepalive: float
    over: trio.Event = attrs.field(factory=trio.Event)
    reason: StreampaiError | None = None
    handing_over: bool = False
    # Cancels everything of it; its task closes it.
    whole: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    # Cancels the making of its subscriptions.
    subscribing: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    # The one wait under way in its reader.
    _waiting: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _drain_until: float | None = None

    @property
    def retired(self) -> bool:
        return self._drain_until is not None

    @property
    def silence_limit(self) -> float:
        """Seconds. Keepalives may be a little late, and no more than a few seconds."""
        return self.keepalive + min(self.keepalive * 0.3, 5.0)

    def retire(self, drain: float) -> None:
        """Read for ``drain`` seconds what is under way, then close."""
        self._drain_until = trio.current_time() + drain
        self._waiting.deadline = min(self._waiting.deadline, self._drain_until)

    async def read(
        self,
        wire: WebSocketClient,
        handle: Callable[["EventSubSocket", str | bytes], Awaitable[None]],
    ) -> StreampaiError | None:
        """Give every frame to ``handle`` until it ends; the reason, or None when it was to end."""
        while self._drain_until is None or trio.current_time() < self._drain_until:
            frame = None
            deadline = trio.current_time() + self.silence_limit
            if self._drain_until is not None:
                deadline = min(deadline, self._drain_until)
            with trio.CancelScope(deadline=deadline) as self._waiting:
                try:
                    frame = await wire.receive()
                except WebSocketClosed as exc:
                    return closed(exc)
            if frame is not None:
                await handle(self, frame)
            elif not self.retired:
                return PlatformUnavailable(f"Twitch has been silent for {self.silence_limit:g} s")
        return None


async def wait_for_welcome(wire: WebSocketClient, patience: float) -> Welcome | StreampaiError:
    """The welcome, or why there is none after ``patience`` seconds."""
    with trio.move_on_after(patience):
        while True:
            try:
                message = decode_message(await wire.receive())
            except WebSocketClosed as exc:
                return closed(exc)
            if isinstance(message, Welcome):
                return message
    return PlatformUnavailable("Twitch did not welcome us in time")


def closed(exc: WebSocketClosed) -> PlatformUnavailable:
    """Whatever the code, the next connection begins anew. Twitch may change its words, not the code."""
    words = _CLOSE_CODES.get(exc.code)
    return PlatformUnavailable(
        f"Twitch closed the connection because {words}"
        if words
        else f"the connection to Twitch broke ({exc.code})",
        close_code=exc.code,
    )
