"""Who is restarted along with whom: conformance section 1.6 and S29."""

import pytest
import trio

from streampai.runtime import (
    IGNORE,
    Backoff,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    Registry,
    Restart,
    StartFailed,
    Strategy,
    SupervisorFailed,
)

from .actor import Actor, Boom, Reports, actors, counts, listed, running, settle, supervisor_of

QUICK = {"max_restarts": 2, "max_seconds": 3600}


async def crash(actor):
    """And let everything come of it that does."""
    actor.crash()
    await trio.sleep(60)


@pytest.mark.row("S44")
async def test_one_for_one_replaces_only_the_dead_and_the_third_failure_is_too_many(autojump_clock):
    story, (a, b) = actors("a", "b")
    supervisor = supervisor_of(a.spec(), b.spec(), **QUICK)
    async with running(supervisor, stop=False) as run:
        old_b = supervisor.child("b")
        await crash(a)
        assert (a.ups, b.ups) == (2, 1) and supervisor.child("b") is old_b
        await crash(a)
        assert (a.ups, b.ups) == (3, 1)
        await crash(a)
    assert isinstance(run.ending, SupervisorFailed)
    assert story[-1] == "-b"
    assert b.ups == 1


@pytest.mark.row("S45")
@pytest.mark.parametrize("strategy", Strategy)
async def test_who_cannot_start_again_uses_up_the_budget_for_all(autojump_clock, strategy):
    story, (a, b) = actors("a", "b")
    reports = Reports()
    supervisor = supervisor_of(a.spec(), b.spec(), strategy=strategy, report=reports, **QUICK)
    async with running(supervisor, stop=False) as run:
        b.refuse = Boom("no")
        await crash(b)
    assert isinstance(run.ending, SupervisorFailed) and run.ending.child == "b"
    assert b.starts == 3
    assert reports.whats("b")[1:] == [
        "exited",
        "restarting",
        "restart_failed",
        "restarting",
        "restart_failed",
        "limit_reached",
    ]
    assert story[-1] == "-a"


@pytest.mark.row("S47", "S50")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_sibling_unable_to_restart_ends_everything(autojump_clock, strategy):
    story, (a, b, c) = actors("a", "b", "c")
    supervisor = supervisor_of(a.spec(), b.spec(), c.spec(), strategy=strategy, **QUICK)
    async with running(supervisor, stop=False) as run:
        c.refuse = Boom("no")
        await crash(b)
    assert isinstance(run.ending, SupervisorFailed) and run.ending.child == "c"
    assert [story.count(f"+{id}") - story.count(f"-{id}") for id in "abc"] == [0, 0, 0]


@pytest.mark.row("S46")
async def test_one_for_all_replaces_everyone_in_order(autojump_clock):
    story, abc = actors("a", "b", "c")
    supervisor = supervisor_of(
        *(actor.spec() for actor in abc), strategy=Strategy.ONE_FOR_ALL, **QUICK
    )
    async with running(supervisor, stop=False) as run:
        before = [supervisor.child(id) for id in "abc"]
        story.clear()
        await crash(abc[1])
        assert story == ["-b", "-c", "-a", "+a", "+b", "+c"]
        after = [supervisor.child(id) for id in "abc"]
        assert not set(before) & set(after)
        assert {child.generation for child in after} == {2}
        await crash(abc[0])
        await crash(abc[2])
    assert isinstance(run.ending, SupervisorFailed)


@pytest.mark.row("S48")
async def test_one_for_all_begins_again_when_a_sibling_refuses(autojump_clock):
    story, (a, b) = actors("a", "b")
    supervisor = supervisor_of(a.spec(), b.spec(), strategy=Strategy.ONE_FOR_ALL, max_restarts=3)
    async with running(supervisor):
        story.clear()
        b.refuse = Boom("not yet")
        a.crash()
        await settle()
        # a is up again, b has refused: a goes down once more, then both are tried.
        assert story == ["-a", "-b", "+a", "-a"] and b.starts == 2
        b.refuse = None
        await trio.sleep(10)
        assert story[4:] == ["+a", "+b"]
        assert listed(supervisor) == {"a": "running", "b": "running"}


@pytest.mark.row("S49", "S58")
async def test_rest_for_one_replaces_the_dead_and_the_later_ones_in_order(autojump_clock):
    story, abcd = actors("a", "b", "c", "d")
    a, b, c, d = abcd
    supervisor = supervisor_of(
        *(actor.spec() for actor in abcd), strategy=Strategy.REST_FOR_ONE, **QUICK
    )
    async with running(supervisor, stop=False) as run:
        old = supervisor.child("a")
        story.clear()
        await crash(b)
        assert story == ["-b", "-d", "-c", "+b", "+c", "+d"]
        assert supervisor.child("a") is old
        story.clear()
        await crash(d)
        assert story == ["-d", "+d"]
        await crash(c)
    assert isinstance(run.ending, SupervisorFailed)
    assert (a.ups, b.ups, c.ups, d.ups) == (1, 2, 2, 3)


