"""A cancellation at every checkpoint (X5): what was asked for is done or not begun, never half."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from streampai.runtime import (
    Backoff,
    CallTimeout,
    Child,
    ChildSpec,
    DynamicSupervisor,
    Mailbox,
    NotFound,
    NotRunning,
    PubSub,
    Registry,
    Restart,
    Server,
    StartFailed,
    Strategy,
    Supervisor,
    TokenBucket,
    open_room,
)

from .actor import Actor, Boom, actors, counts, listed, running, settle, supervisor_of


class _CancelAtStep(trio.abc.Instrument):
    """Cancels ``scope`` before the k-th step that any task takes."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.taken = 0
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken += 1
        if self.taken == self.step:
            self.scope.cancel()


async def cancelled_at(step: int, operation: Callable[[], Awaitable[object]]) -> bool:
    """Run it; whether it was still at it when that step came. Step 0 is before it begins.

    Steps of all tasks count, so that it is cancelled while it runs, while it
    waits and in the pass in which it would have been woken.
    """
    instrument = _CancelAtStep(step)
    with instrument.scope:
        if step == 0:
            instrument.scope.cancel()
        trio.lowlevel.add_instrument(instrument)
        try:
            await operation()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return instrument.taken >= step


async def at_every_step(scenario: Callable[[int], Awaitable[bool]], least: int) -> None:
    """``least`` guards against a test that no longer reaches what it is about."""
    step = 0
    while await scenario(step):
        step += 1
        assert step < 500
    assert step > least


COVERED: set[str] = set()


def covers(*operations: str) -> Callable[[Callable], Callable]:
    """The test cancels these at every step."""

    def mark(test: Callable) -> Callable:
        COVERED.update(operations)
        return test

    return mark


def balanced(story: list[str]) -> bool:
    """Whoever came up has ended."""
    ups = [entry[1:] for entry in story if entry[0] == "+"]
    downs = [entry[1:] for entry in story if entry[0] == "-"]
    return sorted(ups) == sorted(downs)


class Slow(Actor):
    """Takes a few steps to come up and a few to end."""

    async def __call__(self, *, task_status):
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        try:
            await super().__call__(task_status=task_status)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)


@pytest.mark.row("X5")
@covers("Supervisor.run")
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("nested", [False, True])
async def test_a_supervisors_whole_life(autojump_clock, strategy, nested):
    async def scenario(step):
        registry = Registry()
        story: list[str] = []
        abc = [Slow(id, story) for id in "abc"]

        def named(actor):
            async def start(*, task_status):
                with registry.registered(("child", actor.id), actor):
                    await actor(task_status=task_status)

            return ChildSpec(id=actor.id, start=start)

        supervisor = supervisor_of(*map(named, abc), strategy=strategy)

        async def drive():
            # Long enough for every phase: start, two crashes, a quiet end by return.
            for actor in (abc[1], abc[0]):
                await trio.sleep(2)
                actor.crash()
            await trio.sleep(2)
            scope.cancel()

        async def life():
            with scope:
                if nested:
                    inner = ChildSpec(id="inner", start=supervisor.run)
                    await supervisor_of(inner, name="outer").run()
                else:
                    await supervisor.run()

        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drive)
            reached = await cancelled_at(step, life)
            nursery.cancel_scope.cancel()
        assert balanced(story)
        assert len(registry) == 0
        assert {child.status for child in supervisor.which_children()} <= {"stopped"}
        return reached

    await at_every_step(scenario, 3 if nested or strategy is Strategy.ONE_FOR_ONE else 6)


@pytest.mark.row("X5")
@covers("Supervisor.start_child", "DynamicSupervisor.start_child")
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("handshake", [False, True])
async def test_starting_a_child(autojump_clock, dynamic, handshake):
    async def scenario(step):
        a = Slow("a")
        supervisor = DynamicSupervisor(name="dyn") if dynamic else supervisor_of()
        done = False

        async def operation():
            nonlocal done
            child = await supervisor.start_child(a.spec(handshake=handshake))
            assert child.running
            done = True

        async with running(supervisor):
            reached = await cancelled_at(step, operation)
            await settle()
            if done:
                assert counts(supervisor) == [1, 1, 0, 1]
            else:
                assert counts(supervisor) == [0, 0, 0, 0]
                assert balanced(a.story)
                await supervisor.start_child(Actor("a").spec())
        assert balanced(a.story)
        return reached

    await at_every_step(scenario, 2)


