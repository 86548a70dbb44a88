"""EventSub over WebSocket: sockets, the reconnect dance, delivery, and what may go wrong with it."""

import random
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import attrs

from .agenda import Agenda, Entry
from .connection import Connection
from .eventsub_session import Delivery, Frame, Session, Socket, envelope
from .eventsub_subscriptions import Refused, Subscription, Subscriptions
from .options import SandboxOptions, stamp
from .twitch_state import Channel, Grant, Token, TwitchState

# Per channel; long enough for a storm of chat to be compared event by event.
DELIVERIES_KEPT = 20_000

# What a subscription's status becomes when its socket closed with a code.
ENDINGS: Mapping[int, str] = {
    4000: "websocket_internal_error",
    4001: "websocket_received_inbound_traffic",
    4002: "websocket_failed_ping_pong",
    4003: "websocket_connection_unused",
    4004: "websocket_failed_to_reconnect",
    4005: "websocket_network_timeout",
    4006: "websocket_network_error",
    4007: "websocket_failed_to_reconnect",
}
REASONS: Mapping[int, str] = {
    4000: "internal server error",
    4001: "sent inbound traffic",
    4002: "client failed ping pong",
    4003: "connection unused",
    4004: "client reconnect grace time expired",
    4005: "network timeout",
    4006: "network error",
    4007: "invalid reconnect",
}


@attrs.define(kw_only=True)
class EventSubKnobs:
    """Probabilities per event, 0 to 1; seconds where named so.

    ``duplicate`` resends with the same message id, ``repeat`` with another one.

    ``cut_every``: a socket is cut without a word every so many seconds on
    average; 0 never. ``refuse_sockets``: so many connection attempts are
    answered 503. ``refuse_reconnect``: reconnect URLs are answered 503.
    """

    duplicate: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    malformed: float = 0.0
    late: float = 0.0
    late_seconds: float = 1.0
    cut_every: float = 0.0
    refuse_sockets: int = 0
    refuse_reconnect: bool = False


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
        self._twitch = twitch
        self._options = options
        self._rng = rng
        self.url = ""
        self.knobs = EventSubKnobs()
        self.sessions: dict[str, Session] = {}
        self.subscriptions = Subscriptions(agenda, twitch, options)
        self.deliveries: dict[str, deque[Delivery]] = {}
        self._number = 0
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
        if "challenge" in arguments or "id" in arguments:
            handover = self._handovers.get(arguments.get("challenge", ""))
            if (
                handover is None
                or handover.taken
                or not handover.old.open
                or handover.old.id != arguments.get("id")
            ):
                await socket.close(4007, REASONS[4007])
                return
            handover.taken = True
            session = Session(connection, keepalive=handover.old.keepalive)
            for subscription in self.subscriptions.of(handover.old):
                subscription.session = session
        else:
            session = Session(connection, keepalive=self._keepalive(arguments))
        self.sessions[session.id] = session
        self._close_when_unused(session)
        try:
            await session.run(socket)
        finally:
            self._ended(session)

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

    # Delivery

    def emit(
        self, kind: str, channel: Channel, event: Mapping[str, Any], *, id: str = "", act: str = ""
    ) -> Delivery:
        """One event of ``channel`` for everybody subscribed. ``act`` joins the events of one act."""
        self._number += 1
        delivery = Delivery(number=self._number, kind=kind, id=id, act=act, at=stamp())
        book = self.deliveries.setdefault(channel.owner.login, deque(maxlen=DELIVERIES_KEPT))
        book.append(delivery)
        for subscription in self.subscriptions.enabled_for(kind, channel.owner.id):
            if _concerns(subscription, channel, event):
                self._deliver(subscription, event, delivery)
        return delivery

    def _deliver(
        self, subscription: Subscription, event: Mapping[str, Any], delivery: Delivery
    ) -> None:
        frame = Frame(self._notification(subscription, event, delivery), delivery)
        delay = self.knobs.late_seconds if self._happens(self.knobs.late) else 0.0
        self._agenda.after(delay, lambda: self._send(subscription, frame))
        if self._happens(self.knobs.repeat):
            again = Frame(self._notification(subscription, event, delivery))
            self._agenda.after(delay, lambda: self._send(subscription, again))

    def _notification(
        self, subscription: Subscription, event: Mapping[str, Any], delivery: Delivery
    ) -> str:
        message_id = str(uuid4())
        delivery.message_ids.append(message_id)
        return envelope(
            "notification",
            {"subscription": subscription.item(), "event": event},
            message_id=message_id,
            subscription_type=subscription.type,
            subscription_version=subscription.version,
        )

    def _send(self, subscription: Subscription, frame: Frame) -> None:
        session = subscription.session
        if session.overtaken is None and self._happens(self.knobs.reorder):
            session.overtaken = frame
            self._agenda.after(0.2, lambda: _let_pass(session, frame))
            return
        session.send(frame)
        if self._happens(self.knobs.duplicate):
            session.send(Frame(frame.text))
        if self._happens(self.knobs.malformed):
            session.send(Frame(self._rng.choice(malformed(subscription))))
        if session.overtaken is not None:
            _let_pass(session, session.overtaken)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

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
        self.knobs = EventSubKnobs()
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
            "delivered": {
                login: [
                    {
                        "number": d.number,
                        "kind": d.kind,
                        "id": d.id or next(iter(d.message_ids), ""),
                        "act": d.act,
                        "at": d.at,
                        "message_ids": d.message_ids,
                        "delivered": d.delivered > 0,
                    }
                    for d in list(book)[-last:]
                ]
                for login, book in self.deliveries.items()
            },
        }


def _let_pass(session: Session, frame: Frame) -> None:
    if session.overtaken is frame:
        session.overtaken = None
        session.send(frame)


def _concerns(subscription: Subscription, channel: Channel, event: Mapping[str, Any]) -> bool:
    condition = subscription.condition
    if subscription.type == "channel.raid":
        # The same raid is two events: one for where it comes from, one for where it goes.
        incoming = event["to_broadcaster_user_id"] == channel.owner.id
        side = "to" if incoming else "from"
        return condition[f"{side}_broadcaster_user_id"] == channel.owner.id
    reward = condition.get("reward_id", "")
    return not reward or event.get("reward", {}).get("id") == reward


def malformed(subscription: Subscription) -> list[str]:
    """Frames that no client should choke on."""
    notice = {
        "subscription_type": subscription.type,
        "subscription_version": subscription.version,
    }
    item = subscription.item()
    return [
        '{"metadata": {"message_type": "notific',
        "[]",
        envelope("notification", {"subscription": item}, **notice),
        envelope("notification", {"subscription": item, "event": {}}, **notice),
        envelope("notification", {"subscription": item, "event": None}, **notice),
        envelope("notification", {}, subscription_type="channel.unheard_of"),
        envelope("session_surprise", {"session": {"id": 5}}),
    ]
