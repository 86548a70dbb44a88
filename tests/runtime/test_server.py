"""Servers: conformance section 4 (requests between tasks)."""

import random
from contextlib import suppress

import attrs
import pytest
import trio

from streampai.runtime import (
    AlreadyRegistered,
    CallsItself,
    CallTimeout,
    ChildSpec,
    Envelope,
    MailboxFull,
    NotRunning,
    Registry,
    Server,
    open_room,
)

from .actor import Boom, running, settle, supervisor_of


@attrs.frozen(kw_only=True)
class Add:
    amount: int


@attrs.frozen(kw_only=True)
class Slow:
    seconds: float
    answer: str = "late"


@attrs.frozen(kw_only=True)
class Fail:
    error: BaseException


@attrs.frozen(kw_only=True)
class CallYourself:
    pass


class Refused(Exception):
    """An error that is expected."""


class Counter(Server):
    expected_errors = (Refused,)

    def __init__(self, registry, *, key=("counter", 1), capacity=1024):
        super().__init__(key=key, registry=registry, capacity=capacity)
        self.total = 0
        self.batches = []
        self.inside = 0

    async def handle_batch(self, messages):
        self.batches.append(len(messages))
        await super().handle_batch(messages)

    async def handle(self, message):
        assert self.inside == 0, "entered twice"
        self.inside += 1
        try:
            match message:
                case Add(amount=amount):
                    self.total += amount
                    return self.total
                case Slow(seconds=seconds, answer=answer):
                    await trio.sleep(seconds)
                    return answer
                case Fail(error=error):
                    raise error
                case CallYourself():
                    return await self.call(Add(amount=1))
        finally:
            self.inside -= 1
        return None


class Served:
    """A counter that runs in a nursery of its own."""

    def __init__(self, **options):
        self.registry = Registry()
        self.server = Counter(self.registry, **options)
        self.ending = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
        try:
            with self.scope:
                await self.server.run(task_status=task_status)
        except Exception as error:  # noqa: BLE001 - for the test
            self.ending = error
        self.ended.set()


async def served(nursery, **options):
    it = Served(**options)
    assert await nursery.start(it.run) is it.server
    return it


@pytest.mark.row("G1")
async def test_a_call_returns_the_answer_and_a_cast_does_not_wait(autojump_clock, nursery):
    server = (await served(nursery)).server
    assert await server.call(Add(amount=2)) == 2
    await server.cast(Slow(seconds=5))
    await server.cast(Add(amount=3))
    assert trio.current_time() == 0
    assert await server.call(Add(amount=1), timeout=None) == 6
    assert trio.current_time() == 5


@pytest.mark.row("G5")
async def test_it_is_found_by_its_key_while_it_runs(autojump_clock, nursery):
    it = await served(nursery)
    assert it.registry.lookup(("counter", 1)) is it.server
    assert it.server.key == ("counter", 1) and it.server.name == "counter/1"
    it.scope.cancel()
    await it.ended.wait()
    assert it.registry.lookup(("counter", 1)) is None


@pytest.mark.row("G8")
async def test_messages_keep_their_order(autojump_clock, nursery):
    seen = []

    class Listener(Server):
        async def handle(self, message):
            seen.append(message)
            await trio.lowlevel.checkpoint()
            return len(seen)

    server = Listener(key=("x",), registry=Registry(), capacity=4)
    await nursery.start(server.run)

    async def send(name):
        for n in range(20):
            if n % 3:
                await server.cast((name, n))
            else:
                await server.call((name, n))

    async with trio.open_nursery() as senders:
        for name in "abc":
            senders.start_soon(send, name)
    await settle()
    for name in "abc":
        assert [n for who, n in seen if who == name] == list(range(20))


