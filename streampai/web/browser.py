"""One browser: a WebSocket that speaks the Centrifuge client protocol.

    browser/{client}              the WebSocket's handler; takes from the outbox and writes
    ├── browser/{client}/commands     in order, while there are any
    └── browser/{client}/rpc …        beside them, bounded

Frames come in by :meth:`BrowserSession.receive`, a plain call from the task
that reads the socket, so a flood meets the rate limit before any queue.
Everything that goes out stands in one outbox, in the order it was caused.
"""

import math
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from ..errors import StorageUnavailable
from ..runtime import MailboxClosed, MailboxFull
from ..settings import Secret
from ..telemetry.events import BrowserConnected, BrowserDisconnected, RequestRefused
from . import wire
from .conversation import Conversation
from .outbox import Outbox
from .services import WebServices
from .socket import BrowserSocket, SocketGone
from .subscriptions import Subscriptions
from .wire import CLOSE_REASONS, ProtocolViolation

if TYPE_CHECKING:
    from ..storage import Session

# All in seconds. A page connects within the second that it is loaded.
STALE_AFTER = 15.0
PONG_TIMEOUT = 8.0
# How long a browser may take to accept what is left and the close frame.
CLOSE_GRACE = 1.0
# A log-in that was ended by another process, such as a change of password, is noticed
# by then; the first time soon, for one that was ended while the browser connected.
SESSION_CHECK, FIRST_SESSION_CHECK = 60.0, 5.0
# Close codes whose cause is what the browser sent.
_REFUSALS = {1009: "too_large", 3013: "rate_limited", 3501: "bad_request"}


