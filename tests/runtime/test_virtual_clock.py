"""Only Trio's clock counts, and only its deadlines (X6)."""

import ast
import time
from pathlib import Path

import pytest
import trio

import streampai.runtime
from streampai.runtime import (
    Backoff,
    CallTimeout,
    CircuitBreaker,
    Registry,
    Server,
    TokenBucket,
    open_room,
)

from .actor import Actor, Reports, running, settle, supervisor_of


@pytest.fixture(params=["steady", "a day on", "a day back"])
def wall_clock(request, monkeypatch):
    """The wall clock, jumping further at every look at it."""
    if request.param == "steady":
        return
    step = 86_400 if request.param == "a day on" else -86_400
    jumps = iter(range(10**9))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step * next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * time.time()))


class Mute(Server):
    async def handle(self, message):
        await trio.sleep_forever()


class Passing(list):
    """When what happened, in milliseconds."""

    def __call__(self, what: str) -> None:
        self.append((round(trio.current_time() * 1000), what))


async def a_life_with_all_kinds_of_periods(happened: Passing) -> None:
    reports = Reports()

    def report(told):
        reports(told)
        happened(told.what)

    a, b = Actor("a"), Actor("b")
    b.linger = 100
    supervisor = supervisor_of(
        a.spec(),
        b.spec(shutdown=0.25),
        max_restarts=3,
        max_seconds=1,
        backoff=Backoff(0.1, 0.1, rng=lambda: 1.0),
        report=report,
    )
    bucket = TokenBucket(rate=4, burst=1, name="bucket")
    breaker = CircuitBreaker(failures=1, cooldown=0.5)

    async def use_tokens():
        for _ in range(4):
            await bucket.acquire()
            happened("token")

    async def trip():
        breaker.failure()
        await trio.sleep(breaker.allow())
        assert breaker.allow() == 0
        happened("half open")

    async with open_room() as room, running(supervisor):
        room.start_soon(use_tokens)
        room.start_soon(trip)
        for _ in range(3):
            await trio.sleep(0.3)
            a.crash()
        await trio.sleep(0.3)
        await supervisor.terminate_child("b")
        server = Mute(key=("mute",), registry=Registry())
        await room.start(server.run)
        with pytest.raises(CallTimeout):
            await server.call("x", timeout=0.125)
        happened("call timed out")
        room.cancel_scope.cancel()
    happened("end")


EXPECTED = [
    (0, "started"),
    (0, "started"),
    (0, "token"),
    (250, "token"),
    (300, "exited"),
    (300, "restarting"),
    (300, "started"),
    (500, "half open"),
    (500, "token"),
    (600, "exited"),
    (600, "restarting"),
    (700, "started"),
    (750, "token"),
    (900, "exited"),
    (900, "restarting"),
    (1000, "started"),
    (1450, "abandoned"),
    (1575, "call timed out"),
    (1575, "exited"),
    # The one that lingers has been asked at 1200.
    (101_200, "end"),
]


@pytest.mark.row("X6")
async def test_jumps_of_the_wall_clock_change_nothing(autojump_clock, wall_clock):
    happened = Passing()
    await a_life_with_all_kinds_of_periods(happened)
    assert sorted(happened) == sorted(EXPECTED)


@pytest.mark.row("X6")
async def test_a_clock_that_ticks_in_milliseconds_changes_nothing(mock_clock):
    happened = Passing()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_life_with_all_kinds_of_periods, happened)
        await settle()
        for tick in range(1, 1601):
            # Ticks add up inexactly; what counts is that nothing comes early.
            mock_clock.jump(tick / 1000 - trio.current_time())
            await settle()
        mock_clock.jump(100)
    assert [what for _, what in happened][-1] == "end"
    assert sorted(happened)[:-1] == sorted(EXPECTED)[:-1]


@pytest.mark.row("X6")
async def test_after_a_day_asleep_each_deadline_passes_once(mock_clock):
    reports = Reports()
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(
        a.spec(),
        b.spec(restart_later=3600.0),
        max_restarts=1,
        backoff=Backoff(1, 1),
        report=reports,
    )
    async with running(supervisor) as run:
        for actor in (a, b, b):
            actor.crash()
            await settle()
        mock_clock.jump(86_400)
        await settle()
        assert (a.ups, b.ups) == (2, 3)
        # The window has slid past, so one more is allowed, at once.
        a.crash()
        await settle()
        assert a.ups == 3 and not run.ended.is_set()
    assert reports.whats("b").count("delayed") == 1


@pytest.mark.row("X6")
def test_nothing_but_utc_now_looks_at_the_wall_clock():
    looked = set()
    for path in Path(streampai.runtime.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
                looked.update((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                named = {alias.name for alias in node.names} & {"time", "datetime"}
                looked.update((path.name, name) for name in named)
    assert looked == {
        ("clock.py", "UTC"),
        ("clock.py", "datetime"),
        # How long a collection took, by a clock that only goes forwards.
        ("garbage.py", "perf_counter"),
    }
