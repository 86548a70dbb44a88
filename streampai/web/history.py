"""A topic's past, from memory where that reaches back far enough, else from the store."""

from typing import TYPE_CHECKING

from ..runtime import PubSub

if TYPE_CHECKING:
    from ..storage import Events

# More than this is not replayed in one reply; the browser gets a snapshot instead.
MAX_RECOVERED = 300
MAX_PAGE = 300

Rows = list[tuple[int, bytes]]


def is_durable(topic: str) -> bool:
    """Topics whose publications are events are stored; the others carry whole snapshots."""
    return topic.startswith(("platform:", "stream_lifecycle:"))


class TopicHistory:
    """Offsets and data of publications. What reads the store raises StorageUnavailable."""

    def __init__(self, pubsub: PubSub, events: "Events") -> None:
        self._pubsub = pubsub
        self._events = events

    async def stored_since(self, topic: str, offset: int, epoch: str) -> Rows:
        """What ``missing`` will need of the store: empty where the memory has enough."""
        position = self._pubsub.position(topic)
        history = self._pubsub.history(topic)
        in_memory = bool(history) and history[0].offset <= offset + 1
        of_use = (
            is_durable(topic)
            and epoch in ("", position.epoch)
            and 0 < position.offset - offset <= MAX_RECOVERED
        )
        if in_memory or not of_use:
            return []
        return await self._events.tail(topic, after=offset, limit=MAX_RECOVERED)

    def missing(self, topic: str, offset: int, epoch: str, stored: Rows) -> Rows | None:
        """What lies between a client's position and now; None when that cannot be given whole.

        A plain call: what was published since ``stored`` was read comes from memory.
        """
        position = self._pubsub.position(topic)
        if epoch not in ("", position.epoch) or not 0 <= position.offset - offset <= MAX_RECOVERED:
            return None
        # The store may be a step ahead of what has been published.
        rows = [row for row in stored if offset < row[0] <= position.offset]
        reached = rows[-1][0] if rows else offset
        rows += [(p.offset, p.data) for p in self._pubsub.history(topic) if p.offset > reached]
        whole = [number for number, _ in rows] == list(range(offset + 1, position.offset + 1))
        return rows if whole else None

    async def page(self, topic: str, since: int | None, limit: int, *, reverse: bool) -> Rows:
        """Up to ``limit`` (MAX_PAGE at most) publications next to ``since``, which is not among
        them; from the beginning, or with ``reverse`` from the end, when it is None."""
        limit = min(limit, MAX_PAGE)
        if not is_durable(topic):
            rows = [(p.offset, p.data) for p in self._pubsub.history(topic)]
        elif reverse and since is None:
            rows = await self._events.last(topic, limit)
        elif reverse and since is not None:
            # Offsets have no holes, so these are the numbers just below it.
            rows = await self._events.tail(topic, after=max(0, since - 1 - limit), limit=limit)
        else:
            rows = await self._events.tail(topic, after=since or 0, limit=limit)
        top = self._pubsub.position(topic).offset
        if reverse:
            below = top + 1 if since is None else since
            return [row for row in reversed(rows) if row[0] < below and row[0] <= top][:limit]
        return [row for row in rows if (since or 0) < row[0] <= top][:limit]
