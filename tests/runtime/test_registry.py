"""Names: conformance section 5, as far as unique names go."""

import pytest
import trio

from streampai.runtime import (
    AlreadyRegistered,
    ChildSpec,
    DynamicSupervisor,
    NotOwner,
    Registry,
    RegistryChange,
    Restart,
    StartFailed,
    open_room,
)
from streampai.runtime.registry import SLACK

from .actor import Boom, running, settle, supervisor_of


@pytest.mark.row("R18")
def test_a_name_leads_to_its_value_until_it_is_given_up():
    registry, value = Registry(), object()
    registry.register(("a", 1), value)
    assert registry.lookup(("a", 1)) is value
    assert ("a", 1) in registry and len(registry) == 1
    assert registry.keys() == [("a", 1)]
    registry.unregister(("a", 1), value)
    assert registry.lookup(("a", 1)) is None
    assert ("a", 1) not in registry and len(registry) == 0 and registry.keys() == []


@pytest.mark.row("R2", "R16")
def test_a_second_registration_is_refused_and_changes_nothing():
    registry, first = Registry(), object()
    registry.register("key", first)
    for value in (object(), first):
        with pytest.raises(AlreadyRegistered) as caught:
            registry.register("key", value)
        assert caught.value.key == "key" and caught.value.owner is first
    assert registry.lookup("key") is first and len(registry) == 1
    assert len(registry._entries) == 1


@pytest.mark.row("R5")
def test_keys_are_compared_with_their_types():
    registry = Registry()
    keys = [1, 1.0, True, "1", (1,), (True,), (1.0,), ((1,),), (("1",),), b"1", None, 0, False, ""]
    for key in keys:
        registry.register(key, repr(key))
    assert len(registry) == len(keys)
    assert [registry.lookup(key) for key in keys] == [repr(key) for key in keys]
    registry.unregister(True, "1")
    assert registry.lookup(True) == "True"
    registry.unregister(True, registry.lookup(True))
    assert registry.lookup(True) is None and registry.lookup(1) == "1"


@pytest.mark.row("R7")
def test_only_the_present_value_can_be_unregistered_and_repeating_is_fine():
    registry, old, new = Registry(), object(), object()
    registry.unregister("key", old)
    registry.register("key", old)
    registry.unregister("key", old)
    registry.register("key", new)
    registry.unregister("key", old)
    registry.unregister("key", None)
    assert registry.lookup("key") is new


def test_the_block_form_gives_the_name_up_in_any_case():
    registry = Registry()
    with pytest.raises(Boom), registry.registered("key", "value"):
        assert registry.lookup("key") == "value"
        raise Boom
    assert len(registry) == 0
    with (
        registry.registered("key", "value"),
        pytest.raises(AlreadyRegistered),
        registry.registered("key", "other"),
    ):
        pass
    assert len(registry) == 0


@pytest.mark.row("R13")
def test_unhashable_keys_are_an_error():
    registry = Registry()
    for ask in (registry.lookup, lambda key: registry.register(key, 1)):
        with pytest.raises(TypeError):
            ask(("a", []))


@pytest.mark.row("R11")
def test_listeners_are_told_of_every_change():
    registry, told = Registry(), []
    registry.listen(told.append)
    registry.register("key", "value")
    with pytest.raises(AlreadyRegistered):
        registry.register("key", "other")
    registry.unregister("key", "other")
    registry.unregister("key", "value")
    assert told == [
        RegistryChange("registered", "key", "value"),
        RegistryChange("unregistered", "key", "value"),
    ]
    registry.unlisten(told.append)
    registry.unlisten(told.append)
    registry.register("key", "value")
    assert len(told) == 2


@pytest.mark.row("R1")
async def test_after_many_deaths_nothing_is_left(autojump_clock):
    registry = Registry()
    supervisor = DynamicSupervisor(name="top")

    def child(n):
        async def start(*, task_status):
            with registry.registered(("child", n), n):
                task_status.started()
                await trio.sleep(n % 5)
                if n % 2:
                    raise Boom

        return ChildSpec(id=n, start=start, restart=Restart.TEMPORARY)

    async with running(supervisor):
        for n in range(100):
            await supervisor.start_child(child(n))
        assert len(registry) > 70
        await trio.sleep(10)
        assert len(registry) == 0 and registry._entries == {}


@pytest.mark.row("R3")
async def test_the_name_of_an_owner_that_was_given_up_can_be_taken_at_once(autojump_clock):
    registry, told = Registry(), []
    registry.listen(told.append)
    values = iter(["old", "new"])

    async def start(*, task_status):
        with registry.registered("key", next(values)):
            task_status.started()
            with trio.CancelScope(shield=True):
                await trio.sleep(100)

    supervisor = supervisor_of(ChildSpec(id="a", start=start, shutdown=1))
    async with open_room(), running(supervisor):
        await supervisor.terminate_child("a")
        assert registry.lookup("key") is None
        assert len(registry) == 0 and registry.keys() == [] and "key" not in registry
        await supervisor.restart_child("a")
        assert registry.lookup("key") == "new"
        await trio.sleep(99.5)
        assert registry.lookup("key") == "new"
    assert [(change.what, change.value) for change in told] == [
        ("registered", "old"),
        ("unregistered", "old"),
        ("registered", "new"),
        ("unregistered", "new"),
    ]


