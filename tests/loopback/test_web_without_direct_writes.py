"""The same socket when frames go through the ASGI server: what must hold all the same."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from streampai.web import edge
from tests.web.site import Site, Visitor, eventually, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    environment = {"STREAMPAI_PING_INTERVAL": "1000"}
    async with open_site(tmp_path, environment, direct=False) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


async def test_publications_come_in_order_after_the_reply(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    await socket.ask(subscribe={"channel": "platform:twitch:1"})
    frames = socket.frames
    await site.publish("platform:twitch:1", *range(1, 101))
    offsets = [(await socket.next())["push"]["pub"]["offset"] for _ in range(100)]
    assert offsets == list(range(1, 101))
    assert socket.frames - frames < 20, "several to a frame"


async def test_closing_tells_code_and_reason(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    await socket.send(b"rubbish")
    assert await socket.closed() == (3501, "bad request")
    socket = await site.browser(visitor)
    await socket.send(b"x" * 70_000)
    assert await socket.closed() == (1009, "")
    await eventually(lambda: not site.manager.present)


async def test_a_browser_that_vanishes_is_not_waited_for(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    await socket.stream.aclose()
    with trio.fail_after(edge.CLOSE_HANDSHAKE - 0.1):
        await eventually(lambda: not site.server.connections)


async def test_a_mute_browser_is_dropped(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    socket.answers_pings = False
    assert await socket.closed() == (3012, "no pong")


async def test_a_browser_that_never_reads_is_cut_at_the_end_of_the_grace(
    tmp_path: Path,
) -> None:
    environment = {"STREAMPAI_SHUTDOWN_GRACE": "300", "STREAMPAI_MAX_CLIENT_QUEUE": "65536"}
    async with open_site(tmp_path / "two", environment, direct=False) as site:
        socket = await site.browser(await site.visitor())
        await socket.ask(subscribe={"channel": "user_stream:1"})
        for _ in range(1_000):
            site.pubsub.publish("user_stream:1", b'"%b"' % (b"x" * 600))
            await trio.lowlevel.checkpoint()
        start = trio.current_time()
        await site.stop()
        assert trio.current_time() - start < 1
        assert site.manager.present == []
