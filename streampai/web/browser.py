"""One browser: a WebSocket that speaks the Centrifuge client protocol.

    browser/{client}     the WebSocket's handler; takes from the outbox and writes
    ├── commands         in order, while there are any
    └── rpc …            beside them, bounded

Frames come in by :meth:`BrowserSession.receive`, a plain call from the task
that reads the socket, so a flood meets the rate limit before any queue.
Everything that goes out stands in one outbox, in the order it was caused.
"""

import math
import random
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from .. import __version__
from ..commands import COMMANDS, decode_command
from ..errors import StorageUnavailable, StreampaiError
from ..runtime import MailboxClosed, MailboxFull, NotRunning
from ..settings import Secret
from ..telemetry.events import BrowserConnected, BrowserDisconnected, RequestRefused
from . import wire
from .outbox import Outbox
from .services import WebServices
from .socket import BrowserSocket, SocketGone
from .subscriptions import Subscriptions
from .throttle import Throttle
from .wire import CLOSE_REASONS, ErrorReply, ProtocolViolation, Request

if TYPE_CHECKING:
    from ..storage import Session

# All in seconds. A page connects within the second that it is loaded.
STALE_AFTER = 15.0
PONG_TIMEOUT = 8.0
# How long a browser may take to accept what is left and the close frame.
CLOSE_GRACE = 1.0
# A log-in that was ended by another process, such as a change of password, is noticed by then.
SESSION_CHECK = 60.0
# Commands a browser may send at once and in the long run. A page that reloads sends
# about fifteen; a person clicks a few times a second.
COMMAND_BURST, COMMAND_RATE = 256, 50
# RPCs being worked on for one browser; SDKs give up after five seconds anyway.
MAX_RPCS = 16