@pytest.mark.row("G2", "G3", "T5")
async def test_no_answer_in_time_is_a_timeout_and_the_late_answer_is_thrown_away(
    autojump_clock, nursery
):
    server = (await served(nursery)).server
    with pytest.raises(CallTimeout) as caught:
        await server.call(Slow(seconds=10, answer="of the first"))
    assert trio.current_time() == 5
    error = caught.value
    assert (error.name, error.request, error.timeout) == ("counter/1", "Slow", 5.0)
    # The next call gets its own answer although the other's comes first.
    assert await server.call(Slow(seconds=1, answer="of the second"), timeout=60) == "of the second"
    assert trio.current_time() == 11


@pytest.mark.row("G1", "G2")
async def test_a_call_to_nobody_says_so(autojump_clock):
    server = Counter(Registry())
    for ask in (server.call, server.cast):
        with pytest.raises(NotRunning) as caught:
            await ask(Add(amount=1))
        assert caught.value.name == "counter/1"
    with pytest.raises(NotRunning) as caught:
        server.cast_nowait(Add(amount=1))
    assert caught.value.name == "counter/1"
    assert server.depth == 0


@pytest.mark.row("G2")
@pytest.mark.parametrize("how", ["cancel", "crash"])
async def test_waiting_calls_end_when_the_server_ends(autojump_clock, nursery, how):
    it = await served(nursery, capacity=2)
    causes = []

    async def ask(message, timeout):
        with pytest.raises(NotRunning) as caught:
            await it.server.call(message, timeout=timeout)
        causes.append(caught.value.cause)

    async def tell():
        with pytest.raises(NotRunning):
            await it.server.cast(Add(amount=1))
        causes.append("cast")

    boom = Boom()
    async with trio.open_nursery() as callers:
        await it.server.cast(Slow(seconds=1))
        if how == "crash":
            await it.server.cast(Fail(error=boom))
        await settle()
        # One of them is being handled, some are in the mailbox, some wait for room.
        for _ in range(4):
            callers.start_soon(ask, Slow(seconds=100), None)
            callers.start_soon(ask, Add(amount=1), 50)
        await settle()
        if how == "cancel":
            # In the other case it may still get in before the end, and be lost with it.
            callers.start_soon(tell)
        await settle()
        if how == "cancel":
            it.scope.cancel()
    assert len(causes) == (9 if how == "cancel" else 8)
    assert trio.current_time() == (0 if how == "cancel" else 1)
    assert set(causes) - {"cast"} == {boom if how == "crash" else None}


async def test_the_caller_of_what_crashed_the_server_gets_not_running(autojump_clock, nursery):
    it = await served(nursery)
    boom = Boom()
    with pytest.raises(NotRunning) as caught:
        await it.server.call(Fail(error=boom))
    assert caught.value.cause is boom
    await it.ended.wait()
    assert it.ending is boom


async def test_an_expected_error_is_the_callers_and_the_server_lives(autojump_clock, nursery):
    it = await served(nursery)
    refused = Refused("no")
    with pytest.raises(Refused) as caught:
        await it.server.call(Fail(error=refused))
    assert caught.value is refused
    assert await it.server.call(Add(amount=1)) == 1


async def test_an_expected_error_nobody_waits_for_is_not_swallowed(autojump_clock, nursery):
    it = await served(nursery)
    await it.server.cast(Fail(error=Refused()))
    await it.ended.wait()
    assert isinstance(it.ending, Refused)


@pytest.mark.row("G2")
async def test_calling_itself_is_an_error_and_no_deadlock(autojump_clock, nursery):
    it = await served(nursery)
    with pytest.raises(NotRunning) as caught:
        await it.server.call(CallYourself())
    assert isinstance(caught.value.cause, CallsItself)
    assert trio.current_time() == 0


