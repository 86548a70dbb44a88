"""Stopping: conformance sections 1.3, X1, D14–D17 and B4."""

import math
from contextlib import suppress

import pytest
import trio

from streampai.runtime import (
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    NotRunning,
    Restart,
    Shutdown,
    Strategy,
    open_room,
)
from streampai.runtime.description import leaves

from .actor import Actor, Boom, Reports, actors, counts, listed, running, settle, supervisor_of

HOWS = [None, Shutdown(), Shutdown("why"), Boom("other")]


@pytest.mark.row("S58")
async def test_everything_stops_in_reverse_start_order(autojump_clock):
    story, abc = actors("a", "b", "c")
    async with running(supervisor_of(*(actor.spec() for actor in abc))):
        pass
    assert story == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_one_stops_only_when_the_one_after_it_has_ended(autojump_clock):
    story, (a, b) = actors("a", "b")
    b.linger = 3
    async with running(supervisor_of(a.spec(), b.spec())) as run:
        run.scope.cancel()
        await trio.sleep(2)
        assert story == ["+a", "+b"]
    assert story == ["+a", "+b", "-b", "-a"]


@pytest.mark.row("S16")
async def test_an_infinite_grace_is_waited_for(autojump_clock):
    reports = Reports()
    a, b = Actor("a"), Actor("b")
    a.linger = b.linger = 10_000
    specs = [
        a.spec(shutdown=math.inf),
        b.spec(shutdown=math.inf, type=ChildType.SUPERVISOR),
    ]
    async with running(supervisor_of(*specs, report=reports)):
        pass
    assert trio.current_time() == 20_000
    assert [report.reason for report in reports.of("exited")] == ["shutdown", "shutdown"]


@pytest.mark.row("S17", "S18", "D16")
@pytest.mark.parametrize("dynamic", [False, True])
async def test_who_overruns_its_grace_is_given_up_at_the_deadline(autojump_clock, dynamic):
    reports = Reports()
    good, bad = Actor("good"), Actor("bad")
    bad.linger = 1000
    specs = [good.spec(shutdown=1), bad.spec(shutdown=1)]
    async with open_room():
        if dynamic:
            supervisor = DynamicSupervisor(name="top", report=reports)
        else:
            supervisor = supervisor_of(*specs, report=reports)
        async with running(supervisor):
            for spec in specs if dynamic else ():
                await supervisor.start_child(spec)
        assert trio.current_time() == 1
        assert [(r.child, r.what) for r in reports if r.what in ("exited", "abandoned")] in (
            [("bad", "abandoned"), ("good", "exited")],
            [("good", "exited"), ("bad", "abandoned")],
        )
        assert supervisor.statistics().zombies == 1
    # The room is left when the zombie has ended at last.
    assert trio.current_time() == 1000
    assert supervisor.statistics().zombies == 0


async def test_the_next_has_its_whole_grace_after_one_that_nearly_overran_its_own(autojump_clock):
    story, (a, b, c) = actors("a", "b", "c")
    c.linger, b.linger = 0.9, 1.9
    reports = Reports()
    supervisor = supervisor_of(
        a.spec(shutdown=1), b.spec(shutdown=2), c.spec(shutdown=1), report=reports
    )
    async with running(supervisor):
        pass
    assert story[3:] == ["-c", "-b", "-a"]
    assert trio.current_time() == pytest.approx(2.8)
    assert reports.of("abandoned") == []


@pytest.mark.row("S19", "S20", "D15")
@pytest.mark.parametrize("dynamic", [False, True])
async def test_without_a_grace_a_child_is_killed(autojump_clock, dynamic):
    ten = [Actor(n) for n in range(10)]
    supervisor = DynamicSupervisor(name="top") if dynamic else supervisor_of()
    async with running(supervisor) as run:
        children = [await supervisor.start_child(actor.spec(shutdown=0)) for actor in ten]
        other = await supervisor.start_child(Actor("other").spec())
    assert {child.outcome.how for child in children} == {"killed"}
    assert other.outcome.how == "shutdown"
    assert run.scope.cancelled_caught
    assert trio.current_time() == 0


async def test_a_killed_child_gets_no_time_for_a_clean_up(autojump_clock):
    a = Actor()
    a.linger = 60
    supervisor = supervisor_of(a.spec(shutdown=0))
    async with open_room(), running(supervisor) as run:
        run.scope.cancel()
        await run.ended.wait()
        assert trio.current_time() < 0.2
        assert supervisor.statistics().abandoned == 1


