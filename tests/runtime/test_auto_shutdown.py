"""Supervisors that end with their significant children: conformance section 1.8."""

import pytest
import trio

from streampai.runtime import (
    AutoShutdown,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    InvalidSpec,
    Restart,
    Shutdown,
    Strategy,
)

from .actor import Actor, Boom, Reports, listed, running, settle, supervisor_of

ANY, ALL = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
TEMPORARY, TRANSIENT = Restart.TEMPORARY, Restart.TRANSIENT
ORDERLY = [None, Shutdown("done")]


def significant(actor, restart):
    return actor.spec(restart=restart, significant=True)


@pytest.mark.row("S65")
@pytest.mark.parametrize("mode", AutoShutdown)
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
@pytest.mark.parametrize("how", [*ORDERLY, Boom("crash"), "api"], ids=repr)
async def test_no_end_of_an_insignificant_child_ends_the_supervisor(
    autojump_clock, mode, restart, how
):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec(restart=restart), b.spec(), auto_shutdown=mode)
    async with running(supervisor) as run:
        if how == "api":
            await supervisor.terminate_child("a")
        else:
            a.end(how)
        await trio.sleep(10)
        assert not run.ended.is_set() and b.ups == 1
    assert not run.returned


@pytest.mark.row("S66")
@pytest.mark.parametrize("how", [*ORDERLY, Boom("crash")], ids=repr)
async def test_any_end_of_a_significant_temporary_child_does(autojump_clock, how):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(significant(a, TEMPORARY), b.spec(), auto_shutdown=ANY)
    async with running(supervisor, stop=False) as run:
        a.end(how)
    assert run.returned and run.ending is None
    assert b.story == ["+b", "-b"]


@pytest.mark.row("S66", "S67")
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
@pytest.mark.parametrize("mode", [ANY, ALL])
async def test_but_not_its_end_on_request(autojump_clock, mode, restart):
    a = Actor("a")
    supervisor = supervisor_of(significant(a, restart), auto_shutdown=mode)
    async with running(supervisor) as run:
        await supervisor.terminate_child("a")
        await trio.sleep(10)
        assert not run.ended.is_set()


@pytest.mark.row("S66", "S67")
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
async def test_with_all_significant_it_is_the_last_end_that_counts(autojump_clock, restart):
    a, b, c = Actor("a"), Actor("b"), Actor("c")
    supervisor = supervisor_of(
        significant(a, restart), significant(b, restart), c.spec(), auto_shutdown=ALL
    )
    async with running(supervisor, stop=False) as run:
        a.end()
        await trio.sleep(10)
        assert not run.ended.is_set()
        b.end(Shutdown())
    assert run.returned and c.ups == 1