@pytest.mark.row("S51")
async def test_rest_for_one_retries_only_the_one_that_refuses(autojump_clock):
    story, (a, b) = actors("a", "b")
    supervisor = supervisor_of(a.spec(), b.spec(), strategy=Strategy.REST_FOR_ONE, max_restarts=3)
    async with running(supervisor):
        story.clear()
        b.refuse = Boom("not yet")
        a.crash()
        await settle()
        assert story == ["-a", "-b", "+a"]
        b.refuse = None
        await trio.sleep(10)
        assert story == ["-a", "-b", "+a", "+b"]
        assert a.ups == 2


async def test_two_that_die_together_are_restarted_together(autojump_clock):
    story, abc = actors("a", "b", "c")
    for strategy in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE):
        supervisor = supervisor_of(*(actor.spec() for actor in abc), strategy=strategy)
        async with running(supervisor):
            abc[0].crash()
            abc[2].crash()
            await trio.sleep(10)
            assert counts(supervisor) == [3, 3, 0, 3]
            assert [story.count(f"+{id}") - story.count(f"-{id}") for id in "abc"] == [1, 1, 1]


async def test_one_that_dies_while_a_later_one_hangs_in_its_restart(autojump_clock):
    story, (a, b, c) = actors("a", "b", "c")
    for strategy in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE):
        supervisor = supervisor_of(a.spec(), b.spec(), c.spec(), strategy=strategy, max_restarts=10)
        async with running(supervisor):
            c.hang = True
            b.crash()
            await trio.sleep(10)
            assert listed(supervisor)["c"] == "restarting"
            c.hang = False
            a.crash()
            await trio.sleep(10)
            assert counts(supervisor) == [3, 3, 0, 3]


async def test_a_group_restart_cuts_short_what_is_being_started_on_request(autojump_clock):
    a, done, new = Actor("a"), Actor("done"), Actor("new")
    supervisor = supervisor_of(
        a.spec(), done.spec(restart=Restart.TRANSIENT), strategy=Strategy.ONE_FOR_ALL
    )
    async with running(supervisor), trio.open_nursery() as nursery:
        failed = []

        async def expect_failure(operation, argument):
            with pytest.raises(StartFailed):
                await operation(argument)
            failed.append(operation)

        done.end()
        await settle()
        done.hang = new.hang = True
        nursery.start_soon(expect_failure, supervisor.restart_child, "done")
        nursery.start_soon(expect_failure, supervisor.start_child, new.spec())
        await settle()
        done.hang = new.hang = False
        a.crash()
        await trio.sleep(10)
        # Who asked has been told no, so nothing of it may come up behind its back.
        assert len(failed) == 2
        assert listed(supervisor) == {"a": "running", "done": "stopped"}
        assert (done.starts, new.starts) == (2, 1)


async def test_a_failure_is_not_held_up_by_a_start_that_hangs(autojump_clock):
    a, b = Actor("a"), Actor("b")
    b.hang = True
    supervisor = supervisor_of(a.spec(), b.spec(), max_restarts=0)

    async def crash_a():
        await settle()
        a.crash()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_a)
            with pytest.raises(SupervisorFailed):
                await supervisor.run()


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_nor_by_a_restart_that_hangs(autojump_clock, strategy):
    a, b, c = Actor("a"), Actor("b"), Actor("c")
    supervisor = supervisor_of(
        a.spec(), b.spec(), c.spec(restart=Restart.TEMPORARY), strategy=strategy, max_restarts=1
    )
    async with running(supervisor, stop=False) as run:
        b.hang = True
        b.crash()
        await trio.sleep(5)
        a.crash()
        await trio.sleep(1)
        assert run.ended.is_set()
    assert isinstance(run.ending, SupervisorFailed)


async def test_a_child_stopped_on_request_stays_stopped_when_its_group_restarts(autojump_clock):
    a, b, done = Actor("a"), Actor("b"), Actor("done")
    supervisor = supervisor_of(
        a.spec(), b.spec(), done.spec(restart=Restart.TRANSIENT), strategy=Strategy.ONE_FOR_ALL
    )
    async with running(supervisor):
        await supervisor.terminate_child("b")
        done.end()
        await settle()
        assert listed(supervisor) == {"a": "running", "b": "stopped", "done": "stopped"}
        a.crash()
        await settle()
        # One that had done its work belongs to the group and does it again.
        assert listed(supervisor) == {"a": "running", "b": "stopped", "done": "running"}
        assert b.ups == 1


@pytest.mark.row("S29")
async def test_the_window_really_slides(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), max_restarts=1, max_seconds=1)
    async with running(supervisor) as run:
        for n in range(4):
            a.crash()
            await trio.sleep(2.1)
            assert a.ups == n + 2
    assert run.ending is None


