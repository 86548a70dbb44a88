import orjson
import pytest

from streampai.runtime import MailboxFull, PubSub
from streampai.web.feed import Feed
from streampai.web.outbox import Outbox

TOPIC = "user_stream:1"


class Subscriber:
    def __init__(self, pubsub: PubSub, limit: int = 10_000) -> None:
        self.outbox = Outbox(limit)
        self.slow = 0
        self.ended: list[str] = []
        self.feed = Feed(
            TOPIC,
            pubsub.position(TOPIC).offset,
            self.outbox,
            slow=self._was_slow,
            ended=self.ended.append,
        )
        self.feed.subscription = pubsub.subscribe(TOPIC, self.feed)

    def _was_slow(self) -> None:
        self.slow += 1

    async def pushes(self) -> list[object]:
        return [orjson.loads(message)["push"] for message in await self.outbox.take()]


async def test_publications_arrive_in_order() -> None:
    pubsub = PubSub()
    pubsub.publish(TOPIC, b"1")
    subscriber = Subscriber(pubsub)
    pubsub.publish(TOPIC, b"2")
    pubsub.publish(TOPIC, b"3")
    pushes = [{"channel": TOPIC, "pub": {"data": n, "offset": n}} for n in (2, 3)]
    assert await subscriber.pushes() == pushes


async def test_a_hole_is_never_sent_but_ends_the_subscription() -> None:
    pubsub = PubSub()
    subscriber, other = Subscriber(pubsub), Subscriber(pubsub)
    pubsub.publish(TOPIC, b"1", exclude=subscriber.feed)
    pubsub.publish(TOPIC, b"2")
    pubsub.publish(TOPIC, b"3")
    [end] = await subscriber.pushes()
    assert end == {
        "channel": TOPIC,
        "unsubscribe": {"code": 2500, "reason": "insufficient state"},
    }
    assert subscriber.ended == [TOPIC]
    assert len(await other.pushes()) == 3, "nobody else is skipped"
    assert pubsub.subscribers(TOPIC) == 1


async def test_the_end_of_a_topics_life_lets_the_browser_resume() -> None:
    pubsub = PubSub()
    subscriber = Subscriber(pubsub)
    pubsub.drop_topic(TOPIC)
    [end] = await subscriber.pushes()
    assert end["unsubscribe"]["code"] == 2500  # type: ignore[index]
    assert subscriber.ended == [TOPIC]


async def test_a_full_outbox_is_told_once_and_others_get_everything() -> None:
    pubsub = PubSub()
    subscribers = [Subscriber(pubsub), Subscriber(pubsub, limit=100), Subscriber(pubsub)]
    for _ in range(5):
        pubsub.publish(TOPIC, b"1")
    assert [subscriber.slow for subscriber in subscribers] == [0, 1, 0]
    assert [len(await subscriber.pushes()) for subscriber in subscribers] == [5, 1, 5]
    assert pubsub.subscribers(TOPIC) == 2


async def test_a_direct_put_into_a_full_outbox_raises() -> None:
    pubsub = PubSub()
    subscriber = Subscriber(pubsub, limit=60)
    pubsub.publish(TOPIC, b"1")
    with pytest.raises(MailboxFull):
        subscriber.outbox.push(b"x" * 60)
