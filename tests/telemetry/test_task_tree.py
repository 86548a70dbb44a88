import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.telemetry.task_tree import TaskNode, render, task_tree


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
    text = render(task_tree())
    assert text
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


TREE = TaskNode(
    name="main",
    children=(
        TaskNode(name="a/1", children=(TaskNode(name="b/1", stopping=True),)),
        TaskNode(name="a/2"),
    ),
)


def test_the_tree_is_drawn():
    assert render([TREE]) == "main\n├── a/1\n│   └── b/1 (stopping)\n└── a/2"


def test_a_tree_survives_json():
    assert TaskNode.from_dict(TREE.as_dict()) == TREE
