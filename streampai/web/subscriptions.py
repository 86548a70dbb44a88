"""The topics that one browser is subscribed to: who may, from where on, and who else is there.

The protocol's clients check neither gaps nor doubles, so exactness is made
here: whatever stands between reading a topic's position and putting the reply
into the outbox is free of checkpoints, and each feed counts what it passes on.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ERROR_CODES, CommandRefused
from ..runtime import Subscription
from ..telemetry.events import BrowserResumed
from . import wire
from .feed import Feed, Member
from .history import MAX_PAGE, TopicHistory
from .outbox import Outbox
from .services import WebServices
from .wire import ErrorReply, Request

if TYPE_CHECKING:
    from ..livestream import UserStreamManager

# As in the protocol's reference; a page needs about ten.
MAX_SUBSCRIPTIONS = 128
# Flag of a subscribe request: answer error 112 where recovery is impossible.
REJECT_UNRECOVERED = 2


class Subscriptions:
    """Works off subscribe, unsubscribe, history and presence for one browser of ``user_id``.

    ``tell`` puts a push into the outbox, ``slow`` is called when there was no
    room for one.
    """

    def __init__(
        self,
        *,
        client: str,
        user_id: int,
        outbox: Outbox,
        tell: Callable[[bytes], None],
        slow: Callable[[], None],
        services: WebServices,
    ) -> None:
        self._client = client
        self._user_id = user_id
        self._outbox = outbox
        self._tell = tell
        self._slow = slow
        self._pubsub = services.pubsub
        self._manager = services.manager
        self._telemetry = services.telemetry
        self._history = TopicHistory(services.pubsub, services.storage.events)
        self._feeds: dict[str, Feed] = {}

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
        reject = wire.field(body, "flag", 0) & REJECT_UNRECOVERED
        wants_joins = wire.field(body, "join_leave", False)
        stored = await self._history.stored_since(topic, *wanted) if recover else []
        # From here to the end there is no checkpoint.
        user = self._user()
        position = self._pubsub.position(topic)
        missing = self._history.missing(topic, *wanted, stored) if recover else None
        result: dict[str, Any] = {
            "recoverable": True,
            "positioned": True,
            "epoch": position.epoch,
            "offset": position.offset if missing is None else wanted[0],
        }
        if recover:
            result["was_recovering"] = True
            count = len(missing or ())
            self._telemetry.emit(
                BrowserResumed(topic=topic, recovered=missing is not None, publications=count)
            )
        if missing is not None:
            result["recovered"] = True
            if missing:
                result["publications"] = wire.publications(missing)
        elif recover and reject:
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
        if feed.subscription.active:
            self._tell_members(feed.subscription, "leave")
        feed.subscription.unsubscribe()
        return True

    def clear(self) -> None:
        for topic in list(self._feeds):
            self.end(topic)

    def presence(self, request: Request) -> dict[str, Any]:
        """The answer to presence and presence_stats. Raises ErrorReply."""
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
        since, epoch = None, ""
        if body.get("since") is not None:
            mark = wire.field(body, "since", {})
            since, epoch = wire.field(mark, "offset", 0), wire.field(mark, "epoch", "")
            if reverse and since == 0:
                raise ErrorReply(107)
        count = MAX_PAGE if limit < 0 else limit
        rows = await self._history.page(topic, since, count, reverse=reverse) if count else []
        position = self._pubsub.position(topic)
        if epoch not in ("", position.epoch):
            raise ErrorReply(112)
        result = {"epoch": position.epoch, "offset": position.offset}
        return result | ({"publications": wire.publications(rows)} if rows else {})

    def _allowed(self, body: Mapping[str, Any]) -> str:
        """The request's channel, if it exists and is this user's. Raises ErrorReply."""
        topic = wire.channel_of(body)
        owner = names.topic_owner(topic)
        if owner is None:
            raise ErrorReply(102)
        if owner != self._user_id:
            raise ErrorReply(103)
        if topic not in self._user().topics():
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
        message = wire.encode_push(subscription.topic, kind, {"info": me.info()})
        for member in self._members(subscription.topic):
            if member.wants_joins and (kind == "join" or member.client != me.client):
                member.tell(message)


def _restarting() -> ErrorReply:
    code = ERROR_CODES["user_restarting"]
    return ErrorReply(code.number, code.meaning, temporary=True)
