import random

import pytest
import trio
from trio.testing import MockClock

from streampai.cloudflare.limiter import LONGEST_INTERVAL, Lane, PollPlan, RequestBudget
from streampai.errors import RateLimited
from streampai.telemetry import Telemetry
from streampai.telemetry.events import LimiterWaited, TelemetryEvent

PER_WINDOW = 765.0


def plan() -> PollPlan:
    return PollPlan(PER_WINDOW, clock=lambda: 0.0)


def demand(poll_plan: PollPlan, wishes: dict[Lane, int], interval: float) -> float:
    """Polls in five minutes once everybody has wished."""
    for lane, count in wishes.items():
        for number in range(count):
            poll_plan.wish((lane, number), lane, interval * (20 if lane is Lane.IDLE else 1))
    total = 0.0
    for lane, count in wishes.items():
        wished = interval * (20 if lane is Lane.IDLE else 1)
        total += count * 300 / poll_plan.wish((lane, 0), lane, wished)
    return total


@pytest.mark.parametrize("count", [1, 10, 38])
def test_few_users_get_what_they_wish(count: int) -> None:
    poll_plan = plan()
    demand(poll_plan, {Lane.WAITING: count}, 15.0)
    assert poll_plan.wish((Lane.WAITING, 0), Lane.WAITING, 15.0) == 15.0


@pytest.mark.parametrize(
    "wishes",
    [
        {Lane.WAITING: 39},
        {Lane.WAITING: 200},
        {Lane.WAITING: 5000},
        {Lane.GRACE: 1000},
        {Lane.IDLE: 700, Lane.WAITING: 100, Lane.READY: 10, Lane.STREAMING: 180, Lane.GRACE: 10},
        {Lane.IDLE: 90_000},
    ],
)
def test_all_together_never_exceed_the_budget(wishes: dict[Lane, int]) -> None:
    assert demand(plan(), wishes, 15.0) <= PER_WINDOW + 1e-6


def test_a_thousand_sessions_fit_within_every_lanes_longest_interval() -> None:
    poll_plan = plan()
    wishes = {
        Lane.IDLE: 700,
        Lane.WAITING: 100,
        Lane.READY: 10,
        Lane.STREAMING: 180,
        Lane.GRACE: 10,
    }
    demand(poll_plan, wishes, 15.0)
    for lane in wishes:
        wished = 300.0 if lane is Lane.IDLE else 15.0
        assert poll_plan.wish((lane, 0), lane, wished) <= LONGEST_INTERVAL[lane]


def test_the_least_important_lane_is_stretched_first() -> None:
    poll_plan = plan()
    demand(poll_plan, {Lane.GRACE: 20, Lane.STREAMING: 30}, 15.0)
    assert poll_plan.wish((Lane.GRACE, 0), Lane.GRACE, 15.0) == 15.0
    assert 15.0 < poll_plan.wish((Lane.STREAMING, 0), Lane.STREAMING, 15.0) < 120.0


def test_who_leaves_gives_its_share_back() -> None:
    poll_plan = plan()
    demand(poll_plan, {Lane.WAITING: 60}, 15.0)
    assert poll_plan.wish((Lane.WAITING, 0), Lane.WAITING, 15.0) > 15.0
    for number in range(1, 60):
        poll_plan.forget((Lane.WAITING, number))
        poll_plan.forget((Lane.WAITING, number))
    assert poll_plan.wish((Lane.WAITING, 0), Lane.WAITING, 15.0) == 15.0


def test_polls_are_halved_while_others_use_the_quota_up() -> None:
    now = 0.0
    poll_plan = PollPlan(PER_WINDOW, clock=lambda: now)
    poll_plan.halve(100.0)
    assert poll_plan.wish("a", Lane.WAITING, 15.0) == 30.0
    now = 101.0
    assert poll_plan.wish("a", Lane.WAITING, 15.0) == 15.0


async def test_cloudflares_own_count_halves_the_polls(
    telemetry: Telemetry, autojump_clock: MockClock
) -> None:
    budget = RequestBudget(1020, telemetry=telemetry)
    budget.learn(remaining=400, quota=1200, resets_in=100)
    assert budget.polls.wish("a", Lane.WAITING, 15.0) == 15.0
    budget.learn(remaining=100, quota=1200, resets_in=100)
    assert budget.polls.wish("a", Lane.WAITING, 15.0) == 30.0


@pytest.mark.parametrize("per_window", [10, 100, 1020])
async def test_a_window_never_has_more_than_the_setting(
    telemetry: Telemetry, autojump_clock: MockClock, per_window: int
) -> None:
    budget = RequestBudget(per_window, telemetry=telemetry)
    times: list[float] = []

    async def greedy() -> None:
        while True:
            await budget.acquire(Lane.START, patience=10_000)
            times.append(trio.current_time())

    await trio.sleep(5000)
    with trio.move_on_after(1200):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(greedy)
    begin = 0
    for end, at in enumerate(times):
        while at - times[begin] >= 300:
            begin += 1
        assert end - begin + 1 <= per_window
    assert len(times) >= per_window * 3.5


async def test_who_would_wait_too_long_is_told_at_once(
    telemetry: Telemetry, heard: list[TelemetryEvent], autojump_clock: MockClock
) -> None:
    budget = RequestBudget(1020, telemetry=telemetry)
    budget.block(60.0)
    began = trio.current_time()
    with pytest.raises(RateLimited) as caught:
        await budget.acquire(Lane.STOP, patience=10)
    assert caught.value.retry_after == pytest.approx(60.0, abs=0.2)
    assert trio.current_time() == began
    await trio.sleep(55)
    await budget.acquire(Lane.STOP, patience=10)
    assert trio.current_time() - began == pytest.approx(60.0)
    assert [e.limiter for e in heard if isinstance(e, LimiterWaited)] == ["cloudflare"]


async def test_a_block_that_comes_while_waiting_ends_the_wait_in_time(
    telemetry: Telemetry, autojump_clock: MockClock
) -> None:
    budget = RequestBudget(10, telemetry=telemetry)
    await budget.acquire(Lane.STOP, patience=1)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(RateLimited):
                await budget.acquire(Lane.STOP, patience=10)

        await trio.sleep(1)
        budget.block(300)
    assert trio.current_time() - began == pytest.approx(10.0)


def test_random_wishes_never_break_the_plan() -> None:
    rng = random.Random(5)
    poll_plan = plan()
    wishes: dict[int, tuple[Lane, float]] = {}
    for _ in range(2000):
        key = rng.randrange(300)
        if rng.random() < 0.2:
            poll_plan.forget(key)
            wishes.pop(key, None)
            continue
        lane = rng.choice(list(LONGEST_INTERVAL))
        wishes[key] = (lane, rng.choice([0.1, 1.0, 15.0, 300.0]))
        assert poll_plan.wish(key, *wishes[key]) >= wishes[key][1]
    total = sum(300 / poll_plan.wish(key, *wish) for key, wish in wishes.items())
    assert total <= PER_WINDOW + 1e-6
