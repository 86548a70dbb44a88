import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streampai.runtime import TokenBucket

from .actor import settle


async def test_after_a_quiet_time_a_burst_passes_at_once_and_then_the_rate_rules(autojump_clock):
    bucket = TokenBucket(rate=2, burst=3, name="b")
    assert bucket.available == 3
    times = []
    for _ in range(7):
        await bucket.acquire()
        times.append(trio.current_time())
    assert times == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5, 2.0])
    assert bucket.available == pytest.approx(0)
    await trio.sleep(100)
    assert bucket.available == 3


async def test_they_pass_in_their_order(autojump_clock, nursery):
    bucket = TokenBucket(rate=1, burst=1, name="b")
    order = []

    async def pass_through(name, amount=1.0, priority=0):
        await bucket.acquire(amount, priority=priority)
        order.append((name, round(trio.current_time(), 6)))

    await bucket.acquire()
    for n in range(4):
        nursery.start_soon(pass_through, n)
        await settle()
    assert bucket.waiting == 4
    await trio.sleep(10)
    assert order == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert bucket.waiting == 0


async def test_the_urgent_pass_first(autojump_clock, nursery):
    bucket = TokenBucket(rate=1, burst=1, name="b")
    order = []

    async def pass_through(name, priority):
        await bucket.acquire(priority=priority)
        order.append(name)

    await bucket.acquire()
    for name, priority in [("poll", 2), ("poll 2", 2), ("edit", 1), ("stop", 0), ("edit 2", 1)]:
        nursery.start_soon(pass_through, name, priority)
        await settle()
    await trio.sleep(10)
    assert order == ["stop", "edit", "edit 2", "poll", "poll 2"]


async def test_an_expensive_one_in_front_is_not_overtaken_by_cheap_ones(autojump_clock, nursery):
    bucket = TokenBucket(rate=1, burst=10, name="b")
    order = []

    async def pass_through(amount):
        await bucket.acquire(amount)
        order.append((amount, round(trio.current_time(), 6)))

    await bucket.acquire(10)
    for amount in (5, 1, 1):
        nursery.start_soon(pass_through, amount)
        await settle()
    await trio.sleep(20)
    assert order == [(5, 5), (1, 6), (1, 7)]


async def test_a_penalty_holds_everybody_back(autojump_clock, nursery):
    bucket = TokenBucket(rate=1, burst=5, name="b")
    passed = []

    async def pass_through(priority):
        await bucket.acquire(priority=priority)
        passed.append(trio.current_time())

    bucket.penalise(60)
    bucket.penalise(10)
    assert bucket.available == 0
    for priority in (0, 1):
        nursery.start_soon(pass_through, priority)
    await trio.sleep(59)
    assert passed == []
    await trio.sleep(2)
    assert passed == [60, 60]


async def test_a_penalty_reaches_those_who_wait_already(autojump_clock, nursery):
    bucket = TokenBucket(rate=1, burst=1, name="b")
    passed = []

    async def pass_through():
        await bucket.acquire()
        passed.append(trio.current_time())

    await bucket.acquire()
    nursery.start_soon(pass_through)
    await trio.sleep(0.5)
    bucket.penalise(30)
    await trio.sleep(60)
    assert passed == [30.5]


async def test_a_cancelled_one_has_taken_nothing_and_lets_the_next_pass(autojump_clock, nursery):
    bucket = TokenBucket(rate=1, burst=4, name="b")
    await bucket.acquire(4)
    passed = []

    async def pass_through():
        await bucket.acquire()
        passed.append(trio.current_time())

    with trio.move_on_after(0.25) as scope:
        nursery.start_soon(pass_through_later, pass_through)
        await bucket.acquire(4)
    assert scope.cancelled_caught
    await trio.sleep(5)
    assert passed == [1.0]
    with trio.CancelScope() as scope:
        scope.cancel()
        await bucket.acquire()
    assert bucket.available == pytest.approx(4) and bucket.waiting == 0


async def pass_through_later(pass_through):
    await settle()
    await pass_through()


async def test_who_is_held_back_is_told_for_how_long(autojump_clock, nursery):
    told = []
    bucket = TokenBucket(rate=2, burst=2, name="api", on_wait=lambda *what: told.append(what))
    await bucket.acquire(2)
    assert told == []
    for _ in range(3):
        nursery.start_soon(bucket.acquire)
        await settle()
    assert told == [("api", 0.5), ("api", 1.0), ("api", 1.5)]
    await trio.sleep(10)
    bucket.penalise(20)
    await bucket.acquire()
    assert told[3] == ("api", 20)


async def test_more_than_ever_fits_is_refused_at_once(autojump_clock):
    bucket = TokenBucket(rate=1, burst=2, name="b")
    for amount in (3, 0, -1):
        with pytest.raises(ValueError):
            await bucket.acquire(amount)
    for options in ({"rate": 0, "burst": 1}, {"rate": 1, "burst": 0}):
        with pytest.raises(ValueError):
            TokenBucket(name="b", **options)


# Nothing in it depends on when the shared clock began.
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    asks=st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, 4), st.integers(0, 2), st.booleans()), max_size=15
    )
)
async def test_no_window_ever_sees_more_than_burst_and_rate_allow(autojump_clock, asks):
    bucket = TokenBucket(rate=2, burst=4, name="b")
    passed = []

    async def ask(amount, priority, cancel):
        with trio.move_on_after(0.7 if cancel else 1000) as scope:
            await bucket.acquire(amount, priority=priority)
        if not scope.cancelled_caught:
            passed.append((trio.current_time(), amount))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for wait, *rest in asks:
            await trio.sleep(wait)
            nursery.start_soon(ask, *rest)
    for n, (begin, _) in enumerate(passed):
        total = 0
        for end, amount in passed[n:]:
            total += amount
            assert total <= 4 + 2 * (end - begin) + 1e-6
    assert bucket.waiting == 0
    wanted = sum(amount for _, amount in passed)
    slowest = start + sum(wait for wait, *_ in asks) + wanted / 2 + 1
    assert all(end <= slowest for end, _ in passed)
