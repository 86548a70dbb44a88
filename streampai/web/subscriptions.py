"""The topics that one browser is subscribed to: who may, from where on, and nothing twice or missing.

The protocol's clients check neither gaps nor doubles, so exactness is made
here: whatever stands between reading a topic's history and putting the reply
into the outbox is free of checkpoints, and each feed counts what it passes on.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .. import names
from ..errors import ERROR_CODES, CommandRefused
from ..runtime import Dropped, MailboxClosed, Publication, PubSub, Subscription
from ..telemetry.events import BrowserResumed
from . import wire
from .outbox import Outbox
from .wire import ErrorReply, Request

if TYPE_CHECKING:
    from ..livestream import LivestreamManager, UserStreamManager
    from ..storage import Events
    from ..telemetry import Telemetry

# As in the protocol's reference; a page needs about ten.
MAX_SUBSCRIPTIONS = 128
# More than this is not replayed in one reply; the browser gets a snapshot instead.
MAX_RECOVERED = 300
MAX_HISTORY = 300
# Flag of a subscribe request: answer error 112 where recovery is impossible.
REJECT_UNRECOVERED = 2
INSUFFICIENT_STATE = {"code": 2500, "reason": "insufficient state"}

Rows = list[tuple[int, bytes]]


@attrs.frozen
class Member:
    """Who is subscribed, as presence, join and leave tell it."""

    client: str
    user_id: int
    tell: Callable[[bytes], None]
    wants_joins: bool

    def info(self) -> dict[str, str]:
        return {"client": self.client, "user": str(self.user_id)}


class Feed:
    """Carries one topic's publications into the browser's outbox, without holes.

    PubSub calls it in the middle of publishing, so nothing here unsubscribes:
    it raises, and PubSub lets go.
    """

    __slots__ = ("_ended", "_last", "_outbox", "_slow", "_topic", "subscription")

    def __init__(
        self,
        topic: str,
        offset: int,
        outbox: Outbox,
        *,
        slow: Callable[[], None],
        ended: Callable[[str], None],
    ) -> None:
        self.subscription: Subscription | None = None
        self._topic = topic
        self._last = offset
        self._outbox = outbox
        self._slow = slow
        self._ended = ended

    def put(self, item: Publication | Dropped, /) -> None:
        """Raises MailboxFull; MailboxClosed when this publication is not the next one."""
        if isinstance(item, Dropped):
            self._resume_elsewhere()
        elif item.offset == self._last + 1:
            self._outbox.push(wire.encode_publication(item))
            self._last = item.offset
        else:
            self._resume_elsewhere()
            raise MailboxClosed("hole")

    def close(self, reason: str, /) -> None:
        """The outbox is full; PubSub lets go of this feed."""
        self._slow()

    def _resume_elsewhere(self) -> None:
        """Let the client subscribe anew; it then learns what it can have."""
        self._ended(self._topic)
        self._outbox.push(wire.encode_push(self._topic, "unsubscribe", INSUFFICIENT_STATE))


class Subscriptions:
    """Works off subscribe, unsubscribe, history and presence for one browser of ``user_id``."""

    def __init__(
        self,
        *,
        client: str,
        user_id: int,
        outbox: Outbox,
        tell: Callable[[bytes], None],
        slow: Callable[[], None],
        pubsub: PubSub,
        manager: "LivestreamManager",
        events: "Events",
        telemetry: "Telemetry",
    ) -> None:
        self._client = client
        self._user_id = user_id
        self._outbox = outbox
        self._tell = tell
        self._slow = slow
        self._pubsub = pubsub
        self._manager = manager
        self._events = events
        self._telemetry = telemetry
        self._feeds: dict[str, Feed] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    async def subscribe(self, request: Request) -> None:
        """Put the reply, and from then on publications, into the outbox. Raises ErrorReply."""
        body = request.body
        topic = self._allowed(body)
        if topic in self._feeds:
            raise ErrorReply(105)
        if len(self._feeds) >= MAX_SUBSCRIPTIONS:
            raise ErrorReply(106)
        if wire.field(body, "type", 0):
            raise ErrorReply(108)
        recover = wire.field(body, "recover", False)
        wanted = (wire.field(body, "offset", 0), wire.field(body, "epoch", ""))
        flag = wire.field(body, "flag", 0)
        wants_joins = wire.field(body, "join_leave", False)
        stored = await self._stored_since(topic, *wanted) if recover else []
        # From here to the end there is no checkpoint.
        user = self._user()
        position = self._pubsub.position(topic)
        result: dict[str, Any] = {
            "recoverable": True,
            "positioned": True,
            "epoch": position.epoch,
            "offset": position.offset,
        }
        missing = self._missing(topic, *wanted, stored) if recover else None
        if recover:
            result["was_recovering"] = True
            self._telemetry.emit(
                BrowserResumed(
                    topic=topic,
                    recovered=missing is not None,
                    publications=len(missing or ()),
                )
            )
        if missing is not None:
            result["recovered"] = True
            result["offset"] = wanted[0]
            if missing:
                result["publications"] = wire.publications(missing)
        elif recover and flag & REJECT_UNRECOVERED:
            raise ErrorReply(112)
        elif (snapshot := user.topic_snapshot(topic)) is not None:
            result["data"] = wire.embed(snapshot)
        self._outbox.reply(wire.encode_reply(request, result))
        self._open(topic, position.offset, wants_joins=wants_joins)

    def unsubscribe(self, request: Request) -> None:
        """Also for what is not subscribed: an error here would make clients reconnect."""
        self.end(wire.channel_of(request.body))
        self._outbox.reply(wire.encode_reply(request, {}))

    def end(self, topic: str) -> bool:
        """Nothing of the topic is put into the outbox any more. False when it was not subscribed."""
        feed = self._feeds.pop(topic, None)
        if feed is None or feed.subscription is None:
            return False
        self._tell_members(feed.subscription, "leave")
        feed.subscription.unsubscribe()
        return True

    def clear(self) -> None:
        for topic in list(self._feeds):
            self.end(topic)

    def presence(self, request: Request) -> dict[str, Any]:
        members = self._members(self._allowed(request.body))
        if request.name == "presence_stats":
            users = {member.user_id for member in members}
            return {"num_clients": len(members), "num_users": len(users)}
        return {"presence": {member.client: member.info() for member in members}}

    async def history(self, request: Request) -> dict[str, Any]:
        """Raises ErrorReply. A limit below zero is as many as are given at once, 0 none."""
        body = request.body
        topic = self._allowed(body)
        limit = wire.field(body, "limit", 0)
        reverse = wire.field(body, "reverse", False)
        since = wire.field(body, "since", {}) if "since" in body else None
        count = MAX_HISTORY if limit < 0 else min(limit, MAX_HISTORY)
        offset = epoch = None
        if since is not None:
            offset, epoch = wire.field(since, "offset", 0), wire.field(since, "epoch", "")
            if reverse and offset == 0:
                raise ErrorReply(107)
        rows = await self._rows(topic, offset, count, reverse=reverse) if count else []
        position = self._pubsub.position(topic)
        if epoch and epoch != position.epoch:
            raise ErrorReply(112)
        return {
            "publications": wire.publications(rows),
            "epoch": position.epoch,
            "offset": position.offset,
        }

    def _allowed(self, body: Mapping[str, Any]) -> str:
        """The request's channel, if it exists and is this user's. Raises ErrorReply."""
        topic = wire.channel_of(body)
        owner = names.topic_owner(topic)
        if owner is None:
            raise ErrorReply(102)
        if owner != self._user_id:
            raise ErrorReply(103)
        topics = self._user().topics()
        if topic not in topics:
            raise ErrorReply(102)
        if topic not in self._pubsub.topics():
            # The user's tree is coming up and has not taken up the stored position yet.
            raise _restarting()
        return topic

    def _user(self) -> "UserStreamManager":
        try:
            return self._manager.user(self._user_id)
        except CommandRefused as refusal:
            raise _restarting() from refusal

    async def _stored_since(self, topic: str, offset: int, epoch: str) -> Rows:
        """What the store has past ``offset``, where the memory does not reach back that far."""
        position = self._pubsub.position(topic)
        history = self._pubsub.history(topic)
        reaches_back = bool(history) and history[0].offset <= offset + 1
        worth_asking = (
            is_durable(topic)
            and epoch in ("", position.epoch)
            and 0 < position.offset - offset <= MAX_RECOVERED
        )
        if reaches_back or not worth_asking:
            return []
        return await self._events.tail(topic, after=offset, limit=MAX_RECOVERED)

    def _missing(self, topic: str, offset: int, epoch: str, stored: Rows) -> Rows | None:
        """What lies between the client's position and now; None when that cannot be given whole."""
        position = self._pubsub.position(topic)
        if epoch not in ("", position.epoch) or not 0 <= position.offset - offset <= MAX_RECOVERED:
            return None
        rows = [row for row in stored if offset < row[0] <= position.offset]
        reached = rows[-1][0] if rows else offset
        rows += [(p.offset, p.data) for p in self._pubsub.history(topic) if p.offset > reached]
        whole = [number for number, _ in rows] == list(range(offset + 1, position.offset + 1))
        return rows if whole else None

    async def _rows(self, topic: str, since: int | None, count: int, *, reverse: bool) -> Rows:
        """Publications next to ``since`` in the direction asked for, from the store where it has them."""
        if not is_durable(topic):
            kept = [(p.offset, p.data) for p in self._pubsub.history(topic)]
        elif since is None and reverse:
            kept = await self._events.last(topic, count)
        elif reverse and since is not None:
            # Offsets have no holes, so these are the numbers just below it.
            after = max(0, since - 1 - count)
            kept = await self._events.tail(topic, after=after, limit=count)
        else:
            kept = await self._events.tail(topic, after=since or 0, limit=count)
        if reverse:
            kept = [row for row in reversed(kept) if since is None or row[0] < since]
        else:
            kept = [row for row in kept if since is None or row[0] > since]
        # The store may be a step ahead of what has been published.
        top = self._pubsub.position(topic).offset
        return [row for row in kept if row[0] <= top][:count]

    def _open(self, topic: str, offset: int, *, wants_joins: bool) -> None:
        feed = Feed(topic, offset, self._outbox, slow=self._slow, ended=self._forget)
        member = Member(self._client, self._user_id, self._tell, wants_joins)
        feed.subscription = self._pubsub.subscribe(topic, feed, metadata=member)
        self._feeds[topic] = feed
        self._tell_members(feed.subscription, "join")

    def _forget(self, topic: str) -> None:
        self._feeds.pop(topic, None)

    def _members(self, topic: str) -> list[Member]:
        return [
            subscription.metadata
            for subscription in self._pubsub.subscriptions(topic)
            if isinstance(subscription.metadata, Member)
        ]

    def _tell_members(self, subscription: Subscription, kind: str) -> None:
        """Pushes for those who asked for them; the one who joins is told too, after its reply."""
        me: Member = subscription.metadata
        frame = wire.encode_push(subscription.topic, kind, {"info": me.info()})
        for member in self._members(subscription.topic):
            if member.wants_joins and (kind == "join" or member.client != me.client):
                member.tell(frame)


def _restarting() -> ErrorReply:
    code = ERROR_CODES["user_restarting"]
    return ErrorReply(code.number, code.meaning, temporary=True)


def is_durable(topic: str) -> bool:
    """Topics whose publications are events are stored; the others carry whole snapshots."""
    return topic.startswith(("platform:", "stream_lifecycle:"))