@pytest.mark.row("R14")
async def test_a_failed_start_leaves_no_name_behind(autojump_clock):
    registry = Registry()

    async def start(*, task_status):
        with registry.registered("key", 1):
            await settle()
            raise Boom

    supervisor = supervisor_of()
    async with running(supervisor):
        with pytest.raises(StartFailed):
            await supervisor.start_child(ChildSpec(id="a", start=start))
    assert registry._entries == {}


@pytest.mark.row("R15")
async def test_only_the_owner_may_update_and_gets_new_and_old(autojump_clock):
    registry = Registry()
    told, results = [], []
    registry.listen(told.append)
    go_on = trio.Event()

    async def owner(*, task_status):
        with registry.registered("key", 1):
            task_status.started()
            await go_on.wait()
            results.append(registry.update("key", lambda value: value + 1))
            with pytest.raises(NotOwner) as caught:
                registry.update("nobody's", lambda value: 1 / 0)
            assert caught.value.key == "nobody's"
            with pytest.raises(ZeroDivisionError):
                registry.update("key", lambda value: value / 0)
            registry.unregister("key", 1)
            assert registry.lookup("key") == 2
            await trio.sleep_forever()

    supervisor = supervisor_of(ChildSpec(id="a", start=owner))
    async with running(supervisor):
        with pytest.raises(NotOwner):
            registry.update("key", lambda value: "stolen")
        assert registry.lookup("key") == 1
        go_on.set()
        await settle()
        assert results == [(2, 1)] and registry.lookup("key") == 2
    # The new value was never given up: with its owner it is gone all the same.
    assert registry.lookup("key") is None and len(registry) == 0
    registry.register("key", 3)
    assert registry.update("key", str) == ("3", 3)
    registry.unregister("key", registry.lookup("key"))
    assert registry.keys() == []


@pytest.mark.row("R15")
async def test_the_successor_of_an_owner_may_not_update_in_its_place(autojump_clock):
    registry = Registry()
    refused = []

    async def start(*, task_status):
        if "key" not in registry and not refused:
            registry.register("key", 1)
            refused.append(None)
        else:
            try:
                registry.update("key", str)
            except NotOwner as error:
                refused[0] = error
        task_status.started()
        await trio.sleep_forever()

    supervisor = supervisor_of(ChildSpec(id="a", start=start))
    async with running(supervisor):
        await supervisor.terminate_child("a")
        await supervisor.restart_child("a")
        assert isinstance(refused[0], NotOwner)


@pytest.mark.row("R1")
async def test_names_of_owners_that_ended_without_a_word_do_not_gather(autojump_clock):
    registry, told = Registry(), []
    supervisor = DynamicSupervisor(name="top")

    def child(n):
        async def start(*, task_status):
            registry.register(("child", n), n)
            task_status.started()

        return ChildSpec(id=n, start=start, restart=Restart.TEMPORARY)

    registry.listen(told.append)
    async with running(supervisor):
        registry.register("mine", "value")
        for n in range(5 * SLACK):
            await (await supervisor.start_child(child(n))).wait()
            assert registry.lookup(("child", n)) is None
            assert len(registry._entries) <= SLACK + 3
        assert registry.keys() == ["mine"]
    ended = [change.value for change in told if change.what == "unregistered"]
    assert ended == list(range(len(ended))) and len(ended) > 4 * SLACK


@pytest.mark.row("R12")
async def test_a_name_is_held_exactly_as_long_as_its_owner_lives(autojump_clock):
    registry = Registry()

    async def start(*, task_status):
        registry.register("first", 1)
        registry.register("second", 2)
        registry.unregister("first", 1)
        task_status.started()
        await trio.sleep_forever()

    supervisor = supervisor_of(ChildSpec(id="a", start=start))
    async with running(supervisor):
        assert registry.keys() == ["second"]
        await supervisor.terminate_child("a")
        assert registry.keys() == []
        await supervisor.restart_child("a")
        assert registry.keys() == ["second"]


def test_the_more_names_are_held_the_rarer_the_search_for_deserted_ones():
    sweeps = []

    class Watched(Registry):
        def _sweep(self):
            super()._sweep()
            sweeps.append(len(self))

    registry = Watched()
    for n in range(1000):
        registry.register(n, n)
    assert sweeps == [SLACK, 3 * SLACK, 7 * SLACK, 15 * SLACK]
