"""The loop that all platforms share, on a platform that does what the test says."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai import names
from streampai.errors import (
    BadRequest,
    PlatformRefused,
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
    StreampaiError,
)
from streampai.events import (
    Author,
    FollowReceived,
    MonitorStatus,
    MonitorStatusChanged,
    PlatformEvent,
    PlatformStreamEnded,
    PlatformStreamStarted,
    ViewersCounted,
)
from streampai.platforms.monitor import PlatformMonitor
from streampai.platforms.platform import Destination, Identity, SentMessage
from streampai.runtime import AlreadyRegistered, CircuitBreaker, Registry
from streampai.settings import PlatformSettings, load_settings
from streampai.telemetry import Telemetry
from streampai.telemetry.events import PlatformEventDropped, TelemetryEvent

from .fakes import EPOCH, spy_on, trio_now

SETTINGS: PlatformSettings = load_settings(
    {
        "STREAMPAI_BACKOFF_BASE": "1000",
        "STREAMPAI_BACKOFF_CAP": "60000",
        "PLATFORM_MONITOR_TIMEOUT": "30000",
        "STREAMPAI_VIEWERS_INTERVAL": "30000",
    }
).platforms


@attrs.define(eq=False)
class FakeConnection:
    send: "trio.MemorySendChannel[Any]"
    channel: "trio.MemoryReceiveChannel[Any]"
    missed_nothing: bool = False
    not_subscribed: tuple[str, ...] = ()
    last_heard: float = attrs.field(factory=trio.current_time)
    keepalive: float = 10.0
    failure: StreampaiError | None = None
    closed_at: float | None = None

    def say(self, what: object) -> None:
        self.last_heard = trio.current_time()
        self.send.send_nowait(what)

    def end(self, failure: StreampaiError | None) -> None:
        self.failure = failure
        self.send.close()


class FakeAccount:
    """Source and account in one. ``attempts`` scripts how connecting goes: None for well."""

    identity = Identity(platform_user_id="7001", login="pixel_pia", display_name="Pixel_Pia")

    def __init__(self) -> None:
        self.attempts: list[StreampaiError | None] = []
        self.tried_at: list[float] = []
        self.connections: list[FakeConnection] = []
        self.watchers: list[int | None | StreampaiError] = []
        self.lacks: tuple[str, ...] = ()
        self.missed_nothing = False
        self.keepalive = 10.0

    def source(self) -> "FakeAccount":
        return self

    def open(self) -> AbstractAsyncContextManager[FakeConnection]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[FakeConnection]:
        await trio.lowlevel.checkpoint()
        self.tried_at.append(trio.current_time())
        failure = self.attempts.pop(0) if self.attempts else None
        if failure is not None:
            raise failure
        connection = FakeConnection(
            *trio.open_memory_channel[Any](math.inf),
            not_subscribed=self.lacks,
            missed_nothing=self.missed_nothing,
            keepalive=self.keepalive,
        )
        self.connections.append(connection)
        yield connection
        connection.closed_at = trio.current_time()
        if connection.failure is not None:
            raise connection.failure

    def normalise(self, notification: Any, received_at: datetime) -> Sequence[PlatformEvent]:
        if isinstance(notification, BaseException):
            raise notification
        common = {
            "id": f"fake:{notification}",
            "platform": "fake",
            "user_id": 42,
            "occurred_at": received_at,
            "received_at": received_at,
        }
        match notification:
            case "online":
                return [PlatformStreamStarted(**common)]
            case "offline":
                return [PlatformStreamEnded(**common)]
        return [FollowReceived(**common, author=Author(id="1", name="n"))]

    async def viewers(self) -> int | None:
        await trio.lowlevel.checkpoint()
        answer = self.watchers.pop(0) if self.watchers else None
        if isinstance(answer, StreampaiError):
            raise answer
        return answer

    async def validate(self) -> None:
        raise NotImplementedError

    async def destination(self) -> Destination:
        raise NotImplementedError

    async def send_chat(self, text: str) -> SentMessage:
        raise NotImplementedError

    async def edit_metadata(self, *, title: str | None, category: str | None) -> None:
        raise NotImplementedError


@attrs.define
class Bench:
    account: FakeAccount = attrs.field(factory=FakeAccount)
    events: list[PlatformEvent] = attrs.field(factory=list)
    registry: Registry = attrs.field(factory=Registry)
    telemetry: Telemetry = attrs.field(factory=Telemetry)
    told: list[TelemetryEvent] = attrs.field(factory=list)
    breaker: CircuitBreaker = attrs.field(
        factory=lambda: CircuitBreaker(failures=5, cooldown=300.0)
    )
    emit_takes: float = 0.0

    async def emit(self, event: PlatformEvent) -> None:
        await trio.sleep(self.emit_takes)
        self.events.append(event)

    def make(self, **more: Any) -> PlatformMonitor:
        return PlatformMonitor(
            user_id=42,
            platform="fake",
            account=self.account,
            emit=self.emit,
            registry=self.registry,
            settings=SETTINGS,
            telemetry=self.telemetry,
            now=trio_now,
            breaker=self.breaker,
            **more,
        )

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[PlatformMonitor]:
        self.told = spy_on(self.telemetry)
        monitor = self.make(**more)
        async with trio.open_nursery() as nursery:
            await nursery.start(monitor.run)
            await wait_all_tasks_blocked()
            yield monitor
            nursery.cancel_scope.cancel()

    def statuses(self) -> list[MonitorStatusChanged]:
        return [event for event in self.events if isinstance(event, MonitorStatusChanged)]

    def words(self) -> list[str]:
        return [event.status.value for event in self.statuses()]

    def follows(self) -> list[str]:
        return [event.id for event in self.events if isinstance(event, FollowReceived)]

    def samples(self) -> list[str]:
        return [e.sample for e in self.told if isinstance(e, PlatformEventDropped)]


async def test_it_connects_and_hands_over_what_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running():
        bench.account.connections[0].say("a")
        bench.account.connections[0].say("b")
        await wait_all_tasks_blocked()
        assert bench.follows() == ["fake:a", "fake:b"]
        assert bench.words() == ["connecting", "connected"]
        assert len({event.id for event in bench.events}) == len(bench.events)


async def test_it_is_registered_while_it_runs(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    key = names.platform_monitor(42, "fake")
    async with bench.running() as monitor:
        assert bench.registry.lookup(key) is monitor
        with pytest.raises(AlreadyRegistered):
            await bench.make().run()
    assert bench.registry.lookup(key) is None


async def test_it_is_started_before_the_platform_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.make().run)
        assert bench.account.tried_at == []
        nursery.cancel_scope.cancel()


async def test_a_lost_connection_is_made_again_and_the_gap_is_named(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running():
        await trio.sleep(5)
        bench.account.connections[0].say("last words")
        await trio.sleep(7)
        bench.account.connections[0].end(PlatformUnavailable("gone"))
        await trio.sleep(2)
        connected = bench.statuses()[-1]
        assert bench.words() == ["connecting", "connected", "waiting", "connecting", "connected"]
        assert bench.statuses()[0].missed_from is None
        assert bench.statuses()[1].missed_from is None
        assert connected.missed_from == EPOCH + timedelta(seconds=5)
        assert connected.missed_until == connected.occurred_at
        assert connected.missed_until > EPOCH + timedelta(seconds=12)
        waiting = bench.statuses()[2]
        assert waiting.reason == "gone"
        assert waiting.retry_at is not None
        assert EPOCH + timedelta(seconds=12) <= waiting.retry_at <= EPOCH + timedelta(seconds=13)


async def test_no_gap_is_named_when_the_platform_fills_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running():
        bench.account.missed_nothing = True
        bench.account.connections[0].end(PlatformUnavailable("gone"))
        await trio.sleep(2)
        assert bench.words()[-1] == "connected"
        assert bench.statuses()[-1].missed_from is None


async def test_a_gap_over_failed_attempts_begins_with_the_last_life(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.attempts = [None, *[PlatformUnavailable("down")] * 3]
    async with bench.running():
        await trio.sleep(4)
        bench.account.connections[0].end(PlatformUnavailable("gone"))
        await trio.sleep(30)
        assert bench.words()[-1] == "connected"
        assert bench.statuses()[-1].missed_from == EPOCH


async def test_a_monitor_that_replaces_a_crashed_one_names_the_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    before = EPOCH - timedelta(seconds=90)
    async with bench.running(alive_until=before):
        assert bench.statuses()[-1].missed_from == before


async def test_what_was_heard_and_never_handed_over_belongs_to_the_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running() as monitor:
        await trio.sleep(5)
        bench.account.connections[0].say("handed over")
        await trio.sleep(1)
        bench.emit_takes = 10
        bench.account.connections[0].say("under way")
        await trio.sleep(1)
        bench.account.connections[0].say("waiting")
    assert monitor.alive_until == EPOCH + timedelta(seconds=6)


async def test_waits_grow_and_the_breaker_opens_and_lets_one_try_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.attempts = [PlatformUnavailable("down")] * 6
    bench.account.keepalive = 1000.0
    async with bench.running():
        await trio.sleep(100)
        tried = bench.account.tried_at
        assert len(tried) == 5
        waits = [after - before for before, after in zip(tried, tried[1:], strict=False)]
        assert all(wait <= limit for wait, limit in zip(waits, (1, 2, 4, 8), strict=True))
        opened = bench.statuses()[-1]
        assert (opened.status, opened.breaker) == (MonitorStatus.WAITING, "open")
        assert opened.retry_at == opened.occurred_at + timedelta(seconds=300)
        await trio.sleep(300)
        assert len(bench.account.tried_at) == 6
        assert [s.breaker for s in bench.statuses()[-2:]] == ["half_open", "open"]
        await trio.sleep(300)
        assert [s.breaker for s in bench.statuses()[-2:]] == ["half_open", "closed"]
        assert bench.words()[-1] == "connected"


async def test_a_connection_that_is_lost_at_once_again_does_not_shorten_the_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running() as monitor:
        for _ in range(8):
            bench.account.connections[-1].end(PlatformUnavailable("4003"))
            await wait_all_tasks_blocked()
            monitor.retry_now()
            await wait_all_tasks_blocked()
        assert monitor._backoff.attempt == 8
        await trio.sleep(20)
        bench.account.connections[-1].say("a sign of life")
        await trio.sleep(20)
        bench.account.connections[-1].end(PlatformUnavailable("gone"))
        await wait_all_tasks_blocked()
        assert monitor._backoff.attempt == 1


async def test_retry_now_cuts_a_wait_short_even_the_breakers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.attempts = [PlatformUnavailable("down")] * 5
    async with bench.running() as monitor:
        await trio.sleep(100)
        assert bench.breaker.state == "open"
        monitor.retry_now()
        await wait_all_tasks_blocked()
        assert bench.words()[-1] == "connected"
        assert trio.current_time() == 100


async def test_a_rate_limit_is_waited_for_and_is_no_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(breaker=CircuitBreaker(failures=1, cooldown=300.0))
    bench.account.attempts = [RateLimited(retry_after=77.0)]
    async with bench.running():
        await trio.sleep(76)
        assert bench.words() == ["connecting", "waiting"]
        await trio.sleep(2)
        assert bench.words()[-1] == "connected"
        assert bench.breaker.state == "closed"


async def test_a_refusal_is_tried_again_at_the_longest_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.attempts = [PlatformRefused("no rights")]
    async with bench.running():
        await trio.sleep(59)
        assert bench.words() == ["connecting", "waiting"]
        await trio.sleep(2)
        assert bench.words()[-1] == "connected"


async def test_silence_ends_a_connection_and_time_spent_by_us_is_no_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(emit_takes=50.0)
    async with bench.running():
        await trio.sleep(101)
        # Both statuses have been handed over, at 50 s each, and nothing has been said.
        assert bench.words() == ["connecting", "connected"]
        connection = bench.account.connections[0]
        connection.say("a")
        await trio.sleep(70)
        assert bench.follows() == ["fake:a"]
        assert connection.closed_at is None
        await trio.sleep(20)
        assert connection.closed_at == 101 + 50 + 30


async def test_keepalives_are_no_silence(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with bench.running():
        connection = bench.account.connections[0]
        for _ in range(10):
            await trio.sleep(20)
            connection.last_heard = trio.current_time()
        assert connection.closed_at is None
        await trio.sleep(31)
        assert connection.closed_at == 230
        assert "silent" in bench.statuses()[2].reason


async def test_a_platform_with_rare_keepalives_may_be_silent_for_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.keepalive = 600.0
    async with bench.running():
        await trio.sleep(590)
        assert bench.account.connections[0].closed_at is None
        await trio.sleep(20)
        assert bench.account.connections[0].closed_at == 600


async def test_unreadable_payloads_are_counted_sampled_and_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running():
        connection = bench.account.connections[0]
        connection.say(BadRequest("channel.follow.user_id is missing"))
        connection.say(KeyError("a text from the payload"))
        connection.say("after")
        await wait_all_tasks_blocked()
        assert bench.follows() == ["fake:after"]
        assert bench.samples() == ["channel.follow.user_id is missing", "KeyError: KeyError"]
        assert bench.words()[-1] == "connected"


async def test_a_bug_elsewhere_ends_the_monitor(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with bench.running():
            bench.account.connections[0].say(ZeroDivisionError())
            await trio.sleep(1)


async def test_viewers_are_counted_while_connected(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    bench.account.watchers = [7, None, PlatformUnavailable("slow"), RateLimited(retry_after=90), 9]
    async with bench.running():
        for _ in range(24):
            await trio.sleep(10)
            bench.account.connections[0].last_heard = trio.current_time()
        counts = [e for e in bench.events if isinstance(e, ViewersCounted)]
        assert [(e.viewers, (e.occurred_at - EPOCH).total_seconds()) for e in counts] == [
            (7, 0),
            (9, 180),
        ]
        assert len({e.id for e in counts}) == 2
        assert bench.words() == ["connecting", "connected"]


async def test_a_stream_whose_end_fell_into_a_gap_is_ended_when_it_is_no_longer_listed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.keepalive = 10_000.0
    bench.account.watchers = [7, *[None] * 9, 8, *[None] * 40]
    async with bench.running():
        await trio.sleep(600)
        ends = [e for e in bench.events if isinstance(e, PlatformStreamEnded)]
        assert ends == []
        await trio.sleep(600)
        (end,) = [e for e in bench.events if isinstance(e, PlatformStreamEnded)]
        assert (end.occurred_at - EPOCH).total_seconds() == 600


async def test_a_stream_that_has_just_begun_may_be_listed_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.keepalive = 10_000.0
    async with bench.running():
        await trio.sleep(1000)
        bench.account.connections[0].say("online")
        await trio.sleep(290)
        bench.account.watchers = [3] * 100
        await trio.sleep(1000)
        assert not [e for e in bench.events if isinstance(e, PlatformStreamEnded)]
        bench.account.connections[0].say("offline")
        bench.account.watchers = []
        await trio.sleep(1000)
        assert [e.id for e in bench.events if isinstance(e, PlatformStreamEnded)] == [
            "fake:offline"
        ]


async def test_a_stream_that_was_announced_and_never_listed_has_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.keepalive = 10_000.0
    async with bench.running():
        bench.account.connections[0].say("online")
        await trio.sleep(310)
        assert len([e for e in bench.events if isinstance(e, PlatformStreamEnded)]) == 1


async def test_a_needed_log_in_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    bench.account.attempts = [None, ReloginNeeded("removed at Twitch")]
    async with bench.running() as monitor:
        bench.account.connections[0].end(ReloginNeeded("revoked"))
        await wait_all_tasks_blocked()
        assert bench.words()[-1] == "relogin_needed"
        assert bench.statuses()[-1].reason == "revoked"
        await trio.sleep(80_000)
        assert len(bench.account.tried_at) == 1
        monitor.account_changed()
        await wait_all_tasks_blocked()
        assert bench.words()[-2:] == ["connecting", "relogin_needed"]
        monitor.account_changed()
        await wait_all_tasks_blocked()
        assert bench.words()[-1] == "connected"
        assert bench.breaker.state == "closed"


async def test_a_log_in_that_comes_while_the_need_is_being_told_is_not_missed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(emit_takes=1.0)
    bench.account.attempts = [ReloginNeeded("revoked")]
    async with bench.running() as monitor:
        await trio.sleep(1.5)
        monitor.account_changed()
        await trio.sleep(3)
        assert len(bench.account.tried_at) == 2


async def test_what_could_not_be_subscribed_is_named_and_tried_after_a_new_log_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.account.lacks = ("channel.follow",)
    async with bench.running() as monitor:
        assert bench.statuses()[-1].not_subscribed == ("channel.follow",)
        bench.account.lacks = ()
        monitor.account_changed()
        await wait_all_tasks_blocked()
        assert bench.words() == ["connecting", "connected", "connecting", "connected"]
        assert bench.statuses()[-1].not_subscribed == ()
        # A log-in that can change nothing does not touch a whole connection.
        monitor.account_changed()
        await wait_all_tasks_blocked()
        assert len(bench.account.connections) == 2


async def test_a_subscription_lost_on_the_way_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running():
        connection = bench.account.connections[0]
        await trio.sleep(20)
        connection.not_subscribed = ("channel.ban",)
        connection.last_heard = trio.current_time()
        await trio.sleep(20)
        assert bench.statuses()[-1].not_subscribed == ("channel.ban",)
        assert bench.words() == ["connecting", "connected", "connected"]


async def test_cancelling_ends_it_at_once(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with bench.running():
        pass
    assert trio.current_time() == 0
    assert bench.words() == ["connecting", "connected"]
