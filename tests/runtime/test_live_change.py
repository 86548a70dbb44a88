"""Other specs and flags while it runs: conformance S71, S72, S77, S78, D5."""

import math

import pytest
import trio

from streampai.runtime import (
    AutoShutdown,
    Backoff,
    ChildType,
    DynamicSupervisor,
    InvalidSpec,
    NotFound,
    Restart,
    Restarting,
    Strategy,
    SupervisorFailed,
    open_room,
)

from .actor import Actor, Boom, actors, counts, listed, running, settle, supervisor_of

QUICK = Backoff(1e-6, 1e-6)


@pytest.mark.row("S72")
@pytest.mark.parametrize("significant", [False, True])
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_whether_one_child_is_significant_can_be_changed_and_takes_effect(
    autojump_clock, significant, restart
):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(
        a.spec(restart=restart, significant=not significant),
        b.spec(),
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    )
    async with running(supervisor) as run:
        supervisor.change_child(a.spec(restart=restart, significant=significant))
        assert supervisor.child_spec("a").significant is significant
        a.end()
        await trio.sleep(1)
        assert run.ended.is_set() is significant
        assert (a.ups, b.ups) == (1, 1)


@pytest.mark.row("S77")
@pytest.mark.parametrize(
    "change",
    [
        {"children": "abc"},
        {"children": [Actor("a").spec(), Actor("a").spec()]},
        {"children": [Actor("a").spec(type=ChildType.SUPERVISOR)]},
        {"children": [Actor("a").spec(restart=Restart.TRANSIENT, significant=True)]},
        {"children": [Actor("z").spec()], "strategy": "rubbish"},
        {"children": [Actor("z").spec()], "auto_shutdown": 3},
        {"children": [Actor("z").spec()], "max_restarts": -1},
        {"children": [Actor("z").spec()], "max_seconds": 0},
        {"strategy": Strategy.ONE_FOR_ALL, "max_restarts": 7, "max_seconds": math.inf},
    ],
    ids=str,
)
async def test_a_bad_spec_or_flag_is_refused_and_all_of_the_old_kept(autojump_clock, change):
    a, b = Actor("a"), Actor("b")
    specs = [a.spec(), b.spec()]
    supervisor = supervisor_of(*specs)
    async with running(supervisor) as run:
        with pytest.raises(InvalidSpec):
            supervisor.change(**change)
        assert listed(supervisor) == {"b": "running", "a": "running"}
        assert [supervisor.child_spec(id) for id in "ab"] == specs
        assert supervisor.strategy is Strategy.ONE_FOR_ONE
        assert supervisor.auto_shutdown is AutoShutdown.NEVER
        assert (supervisor.max_restarts, supervisor.max_seconds) == (3, 5.0)
        a.crash()
        await settle()
        assert (a.ups, b.ups) == (2, 1)
    # The next life begins with the old ones as well.
    async with running(supervisor):
        assert listed(supervisor) == {"b": "running", "a": "running"}
    assert run.ending is None


@pytest.mark.row("S77")
async def test_new_children_are_added_but_not_started_and_removed_ones_kept_until_deleted(
    autojump_clock,
):
    story, (a, b, c) = actors("a", "b", "c")
    supervisor = supervisor_of(a.spec(), b.spec())
    async with running(supervisor):
        supervisor.change([c.spec(), b.spec(shutdown=2.5)])
        # Newest first: the removed one has gone behind the others.
        assert list(listed(supervisor).items()) == [
            ("a", "running"),
            ("b", "running"),
            ("c", "stopped"),
        ]
        assert counts(supervisor) == [3, 2, 0, 3]
        assert supervisor.child_spec("b").shutdown == 2.5
        assert story == ["+a", "+b"]
        a.crash()
        await settle()
        assert a.ups == 2
        await supervisor.terminate_child("a")
        await supervisor.delete_child("a")
        assert (await supervisor.restart_child("c")).running
        assert listed(supervisor) == {"b": "running", "c": "running"}
    assert story[-2:] == ["-b", "-c"]
    # What has been declared last is what the next life begins with.
    async with running(supervisor):
        assert listed(supervisor) == {"b": "running", "c": "running"}


@pytest.mark.row("S77")
@pytest.mark.parametrize("strategy", Strategy)
async def test_a_new_child_is_not_started_by_a_restart_of_its_group(autojump_clock, strategy):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec(), strategy=strategy)
    async with running(supervisor):
        supervisor.change([a.spec(), b.spec()])
        a.crash()
        await settle()
        assert (a.ups, b.ups) == (2, 0)


@pytest.mark.row("S77")
async def test_changing_nothing_changes_nothing(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), strategy=Strategy.ONE_FOR_ALL, max_restarts=9)
    async with running(supervisor):
        child = supervisor.child("a")
        supervisor.change()
        supervisor.change([a.spec()])
        await settle()
        assert supervisor.child("a") is child
        assert supervisor.strategy is Strategy.ONE_FOR_ALL
        assert (supervisor.max_restarts, supervisor.max_seconds) == (9, 5.0)


@pytest.mark.row("S77")
async def test_the_changed_grace_holds_for_the_child_that_runs(autojump_clock):
    a = Actor("a")
    a.linger = 3
    supervisor = supervisor_of(a.spec(shutdown=100))
    async with open_room(), running(supervisor):
        supervisor.change([a.spec(shutdown=1)])
        before = trio.current_time()
        await supervisor.terminate_child("a")
        assert trio.current_time() - before == pytest.approx(1)
        assert supervisor.statistics().abandoned == 1


