import pytest

from streampai.runtime import CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def breaker_with(clock, **options):
    changes = []
    breaker = CircuitBreaker(
        failures=3,
        cooldown=30,
        clock=clock,
        on_change=lambda old, new: changes.append((old, new)),
        **options,
    )
    return breaker, changes


def opened(clock):
    breaker, changes = breaker_with(clock)
    for _ in range(3):
        breaker.failure()
    changes.clear()
    return breaker, changes


def test_closed_it_lets_everything_through():
    breaker, changes = breaker_with(Clock())
    assert breaker.state == "closed"
    assert [breaker.allow() for _ in range(5)] == [0] * 5
    assert changes == []


def test_only_failures_in_a_row_open_it():
    breaker, changes = breaker_with(Clock())
    for _ in range(10):
        breaker.failure()
        breaker.failure()
        breaker.success()
    assert breaker.state == "closed" and changes == []
    for _ in range(3):
        breaker.failure()
    assert breaker.state == "open" and changes == [("closed", "open")]


def test_open_it_says_how_long_to_wait():
    clock = Clock()
    breaker, _ = opened(clock)
    assert breaker.allow() == 30
    clock.now += 20
    assert breaker.allow() == 10
    assert breaker.state == "open"


def test_late_failures_do_not_prolong_the_wait():
    clock = Clock()
    breaker, _ = opened(clock)
    clock.now += 20
    breaker.failure()
    assert breaker.allow() == 10


def test_after_the_cooldown_a_single_try_is_let_through():
    clock = Clock()
    breaker, changes = opened(clock)
    clock.now += 30
    assert breaker.allow() == 0
    assert breaker.state == "half_open"
    assert breaker.allow() > 0
    assert changes == [("open", "half_open")]


def test_the_try_decides():
    clock = Clock()
    breaker, changes = opened(clock)
    clock.now += 30
    breaker.allow()
    breaker.failure()
    assert breaker.state == "open" and breaker.allow() == 30
    clock.now += 30
    assert breaker.allow() == 0
    breaker.success()
    assert breaker.state == "closed" and breaker.allow() == 0
    assert [new for _, new in changes] == ["half_open", "open", "half_open", "closed"]
    # The failures before are forgotten.
    breaker.failure()
    breaker.failure()
    assert breaker.state == "closed"


def test_a_try_nobody_reports_on_does_not_block_it_for_ever():
    clock = Clock()
    breaker, _ = opened(clock)
    clock.now += 30
    assert breaker.allow() == 0
    clock.now += 29
    assert breaker.allow() == 1
    clock.now += 1
    assert breaker.allow() == 0


@pytest.mark.parametrize("options", [{"failures": 0}, {"cooldown": 0}, {"cooldown": -1}])
def test_senseless_limits_are_refused(options):
    (value,) = options.values()
    with pytest.raises(ValueError, match=f"{next(iter(options))}={value}.*expected both > 0"):
        CircuitBreaker(**options)


def test_without_options_five_failures_open_it_for_half_a_minute():
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(4):
        breaker.failure()
    assert breaker.state == "closed"
    breaker.failure()
    assert breaker.state == "open" and breaker.allow() == 30
