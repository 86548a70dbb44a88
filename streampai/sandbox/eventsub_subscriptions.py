"""EventSub's subscriptions: who may have which, how many, and what became of them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import attrs

from .agenda import Agenda
from .eventsub_session import Session
from .eventsub_types import BROADCASTER, MODERATOR, REMOVED, TYPES, USER, SubscriptionType
from .options import SandboxOptions, stamp
from .twitch_models import Token, User
from .twitch_state import TwitchState


class Refused(Exception):
    """A Helix error: status, message, and fields beside them."""

    def __init__(self, status: int, message: str, **extra: object) -> None:
        super().__init__(message)
        self.status = status
        self.extra = extra


@attrs.define(eq=False, kw_only=True)
class Subscription:
    id: str
    type: str
    version: str
    condition: dict[str, str]
    session: Session
    user: User
    client_id: str
    cost: int
    created: datetime
    status: str = "enabled"
    ended: datetime | None = None
    dropped_at: float = float("inf")
    counts_until: float = float("inf")

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The channels it is about."""
        return tuple(v for k, v in self.condition.items() if k.endswith(BROADCASTER) and v)

    def item(self) -> dict[str, Any]:
        transport = {"method": "websocket", "session_id": self.session.id}
        return {
            "id": self.id,
            "status": self.status,
            "type": self.type,
            "version": self.version,
            "condition": self.condition,
            "created_at": stamp(self.created),
            "transport": transport,
            "cost": self.cost,
        }

    def listed(self) -> dict[str, Any]:
        item = self.item()
        item["transport"]["connected_at"] = stamp(self.session.connected_at)
        if self.ended is not None:
            item["transport"]["disconnected_at"] = stamp(self.ended)
        return item