async def test_telling_itself_is_fine_while_there_is_room(autojump_clock, nursery):
    class Eager(Server):
        async def handle(self, message):
            for _ in range(message):
                await self.cast(0)

    errors = []
    server = Eager(key=("x",), registry=Registry(), capacity=3)

    async def run(*, task_status):
        try:
            await server.run(task_status=task_status)
        except CallsItself as error:
            errors.append(error)

    await nursery.start(run)
    await server.cast(3)
    await settle()
    assert not errors
    await server.cast(4)
    await settle()
    assert [error.name for error in errors] == ["x"]


async def test_a_full_mailbox_makes_callers_wait_and_nowait_fail(autojump_clock, nursery):
    server = (await served(nursery, capacity=2)).server
    await server.cast(Slow(seconds=10))
    await settle()
    server.cast_nowait(Add(amount=1))
    server.cast_nowait(Add(amount=1))
    with pytest.raises(MailboxFull):
        server.cast_nowait(Add(amount=100))
    assert server.depth == 2
    await server.cast(Add(amount=1))
    assert trio.current_time() == 10
    assert await server.call(Add(amount=1)) == 4


async def test_a_timeout_counts_also_while_waiting_for_room(autojump_clock, nursery):
    server = (await served(nursery, capacity=1)).server
    await server.cast(Slow(seconds=10))
    await settle()
    await server.cast(Slow(seconds=10))
    with pytest.raises(CallTimeout):
        await server.call(Add(amount=100))
    await trio.sleep(20)
    assert server.total == 0


async def test_everything_that_has_come_in_is_handled_in_one_batch(autojump_clock, nursery):
    server = (await served(nursery)).server
    for _ in range(100):
        server.cast_nowait(Add(amount=1))
    await settle()
    assert server.batches == [100]
    assert server.total == 100


async def test_a_batch_may_answer_later_and_only_the_first_answer_counts(autojump_clock, nursery):
    class Postponing(Server):
        async def handle_batch(self, messages):
            for envelope in messages:
                if envelope.message == "postpone":
                    self.kept = envelope
                elif envelope.message == "now":
                    self.kept.reply("answered later")
                    self.kept.reply("ignored")
                    self.kept.fail(Boom())
                    envelope.reply(None)
                else:
                    envelope.fail(Boom("no"))

    server = Postponing(key=("x",), registry=Registry())
    await nursery.start(server.run)
    answers = []

    async def ask():
        answers.append(await server.call("postpone"))

    async with trio.open_nursery() as callers:
        callers.start_soon(ask)
        await settle()
        assert not answers
        assert await server.call("now") is None
    assert answers == ["answered later"]
    with pytest.raises(Boom):
        await server.call("?")


async def test_answering_a_cast_does_nothing(autojump_clock, nursery):
    class Answering(Server):
        async def handle_batch(self, messages):
            for envelope in messages:
                assert isinstance(envelope, Envelope)
                envelope.reply("to nobody")

    server = Answering(key=("x",), registry=Registry())
    await nursery.start(server.run)
    await server.cast("hello")
    assert await server.call("hello") == "to nobody"


async def test_messages_wait_until_init_has_returned(autojump_clock, nursery):
    order = []

    class Loading(Server):
        async def init(self):
            await trio.sleep(3)
            order.append("init")

        async def handle(self, message):
            order.append(message)

    registry = Registry()
    server = Loading(key=("x",), registry=registry)
    nursery.start_soon(server.run)
    await settle()
    assert registry.lookup(("x",)) is None
    await server.call("first")
    assert order == ["init", "first"]
    assert registry.lookup(("x",)) is server


async def test_a_failing_init_fails_the_start_and_the_calls(autojump_clock, nursery):
    class Broken(Server):
        async def init(self):
            await trio.sleep(1)
            raise Boom

    registry = Registry()
    server = Broken(key=("x",), registry=registry)
    failed = trio.Event()

    async def ask():
        with pytest.raises(NotRunning):
            await server.call("?")
        failed.set()

    async def wait_and_ask():
        await settle()
        await ask()

    nursery.start_soon(wait_and_ask)
    with pytest.raises(Boom):
        await server.run()
    await failed.wait()
    assert len(registry) == 0


