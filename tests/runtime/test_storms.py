"""Many trees at once, and one of them failing all the time: X8, X9, X11 in small."""

import gc
import os
from functools import partial

import pytest
import trio

from streampai.runtime import (
    Backoff,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    Mailbox,
    PubSub,
    Registry,
    Restart,
    Server,
    Strategy,
)

from .actor import Boom, counts, running, settle, supervisor_of
from .work import Work

NO_WAIT = Backoff(1e-9, 1e-9)


class Echo(Server):
    async def handle(self, message):
        if message == "crash":
            raise Boom
        return message


def server_spec(registry, key):
    async def start(*, task_status):
        await Echo(key=key, registry=registry).run(task_status=task_status)

    return ChildSpec(id=key, start=start)


def listener_spec(pubsub, topic):
    async def start(*, task_status):
        mailbox: Mailbox[object] = Mailbox(10)
        subscription = pubsub.subscribe(topic, mailbox)
        try:
            task_status.started()
            while True:
                await mailbox.take()
        finally:
            subscription.unsubscribe()

    return ChildSpec(id="listener", start=start)


def tree_spec(registry, pubsub, user, **options):
    """Eight children, seven of them with a name."""

    async def start(*, task_status):
        children = [server_spec(registry, ("server", user, n)) for n in range(7)]
        children.append(listener_spec(pubsub, f"user:{user}"))
        supervisor = supervisor_of(
            *children, strategy=Strategy.REST_FOR_ONE, backoff=NO_WAIT, **options
        )
        await supervisor.run(task_status=task_status)

    return ChildSpec(id=user, start=start, type=ChildType.SUPERVISOR)


def everything_there_is():
    gc.collect()
    return (
        trio.lowlevel.current_statistics().tasks_living,
        len(os.listdir("/proc/self/fd")),
        trio.lowlevel.current_statistics().run_sync_soon_queue_size,
    )


@pytest.mark.row("X8")
async def test_lives_of_a_tree_leave_no_task_descriptor_name_subscription_or_object(
    autojump_clock,
):
    registry, pubsub = Registry(), PubSub()
    users = DynamicSupervisor(name="users")

    async def lives(number):
        for _ in range(number):
            await users.start_child(tree_spec(registry, pubsub, 1))
            await users.terminate_child(1)

    async with running(users):
        await lives(5)
        await settle()
        before = everything_there_is()
        objects = len(gc.get_objects())
        await lives(100)
        await settle()
        assert everything_there_is() == before
        # Less than one for each life.
        assert len(gc.get_objects()) - objects < 50
        assert registry._entries == {} and pubsub.topics() == []


async def life_of_trees(number):
    registry, pubsub = Registry(), PubSub()
    users = DynamicSupervisor(name="users")
    async with running(users):
        for user in range(number):
            await users.start_child(tree_spec(registry, pubsub, user))
        assert len(registry) == 7 * number
        for user in range(number):
            registry.lookup(("server", user, 0)).cast_nowait("crash")
        await settle()
        await trio.sleep(1)
        assert counts(users) == [number, number, number, 0] and len(registry) == 7 * number
        answers = []
        async with trio.open_nursery() as nursery:

            async def ask(user):
                answers.append(await registry.lookup(("server", user, 6)).call(user))

            for user in range(number):
                nursery.start_soon(ask, user)
        assert sorted(answers) == list(range(number))
    assert len(registry) == 0


@pytest.mark.row("X9")
async def test_ten_times_the_trees_start_crash_answer_and_stop_with_ten_times_the_work(
    autojump_clock,
):
    with Work() as few:
        await life_of_trees(10)
    with Work() as many:
        await life_of_trees(100)
    assert 5 < many.calls / few.calls < 12


class Passes(trio.abc.Instrument):
    """Counts the passes of the scheduler, which unlike seconds are the same on every machine."""

    def __init__(self):
        self.passes = 0

    def before_io_wait(self, timeout):
        self.passes += 1


@pytest.mark.row("X11")
async def test_a_tree_that_fails_a_hundred_times_a_second_delays_no_other_by_a_single_pass(
    autojump_clock,
):
    registry, pubsub = Registry(), PubSub()
    users = DynamicSupervisor(name="users")
    passes = Passes()

    async def latencies(storm):
        """Of a call each 13 ms, in passes from asking to the answer."""
        found = []
        server = registry.lookup(("server", "calm", 3))
        until = trio.current_time() + 1
        async with trio.open_nursery() as nursery:
            if storm:
                nursery.start_soon(fail, until)
            while trio.current_time() < until:
                before = passes.passes
                assert await server.call("x") == "x"
                found.append(passes.passes - before)
                await trio.sleep(0.013)
        return found

    async def fail(until):
        failures = 0
        while trio.current_time() < until:
            if (server := registry.lookup(("server", "storm", 0))) is not None:
                server.cast_nowait("crash")
                failures += 1
            await trio.sleep(0.01)
        assert failures > 90

    async with running(users):
        await users.start_child(tree_spec(registry, pubsub, "storm", max_restarts=10_000))
        await users.start_child(tree_spec(registry, pubsub, "calm"))
        supervisor = users.child("storm").value
        trio.lowlevel.add_instrument(passes)
        try:
            calm = await latencies(storm=False)
            stormy = await latencies(storm=True)
        finally:
            trio.lowlevel.remove_instrument(passes)
        assert supervisor.statistics().restarts > 90
        assert len(stormy) == len(calm) > 70
        assert max(stormy) <= max(calm)
        assert users.child("calm").generation == 1


@pytest.mark.row("B4")
@pytest.mark.parametrize("dynamic", [False, True])
async def test_children_that_end_at_the_moment_they_are_stopped_keep_their_reasons(
    autojump_clock, dynamic
):
    async def start(n, *, task_status):
        task_status.started()
        await go_on.wait()
        for _ in range(n % 5):
            await trio.lowlevel.checkpoint()

    for _ in range(5):
        go_on = trio.Event()
        supervisor = DynamicSupervisor(name="dyn") if dynamic else supervisor_of()
        began = trio.current_time()
        async with running(supervisor) as run:
            spec = partial(ChildSpec, shutdown=1.0, restart=Restart.TRANSIENT)
            children = [
                await supervisor.start_child(spec(id=n, start=partial(start, n)))
                for n in range(200)
            ]
            go_on.set()
        assert run.ending is None
        assert {child.outcome.how for child in children} == {"normal", "shutdown"}
        assert supervisor.statistics().starts == 200
        assert trio.current_time() == began
