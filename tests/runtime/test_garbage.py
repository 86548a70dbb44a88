import gc
from datetime import UTC, timedelta

import pytest
import trio

from streampai.runtime import collect_garbage_forever, tame_garbage_collector, utc_now

from .actor import settle


@pytest.fixture
def untouched_collector():
    thresholds, enabled = gc.get_threshold(), gc.isenabled()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    (gc.enable if enabled else gc.disable)()


def test_tamed_it_runs_rarely_but_runs(untouched_collector):
    tame_garbage_collector()
    assert gc.isenabled()
    assert gc.get_threshold() == (100_000, 50, 1_000)
    assert gc.get_freeze_count() > 0


async def test_the_janitor_collects_each_interval_and_tells(autojump_clock, nursery):
    told = []
    await nursery.start(
        lambda task_status: collect_garbage_forever(
            interval=60, on_collected=lambda *what: told.append(what), task_status=task_status
        )
    )
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    await trio.sleep(61)
    await settle()
    ((seconds, found),) = told
    assert seconds > 0 and found >= 1
    await trio.sleep(120)
    assert len(told) == 3


def test_wall_clock_time_knows_its_zone():
    now = utc_now()
    assert now.tzinfo is UTC
    assert abs(utc_now() - now) < timedelta(seconds=5)
