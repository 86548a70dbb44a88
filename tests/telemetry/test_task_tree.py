import json

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.runtime import ChildSpec, ChildType, DynamicSupervisor, Supervisor, open_room
from streampai.telemetry.task_node import TaskNode
from streampai.telemetry.task_tree import task_tree


def find(nodes, name):
    for node in nodes:
        if node.name == name:
            return node
        if (found := find(node.children, name)) is not None:
            return found
    return None


async def parent_of(*names):
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(trio.sleep_forever, name=name)


async def test_tasks_stand_under_their_parents_by_name(nursery):
    nursery.start_soon(
        parent_of, "platform_monitor/42/twitch", "platform_monitor/42/kick", name="monitors/42"
    )
    await wait_all_tasks_blocked()
    node = find(task_tree(), "monitors/42")
    assert [child.name for child in node.children] == [
        "platform_monitor/42/kick",
        "platform_monitor/42/twitch",
    ]


async def test_numbers_in_names_are_sorted_as_numbers(nursery):
    nursery.start_soon(parent_of, "user/10", "user/9", "user/9/a", "other", name="users")
    await wait_all_tasks_blocked()
    names = [child.name for child in find(task_tree(), "users").children]
    assert names == ["other", "user/9", "user/9/a", "user/10"]


async def test_trios_own_tasks_are_left_out():
    text = json.dumps([node.as_dict() for node in task_tree()])
    assert "test_trios_own_tasks" in text
    assert "run_sync_soon" not in text
    assert "<init>" not in text


async def test_what_has_been_cancelled_and_not_yet_left_is_marked():
    leave = trio.Event()

    async def lingering():
        try:
            await trio.sleep_forever()
        finally:
            # The test's own end is what it waits for, two lines below.
            with trio.CancelScope(shield=True):
                await leave.wait()

    async def holder():
        async with trio.open_nursery() as inner:
            inner.start_soon(lingering, name="lingering")

    async with trio.open_nursery() as outer:
        outer.start_soon(holder, name="holder")
        await wait_all_tasks_blocked()
        assert not find(task_tree(), "lingering").stopping
        outer.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        nodes = task_tree()
        leave.set()
    assert find(nodes, "holder").stopping
    assert find(nodes, "lingering").stopping


def test_no_tree_without_a_running_trio():
    with pytest.raises(RuntimeError):
        task_tree()


async def sleep(*, task_status):
    task_status.started()
    async with trio.open_nursery() as inner:
        inner.start_soon(trio.sleep_forever, name="helper")


async def stubborn(*, task_status):
    task_status.started()
    # Until the test has seen enough: a task that swallows its cancellation.
    with trio.CancelScope(shield=True):
        await trio.sleep(60)


async def test_supervised_tasks_stand_beneath_their_supervisor_with_what_it_knows(nursery):
    async def holder(*, task_status):
        supervisor = Supervisor([ChildSpec(id="a", start=sleep)], name="keeper")
        async with open_room(), trio.open_nursery() as inner:
            await inner.start(supervisor.run, name="keeper/run")
            task_status.started(supervisor)

    supervisor = await nursery.start(holder, name="holder")
    await wait_all_tasks_blocked()
    nodes = task_tree(supervisor.tree())
    keeper = find(nodes, "keeper/run")
    assert keeper.supervisor.name == "keeper"
    assert [child.name for child in find(nodes, "holder").children] == ["keeper/run"]
    (a,) = keeper.children
    assert (a.child.state, a.child.type) == ("running", "worker")
    assert [child.name for child in a.children] == ["helper"]
    assert a.children[0].child is None
    # Without being told of the supervisor, Trio's own view: both live in the same room.
    assert [child.name for child in find(task_tree(), "holder").children] == ["a", "keeper/run"]


async def test_a_child_without_a_task_is_there_as_well(nursery):
    supervisor = Supervisor([ChildSpec(id="a", start=sleep)], name="keeper")
    await nursery.start(supervisor.run, name="keeper/run")
    await supervisor.terminate_child("a")
    (a,) = find(task_tree(supervisor.tree()), "keeper/run").children
    assert (a.name, a.child.state, a.children) == ("a", "stopped", ())


async def test_an_abandoned_task_keeps_its_own_node(nursery, autojump_clock):
    starts = [stubborn, sleep]

    async def start(*, task_status):
        await starts.pop(0)(task_status=task_status)

    supervisor = Supervisor([ChildSpec(id="a", start=start, shutdown=0.1)], name="keeper")
    await nursery.start(supervisor.run, name="keeper/run")
    await supervisor.terminate_child("a")
    await supervisor.restart_child("a")
    await wait_all_tasks_blocked()
    nodes = find(task_tree(supervisor.tree()), "keeper/run").children
    seen = {node.child.state: [child.name for child in node.children] for node in nodes}
    assert seen == {"running": ["helper"], "abandoned": []}


async def test_nested_supervisors_are_told_from_the_outermost(nursery):
    async def inside(*, task_status):
        lower = DynamicSupervisor(name="lower")
        async with trio.open_nursery() as inner:
            await inner.start(lower.run, name="lower/run")
            await lower.start_child(ChildSpec(id="b", start=sleep))
            task_status.started()

    spec = ChildSpec(id="house", start=inside, type=ChildType.SUPERVISOR)
    supervisor = Supervisor([spec], name="upper")
    await nursery.start(supervisor.run, name="upper/run")
    upper = find(task_tree(supervisor.tree()), "upper/run")
    (house,) = upper.children
    (lower,) = house.children
    (b,) = lower.children
    assert [n.name for n in (house, lower, b)] == ["house", "lower/run", "b"]
    assert lower.supervisor.strategy == "dynamic"


async def test_a_supervisor_that_does_not_run_is_told_at_the_top():
    nodes = task_tree(Supervisor(name="keeper").tree())
    assert find(nodes, "keeper").supervisor.budget.allowed == 3


async def test_a_tree_survives_json(nursery):
    supervisor = Supervisor(
        [ChildSpec(id="a", start=sleep, restart_later=3.0), ChildSpec(id="b", start=sleep)],
        name="keeper",
    )
    await nursery.start(supervisor.run, name="keeper/run")
    await supervisor.terminate_child("b")
    (node,) = [n for n in task_tree(supervisor.tree()) if find([n], "keeper/run")]
    told = json.loads(json.dumps(node.as_dict()))
    assert TaskNode.from_dict(told).as_dict() == node.as_dict()
    assert find([TaskNode.from_dict(told)], "a").child.state == "running"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a"},
        {"name": "a", "stopping": False, "children": [], "child": {}, "supervisor": None},
        {"name": "a", "stopping": False, "children": None, "child": None, "supervisor": None},
    ],
)
def test_what_is_no_node_is_refused(wrong):
    with pytest.raises((KeyError, TypeError)):
        TaskNode.from_dict(wrong)
