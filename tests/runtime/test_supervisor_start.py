"""Starting: conformance sections 1.1, 1.2 and X4."""

import math
from contextvars import ContextVar

import pytest
import trio

from streampai.runtime import (
    IGNORE,
    AlreadyRegistered,
    AutoShutdown,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    InvalidSpec,
    NotFound,
    Registry,
    Restart,
    StartFailed,
    Strategy,
    Supervisor,
)

from .actor import Actor, Boom, Reports, actors, counts, listed, running, settle, supervisor_of


@pytest.mark.row("S1")
async def test_a_supervisor_without_children_starts_and_stops(autojump_clock):
    supervisor = supervisor_of()
    async with running(supervisor) as run:
        assert counts(supervisor) == [0, 0, 0, 0]
        assert supervisor.which_children() == []
    assert run.scope.cancelled_caught


@pytest.mark.row("X4")
async def test_started_gives_the_supervisor_when_all_children_are_up(autojump_clock):
    story, (a, b) = actors("a", "b")
    supervisor = supervisor_of(a.spec(), b.spec())
    async with trio.open_nursery() as nursery:
        assert await nursery.start(supervisor.run) is supervisor
        assert story == ["+a", "+b"]
        assert counts(supervisor) == [2, 2, 0, 2]
        nursery.cancel_scope.cancel()


@pytest.mark.row("S3")
async def test_a_permanent_child_that_has_nothing_to_run_stays_listed(autojump_clock):
    a, b = Actor("a"), Actor("b")
    a.value = IGNORE
    supervisor = supervisor_of(a.spec(), b.spec())
    async with running(supervisor):
        assert listed(supervisor) == {"a": "stopped", "b": "running"}
        assert supervisor.child("a") is None
        assert counts(supervisor) == [2, 1, 0, 2]
        await trio.sleep(100)
        assert a.starts == 1


@pytest.mark.row("S4")
async def test_a_temporary_child_that_has_nothing_to_run_is_forgotten(autojump_clock):
    a, b = Actor("a"), Actor("b")
    a.value = IGNORE
    supervisor = supervisor_of(a.spec(restart=Restart.TEMPORARY), b.spec())
    async with running(supervisor):
        assert counts(supervisor) == [1, 1, 0, 1]


@pytest.mark.row("S5")
async def test_the_same_when_it_is_added_later(autojump_clock):
    a = Actor("a")
    a.value = IGNORE
    supervisor = supervisor_of()
    async with running(supervisor):
        child = await supervisor.start_child(a.spec(restart=Restart.TEMPORARY))
        assert (await child.wait()).how == "ignored"
        assert counts(supervisor) == [0, 0, 0, 0]
        await supervisor.start_child(a.spec())
        assert listed(supervisor) == {"a": "stopped"}


@pytest.mark.row("S6", "S7", "D7")
@pytest.mark.parametrize("restart", Restart)
async def test_a_dynamic_supervisor_forgets_every_child_without_work(autojump_clock, restart):
    a = Actor("a")
    a.value = IGNORE
    supervisor = DynamicSupervisor(name="top")
    async with running(supervisor) as run:
        child = await supervisor.start_child(a.spec(restart=restart))
        assert not child.running
        assert counts(supervisor) == [0, 0, 0, 0]
    assert run.ending is None


async def test_a_child_without_work_that_goes_on_is_stopped(autojump_clock):
    stopped = trio.Event()

    async def start(*, task_status):
        task_status.started(IGNORE)
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    supervisor = supervisor_of(ChildSpec(id="a", start=start))
    async with running(supervisor):
        assert stopped.is_set()
        assert listed(supervisor) == {"a": "stopped"}


@pytest.mark.row("S9")
async def test_a_child_that_fails_at_boot_fails_the_start_and_stops_the_others(autojump_clock):
    story, (a, b, c) = actors("a", "b", "c")
    b.refuse = Boom("no")
    with pytest.raises(StartFailed) as caught:
        await supervisor_of(a.spec(), b.spec(), c.spec()).run()
    assert caught.value.id == "b"
    assert caught.value.cause is b.refuse
    assert story == ["+a", "-a"]


