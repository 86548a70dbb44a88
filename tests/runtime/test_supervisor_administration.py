"""What one may ask of a running supervisor: conformance section 1.4, D18–D20, X10."""

import pytest
import trio

from streampai.runtime import (
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    CallsItself,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    InvalidSpec,
    MaxChildren,
    NotFound,
    Restart,
    Restarting,
    Running,
    open_room,
)

from .actor import Actor, Boom, counts, listed, running, settle, supervisor_of


@pytest.mark.row("S23", "D20")
async def test_the_whole_life_of_a_child(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of()
    async with running(supervisor):
        child = await supervisor.start_child(a.spec())
        assert child.running and child.id == "a" and child.generation == 1
        with pytest.raises(AlreadyStarted) as caught:
            await supervisor.start_child(a.spec())
        assert caught.value.child is child
        with pytest.raises(Running):
            await supervisor.restart_child("a")
        with pytest.raises(Running):
            await supervisor.delete_child("a")
        for call in (
            supervisor.terminate_child("b"),
            supervisor.restart_child("b"),
            supervisor.delete_child("b"),
            supervisor.terminate_child(child),
        ):
            with pytest.raises(NotFound):
                await call
        assert child.running and counts(supervisor) == [1, 1, 0, 1]

        await supervisor.terminate_child("a")
        assert (await child.wait()).how == "shutdown"
        assert counts(supervisor) == [1, 0, 0, 1]
        await supervisor.terminate_child("a")
        with pytest.raises(AlreadyPresent):
            await supervisor.start_child(a.spec())

        successor = await supervisor.restart_child("a")
        assert successor.generation == 2 and successor.running and not child.running
        assert counts(supervisor) == [1, 1, 0, 1]

        await supervisor.terminate_child("a")
        await supervisor.delete_child("a")
        assert counts(supervisor) == [0, 0, 0, 0]
        with pytest.raises(NotFound):
            await supervisor.delete_child("a")
        await supervisor.start_child(a.spec())
        assert counts(supervisor) == [1, 1, 0, 1]


@pytest.mark.row("S24", "D18")
async def test_the_whole_life_of_a_dynamic_child(autojump_clock):
    a = Actor("a")
    supervisor, stranger = DynamicSupervisor(name="top"), DynamicSupervisor(name="other")
    async with running(supervisor), running(stranger):
        child = await supervisor.start_child(a.spec())
        with pytest.raises(AlreadyStarted) as caught:
            await supervisor.start_child(a.spec())
        assert caught.value.child is child
        with pytest.raises(NotFound):
            await stranger.terminate_child(child)
        assert child.running
        await supervisor.terminate_child(child)
        assert counts(supervisor) == [0, 0, 0, 0]
        # Its end is what was wanted; an id that nobody has is a mistake.
        await supervisor.terminate_child(child)
        with pytest.raises(NotFound):
            await stranger.terminate_child(child)
        with pytest.raises(NotFound):
            await supervisor.terminate_child("a")
        await supervisor.start_child(a.spec())
        await supervisor.terminate_child("a")
        assert counts(supervisor) == [0, 0, 0, 0]


@pytest.mark.row("X10")
async def test_a_stale_handle_never_addresses_a_successor(autojump_clock):
    a = Actor("a")
    supervisor = DynamicSupervisor(name="top")
    async with running(supervisor):
        old = await supervisor.start_child(a.spec())
        a.crash()
        await settle()
        new = supervisor.child("a")
        assert new is not old and new.generation == old.generation + 1
        assert not old.running and old.outcome.how == "error"
        with pytest.raises(NotFound):
            await supervisor.terminate_child(old)
        assert new.running

        await supervisor.terminate_child(new)
        newest = await supervisor.start_child(a.spec())
        for stale in (old, new):
            with pytest.raises(NotFound) as caught:
                await supervisor.terminate_child(stale)
            assert caught.value.id == "a"
        assert newest.running


@pytest.mark.row("X10")
async def test_between_two_lives_only_the_last_handle_addresses_the_child(autojump_clock):
    a = Actor("a")
    supervisor = DynamicSupervisor(name="top", backoff=Backoff(1, 1))
    async with running(supervisor):
        first = await supervisor.start_child(a.spec())
        a.crash()
        await settle()
        second = supervisor.child("a")
        a.refuse = Boom()
        a.crash()
        await settle()
        assert listed(supervisor) == {"a": "restarting"}
        with pytest.raises(NotFound):
            await supervisor.terminate_child(first)
        assert listed(supervisor) == {"a": "restarting"}
        await supervisor.terminate_child(second)
        assert listed(supervisor) == {}


@pytest.mark.row("S25", "S54", "D7")
async def test_extra_information_is_given_to_whoever_starts(autojump_clock):
    a = Actor("a")
    a.value = {"port": 1}
    supervisor, dynamic = supervisor_of(), DynamicSupervisor(name="dyn")
    async with running(supervisor), running(dynamic):
        assert (await supervisor.start_child(a.spec())).value == {"port": 1}
        await supervisor.terminate_child("a")
        a.value = {"port": 2}
        assert (await supervisor.restart_child("a")).value == {"port": 2}
        a.value = {"port": 3}
        a.crash()
        await settle()
        assert supervisor.child("a").value == {"port": 3}

        b = Actor("b")
        b.value = "one"
        assert (await dynamic.start_child(b.spec())).value == "one"
        b.value = "two"
        b.crash()
        await settle()
        assert dynamic.child("b").value == "two"


@pytest.mark.row("S30", "S31")
async def test_children_are_listed_newest_first(autojump_clock):
    supervisor = supervisor_of()
    async with running(supervisor):
        for id in "abc":
            await supervisor.start_child(Actor(id).spec())
        assert [info.id for info in supervisor.which_children()] == ["c", "b", "a"]
        info = supervisor.which_children()[0]
        assert info.child is supervisor.child("c") and info.type is ChildType.WORKER
        await supervisor.terminate_child("b")
        assert supervisor.which_children()[1].child is None
        await supervisor.delete_child("b")
        assert [info.id for info in supervisor.which_children()] == ["c", "a"]
        with pytest.raises(NotFound):
            supervisor.child("b")


@pytest.mark.row("S33", "S34")
@pytest.mark.parametrize("type", ChildType)
async def test_counts_and_list_agree_for_very_many(autojump_clock, type):
    supervisor = DynamicSupervisor(name="top")
    async with running(supervisor):
        flock = [Actor(n) for n in range(1000)]
        for actor in flock:
            await supervisor.start_child(actor.spec(type=type, restart=Restart.TEMPORARY))
        expected = [1000, 1000, 1000 * (type is ChildType.SUPERVISOR), 1000]
        expected[3] -= expected[2]
        assert counts(supervisor) == counts(supervisor) == expected
        assert len(supervisor.which_children()) == 1000
        for actor in flock[1:]:
            actor.crash()
        await settle()
        assert counts(supervisor)[:2] == [1, 1]
        flock[0].end()
        await settle()
        assert counts(supervisor) == [0, 0, 0, 0]


@pytest.mark.row("S35", "D10")
async def test_children_being_restarted_are_counted_but_not_active(autojump_clock):
    abc = [Actor(id) for id in "abc"]
    supervisor = DynamicSupervisor(name="top", max_restarts=1000, max_seconds=1)
    async with running(supervisor):
        for actor in abc:
            await supervisor.start_child(actor.spec())
        for actor in abc[1:]:
            actor.refuse = Boom("no")
            actor.crash()
        await trio.sleep(1)
        assert counts(supervisor) == [3, 1, 0, 3]
        for actor in abc[1:]:
            actor.refuse = None
        await trio.sleep(20)
        assert counts(supervisor) == [3, 3, 0, 3]
        for n, id in enumerate("abc", 1):
            await supervisor.terminate_child(id)
            assert counts(supervisor) == [3 - n, 3 - n, 0, 3 - n]


@pytest.mark.row("D8", "T2")
async def test_max_children_counts_those_being_restarted_and_started(autojump_clock):
    a, b, c = Actor("a"), Actor("b"), Actor("c")
    supervisor = DynamicSupervisor(name="top", max_children=2, max_restarts=1000, max_seconds=1)
    async with running(supervisor), trio.open_nursery() as nursery:
        await supervisor.start_child(a.spec())
        b.hang = True
        nursery.start_soon(supervisor.start_child, b.spec())
        a.refuse = Boom("no")
        a.crash()
        await trio.sleep(1)
        assert listed(supervisor) == {"a": "restarting", "b": "starting"}
        with pytest.raises(MaxChildren) as caught:
            await supervisor.start_child(c.spec())
        assert caught.value.limit == 2
        assert c.starts == 0
        await supervisor.terminate_child("a")
        await supervisor.start_child(c.spec())
        nursery.cancel_scope.cancel()


@pytest.mark.row("D5")
async def test_lowering_max_children_keeps_the_present_ones(autojump_clock):
    supervisor = DynamicSupervisor(name="top", max_children=2)
    async with running(supervisor):
        await supervisor.start_child(Actor("a").spec())
        await supervisor.start_child(Actor("b").spec())
        supervisor.max_children = 1
        assert counts(supervisor) == [2, 2, 0, 2]
        await supervisor.terminate_child("a")
        with pytest.raises(MaxChildren):
            await supervisor.start_child(Actor("c").spec())
        with pytest.raises(InvalidSpec):
            supervisor.max_children = -1
        assert supervisor.max_children == 1


@pytest.mark.row("D6", "S68")
async def test_wrong_specs_are_refused_even_by_a_supervisor_that_does_not_run():
    for supervisor in (supervisor_of(), DynamicSupervisor(name="dyn")):
        with pytest.raises(InvalidSpec):
            await supervisor.start_child("not a spec")
        with pytest.raises(InvalidSpec):
            await supervisor.start_child(Actor().spec(significant=True, restart=Restart.TRANSIENT))


@pytest.mark.row("G4")
async def test_a_child_that_stops_itself_is_told_instead_of_waiting_for_ever(autojump_clock):
    caught = []

    async def start(*, task_status):
        task_status.started()
        try:
            await supervisor.terminate_child("a")
        except CallsItself as error:
            caught.append(error)
        await trio.sleep_forever()

    supervisor = supervisor_of(ChildSpec(id="a", start=start))
    async with running(supervisor):
        await settle()
        assert [error.name for error in caught] == ["a"]
        assert listed(supervisor) == {"a": "running"}


async def test_two_who_stop_the_same_child_both_succeed(autojump_clock):
    a = Actor("a")
    a.linger = 1
    supervisor = supervisor_of(a.spec())
    async with running(supervisor), trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(supervisor.terminate_child, "a")
        await settle()
        assert listed(supervisor) == {"a": "stopping"}
        with pytest.raises(Running):
            await supervisor.restart_child("a")
        with pytest.raises(Running):
            await supervisor.delete_child("a")
        with pytest.raises(AlreadyStarted):
            await supervisor.start_child(a.spec())
    assert a.starts == 1


async def test_a_slow_start_holds_up_nobody(autojump_clock):
    slow, quick = Actor("slow"), Actor("quick")
    slow.hang = True
    for supervisor in (supervisor_of(), DynamicSupervisor(name="dyn")):
        async with running(supervisor), trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.start_child, slow.spec())
            await settle()
            assert (await supervisor.start_child(quick.spec())).running
            with pytest.raises(AlreadyStarted):
                await supervisor.start_child(slow.spec())
            nursery.cancel_scope.cancel()