@pytest.mark.row("S21")
@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("how", HOWS, ids=repr)
async def test_who_ends_by_itself_during_the_shutdown_keeps_its_reason(
    autojump_clock, restart, how
):
    reports = Reports()
    a, slow = Actor("a"), Actor("slow")
    slow.linger = 1
    supervisor = supervisor_of(report=reports)
    async with running(supervisor) as run:
        child = await supervisor.start_child(a.spec(restart=restart))
        await supervisor.start_child(slow.spec())
        run.scope.cancel()
        await settle()
        a.end(how)
    assert a.starts == 1
    assert "restarting" not in reports.whats()
    if how is None:
        assert child.outcome.how == "normal"
    else:
        assert child.outcome.error is how
        assert child.outcome.how == ("error" if isinstance(how, Boom) else "shutdown")
    assert run.scope.cancelled_caught and run.ending is None


@pytest.mark.row("S22", "D15")
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("how", HOWS[1:], ids=repr)
async def test_the_answer_to_the_stop_request_is_kept_and_harms_nobody(
    autojump_clock, restart, how, dynamic
):
    reports = Reports()
    a = Actor()
    a.last_words = how
    supervisor = (
        DynamicSupervisor(name="top", report=reports) if dynamic else supervisor_of(report=reports)
    )
    async with running(supervisor) as run:
        child = await supervisor.start_child(a.spec(restart=restart))
    assert child.outcome.error is how
    assert a.starts == 1
    assert run.scope.cancelled_caught and run.ending is None
    assert reports.of("exited")[0].error is how


@pytest.mark.row("D17")
async def test_a_normal_return_in_answer_to_the_stop_request_is_not_restarted(autojump_clock):
    async def polite(*, task_status):
        task_status.started()
        with suppress(trio.Cancelled):
            await trio.sleep_forever()

    supervisor = supervisor_of()
    async with running(supervisor):
        child = await supervisor.start_child(ChildSpec(id="a", start=polite))
        await supervisor.terminate_child("a")
        assert child.outcome.how == "normal"
        await trio.sleep(10)
        assert listed(supervisor) == {"a": "stopped"}


@pytest.mark.row("D17")
async def test_graces_of_all_kinds_may_be_mixed(autojump_clock):
    supervisor = DynamicSupervisor(name="top")
    async with open_room(), running(supervisor) as run:
        children = {}
        for name, grace, linger in [
            ("brutal", 0, 0),
            ("patient", math.inf, 4),
            ("short", 0.001, 0),
            ("stubborn", 0.001, 50),
            ("tiny", 1, 0.5),
        ]:
            actor = Actor(name)
            actor.linger = linger
            children[name] = await supervisor.start_child(actor.spec(shutdown=grace))
        run.scope.cancel()
        await run.ended.wait()
        assert {name: child.outcome.how for name, child in children.items()} == {
            "brutal": "killed",
            "patient": "shutdown",
            "short": "shutdown",
            "stubborn": "abandoned",
            "tiny": "shutdown",
        }
        assert trio.current_time() == 4


@pytest.mark.row("S53")
async def test_dynamic_children_stop_at_the_same_time(autojump_clock):
    supervisor = DynamicSupervisor(name="top")
    async with open_room(), running(supervisor) as run:
        children = []
        for wait in (1, 1, 5):
            actor = Actor(len(children))
            actor.linger = wait
            children.append(await supervisor.start_child(actor.spec(shutdown=2)))
        run.scope.cancel()
        await run.ended.wait()
        assert trio.current_time() == 2
        assert [c.outcome.how for c in children] == ["shutdown", "shutdown", "abandoned"]


@pytest.mark.row("D16")
async def test_each_dynamic_child_is_given_up_at_its_own_deadline(autojump_clock):
    given_up = {}

    def report(report):
        if report.what == "abandoned":
            given_up[report.child] = trio.current_time()

    supervisor = DynamicSupervisor(name="top", report=report)
    async with open_room(), running(supervisor) as run:
        for name, grace in [("3", 3), ("patient", math.inf), ("1", 1), ("2", 2)]:
            actor = Actor(name)
            actor.linger = 50
            await supervisor.start_child(actor.spec(shutdown=grace))
        run.scope.cancel()
        await run.ended.wait()
        assert given_up == {"1": 1, "2": 2, "3": 3}
        assert trio.current_time() == 50


# X1: a child that swallows cancellation


async def stubborn(*, task_status):
    task_status.started()
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await trio.sleep_until(100)


