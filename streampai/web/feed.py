"""One browser's subscription of one topic."""

from collections.abc import Callable

import attrs

from ..runtime import Dropped, MailboxClosed, Publication, Subscription
from . import wire
from .outbox import Outbox

INSUFFICIENT_STATE = {"code": 2500, "reason": "insufficient state"}


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
    """Carries a topic's publications into the browser's outbox, none missing and none twice.

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
            self._let_resume()
        elif item.offset == self._last + 1:
            self._outbox.push(wire.encode_publication(item))
            self._last = item.offset
        else:
            self._let_resume()
            raise MailboxClosed("hole")

    def close(self, reason: str, /) -> None:
        """The outbox is full; PubSub lets go of this feed."""
        self._slow()

    def _let_resume(self) -> None:
        """The client subscribes anew at once, with its position, and learns what it can have."""
        self._ended(self._topic)
        self._outbox.push(wire.encode_push(self._topic, "unsubscribe", INSUFFICIENT_STATE))
