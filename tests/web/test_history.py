"""Recovery against a reference: whatever memory and store hold, exactly what is missing or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streampai.runtime import PubSub
from streampai.web.history import MAX_RECOVERED, TopicHistory

DURABLE, SNAPSHOTS = "platform:twitch:1", "user_stream:1"


class Stored:
    """The store's rows of one topic, from ``first`` on."""

    def __init__(self, pubsub: PubSub, first: int, last: int) -> None:
        self.rows = [(n, b"%d" % n) for n in range(first, last + 1)]
        self.asked = 0
        self._pubsub = pubsub
        self.meanwhile = 0

    async def tail(self, topic: str, *, after: int, limit: int) -> list[tuple[int, bytes]]:
        self.asked += 1
        rows = [row for row in self.rows if row[0] > after][:limit]
        for _ in range(self.meanwhile):
            publish_next(self._pubsub, topic)
        return rows

    async def last(self, topic: str, limit: int) -> list[tuple[int, bytes]]:
        return self.rows[-limit:]


def publish_next(pubsub: PubSub, topic: str) -> None:
    pubsub.publish(topic, b"%d" % (pubsub.position(topic).offset + 1))


def make(topic: str, *, published: int, remembered: int, first_stored: int) -> "Topic":
    return Topic(topic, published, remembered, first_stored)


class Topic:
    def __init__(self, topic: str, published: int, remembered: int, first_stored: int) -> None:
        self.topic = topic
        self.pubsub = PubSub(history_size=remembered)
        for _ in range(published):
            publish_next(self.pubsub, topic)
        self.stored = Stored(self.pubsub, first_stored, published)
        self.history = TopicHistory(self.pubsub, self.stored)  # type: ignore[arg-type]
        self.epoch = self.pubsub.position(topic).epoch

    async def recover(self, offset: int, epoch: str) -> list[int] | None:
        stored = await self.history.stored_since(self.topic, offset, epoch)
        rows = self.history.missing(self.topic, offset, epoch, stored)
        if rows is None:
            return None
        assert all(data == b"%d" % number for number, data in rows)
        return [number for number, _ in rows]


@given(
    durable=st.booleans(),
    published=st.integers(0, 12),
    remembered=st.integers(1, 12),
    first_stored=st.integers(1, 13),
    meanwhile=st.integers(0, 5),
    offset=st.integers(-2, 15),
    epoch=st.sampled_from(["", "same", "other"]),
)
async def test_a_client_gets_exactly_what_it_missed_or_is_told_that_it_cannot(
    durable: bool,
    published: int,
    remembered: int,
    first_stored: int,
    meanwhile: int,
    offset: int,
    epoch: str,
) -> None:
    topic = Topic(DURABLE if durable else SNAPSHOTS, published, remembered, first_stored)
    topic.stored.meanwhile = meanwhile
    given_epoch = topic.epoch if epoch == "same" else epoch
    result = await topic.recover(offset, given_epoch)
    top = topic.pubsub.position(topic.topic).offset
    memory = {p.offset for p in topic.pubsub.history(topic.topic)}
    store = {number for number, _ in topic.stored.rows} if topic.stored.asked else set()
    missing = list(range(offset + 1, top + 1))
    possible = epoch != "other" and 0 <= offset <= top and set(missing) <= memory | store
    assert result == (missing if possible else None)


async def test_the_memory_is_enough_where_it_reaches_back() -> None:
    topic = make(DURABLE, published=10, remembered=5, first_stored=1)
    assert await topic.recover(5, topic.epoch) == [6, 7, 8, 9, 10]
    assert topic.stored.asked == 0


async def test_the_store_is_asked_where_the_memory_has_less() -> None:
    topic = make(DURABLE, published=10, remembered=5, first_stored=1)
    assert await topic.recover(3, topic.epoch) == [4, 5, 6, 7, 8, 9, 10]


async def test_what_is_published_while_the_store_is_read_comes_from_memory() -> None:
    topic = make(DURABLE, published=10, remembered=5, first_stored=1)
    topic.stored.meanwhile = 4
    assert await topic.recover(2, topic.epoch) == list(range(3, 15))


async def test_snapshots_are_never_looked_for_in_the_store() -> None:
    topic = make(SNAPSHOTS, published=10, remembered=1, first_stored=1)
    assert await topic.recover(9, topic.epoch) == [10]
    assert await topic.recover(8, topic.epoch) is None
    assert topic.stored.asked == 0


async def test_a_stored_row_that_is_not_published_yet_is_left_to_come_live() -> None:
    topic = make(DURABLE, published=10, remembered=2, first_stored=1)
    topic.stored.rows.append((11, b"11"))
    assert await topic.recover(5, topic.epoch) == [6, 7, 8, 9, 10]


@pytest.mark.parametrize(("since", "reverse"), [(None, False), (None, True), (5, True)])
async def test_a_page_ends_with_what_is_published(since: int | None, reverse: bool) -> None:
    topic = make(DURABLE, published=3, remembered=2, first_stored=1)
    topic.stored.rows.append((4, b"4"))
    rows = await topic.history.page(DURABLE, since, 10, reverse=reverse)
    assert sorted(number for number, _ in rows) == [1, 2, 3]


@pytest.mark.parametrize(("gap", "recovered"), [(MAX_RECOVERED, True), (MAX_RECOVERED + 1, False)])
async def test_a_long_gap_is_answered_with_a_snapshot_instead(gap: int, recovered: bool) -> None:
    topic = make(DURABLE, published=400, remembered=400, first_stored=1)
    assert (await topic.recover(400 - gap, topic.epoch) is not None) is recovered


@pytest.mark.parametrize("name", [DURABLE, SNAPSHOTS])
@pytest.mark.parametrize(
    ("since", "limit", "reverse", "expected"),
    [
        (None, 3, False, [1, 2, 3]),
        (None, 3, True, [10, 9, 8]),
        (4, 3, False, [5, 6, 7]),
        (4, 3, True, [3, 2, 1]),
        (2, 3, True, [1]),
        (1, 3, True, []),
        (10, 3, False, []),
        (0, 2, False, [1, 2]),
        (99, 3, False, []),
        (None, 1_000, False, list(range(1, 11))),
    ],
)
async def test_history_is_paged_both_ways(
    name: str, since: int | None, limit: int, reverse: bool, expected: list[int]
) -> None:
    topic = make(name, published=10, remembered=10, first_stored=1)
    rows = await topic.history.page(name, since, limit, reverse=reverse)
    assert [number for number, _ in rows] == expected
