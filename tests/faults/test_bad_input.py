"""What no honest browser sends: refused with its documented code, logged once, at no one's cost."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio

from streampai.errors import ERROR_CODES
from streampai.runtime import WebSocketClosed, open_websocket
from streampai.telemetry.events import BrowserDisconnected, RequestRefused
from streampai.telemetry.log import LogListener

from ..browser import PATIENCE, Browser
from ..house import House, open_house
from .stage import watching

# Planted in everything that is sent; nobody may find it in a log.
SECRET = "planted-hunter2-planted"


class Raw:
    """A browser's WebSocket without any manners."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        await self._socket.send(text)

    async def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request; whatever is pushed before it is passed over."""
        await self.send(orjson.dumps({"id": 77, **request}).decode())
        with trio.fail_after(PATIENCE):
            while True:
                for line in (await self._socket.receive()).split("\n"):
                    message: dict[str, Any] = orjson.loads(line)
                    if message.get("id") == 77:
                        return message

    async def closed(self) -> tuple[int, str]:
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    await self._socket.receive()
                except WebSocketClosed as end:
                    return end.code, end.reason


@asynccontextmanager
async def raw_socket(house: House, cookie: str) -> AsyncIterator[Raw]:
    address = house.url.replace("http", "ws", 1) + "/connection/websocket"
    headers = [("Origin", house.url)]
    if cookie:
        headers.append(("Cookie", cookie))
    async with open_websocket(address, headers=headers, connect_timeout=PATIENCE) as socket:
        yield Raw(socket)


def cookie_of(browser: Browser) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookies.jar)


@asynccontextmanager
async def open_scene(data: Path) -> AsyncIterator[tuple[House, Browser, Browser]]:
    """Anna, who will misbehave, and Ben, who is on his page and must see nothing of it."""
    async with open_house(data, users=("anna", "ben")) as house:
        # A minute goes by between two lines, so that none is held back as one of many.
        LogListener(house.app.services.telemetry, clock=count(step=60).__next__)
        anna, ben = await house.browser("anna"), await house.browser("ben")
        async with ben.connected():
            await ben.until(lambda: ben.state["input"]["state"] == "disconnected")
            revisions = len(ben.lifecycle)
            yield house, anna, ben
            assert ben.closed is None
            assert await ben.ask("rpc", stop("ben's own")) == {"data": {"accepted": "ben's own"}}
            await ben.outcome("ben's own")
            assert len(ben.lifecycle) == revisions + 1
            assert {state["state"] for state in ben.topics[own_topic(ben)].data} <= {"offline"}


def own_topic(browser: Browser) -> str:
    return f"user_stream:{browser.user_id}"


def stop(command_id: str) -> dict[str, Any]:
    return {"method": "stop_stream", "data": {"id": command_id}}


@contextmanager
def refusals(caplog: pytest.LogCaptureFixture, name: str = "", *, times: int = 1) -> Iterator[None]:
    """The block causes a line per refusal, and no line has the secret in any field."""
    caplog.clear()
    yield
    lines = [r for r in caplog.records if r.getMessage() == RequestRefused.name]
    assert (name, len(lines)) == (name, times)
    for record in caplog.records:
        assert SECRET not in f"{record.getMessage()} {record.__dict__}", name


BIG = 70_000
RPCS = {
    "unknown-command": ({"method": SECRET, "data": {"id": "x"}}, 104),
    "no-data": ({"method": "send_chat"}, "bad_request"),
    "data-of-another-kind": ({"method": "send_chat", "data": [SECRET]}, "bad_request"),
    "a-text-that-is-a-number": (
        {"method": "send_chat", "data": {"id": SECRET, "text": 5}},
        "bad_request",
    ),
    "platforms-that-are-a-text": (
        {"method": "start_stream", "data": {"id": "x", "platforms": SECRET}},
        "bad_request",
    ),
    "a-field-too-many": (
        {"method": "stop_stream", "data": {"id": "x", "password": SECRET}},
        "bad_request",
    ),
    "a-number-for-truth": (
        {"method": "set_destination", "data": {"id": "x", "platform": "twitch", "enabled": 1}},
        "bad_request",
    ),
    "an-id-without-end": ({"method": "stop_stream", "data": {"id": SECRET * 50}}, "bad_request"),
    "an-unknown-platform": (
        {"method": "set_destination", "data": {"id": "x", "platform": SECRET, "enabled": True}},
        "unknown_platform",
    ),
    "at-the-wrong-time": (
        {"method": "start_stream", "data": {"id": "x", "platforms": ["twitch"]}},
        "encoder_not_connected",
    ),
    "a-method-of-another-kind": ({"method": 5, "data": {}}, 107),
}


async def test_a_bad_command_is_answered_with_its_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with open_scene(tmp_path) as (house, anna, _), raw_socket(house, cookie_of(anna)) as raw:
        await raw.ask(connect={})
        # Until the input is known, why a start is refused would be another reason.
        await until_known(anna)
        for name, (request, code) in RPCS.items():
            with watching(house, RequestRefused) as watch, refusals(caplog, name):
                reply = await raw.ask(rpc=request)
                number = code if isinstance(code, int) else ERROR_CODES[code].number
                assert (name, reply["error"]["code"]) == (name, number)
                # The conversation goes on.
                assert "rpc" in await raw.ask(rpc=stop(f"after {name}"))
            (refusal,) = watch.events
            assert (refusal.user_id, refusal.where) == (anna.user_id, "websocket rpc"), name
            assert refusal.code == str(code)


async def until_known(browser: Browser) -> None:
    async with browser.connected(own_topic(browser)):
        await browser.until(lambda: browser.state["input"]["state"] == "disconnected")


TOPICS = {
    "somebody-else-s-state": ("user_stream:{other}", 103),
    "somebody-else-s-events": ("platform:twitch:{other}", 103),
    "somebody-else-s-lifecycle": ("stream_lifecycle:{other}", 103),
    "nobody-s": ("user_stream:999", 103),
    "of-no-kind": (SECRET, 102),
    "another-spelling-of-one-s-own": ("user_stream:0{own}", 102),
    "of-a-platform-that-is-none": ("platform:nowhere:{own}", 102),
}


async def test_a_foreign_topic_is_nobody_else_s_to_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with (
        open_scene(tmp_path) as (house, anna, ben),
        raw_socket(house, cookie_of(anna)) as raw,
    ):
        await raw.ask(connect={})
        for name, (topic, code) in TOPICS.items():
            channel = topic.format(own=anna.user_id, other=ben.user_id)
            for request in ("subscribe", "history", "presence"):
                with watching(house, RequestRefused) as watch, refusals(caplog, name):
                    reply = await raw.ask(**{request: {"channel": channel}})
                    assert (name, reply["error"]["code"]) == (name, code)
                assert [event.code for event in watch.events] == [str(code)]


async def test_nobody_publishes_but_the_daemon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with open_scene(tmp_path) as (house, anna, _), raw_socket(house, cookie_of(anna)) as raw:
        await raw.ask(connect={})
        with refusals(caplog, "publish"):
            reply = await raw.ask(publish={"channel": own_topic(anna), "data": {"state": SECRET}})
            assert reply["error"]["code"] == 103


FRAMES = {
    "not-json": ("{" + SECRET, 3501, "bad_request"),
    "not-an-object": (f'["{SECRET}"]', 3501, "bad_request"),
    "two-requests-in-one": ('{"id":5,"rpc":{},"subscribe":{}}', 3501, "bad_request"),
    "no-id": ('{"rpc":{"method":"stop_stream"}}', 3501, "bad_request"),
    "an-id-that-is-a-text": (f'{{"id":"{SECRET}","rpc":{{}}}}', 3501, "bad_request"),
    "a-request-nobody-knows": (f'{{"id":5,"{SECRET}":{{}}}}', 3501, "bad_request"),
    "empty": ("", 3501, "bad_request"),
    "a-second-connect": ('{"id":5,"connect":{}}', 3501, "bad_request"),
    "a-subscription-to-nothing": ('{"id":5,"subscribe":{}}', 3501, "bad_request"),
    "a-pong-out-of-turn": ("{}", 3501, "bad_request"),
    "too-large": (f'{{"id":5,"rpc":{{"data":"{SECRET * (BIG // 20)}"}}}}', 1009, "too_large"),
    "a-flood": ("\n".join(['{"id":5,"unsubscribe":{"channel":"x"}}'] * 300), 3013, "rate_limited"),
}


async def test_a_bad_frame_ends_that_connection_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with (
        open_scene(tmp_path) as (house, anna, _),
        # Another tab of the same person.
        raw_socket(house, cookie_of(anna)) as bystander,
    ):
        await bystander.ask(connect={})
        for name, (frame, close, code) in FRAMES.items():
            async with raw_socket(house, cookie_of(anna)) as raw:
                await raw.ask(connect={})
                with (
                    watching(house, RequestRefused) as watch,
                    watching(house, BrowserDisconnected) as ends,
                    refusals(caplog, name),
                ):
                    await raw.send(frame)
                    assert (name, (await raw.closed())[0]) == (name, close)
                    assert (await ends.until()).code == close
                assert (name, [event.code for event in watch.events]) == (name, [code])
            assert "rpc" in await bystander.ask(rpc=stop(f"after {name}"))


async def test_without_a_log_in_there_is_no_conversation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with open_scene(tmp_path) as (house, anna, _):
        with refusals(caplog, times=4):
            name = next(iter(anna.http.cookies.jar)).name
            for cookie, token in (("", ""), (f"{name}={SECRET}", ""), ("", SECRET)):
                async with raw_socket(house, cookie) as raw:
                    body = {"token": token} if token else {}
                    await raw.send(orjson.dumps({"id": 1, "connect": body}).decode())
                    assert await raw.closed() == (3500, "invalid token")
            # A cookie that was good until its owner logged out; the open page goes too.
            cookie = cookie_of(anna)
            async with raw_socket(house, cookie) as raw:
                await raw.ask(connect={})
                assert (await anna.request("DELETE", "/api/session")).status_code < 300
                assert (await raw.closed())[0] == 3500
            async with raw_socket(house, cookie) as raw:
                await raw.send('{"id":1,"connect":{}}')
                assert (await raw.closed())[0] == 3500


async def test_a_page_of_another_site_gets_no_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    foreign = {
        "Origin": f"https://{SECRET}.example",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with open_scene(tmp_path) as (_, anna, _):
        with refusals(caplog):
            answer = await anna.http.get("/connection/websocket", headers=foreign)
            assert answer.status_code == 403


HTTP = {
    "not-json": ("POST", "/api/stream/start", {"content": "{" + SECRET}, 400, "bad_request"),
    "a-form": ("POST", "/api/chat", {"data": {"text": SECRET}}, 400, "bad_request"),
    "wrong-type": ("POST", "/api/chat", {"json": {"text": [SECRET]}}, 400, "bad_request"),
    "wrong-type-in-a-body": (
        "POST",
        "/api/session",
        {"json": {"username": 5, "password": SECRET}},
        400,
        "bad_request",
    ),
    "unknown-field": (
        "POST",
        "/api/stream/start",
        {"json": {"platforms": ["twitch"], "token": SECRET}},
        400,
        "bad_request",
    ),
    "too-large": ("POST", "/api/chat", {"content": SECRET * 100_000}, 413, "too_large"),
    "nothing-there": ("GET", f"/api/{SECRET}", {}, 404, "not_found"),
    "unknown-platform": (
        "PUT",
        f"/api/stream/destinations/{SECRET}",
        {"json": {"enabled": True}},
        404,
        "unknown_platform",
    ),
    "without-the-key": ("POST", "/api/publish", {"json": {"data": SECRET}}, 401, "unauthorized"),
    "not-an-admin": ("GET", "/api/tree", {}, 403, "forbidden"),
}


async def test_a_bad_request_is_answered_with_its_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with open_scene(tmp_path) as (house, anna, _):
        for name, (method, path, options, status, code) in HTTP.items():
            with watching(house, RequestRefused) as watch, refusals(caplog, name):
                answer = await send(anna, method, path, options)
                said = answer.status_code, answer.json()["error"]["code"]
                assert (name, said) == (name, (status, code))
            assert (name, [event.code for event in watch.events]) == (name, [code])


async def send(browser: Browser, method: str, path: str, options: dict[str, Any]) -> Any:
    headers = {"Origin": browser.url}
    if "content" in options:
        headers["Content-Type"] = "application/json"
    return await browser.http.request(method, path, headers=headers, **options)


async def test_a_request_in_a_stranger_s_name_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="streampai")
    async with open_scene(tmp_path) as (house, anna, _):
        with refusals(caplog, times=4):
            forged = await anna.http.post(
                "/api/stream/stop", json={}, headers={"Origin": f"https://{SECRET}.example"}
            )
            assert (forged.status_code, forged.json()["error"]["code"]) == (403, "bad_origin")
            unsigned = await anna.http.post("/api/stream/stop", json={})
            assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (403, "forbidden")
            stranger = await house.stranger()
            name = next(iter(anna.http.cookies.jar)).name
            stranger.http.cookies.set(name, SECRET)
            unknown = await stranger.request("POST", "/api/stream/stop", json={})
            assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "unauthorized")
            wrong = await stranger.log_in("anna", SECRET)
            assert (wrong.status_code, wrong.json()["error"]["code"]) == (
                401,
                "invalid_credentials",
            )
