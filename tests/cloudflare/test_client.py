from collections.abc import Awaitable, Callable

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from streampai.cloudflare import CloudflareClient, Lane
from streampai.errors import CloudflareRefused, CloudflareUnavailable, RateLimited, StreampaiError
from streampai.settings import Secret
from streampai.telemetry import Telemetry
from streampai.telemetry.events import ApiCallFinished, TelemetryEvent

from .conftest import SETTINGS
from .fake_cloudflare import TOKEN, FakeCloudflare, fake_now

KEY = Secret("destination-canary")
NOBODY = "f" * 32


def failing(*faults: str) -> Callable[[httpx.Request], str]:
    """The first requests fail in these ways, the later ones do not."""
    rest = list(faults)
    return lambda request: rest.pop(0) if rest else ""


async def test_an_input_is_made_with_our_marks_and_found_by_them(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    made = await client.create_input(user_id=42, name="demo")
    assert fake.inputs[made.uid]["meta"] == {
        "name": "demo",
        "streampai_instance": "here",
        "streampai_user": "42",
    }
    assert made.stream_key.reveal() == f"key-canary-{made.uid}"
    assert client.is_ours(made, 42)
    assert not client.is_ours(made, 4)
    assert await client.find_input(42) == made
    assert await client.find_input(4) is None


@pytest.mark.parametrize("as_array", [True, False])
async def test_other_installations_inputs_are_not_ours(
    client: CloudflareClient, fake: FakeCloudflare, as_array: bool, autojump_clock: MockClock
) -> None:
    fake.list_as_array = as_array
    fake.add_input(streampai_instance="there", streampai_user="1")
    fake.add_input(name="made by hand")
    older = fake.add_input(streampai_instance="here", streampai_user="1")
    fake.add_input(streampai_instance="here", streampai_user="1")
    found = await client.find_input(1)
    assert found is not None
    assert found.uid == older
    assert len(await client.our_inputs()) == 2


async def test_an_input_listed_but_gone_is_not_found(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    gone = fake.add_input(streampai_instance="here", streampai_user="1")
    there = fake.add_input(streampai_instance="here", streampai_user="1")

    def vanish(request: httpx.Request) -> str:
        if request.url.path.endswith(gone):
            fake.inputs.pop(gone, None)
        return ""

    fake.fault = vanish
    found = await client.find_input(1)
    assert found is not None
    assert found.uid == there


async def test_outputs_are_made_listed_switched_and_removed(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    made = await client.create_output(uid, "rtmps://a/app", KEY)
    await client.set_output_enabled(uid, made.uid, enabled=False)
    (listed,) = await client.list_outputs(uid)
    assert (listed.uid, listed.stream_key, listed.enabled) == (made.uid, KEY, False)
    await client.delete_output(uid, made.uid)
    await client.delete_output(uid, made.uid)
    assert await client.list_outputs(uid) == []


async def test_rotating_changes_the_key_only(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    before, _, _ = await client.get_input(uid, lane=Lane.WAITING)
    after = await client.rotate_keys(uid)
    assert after.uid == uid
    assert after.stream_key != before.stream_key


async def test_the_answers_date_is_told(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    _, _, date = await client.get_input(fake.add_input(), lane=Lane.WAITING)
    assert date == fake_now().replace(microsecond=0)
    fake.headers = {"Date": "soon"}
    _, _, date = await client.get_input(fake.add_input(), lane=Lane.WAITING)
    assert date is None


async def test_a_missing_input_is_told_apart_from_a_wrong_path(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    for call in (
        lambda: client.get_input(NOBODY, lane=Lane.WAITING),
        lambda: client.rotate_keys(NOBODY),
        lambda: client.list_outputs(NOBODY),
        lambda: client.create_output(NOBODY, "rtmps://a", KEY),
    ):
        with pytest.raises(CloudflareRefused) as caught:
            await call()
        assert caught.value.code == "input_missing"
        assert caught.value.details["cloudflare_code"] == 10003
        assert caught.value.details["ray"] == "ray-1"
    await client.delete_input(NOBODY)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, html="<h1>Not found</h1>"),
        httpx.Response(404, json={}),
        httpx.Response(404, json={"error": "no such page"}),
        httpx.Response(
            404, json={"success": False, "errors": [{"code": 7003, "message": "no route"}]}
        ),
    ],
)
async def test_a_404_that_is_not_the_apis_own_proves_nothing(
    answer: httpx.Response, telemetry: Telemetry, autojump_clock: MockClock
) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
        client = CloudflareClient(http, SETTINGS, timeout=1, telemetry=telemetry, now=fake_now)
        with pytest.raises(CloudflareRefused) as caught:
            await client.get_input(NOBODY, lane=Lane.WAITING)
    assert caught.value.code == "cloudflare_refused"


@pytest.mark.parametrize("fault", ["refuse", "lose", "500", "html", "garbage"])
async def test_reads_and_deletes_are_tried_again(
    client: CloudflareClient, fake: FakeCloudflare, fault: str, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    output = fake.add_output(uid, "rtmps://a", "k")
    fake.fault = failing(fault, fault)
    assert [o.uid for o in await client.list_outputs(uid)] == [output]
    fake.fault = failing(fault, fault)
    await client.delete_output(uid, output)
    assert fake.outputs[uid] == []


@pytest.mark.parametrize("fault", ["refuse", "lose", "500", "html", "garbage"])
async def test_a_create_is_never_sent_twice(
    client: CloudflareClient, fake: FakeCloudflare, fault: str, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    for call in (
        lambda: client.create_input(user_id=1, name="n"),
        lambda: client.create_output(uid, "rtmps://a", KEY),
        lambda: client.rotate_keys(uid),
    ):
        fake.requests.clear()
        fake.fault = failing(fault)
        with pytest.raises(CloudflareUnavailable):
            await call()
        assert len(fake.requests) == 1


async def test_a_poll_gives_up_after_one_more_try(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    fake.fault = lambda request: "500"
    with pytest.raises(CloudflareUnavailable) as caught:
        await client.get_input(uid, lane=Lane.WAITING)
    assert caught.value.details["status"] == 502
    assert len(fake.requests) == 2


async def test_no_answer_in_time_is_unavailable_and_patience_has_an_end(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    fake.latency = 1000.0
    began = trio.current_time()
    with pytest.raises(CloudflareUnavailable, match="within 10 s"):
        await client.list_outputs(uid)
    assert trio.current_time() - began < 25


async def test_success_false_is_a_refusal_whatever_the_status(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    fake.fault = failing("failure")
    with pytest.raises(CloudflareRefused) as caught:
        await client.create_input(user_id=1, name="n")
    assert caught.value.details["status"] == 200
    assert caught.value.details["cloudflare_code"] == 10001


async def test_a_refused_token_is_named_without_being_shown(
    fake: FakeCloudflare, telemetry: Telemetry, autojump_clock: MockClock
) -> None:
    fake.add_input()
    wrong = attrs.evolve(SETTINGS, token=Secret("wrong-canary"))
    async with fake.http() as http:
        client = CloudflareClient(http, wrong, timeout=1, telemetry=telemetry, now=fake_now)
        with pytest.raises(CloudflareRefused, match="API token") as caught:
            await client.our_inputs()
    assert caught.value.details["status"] == 403
    assert "wrong-canary" not in repr(caught.value.as_dict()) + repr(caught.value)


async def test_what_cloudflare_quotes_is_shown_without_the_secrets(
    telemetry: Telemetry, autojump_clock: MockClock
) -> None:
    def quote(request: httpx.Request) -> httpx.Response:
        said = f"bad value in {request.content.decode()} by {TOKEN}" + "x" * 5000
        body = {"success": False, "errors": [{"code": 10005, "message": said}]}
        return httpx.Response(400, json=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(quote)) as http:
        client = CloudflareClient(http, SETTINGS, timeout=1, telemetry=telemetry, now=fake_now)
        with pytest.raises(CloudflareRefused, match="bad value") as caught:
            await client.create_output(NOBODY, "rtmps://a", KEY)
    assert "canary" not in str(caught.value) + repr(caught.value.as_dict())
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "143"}, 143, 149),
        ({"Ratelimit": '"default";r=0;t=77'}, 77, 83),
        ({"Retry-After": "soon"}, 300, 306),
        ({"Retry-After": "Fri, 02 Jan 2026 03:02:00 GMT"}, 118, 126),
        ({}, 300, 306),
    ],
)
async def test_a_429_blocks_everybody_for_as_long_as_told(
    client: CloudflareClient,
    fake: FakeCloudflare,
    headers: dict[str, str],
    low: float,
    high: float,
    autojump_clock: MockClock,
) -> None:
    uid = fake.add_input()
    fake.retry_after, fake.headers = "", headers
    fake.fault = failing("429")
    with pytest.raises(RateLimited) as caught:
        await client.get_input(uid, lane=Lane.IDLE)
    assert low <= caught.value.retry_after <= high
    sent = len(fake.requests)
    for call in (
        lambda: client.delete_output(uid, NOBODY),
        lambda: client.create_input(user_id=1, name="n"),
    ):
        with pytest.raises(RateLimited):
            await call()
    assert len(fake.requests) == sent
    await trio.sleep(high)
    await client.get_input(uid, lane=Lane.IDLE)


async def test_after_a_block_commands_go_before_polls(
    client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    fake.retry_after, fake.fault = "5", failing("429")
    with pytest.raises(RateLimited):
        await client.get_input(uid, lane=Lane.IDLE)
    fake.requests.clear()
    async with trio.open_nursery() as nursery:
        for lane in (Lane.IDLE, Lane.STREAMING, Lane.GRACE):
            nursery.start_soon(lambda lane=lane: client.get_input(uid, lane=lane))
            await trio.sleep(0.1)
        nursery.start_soon(client.create_output, uid, "rtmps://a", KEY)
        await trio.sleep(0.1)
        nursery.start_soon(client.delete_output, uid, NOBODY)
    assert [method for _, method, _ in fake.requests] == ["DELETE", "POST", "GET", "GET", "GET"]


async def test_every_exchange_is_told_to_telemetry(
    client: CloudflareClient,
    fake: FakeCloudflare,
    heard: list[TelemetryEvent],
    autojump_clock: MockClock,
) -> None:
    uid = fake.add_input()
    fake.latency, fake.fault = 0.25, failing("refuse", "500")
    await client.list_outputs(uid)
    calls = [event for event in heard if isinstance(event, ApiCallFinished)]
    assert [(call.operation, call.status) for call in calls] == [
        ("list_outputs", 0),
        ("list_outputs", 502),
        ("list_outputs", 200),
    ]
    assert all(call.service == "cloudflare" for call in calls)
    assert all(call.duration == pytest.approx(0.25, abs=0.01) for call in calls)


async def test_polls_that_hang_do_not_hold_a_stop_back(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    failed = 0

    async def poll() -> None:
        nonlocal failed
        try:
            await generous_client.get_input(uid, lane=Lane.STREAMING)
        except StreampaiError:
            failed += 1

    fake.latency = 1000.0
    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(poll)
        await trio.sleep(1)
        fake.latency = 0.0
        began = trio.current_time()
        await generous_client.delete_output(uid, NOBODY)
        assert trio.current_time() - began < 0.1
    assert failed >= 16


async def test_a_cancelled_call_leaves_its_place_to_others(
    generous_client: CloudflareClient, fake: FakeCloudflare, autojump_clock: MockClock
) -> None:
    uid = fake.add_input()
    fake.latency = 5.0
    for _ in range(40):
        with trio.move_on_after(1):
            await generous_client.create_output(uid, "rtmps://a", KEY)
    fake.latency = 0.0
    begun: list[Callable[[], Awaitable[object]]] = [lambda: generous_client.our_inputs()] * 20
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            for call in begun:
                nursery.start_soon(call)
