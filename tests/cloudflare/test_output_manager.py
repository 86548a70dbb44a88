import itertools
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from streampai.cloudflare import CloudflareClient, CloudflareOutputManager, Output
from streampai.errors import (
    CloudflareRefused,
    CloudflareUnavailable,
    CommandRefused,
    RateLimited,
    StorageUnavailable,
    StreampaiError,
)
from streampai.runtime import NotRunning, Registry
from streampai.settings import Secret
from streampai.telemetry import Telemetry
from streampai.telemetry.events import (
    OutputCreatedAtCloudflare,
    OutputDestroyedAtCloudflare,
    TelemetryEvent,
)

from .fake_cloudflare import FAULTS, FakeCloudflare
from .memory import MemoryIntents

OURS = {"name": "demo", "streampai_instance": "here", "streampai_user": "42"}


@attrs.frozen
class Place:
    url: str
    stream_key: Secret


TWITCH = Place("rtmps://twitch.test/app", Secret("twitch-canary"))
KICK = Place("rtmps://kick.test/app", Secret("kick-canary"))
WANTED = {"twitch": TWITCH, "kick": KICK}


def places(*wanted: Place) -> list[tuple[str, str]]:
    return sorted((place.url, place.stream_key.reveal()) for place in wanted)


class Life:
    """One life of the daemon, as far as one user's outputs go."""

    def __init__(
        self,
        client: CloudflareClient,
        telemetry: Telemetry,
        uid: str,
        intents: MemoryIntents,
    ) -> None:
        async def input_uid() -> str:
            return uid

        self.intents = intents
        self.manager = CloudflareOutputManager(
            user_id=42,
            client=client,
            input_uid=input_uid,
            intents=intents,
            registry=Registry(),
            telemetry=telemetry,
        )

    @asynccontextmanager
    async def lived(self) -> Any:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.manager.run)
            yield self.manager
            nursery.cancel_scope.cancel()


@pytest.fixture
def uid(fake: FakeCloudflare) -> str:
    return fake.add_input(**OURS)


@pytest.fixture
def intents() -> MemoryIntents:
    return MemoryIntents()


@pytest.fixture
def life(
    generous_client: CloudflareClient, telemetry: Telemetry, uid: str, intents: MemoryIntents
) -> Life:
    return Life(generous_client, telemetry, uid, intents)


async def test_wanted_outputs_are_made_with_intents_and_no_key_is_written_down(
    life: Life,
    fake: FakeCloudflare,
    uid: str,
    heard: list[TelemetryEvent],
    autojump_clock: MockClock,
) -> None:
    async with life.lived() as manager:
        results = await manager.create_outputs(WANTED)
    assert fake.places(uid) == places(TWITCH, KICK)
    assert {results[p].uid for p in WANTED} == {o["uid"] for o in fake.outputs[uid]}
    assert life.intents.outcomes() == [("cloudflare.create_output", "done")] * 2
    assert "canary" not in life.intents.text() + repr(heard) + repr(results)
    made = [event.platform for event in heard if isinstance(event, OutputCreatedAtCloudflare)]
    assert sorted(made) == ["kick", "twitch"]


