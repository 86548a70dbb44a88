"""One connection to EventSub, over however many sockets Twitch makes it take.

Twitch cuts a socket now and then and says so half a minute before. Then a
second socket is opened while the first is still read, and only when the second
has been welcomed is the first drained and closed: nothing is lost between them,
and what comes on both is told apart by its id. Each socket is a task of its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

import trio

from ...errors import PlatformRefused, PlatformUnavailable, ReloginNeeded, StreampaiError
from ...runtime import WebSocketFailed, open_websocket
from ..platform import Now
from ..recent_ids import RecentIds
from .models import (
    Notification,
    Reconnect,
    Revocation,
    Unreadable,
    Welcome,
    decode_message,
)
from .socket import EventSubSocket, Patience, wait_for_welcome
from .subscriptions import WANTED, Outcome, Wanted

# While the subscriptions are made nobody reads yet. Beyond this the reader
# waits, the socket fills and Twitch's side slows down, as it should.
BUFFER = 256
# Twitch's advice: an older message is a replay by somebody else.
MAX_AGE = timedelta(minutes=10)

_GONE_FOR_GOOD = {
    "authorization_revoked": "the connection to Streampai was removed or the password changed",
    "user_removed": "the account no longer exists",
}

Subscribe = Callable[[str, Sequence[Wanted]], Awaitable[Outcome]]


class EventSubConnection:
    """Fulfils ``Notifications``; made and ended by :class:`.source.EventSubSource`.

    When it ends by itself, ``failure`` has the reason and ``channel`` ends.
    ``refuse`` is told when the user has removed the authorisation, ``dropped``
    why a notification was not passed on ("duplicate", "stale").
    """

    missed_nothing = False

    def __init__(
        self,
        *,
        url: str,
        subscribe: Subscribe,
        refuse: Callable[[str], None],
        dropped: Callable[[str], None],
        seen: RecentIds,
        now: Now,
        patience: Patience,
        nursery: trio.Nursery,
    ) -> None:
        self._url = url
        self._ask_for = subscribe
        self._refuse = refuse
        self._dropped = dropped
        self._seen = seen
        self._now = now
        self._patience = patience
        self._nursery = nursery
        self._send, self.channel = trio.open_memory_channel[Notification | Unreadable](BUFFER)
        self._current: EventSubSocket | None = None
        self._granted: set[str] = set()
        self._refused: set[str] = set()
        self._failed: tuple[Wanted, ...] = ()
        # Twitch's clock less ours.
        self._ahead = timedelta()
        self.last_heard = trio.current_time()
        self.failure: StreampaiError | None = None

    @property
    def not_subscribed(self) -> tuple[str, ...]:
        failed = {wanted.type for wanted in self._failed}
        return tuple(w.type for w in WANTED if w.type in self._refused or w.type in failed)

    @property
    def keepalive(self) -> float:
        return self._current.silence_limit if self._current else self._patience.welcome

    async def begin(self) -> None:
        """Connect and subscribe. Raises why that failed."""
        socket = await self._connect(self._url)
        await self._subscribe(socket)
        self._current = socket
        self._nursery.start_soon(self._subscribe_late, name="eventsub/late_subscriptions")

    # --- Sockets -----------------------------------------------------------

    async def _connect(self, url: str) -> EventSubSocket:
        """A welcomed socket, read by a task of its own from now on."""
        opened: EventSubSocket | StreampaiError = await self._nursery.start(
            self._serve, url, name="eventsub/socket"
        )
        if isinstance(opened, StreampaiError):
            raise opened
        return opened

    async def _serve(
        self, url: str, *, task_status: "trio.TaskStatus[EventSubSocket | StreampaiError]"
    ) -> None:
        """One socket from connecting to closing. Gives the socket, or why there is none."""
        socket: EventSubSocket | None = None
        failure: StreampaiError | None = None
        try:
            async with open_websocket(url, connect_timeout=self._patience.connect) as wire:
                welcome = await wait_for_welcome(wire, self._patience.welcome)
                if isinstance(welcome, Welcome):
                    self._ahead = welcome.sent_at - self._now()
                    self.last_heard = trio.current_time()
                    socket = EventSubSocket(
                        session_id=welcome.session_id, keepalive=welcome.keepalive
                    )
                    task_status.started(socket)
                    with socket.whole:
                        socket.reason = await socket.read(wire, self._handle)
                else:
                    failure = welcome
        except WebSocketFailed as exc:
            failure = PlatformUnavailable(f"the connection to Twitch failed: {exc}")
            if socket is not None and socket.reason is None:
                socket.reason = failure
        if socket is not None:
            self._ended(socket)
        elif failure is not None:
            task_status.started(failure)

    def _ended(self, socket: EventSubSocket) -> None:
        socket.over.set()
        socket.subscribing.cancel()
        # A hand-over under way decides what the end of the old socket means.
        if socket is self._current and not socket.handing_over:
            self._fail(socket.reason)

    def _fail(self, reason: StreampaiError | None) -> None:
        if self.failure is None:
            self.failure = reason or PlatformUnavailable("the connection to Twitch has ended")
            self._send.close()

    # --- What they say -----------------------------------------------------

    async def _handle(self, socket: EventSubSocket, frame: str | bytes) -> None:
        self.last_heard = trio.current_time()
        match decode_message(frame):
            case Notification() as notification:
                await self._deliver(notification)
            case Unreadable() as unreadable:
                await self._pass_on(unreadable)
            case Reconnect(url=url):
                if not (socket.retired or socket.handing_over):
                    socket.handing_over = True
                    self._nursery.start_soon(
                        self._hand_over, socket, url, name="eventsub/hand_over"
                    )
            case Revocation() as revocation:
                self._revoked(revocation)

    async def _deliver(self, notification: Notification) -> None:
        if notification.sent_at < self._now() + self._ahead - MAX_AGE:
            self._dropped("stale")
        elif not self._seen.add(notification.message_id):
            self._dropped("duplicate")
        else:
            await self._pass_on(notification)

    async def _pass_on(self, item: Notification | Unreadable) -> None:
        try:
            await self._send.send(item)
        except trio.ClosedResourceError:
            # Another socket's end has ended the connection meanwhile.
            return

    def _revoked(self, revocation: Revocation) -> None:
        self._granted.discard(revocation.type)
        if words := _GONE_FOR_GOOD.get(revocation.status):
            reason = f"Twitch has ended the authorisation: {words}"
            self._refuse(reason)
            self._fail(ReloginNeeded(reason))
        else:
            self._refused.add(revocation.type)
            if not self._granted:
                self._fail(PlatformRefused("Twitch has ended every subscription"))

    # --- Subscriptions -----------------------------------------------------

    async def _subscribe(self, socket: EventSubSocket) -> None:
        """All that is wanted. Raises when the session is of no use."""
        outcome: Outcome | None = None
        with socket.subscribing:
            outcome = await self._ask_for(socket.session_id, WANTED)
        if outcome is None or socket.over.is_set():
            raise socket.reason or PlatformUnavailable("Twitch closed the connection")
        if (problem := outcome.problem()) is not None:
            socket.whole.cancel()
            raise problem
        self._granted = {wanted.type for wanted in outcome.granted}
        self._refused = {wanted.type for wanted in outcome.refused}
        self._failed = tuple(outcome.failed)

    async def _subscribe_late(self) -> None:
        """Ask again for what failed without being refused."""
        wait = self._patience.late
        while self.failure is None:
            await trio.sleep(wait)
            wait = min(wait * 2, self._patience.late_at_most)
            if self._failed and self._current is not None:
                try:
                    outcome = await self._ask_for(self._current.session_id, self._failed)
                except ReloginNeeded as exc:
                    self._fail(exc)
                    return
                self._granted |= {wanted.type for wanted in outcome.granted}
                self._refused |= {wanted.type for wanted in outcome.refused}
                self._failed = tuple(outcome.failed)

    # --- Twitch wants us to reconnect ---------------------------------------

    async def _hand_over(self, old: EventSubSocket, url: str) -> None:
        new = await self._follow(url) or await self._start_over(old)
        old.handing_over = False
        if new is None:
            # The old socket may live on for a while. Its end is the end of all.
            if old.over.is_set():
                self._fail(old.reason)
            return
        self._current = new
        if new.over.is_set():
            self._fail(new.reason)
        old.retire(self._patience.drain)

    async def _follow(self, url: str) -> EventSubSocket | None:
        """A socket to the address Twitch gave, verbatim; the subscriptions move there by themselves."""
        with trio.move_on_after(self._patience.reconnect):
            try:
                if urlsplit(url).scheme == urlsplit(self._url).scheme:
                    return await self._connect(url)
            except (StreampaiError, ValueError):
                # ValueError: what was given is no address at all.
                return None
        return None

    async def _start_over(self, old: EventSubSocket) -> EventSubSocket | None:
        """A socket and subscriptions made anew, while the old socket still tells us everything."""
        if old.over.is_set():
            return None
        try:
            new = await self._connect(self._url)
            await self._subscribe(new)
        except StreampaiError:
            return None
        if old.over.is_set():
            # It ended before the new one heard everything. Only connecting
            # from the beginning names the gap.
            new.whole.cancel()
            return None
        return new
