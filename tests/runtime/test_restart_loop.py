"""While a child fails to start again and again: conformance section 1.7, D8–D13, D19, B1–B3."""

import pytest
import trio

from streampai.runtime import (
    AlreadyPresent,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    NotFound,
    Restart,
    Restarting,
    Strategy,
    SupervisorFailed,
)

from .actor import Actor, Boom, Reports, counts, listed, running, settle, supervisor_of

ENDLESS = {"max_restarts": 10_000, "max_seconds": 1}


@pytest.mark.row("S62")
async def test_the_supervisor_answers_and_the_loop_can_be_ended(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), **ENDLESS)
    async with running(supervisor):
        a.refuse = Boom("no")
        a.crash()
        for _ in range(5):
            await trio.sleep(1)
            with pytest.raises(Restarting):
                await supervisor.start_child(a.spec())
            with pytest.raises(Restarting):
                await supervisor.restart_child("a")
            with pytest.raises(Restarting):
                await supervisor.delete_child("a")
            assert listed(supervisor) == {"a": "restarting"}
            assert counts(supervisor) == [1, 0, 0, 1]
        await supervisor.terminate_child("a")
        starts = a.starts
        await trio.sleep(60)
        assert a.starts == starts and listed(supervisor) == {"a": "stopped"}
        with pytest.raises(AlreadyPresent):
            await supervisor.start_child(a.spec())
        a.refuse = None
        assert (await supervisor.restart_child("a")).running


@pytest.mark.row("S62")
@pytest.mark.parametrize("hang", [False, True], ids=["refusing", "hanging"])
@pytest.mark.parametrize("strategy", Strategy)
async def test_stopping_the_supervisor_in_the_loop_does_not_hang(autojump_clock, strategy, hang):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec(), b.spec(), strategy=strategy, **ENDLESS)
    async with running(supervisor) as run:
        a.refuse = None if hang else Boom("no")
        a.hang = hang
        a.crash()
        await trio.sleep(7)
        assert listed(supervisor)["a"] == "restarting"
        run.scope.cancel()
        await run.ended.wait()
        assert trio.current_time() == 7
    assert run.scope.cancelled_caught


@pytest.mark.row("S63")
@pytest.mark.parametrize("hang", [False, True], ids=["refusing", "hanging"])
async def test_in_rest_for_one_the_later_are_stopped_and_the_earlier_untouched(
    autojump_clock, hang
):
    a, b, c = Actor("a"), Actor("b"), Actor("c")
    supervisor = supervisor_of(
        a.spec(), b.spec(), c.spec(), strategy=Strategy.REST_FOR_ONE, **ENDLESS
    )
    async with running(supervisor):
        old = supervisor.child("a")
        b.refuse = None if hang else Boom("no")
        b.hang = hang
        b.crash()
        await trio.sleep(3)
        assert listed(supervisor) == {"a": "running", "b": "restarting", "c": "stopped"}
        assert supervisor.child("a") is old
        for call in (supervisor.restart_child("b"), supervisor.delete_child("b")):
            with pytest.raises(Restarting):
                await call
        await supervisor.terminate_child("b")
        # Without b the rest of the group comes back.
        await trio.sleep(10)
        assert listed(supervisor) == {"a": "running", "b": "stopped", "c": "running"}
        b.refuse, b.hang = None, False
        assert (await supervisor.restart_child("b")).running
        assert (a.ups, b.ups, c.ups) == (1, 2, 2)


async def test_children_stopped_by_their_group_can_be_deleted_or_started_by_hand(autojump_clock):
    a, b, c = Actor("a"), Actor("b"), Actor("c")
    supervisor = supervisor_of(
        a.spec(), b.spec(), c.spec(), strategy=Strategy.REST_FOR_ONE, **ENDLESS
    )
    async with running(supervisor):
        a.refuse = Boom("no")
        a.crash()
        await trio.sleep(3)
        await supervisor.delete_child("c")
        assert (await supervisor.start_child(Actor("d").spec())).running
        a.refuse = None
        await trio.sleep(10)
        assert listed(supervisor) == dict.fromkeys("dba", "running")


@pytest.mark.row("S64")
async def test_a_dynamic_child_in_the_loop_is_stopped_by_its_old_handle(autojump_clock):
    a = Actor("a")
    supervisor = DynamicSupervisor(name="dyn", **ENDLESS)
    async with running(supervisor):
        child = await supervisor.start_child(a.spec())
        a.refuse = Boom("no")
        a.crash()
        await trio.sleep(3)
        assert listed(supervisor) == {"a": "restarting"}
        assert counts(supervisor) == [1, 0, 0, 1]
        await supervisor.terminate_child(child)
        starts = a.starts
        assert counts(supervisor) == [0, 0, 0, 0]
        await trio.sleep(60)
        assert a.starts == starts
        with pytest.raises(NotFound):
            await supervisor.terminate_child("a")


