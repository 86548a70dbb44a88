import pytest

from streampai.cli.tree_picture import picture
from streampai.runtime import Budget, ChildNode, SupervisorNode
from streampai.telemetry.task_node import TaskNode


def child(state="running", *, type="worker", **fields):
    return ChildNode(name="", type=type, state=state, **fields)


def supervisor(*, spent=0, allowed=5, seconds=60.0, restarts=0, abandoned=0):
    return SupervisorNode(
        name="",
        strategy="one_for_one",
        restarts=restarts,
        abandoned=abandoned,
        budget=Budget(spent=spent, allowed=allowed, seconds=seconds),
    )


def lines(*nodes, **options):
    return picture(nodes, **options).splitlines()


def cells(line):
    """A line's columns; two spaces and more part them."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_tree_stands_in_aligned_columns():
    tree = TaskNode(
        name="main",
        children=(
            TaskNode(
                name="users",
                supervisor=supervisor(spent=2, restarts=7),
                children=(
                    TaskNode(name="user/1", child=child(age=12.4, restarts=2, depth=3)),
                    TaskNode(name="user/2", child=child(age=4000.0), stopping=True),
                ),
            ),
            TaskNode(name="web"),
        ),
    )
    assert lines(tree) == [
        "TASK        STATE     AGE  RESTARTS  BUDGET      MAIL",
        "main",
        "├ users                    7         2/5 in 60s",
        "│ ├ user/1  running   12s  2                     3",
        "│ └ user/2  stopping  67m  0",
        "└ web",
    ]


@pytest.mark.parametrize("state", ["restarting", "stopped", "starting", "abandoned"])
def test_every_state_is_told(state):
    assert cells(lines(TaskNode(name="a", child=child(state)))[1]) == ["a", state, "0"]


def test_a_budget_that_bit_is_told_below_its_child():
    twitch = child(
        "restarting",
        restarts=6,
        delays=1,
        next_start=47.2,
        fault="RuntimeError: no\nwords",
        budget=Budget(spent=0, allowed=5, seconds=60.0),
    )
    node = TaskNode(
        name="platforms", supervisor=supervisor(), children=(TaskNode(name="twitch", child=twitch),)
    )
    told = lines(node)
    assert cells(told[2]) == ["└ twitch", "restarting", "6", "0/5 in 60s"]
    assert told[3] == (
        "    ! used up its budget; next start in 47s; last end: RuntimeError: no words"
    )


def test_a_remark_keeps_the_lines_of_the_tree_whole():
    node = TaskNode(
        name="top",
        children=(
            TaskNode(name="a", child=child(fault="Boom: 1"), children=(TaskNode(name="b"),)),
            TaskNode(name="c", child=child(fault="Boom: 2", delays=3)),
        ),
    )
    told = lines(node)
    assert told[3] == "│ │ ! last end: Boom: 1"
    assert told[4].startswith("│ └ b")
    assert told[6] == "    ! used up its budget 3 times; last end: Boom: 2"


def test_a_long_reason_goes_on_in_the_next_lines_and_ends_some_day():
    words = " ".join(f"word{n}" for n in range(100))
    node = TaskNode(name="a", child=child(fault=words), children=(TaskNode(name="b"),))
    told = lines(node, width=60)
    assert told[2].startswith("│ ! last end: word0 word1")
    assert told[3].startswith("│   word")
    assert told[4].endswith("…")
    assert told[5].startswith("└ b")
    assert max(map(len, told)) <= 60


def test_abandoned_tasks_are_told_at_their_supervisor():
    told = lines(TaskNode(name="top", supervisor=supervisor(abandoned=2)))
    assert told[2] == "  ! 2 abandoned: they did not stop in their grace"


def test_nothing_is_wider_than_the_terminal():
    deep = TaskNode(name="x" * 90, child=child("restarting", age=1.0, fault="y" * 300))
    for _ in range(8):
        deep = TaskNode(name="parent", supervisor=supervisor(), children=(deep,))
    told = lines(deep)
    assert max(map(len, told)) == 100
    assert any("x…" in line and "restarting" in line for line in told)
    assert max(map(len, lines(deep, width=72))) == 72


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0s"), (90.0, "90s"), (601.0, "10m"), (7_300.0, "2h"), (200_000.0, "2d")],
)
def test_ages_are_short(seconds, told):
    assert cells(lines(TaskNode(name="a", child=child(age=seconds)))[1])[2] == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hypercorn.trio.tcp_server.TCPServer._idle_timeout", "hypercorn TCPServer._idle_timeout"),
        ("trio.serve_listeners", "trio serve_listeners"),
        ("platform_monitor/1/twitch", "platform_monitor/1/twitch"),
        ("websocket_reader", "websocket_reader"),
    ],
)
def test_a_librarys_function_is_named_briefly(name, told):
    assert lines(TaskNode(name=name))[1] == told