@pytest.mark.row("D1")
async def test_a_dynamic_supervisor_may_be_a_child_several_side_by_side(autojump_clock):
    found = {}

    def pool(id):
        async def start(*, task_status):
            found[id] = DynamicSupervisor(name=id)
            await found[id].run(task_status=task_status)

        return ChildSpec(id=id, start=start, type=ChildType.SUPERVISOR)

    supervisor = supervisor_of(pool("one"), pool("two"))
    async with running(supervisor):
        assert counts(supervisor) == [2, 2, 2, 0]
        assert supervisor.child("one").value is found["one"]
        await found["one"].start_child(Actor("x").spec())
        assert counts(found["one"]) == [1, 1, 0, 1]
        assert counts(found["two"]) == [0, 0, 0, 0]


async def test_a_restarting_child_refuses_by_name(autojump_clock):
    a = Actor("a")
    supervisor = DynamicSupervisor(name="top", max_restarts=1000, max_seconds=1)
    async with running(supervisor):
        await supervisor.start_child(a.spec())
        a.refuse = Boom("no")
        a.crash()
        await trio.sleep(1)
        with pytest.raises(Restarting):
            await supervisor.start_child(a.spec())


async def test_statistics_count_what_happened(autojump_clock):
    a = Actor("a")
    supervisor = supervisor_of(a.spec())
    async with running(supervisor):
        a.crash()
        await settle()
        await supervisor.terminate_child("a")
        statistics = supervisor.statistics()
        assert (statistics.starts, statistics.exits, statistics.restarts) == (2, 2, 1)
        statistics.starts = 99
        assert supervisor.statistics().starts == 2


@pytest.mark.row("T7")
@pytest.mark.parametrize("how", ["normal", "shutdown", "error", "killed", "abandoned"])
async def test_everybody_who_waits_for_an_end_is_told_the_same_once(autojump_clock, how):
    a = Actor("a")
    if how == "abandoned":
        a.linger = 100
    supervisor = DynamicSupervisor(name="dyn")
    told = []

    async def wait(child):
        told.append(await child.wait())

    async with open_room(), running(supervisor):
        child = await supervisor.start_child(
            a.spec(restart=Restart.TEMPORARY, shutdown=0 if how == "killed" else 1)
        )
        with trio.move_on_after(1):
            await child.wait()
        assert child.outcome is None and child.running
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait, child)
            await settle()
            match how:
                case "normal":
                    a.end()
                case "error":
                    a.crash()
                case _:
                    await supervisor.terminate_child(child)
        assert [outcome.how for outcome in told] == [how] * 3
        # The late end of an abandoned task changes nothing.
        await trio.sleep(200)
        assert await child.wait() is told[0] is child.outcome