@pytest.mark.row("D19")
async def test_a_child_hanging_in_its_restart_can_be_removed(autojump_clock):
    a = Actor("a")
    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        child = await supervisor.start_child(a.spec())
        a.hang = True
        a.crash()
        await settle()
        assert a.starts == 2 and listed(supervisor) == {"a": "restarting"}
        await supervisor.terminate_child(child)
        assert counts(supervisor) == [0, 0, 0, 0]


@pytest.mark.row("D12")
async def test_a_failed_restart_is_tried_again_and_may_succeed(autojump_clock):
    a = Actor("a")
    for supervisor in (supervisor_of(**ENDLESS), DynamicSupervisor(name="dyn", **ENDLESS)):
        async with running(supervisor):
            await supervisor.start_child(a.spec(restart=Restart.TRANSIENT))
            a.refuse = Boom("no")
            a.crash()
            await trio.sleep(3)
            a.refuse = None
            await trio.sleep(10)
            assert listed(supervisor) == {"a": "running"}


@pytest.mark.row("D10")
async def test_returning_before_being_up_counts_as_a_failed_restart(autojump_clock):
    starts = 0

    async def start(*, task_status):
        nonlocal starts
        starts += 1
        if starts == 1:
            task_status.started()
            raise Boom

    reports = Reports()
    supervisor = supervisor_of(
        ChildSpec(id="a", start=start, restart=Restart.TRANSIENT), report=reports
    )
    async with running(supervisor, stop=False) as run:
        pass
    assert isinstance(run.ending, SupervisorFailed)
    assert starts == 4
    assert len(reports.of("restart_failed")) == 3


# B1: past its budget a child with restart_later comes back later


@pytest.mark.row("B1")
async def test_past_its_budget_a_child_comes_back_later(autojump_clock):
    reports = Reports()
    a, other = Actor("a"), Actor("other")
    supervisor = supervisor_of(
        a.spec(restart_later=30), other.spec(), max_restarts=1, max_seconds=3600, report=reports
    )
    async with running(supervisor):
        a.crash()
        await settle()
        a.crash()
        await trio.sleep(29.9)
        assert listed(supervisor) == {"a": "restarting", "other": "running"}
        assert [report.delay for report in reports.of("delayed")] == [30]
        await trio.sleep(0.2)
        assert listed(supervisor) == {"a": "running", "other": "running"}
        # Its budget is whole again: the next crash is restarted at once.
        a.crash()
        await settle()
        assert a.ups == 4
        a.crash()
        await settle()
        assert len(reports.of("delayed")) == 2


@pytest.mark.row("B1")
async def test_its_budget_is_its_own(autojump_clock):
    a, b, plain = Actor("a"), Actor("b"), Actor("plain")
    supervisor = DynamicSupervisor(name="users", max_restarts=2, max_seconds=3600)
    async with running(supervisor, stop=False) as run:
        await supervisor.start_child(a.spec(restart_later=5))
        await supervisor.start_child(b.spec(restart_later=5))
        await supervisor.start_child(plain.spec())
        for _ in range(20):
            a.crash()
            await trio.sleep(6)
        assert b.ups == 1 and a.ups == 21
        for _ in range(2):
            plain.crash()
            await trio.sleep(6)
        assert plain.ups == 3
        plain.crash()
    assert isinstance(run.ending, SupervisorFailed) and run.ending.child == "plain"


@pytest.mark.row("B1")
async def test_a_delayed_child_can_be_stopped_meanwhile(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(restart_later=30), max_restarts=0)
    async with running(supervisor):
        a.crash()
        await trio.sleep(1)
        await supervisor.terminate_child("a")
        await trio.sleep(60)
        assert a.ups == 1
        await supervisor.restart_child("a")
        assert a.ups == 2


async def test_a_delayed_child_does_not_hold_up_the_stop(autojump_clock):
    a = Actor("a")
    async with running(supervisor_of(a.spec(restart_later=3600), max_restarts=0)) as run:
        a.crash()
        await trio.sleep(1)
        run.scope.cancel()
        await run.ended.wait()
        assert trio.current_time() == 1


async def test_a_whole_group_can_come_back_later(autojump_clock):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(
        a.spec(restart_later=30), b.spec(), strategy=Strategy.ONE_FOR_ALL, max_restarts=0
    )
    async with running(supervisor):
        a.crash()
        await trio.sleep(29)
        assert counts(supervisor) == [2, 0, 0, 2]
        await trio.sleep(2)
        assert counts(supervisor) == [2, 2, 0, 2]


async def test_the_waits_of_different_children_are_independent(autojump_clock):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(
        a.spec(), b.spec(), backoff=Backoff(10, 10, rng=lambda: 1.0), **ENDLESS
    )
    async with running(supervisor):
        a.crash()
        await settle()
        a.crash()
        await trio.sleep(1)
        assert listed(supervisor)["a"] == "restarting"
        b.crash()
        await settle()
        assert b.ups == 2
