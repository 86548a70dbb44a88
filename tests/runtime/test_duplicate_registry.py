"""Names that many may have: conformance section 5, the duplicate half."""

import pytest
import trio

from streampai.runtime import ChildSpec, DuplicateRegistry, DynamicSupervisor, Restart, open_room
from streampai.runtime.registry import SLACK

from .actor import running


async def holds(registry, key, values, *, task_status):
    for value in values:
        registry.register(key, value)
    task_status.started()
    await trio.sleep_forever()


def holder(registry, id, key, *values, **fields):
    async def start(*, task_status):
        await holds(registry, key, values, task_status=task_status)

    return ChildSpec(id=id, start=start, restart=Restart.TEMPORARY, **fields)


@pytest.mark.row("R4", "R18")
async def test_many_values_of_one_or_many_owners_are_all_kept_in_order(autojump_clock):
    registry = DuplicateRegistry[str]()
    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        await supervisor.start_child(holder(registry, "one", "key", "a", "b", "a"))
        await supervisor.start_child(holder(registry, "two", "key", "c"))
        registry.register("other", "d")
        assert registry.lookup("key") == ["a", "b", "a", "c"]
        assert registry.lookup("nobody") == []
        assert registry.keys() == ["key", "other"] and len(registry) == 5


@pytest.mark.row("R1")
async def test_what_an_owner_had_is_gone_with_it_however_it_ends(autojump_clock):
    registry = DuplicateRegistry[str]()
    supervisor = DynamicSupervisor(name="dyn")

    async def stubborn(*, task_status):
        registry.register("key", "stubborn")
        task_status.started()
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    async with open_room(), running(supervisor):
        await supervisor.start_child(holder(registry, 1, "key", "a"))
        await supervisor.start_child(ChildSpec(id=2, start=stubborn, shutdown=1))
        registry.register("key", "mine")
        await supervisor.terminate_child(1)
        assert registry.lookup("key") == ["stubborn", "mine"]
        await supervisor.terminate_child(2)
        assert registry.lookup("key") == ["mine"] and len(registry) == 1


@pytest.mark.row("R1")
async def test_keys_of_owners_that_say_nothing_do_not_gather(autojump_clock):
    registry = DuplicateRegistry[int]()
    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        for n in range(3 * SLACK):
            await supervisor.start_child(holder(registry, n, n, n))
            await supervisor.terminate_child(n)
        registry.register("last", 0)
        assert registry.keys() == ["last"]
        assert len(registry._entries) <= SLACK + 1


@pytest.mark.row("R5", "R9")
def test_keys_are_compared_with_their_types_and_taken_literally():
    registry = DuplicateRegistry[str]()
    keys = [1, 1.0, True, "1", "*", ("a", ...), ("a", "_"), (1,), (1.0,)]
    for key in keys:
        registry.register(key, repr(key))
    assert [registry.lookup(key) for key in keys] == [[repr(key)] for key in keys]
    registry.unregister(("a", "_"))
    registry.unregister("*")
    assert registry.lookup(("a", ...)) == ["('a', Ellipsis)"] and len(registry) == len(keys) - 2


@pytest.mark.row("R6")
def test_dispatch_calls_back_once_with_all_here_and_now():
    registry = DuplicateRegistry[str]()
    calls: list[list[str]] = []
    registry.dispatch("key", calls.append)
    assert calls == []
    registry.register("key", "a")
    registry.register("key", "b")
    registry.register("other", "c")
    registry.dispatch("key", calls.append)
    assert calls == [["a", "b"]]
    with pytest.raises(ZeroDivisionError):
        registry.dispatch("key", lambda values: 1 / 0)
    assert registry.lookup("key") == ["a", "b"]


@pytest.mark.row("R7")
async def test_unregistering_takes_all_of_the_callers_and_nobody_elses(autojump_clock):
    registry = DuplicateRegistry[str]()
    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        await supervisor.start_child(holder(registry, 1, "key", "theirs"))
        registry.register("key", "mine")
        registry.register("key", "mine too")
        for _ in range(2):
            registry.unregister("key")
            registry.unregister("nothing")
            assert registry.lookup("key") == ["theirs"]


@pytest.mark.row("R8")
async def test_only_the_callers_matching_entries_go_and_counts_agree(autojump_clock):
    registry = DuplicateRegistry[int]()
    supervisor = DynamicSupervisor(name="dyn")

    def even(n):
        return n % 2 == 0

    async with running(supervisor):
        await supervisor.start_child(holder(registry, 1, "key", 2, 3))
        for n in (4, 5):
            registry.register("key", n)
        assert registry.lookup("key", even) == [2, 4]
        registry.unregister("key", even)
        assert registry.lookup("key") == [2, 3, 5]
        assert registry.lookup("key", even) == [2] and len(registry) == 3


@pytest.mark.row("R10")
def test_one_query_language_over_keys_and_values():
    registry = DuplicateRegistry[int]()
    for key, value in [("a", 1), ("a", 2), ("b", 2), ("c", 3)]:
        registry.register(key, value)
    assert registry.select(lambda key, value: value == 2) == [("a", 2), ("b", 2)]
    assert registry.select(lambda key, value: key == "a" and value > 1) == [("a", 2)]
    assert registry.select(lambda key, value: False) == []
    with pytest.raises(TypeError):
        registry.select("value == 2")


def test_the_block_form_takes_its_own_entry_away_in_any_case():
    registry = DuplicateRegistry[str]()
    registry.register("key", "same")
    with pytest.raises(ZeroDivisionError), registry.registered("key", "same"):
        registry.register("key", "later")
        assert registry.lookup("key") == ["same", "same", "later"]
        raise ZeroDivisionError
    assert registry.lookup("key") == ["same", "later"]
    with registry.registered("other", "x"):
        pass
    assert registry.keys() == ["key"]


async def test_the_search_for_deserted_entries_takes_no_living_one(autojump_clock):
    registry = DuplicateRegistry[int]()
    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        await supervisor.start_child(holder(registry, "gone", "gone", 1, 2))
        await supervisor.terminate_child("gone")
        for n in range(SLACK):
            registry.register(("mine", n), n)
        assert ("gone", str) not in registry._entries
        assert len(registry) == SLACK
        # The next search is when as many have come as there were, and some.
        assert registry._sweep_at == 3 * SLACK - 2