@pytest.mark.row("X1", "S60")
async def test_a_child_that_runs_on_through_every_cancellation_is_abandoned():
    # With the real clock: such a task never lets time stand still.
    go_on = True

    async def start(*, task_status):
        task_status.started()
        while go_on:
            with suppress(trio.Cancelled):
                await trio.sleep(1)

    supervisor = supervisor_of(ChildSpec(id="bad", start=start, shutdown=0.05))
    async with open_room():
        async with running(supervisor):
            bad = supervisor.child("bad")
        assert bad.outcome.how == "abandoned"
        go_on = False


@pytest.mark.row("X1", "S60")
async def test_a_child_that_swallows_cancellation_is_abandoned_and_told(autojump_clock):
    reports = Reports()
    story, (a,) = actors("a")
    spec = ChildSpec(id="bad", start=stubborn, shutdown=2)
    supervisor = supervisor_of(a.spec(), spec, report=reports)
    async with open_room() as room:
        async with running(supervisor):
            bad = supervisor.child("bad")
        assert trio.current_time() == 2
        assert story == ["+a", "-a"]
        assert (await bad.wait()).how == "abandoned"
        (told,) = reports.of("abandoned")
        assert (told.child, told.reason, told.error) == ("bad", "abandoned", None)
        assert [task.name for task in room.child_tasks] == ["bad"]


@pytest.mark.row("X1")
async def test_terminating_one_takes_its_grace_and_a_successor_can_start(autojump_clock):
    supervisor = supervisor_of(ChildSpec(id="bad", start=stubborn, shutdown=2))
    async with open_room(), running(supervisor):
        zombie = supervisor.child("bad")
        await supervisor.terminate_child("bad")
        assert trio.current_time() == 2
        assert zombie.outcome.how == "abandoned"
        assert listed(supervisor) == {"bad": "stopped"}
        successor = await supervisor.restart_child("bad")
        assert (successor.generation, zombie.generation) == (2, 1)
        assert supervisor.statistics().zombies == 1
        await trio.sleep(150)
        # What the zombie does in the end is nobody's business any more.
        assert supervisor.statistics().zombies == 0
        assert successor.running


async def test_a_group_restart_does_not_wait_for_it_for_ever(autojump_clock):
    a = Actor("a")
    bad = ChildSpec(id="bad", start=stubborn, shutdown=2)
    supervisor = supervisor_of(a.spec(), bad, strategy=Strategy.ONE_FOR_ALL)
    async with open_room(), running(supervisor):
        a.crash()
        await trio.sleep(3)
        assert counts(supervisor) == [2, 2, 0, 2]
        assert a.starts == 2
        assert supervisor.statistics().zombies == 1


@pytest.mark.row("X1")
async def test_a_nested_supervisor_with_a_zombie_ends_and_is_restarted(autojump_clock):
    starts = 0

    async def inner(*, task_status):
        nonlocal starts
        starts += 1
        children = [ChildSpec(id="bad", start=stubborn, shutdown=2), crasher.spec()]
        supervisor = supervisor_of(*children, name="inner", max_restarts=0)
        await supervisor.run(task_status=task_status)

    crasher = Actor("crasher")
    # Without limit: only the inner supervisor keeps the time.
    spec = ChildSpec(id="inner", start=inner, type=ChildType.SUPERVISOR)
    async with open_room() as room:
        outer = supervisor_of(spec, name="outer")
        async with running(outer) as run:
            crasher.crash()
            await trio.sleep(3)
            assert starts == 2
            assert listed(outer) == {"inner": "running"}
            run.scope.cancel()
            await run.ended.wait()
            assert trio.current_time() == 5
        # One stuck task stands in the tree where it belongs, with both zombies in it.
        (keeper,) = room.child_tasks
        assert keeper.name == "inner"
        assert [task.name for task in keeper.child_nurseries[0].child_tasks] == ["bad", "bad"]


async def test_a_supervisor_inside_a_worker_leaves_zombies_one_level_further_out(autojump_clock):
    async def worker(*, task_status):
        await supervisor_of(ChildSpec(id="bad", start=stubborn, shutdown=2)).run(
            task_status=task_status
        )

    async with open_room():
        outer = supervisor_of(ChildSpec(id="worker", start=worker, shutdown=10))
        async with running(outer):
            pass
        assert trio.current_time() == 2


async def test_at_the_root_without_a_room_the_supervisor_stays_with_its_zombie(autojump_clock):
    reports = Reports()
    supervisor = supervisor_of(ChildSpec(id="bad", start=stubborn, shutdown=2), report=reports)
    async with running(supervisor) as run:
        run.scope.cancel()
        await trio.sleep(50)
        assert reports.whats() == ["started", "abandoned"]
        assert not run.ended.is_set()
    assert trio.current_time() == 100


