import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from trio_util import AsyncValue

from streampai.cloudflare import (
    Attention,
    CloudflareClient,
    CloudflareInputMonitor,
    InputState,
    InputStatus,
)
from streampai.runtime import AlreadyRegistered, Registry
from streampai.telemetry import Telemetry
from streampai.telemetry.events import InputStatusChecked, PlatformEventDropped, TelemetryEvent

from .fake_cloudflare import FakeCloudflare, fake_now
from .memory import MemoryIntents, MemoryStore

UNKNOWN, IN, OUT = InputState.UNKNOWN, InputState.CONNECTED, InputState.DISCONNECTED
INTERVAL = 15.0


class Watch:
    """One user's monitor and what it is given."""

    def __init__(
        self,
        client: CloudflareClient,
        fake: FakeCloudflare,
        telemetry: Telemetry,
        *,
        user_id: int = 42,
        registry: Registry | None = None,
        rng: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.fake = fake
        self.store = MemoryStore()
        self.intents = MemoryIntents()
        self.status: AsyncValue[InputStatus] = AsyncValue(InputStatus())
        self.attention = Attention.WATCHING
        self.history: list[InputStatus] = []
        self.registry = registry or Registry()
        self.monitor = CloudflareInputMonitor(
            user_id=user_id,
            name="demo",
            client=client,
            store=self.store,
            intents=self.intents,
            status=self.status,
            attention=lambda: self.attention,
            interval=INTERVAL,
            now=fake_now,
            telemetry=telemetry,
            registry=self.registry,
            rng=rng,
        )

    @property
    def uid(self) -> str:
        assert self.store.live_input is not None
        return self.store.live_input.uid

    async def until(self, wanted: Callable[[InputStatus], bool], within: float = 60.0) -> Any:
        with trio.fail_after(within):
            return await self.status.wait_value(wanted)


@pytest.fixture
def watch(generous_client: CloudflareClient, fake: FakeCloudflare, telemetry: Telemetry) -> Watch:
    return Watch(generous_client, fake, telemetry)


async def test_it_has_an_input_and_an_answer_when_it_is_started(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(watch.monitor.run)
    assert watch.registry.lookup(("cloudflare_input", 42)) is watch.monitor
    assert watch.monitor.live_input == watch.store.live_input
    status = watch.status.value
    assert (status.state, status.last_known, status.since) == (OUT, OUT, None)
    assert status.checked_at is not None
    assert 0 < status.next_check_in <= INTERVAL * 1.1
    nursery.cancel_scope.cancel()


async def test_it_frees_its_name_and_its_share_when_it_ends(
    watch: Watch, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.monitor.run)
        with pytest.raises(AlreadyRegistered):
            await watch.monitor.run()
        nursery.cancel_scope.cancel()
    assert watch.registry.lookup(("cloudflare_input", 42)) is None


async def test_it_sees_the_encoder_come_and_go(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(watch.monitor.run)
    watch.fake.set_status(watch.uid, "connected")
    came = fake_now()
    status = await watch.until(lambda s: s.state is IN)
    assert abs((status.since - came).total_seconds()) < 0.01
    assert status.protocol == "rtmp"
    watch.fake.set_status(watch.uid, "disconnected")
    left = fake_now()
    status = await watch.until(lambda s: s.state is OUT)
    assert abs((status.since - left).total_seconds()) < 0.01
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("fault", ["refuse", "500", "html", "garbage", "failure", "429"])
async def test_unknown_while_cloudflare_cannot_be_asked_and_never_disconnected(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fault: str
) -> None:
    await nursery.start(watch.monitor.run)
    watch.fake.set_status(watch.uid, "connected")
    before = await watch.until(lambda s: s.state is IN)
    watch.fake.retry_after = "30"
    watch.fake.fault = lambda request: fault
    status = await watch.until(lambda s: s.state is not IN)
    for _ in range(5):
        assert (status.state, status.last_known, status.since) == (UNKNOWN, IN, before.since)
        assert status.checking_failed
        assert status.next_check_in >= INTERVAL
        await trio.sleep(60)
        status = watch.status.value
    watch.fake.fault = lambda request: ""
    status = await watch.until(lambda s: s.state is IN, within=300)
    assert status.checking_failed == ""
    nursery.cancel_scope.cancel()


async def test_polling_backs_off_while_cloudflare_is_down(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(watch.monitor.run)
    watch.fake.fault = lambda request: "500"
    await watch.until(lambda s: bool(s.checking_failed))
    delays = []
    for _ in range(6):
        delays.append(watch.status.value.next_check_in)
        await trio.sleep(delays[-1] + 2)
    assert delays[0] < delays[-1] <= INTERVAL + 120
    nursery.cancel_scope.cancel()


async def test_a_refused_token_is_not_asked_again_and_again(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    await nursery.start(watch.monitor.run)
    fake.inputs[watch.uid]["uid"] = watch.uid
    answer_403(fake)
    status = await watch.until(lambda s: s.state is UNKNOWN)
    assert "API token" in status.checking_failed
    fake.requests.clear()
    await trio.sleep(INTERVAL * 15)
    assert fake.requests == []
    nursery.cancel_scope.cancel()


def answer_403(fake: FakeCloudflare) -> None:
    def strip(request: Any) -> str:
        request.headers["Authorization"] = "Bearer other"
        return ""

    fake.fault = strip


async def test_a_block_is_waited_out_before_the_next_poll(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    await nursery.start(watch.monitor.run)
    fake.retry_after = "143"
    fake.fault = lambda request: "429"
    status = await watch.until(lambda s: s.state is UNKNOWN)
    assert status.next_check_in >= 143
    fake.fault = lambda request: ""
    fake.requests.clear()
    for _ in range(10):
        watch.monitor.check_soon()
        await trio.sleep(13)
    assert fake.requests == []
    await watch.until(lambda s: s.state is OUT, within=60)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("word", ["new_configuration_accepted", "brand_new_word"])
async def test_a_word_without_evidence_keeps_the_class_and_is_reported_once(
    watch: Watch,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    heard: list[TelemetryEvent],
    word: str,
) -> None:
    await nursery.start(watch.monitor.run)
    watch.fake.set_status(watch.uid, "connected")
    before = await watch.until(lambda s: s.state is IN)
    watch.fake.set_status(watch.uid, word)
    await trio.sleep(100)
    assert (watch.status.value.state, watch.status.value.since) == (IN, before.since)
    reports = [event for event in heard if isinstance(event, PlatformEventDropped)]
    assert len(reports) == (word == "brand_new_word")
    nursery.cancel_scope.cancel()


async def test_a_silent_heartbeat_is_a_gap(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(watch.monitor.run)
    watch.fake.set_status(watch.uid, "connected")
    await watch.until(lambda s: s.state is IN)
    watch.fake.silent.add(watch.uid)
    died = fake_now()
    status = await watch.until(lambda s: s.gap, within=200)
    assert status.state is OUT
    assert abs((status.since - died).total_seconds()) < INTERVAL
    nursery.cancel_scope.cancel()


async def test_since_is_corrected_for_cloudflares_clock(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    fake.skew = timedelta(minutes=7)
    await nursery.start(watch.monitor.run)
    fake.set_status(watch.uid, "disconnected", entered=20)
    left = fake_now() - timedelta(seconds=20)
    status = await watch.until(lambda s: s.since is not None)
    assert abs((status.since - left).total_seconds()) < 2
    nursery.cancel_scope.cancel()


async def test_a_lost_input_is_replaced_when_nobody_is_live(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    await nursery.start(watch.monitor.run)
    old = watch.uid
    del fake.inputs[old]
    status = await watch.until(lambda s: "no longer" in s.reason)
    assert status.state is OUT
    assert watch.monitor.live_input is None
    await watch.until(lambda s: s.reason == "")
    assert watch.uid != old
    assert list(fake.inputs) == [watch.uid]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("attention", [Attention.LIVE, Attention.GRACE])
async def test_a_lost_input_is_not_replaced_while_a_stream_is_live(
    watch: Watch,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    fake: FakeCloudflare,
    attention: Attention,
) -> None:
    await nursery.start(watch.monitor.run)
    watch.attention = attention
    del fake.inputs[watch.uid]
    await watch.until(lambda s: "once the stream has ended" in s.reason)
    await trio.sleep(600)
    assert fake.inputs == {}
    assert watch.status.value.state is OUT
    watch.attention = Attention.WATCHING
    watch.monitor.check_soon()
    await watch.until(lambda s: s.reason == "")
    assert list(fake.inputs) == [watch.uid]
    nursery.cancel_scope.cancel()


async def test_inputs_that_vanish_as_soon_as_they_are_made_are_not_made_without_end(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    def vanish(request: Any) -> str:
        if request.method == "GET":
            fake.inputs.clear()
        return ""

    fake.fault = vanish
    await nursery.start(watch.monitor.run)
    await trio.sleep(3600)
    assert 5 < fake.count("POST") < 60
    nursery.cancel_scope.cancel()


async def test_a_first_check_that_fails_starts_it_too(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    fake.fault = lambda request: "500"
    await nursery.start(watch.monitor.run)
    assert watch.status.value.state is UNKNOWN
    assert watch.status.value.last_known is UNKNOWN
    assert watch.monitor.live_input is None
    fake.fault = lambda request: ""
    await watch.until(lambda s: s.state is OUT)
    nursery.cancel_scope.cancel()


async def test_a_crash_loses_nothing_because_the_value_is_the_parents(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    autojump_clock: MockClock,
) -> None:
    first = Watch(generous_client, fake, telemetry)
    async with trio.open_nursery() as nursery:
        await nursery.start(first.monitor.run)
        fake.set_status(first.uid, "connected")
        await first.until(lambda s: s.state is IN)
        nursery.cancel_scope.cancel()
    second = Watch(generous_client, fake, telemetry)
    second.store.live_input = first.store.live_input
    second.status.value = first.status.value
    fake.fault = lambda request: "500"
    async with trio.open_nursery() as nursery:
        await nursery.start(second.monitor.run)
        assert (second.status.value.state, second.status.value.last_known) == (UNKNOWN, IN)
        nursery.cancel_scope.cancel()


async def test_check_soon_asks_at_once_but_not_over_and_over(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    watch.attention = Attention.IDLE
    await nursery.start(watch.monitor.run)
    await trio.sleep(6)
    fake.set_status(watch.uid, "connected")
    began = trio.current_time()
    watch.monitor.check_soon()
    await watch.until(lambda s: s.state is IN)
    assert trio.current_time() - began < 0.1
    fake.requests.clear()
    for _ in range(300):
        watch.monitor.check_soon()
        await trio.sleep(0.1)
    assert 4 <= len(fake.requests) <= 7
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (Attention.WATCHING, 40),
        (Attention.LIVE, 40),
        (Attention.GRACE, 40),
        (Attention.IDLE, 2),
    ],
)
async def test_the_pace_suits_who_is_looking(
    watch: Watch,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    fake: FakeCloudflare,
    attention: Attention,
    expected: int,
) -> None:
    watch.attention = attention
    await nursery.start(watch.monitor.run)
    fake.requests.clear()
    await trio.sleep(600)
    assert abs(len(fake.requests) - expected) <= 2
    nursery.cancel_scope.cancel()


async def test_every_check_is_told_to_telemetry(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, heard: list[TelemetryEvent]
) -> None:
    await nursery.start(watch.monitor.run)
    checks = [event for event in heard if isinstance(event, InputStatusChecked)]
    assert [(check.user_id, check.state) for check in checks] == [(42, "disconnected")]
    nursery.cancel_scope.cancel()


async def test_a_key_rotated_on_request_is_stored_and_polled_on(
    watch: Watch, nursery: trio.Nursery, autojump_clock: MockClock, fake: FakeCloudflare
) -> None:
    await nursery.start(watch.monitor.run)
    before = watch.monitor.live_input
    after = await watch.monitor.rotate_key()
    assert watch.monitor.live_input == after == watch.store.live_input
    assert before is not None
    assert after.stream_key != before.stream_key
    nursery.cancel_scope.cancel()


async def test_two_hundred_inputs_keep_within_the_window_for_an_hour(
    client: CloudflareClient, fake: FakeCloudflare, telemetry: Telemetry, autojump_clock: MockClock
) -> None:
    registry = Registry()
    users = [
        Watch(client, fake, telemetry, user_id=number, registry=registry) for number in range(200)
    ]
    for number, user in enumerate(users):
        user.attention = [Attention.WATCHING, Attention.LIVE, Attention.IDLE][number % 3]
    async with trio.open_nursery() as nursery:
        for user in users:
            nursery.start_soon(user.monitor.run)
        await trio.sleep(3600)
        nursery.cancel_scope.cancel()
    assert fake.peak() <= 1020
    waits = [user.status.value.next_check_in for user in users]
    assert all(user.status.value.state is OUT for user in users)
    assert max(waits[0::3]) <= 180 * 1.1
    assert max(waits[1::3]) <= 60 * 1.1
    assert math.isclose(sum(waits[0::3]) / 67, waits[0], rel_tol=0.3)
