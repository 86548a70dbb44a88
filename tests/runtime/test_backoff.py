import pytest

from streampai.runtime import Backoff


def test_each_wait_may_be_twice_as_long_up_to_the_cap():
    backoff = Backoff(0.5, 10, rng=lambda: 1.0)
    assert [backoff.next() for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert backoff.attempt == 7


def test_the_jitter_is_full():
    backoff = Backoff(1, 60, rng=lambda: 0.0)
    assert {backoff.next() for _ in range(10)} == {0.0}
    waits = [Backoff(1, 60).next() for _ in range(200)]
    assert 0 <= min(waits) < 0.2 and 0.8 < max(waits) <= 1


def test_a_reset_begins_with_the_shortest():
    backoff = Backoff(1, 60, rng=lambda: 1.0)
    backoff.next(), backoff.next()
    backoff.reset()
    assert backoff.next() == 1


def test_a_fresh_one_has_the_same_bounds_and_its_own_count():
    backoff = Backoff(2, 60, rng=lambda: 1.0)
    backoff.next()
    other = backoff.fresh()
    assert (other.next(), backoff.next()) == (2, 4)


def test_it_never_overflows():
    backoff = Backoff(1e-9, 60, rng=lambda: 1.0)
    for _ in range(5000):
        wait = backoff.next()
    assert wait == 60


@pytest.mark.parametrize(("base", "cap"), [(0, 1), (-1, 1), (2, 1)])
def test_senseless_bounds_are_refused(base, cap):
    with pytest.raises(ValueError):
        Backoff(base, cap)
