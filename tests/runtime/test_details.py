"""What broken copies of the runtime got away with, until these were written."""

from collections import Counter

import pytest
import trio

from streampai.runtime import (
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    InvalidSpec,
    NotFound,
    Restart,
    Restarting,
    Running,
    Shutdown,
    StartFailed,
    Strategy,
    Supervisor,
    SupervisorFailed,
)
from streampai.runtime.supervision import SLICE

from .actor import Actor, Boom, Reports, actors, listed, running, settle, supervisor_of

WAITING = Backoff(1, 1)


def test_a_dynamic_supervisor_has_the_same_limits_by_default():
    supervisor = DynamicSupervisor(name="dyn")
    assert (supervisor.max_restarts, supervisor.max_seconds) == (3, 5.0)


async def test_what_is_refused_names_the_child(autojump_clock):
    for supervisor in (
        supervisor_of(backoff=WAITING),
        DynamicSupervisor(name="dyn", backoff=WAITING),
    ):
        a = Actor("a")
        static = isinstance(supervisor, Supervisor)
        refused = []

        async def refuse(error, call, *, into=refused):
            with pytest.raises(error) as caught:
                await call
            into.append(caught.value.id)

        async with running(supervisor):
            await supervisor.start_child(a.spec())
            await refuse(AlreadyStarted, supervisor.start_child(a.spec()))
            if static:
                await refuse(Running, supervisor.restart_child("a"))
                await refuse(Running, supervisor.delete_child("a"))
            a.refuse = Boom()
            a.crash()
            await settle()
            await refuse(Restarting, supervisor.start_child(a.spec()))
            if static:
                await refuse(Restarting, supervisor.restart_child("a"))
                with pytest.raises(Restarting) as caught:
                    supervisor.change(strategy=Strategy.ONE_FOR_ALL)
                refused.append(caught.value.id)
            await supervisor.terminate_child("a")
            if static:
                await refuse(AlreadyPresent, supervisor.start_child(a.spec()))
        assert refused == ["a"] * (7 if static else 2)


@pytest.mark.parametrize(
    ("change", "field", "value", "expected"),
    [
        ({"strategy": 1}, "strategy", 1, "one of ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE"),
        (
            {"auto_shutdown": 1},
            "auto_shutdown",
            1,
            "one of NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT",
        ),
        ({"children": [1]}, "children", 1, "a ChildSpec"),
        ({"max_restarts": -1}, "max_restarts", -1, "a whole number, at least 0"),
        ({"max_seconds": 0}, "max_seconds", 0, "seconds, more than 0 and finite"),
    ],
)
@pytest.mark.parametrize("at", ["start", "change"])
def test_a_wrong_flag_is_named_with_its_value_and_what_it_must_be(
    at, change, field, value, expected
):
    with pytest.raises(InvalidSpec) as caught:
        if at == "start":
            Supervisor(name="top", **change)
        else:
            Supervisor(name="top").change(**change)
    wrong = caught.value
    assert (wrong.field, wrong.value, wrong.expected) == (field, value, expected)


async def test_a_wrong_spec_of_a_dynamic_child_is_named_as_well():
    supervisor = DynamicSupervisor(name="dyn")
    significant = Actor().spec(restart=Restart.TRANSIENT, significant=True)
    for spec, field, value, expected in [
        (1, "spec", 1, "a ChildSpec"),
        (significant, "significant", True, "False under a DynamicSupervisor"),
    ]:
        with pytest.raises(InvalidSpec) as caught:
            await supervisor.start_child(spec)
        wrong = caught.value
        assert (wrong.field, wrong.value, wrong.expected) == (field, value, expected)


def test_duplicates_and_senseless_significance_are_named_as_well():
    a = Actor("a")
    for specs, field, value in [
        ([a.spec(), a.spec()], "id", "a"),
        ([a.spec(restart=Restart.TRANSIENT, significant=True)], "significant", True),
    ]:
        with pytest.raises(InvalidSpec) as caught:
            Supervisor(specs, name="top", auto_shutdown=AutoShutdown.NEVER)
        assert (caught.value.field, caught.value.value) == (field, value)
        assert caught.value.expected


@pytest.mark.row("X3")
@pytest.mark.parametrize("first", ["failure", "fatal"])
@pytest.mark.parametrize("second", ["failure", "fatal"])
async def test_the_first_failure_stands_unless_a_later_one_is_meant_for_the_root(
    autojump_clock, first, second
):
    def report(told):
        if second == "failure" and told.child == "a" and told.what == "exited":
            raise ZeroDivisionError

    # b is first to fail; a, which is stopped because of that, is second.
    _, (a, b) = actors("a", "b")
    if second == "fatal":
        a.last_words = SystemExit(2)
    supervisor = supervisor_of(a.spec(), b.spec(), max_restarts=0, report=report)
    async with running(supervisor, stop=False) as run:
        b.end(KeyboardInterrupt() if first == "fatal" else Boom())
    expected = {
        ("failure", "failure"): SupervisorFailed,
        ("failure", "fatal"): SystemExit,
        ("fatal", "failure"): KeyboardInterrupt,
        ("fatal", "fatal"): KeyboardInterrupt,
    }
    assert type(run.ending) is expected[first, second]


async def test_reaching_the_limit_is_reported_with_the_last_straw(autojump_clock):
    reports = Reports()
    a = Actor("a")
    error = Boom("last straw")
    async with running(supervisor_of(a.spec(), max_restarts=0, report=reports), stop=False):
        a.end(error)
    (told,) = reports.of("limit_reached")
    assert told.error is error and told.reason == "Boom: last straw"