@pytest.mark.row("R14")
async def test_a_second_server_of_the_same_name_does_not_start(autojump_clock, nursery):
    it = await served(nursery)
    second = Counter(it.registry)
    with pytest.raises(AlreadyRegistered) as caught:
        await second.run()
    assert caught.value.owner is it.server
    assert it.registry.lookup(("counter", 1)) is it.server


async def test_a_restarted_server_begins_anew_with_the_same_name(autojump_clock):
    registry = Registry()

    async def start(*, task_status):
        await Counter(registry).run(task_status=task_status)

    async with running(supervisor_of(ChildSpec(id="counter", start=start))):
        old = registry.lookup(("counter", 1))
        await old.call(Add(amount=7))
        with pytest.raises(NotRunning):
            await old.call(Fail(error=Boom()))
        await settle()
        new = registry.lookup(("counter", 1))
        assert new is not old
        assert await new.call(Add(amount=1)) == 1
        with pytest.raises(NotRunning):
            await old.call(Add(amount=1))


@pytest.mark.row("R3")
async def test_the_name_of_an_abandoned_server_is_free_for_its_successor(autojump_clock):
    registry = Registry()

    class Stubborn(Counter):
        async def handle(self, message):
            with trio.CancelScope(shield=True):
                await trio.sleep(1000)

    async def start(*, task_status):
        await Stubborn(registry).run(task_status=task_status)

    supervisor = supervisor_of(ChildSpec(id="c", start=start))
    async with open_room(), running(supervisor):
        old = registry.lookup(("counter", 1))
        await old.cast("busy")
        await settle()
        await supervisor.terminate_child("c")
        assert registry.lookup(("counter", 1)) is None
        await supervisor.restart_child("c")
        new = registry.lookup(("counter", 1))
        assert new is not old
        await trio.sleep(2000)
        # The zombie's own clean-up at last does not touch it.
        assert registry.lookup(("counter", 1)) is new


async def test_a_cancelled_call_leaves_nothing_behind(autojump_clock, nursery):
    server = (await served(nursery)).server
    with trio.move_on_after(1):
        await server.call(Slow(seconds=3), timeout=None)
    assert not server._unanswered
    await trio.sleep(5)
    assert await server.call(Add(amount=1)) == 1


async def test_a_server_does_not_run_twice_at_the_same_time(autojump_clock, nursery):
    it = await served(nursery)
    with pytest.raises(RuntimeError):
        await it.server.run()
    assert await it.server.call(Add(amount=1)) == 1


@pytest.mark.row("G8")
async def test_interleaved_senders_keep_their_order_and_no_handler_is_entered_twice(
    autojump_clock, nursery
):
    seen: dict[str, list[int]] = {name: [] for name in "abcdef"}

    class Careful(Server):
        inside = False
        began = False

        async def init(self):
            await trio.sleep(0.01)
            self.began = True

        async def handle(self, message):
            assert self.began and not self.inside
            self.inside = True
            name, n, pauses = message
            for _ in range(pauses):
                await trio.lowlevel.checkpoint()
            seen[name].append(n)
            self.inside = False
            return n

    # More senders than room, so that some wait for it while others overtake nobody.
    server = Careful(key=("careful",), registry=Registry(), capacity=3)
    await nursery.start(server.run)

    async def send(name):
        number = random.Random(name)
        for n in range(40):
            message = name, n, number.randrange(3)
            match number.randrange(4):
                case 0:
                    assert await server.call(message) == n
                case 1:
                    with suppress(MailboxFull):
                        server.cast_nowait(message)
                        continue
                    await server.cast(message)
                case _:
                    await server.cast(message)

    async with trio.open_nursery() as senders:
        for name in seen:
            senders.start_soon(send, name)
    await settle()
    assert all(numbers == list(range(40)) for numbers in seen.values())