class Subscriptions:
    """All of them, enabled or ended; the ended ones are listed for about an hour."""

    def __init__(self, agenda: Agenda, twitch: TwitchState, options: SandboxOptions) -> None:
        self._agenda = agenda
        self._twitch = twitch
        self._options = options
        self._all: dict[str, Subscription] = {}
        self._enabled: dict[tuple[str, str], list[Subscription]] = {}
        # For how long a socket that broke still counts against the quotas.
        self.orphan_seconds = 0.0

    def __iter__(self) -> Iterator[Subscription]:
        now = self._agenda.now()
        for old in [s for s in self._all.values() if s.dropped_at <= now]:
            del self._all[old.id]
        return iter(list(self._all.values()))

    def enabled_for(self, kind: str, channel_id: str) -> list[Subscription]:
        return list(self._enabled.get((kind, channel_id), ()))

    def of(self, session: Session) -> list[Subscription]:
        return [s for s in self._all.values() if s.session is session and s.status == "enabled"]

    def create(self, token: Token, body: Mapping[str, Any], session: Session) -> Subscription:
        """Raises Refused with the status that Helix answers."""
        if token.user is None:
            raise Refused(401, "invalid transport and auth combination")
        kind, version = str(body.get("type", "")), str(body.get("version", ""))
        wanted = self._known(kind, version)
        condition = self._condition(wanted, body.get("condition"))
        self._check_rights(token, token.user, wanted, condition)
        self._check_quotas(token, token.user, kind, version, condition, session)
        cost = 0 if self._allowed_by(token, condition) else 1
        if cost + self.total_cost(token) > self._options.max_total_cost:
            raise Refused(429, "maximum total cost exceeded")
        made = Subscription(
            id=str(uuid4()),
            type=kind,
            version=version,
            condition=condition,
            session=session,
            user=token.user,
            client_id=token.client_id,
            cost=cost,
            created=datetime.now(UTC),
        )
        self._all[made.id] = made
        for channel_id in made.channel_ids:
            self._enabled.setdefault((kind, channel_id), []).append(made)
        return made

    def end(self, subscription: Subscription, status: str) -> None:
        """No more events by it. It stays in the list with ``status``; "" removes it."""
        for channel_id in subscription.channel_ids:
            among = self._enabled.get((subscription.type, channel_id), [])
            if subscription in among:
                among.remove(subscription)
        if not status:
            self._all.pop(subscription.id, None)
            return
        now = self._agenda.now()
        subscription.status = status
        subscription.ended = datetime.now(UTC)
        subscription.dropped_at = now + self._options.disabled_listing
        subscription.counts_until = now + self.orphan_seconds

    def get(self, subscription_id: str) -> Subscription | None:
        return self._all.get(subscription_id)

    def visible_to(self, token: Token) -> list[Subscription]:
        return [s for s in self if s.client_id == token.client_id and s.user is token.user]

    def total_cost(self, token: Token) -> int:
        return sum(s.cost for s in self._counted(token))

    def _counted(self, token: Token) -> list[Subscription]:
        now = self._agenda.now()
        mine = self.visible_to(token)
        return [s for s in mine if s.status == "enabled" or s.counts_until > now]

    def _known(self, kind: str, version: str) -> SubscriptionType:
        if (kind, version) in REMOVED:
            raise Refused(410, "This subscription type is not available.")
        wanted = TYPES.get(kind)
        if wanted is None or wanted.version != version:
            raise Refused(400, "invalid subscription type and version")
        return wanted

    def _condition(self, wanted: SubscriptionType, given: object) -> dict[str, str]:
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise Refused(400, "condition must be an object of strings")
        if missing := [name for name in wanted.condition if not given.get(name)]:
            raise Refused(400, f"missing condition: {', '.join(missing)}")
        if not wanted.condition and sum(bool(given.get(n)) for n in wanted.optional) != 1:
            raise Refused(400, "exactly one condition is needed")
        names = (*wanted.condition, *wanted.optional)
        condition = {name: given.get(name, "") for name in names}
        known = self._twitch.users
        if unknown := [
            v for k, v in condition.items() if k != "reward_id" and v and v not in known
        ]:
            raise Refused(400, f"unknown user: {unknown[0]}")
        return condition

    def _check_rights(
        self, token: Token, user: User, wanted: SubscriptionType, condition: Mapping[str, str]
    ) -> None:
        refusal = Refused(403, "subscription missing proper authorization")
        if wanted.scopes and not set(wanted.scopes) & set(token.scopes):
            raise refusal
        owner = condition.get(BROADCASTER)
        channel = self._twitch.channels.get(owner or "")
        if USER in condition:
            banned = channel is not None and user.id in channel.banned
            if condition[USER] != user.id or banned:
                raise refusal
        elif MODERATOR in condition:
            moderates = channel is not None and user.id in channel.moderators
            if condition[MODERATOR] != user.id or not (owner == user.id or moderates):
                raise refusal
        elif wanted.scopes and owner != user.id:
            raise refusal

    def _check_quotas(
        self,
        token: Token,
        user: User,
        kind: str,
        version: str,
        condition: Mapping[str, str],
        session: Session,
    ) -> None:
        on_session = self.of(session)
        if any(s.user is not user for s in on_session):
            raise Refused(
                400,
                "websocket transport cannot have subscriptions created by different users",
            )
        for other in on_session:
            if (other.type, other.version, other.condition) == (kind, version, condition):
                raise Refused(409, "subscription already exists", id=other.id)
        counted = self._counted(token)
        transports = {s.session for s in counted} | {session}
        if len(transports) > self._options.max_transports:
            raise Refused(429, "number of websocket transports limit exceeded")
        if len(on_session) >= self._options.max_subscriptions:
            raise Refused(429, "number of subscriptions on this websocket limit exceeded")

    def _allowed_by(self, token: Token, condition: Mapping[str, str]) -> bool:
        """Free when a user it is about has authorised the application."""
        return any(v and self._twitch.has_grant(token.client_id, v) for v in condition.values())
