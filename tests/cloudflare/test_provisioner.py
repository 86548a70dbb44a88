import pytest
import trio
from trio.testing import MockClock

from streampai.cloudflare import CloudflareClient
from streampai.cloudflare.provisioner import InputProvisioner
from streampai.errors import (
    CloudflareRefused,
    CloudflareUnavailable,
    RateLimited,
    StorageUnavailable,
    StreampaiError,
)

from .fake_cloudflare import FAULTS, FakeCloudflare
from .memory import MemoryIntents, MemoryStore

OURS = {"name": "demo", "streampai_instance": "here", "streampai_user": "42"}


def provisioner(
    client: CloudflareClient, store: MemoryStore, intents: MemoryIntents
) -> InputProvisioner:
    return InputProvisioner(user_id=42, name="demo", client=client, store=store, intents=intents)


async def test_a_new_user_gets_one_input_with_an_intent_before_it(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    mine = provisioner(generous_client, store, intents)
    made = await mine.ensure()
    assert await mine.ensure() is made
    assert store.live_input == made
    assert list(fake.inputs) == [made.uid]
    assert intents.outcomes() == [("cloudflare.create_input", "done")]
    assert "canary" not in intents.text()


async def test_a_stored_input_is_used_without_asking(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    made = await provisioner(generous_client, store, intents).ensure()
    fake.requests.clear()
    assert await provisioner(generous_client, store, intents).ensure() == made
    assert fake.requests == []


async def test_an_input_with_our_marks_is_adopted(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input(**OURS)
    store, intents = MemoryStore(), MemoryIntents()
    assert (await provisioner(generous_client, store, intents).ensure()).uid == uid
    assert store.live_input is not None
    assert fake.count("POST") == 0
    assert intents.rows == {}


async def test_two_who_ask_at_once_make_one_input(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    fake.latency = 1.0
    mine = provisioner(generous_client, MemoryStore(), MemoryIntents())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.ensure)
        nursery.start_soon(mine.ensure)
    assert len(fake.inputs) == 1


@pytest.mark.parametrize("fault", [f for f in FAULTS if f != "twice"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_whatever_fails_trying_again_makes_one_input(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    autojump_clock: MockClock,
    fault: str,
    number: int,
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    fake.retry_after = "1"
    fake.fault = lambda request: fault if fake.reached == number else ""
    mine = provisioner(generous_client, store, intents)
    for _ in range(3):
        try:
            made = await mine.ensure()
        except StreampaiError as error:
            assert isinstance(error, CloudflareUnavailable | CloudflareRefused | RateLimited)
            await trio.sleep(5)
        else:
            break
    assert list(fake.inputs) == [made.uid]
    assert await intents.open() == []


async def test_a_lost_answer_whose_input_shows_up_late_makes_no_second_one(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    """The list lags behind: only the repeated attempt's key tells that it has been made."""
    store, intents = MemoryStore(), MemoryIntents()
    hidden: dict[str, dict[str, object]] = {}

    def lose_and_hide(request: object) -> str:
        if fake.count("POST") == 1 and not hidden:
            return "lose"
        hidden.update(fake.inputs)
        fake.inputs.clear()
        return ""

    fake.fault = lose_and_hide
    with pytest.raises(CloudflareUnavailable):
        await provisioner(generous_client, store, intents).ensure()
    assert len(await intents.open()) == 1
    fake.inputs.update(hidden)
    fake.fault = lambda request: ""
    made = await provisioner(generous_client, store, intents).ensure()
    assert list(fake.inputs) == [made.uid]
    assert await intents.open() == []


async def test_a_store_that_fails_after_the_create_makes_no_second_input(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    store.broken = True
    mine = provisioner(generous_client, store, intents)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await mine.ensure()
    assert mine.live_input is None
    store.broken = False
    assert (await mine.ensure()).uid in fake.inputs
    assert len(fake.inputs) == 1


async def test_without_an_intent_nothing_is_made(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    intents = MemoryIntents()
    intents.broken = True
    with pytest.raises(StorageUnavailable):
        await provisioner(generous_client, MemoryStore(), intents).ensure()
    assert fake.inputs == {}


async def test_a_forgotten_input_is_replaced_only_then(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    mine = provisioner(generous_client, store, intents)
    old = await mine.ensure()
    del fake.inputs[old.uid]
    assert (await mine.ensure()).uid == old.uid
    mine.forget(old.uid)
    assert mine.gone
    assert mine.live_input is None
    new = await mine.ensure()
    assert new.uid != old.uid
    assert store.live_input == new
    assert not mine.gone


async def test_a_key_changed_elsewhere_is_stored(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    mine = provisioner(generous_client, store, intents)
    made = await mine.ensure()
    await mine.update(made)
    assert store.saves == 1
    fresh = await generous_client.rotate_keys(made.uid)
    await mine.update(fresh)
    assert store.live_input == fresh == mine.live_input


async def test_rotating_has_an_intent_and_is_stored(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    mine = provisioner(generous_client, store, intents)
    before = await mine.ensure()
    after = await mine.rotate()
    assert after.uid == before.uid
    assert after.stream_key != before.stream_key
    assert store.live_input == after
    assert intents.outcomes()[-1] == ("cloudflare.rotate_key", "done")
    assert "canary" not in intents.text()


@pytest.mark.parametrize(("fault", "changed"), [("lose", True), ("500", True), ("refuse", False)])
async def test_after_a_lost_answer_the_key_in_force_is_looked_up(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    autojump_clock: MockClock,
    fault: str,
    changed: bool,
) -> None:
    store, intents = MemoryStore(), MemoryIntents()
    mine = provisioner(generous_client, store, intents)
    before = await mine.ensure()
    fake.fault = lambda request: fault if request.method == "POST" else ""
    if changed:
        await mine.rotate()
    else:
        with pytest.raises(CloudflareUnavailable):
            await mine.rotate()
    assert store.live_input is not None
    assert store.live_input.stream_key.reveal() == (fake.inputs[before.uid]["rtmps"]["streamKey"])
    assert (store.live_input != before) is changed
    assert await intents.open() == []


async def test_there_is_no_key_to_rotate_without_an_input(
    generous_client: CloudflareClient, autojump_clock: MockClock
) -> None:
    with pytest.raises(CloudflareRefused) as caught:
        await provisioner(generous_client, MemoryStore(), MemoryIntents()).rotate()
    assert caught.value.code == "input_missing"