async def test_existing_outputs_are_adopted_and_switched_on(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    kept = fake.add_output(uid, TWITCH.url, TWITCH.stream_key.reveal())
    off = fake.add_output(uid, KICK.url, KICK.stream_key.reveal(), enabled=False)
    stranger = fake.add_output(uid, "rtmps://else.test/app", "k")
    async with life.lived() as manager:
        results = await manager.create_outputs(WANTED)
    assert (results["twitch"].uid, results["kick"].uid) == (kept, off)
    assert results["kick"].enabled
    assert all(output["enabled"] for output in fake.outputs[uid])
    assert [output["uid"] for output in fake.outputs[uid]] == [kept, off, stranger]
    assert fake.count("POST") == 0


async def test_doubles_are_removed(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    for enabled in (False, True, True):
        fake.add_output(uid, TWITCH.url, TWITCH.stream_key.reveal(), enabled=enabled)
    async with life.lived() as manager:
        results = await manager.create_outputs({"twitch": TWITCH})
    assert [output["uid"] for output in fake.outputs[uid]] == [results["twitch"].uid]
    assert fake.outputs[uid][0]["enabled"]


async def test_one_failure_touches_no_other(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    fake.fault = lambda request: "failure" if b"twitch" in request.content else ""
    async with life.lived() as manager:
        results = await manager.create_outputs(WANTED)
        assert isinstance(results["twitch"], CloudflareRefused)
        assert isinstance(results["kick"], Output)
        fake.fault = lambda request: ""
        results = await manager.create_outputs({"twitch": TWITCH})
        assert isinstance(results["twitch"], Output)
    assert fake.places(uid) == places(TWITCH, KICK)
    assert "canary" not in life.intents.text()


@pytest.mark.parametrize("fault", ["lose", "500", "html", "garbage"])
async def test_an_output_whose_answer_was_lost_is_found_at_once(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock, fault: str
) -> None:
    fake.fault = lambda request: fault if request.method == "POST" else ""
    async with life.lived() as manager:
        results = await manager.create_outputs({"twitch": TWITCH})
    assert [output["uid"] for output in fake.outputs[uid]] == [results["twitch"].uid]
    assert life.intents.outcomes() == [("cloudflare.create_output", "done")]


async def test_everybody_is_told_when_the_list_cannot_be_had(
    life: Life, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    async with life.lived() as manager:
        fake.fault = lambda request: "500"
        results = await manager.create_outputs(WANTED)
        assert all(isinstance(results[p], CloudflareUnavailable) for p in WANTED)
        with pytest.raises(CloudflareUnavailable):
            await manager.reconcile(WANTED)
        with pytest.raises(CloudflareUnavailable):
            await manager.reconcile({})
        with pytest.raises(CloudflareUnavailable):
            await manager.destroy_outputs()
        with pytest.raises(CloudflareUnavailable):
            await manager.outputs()
    assert fake.count("POST") == 0


async def test_two_platforms_may_share_a_place(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    async with life.lived() as manager:
        results = await manager.create_outputs({"a": TWITCH, "b": TWITCH})
        assert results["a"] == results["b"]
        await manager.destroy_outputs({"a"})
        assert len(fake.outputs[uid]) == 1
        await manager.destroy_outputs({"b"})
    assert fake.outputs[uid] == []


async def test_a_platform_whose_key_changed_is_sent_to_one_place_only(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    other = Place(TWITCH.url, Secret("new-canary"))
    async with life.lived() as manager:
        await manager.create_outputs(WANTED)
        await manager.create_outputs({"twitch": other})
    assert fake.places(uid) == places(other, KICK)


async def test_reconcile_leaves_exactly_what_is_wanted(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    kept = fake.add_output(uid, TWITCH.url, TWITCH.stream_key.reveal())
    fake.add_output(uid, TWITCH.url, "old-canary")
    fake.add_output(uid, "rtmps://else.test/app", "k", enabled=False)
    async with life.lived() as manager:
        results = await manager.reconcile(WANTED)
        assert results["twitch"].uid == kept
        assert fake.places(uid) == places(TWITCH, KICK)
        fake.requests.clear()
        await manager.reconcile(WANTED)
        assert len(fake.requests) == 1
        await manager.reconcile({})
    assert fake.outputs[uid] == []


async def test_chosen_platforms_outputs_are_destroyed_and_no_others(
    life: Life,
    fake: FakeCloudflare,
    uid: str,
    heard: list[TelemetryEvent],
    autojump_clock: MockClock,
) -> None:
    async with life.lived() as manager:
        await manager.create_outputs(WANTED)
        await manager.destroy_outputs({"twitch", "youtube"})
        assert fake.places(uid) == places(KICK)
        await manager.destroy_outputs({"twitch"})
        await manager.destroy_outputs()
        assert fake.outputs[uid] == []
        await manager.destroy_outputs()
    gone = [event.platform for event in heard if isinstance(event, OutputDestroyedAtCloudflare)]
    assert gone == ["twitch", "kick"]
    assert await life.intents.open() == []


async def test_outputs_that_cannot_be_removed_are_an_error_not_a_success(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    async with life.lived() as manager:
        await manager.create_outputs(WANTED)
        twitch = next(o["uid"] for o in fake.outputs[uid] if "twitch" in o["url"])
        fake.fault = lambda request: (
            "refuse" if request.method == "DELETE" and request.url.path.endswith(twitch) else ""
        )
        with pytest.raises(CloudflareUnavailable, match="1 outputs could not be removed"):
            await manager.destroy_outputs()
        assert fake.places(uid) == places(TWITCH)
        fake.fault = lambda request: ""
        await manager.destroy_outputs()
    assert fake.outputs[uid] == []


async def test_a_delete_that_answers_but_does_nothing_is_found_out(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    async with life.lived() as manager:
        await manager.create_outputs({"twitch": TWITCH})
        frozen = list(fake.outputs[uid])

        def undo(request: Any) -> str:
            fake.outputs[uid][:] = frozen
            return ""

        fake.fault = undo
        with pytest.raises(CloudflareUnavailable):
            await manager.destroy_outputs()


async def test_during_a_block_a_stop_says_how_long(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    async with life.lived() as manager:
        await manager.create_outputs(WANTED)
        fake.retry_after = "100"
        fake.fault = lambda request: "429"
        with pytest.raises(RateLimited) as caught:
            await manager.destroy_outputs()
        assert caught.value.retry_after >= 100
        fake.fault = lambda request: ""
        await trio.sleep(caught.value.retry_after)
        await manager.destroy_outputs()
    assert fake.outputs[uid] == []


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"streampai_instance": "there", "streampai_user": "42"},
        {"streampai_instance": "here", "streampai_user": "7"},
    ],
)
async def test_nothing_is_deleted_on_an_input_without_our_mark(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    intents: MemoryIntents,
    marks: dict[str, str],
    autojump_clock: MockClock,
) -> None:
    stranger = fake.add_input(**marks)
    fake.add_output(stranger, "rtmps://else.test", "k")
    async with Life(generous_client, telemetry, stranger, intents).lived() as manager:
        for call in (manager.destroy_outputs, lambda: manager.reconcile({})):
            with pytest.raises(CloudflareRefused, match="mark"):
                await call()
    assert len(fake.outputs[stranger]) == 1
    assert fake.count("DELETE") == 0


async def test_an_input_that_is_gone_has_no_outputs(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    async with life.lived() as manager:
        await manager.create_outputs(WANTED)
        del fake.inputs[uid]
        await manager.destroy_outputs()
        results = await manager.create_outputs(WANTED)
        assert {results[p].code for p in WANTED} == {"input_missing"}


async def test_what_the_input_is_unknown_for_is_passed_on(
    generous_client: CloudflareClient,
    telemetry: Telemetry,
    intents: MemoryIntents,
    autojump_clock: MockClock,
) -> None:
    async def no_input() -> str:
        raise CommandRefused(code="input_missing")

    manager = CloudflareOutputManager(
        user_id=42,
        client=generous_client,
        input_uid=no_input,
        intents=intents,
        registry=Registry(),
        telemetry=telemetry,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(manager.run)
        results = await manager.create_outputs({"twitch": TWITCH})
        assert isinstance(results["twitch"], CommandRefused)
        with pytest.raises(CommandRefused):
            await manager.destroy_outputs()
        nursery.cancel_scope.cancel()
    with pytest.raises(NotRunning):
        await manager.outputs()


async def test_without_an_intent_nothing_is_done(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    fake.add_output(uid, KICK.url, KICK.stream_key.reveal())
    async with life.lived() as manager:
        life.intents.broken = True
        results = await manager.create_outputs({"twitch": TWITCH})
        assert isinstance(results["twitch"], StorageUnavailable)
        with pytest.raises(StorageUnavailable):
            await manager.reconcile({})
        assert fake.places(uid) == places(KICK)
        life.intents.broken = False
        await manager.destroy_outputs()
    assert fake.outputs[uid] == []
    assert fake.count("POST") == 0


async def test_a_result_that_cannot_be_written_is_settled_later(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    def break_store(request: Any) -> str:
        life.intents.broken = request.method == "POST"
        return ""

    fake.fault = break_store
    async with life.lived() as manager:
        results = await manager.create_outputs({"twitch": TWITCH})
        assert isinstance(results["twitch"], Output)
        life.intents.broken = False
        assert len(await life.intents.open()) == 1
        fake.fault = lambda request: ""
        await manager.outputs()
    assert life.intents.outcomes() == [("cloudflare.create_output", "done")]


async def test_no_more_than_a_few_requests_are_under_way(
    life: Life, fake: FakeCloudflare, uid: str, autojump_clock: MockClock
) -> None:
    fake.latency = 1.0
    many = {f"p{n}": Place(f"rtmps://{n}.test", Secret("k")) for n in range(12)}
    async with life.lived() as manager:
        began = trio.current_time()
        await manager.create_outputs(many)
        assert len(fake.outputs[uid]) == 12
        assert trio.current_time() - began == pytest.approx(1 + 3 + 1, abs=0.1)


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_fails_at_whichever_request_trying_again_gives_what_is_wanted(
    generous_client: CloudflareClient,
    fake: FakeCloudflare,
    telemetry: Telemetry,
    autojump_clock: MockClock,
    fault: str,
) -> None:
    """Create, drop one, stop: each step with a fault at its n-th request, for every n."""
    fake.retry_after = "1"
    for number in itertools.count(1):
        uid, intents = fake.add_input(**OURS), MemoryIntents()
        fake.reached = 0
        hit = False

        def once(request: Any, number: int = number) -> str:
            nonlocal hit
            hit = hit or fake.reached == number
            return fault if fake.reached == number else ""

        fake.fault = once
        async with Life(generous_client, telemetry, uid, intents).lived() as manager:
            await trying(lambda manager=manager: manager.reconcile(WANTED))
            assert fake.places(uid) == places(TWITCH, KICK)
            await trying(lambda manager=manager: manager.destroy_outputs({"kick"}))
            assert fake.places(uid) == places(TWITCH)
            await trying(manager.destroy_outputs)
            assert fake.outputs[uid] == []
            assert await intents.open() == []
        if not hit:
            assert number > 8
            return


async def trying(call: Callable[[], Awaitable[Any]]) -> None:
    """Call until it has worked, for everybody."""
    for _ in range(4):
        try:
            results = await call()
        except StreampaiError:
            await trio.sleep(3)
            continue
        if not any(isinstance(result, StreampaiError) for result in (results or {}).values()):
            return
        await trio.sleep(3)
    raise AssertionError("it never worked")
