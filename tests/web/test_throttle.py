import pytest
import trio
from trio.testing import MockClock

from streampai.web.throttle import Throttle


async def test_a_burst_passes_and_then_the_rate_counts(autojump_clock: MockClock) -> None:
    throttle = Throttle(rate=2, burst=3)
    assert [throttle.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    await trio.sleep(0.5)
    assert throttle.take("a") == 0
    assert throttle.take("a") == pytest.approx(0.5)


async def test_keys_do_not_share_a_bucket(autojump_clock: MockClock) -> None:
    throttle = Throttle(rate=1, burst=1)
    assert throttle.take("a") == throttle.take("b") == throttle.take(1) == 0
    assert throttle.take("a") == 1


async def test_a_bucket_never_holds_more_than_a_burst(autojump_clock: MockClock) -> None:
    throttle = Throttle(rate=1, burst=2)
    throttle.take("a")
    await trio.sleep(100)
    throttle.give_back("a")
    assert [throttle.take("a") for _ in range(3)] == [0, 0, 1]


async def test_a_token_can_be_given_back(autojump_clock: MockClock) -> None:
    throttle = Throttle(rate=1, burst=1)
    throttle.take("a")
    throttle.give_back("a")
    assert throttle.take("a") == 0
    throttle.give_back("never seen")


async def test_invented_keys_do_not_fill_the_memory(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Throttle, "MAX_KEYS", 3)
    throttle = Throttle(rate=1, burst=1)
    throttle.take("first")
    for number in range(5):
        throttle.take(number)
    assert throttle.take("first") == 0, "the oldest key was forgotten"
    assert throttle.take(4) == 1