@pytest.mark.row("S77")
async def test_the_next_start_is_by_the_changed_spec(autojump_clock):
    old, new = Actor("a"), Actor("a")
    supervisor = supervisor_of(old.spec())
    async with running(supervisor):
        supervisor.change_child(new.spec(name="renamed"))
        await settle()
        assert (old.ups, new.ups) == (1, 0)
        old.crash()
        await settle()
        assert (old.ups, new.ups) == (1, 1)
        assert supervisor.child("a").name == "renamed"


@pytest.mark.row("S77")
async def test_a_changed_strategy_rules_the_next_failure(autojump_clock):
    _, (a, b, c) = actors("a", "b", "c")
    supervisor = supervisor_of(a.spec(), b.spec(), c.spec(), max_restarts=9, backoff=QUICK)
    async with running(supervisor):
        for strategy, ups in [
            (Strategy.REST_FOR_ONE, (1, 2, 2)),
            (Strategy.ONE_FOR_ALL, (2, 3, 3)),
            (Strategy.ONE_FOR_ONE, (2, 4, 3)),
        ]:
            supervisor.change(strategy=strategy)
            b.crash()
            await trio.sleep(0.1)
            assert (a.ups, b.ups, c.ups) == ups
            assert counts(supervisor) == [3, 3, 0, 3]


@pytest.mark.row("S77")
@pytest.mark.parametrize("strategy", Strategy)
async def test_the_strategy_stays_while_it_is_at_work(autojump_clock, strategy):
    other = Strategy.ONE_FOR_ALL if strategy is Strategy.ONE_FOR_ONE else Strategy.ONE_FOR_ONE
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec(), b.spec(), strategy=strategy, backoff=Backoff(1, 1))
    async with running(supervisor):
        a.refuse = Boom()
        a.crash()
        await settle()
        assert listed(supervisor)["a"] == "restarting"
        with pytest.raises(Restarting):
            supervisor.change(strategy=other)
        supervisor.change(strategy=strategy, max_restarts=1000)
        a.refuse = None
        await trio.sleep(5)
        supervisor.change(strategy=other)
        assert listed(supervisor) == {"a": "running", "b": "running"}


@pytest.mark.row("S77", "S78")
@pytest.mark.parametrize("dynamic", [False, True])
async def test_changed_limits_count_what_has_been(autojump_clock, dynamic):
    supervisor = DynamicSupervisor(name="dyn") if dynamic else supervisor_of()
    supervisor._backoff = QUICK
    a, b = Actor("a"), Actor("b")
    async with running(supervisor, stop=False) as run:
        await supervisor.start_child(a.spec())
        await supervisor.start_child(b.spec(restart_later=1.0))
        for _ in range(3):
            a.crash()
            await trio.sleep(0.1)
        supervisor.change(max_restarts=4)
        a.crash()
        await trio.sleep(0.1)
        assert a.ups == 5 and not run.ended.is_set()
        b.crash()
        await trio.sleep(0.1)
        supervisor.change(max_restarts=0)
        b.crash()
        await trio.sleep(0.1)
        # The child with a budget of its own has the new limit as well.
        assert listed(supervisor)["b"] == "restarting"
        a.crash()
    assert isinstance(run.ending, SupervisorFailed)


@pytest.mark.row("S77")
async def test_a_longer_window_remembers_longer(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), max_restarts=1, max_seconds=1)
    async with running(supervisor, stop=False) as run:
        a.crash()
        await trio.sleep(0.5)
        supervisor.change(max_seconds=10)
        await trio.sleep(5)
        assert not run.ended.is_set()
        a.crash()
    assert isinstance(run.ending, SupervisorFailed)


@pytest.mark.row("S78")
async def test_a_dynamic_childs_spec_can_be_changed_but_not_into_nonsense(autojump_clock):
    old, new = Actor("a"), Actor("a")
    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        await supervisor.start_child(old.spec())
        for wrong in (
            new.spec(type=ChildType.SUPERVISOR),
            new.spec(restart=Restart.TRANSIENT, significant=True),
            "rubbish",
        ):
            with pytest.raises(InvalidSpec):
                supervisor.change_child(wrong)
        with pytest.raises(NotFound):
            supervisor.change_child(Actor("stranger").spec())
        assert counts(supervisor) == [1, 1, 0, 1]
        supervisor.change_child(new.spec(restart=Restart.TRANSIENT))
        old.crash()
        await settle()
        assert (old.ups, new.ups) == (1, 1)
        new.end()
        await settle()
        assert counts(supervisor) == [0, 0, 0, 0]


async def test_before_it_runs_a_change_is_what_it_begins_with(autojump_clock):
    a, b = Actor("a"), Actor("b")
    supervisor = supervisor_of(a.spec())
    supervisor.change([b.spec()], strategy=Strategy.REST_FOR_ONE)
    assert listed(supervisor) == {}
    async with running(supervisor):
        assert listed(supervisor) == {"b": "running"}


@pytest.mark.row("S71")
async def test_with_never_significant_specs_are_refused_again(autojump_clock):
    a = Actor("a")
    spec = a.spec(restart=Restart.TRANSIENT, significant=True)
    supervisor = supervisor_of(spec, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(supervisor) as run:
        with pytest.raises(InvalidSpec):
            supervisor.change([spec], auto_shutdown=AutoShutdown.NEVER)
        assert supervisor.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT
        supervisor.change(auto_shutdown=AutoShutdown.NEVER)
        with pytest.raises(InvalidSpec):
            supervisor.change_child(spec)
        a.end()
        await trio.sleep(1)
        assert not run.ended.is_set()


async def test_another_type_is_refused_by_name(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec())
    async with running(supervisor):
        with pytest.raises(
            InvalidSpec, match="type=.*SUPERVISOR.*expected ChildType.WORKER"
        ) as caught:
            supervisor.change_child(a.spec(type=ChildType.SUPERVISOR))
        assert caught.value.field == "type" and caught.value.value is ChildType.SUPERVISOR
