from datetime import UTC, datetime, timedelta

import pytest
import trio

from streampai.errors import CommandRefused
from streampai.storage import Storage, StreamSession, User

from .conftest import Clock, OpenStore


async def test_a_show_goes_from_its_beginning_to_its_end(
    storage: Storage, user: User, clock: Clock
) -> None:
    streams = storage.streams
    begun = await streams.begin(user.id, ["twitch", "kick"], "show-1")
    assert begun == StreamSession(
        id="show-1",
        user_id=user.id,
        phase="starting",
        platforms=("twitch", "kick"),
        started_at=clock(),
    )
    assert await streams.open_session(user.id) == begun

    deadline = clock() + timedelta(minutes=5)
    await streams.set_phase("show-1", "streaming")
    await streams.set_platforms("show-1", ("twitch",))
    await streams.set_deadline("show-1", deadline)
    running = await streams.open_session(user.id)
    assert running is not None
    assert (running.phase, running.platforms) == ("streaming", ("twitch",))
    assert running.disconnect_deadline == deadline
    await streams.set_deadline("show-1", None)
    running = await streams.open_session(user.id)
    assert running is not None and running.disconnect_deadline is None

    await streams.set_phase("show-1", "ending", "encoder_gone")
    ending = await streams.open_session(user.id)
    assert ending is not None and (ending.phase, ending.reason) == ("ending", "encoder_gone")

    clock.forward(hours=2)
    await streams.finish("show-1", "stopped", {"messages": 7})
    assert await streams.open_session(user.id) is None
    (ended,) = await streams.recent(user.id, 10)
    assert (ended.phase, ended.reason, ended.summary) == ("finished", "stopped", {"messages": 7})
    assert ended.ended_at == clock()


async def test_a_user_has_one_show_at_a_time(storage: Storage, user: User) -> None:
    other = await storage.users.add("other", "correct horse")
    refused = []

    async def begin(number: int) -> None:
        try:
            await storage.streams.begin(user.id, ["twitch"], f"show-{number}")
        except CommandRefused as error:
            refused.append(error.code)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(begin, number)
    assert refused == ["already_streaming"] * 7
    await storage.streams.begin(other.id, ["twitch"], "theirs")
    open_shows = await storage.streams.open_sessions()
    assert [show.user_id for show in open_shows] == [user.id, other.id]


async def test_an_end_that_is_said_twice_stands_as_it_was_first_said(
    storage: Storage, user: User, clock: Clock
) -> None:
    await storage.streams.begin(user.id, ["twitch"], "show-1")
    await storage.streams.finish("show-1", "stopped", {"messages": 1})
    clock.forward(minutes=1)
    await storage.streams.finish("show-1", "encoder_gone", {"messages": 2})
    (ended,) = await storage.streams.recent(user.id, 1)
    assert (ended.reason, ended.summary) == ("stopped", {"messages": 1})
    assert ended.ended_at == ended.started_at


async def test_a_finished_show_does_not_change_and_an_unknown_one_is_an_error(
    storage: Storage, user: User
) -> None:
    streams = storage.streams
    await streams.begin(user.id, ["twitch"], "show-1")
    await streams.finish("show-1", "stopped", {})
    before = await streams.recent(user.id, 1)
    # A second Stop, or a clock, may come a moment after the end.
    assert await streams.set_phase("show-1", "ending", "stopped") is False
    await streams.set_platforms("show-1", ["kick"])
    await streams.set_deadline("show-1", datetime.now(UTC))
    assert await streams.recent(user.id, 1) == before
    with pytest.raises(LookupError):
        await streams.set_phase("show-2", "ending")
    with pytest.raises(LookupError):
        await streams.set_platforms("show-2", ["kick"])
    with pytest.raises(LookupError):
        await streams.finish("show-2", "stopped", {})


@pytest.mark.parametrize("phase", ["finished", "paused", ""])
async def test_only_the_phases_of_a_running_show_can_be_set(
    storage: Storage, user: User, phase: str
) -> None:
    await storage.streams.begin(user.id, ["twitch"], "show-1")
    with pytest.raises(ValueError, match="starting, streaming, ending"):
        await storage.streams.set_phase("show-1", phase)


async def test_recent_shows_come_newest_first(storage: Storage, user: User, clock: Clock) -> None:
    for number in range(4):
        await storage.streams.begin(user.id, ["twitch"], f"show-{number}")
        await storage.streams.finish(f"show-{number}", "stopped", {})
        if number:
            clock.forward(hours=1)
    recent = await storage.streams.recent(user.id, 3)
    assert [show.id for show in recent] == ["show-3", "show-2", "show-1"]
    assert len(await storage.streams.recent(user.id, 10)) == 4


async def test_an_open_show_survives_a_restart(open_store: OpenStore) -> None:
    async with open_store() as storage:
        user = await storage.users.add("demo", "correct horse")
        begun = await storage.streams.begin(user.id, ["twitch"], "show-1")
    async with open_store() as storage:
        assert await storage.streams.open_sessions() == [begun]