class BrowserSession:
    """Serves one WebSocket. ``token`` is the cookie's, None when there was none."""

    def __init__(self, services: WebServices, socket: BrowserSocket, token: Secret | None) -> None:
        self._services = services
        self._settings = services.settings.web
        self._socket = socket
        self._token = token
        self.client = str(uuid.uuid4())
        self.session: Session | None = None
        self._admit: Callable[[BrowserSession], bool] = lambda _: True
        self.outbox = Outbox(self._settings.max_queue)
        self._subscriptions: Subscriptions | None = None
        self._inbox: deque[Request] = deque()
        self._working = False
        self._connect_seen = False
        self._rpcs = 0
        self._commands = Throttle(rate=COMMAND_RATE, burst=COMMAND_BURST)
        self._nursery: trio.Nursery | None = None
        self._closing: tuple[int, str] | None = None
        now = trio.current_time()
        # The one moment at which something is due; what it is depends on the state.
        self._stale_at = now + STALE_AFTER
        self._abort_at = math.inf
        # The first ping comes after a random part, so that browsers that came at once spread.
        self._ping_at = now + self._settings.ping_interval * random.uniform(0.5, 1)
        self._pong_due = math.inf
        self._check_at = now + SESSION_CHECK
        self._expires_at = math.inf

    @property
    def user_id(self) -> int | None:
        return None if self.session is None else self.session.user_id

    @property
    def closing(self) -> bool:
        return self._closing is not None

    async def run(self, admit: "Callable[[BrowserSession], bool]") -> None:
        """Serve until the browser leaves (which cancels), breaks the protocol or is sent away.

        ``admit`` is asked when it is known whose browser it is; False means too many.
        """
        self._admit = admit
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
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
            requests = wire.decode(frame)
            if self._commands.take("", len(requests)):
                self.disconnect(3013)
                return
            for request in requests:
                self._accept(request)
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
        self._inbox.clear()
        self.outbox.close(drop=drop)
        if code in (1009, 3013, 3501):
            self._refused(
                {1009: "too_large", 3013: "rate_limited"}.get(code, "bad_request"), "frame"
            )

    def tick(self, now: float) -> None:
        """What is due at ``now``. Called several times a second for all browsers by one task."""
        if self._closing is not None:
            if now >= self._abort_at:
                self.abort()
        elif self._subscriptions is None:
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

    def push(self, frame: bytes) -> None:
        """Put a push into the outbox; a browser that has no room for it is told ``slow``."""
        try:
            self.outbox.push(frame)
        except MailboxFull:
            self._slow()
        except MailboxClosed:
            pass

    def unsubscribe(self, topic: str) -> None:
        """End a subscription from our side."""
        if self._subscriptions is not None and self._subscriptions.end(topic):
            reason = {"code": 2000, "reason": "server unsubscribe"}
            self.push(wire.encode_push(topic, "unsubscribe", reason))

    # --- out -------------------------------------------------------------------

    async def _write_frames(self) -> None:
        try:
            while True:
                await self._socket.send(await self.outbox.take())
        except MailboxClosed:
            pass
        except SocketGone:
            return
        if self._closing is not None:
            with suppress(SocketGone):
                await self._socket.close(*self._closing)

    def _slow(self) -> None:
        self.disconnect(3008, drop=True)

    def _leave(self) -> None:
        if self._subscriptions is not None:
            self._subscriptions.clear()
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

    # --- in --------------------------------------------------------------------

    def _accept(self, request: Request) -> None:
        if request.name == "pong":
            if self._pong_due == math.inf:
                raise ProtocolViolation("a pong that nobody asked for")
            self._pong_due = math.inf
            return
        if (request.name == "connect") == self._connect_seen:
            raise ProtocolViolation("connect must be first and only once")
        self._connect_seen = True
        self._inbox.append(request)
        if not self._working and self._nursery is not None:
            self._working = True
            self._nursery.start_soon(self._work, name=f"browser/{self.client}/commands")

    async def _work(self) -> None:
        try:
            while self._inbox:
                await self.outbox.room()
                if self._inbox:
                    await self._answer(self._inbox.popleft())
        finally:
            self._working = False

    async def _answer(self, request: Request) -> None:
        try:
            await self._carry_out(request)
        except ProtocolViolation:
            self.disconnect(3501)
        except ErrorReply as error:
            self._reply_error(request, error)
        except MailboxClosed:
            pass  # closing meanwhile: there is nobody to answer
        except StreampaiError as error:
            self._reply_error(request, _as_reply(error), error.code)
        except NotRunning:
            self._reply_error(request, _as_reply(StreampaiError(code="user_restarting")))

    async def _carry_out(self, request: Request) -> None:
        if request.name == "connect":
            await self._connect(request)
            return
        subscriptions = self._subscriptions
        if subscriptions is None:
            # The connect before was answered with an error.
            raise ProtocolViolation("not connected")
        match request.name:
            case "subscribe":
                await subscriptions.subscribe(request)
            case "unsubscribe":
                subscriptions.unsubscribe(request)
            case "presence" | "presence_stats":
                self._reply(request, subscriptions.presence(request))
            case "history":
                self._reply(request, await subscriptions.history(request))
            case "rpc":
                self._begin_rpc(request)
            case "publish":
                wire.channel_of(request.body)
                raise ErrorReply(103)
            case "refresh":
                await self._refresh(request)
            case "sub_refresh":
                # No subscription has a token of its own, so none is ever renewed.
                raise ErrorReply(108)
            case _:  # send, which has no answer and no meaning here
                self._refused("not_supported", "send")

    def _reply(self, request: Request, result: dict[str, Any]) -> None:
        self.outbox.reply(wire.encode_reply(request, result))

    def _reply_error(self, request: Request, error: ErrorReply, code: str = "") -> None:
        self._refused(code or str(error.code), request.name)
        if request.name == "connect":
            self._inbox.clear()
        with suppress(MailboxClosed):
            self.outbox.reply(wire.encode_error(request, error))

    def _refused(self, code: str, where: str) -> None:
        self._services.telemetry.emit(
            RequestRefused(user_id=self.user_id, code=code, where=f"websocket {where}")
        )

    # --- the log-in ------------------------------------------------------------

    async def _connect(self, request: Request) -> None:
        services = self._services
        if (text := wire.field(request.body, "token", "")) and self._token is None:
            self._token = Secret(text)
        session = await self._find_session()
        if session is None:
            self.disconnect(3500)
            return
        self.session = session
        services.manager.browser_connected(session.id, session.user_id)
        services.telemetry.emit(BrowserConnected(user_id=session.user_id, client=self.client))
        if not self._admit(self):
            self.disconnect(3504)
            return
        await services.manager.ensure_user(session.user_id)
        self._expires_at = self._end_of(session)
        self._subscriptions = Subscriptions(
            client=self.client,
            user_id=session.user_id,
            outbox=self.outbox,
            tell=self.push,
            slow=self._slow,
            pubsub=services.pubsub,
            manager=services.manager,
            events=services.storage.events,
            telemetry=services.telemetry,
        )
        ping = math.ceil(self._settings.ping_interval)
        data = {"user": session.user_id, "simulated": services.settings.simulated}
        self._reply(
            request,
            {
                "client": self.client,
                "version": f"streampai {__version__}",
                "ping": ping,
                "pong": True,
                "data": data,
            },
        )

    async def _find_session(self) -> "Session | None":
        if self._token is None:
            return None
        return await self._services.storage.sessions.find(self._token.reveal())

    def _end_of(self, session: "Session") -> float:
        left = (session.expires_at - self._services.now()).total_seconds()
        return trio.current_time() + left

    async def _refresh(self, request: Request) -> None:
        """A new token for the same user, from a client that logs in by token."""
        if text := wire.field(request.body, "token", ""):
            session = await self._services.storage.sessions.find(text)
            if session is None or session.user_id != self.user_id:
                raise ErrorReply(109)
            self._token = Secret(text)
            self._expires_at = self._end_of(session)
        self._reply(request, {})

    async def _check_session(self) -> None:
        try:
            session = await self._find_session()
        except StorageUnavailable:
            return  # says nothing about the session; the next check asks again
        if session is None:
            self.disconnect(3500, "logged out")

    # --- RPC -------------------------------------------------------------------

    def _begin_rpc(self, request: Request) -> None:
        if self._rpcs >= MAX_RPCS or self._nursery is None:
            raise ErrorReply(111)
        self._rpcs += 1
        self._nursery.start_soon(self._rpc, request, name=f"browser/{self.client}/rpc")

    async def _rpc(self, request: Request) -> None:
        method = ""
        try:
            method = wire.field(request.body, "method", "")
            if method not in COMMANDS:
                raise ErrorReply(104)
            command = decode_command(method, request.body.get("data"))
            assert self.session is not None
            await self._services.manager.user(self.session.user_id).submit(command)
            self._reply(request, {"data": {"accepted": command.id}})
        except ErrorReply as error:
            self._reply_error(request, error)
        except MailboxClosed:
            pass  # closing meanwhile; the command's outcome stands on its topic
        except StreampaiError as error:
            self._reply_error(request, _as_reply(error), error.code)
        except NotRunning:
            self._reply_error(request, _as_reply(StreampaiError(code="user_restarting")))
        finally:
            self._rpcs -= 1


def _as_reply(error: StreampaiError) -> ErrorReply:
    temporary = error.retryable or error.http_status == 503
    return ErrorReply(error.number, error.message, temporary=temporary)
