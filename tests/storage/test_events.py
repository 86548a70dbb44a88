import sqlite3
from datetime import UTC, datetime

import pytest

from streampai.names import platform_topic, stream_lifecycle_topic
from streampai.storage import EventRow, HoleRefused, Storage, User
from streampai.storage.times import from_milliseconds, to_milliseconds

from .conftest import OpenStore

AT = datetime(2026, 11, 22, 20, 15, tzinfo=UTC)


def row(topic: str, offset: int, sequence: int | None = None, *, named: bool = True) -> EventRow:
    sequence = offset if sequence is None else sequence
    return EventRow(
        topic=topic,
        offset=offset,
        sequence=sequence,
        event_id=f"twitch:{sequence}" if named else None,
        kind="chat_message_received",
        occurred_at=AT,
        payload=f'{{"sequence":{sequence}}}'.encode(),
    )


def payloads(*sequences: int) -> list[bytes]:
    return [f'{{"sequence":{sequence}}}'.encode() for sequence in sequences]


@pytest.fixture
def twitch(user: User) -> str:
    return platform_topic("twitch", user.id)


@pytest.fixture
def lifecycle(user: User) -> str:
    return stream_lifecycle_topic(user.id)


async def test_a_topic_keeps_its_epoch_and_counts_its_offset(
    open_store: OpenStore,
) -> None:
    async with open_store() as storage:
        user = await storage.users.add("demo", "correct horse")
        topic, other = platform_topic("twitch", user.id), platform_topic("kick", user.id)
        epoch, offset = await storage.events.position(topic)
        assert offset == 0
        other_epoch, _ = await storage.events.position(other)
        assert epoch and other_epoch and epoch != other_epoch
        await storage.events.append(user.id, None, [row(topic, 1), row(topic, 2)])
        assert await storage.events.position(topic) == (epoch, 2)
    async with open_store() as storage:
        assert await storage.events.position(topic) == (epoch, 2)
        assert await storage.events.position(other) == (other_epoch, 0)


async def test_tail_and_last_give_ranges_in_ascending_order(
    storage: Storage, user: User, twitch: str
) -> None:
    events = storage.events
    await events.append(user.id, None, [row(twitch, number) for number in range(1, 8)])
    assert await events.tail(twitch, after=2, limit=3) == list(
        zip((3, 4, 5), payloads(3, 4, 5), strict=True)
    )
    assert await events.tail(twitch, after=7, limit=3) == []
    assert await events.last(twitch, 2) == list(zip((6, 7), payloads(6, 7), strict=True))
    assert [offset for offset, _ in await events.last(twitch, 100)] == list(range(1, 8))
    assert await events.tail("platform:kick:1", after=0, limit=3) == []
    assert await events.last("platform:kick:1", 3) == []


@pytest.mark.parametrize("offsets", [[2], [0], [1, 3], [1, 1], [1, 2, 4]])
async def test_a_hole_or_a_repetition_is_refused_and_nothing_is_stored(
    storage: Storage, user: User, twitch: str, offsets: list[int]
) -> None:
    rows = [row(twitch, offset, sequence) for sequence, offset in enumerate(offsets, start=1)]
    with pytest.raises(HoleRefused, match=twitch):
        await storage.events.append(user.id, None, rows)
    assert await storage.events.last(twitch, 10) == []
    assert (await storage.events.position(twitch))[1] == 0
    await storage.events.append(user.id, None, [row(twitch, 1)])


async def test_an_append_that_repeats_the_last_one_is_refused(
    storage: Storage, user: User, twitch: str
) -> None:
    await storage.events.append(user.id, None, [row(twitch, 1)])
    with pytest.raises(HoleRefused) as caught:
        await storage.events.append(user.id, None, [row(twitch, 1)])
    assert (caught.value.expected, caught.value.got) == (2, 1)


async def test_a_sequence_number_is_used_once(
    storage: Storage, user: User, twitch: str, lifecycle: str
) -> None:
    await storage.events.append(user.id, None, [row(twitch, 1, 1)])
    with pytest.raises(sqlite3.IntegrityError):
        await storage.events.append(user.id, None, [row(lifecycle, 1, 1)])


