"""The bounded memory of what has been seen."""

import trio

from streampai.platforms.recent_ids import RecentIds


async def test_an_id_is_new_once(autojump_clock: trio.testing.MockClock) -> None:
    ids = RecentIds(lifetime=600, capacity=10)
    assert [ids.add("a"), ids.add("b"), ids.add("a")] == [True, True, False]


async def test_an_id_is_remembered_for_its_lifetime(autojump_clock: trio.testing.MockClock) -> None:
    ids = RecentIds(lifetime=600, capacity=10)
    ids.add("a")
    await trio.sleep(599)
    assert not ids.add("a")
    await trio.sleep(2)
    assert ids.add("a")


async def test_beyond_the_capacity_the_oldest_is_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ids = RecentIds(lifetime=600, capacity=3)
    for item in "abcd":
        ids.add(item)
    assert len(ids) == 3
    assert [ids.add("d"), ids.add("a")] == [False, True]