# B4 and the rest


@pytest.mark.row("B4")
async def test_children_that_end_while_very_many_are_stopped_are_no_failures(autojump_clock):
    for _ in range(5):
        reports = Reports()
        supervisor = DynamicSupervisor(name="top", report=reports)
        flock = [Actor(n) for n in range(200)]
        async with running(supervisor) as run:
            for actor in flock:
                await supervisor.start_child(actor.spec(restart=Restart.TRANSIENT, shutdown=2))
            for actor in flock[::3]:
                actor.end(Shutdown())
            for actor in flock[1::3]:
                actor.end()
            run.scope.cancel()
        assert run.scope.cancelled_caught and run.ending is None
        assert {r.reason for r in reports.of("exited")} <= {"shutdown", "normal"}
        assert len(reports.of("exited")) == 200
        assert {a.starts for a in flock} == {1}


@pytest.mark.row("S23")
async def test_a_stopped_supervisor_answers_not_running(autojump_clock):
    static, dynamic = supervisor_of(Actor("a").spec()), DynamicSupervisor(name="dyn")
    for supervisor in (static, dynamic):
        with pytest.raises(NotRunning):
            await supervisor.start_child(Actor("b").spec())
        async with running(supervisor):
            pass
        for call in (supervisor.start_child(Actor("b").spec()), supervisor.terminate_child("a")):
            with pytest.raises(NotRunning) as caught:
                await call
            assert caught.value.name == supervisor.name
    for call in (static.restart_child("a"), static.delete_child("a")):
        with pytest.raises(NotRunning):
            await call


async def test_nobody_is_admitted_while_the_supervisor_stops(autojump_clock):
    slow = Actor("slow")
    slow.linger = 3
    supervisor = supervisor_of(slow.spec())
    async with running(supervisor) as run:
        run.scope.cancel()
        await settle()
        with pytest.raises(NotRunning):
            await supervisor.start_child(Actor("b").spec())
        assert listed(supervisor) == {"slow": "stopping"}


@pytest.mark.parametrize("dynamic", [False, True])
async def test_nobody_is_given_up_because_another_ended_at_its_deadline(autojump_clock, dynamic):
    async def late(*, task_status):
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            # Time passes without the loop noticing, as when something blocks it.
            autojump_clock.jump(2)

    a = Actor("a")
    a.linger = 0.5
    supervisor = DynamicSupervisor(name="dyn") if dynamic else supervisor_of()
    async with running(supervisor):
        innocent = await supervisor.start_child(a.spec(shutdown=5))
        await supervisor.start_child(ChildSpec(id="late", start=late, shutdown=1))
    assert innocent.outcome.how == "shutdown"
    assert supervisor.statistics().abandoned == 0


@pytest.mark.parametrize("dynamic", [False, True])
async def test_nor_because_another_ended_in_the_pass_of_its_deadline(autojump_clock, dynamic):
    # Which of the two is scheduled first is left to chance, hence the rounds.
    for _ in range(12):
        a, late = Actor("a"), Actor("late")
        a.linger, late.linger = 1.5, 1
        supervisor = DynamicSupervisor(name="dyn") if dynamic else supervisor_of()
        async with open_room(), running(supervisor):
            innocent = await supervisor.start_child(a.spec(shutdown=5))
            await supervisor.start_child(late.spec(shutdown=1))
        assert innocent.outcome.how == "shutdown"


async def test_a_fatal_end_of_a_zombie_reaches_the_root_through_its_room(autojump_clock):
    async def start(*, task_status):
        task_status.started()
        with trio.CancelScope(shield=True):
            await trio.sleep(10)
        raise SystemExit(4)

    supervisor = supervisor_of(ChildSpec(id="bad", start=start, shutdown=1))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_room():
            async with running(supervisor):
                pass
            assert trio.current_time() == 1
    assert [error.code for error in leaves(caught.value)] == [4]


async def test_a_child_still_starting_is_stopped_with_its_supervisor(autojump_clock):
    a = Actor()
    a.hang = True
    supervisor = supervisor_of(a.spec())
    with trio.move_on_after(2) as scope:
        await supervisor.run()
    assert scope.cancelled_caught
    assert trio.current_time() == 2


@pytest.mark.row("S1")
async def test_children_get_time_to_say_goodbye_when_all_above_is_cancelled(autojump_clock):
    said = []

    async def child(*, task_status):
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                await trio.sleep(0.5)
                said.append("goodbye")

    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor_of(ChildSpec(id="a", start=child)).run)
    assert said == ["goodbye"]