@pytest.mark.row("X5")
@covers("Supervisor.terminate_child")
async def test_stopping_a_child(autojump_clock):
    async def scenario(step):
        a = Slow("a")
        supervisor = supervisor_of(a.spec())

        async with running(supervisor):
            child = supervisor.child("a")
            reached = await cancelled_at(step, lambda: supervisor.terminate_child("a"))
            # Once asked for, a stop is carried through, and nobody waits half-way.
            assert listed(supervisor) == {"a": "stopped"}
            assert child.outcome.how == "shutdown"
            assert (await supervisor.restart_child("a")).running
        return reached

    await at_every_step(scenario, 2)


@pytest.mark.row("X5")
async def test_giving_up_a_child_that_does_not_stop(autojump_clock):
    async def scenario(step):
        a = Actor("a")
        a.linger = 100
        supervisor = supervisor_of(a.spec(shutdown=1))
        async with open_room(), running(supervisor):
            reached = await cancelled_at(step, lambda: supervisor.terminate_child("a"))
            assert supervisor.statistics().abandoned == 1
            assert listed(supervisor) == {"a": "stopped"}
        return reached

    await at_every_step(scenario, 2)


@pytest.mark.row("X5")
@covers("Supervisor.restart_child")
async def test_restarting_a_child_on_request(autojump_clock):
    async def scenario(step):
        a = Slow("a")
        supervisor = supervisor_of(a.spec())
        done = False

        async def operation():
            nonlocal done
            await supervisor.restart_child("a")
            done = True

        async with running(supervisor):
            await supervisor.terminate_child("a")
            reached = await cancelled_at(step, operation)
            assert listed(supervisor) == {"a": "running" if done else "stopped"}
            if not done:
                assert balanced(a.story)
                assert (await supervisor.restart_child("a")).running
        return reached

    await at_every_step(scenario, 2)


class Echo(Server):
    handled = 0

    async def handle(self, message):
        self.handled += 1
        await trio.lowlevel.checkpoint()
        return message


@pytest.mark.row("X5")
@covers("Server.call")
@pytest.mark.parametrize("capacity", [1, 10])
@pytest.mark.parametrize("timeout", [None, 5])
async def test_a_call(autojump_clock, nursery, capacity, timeout):
    async def scenario(step):
        server = Echo(key=("echo", step), registry=registry, capacity=capacity)
        async with trio.open_nursery() as servers:
            await servers.start(server.run)
            if capacity == 1:
                await server.cast("fills it up")
            got = []

            async def operation():
                got.append(await server.call("mine", timeout=timeout))

            reached = await cancelled_at(step, operation)
            assert not server._unanswered
            await settle()
            assert server.handled - (capacity == 1) in ((1,) if got else (0, 1))
            # Whatever became of it, the next one gets its own answer.
            assert await server.call("next") == "next"
            servers.cancel_scope.cancel()
        assert len(registry) == 0
        return reached

    registry = Registry()
    await at_every_step(scenario, 2)


async def test_a_call_whose_time_runs_out_is_the_same(autojump_clock, nursery):
    server = Echo(key=("echo",), registry=Registry())
    await nursery.start(server.run)
    with pytest.raises(CallTimeout):
        await server.call("mine", timeout=0)
    assert not server._unanswered
    assert await server.call("next") == "next"


@pytest.mark.row("X5")
@covers("Server.run")
async def test_a_server_itself(autojump_clock):
    async def scenario(step):
        registry = Registry()
        server = Echo(key=("echo",), registry=registry)
        asked = trio.Event()

        async def ask():
            await trio.lowlevel.checkpoint()
            with pytest.raises(NotRunning):
                for _ in range(3):
                    await server.call("x")
                scope.cancel()
                await server.call("the last")
            asked.set()

        async def life():
            with scope:
                await server.run()

        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            reached = await cancelled_at(step, life)
            await asked.wait()
        assert len(registry) == 0 and not server._unanswered
        return reached

    await at_every_step(scenario, 4)


@pytest.mark.row("X5")
@covers("Mailbox.send")
async def test_sending_to_a_mailbox():
    async def scenario(step):
        mailbox = Mailbox[str](1)
        mailbox.put("first")
        done = False

        async def operation():
            nonlocal done
            await mailbox.send("second")
            done = True

        async with trio.open_nursery() as nursery:
            got = []

            async def read():
                await settle()
                got.extend(await mailbox.take())

            nursery.start_soon(read)
            reached = await cancelled_at(step, operation)
        await settle()
        assert got == ["first"]
        assert mailbox.depth == done
        return reached

    await at_every_step(scenario, 2)


