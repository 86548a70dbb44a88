"""One user's durable events: numbered, recognised, stored, and only then published.

The writer is stream_state/42. ``enter`` gives an event its numbers, ``store`` makes
what was entered durable in one transaction, ``publish`` puts it on its topic. A
successor that ``load``s takes the numbers up from storage, publishes what its
predecessor stored and could not publish any more, and knows the ids it has seen.
"""

from collections import OrderedDict
from collections.abc import Collection

from .. import names
from ..events import Event as AnyEvent
from ..events import PlatformEvent, encode_event, event_type
from ..runtime import PubSub
from ..storage import EventRow, Storage

CATCH_UP_PAGE = 1_000


class Journal:
    def __init__(
        self,
        *,
        user_id: int,
        platforms: Collection[str],
        storage: Storage,
        pubsub: PubSub,
        history_size: int,
        dedupe_window: int,
    ) -> None:
        self._user_id = user_id
        self._events = storage.events
        self._pubsub = pubsub
        self._history_size = history_size
        self._dedupe_window = dedupe_window
        self._platform_topics = {
            platform: names.platform_topic(platform, user_id) for platform in platforms
        }
        self._lifecycle_topic = names.stream_lifecycle_topic(user_id)
        self._tops: dict[str, int] = {}
        # The ids of the newest events, oldest first; bounded by ``dedupe_window``.
        self._seen: OrderedDict[str, None] = OrderedDict()
        # Entered and not published yet: at most what one batch of the mailbox brings.
        self._rows: list[EventRow] = []
        self.sequence = 0

    async def load(self) -> None:
        """Take up where storage stands. Raises StorageUnavailable."""
        for topic in (*self._platform_topics.values(), self._lifecycle_topic):
            await self._continue_topic(topic)
        self.sequence = await self._events.last_sequence(self._user_id)
        for known in await self._events.recent_ids(self._user_id, self._dedupe_window):
            self._seen[known] = None

    async def _continue_topic(self, topic: str) -> None:
        """Take up a stored topic's life: its epoch, its numbers, its last publications."""
        epoch, top = await self._events.position(topic)
        self._tops[topic] = top
        if topic in self._pubsub.topics() and self._pubsub.position(topic).epoch == epoch:
            while (published := self._pubsub.position(topic).offset) < top:
                page = await self._events.tail(topic, after=published, limit=CATCH_UP_PAGE)
                for _, payload in page:
                    self._pubsub.publish(topic, payload)
            return
        recent = await self._events.last(topic, self._history_size)
        self._pubsub.open_topic(topic, epoch=epoch, offset=top, publications=recent)

    def enter(self, event: AnyEvent) -> bool:
        """Number an event; False when its id is known, and then nothing has changed."""
        if event.id in self._seen:
            return False
        self._seen[event.id] = None
        if len(self._seen) > self._dedupe_window:
            self._seen.popitem(last=False)
        if isinstance(event, PlatformEvent):
            topic = self._platform_topics[event.platform]
        else:
            topic = self._lifecycle_topic
        self.sequence += 1
        self._tops[topic] += 1
        self._rows.append(
            EventRow(
                topic=topic,
                offset=self._tops[topic],
                sequence=self.sequence,
                event_id=event.id,
                kind=event_type(event),
                occurred_at=event.occurred_at,
                payload=encode_event(event, sequence=self.sequence),
            )
        )
        return True

    @property
    def pending(self) -> bool:
        """Something has been entered that is not published."""
        return bool(self._rows)

    async def store(self, session_id: str | None, statistics: bytes | None) -> None:
        """Make what was entered durable. Raises StorageUnavailable, and may then be repeated."""
        await self._events.append(self._user_id, session_id, self._rows, statistics=statistics)

    def publish(self) -> None:
        """Publish what has been stored."""
        for row in self._rows:
            self._pubsub.publish(row.topic, row.payload)
        self._rows = []