async def test_just_inside_the_window_is_too_often(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), max_restarts=1, max_seconds=1)
    async with running(supervisor, stop=False) as run:
        a.crash()
        await trio.sleep(0.9)
        a.crash()
    assert isinstance(run.ending, SupervisorFailed)


async def test_the_first_restart_comes_at_once_and_the_next_ones_wait_longer(autojump_clock):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(
        a.spec(),
        max_restarts=100,
        max_seconds=50,
        backoff=Backoff(1, 8, rng=lambda: 1.0),
        report=reports,
    )
    async with running(supervisor):
        for _ in range(6):
            a.crash()
            await trio.sleep(8.5)
        assert [report.delay for report in reports.of("restarting")] == [0, 1, 2, 4, 8, 8]
        await trio.sleep(100)
        a.crash()
        await settle()
        assert reports.of("restarting")[-1].delay == 0
        assert a.ups == 8


@pytest.mark.row("S52")
async def test_dynamic_children_share_the_budget(autojump_clock):
    abc = [Actor(id) for id in "abc"]
    supervisor = DynamicSupervisor(name="dyn", **QUICK)
    async with running(supervisor, stop=False) as run:
        children = [await supervisor.start_child(actor.spec()) for actor in abc]
        await crash(abc[0])
        assert [actor.ups for actor in abc] == [2, 1, 1]
        await crash(abc[1])
        await crash(abc[2])
    assert isinstance(run.ending, SupervisorFailed)
    assert [child.outcome.how for child in children] == ["error", "error", "error"]


@pytest.mark.row("S55", "D13")
async def test_a_dynamic_child_that_cannot_restart_takes_all_down(autojump_clock):
    a, b = Actor("a"), Actor("b")
    supervisor = DynamicSupervisor(name="dyn", **QUICK)
    async with running(supervisor, stop=False) as run:
        await supervisor.start_child(a.spec())
        other = await supervisor.start_child(b.spec())
        a.refuse = Boom("no")
        await crash(a)
    assert isinstance(run.ending, SupervisorFailed)
    assert other.outcome.how == "shutdown"


@pytest.mark.row("S57", "D10")
@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT])
async def test_a_child_without_work_on_its_restart_is_dropped_if_dynamic(autojump_clock, restart):
    a, b = Actor("a"), Actor("b")
    static, dynamic = supervisor_of(), DynamicSupervisor(name="dyn")
    async with running(static), running(dynamic):
        await static.start_child(a.spec(restart=restart))
        await dynamic.start_child(b.spec(restart=restart))
        for actor in (a, b):
            actor.value = IGNORE
            actor.crash()
        await trio.sleep(10)
        assert listed(static) == {"a": "stopped"}
        assert counts(dynamic) == [0, 0, 0, 0]


@pytest.mark.row("S59")
async def test_three_supervisors_under_one(autojump_clock):
    workers = {name: Actor(name) for name in ("a", "b", "c")}
    inner = {}

    def nested(name):
        async def start(*, task_status):
            inner[name] = supervisor_of(workers[name].spec(), name=name, max_restarts=1)
            await inner[name].run(task_status=task_status)

        return ChildSpec(id=name, start=start, type=ChildType.SUPERVISOR)

    top = supervisor_of(*map(nested, workers), strategy=Strategy.ONE_FOR_ALL)
    async with running(top):
        extra = Actor("extra")
        await inner["b"].start_child(extra.spec())
        workers["a"].crash()
        await settle()
        # A worker's crash inside one is invisible to the others.
        assert [workers[n].ups for n in "abc"] == [2, 1, 1]
        workers["a"].crash()
        await trio.sleep(1)
        # One exhausted: all three begin again, with what was declared only.
        assert [workers[n].ups for n in "abc"] == [3, 2, 2]
        assert counts(top) == [3, 3, 3, 0]
        assert listed(inner["b"]) == {"b": "running"}
        assert extra.ups == 1


@pytest.mark.row("S61")
async def test_registered_names_follow_every_restart_and_are_gone_at_the_end(autojump_clock):
    registry = Registry()
    worker = Actor("worker")

    async def run_worker(*, task_status):
        with registry.registered("worker", object()):
            await worker(task_status=task_status)

    async def nested(*, task_status):
        supervisor = supervisor_of(
            ChildSpec(id="worker", start=run_worker), name="inner", max_restarts=1
        )
        with registry.registered("inner", supervisor):
            await supervisor.run(task_status=task_status)

    spec = ChildSpec(id="inner", start=nested, type=ChildType.SUPERVISOR)
    top = supervisor_of(spec)
    async with running(top):
        seen = set()

        def both_names():
            names = (registry.lookup("inner"), registry.lookup("worker"))
            assert None not in names and names not in seen
            seen.add(names)

        both_names()
        worker.crash()
        await settle()
        both_names()
        worker.crash()
        await trio.sleep(1)
        both_names()
        await top.terminate_child("inner")
        assert len(registry) == 0
        await top.restart_child("inner")
        both_names()
    assert registry.keys() == []