class Passes(trio.abc.Instrument):
    """Counts the passes of the scheduler."""

    passes = 0

    def before_io_wait(self, timeout):
        self.passes += 1


async def test_dynamic_children_stop_in_slices_so_that_others_get_their_turn(autojump_clock):
    ends: Counter[int] = Counter()
    passes = Passes()

    async def start(*, task_status):
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            ends[passes.passes] += 1

    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        for n in range(250):
            await supervisor.start_child(ChildSpec(id=n, start=start))
        trio.lowlevel.add_instrument(passes)
    trio.lowlevel.remove_instrument(passes)
    # Not all of them in one pass, and not a pass for each.
    assert sum(ends.values()) == 250 and max(ends.values()) <= SLICE
    assert len(ends) <= 5


async def test_who_has_more_time_is_waited_for_when_another_ends_at_its_deadline(autojump_clock):
    a, b = Actor("a"), Actor("b")
    # In the very pass in which its deadline comes.
    a.linger, b.linger = 1.0, 3.0
    supervisor = DynamicSupervisor(name="dyn")
    for _ in range(5):
        before = trio.current_time()
        async with running(supervisor):
            one = await supervisor.start_child(a.spec(shutdown=1.0))
            other = await supervisor.start_child(b.spec(shutdown=5.0))
        assert other.outcome is not None and other.outcome.how == "shutdown"
        assert one.outcome is not None
        assert trio.current_time() - before == pytest.approx(3.0)


async def test_an_unknown_child_is_named(autojump_clock):
    supervisor = supervisor_of()
    async with running(supervisor):
        with pytest.raises(NotFound) as caught:
            await supervisor.delete_child("nobody")
    assert caught.value.id == "nobody"


async def test_whoever_is_being_restarted_is_reported_with_why_and_how_long_it_waits(
    autojump_clock,
):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(
        a.spec(),
        max_restarts=10,
        max_seconds=5,
        backoff=Backoff(4, 4, rng=lambda: 1.0),
        report=reports,
    )
    async with running(supervisor):
        for moment in (0, 1, 10, 19.5):
            await trio.sleep_until(moment)
            a.end(Boom(moment))
            await settle()
    # The second comes too soon after the first; its restart is at 5, and the quiet
    # time after that, which must be longer than the window, is not over at 10.
    told = [(report.reason, report.delay) for report in reports.of("restarting")]
    assert told == [("Boom: 0", 0), ("Boom: 1", 4), ("Boom: 10", 4), ("Boom: 19.5", 0)]


async def test_after_a_delay_a_child_begins_with_a_clean_slate(autojump_clock):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(
        a.spec(restart_later=1.0),
        max_restarts=1,
        max_seconds=5,
        backoff=Backoff(1e-6, 1e-6),
        report=reports,
    )
    async with running(supervisor):
        for number in range(1, 5):
            a.end(Boom(number))
            await trio.sleep(1.5)
        assert a.ups == 5
        assert supervisor.statistics().restarts == 4
        (child,) = supervisor.tree().children
        assert child.delays == 2
    assert [(told.what, told.reason, told.delay) for told in reports if told.delay] == [
        ("delayed", "Boom: 2", 1.0),
        ("delayed", "Boom: 4", 1.0),
    ]
    assert [told.delay for told in reports.of("restarting")] == [0, 0]


@pytest.mark.parametrize("strategy", Strategy)
async def test_every_start_of_a_restart_is_reported_once(autojump_clock, strategy):
    reports = Reports()
    _, (a, b) = actors("a", "b")
    supervisor = supervisor_of(a.spec(), b.spec(), strategy=strategy, report=reports)
    async with running(supervisor):
        assert [told.child for told in reports.of("started")] == ["a", "b"]
        a.crash()
        await settle()
        again = ["a"] if strategy is Strategy.ONE_FOR_ONE else ["a", "b"]
        assert [told.child for told in reports.of("started")] == ["a", "b", *again]
        # One failure is one restart, however many are started again.
        assert supervisor.statistics().restarts == 1


async def test_who_is_stopped_before_it_was_up_has_failed_to_start_for_that_reason(autojump_clock):
    a = Actor("a")
    a.hang = True
    supervisor = DynamicSupervisor(name="dyn")
    failed = []

    async def ask():
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(a.spec())
        failed.append(caught.value)

    async with running(supervisor), trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await settle()
        await supervisor.terminate_child("a")
    (error,) = failed
    assert error.id == "a" and isinstance(error.cause, Shutdown)
    assert str(error.cause) == "it was stopped before it was up"


@pytest.mark.row("X3")
async def test_an_end_that_is_meant_for_the_root_is_reported_like_any_other(autojump_clock):
    reports = Reports()
    a, b = Actor("a"), Actor("b")
    a.linger = 1
    fatal = KeyboardInterrupt("now")
    supervisor = supervisor_of(a.spec(), b.spec(), report=reports)
    async with running(supervisor, stop=False) as run:
        b.end(fatal)
        await settle()
        assert listed(supervisor) == {"a": "stopping", "b": "stopped"}
        (told,) = reports.of("exited")
        assert (told.child, told.error, told.reason) == ("b", fatal, "KeyboardInterrupt: now")
    assert run.ending is fatal