@pytest.mark.row("S67")
async def test_a_crash_of_a_significant_transient_child_is_restarted(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(significant(a, TRANSIENT), auto_shutdown=ANY)
    async with running(supervisor, stop=False) as run:
        a.crash()
        await settle()
        assert a.ups == 2 and not run.ended.is_set()
        a.end()
    assert run.returned


@pytest.mark.row("S68", "S27")
async def test_significant_children_are_refused_where_they_mean_nothing(autojump_clock):
    spec = significant(Actor("a"), TRANSIENT)
    with pytest.raises(InvalidSpec):
        supervisor_of(spec)
    dynamic, static = DynamicSupervisor(name="dyn"), supervisor_of()
    async with running(dynamic), running(static):
        for supervisor in (dynamic, static):
            with pytest.raises(InvalidSpec):
                await supervisor.start_child(spec)


@pytest.mark.row("S69")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
@pytest.mark.parametrize("mode", [ANY, ALL])
async def test_a_bystander_that_is_stopped_with_its_group_does_not_count(
    autojump_clock, strategy, restart, mode
):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(
        a.spec(), significant(b, restart), strategy=strategy, auto_shutdown=mode
    )
    async with running(supervisor) as run:
        a.crash()
        await trio.sleep(10)
        assert not run.ended.is_set()
        assert listed(supervisor)["a"] == "running"


@pytest.mark.row("S70")
@pytest.mark.parametrize("outer_is_significant", [False, True])
async def test_it_escalates_only_through_significant_supervisors(
    autojump_clock, outer_is_significant
):
    worker = Actor("worker")

    async def inner(*, task_status):
        supervisor = supervisor_of(significant(worker, TRANSIENT), name="inner", auto_shutdown=ANY)
        await supervisor.run(task_status=task_status)

    spec = ChildSpec(
        id="inner",
        start=inner,
        type=ChildType.SUPERVISOR,
        restart=TRANSIENT,
        significant=outer_is_significant,
    )
    outer = supervisor_of(spec, auto_shutdown=ANY)
    async with running(outer, stop=not outer_is_significant) as run:
        worker.end()
        await settle()
        if not outer_is_significant:
            await trio.sleep(10)
            assert listed(outer) == {"inner": "stopped"} and not run.ended.is_set()
    assert run.returned is outer_is_significant


@pytest.mark.row("S71")
@pytest.mark.parametrize("old", AutoShutdown)
@pytest.mark.parametrize("new", AutoShutdown)
async def test_the_mode_can_be_changed_at_run_time(autojump_clock, old, new):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(auto_shutdown=ANY)
    async with running(supervisor) as run:
        await supervisor.start_child(significant(a, TRANSIENT))
        await supervisor.start_child(significant(b, TRANSIENT))
        supervisor.change(auto_shutdown=old)
        supervisor.change(auto_shutdown=new)
        a.end()
        await trio.sleep(1)
        assert run.ended.is_set() is (new is ANY)
        b.end()
        await trio.sleep(1)
        assert run.ended.is_set() is (new is not AutoShutdown.NEVER)
        if new is AutoShutdown.NEVER:
            with pytest.raises(InvalidSpec):
                await supervisor.start_child(significant(Actor("c"), TRANSIENT))


async def test_an_auto_shutdown_stops_the_others_in_reverse_order_with_their_graces(autojump_clock):
    story: list[str] = []
    a, b, c = Actor("a", story), Actor("b", story), Actor("c", story)
    c.linger = 3
    supervisor = supervisor_of(a.spec(), significant(b, TEMPORARY), c.spec(), auto_shutdown=ANY)
    async with running(supervisor, stop=False):
        b.end()
    assert story == ["+a", "+b", "+c", "-b", "-c", "-a"]
    assert trio.current_time() == 3


@pytest.mark.row("B2")
@pytest.mark.parametrize("how", ["crash", "restart", *ORDERLY], ids=repr)
async def test_an_intrinsic_child_takes_its_supervisor_along_unless_it_is_to_return(
    autojump_clock, how
):
    reports = Reports()
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(
        significant(a, TRANSIENT), b.spec(), auto_shutdown=ANY, report=reports
    )
    async with running(supervisor) as run:
        match how:
            case "crash":
                a.crash()
            case "restart":
                a.end(Shutdown("again", restart=True))
            case _:
                a.end(how)
        await settle()
        returns = how in ("crash", "restart")
        assert run.ended.is_set() is not returns
        assert (a.ups, b.ups) == (1 + returns, 1)
        if how == "restart":
            # Without the word error in it, unlike a crash.
            (exited,) = reports.of("exited")
            assert exited.reason == "shutdown: again"
            assert [told.delay for told in reports.of("restarting")] == [0.0]
    assert run.ending is None


@pytest.mark.row("B2")
@pytest.mark.parametrize("restart", Restart)
async def test_who_asks_to_be_started_again_is_unless_temporary(autojump_clock, restart):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(restart=restart))
    async with running(supervisor):
        child = supervisor.child("a")
        a.end(ExceptionGroup("", [Shutdown("first"), Shutdown("second", restart=True)]))
        await settle()
        assert child.outcome.how == "shutdown" and child.outcome.info == "first"
        assert a.ups == (1 if restart is TEMPORARY else 2)
