"""Who is restarted after which end: conformance sections 1.5, D9, X3."""

import pytest
import trio

from streampai.runtime import (
    ChildSpec,
    DynamicSupervisor,
    Restart,
    Shutdown,
    Strategy,
    SupervisorFailed,
    open_room,
)

from .actor import Actor, Boom, Reports, actors, counts, listed, running, settle, supervisor_of

ORDERLY = [None, Shutdown(), Shutdown("info")]
CRASH = [Boom("crash")]


def both(reports=None, **options):
    return [
        supervisor_of(report=reports, **options),
        DynamicSupervisor(name="dyn", report=reports, **options),
    ]


@pytest.mark.row("S37", "D9")
@pytest.mark.parametrize("how", ORDERLY + CRASH, ids=repr)
async def test_a_permanent_child_is_always_restarted(autojump_clock, how):
    for supervisor in both():
        a = Actor("a")
        async with running(supervisor):
            await supervisor.start_child(a.spec())
            a.end(how)
            await settle()
            assert a.ups == 2
            assert counts(supervisor) == [1, 1, 0, 1]


@pytest.mark.row("S38", "D9")
@pytest.mark.parametrize("how", ORDERLY, ids=repr)
async def test_a_transient_child_is_not_restarted_after_an_orderly_end(autojump_clock, how):
    static, dynamic = both()
    for supervisor in (static, dynamic):
        a = Actor("a")
        async with running(supervisor):
            child = await supervisor.start_child(a.spec(restart=Restart.TRANSIENT))
            a.end(how)
            await trio.sleep(10)
            assert a.ups == 1
            assert child.outcome.how == ("normal" if how is None else "shutdown")
            assert child.outcome.info == (how.info if how else None)
            if supervisor is static:
                assert counts(supervisor) == [1, 0, 0, 1]
                assert (await supervisor.restart_child("a")).running
            else:
                assert counts(supervisor) == [0, 0, 0, 0]


@pytest.mark.row("S39", "D9")
async def test_a_transient_child_is_restarted_after_a_crash(autojump_clock):
    for supervisor in both():
        a = Actor("a")
        async with running(supervisor):
            await supervisor.start_child(a.spec(restart=Restart.TRANSIENT))
            a.crash()
            await settle()
            assert a.ups == 2
            assert counts(supervisor) == [1, 1, 0, 1]


@pytest.mark.row("S40", "D9", "T3")
@pytest.mark.parametrize("how", ORDERLY + CRASH, ids=repr)
async def test_a_temporary_child_is_never_restarted_and_its_id_is_free(autojump_clock, how):
    for supervisor in both():
        a = Actor("a")
        async with running(supervisor):
            await supervisor.start_child(a.spec(restart=Restart.TEMPORARY))
            a.end(how)
            await trio.sleep(10)
            assert a.ups == 1
            assert counts(supervisor) == [0, 0, 0, 0]
            await supervisor.start_child(a.spec(restart=Restart.TEMPORARY))
            assert counts(supervisor) == [1, 1, 0, 1]


@pytest.mark.row("S43")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_temporary_bystander_is_stopped_and_forgotten_for_free(autojump_clock, strategy):
    a, b, c = Actor("a"), Actor("b"), Actor("c")
    supervisor = supervisor_of(
        a.spec(), b.spec(restart=Restart.TEMPORARY), c.spec(), strategy=strategy, max_restarts=1
    )
    async with running(supervisor) as run:
        a.crash()
        await settle()
        assert listed(supervisor) == {"a": "running", "c": "running"}
        assert (a.ups, b.ups, c.ups) == (2, 1, 2)
    assert run.ending is None


@pytest.mark.row("S74")
@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("strategy", Strategy)
async def test_only_temporary_specs_are_forgotten(autojump_clock, restart, strategy):
    async def end_by(actor, supervisor, how):
        match how:
            case "api":
                await supervisor.terminate_child("a")
            case "normal":
                actor.end()
            case "crash":
                actor.crash()
        await settle()

    for how in ("api", "normal", "crash"):
        a = Actor("a")
        supervisor = supervisor_of(strategy=strategy)
        async with running(supervisor):
            await supervisor.start_child(a.spec(restart=restart))
            await end_by(a, supervisor, how)
            expected = {
                Restart.PERMANENT: {"a": "stopped" if how == "api" else "running"},
                Restart.TRANSIENT: {"a": "running" if how == "crash" else "stopped"},
                Restart.TEMPORARY: {},
            }
            assert listed(supervisor) == expected[restart]


@pytest.mark.row("D15")
async def test_an_end_is_reported_with_its_reason_and_error(autojump_clock):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(a.spec(restart=Restart.TRANSIENT), report=reports)
    async with running(supervisor):
        error = Boom("why")
        a.end(error)
        await settle()
        (exited,) = reports.of("exited")
        assert exited.supervisor == "top" and exited.child == "a"
        assert exited.error is error and exited.reason == "Boom: why"
        a.end(Shutdown("done"))
        await settle()
        assert reports.of("exited")[1].reason == "shutdown: done"


