"""A kill at every point at which one can fall, and what the next life makes of it.

A kill is a cancellation of everything at the n-th point, for every n there is: no
code of ours runs after it but what stands between two awaits. The points are the
begin and end of each intent row, each store access, and each request before and
after it takes effect.
"""

import itertools
from collections.abc import Mapping

import pytest
import trio
from trio.testing import MockClock

from streampai.cloudflare import CloudflareClient
from streampai.telemetry import Telemetry

from .fake_cloudflare import FakeCloudflare
from .memory import MemoryIntents, MemoryStore
from .test_output_manager import KICK, OURS, TWITCH, WANTED, Life, Place, places
from .test_provisioner import provisioner


class Killer:
    """Cancels ``scope`` at the n-th point."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.scope = trio.CancelScope()

    @property
    def killed(self) -> bool:
        return self.scope.cancel_called

    async def point(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()
        await trio.lowlevel.checkpoint()


async def no_point() -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("step", ["create", "drop", "stop", "reconcile"])
@pytest.mark.parametrize("wanted", [WANTED, {"twitch": TWITCH}, {}])
async def test_outputs_are_exactly_the_wanted_ones_after_a_kill_at_any_point(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    autojump_clock: MockClock,
    step: str,
    wanted: Mapping[str, Place],
) -> None:
    for number in itertools.count(1):
        uid, intents = fake.add_input(**OURS), MemoryIntents()
        fake.add_output(uid, "rtmps://old.test", "old")
        if step != "create":
            async with Life(generous_client, telemetry, uid, intents).lived() as manager:
                await manager.create_outputs(WANTED)
        killer = Killer(number)
        with killer.scope:
            async with Life(generous_client, telemetry, uid, intents).lived() as manager:
                fake.point = intents.point = killer.point
                if step == "create":
                    await manager.create_outputs(WANTED)
                elif step == "drop":
                    await manager.reconcile({"kick": KICK})
                elif step == "stop":
                    await manager.destroy_outputs()
                else:
                    await manager.reconcile(
                        {**WANTED, "new": Place("rtmps://new.test", TWITCH.stream_key)}
                    )
        fake.point = intents.point = no_point
        async with Life(generous_client, telemetry, uid, intents).lived() as manager:
            assert await intents.open() == []
            await manager.reconcile(wanted)
        assert fake.places(uid) == places(*wanted.values())
        if not killer.killed:
            assert number > 8
            return


async def test_a_stop_that_was_begun_is_finished_at_the_next_start(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    autojump_clock: MockClock,
) -> None:
    uid, intents = fake.add_input(**OURS), MemoryIntents()
    output = fake.add_output(uid, TWITCH.url, TWITCH.stream_key.reveal())
    await intents.begin("cloudflare.delete_output", "twitch", {"input": uid, "output": output})
    await intents.begin("platform.bind_broadcast", "youtube", {})
    async with Life(generous_client, telemetry, uid, intents).lived():
        assert fake.outputs[uid] == []
    assert [intent.kind for intent in await intents.open()] == ["platform.bind_broadcast"]


async def test_what_was_begun_on_a_strangers_input_is_left_alone(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    autojump_clock: MockClock,
) -> None:
    stranger, intents = fake.add_input(), MemoryIntents()
    output = fake.add_output(stranger, TWITCH.url, "k")
    await intents.begin("cloudflare.delete_output", "twitch", {"input": stranger, "output": output})
    async with Life(generous_client, telemetry, stranger, intents).lived():
        assert len(fake.outputs[stranger]) == 1


async def test_a_start_does_not_wait_long_for_a_cloudflare_that_is_down(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    autojump_clock: MockClock,
) -> None:
    uid, intents = fake.add_input(**OURS), MemoryIntents()
    await intents.begin("cloudflare.delete_output", "twitch", {"input": uid, "output": "x"})
    fake.latency = 1000.0
    began = trio.current_time()
    async with Life(generous_client, telemetry, uid, intents).lived() as manager:
        assert trio.current_time() - began <= 5.1
        fake.latency = 0.0
        await manager.destroy_outputs()
    assert await intents.open() == []


async def test_there_is_one_input_after_a_kill_at_any_point(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    for number in itertools.count(1):
        fake.inputs.clear()
        fake.idempotency.clear()
        store, intents, killer = MemoryStore(), MemoryIntents(), Killer(number)
        fake.point = store.point = intents.point = killer.point
        with killer.scope:
            await provisioner(generous_client, store, intents).ensure()
        fake.point = store.point = intents.point = no_point
        made = await provisioner(generous_client, store, intents).ensure()
        assert list(fake.inputs) == [made.uid]
        assert store.live_input is not None
        assert store.live_input.stream_key == made.stream_key
        assert await intents.open() == []
        if not killer.killed:
            assert number > 8
            return


async def test_the_stored_key_is_the_one_in_force_after_a_kill_at_any_point(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    from streampai.cloudflare import Lane

    for number in itertools.count(1):
        fake.inputs.clear()
        store, intents, killer = MemoryStore(), MemoryIntents(), Killer(number)
        first = provisioner(generous_client, store, intents)
        await first.ensure()
        fake.point = store.point = intents.point = killer.point
        with killer.scope:
            await first.rotate()
        fake.point = store.point = intents.point = no_point
        second = provisioner(generous_client, store, intents)
        made = await second.ensure()
        current, _, _ = await generous_client.get_input(made.uid, lane=Lane.WAITING)
        await second.update(current)
        assert store.live_input is not None
        assert store.live_input.stream_key == current.stream_key
        assert await intents.open() == []
        if not killer.killed:
            assert number > 4
            return