@pytest.mark.row("X5")
@covers("TokenBucket.acquire")
async def test_a_token_bucket(autojump_clock):
    async def scenario(step):
        bucket = TokenBucket(rate=1, burst=2, name="b")
        await bucket.acquire(2)
        done = False

        async def operation():
            nonlocal done
            await bucket.acquire(2)
            done = True

        start = trio.current_time()
        reached = await cancelled_at(step, operation)
        assert bucket.waiting == 0
        passed = trio.current_time() - start
        assert bucket.available == pytest.approx(min(2, passed - (2 if done else 0)), abs=1e-6)
        return reached

    await at_every_step(scenario, 2)


async def test_a_crash_at_any_moment_of_a_start_leaves_nothing_behind(autojump_clock):
    registry = Registry()

    async def start(steps, *, task_status):
        with registry.registered("name", 1):
            for n in range(5):
                if n == steps:
                    raise Boom
                await trio.lowlevel.checkpoint()
                if n == 3:
                    task_status.started()
            await trio.sleep_forever()

    for steps in range(6):
        supervisor = supervisor_of()
        async with running(supervisor):
            spec = ChildSpec(id="a", start=partial(start, steps), restart=Restart.TEMPORARY)
            try:
                child = await supervisor.start_child(spec)
            except Exception as error:  # noqa: BLE001 - which one is checked
                assert steps < 4 and isinstance(error.cause, Boom)
                assert counts(supervisor) == [0, 0, 0, 0] and len(registry) == 0
            else:
                assert steps >= 4
                await settle()
                assert child.running is (steps == 5)
                assert len(registry) == (steps == 5)


@pytest.mark.row("X5")
@covers("DynamicSupervisor.run")
async def test_a_dynamic_supervisors_whole_life(autojump_clock):
    async def scenario(step):
        registry = Registry()
        story: list[str] = []
        abc = [Slow(id, story) for id in "abc"]
        supervisor = DynamicSupervisor(name="dyn")
        scope = trio.CancelScope()

        def named(actor):
            async def start(*, task_status):
                with registry.registered(("child", actor.id), actor):
                    await actor(task_status=task_status)

            return ChildSpec(id=actor.id, start=start)

        async def drive():
            await trio.lowlevel.checkpoint()
            try:
                for actor in abc:
                    await supervisor.start_child(named(actor))
                abc[0].crash()
                await trio.sleep(2)
                await supervisor.terminate_child("b")
                abc[2].end()
                await trio.sleep(2)
            except (NotRunning, StartFailed, NotFound):
                # The supervisor ended meanwhile.
                pass
            finally:
                scope.cancel()

        async def life():
            with scope:
                await supervisor.run()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drive)
            reached = await cancelled_at(step, life)
            nursery.cancel_scope.cancel()
        assert balanced(story)
        assert len(registry) == 0 and registry._entries == {}
        assert {child.status for child in supervisor.which_children()} <= {"stopped"}
        return reached

    await at_every_step(scenario, 6)


@pytest.mark.row("X5")
@covers("DynamicSupervisor.terminate_child")
@pytest.mark.parametrize("limbo", [False, True])
async def test_stopping_a_dynamic_child(autojump_clock, limbo):
    async def scenario(step):
        a = Slow("a")
        supervisor = DynamicSupervisor(name="dyn", backoff=Backoff(5, 5))
        async with running(supervisor):
            child = await supervisor.start_child(a.spec())
            if limbo:
                a.refuse = Boom()
                a.crash()
                await trio.sleep(1)
                assert listed(supervisor) == {"a": "restarting"}
            reached = await cancelled_at(step, lambda: supervisor.terminate_child(child))
            assert counts(supervisor) == [0, 0, 0, 0]
            assert balanced(a.story)
            a.refuse = None
            assert (await supervisor.start_child(a.spec())).running
        return reached

    await at_every_step(scenario, 1)


@pytest.mark.row("X5")
@covers("Supervisor.delete_child")
async def test_deleting_a_child(autojump_clock):
    async def scenario(step):
        a = Slow("a")
        supervisor = supervisor_of(a.spec())
        async with running(supervisor):
            await supervisor.terminate_child("a")
            reached = await cancelled_at(step, lambda: supervisor.delete_child("a"))
            assert listed(supervisor) == {}
            assert (await supervisor.start_child(a.spec())).running
        return reached

    await at_every_step(scenario, 0)