# X3: exception groups


@pytest.mark.row("X3")
@pytest.mark.parametrize(
    ("error", "restarted"),
    [
        (ExceptionGroup("", [Shutdown(), Shutdown("b")]), False),
        (ExceptionGroup("", [ExceptionGroup("", [Shutdown()])]), False),
        (ExceptionGroup("", [Shutdown(), ExceptionGroup("", [Boom()])]), True),
        (ExceptionGroup("", [Boom(), Shutdown()]), True),
        (ExceptionGroup("", [Boom()]), True),
    ],
)
async def test_a_group_is_judged_by_its_leaves(autojump_clock, error, restarted):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(a.spec(restart=Restart.TRANSIENT), report=reports)
    async with running(supervisor):
        a.end(error)
        await settle()
        assert a.ups == 1 + restarted
        assert reports.of("exited")[0].error is error


@pytest.mark.row("X3")
@pytest.mark.parametrize("fatal", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("restart", Restart)
async def test_what_is_meant_for_the_root_goes_there_after_an_orderly_stop(
    autojump_clock, fatal, restart
):
    bystander, a = Actor("bystander"), Actor("a")
    bystander.linger = 2

    async def inner(*, task_status):
        await supervisor_of(a.spec(restart=restart), name="inner").run(task_status=task_status)

    outer = supervisor_of(bystander.spec(), ChildSpec(id="inner", start=inner))
    async with running(outer, stop=False) as run:
        a.end(fatal)
    assert run.ending is fatal
    assert bystander.story == ["+bystander", "-bystander"]
    assert trio.current_time() == 2


@pytest.mark.row("X3")
async def test_a_fatal_leaf_in_a_group_goes_to_the_root_with_its_group(autojump_clock):
    a = Actor("a")
    group = BaseExceptionGroup("", [Boom(), KeyboardInterrupt()])
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor_of(a.spec()).run)
            a.end(group)
    # Trio may copy the group on its way, but never what is in it.
    (got,) = caught.value.exceptions
    assert got.exceptions == group.exceptions


@pytest.mark.parametrize("moment", ["start", "stop"])
async def test_a_fatal_end_while_starting_or_stopping_is_not_lost(autojump_clock, moment):
    a = Actor("a")
    fatal = SystemExit(1)
    if moment == "start":
        a.refuse = fatal
        with pytest.raises(SystemExit):
            await supervisor_of(a.spec()).run()
        return
    a.last_words = fatal
    async with running(supervisor_of(a.spec())) as run:
        run.scope.cancel()
    assert run.ending is fatal


async def test_a_foreign_cancellation_is_a_crash_and_no_silent_end(autojump_clock):
    # As a faulty library leaks it: caught in one place, raised in another.
    stray = None
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            stray = error
            raise
    reports = Reports()
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec(restart=Restart.TRANSIENT), b.spec(), report=reports)
    async with running(supervisor):
        a.end(stray)
        await settle()
        assert a.ups == 2 and b.ups == 1
        assert reports.of("exited")[0].error is stray
        a.end(BaseExceptionGroup("", [stray, Boom()]))
        await settle()
        await trio.sleep(1)
        assert a.ups == 3


@pytest.mark.parametrize("what", ["started", "exited", "abandoned"])
async def test_a_fault_in_the_report_callable_ends_the_supervisor_in_order(autojump_clock, what):
    def report(report):
        if report.what == what:
            raise ZeroDivisionError

    story, (a, b, c) = actors("a", "b", "c")
    c.linger = 100
    supervisor = supervisor_of(a.spec(), b.spec(), c.spec(shutdown=1), report=report)
    scope = trio.CancelScope()

    async def drive():
        await settle()
        b.crash()
        await trio.sleep(1)
        scope.cancel()

    async with open_room() as room:
        room.start_soon(drive)
        with pytest.raises(ZeroDivisionError), scope:
            await supervisor.run()
        # Nothing started, but what was started has ended or been given up.
        assert supervisor.statistics().zombies == (c.ups > 0)
    assert {entry: story.count(entry) for entry in story if entry[0] == "+"} == {
        "+" + entry[1:]: story.count(entry) for entry in story if entry[0] == "-"
    }


@pytest.mark.row("D13")
async def test_the_limit_names_supervisor_child_and_cause(autojump_clock):
    reports = Reports()
    a = Actor("a")
    async with running(supervisor_of(a.spec(), max_restarts=0, report=reports), stop=False) as run:
        a.crash()
    failed = run.ending
    assert isinstance(failed, SupervisorFailed)
    assert (failed.name, failed.child) == ("top", "a")
    assert isinstance(failed.cause, Boom) and failed.__cause__ is failed.cause
    assert reports.whats() == ["started", "exited", "limit_reached"]
