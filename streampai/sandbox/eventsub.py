"""EventSub over WebSocket: sockets, the reconnect dance, delivery, and what may go wrong with it."""

import random
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import attrs

from .agenda import Agenda, Entry
from .connection import Connection
from .eventsub_delivery import Dispatcher
from .eventsub_session import Frame, Session, Socket, envelope
from .eventsub_subscriptions import Refused, Subscription, Subscriptions
from .eventsub_trouble import ENDINGS, REASONS, EventSubKnobs
from .options import SandboxOptions
from .twitch_models import Grant, Token
from .twitch_state import TwitchState


@attrs.define(eq=False)
class Handover:
    """One reconnect URL: good once, while the old socket is open."""

    old: Session
    taken: bool = False


class EventSub:
    """The hub. All but ``serve`` are plain calls."""

    def __init__(
        self, agenda: Agenda, twitch: TwitchState, options: SandboxOptions, rng: random.Random
    ) -> None:
        self._agenda = agenda
        self._options = options
        self._rng = rng
        self.url = ""
        self.knobs = EventSubKnobs()
        self.sessions: dict[str, Session] = {}
        self.subscriptions = Subscriptions(agenda, twitch, options)
        self.dispatcher = Dispatcher(agenda, self.subscriptions, self.knobs, rng)
        self.deliveries = self.dispatcher.books
        self._handovers: dict[str, Handover] = {}
        self._next_cut: Entry | None = None
        twitch.on_revoked = self._grant_ended

    # Sockets

    def admit(self, arguments: Mapping[str, str]) -> bool:
        """Whether a handshake is answered at all."""
        if "challenge" in arguments:
            return not self.knobs.refuse_reconnect
        if self.knobs.refuse_sockets > 0:
            self.knobs.refuse_sockets -= 1
            return False
        return True

    async def serve(
        self, socket: Socket, connection: Connection, arguments: Mapping[str, str]
    ) -> None:
        """One socket's life, from its welcome to its end."""
        old = None
        if "challenge" in arguments or "id" in arguments:
            old = self._hand_over(arguments)
            if old is None:
                await socket.close(4007, REASONS[4007])
                return
        keepalive = old.keepalive if old else self._keepalive(arguments)
        session = Session(connection, keepalive=keepalive)
        self.sessions[session.id] = session
        # The welcome is in the queue before any event can be.
        session.welcome()
        for subscription in self.subscriptions.of(old) if old else ():
            subscription.session = session
        self._close_when_unused(session)
        try:
            await session.run(socket)
        finally:
            self._ended(session)

    def _hand_over(self, arguments: Mapping[str, str]) -> Session | None:
        """The session that a reconnect URL continues; None for a wrong, used or late one."""
        handover = self._handovers.get(arguments.get("challenge", ""))
        if handover is None or handover.taken:
            return None
        if not handover.old.open or handover.old.id != arguments.get("id"):
            return None
        handover.taken = True
        return handover.old

    def _keepalive(self, arguments: Mapping[str, str]) -> int:
        """Out-of-range numbers are clamped, as by the real service."""
        try:
            wanted = int(arguments.get("keepalive_timeout_seconds", ""))
        except ValueError:
            return self._options.keepalive_default
        return min(max(wanted, self._options.keepalive_floor), 600)

    def _close_when_unused(self, session: Session) -> None:
        def check() -> None:
            if session.open and not self.subscriptions.of(session):
                session.close(4003, REASONS[4003])

        self._agenda.after(self._options.unused_timeout, check)

    def _ended(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        code = session.closing[0] if session.closing else 0
        status = ENDINGS.get(code, "websocket_disconnected")
        for subscription in self.subscriptions.of(session):
            self.subscriptions.end(subscription, status)

    # Subscriptions

    def subscribe(self, token: Token, body: Mapping[str, Any]) -> Subscription:
        """Raises Refused."""
        transport = body.get("transport")
        if not isinstance(transport, dict) or transport.get("method") != "websocket":
            raise Refused(400, "transport must be a websocket: the sandbox has no other")
        session = self.sessions.get(str(transport.get("session_id")))
        if session is None or not session.open or session.closing:
            raise Refused(
                400, "websocket transport session does not exist or has already disconnected"
            )
        return self.subscriptions.create(token, body, session)

    def unsubscribe(self, subscription: Subscription) -> None:
        self.subscriptions.end(subscription, "")
        self._close_when_unused(subscription.session)

    def revoke(self, subscription: Subscription, status: str = "authorization_revoked") -> None:
        self.subscriptions.end(subscription, status)
        subscription.session.send(
            Frame(
                envelope(
                    "revocation",
                    {"subscription": subscription.item()},
                    subscription_type=subscription.type,
                    subscription_version=subscription.version,
                )
            )
        )
        self._close_when_unused(subscription.session)

    def revoke_some(self, login: str, kind: str, status: str) -> int:
        """Revoke what ``login`` has of ``kind`` (all kinds when empty). The number of them."""
        mine = [
            s
            for s in self.subscriptions
            if s.status == "enabled" and s.user.login == login and kind in ("", s.type)
        ]
        for subscription in mine:
            self.revoke(subscription, status)
        return len(mine)

    def _grant_ended(self, grant: Grant) -> None:
        for subscription in self.subscriptions:
            of_grant = (subscription.user, subscription.client_id) == (grant.user, grant.client_id)
            if of_grant and subscription.status == "enabled":
                self.revoke(subscription)

    # Trouble on purpose

    def open_sessions(self, login: str = "") -> list[Session]:
        """The sockets, or those that ``login`` has subscribed on, oldest first."""
        found = [s for s in self.sessions.values() if s.open]
        if not login:
            return found
        return [s for s in found if any(x.user.login == login for x in self.subscriptions.of(s))]

    def cut(self, login: str = "", *, code: int = 0) -> int:
        """End sockets: without a word, or with a close code. The number of them."""
        sessions = self.open_sessions(login)
        for session in sessions:
            if code:
                session.close(code, REASONS.get(code, ""))
            else:
                session.cut()
        return len(sessions)

    def silence(self, login: str = "", *, silent: bool = True) -> int:
        """Sockets stay open and nothing comes, not even keepalives."""
        sessions = self.open_sessions(login)
        for session in sessions:
            session.silent = silent
        return len(sessions)

    def reconnect(self, login: str = "") -> int:
        """Send ``session_reconnect``; the old sockets end when the grace is over."""
        sessions = [s for s in self.open_sessions(login) if not s.closing]
        for session in sessions:
            challenge = str(uuid4())
            # Kept for ever, so that a reused URL is known as such; one per reconnect asked for.
            self._handovers[challenge] = Handover(session)
            url = f"{self.url}?challenge={challenge}&id={session.id}"
            state = session.describe(
                "reconnecting", reconnect_url=url, keepalive_timeout_seconds=None
            )
            session.send(Frame(envelope("session_reconnect", state)))
            grace = self._options.reconnect_grace
            self._agenda.after(grace, partial(session.close, 4004, REASONS[4004]))
        return len(sessions)

    def heal(self) -> None:
        """No more trouble."""
        for knob in attrs.fields(EventSubKnobs):
            setattr(self.knobs, knob.name, knob.default)
        self.cut_every(0)
        self.silence(silent=False)

    def cut_every(self, seconds: float) -> None:
        """Cut some socket every ``seconds`` on average from now on; 0 stops that."""
        self.knobs.cut_every = seconds
        if self._next_cut is not None:
            self._next_cut.cancel()
            self._next_cut = None
        if seconds > 0:
            self._plan_cut()

    def _plan_cut(self) -> None:
        def strike() -> None:
            if sessions := self.open_sessions():
                self._rng.choice(sessions).cut()
            self._plan_cut()

        wait = max(0.01, self._rng.expovariate(1 / self.knobs.cut_every))
        self._next_cut = self._agenda.after(wait, strike)

    def state(self, last: int) -> dict[str, Any]:
        return {
            "sockets": [
                {
                    "session_id": s.id,
                    "users": sorted({x.user.login for x in self.subscriptions.of(s)}),
                    "subscriptions": len(self.subscriptions.of(s)),
                    "silent": s.silent,
                    "sent": s.sent,
                    "keepalive": s.keepalive,
                }
                for s in self.sessions.values()
            ],
            "subscriptions": [{**s.item(), "user": s.user.login} for s in self.subscriptions],
            "delivered": self.dispatcher.state(last),
        }
