"""The commands of one browser: worked off in order, RPCs beside them."""

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import trio

from .. import __version__
from ..commands import COMMANDS, decode_command
from ..errors import StreampaiError
from ..runtime import MailboxClosed, NotRunning
from ..settings import Secret
from . import wire
from .services import WebServices
from .throttle import Throttle
from .wire import ErrorReply, ProtocolViolation, Request

if TYPE_CHECKING:
    from .browser import BrowserSession

# Commands a browser may send at once and in the long run. A page that reloads sends
# about fifteen; a person clicks a few times a second.
COMMAND_BURST, COMMAND_RATE = 256, 50
# RPCs being worked on for one browser; client libraries give up after five seconds anyway.
MAX_RPCS = 16


class Conversation:
    """What is said before ``start`` waits for it; after ``stop`` nothing is answered any more."""

    def __init__(self, services: WebServices, browser: "BrowserSession") -> None:
        self._services = services
        self._browser = browser
        self._nursery: trio.Nursery | None = None
        # Bounded by the throttle: it never holds more than a burst.
        self._waiting: deque[Request] = deque()
        self._working = False
        self._connect_heard = False
        self._rpcs = 0
        self._throttle = Throttle(rate=COMMAND_RATE, burst=COMMAND_BURST)

    def start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._work_soon()

    def stop(self) -> None:
        self._waiting.clear()

    def hear(self, request: Request) -> bool:
        """False: too many commands. Raises ProtocolViolation when it is not connect's turn."""
        if (request.name == "connect") == self._connect_heard:
            raise ProtocolViolation("connect must be first and only once")
        if len(self._waiting) >= COMMAND_BURST or self._throttle.take(""):
            return False
        self._connect_heard = True
        self._waiting.append(request)
        self._work_soon()
        return True

    def _work_soon(self) -> None:
        if self._waiting and not self._working and self._nursery is not None:
            self._working = True
            self._nursery.start_soon(self._work, name=f"browser/{self._browser.client}/commands")

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._browser.outbox.room()
                if self._waiting:
                    request = self._waiting.popleft()
                    await self._answer(request, self._carry_out)
        finally:
            self._working = False

    async def _answer(self, request: Request, work: Any) -> None:
        """Work a command off; every way it can fail has its answer."""
        try:
            await work(request)
        except ProtocolViolation:
            self._browser.disconnect(3501)
        except ErrorReply as error:
            self._reply_error(request, error, str(error.code))
        except StreampaiError as error:
            self._reply_error(request, _as_reply(error), error.code)
        except NotRunning:
            self._reply_error(request, _as_reply(StreampaiError(code="user_restarting")))
        except MailboxClosed:
            pass  # closing meanwhile; what a command did stands on its topic

    async def _carry_out(self, request: Request) -> None:
        subscriptions = self._browser.subscriptions
        if request.name == "connect":
            await self._connect(request)
            return
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
                self._browser.refused("not_supported", "send")

    async def _connect(self, request: Request) -> None:
        """By the cookie; clients that are no browsers may send its value as their token."""
        text = wire.field(request.body, "token", "")
        if text and self._browser.token is None:
            self._browser.token = Secret(text)
        if await self._browser.log_in():
            settings = self._services.settings
            result = {
                "client": self._browser.client,
                "version": f"streampai {__version__}",
                "ping": math.ceil(settings.web.ping_interval),
                "pong": True,
                "data": {"user": self._browser.user_id, "simulated": settings.simulated},
            }
            self._reply(request, result)

    async def _refresh(self, request: Request) -> None:
        """A new token of the same user."""
        if text := wire.field(request.body, "token", ""):
            session = await self._services.storage.sessions.find(text)
            if session is None or session.user_id != self._browser.user_id:
                raise ErrorReply(109)
            self._browser.token = Secret(text)
            self._browser.renew(session)
        self._reply(request, {})

    def _begin_rpc(self, request: Request) -> None:
        if self._rpcs >= MAX_RPCS or self._nursery is None:
            raise ErrorReply(111)
        self._rpcs += 1
        self._nursery.start_soon(self._rpc, request, name=f"browser/{self._browser.client}/rpc")

    async def _rpc(self, request: Request) -> None:
        try:
            await self._answer(request, self._submit)
        finally:
            self._rpcs -= 1

    async def _submit(self, request: Request) -> None:
        method = wire.field(request.body, "method", "")
        if method not in COMMANDS:
            raise ErrorReply(104)
        command = decode_command(method, request.body.get("data"))
        user_id = self._browser.user_id
        assert user_id is not None  # there are no RPCs before connect has been answered
        await self._services.manager.user(user_id).submit(command)
        self._reply(request, {"data": {"accepted": command.id}})

    def _reply(self, request: Request, result: dict[str, Any]) -> None:
        self._browser.outbox.reply(wire.encode_reply(request, result))

    def _reply_error(self, request: Request, error: ErrorReply, code: str = "") -> None:
        self._browser.refused(code or str(error.code), request.name)
        if request.name == "connect":
            # The rest of what it sent relies on a connection that it does not have.
            self._waiting.clear()
        if not self._browser.closing:
            self._browser.outbox.reply(wire.encode_error(request, error))


def _as_reply(error: StreampaiError) -> ErrorReply:
    temporary = error.retryable or error.http_status == 503
    return ErrorReply(error.number, error.message, temporary=temporary)
