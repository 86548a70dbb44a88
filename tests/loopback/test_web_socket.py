"""The WebSocket over real connections: commands, order, recovery, and who may what."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from streampai.errors import CommandRefused
from tests.web.site import Site, Visitor, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


async def test_connect_and_subscribe_in_one_frame_are_answered_in_order(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.socket(visitor)
    await socket.say({"connect": {"name": "js"}}, {"subscribe": {"channel": "user_stream:1"}})
    connected, subscribed = await socket.next(), await socket.next()
    assert connected["connect"]["ping"] == 25 and connected["connect"]["pong"] is True
    assert subscribed["subscribe"]["recoverable"] is True
    assert subscribed["subscribe"]["data"] == {"snapshot": "user_stream:1"}
    assert site.manager.present == [(site.manager.present[0][0], visitor.user.id)]


async def test_a_publication_reaches_its_subscriber_after_the_reply(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.browser(visitor)
    await socket.ask(subscribe={"channel": "platform:twitch:1"})
    await site.publish("platform:twitch:1", 1)
    assert await socket.next() == {
        "push": {"channel": "platform:twitch:1", "pub": {"data": {"n": 1}, "offset": 1}}
    }


async def test_a_command_is_accepted_and_given_to_the_manager(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    data = {"id": "c-1", "platforms": ["twitch"]}
    reply = await socket.ask(rpc={"method": "start_stream", "data": data})
    assert reply["rpc"] == {"data": {"accepted": "c-1"}}
    assert site.manager.user(1).commands[0].id == "c-1"


async def test_a_refusal_has_our_number(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    site.manager.user(1).refusal = CommandRefused(code="encoder_not_connected")
    reply = await socket.ask(rpc={"method": "stop_stream", "data": {"id": "c"}})
    assert reply["error"]["code"] == 420
    assert ("encoder_not_connected", "websocket rpc") in site.refusals


async def test_whoever_is_not_logged_in_is_sent_away_for_good(site: Site) -> None:
    socket = await site.socket()
    await socket.say({"connect": {}})
    assert await socket.closed() == (3500, "invalid token")
    assert site.manager.present == []


async def test_browsers_are_told_of_a_shutdown(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    start = trio.current_time()
    site.scope.cancel()
    assert await socket.closed() == (1001, "shutdown")
    await site.stop()
    assert trio.current_time() - start < 1
    assert site.manager.present == []