@pytest.mark.row("S42")
async def test_a_nested_failure_at_boot_tells_the_whole_chain(autojump_clock):
    worker = Actor("worker")
    worker.refuse = Boom("root")

    def nested(name, *specs):
        async def start(*, task_status):
            await supervisor_of(*specs, name=name).run(task_status=task_status)

        return ChildSpec(id=name, start=start, type=ChildType.SUPERVISOR)

    inner = nested("inner", worker.spec())
    with pytest.raises(StartFailed) as caught:
        await supervisor_of(nested("outer", inner)).run()
    chain = caught.value
    assert (chain.id, chain.cause.id, chain.cause.cause.id) == ("outer", "inner", "worker")
    assert chain.cause.cause.cause is worker.refuse
    assert chain.cause.cause.cause.__traceback__ is not None


@pytest.mark.row("S10", "S12", "D7")
@pytest.mark.parametrize(
    "kind", [lambda: supervisor_of(), lambda: DynamicSupervisor(name="top")], ids=["static", "dyn"]
)
async def test_a_failing_start_child_tells_why_and_lists_nothing(autojump_clock, kind):
    a = Actor("a")
    a.refuse = Boom("no")
    supervisor = kind()
    async with running(supervisor):
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(a.spec())
        assert caught.value.cause is a.refuse
        assert counts(supervisor) == [0, 0, 0, 0]
        a.refuse = None
        await supervisor.start_child(a.spec())
        assert counts(supervisor) == [1, 1, 0, 1]


@pytest.mark.row("S10", "X4")
async def test_a_child_that_returns_before_it_is_up_has_failed_to_start(autojump_clock):
    async def start(*, task_status):
        await trio.sleep(1)

    supervisor = supervisor_of()
    async with running(supervisor):
        with pytest.raises(StartFailed, match="started"):
            await supervisor.start_child(ChildSpec(id="a", start=start))
        assert counts(supervisor) == [0, 0, 0, 0]


@pytest.mark.row("S10", "D7")
@pytest.mark.parametrize("start", [lambda task_status: "rubbish", lambda: None])
async def test_rubbish_for_a_start_function_is_a_failed_start(autojump_clock, start):
    supervisor = supervisor_of()
    async with running(supervisor):
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(ChildSpec(id="a", start=start))
        assert isinstance(caught.value.cause, TypeError)


@pytest.mark.row("S11")
async def test_a_failed_manual_restart_leaves_the_child_listed_as_stopped(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec())
    async with running(supervisor):
        await supervisor.terminate_child("a")
        a.refuse = Boom("no")
        with pytest.raises(StartFailed):
            await supervisor.restart_child("a")
        assert listed(supervisor) == {"a": "stopped"}
        a.refuse = None
        assert (await supervisor.restart_child("a")).running


@pytest.mark.row("S36")
async def test_a_name_taken_by_an_outsider_is_a_failed_start(autojump_clock):
    registry, outsider = Registry(), object()
    registry.register("name", outsider)

    async def start(*, task_status):
        with registry.registered("name", object()):
            task_status.started()
            await trio.sleep_forever()

    supervisor = supervisor_of()
    async with running(supervisor):
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(ChildSpec(id="a", start=start))
        assert isinstance(caught.value.cause, AlreadyRegistered)
        assert caught.value.cause.owner is outsider
        assert counts(supervisor) == [0, 0, 0, 0]
        assert registry.lookup("name") is outsider


@pytest.mark.row("X4")
async def test_started_means_that_the_child_said_so(autojump_clock):
    may_start = trio.Event()

    async def start(*, task_status):
        await may_start.wait()
        task_status.started("ready")
        await trio.sleep_forever()

    supervisor = supervisor_of()
    async with running(supervisor), trio.open_nursery() as nursery:
        got = []

        async def ask():
            got.append(await supervisor.start_child(ChildSpec(id="a", start=start)))

        nursery.start_soon(ask)
        await settle()
        assert not got and listed(supervisor) == {"a": "starting"}
        assert counts(supervisor) == [1, 0, 0, 1]
        may_start.set()
        await settle()
        assert got[0].value == "ready"
        assert listed(supervisor) == {"a": "running"}