@pytest.mark.row("X5")
@covers("Server.cast")
@pytest.mark.parametrize("capacity", [1, 10])
async def test_a_cast(autojump_clock, nursery, capacity):
    async def scenario(step):
        server = Echo(key=("echo", step), registry=registry, capacity=capacity)
        async with trio.open_nursery() as servers:
            await servers.start(server.run)
            if capacity == 1:
                server.cast_nowait("fills it up")
            done = False

            async def operation():
                nonlocal done
                await server.cast("mine")
                done = True

            reached = await cancelled_at(step, operation)
            await settle()
            # Sent and done, or not sent: here the sender always knows which.
            assert server.handled - (capacity == 1) == done
            assert await server.call("next") == "next"
            servers.cancel_scope.cancel()
        return reached

    registry = Registry()
    await at_every_step(scenario, 1)


@pytest.mark.row("X5")
@covers("Mailbox.take")
@pytest.mark.parametrize("waiting", [False, True])
async def test_taking_from_a_mailbox(waiting):
    async def scenario(step):
        mailbox = Mailbox[int](2)
        got: list[int] = []

        async def write():
            for n in range(5):
                await mailbox.send(n)

        async def operation():
            got.extend(await mailbox.take())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            if not waiting:
                await settle()
            reached = await cancelled_at(step, operation)
            while len(got) < 5:
                got.extend(await mailbox.take())
        assert got == list(range(5))
        return reached

    await at_every_step(scenario, 1)


@pytest.mark.row("X5")
@covers("Child.wait")
async def test_waiting_for_a_childs_end(autojump_clock):
    async def scenario(step):
        a = Slow("a")
        supervisor = supervisor_of(a.spec(restart=Restart.TEMPORARY))
        async with running(supervisor):
            child = supervisor.child("a")
            a.end()
            outcomes = []

            async def operation():
                outcomes.append(await child.wait())

            reached = await cancelled_at(step, operation)
            assert child.running or child.outcome.how == "normal"
            assert outcomes in ([], [child.outcome])
            assert await child.wait() is child.outcome
        return reached

    await at_every_step(scenario, 1)


@pytest.mark.row("X5")
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("what", ["start", "stop", "restart"])
async def test_a_supervisor_cancelled_while_it_does_what_it_was_asked_to(
    autojump_clock, dynamic, what
):
    async def scenario(step):
        story: list[str] = []
        a, b = Slow("a", story), Slow("b", story)
        supervisor = DynamicSupervisor(name="dyn") if dynamic else supervisor_of()
        answers: list[object] = []

        async def ask():
            try:
                if what == "start":
                    answers.append(await supervisor.start_child(b.spec()))
                elif what == "stop" or dynamic:
                    answers.append(await supervisor.terminate_child("a"))
                else:
                    await supervisor.terminate_child("a")
                    answers.append(await supervisor.restart_child("a"))
            except (NotRunning, StartFailed) as error:
                answers.append(error)

        async def life():
            async with running(supervisor):
                await supervisor.start_child(a.spec())
                ready.set()
                await go_on.wait()

        ready, go_on = trio.Event(), trio.Event()
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _():
                with scope:
                    await life()

            await ready.wait()
            instrument = _CancelAtStep(step)
            instrument.scope = scope
            trio.lowlevel.add_instrument(instrument)
            await ask()
            trio.lowlevel.remove_instrument(instrument)
            go_on.set()
        # Whoever asked got an answer, and everything has ended that has begun.
        assert len(answers) == 1
        assert balanced(story)
        assert supervisor.count_children().active == 0
        return instrument.taken >= step

    await at_every_step(scenario, 2)


@pytest.mark.row("X5")
def test_every_public_operation_that_may_wait_is_cancelled_at_every_step():
    waiting = {
        f"{kind.__name__}.{name}"
        for kind in (Supervisor, DynamicSupervisor, Child, Registry, PubSub, Server, Mailbox)
        for name, member in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    # What a subclass of Server overrides is not called by others.
    waiting -= {f"Server.{name}" for name in ("init", "handle", "handle_batch")}
    assert waiting == COVERED - {"TokenBucket.acquire"}
    # All that names and topics do is done in one step, so there is nothing to cancel.
    assert not any(name.startswith(("Registry", "PubSub")) for name in waiting)


def test_the_story_helper_can_fail():
    _, (a,) = actors("a")
    a.story += ["+a"]
    assert not balanced(a.story)
    assert balanced(["+a", "-a"])