@pytest.mark.parametrize("topic", ["platform:twitch:999", "nonsense", "platform:twitch"])
async def test_a_topic_that_is_not_the_users_is_refused(
    storage: Storage, user: User, topic: str
) -> None:
    with pytest.raises(ValueError, match="not of user"):
        await storage.events.append(user.id, None, [row(topic, 1)])


async def test_topics_are_numbered_apart_and_paged_together(
    storage: Storage, user: User, twitch: str, lifecycle: str
) -> None:
    events = storage.events
    rows = [row(lifecycle, 1, 1, named=False), row(twitch, 1, 2), row(lifecycle, 2, 3, named=False)]
    await events.append(user.id, None, rows)
    await events.append(user.id, None, [row(twitch, 2, 4), row(twitch, 3, 5)])
    assert await events.page(user.id, before_sequence=None, limit=3) == payloads(3, 4, 5)
    assert await events.page(user.id, before_sequence=3, limit=3) == payloads(1, 2)
    assert await events.page(user.id, before_sequence=1, limit=3) == []
    assert await events.last_sequence(user.id) == 5
    assert await events.recent_ids(user.id, 2) == ["twitch:4", "twitch:5"]
    assert await events.recent_ids(user.id, 10) == ["twitch:2", "twitch:4", "twitch:5"]


async def test_a_user_without_events_has_nothing(storage: Storage, user: User) -> None:
    assert await storage.events.last_sequence(user.id) == 0
    assert await storage.events.recent_ids(user.id, 10) == []
    assert await storage.events.page(user.id, before_sequence=None, limit=10) == []


async def test_events_are_each_users_own(storage: Storage, user: User, twitch: str) -> None:
    other = await storage.users.add("other", "correct horse")
    await storage.events.append(user.id, None, [row(twitch, 1)])
    assert await storage.events.last_sequence(other.id) == 0
    assert await storage.events.page(other.id, before_sequence=None, limit=10) == []
    await storage.events.append(other.id, None, [row(platform_topic("twitch", other.id), 1)])


async def test_statistics_are_stored_with_the_events_of_their_show(
    storage: Storage, user: User, twitch: str
) -> None:
    await storage.streams.begin(user.id, ["twitch"], "show-1")
    await storage.events.append(user.id, "show-1", [row(twitch, 1)], statistics=b"{1}")
    await storage.events.append(user.id, "show-1", [row(twitch, 2)])
    await storage.events.append(user.id, None, [row(twitch, 3)])
    show = await storage.streams.open_session(user.id)
    assert show is not None and show.statistics == b"{1}"
    await storage.events.append(user.id, "show-1", [], statistics=b"{2}")
    show = await storage.streams.open_session(user.id)
    assert show is not None and show.statistics == b"{2}"
    of_show = await storage.events.of_session("show-1", after_sequence=0, limit=10)
    assert of_show == list(zip((1, 2), payloads(1, 2), strict=True))


@pytest.mark.parametrize("show", [None, "unknown", "theirs"])
async def test_statistics_of_a_show_that_is_not_the_users_take_the_events_with_them(
    storage: Storage, user: User, twitch: str, show: str | None
) -> None:
    other = await storage.users.add("other", "correct horse")
    await storage.streams.begin(other.id, ["twitch"], "theirs")
    with pytest.raises(LookupError):
        await storage.events.append(user.id, show, [row(twitch, 1)], statistics=b"{}")
    assert await storage.events.last(twitch, 10) == []


async def test_reading_by_user_topic_and_show_uses_an_index(storage: Storage) -> None:
    def plans(connection: sqlite3.Connection) -> list[str]:
        queries = (
            "SELECT event_id FROM events WHERE user_id = 1 ORDER BY sequence DESC LIMIT 9",
            "SELECT max(sequence) FROM events WHERE user_id = 1",
            "SELECT payload FROM events WHERE session_id = 'a' AND sequence > 1 ORDER BY sequence",
            "SELECT payload FROM events WHERE topic_id = 1 AND offset > 5 ORDER BY offset",
        )
        return [
            detail
            for query in queries
            for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        ]

    for detail in await storage.database.read(plans):
        assert detail.startswith("SEARCH"), detail


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(2026, 11, 22, 20, 15, 30, 123000, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    ],
)
def test_a_time_comes_back_to_the_millisecond(moment: datetime) -> None:
    assert from_milliseconds(to_milliseconds(moment)) == moment


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        to_milliseconds(datetime(2026, 11, 22))
