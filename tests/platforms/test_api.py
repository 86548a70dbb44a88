"""The HTTP edge: what may go wrong becomes one of our errors, and telemetry knows of each call."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.errors import PlatformUnavailable
from streampai.platforms.api import MAX_ANSWER, MAX_CALLS, Answer, ApiClient
from streampai.telemetry import Telemetry
from streampai.telemetry.events import ApiCallFinished, TelemetryEvent

from .fakes import spy_on


def client(
    answer: Callable[..., object], *, timeout: float = 10.0
) -> tuple[ApiClient, list[TelemetryEvent]]:
    telemetry = Telemetry()
    told = spy_on(telemetry)
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))  # type: ignore[arg-type]
    return ApiClient(http, service="Twitch", timeout=timeout, telemetry=telemetry), told


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(service="Twitch", status=status, headers=httpx.Headers(names), body=body)


async def test_an_answer_comes_whole_and_is_told() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://twitch.test/users?id=1&id=2"
        assert request.content == b'{"a":1}'
        return httpx.Response(418, json={"message": "short and stout"})

    api, told = client(reply)
    got = await api.call(
        "POST",
        "http://twitch.test/users",
        operation="get_users",
        params=[("id", "1"), ("id", "2")],
        json={"a": 1},
    )
    assert (got.status, got.reason()) == (418, "short and stout")
    (event,) = told
    assert isinstance(event, ApiCallFinished)
    assert (event.service, event.operation, event.status) == ("Twitch", "get_users", 418)


async def test_an_unreachable_service_is_unavailable_and_the_url_is_not_told() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot connect to {request.url}")

    api, told = client(reply)
    with pytest.raises(PlatformUnavailable) as caught:
        await api.call("GET", "http://twitch.test/?token=planted", operation="x")
    assert "planted" not in caught.value.message
    assert [event.status for event in told if isinstance(event, ApiCallFinished)] == [0]


async def test_a_slow_service_is_unavailable(autojump_clock: trio.testing.MockClock) -> None:
    async def reply(request: httpx.Request) -> httpx.Response:
        await trio.sleep(100)
        return httpx.Response(200)

    api, told = client(reply)
    with pytest.raises(PlatformUnavailable, match="within 10 s"):
        await api.call("GET", "http://twitch.test/", operation="x")
    assert trio.current_time() == 10


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            await trio.lowlevel.checkpoint()
            sent += 65536
            yield b"x" * 65536

    api, told = client(lambda request: httpx.Response(200, content=endless()))
    with pytest.raises(PlatformUnavailable, match="without end"):
        await api.call("GET", "http://twitch.test/", operation="x")
    assert sent <= MAX_ANSWER + 65536


async def test_no_more_calls_are_under_way_than_allowed_and_cancelled_ones_free_their_place(
    autojump_clock: trio.testing.MockClock,
) -> None:
    under_way = most = 0

    async def reply(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await trio.sleep(5)
        finally:
            under_way -= 1
        return httpx.Response(200)

    api, told = client(reply, timeout=30)

    async def call() -> None:
        await api.call("GET", "http://twitch.test/", operation="x")

    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_CALLS * 2):
                nursery.start_soon(call)
            await trio.sleep(6)
            nursery.cancel_scope.cancel()
    assert (most, under_way) == (MAX_CALLS, 0)
    await call()


async def test_a_call_whose_turn_does_not_come_is_unavailable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def reply(request: httpx.Request) -> httpx.Response:
        await trio.sleep(9)
        return httpx.Response(200)

    api, told = client(reply, timeout=10)

    async def call() -> None:
        await api.call("GET", "http://twitch.test/", operation="x")

    async def late() -> None:
        with pytest.raises(PlatformUnavailable, match="under way"):
            await call()

    async with trio.open_nursery() as nursery:
        for _ in range(MAX_CALLS * 2):
            nursery.start_soon(call)
        await wait_all_tasks_blocked()
        nursery.start_soon(late)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message": 5.5}', b"\xff"])
def test_a_reason_is_found_in_any_body(body: bytes) -> None:
    assert answer(503, body).reason() == "status 503"


def test_a_reason_is_not_a_page_long() -> None:
    assert len(answer(400, b'{"message": "%s"}' % (b"x" * 5000)).reason()) == 200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 02 Apr 2026 18:00:30 GMT", 30.0),
        ("Thu, 02 Apr 2026 17:00:30 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    now = datetime(2026, 4, 2, 18, 0, tzinfo=UTC)
    assert answer(429, Retry_After=text).retry_after(now) == seconds


def test_an_answer_shows_no_body() -> None:
    assert "planted" not in repr(answer(200, b'{"access_token": "planted"}', X="planted"))