class BrowserSession:
    """Serves one WebSocket. ``token`` is the cookie's, None when there was none.

    ``admit`` is asked when it is known whose browser it is; False: there are too many.
    """

    def __init__(
        self,
        services: WebServices,
        socket: BrowserSocket,
        token: Secret | None,
        *,
        admit: "Callable[[BrowserSession], bool]",
    ) -> None:
        self._services = services
        self._settings = services.settings.web
        self._socket = socket
        self._admit = admit
        self.token = token
        self.client = str(uuid.uuid4())
        self.session: Session | None = None
        self.outbox = Outbox(self._settings.max_queue)
        self.subscriptions: Subscriptions | None = None
        self._conversation = Conversation(services, self)
        self._nursery: trio.Nursery | None = None
        self._closing: tuple[int, str] | None = None
        now = trio.current_time()
        self._stale_at = now + STALE_AFTER
        self._abort_at = math.inf
        # The first ping comes after a random part, so that browsers that came at once spread.
        self._ping_at = now + self._settings.ping_interval * random.uniform(0.5, 1)
        self._pong_due = math.inf
        self._check_at = now + FIRST_SESSION_CHECK
        self._expires_at = math.inf

    @property
    def user_id(self) -> int | None:
        return None if self.session is None else self.session.user_id

    @property
    def closing(self) -> bool:
        return self._closing is not None

    async def run(self) -> None:
        """Serve until the browser leaves (which cancels), breaks the protocol or is sent away."""
        # Quart has started the task, and named it after a function of its own.
        trio.lowlevel.current_task().name = f"browser/{self.client}"
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                # Commands may have come before there was a nursery to work them off in.
                self._conversation.start(nursery)
                await self._write_frames()
                nursery.cancel_scope.cancel()
        except* Exception:
            # A fault of ours. Without a close frame the browser would see the end of a
            # conversation that went well. The socket may be blocked, hence the deadline.
            self._closing = (1011, CLOSE_REASONS[1011])
            with trio.move_on_after(CLOSE_GRACE, shield=True), suppress(SocketGone):
                await self._socket.close(*self._closing)
            raise
        finally:
            self._leave()

    def receive(self, frame: str | bytes) -> None:
        """A whole message has arrived. Called by the task that reads the socket."""
        if self._closing is not None:
            return
        try:
            for request in wire.decode(frame):
                if request.name == "pong":
                    self._pong()
                elif not self._conversation.hear(request):
                    self.disconnect(3013)
                    return
        except ProtocolViolation:
            self.disconnect(3501)

    def overflowed(self) -> None:
        """A message was too large; Hypercorn sends the close frame with 1009 itself."""
        self.disconnect(1009, drop=True)

    def disconnect(self, code: int, reason: str | None = None, *, drop: bool = False) -> None:
        """Begin the end: what waits is written unless ``drop``, then a close frame. Idempotent."""
        if self._closing is not None:
            return
        self._closing = (code, reason or CLOSE_REASONS[code])
        self._abort_at = trio.current_time() + CLOSE_GRACE
        self._conversation.stop()
        self.outbox.close(drop=drop)
        if code in _REFUSALS:
            self.refused(_REFUSALS[code], "frame")

    def tick(self, now: float) -> None:
        """What is due at ``now``. Called several times a second for all browsers by one task."""
        if self._closing is not None:
            if now >= self._abort_at:
                self.abort()
        elif self.subscriptions is None:
            if now >= self._stale_at:
                self.disconnect(3502)
        elif now >= self._expires_at:
            self.disconnect(3500, "session expired")
        elif now >= self._pong_due:
            self.disconnect(3012)
        elif now >= self._ping_at and self._pong_due == math.inf:
            interval = self._settings.ping_interval
            self._ping_at += interval * max(1, math.ceil((now - self._ping_at) / interval))
            self._pong_due = now + min(PONG_TIMEOUT, interval * 0.8)
            self.push(wire.PING)
        elif now >= self._check_at and self._nursery is not None:
            self._check_at = now + SESSION_CHECK
            self._nursery.start_soon(self._check_session, name=f"browser/{self.client}/session")

    def abort(self) -> None:
        """Give the connection up at once."""
        self._socket.abort()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def push(self, message: bytes) -> None:
        """Put a push into the outbox; a browser that has no room for it is told ``slow``."""
        try:
            self.outbox.push(message)
        except MailboxFull:
            self._slow()
        except MailboxClosed:
            pass  # closing: it will ask for what it missed

    def unsubscribe(self, topic: str) -> None:
        """End a subscription from our side."""
        if self.subscriptions is not None and self.subscriptions.end(topic):
            reason = {"code": 2000, "reason": "server unsubscribe"}
            self.push(wire.encode_push(topic, "unsubscribe", reason))

    def refused(self, code: str, where: str) -> None:
        """Tell telemetry, once and without content, that something was refused."""
        self._services.telemetry.emit(
            RequestRefused(user_id=self.user_id, code=code, where=f"websocket {where}")
        )

    # --- the log-in ------------------------------------------------------------

    async def log_in(self) -> bool:
        """Find the session of the token and bring the user's tree up.

        False: the browser is being sent away. Raises StreampaiError, NotRunning.
        """
        services = self._services
        session = await self.find_session()
        if session is None:
            self.refused("unauthorized", "connect")
            self.disconnect(3500)
            return False
        self.session = session
        services.manager.browser_connected(session.id, session.user_id)
        services.telemetry.emit(BrowserConnected(user_id=session.user_id, client=self.client))
        if not self._admit(self):
            self.disconnect(3504)
            return False
        await services.manager.ensure_user(session.user_id)
        self.renew(session)
        self.subscriptions = Subscriptions(
            client=self.client,
            user_id=session.user_id,
            outbox=self.outbox,
            tell=self.push,
            slow=self._slow,
            services=services,
        )
        return True

    async def find_session(self) -> "Session | None":
        """The session of our token, if that is still good. Raises StorageUnavailable."""
        if self.token is None:
            return None
        return await self._services.storage.sessions.find(self.token.reveal())

    def renew(self, session: "Session") -> None:
        """The connection lasts as long as ``session``."""
        left = (session.expires_at - self._services.now()).total_seconds()
        self._expires_at = trio.current_time() + left

    async def _check_session(self) -> None:
        with suppress(StorageUnavailable):  # says nothing of the session; asked again later
            if await self.find_session() is None:
                self.disconnect(3500, "logged out")

    # --- the socket ------------------------------------------------------------

    def _pong(self) -> None:
        if self._pong_due == math.inf:
            raise ProtocolViolation("a pong that nobody asked for")
        self._pong_due = math.inf

    async def _write_frames(self) -> None:
        with suppress(SocketGone):
            try:
                while True:
                    await self._socket.send(await self.outbox.take())
            except MailboxClosed:
                if self._closing is not None:
                    await self._socket.close(*self._closing)

    def _slow(self) -> None:
        self.disconnect(3008, drop=True)

    def _leave(self) -> None:
        if self.subscriptions is not None:
            self.subscriptions.clear()
        self.outbox.close(drop=True)
        if self.session is not None:
            self._services.manager.browser_disconnected(self.session.id)
            # 3000 is the protocol's word for a connection that ended without one.
            code, reason = self._closing or (3000, "connection closed")
            self._services.telemetry.emit(
                BrowserDisconnected(
                    user_id=self.session.user_id, client=self.client, code=code, reason=reason
                )
            )