@pytest.mark.row("X4")
async def test_a_cancelled_start_leaves_nothing_behind(autojump_clock):
    a = Actor("a")
    a.hang = True
    supervisor = supervisor_of()
    async with running(supervisor):
        with trio.move_on_after(3) as scope:
            await supervisor.start_child(a.spec())
        assert scope.cancelled_caught
        assert counts(supervisor) == [0, 0, 0, 0]
        assert trio.current_time() == 3


async def test_a_child_without_handshake_is_up_after_its_first_step(autojump_clock):
    steps = []

    async def start(*, task_status):
        steps.append("first")
        await trio.sleep_forever()

    specs = [ChildSpec(id=n, start=start, handshake=False) for n in range(5)]
    supervisor = supervisor_of(*specs)
    async with running(supervisor):
        assert len(steps) == 5
        await supervisor.start_child(ChildSpec(id="late", start=start, handshake=False))
        assert len(steps) == 6
        assert counts(supervisor) == [6, 6, 0, 6]


async def test_a_child_without_handshake_comes_before_the_next_with_one(autojump_clock):
    order = []

    async def quiet(*, task_status):
        order.append("quiet")
        await trio.sleep_forever()

    async def polite(*, task_status):
        order.append("polite")
        task_status.started()
        await trio.sleep_forever()

    specs = [ChildSpec(id=n, start=quiet, handshake=False) for n in range(3)]
    async with running(supervisor_of(*specs, ChildSpec(id="p", start=polite))):
        assert order == ["quiet"] * 3 + ["polite"]


@pytest.mark.row("S13", "D2")
def test_defaults_are_filled_in():
    spec = ChildSpec(id=("user", 42), start=Actor())
    assert spec.restart is Restart.PERMANENT
    assert spec.type is ChildType.WORKER
    assert spec.shutdown == 5.0
    assert spec.name == "user/42"
    assert not spec.significant and spec.handshake and spec.restart_later is None
    assert ChildSpec(id=1, start=Actor(), type=ChildType.SUPERVISOR).shutdown == math.inf
    supervisor = Supervisor(name="s")
    assert supervisor.strategy is Strategy.ONE_FOR_ONE
    assert (supervisor.max_restarts, supervisor.max_seconds) == (3, 5.0)
    assert supervisor.auto_shutdown is AutoShutdown.NEVER
    assert DynamicSupervisor(name="d").max_children is None


@pytest.mark.row("S13")
async def test_a_spec_can_be_read_back(autojump_clock):
    a = Actor("a")
    spec = a.spec(shutdown=7)
    supervisor = supervisor_of(spec)
    async with running(supervisor):
        assert supervisor.child_spec("a") is spec
        with pytest.raises(NotFound):
            supervisor.child_spec("b")
        with pytest.raises(NotFound):
            supervisor.child_spec(["not", "hashable"])


@pytest.mark.row("S14")
async def test_a_dynamic_childs_spec_can_be_read_by_its_id_while_it_is_known(autojump_clock):
    a = Actor("a")
    spec = a.spec(shutdown=7)
    supervisor, other = DynamicSupervisor(name="dyn"), DynamicSupervisor(name="other")
    async with running(supervisor), running(other):
        child = await supervisor.start_child(spec)
        assert supervisor.child_spec(child.id) is spec
        with pytest.raises(NotFound):
            other.child_spec(child.id)
        a.crash()
        await settle()
        assert supervisor.child_spec("a") is spec
        await supervisor.terminate_child("a")
        with pytest.raises(NotFound):
            supervisor.child_spec("a")


@pytest.mark.row("S15", "S26", "D14")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("start", None),
        ("start", "text"),
        ("restart", "permanent"),
        ("restart", None),
        ("shutdown", -1),
        ("shutdown", "5"),
        ("shutdown", True),
        ("shutdown", math.nan),
        ("type", "worker"),
        ("significant", True),
        ("name", 5),
        ("restart_later", -1),
        ("restart_later", math.inf),
        ("id", []),
    ],
)
def test_every_wrong_field_has_its_own_error(field, value):
    fields = {"id": "a", "start": Actor(), field: value}
    with pytest.raises(InvalidSpec) as caught:
        ChildSpec(**fields)
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.row("S15")
def test_an_unknown_or_missing_field_is_refused():
    with pytest.raises(TypeError):
        ChildSpec(id="a", start=Actor(), foo=1)
    with pytest.raises(TypeError):
        ChildSpec(start=Actor())
    with pytest.raises(TypeError):
        ChildSpec(id="a")


