"""The five-minute rule, on fake time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import attrs
import pytest
import trio
import trio.testing
from trio_util import AsyncValue

from streampai.cloudflare.models import InputState, InputStatus
from streampai.livestream.disconnect_clock import DisconnectClock
from streampai.livestream.transitions import StreamStatus

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def now() -> datetime:
    """A wall clock that goes with Trio's fake clock, which starts at 0."""
    return START + timedelta(seconds=trio.current_time())


@attrs.define
class Harness:
    """A clock under test, and what it has said, with the second it said it."""

    status: AsyncValue[StreamStatus] = attrs.field(
        factory=lambda: AsyncValue(StreamStatus.STREAMING)
    )
    live_input: AsyncValue[InputStatus] = attrs.field(
        factory=lambda: AsyncValue(InputStatus(state=InputState.CONNECTED))
    )
    stored: datetime | None = None
    said: list[tuple[str, float]] = attrs.field(factory=list)
    jump: timedelta = timedelta()

    def now(self) -> datetime:
        return now() + self.jump

    async def started(self, deadline: datetime) -> None:
        self.stored = deadline
        self.said.append(("started", trio.current_time()))

    async def stopped(self) -> None:
        self.stored = None
        self.said.append(("stopped", trio.current_time()))

    async def expired(self) -> None:
        self.said.append(("expired", trio.current_time()))

    def leave(self, since: datetime | None = None) -> None:
        self.live_input.value = InputStatus(
            state=InputState.DISCONNECTED, since=since if since is not None else now()
        )

    def come(self) -> None:
        self.live_input.value = InputStatus(state=InputState.CONNECTED)

    def unknown(self) -> None:
        self.live_input.value = InputStatus(state=InputState.UNKNOWN)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        clock = DisconnectClock(
            status=self.status,
            live_input=self.live_input,
            timeout=300.0,
            stored=lambda: self.stored,
            started=self.started,
            stopped=self.stopped,
            expired=self.expired,
            now=self.now,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run)
            yield
            nursery.cancel_scope.cancel()


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def test_a_stream_ends_five_minutes_after_its_encoder_left(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        await trio.sleep(10)
        harness.leave()
        await trio.sleep(299)
        assert harness.said == [("started", 10.0)]
        await trio.sleep(2)
    assert harness.said == [("started", 10.0), ("expired", 310.0)]


async def test_the_clock_starts_at_the_moment_the_encoder_left_not_when_it_was_noticed(
    harness: Harness,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with harness.running():
        await trio.sleep(100)
        harness.leave(since=START + timedelta(seconds=80))
        await trio.sleep(1_000)
    assert harness.said[-1] == ("expired", 380.0)


async def test_the_clock_stops_when_the_encoder_returns(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(299)
        harness.come()
        await trio.sleep(1_000)
    assert [word for word, _ in harness.said] == ["started", "stopped"]
    assert harness.stored is None


async def test_a_second_absence_has_its_own_five_minutes(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(200)
        harness.come()
        await trio.sleep(100)
        harness.leave()
        await trio.sleep(1_000)
    assert harness.said[-1] == ("expired", 600.0)


async def test_an_unknown_input_never_starts_the_clock(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        harness.unknown()
        await trio.sleep(10_000)
    assert harness.said == []


async def test_an_unknown_input_does_not_stop_the_clock(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(100)
        harness.unknown()
        await trio.sleep(100)
        harness.leave(since=START)
        await trio.sleep(1_000)
    assert harness.said == [("started", 0.0), ("expired", 300.0)]


async def test_a_stream_is_not_ended_while_nobody_can_say_where_its_encoder_is(
    harness: Harness,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(100)
        harness.unknown()
        await trio.sleep(1_000)
        assert [word for word, _ in harness.said] == ["started"]
        harness.come()
        await trio.sleep(1)
    assert [word for word, _ in harness.said] == ["started", "stopped"]


async def test_past_the_deadline_the_first_one_who_knows_it_is_gone_ends_the_stream(
    harness: Harness,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(100)
        harness.unknown()
        await trio.sleep(1_000)
        harness.leave(since=START)
        await trio.sleep(1)
    assert harness.said[-1] == ("expired", 1_100.0)


async def test_a_stored_deadline_is_kept_over_a_restart(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    harness.stored = START + timedelta(seconds=60)
    harness.leave(since=START - timedelta(seconds=240))
    async with harness.running():
        await trio.sleep(1_000)
    assert harness.said[-1] == ("expired", 60.0)


async def test_a_stop_in_the_meantime_ends_the_clock(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(100)
        harness.status.value = StreamStatus.ENDING
        await trio.sleep(1_000)
    assert [word for word, _ in harness.said] == ["started", "stopped"]


async def test_a_jump_of_the_wall_clock_neither_gives_nor_takes_time(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    async with harness.running():
        harness.leave()
        await trio.sleep(100)
        harness.jump = timedelta(days=1)
        await trio.sleep(199)
        assert [word for word, _ in harness.said] == ["started"]
        await trio.sleep(2)
    assert harness.said[-1] == ("expired", 300.0)


async def test_the_clock_does_not_run_outside_a_show(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    harness.status.value = StreamStatus.READY
    async with harness.running():
        harness.leave()
        await trio.sleep(1_000)
    assert harness.said == []


async def test_a_stored_deadline_is_over_when_the_encoder_came_back_while_nobody_watched(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    harness.stored = START + timedelta(seconds=60)
    harness.unknown()
    async with harness.running():
        await trio.sleep(10)
        assert harness.said == []
        harness.come()
        await trio.sleep(100)
        assert harness.said == [("stopped", 10.0)]
        harness.leave()
        await trio.sleep(1_000)
    assert harness.said[-1] == ("expired", 410.0)


async def test_another_absence_than_the_stored_one_has_its_own_five_minutes(
    harness: Harness, autojump_clock: trio.testing.MockClock
) -> None:
    harness.stored = START + timedelta(seconds=60)
    harness.leave(since=START - timedelta(seconds=10))
    async with harness.running():
        await trio.sleep(1_000)
    assert harness.said[-1] == ("expired", 290.0)
