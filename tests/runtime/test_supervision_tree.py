"""A supervisor's whole tree as data: conformance, introspection."""

import pytest
import trio

from streampai.runtime import (
    Budget,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    Registry,
    Restart,
    Server,
    Supervisor,
    supervised_child,
)

from .actor import Actor, Boom, running, settle, supervisor_of


def states(supervisor):
    return {child.name: child.state for child in supervisor.tree().children}


def only(supervisor):
    (child,) = supervisor.tree().children
    return child


async def test_a_running_child_tells_its_age_and_that_it_was_never_restarted(autojump_clock):
    supervisor = supervisor_of(Actor("a").spec())
    async with running(supervisor):
        await trio.sleep(12)
        child = only(supervisor)
        assert (child.name, child.type, child.state) == ("a", "worker", "running")
        assert child.age == pytest.approx(12)
        assert (child.restarts, child.fault, child.next_start) == (0, "", None)


async def test_a_restart_is_counted_begins_a_new_age_and_leaves_its_reason(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), max_restarts=5, max_seconds=60)
    async with running(supervisor):
        await trio.sleep(12)
        a.end(Boom("why"))
        await trio.sleep(3)
        child = only(supervisor)
        assert (child.state, child.restarts, child.fault) == ("running", 1, "Boom: why")
        assert child.age == pytest.approx(3)


async def test_the_budget_is_told_and_what_of_it_is_spent_comes_back(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), max_restarts=5, max_seconds=60)
    async with running(supervisor):
        a.crash()
        await trio.sleep(1)
        assert supervisor.tree().budget == Budget(spent=1, allowed=5, seconds=60)
        await trio.sleep(60)
        assert supervisor.tree().budget == Budget(spent=0, allowed=5, seconds=60)
        assert supervisor.tree().restarts == 1


async def test_a_child_that_used_up_its_own_budget_says_so_and_when_it_comes_back(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(restart_later=30.0), max_restarts=0, max_seconds=60)
    async with running(supervisor):
        a.end(Boom("why"))
        await trio.sleep(10)
        child = only(supervisor)
        assert (child.state, child.delays, child.fault) == ("restarting", 1, "Boom: why")
        assert child.next_start == pytest.approx(20)
        assert child.age is None
        assert child.budget is not None and child.budget.allowed == 0
        # It draws on nobody else's budget.
        assert supervisor.tree().budget.spent == 0
        await trio.sleep(21)
        child = only(supervisor)
        assert (child.state, child.restarts, child.next_start) == ("running", 1, None)


async def test_a_pause_between_lives_tells_when_it_ends(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), max_restarts=5, max_seconds=60)
    async with running(supervisor):
        a.refuse = Boom("no")
        a.crash()
        await settle()
        child = only(supervisor)
        assert child.state == "restarting"
        assert child.next_start is not None and child.next_start <= 5


async def test_a_stopped_child_is_told_without_an_age(autojump_clock):
    supervisor = supervisor_of(Actor("a").spec(), Actor("b").spec())
    async with running(supervisor):
        await supervisor.terminate_child("a")
        assert states(supervisor) == {"a": "stopped", "b": "running"}
        assert supervisor.tree().children[0].age is None


async def test_an_abandoned_child_is_told_beside_its_successor(autojump_clock):
    a = Actor("a")
    a.linger = 100.0
    supervisor = supervisor_of(a.spec(shutdown=1.0))
    async with running(supervisor):
        await supervisor.terminate_child("a")
        assert [c.state for c in supervisor.tree().children] == ["stopped", "abandoned"]
        a.linger = 0.0
        await supervisor.restart_child("a")
        assert [c.state for c in supervisor.tree().children] == ["running", "abandoned"]
        assert supervisor.tree().abandoned == 1
        await trio.sleep(100)
        assert [c.state for c in supervisor.tree().children] == ["running"]


class Deaf(Server):
    """Does not get round to its second message."""

    async def handle(self, message):
        await trio.sleep_forever()


async def test_what_waits_in_a_servers_mailbox_is_told(autojump_clock):
    async def run(*, task_status):
        await Deaf(key=("deaf",), registry=registry).run(task_status=task_status)

    registry = Registry()
    supervisor = supervisor_of(ChildSpec(id="deaf", start=run))
    async with running(supervisor):
        assert only(supervisor).depth == 0
        deaf = registry.lookup(("deaf",))
        deaf.cast_nowait("taken")
        await settle()
        deaf.cast_nowait("waits")
        deaf.cast_nowait("waits too")
        assert only(supervisor).depth == 2


async def test_who_is_no_server_has_no_mailbox():
    supervisor = supervisor_of(Actor("a").spec())
    async with running(supervisor):
        assert only(supervisor).depth is None


def house(*inner):
    """A child that runs supervisors in tasks of its own, as real ones do."""

    async def run(*, task_status):
        async with trio.open_nursery() as nursery:
            for supervisor in inner:
                await nursery.start(supervisor.run, name=f"{supervisor.name} runs")
            task_status.started()

    return ChildSpec(id="house", start=run, type=ChildType.SUPERVISOR)


async def test_supervisors_inside_a_child_are_found_by_themselves():
    upper = Supervisor([Actor("a").spec()], name="upper")
    lower = DynamicSupervisor(name="lower")
    supervisor = supervisor_of(house(upper, lower))
    async with running(supervisor):
        await lower.start_child(Actor("b").spec())
        found = only(supervisor).supervisors
        assert [(s.name, s.strategy) for s in found] == [
            ("upper", "one_for_one"),
            ("lower", "dynamic"),
        ]
        assert [c.name for s in found for c in s.children] == ["a", "b"]
        assert [s.task.name for s in found] == ["upper runs", "lower runs"]


async def test_a_supervisor_that_has_ended_is_found_no_more():
    a = Actor("a")
    upper = Supervisor([a.spec()], name="upper", max_restarts=0)
    supervisor = supervisor_of(house(upper), max_restarts=5, max_seconds=60)
    async with running(supervisor):
        handle = supervisor.child("house")
        assert handle.supervisors == (upper,)
        a.crash()
        await settle()
        assert handle.supervisors == ()
        child = only(supervisor)
        # The budget that bit is named a floor higher, nursery or not.
        assert "SupervisorFailed: upper: a failed too often" in child.fault


async def test_a_supervisor_that_does_not_run_still_answers():
    supervisor = Supervisor([Actor("a").spec()], name="top", max_restarts=7, max_seconds=9)
    tree = supervisor.tree()
    assert (tree.name, tree.task, tree.children) == ("top", None, ())
    assert tree.budget == Budget(spent=0, allowed=7, seconds=9)


async def test_a_task_knows_the_child_it_belongs_to():
    seen = []

    async def run(*, task_status):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever, name="helper")
            task_status.started()
            await trio.lowlevel.checkpoint()
            seen.extend(
                t for n in trio.lowlevel.current_task().child_nurseries for t in n.child_tasks
            )

    supervisor = supervisor_of(ChildSpec(id="a", start=run, restart=Restart.PERMANENT))
    async with running(supervisor):
        await settle()
        (helper,) = seen
        assert supervised_child(helper) is supervisor.child("a")
        assert supervised_child(trio.lowlevel.current_task()) is None