@pytest.mark.row("S26", "S27", "D14")
@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("type", ChildType)
@pytest.mark.parametrize("shutdown", [0, 0.001, 5, math.inf])
@pytest.mark.parametrize("significant", [False, True])
@pytest.mark.parametrize("mode", AutoShutdown)
def test_every_legal_combination_is_accepted(restart, type, shutdown, significant, mode):
    fields = {"restart": restart, "type": type, "shutdown": shutdown, "significant": significant}
    if significant and restart is Restart.PERMANENT:
        with pytest.raises(InvalidSpec):
            ChildSpec(id="a", start=Actor(), **fields)
        return
    spec = ChildSpec(id="a", start=Actor(), **fields)
    if significant and mode is AutoShutdown.NEVER:
        with pytest.raises(InvalidSpec):
            Supervisor([spec], name="s", auto_shutdown=mode)
    else:
        Supervisor([spec], name="s", auto_shutdown=mode)


@pytest.mark.row("S26")
def test_duplicate_ids_and_foreign_objects_are_refused():
    with pytest.raises(InvalidSpec):
        supervisor_of(Actor("a").spec(), Actor("a").spec())
    with pytest.raises(InvalidSpec):
        Supervisor(["a"], name="s")


@pytest.mark.row("S8", "S28", "D3")
@pytest.mark.parametrize(
    "flags",
    [
        {"strategy": "one_for_one"},
        {"max_restarts": -1},
        {"max_restarts": math.inf},
        {"max_restarts": 1.5},
        {"max_restarts": True},
        {"max_seconds": 0},
        {"max_seconds": -1},
        {"max_seconds": math.inf},
        {"max_seconds": "5"},
        {"auto_shutdown": True},
    ],
)
def test_every_wrong_flag_of_a_supervisor_is_refused(flags):
    with pytest.raises(InvalidSpec) as caught:
        Supervisor(name="s", **flags)
    assert caught.value.field == next(iter(flags))


@pytest.mark.row("S28", "D3")
@pytest.mark.parametrize(
    "flags", [{"max_restarts": -1}, {"max_seconds": 0}, {"max_children": -1}, {"max_children": "1"}]
)
def test_every_wrong_flag_of_a_dynamic_supervisor_is_refused(flags):
    with pytest.raises(InvalidSpec) as caught:
        DynamicSupervisor(name="s", **flags)
    assert caught.value.field == next(iter(flags))


@pytest.mark.row("S41")
async def test_starting_on_request_is_not_reported_but_starting_by_itself_is(autojump_clock):
    reports = Reports()
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec(), report=reports)
    async with running(supervisor):
        assert reports.whats() == ["started"]
        await supervisor.start_child(b.spec())
        assert reports.whats("b") == []
        b.crash()
        await settle()
        assert reports.whats("b") == ["exited", "restarting", "started"]


async def test_a_supervisor_does_not_run_twice_at_the_same_time(autojump_clock):
    supervisor = supervisor_of()
    async with running(supervisor):
        with pytest.raises(RuntimeError):
            await supervisor.run()


async def test_a_supervisor_can_run_again_and_then_has_its_declared_children(autojump_clock):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec())
    async with running(supervisor):
        await supervisor.start_child(b.spec())
    async with running(supervisor):
        assert listed(supervisor) == {"a": "running"}


async def test_a_child_does_not_inherit_the_context_of_who_asked_for_it(autojump_clock):
    request = ContextVar("request", default="none")
    seen = []

    async def start(*, task_status):
        seen.append(request.get())
        task_status.started()

    supervisor = supervisor_of()
    async with running(supervisor):
        request.set("somebody's")
        await supervisor.start_child(ChildSpec(id="a", start=start, restart=Restart.TEMPORARY))
    assert seen == ["none"]


async def test_saying_twice_that_it_started_is_a_crash(autojump_clock):
    async def start(*, task_status):
        task_status.started()
        task_status.started()

    supervisor = supervisor_of()
    async with running(supervisor):
        child = await supervisor.start_child(
            ChildSpec(id="a", start=start, restart=Restart.TEMPORARY)
        )
        assert isinstance((await child.wait()).error, RuntimeError)
