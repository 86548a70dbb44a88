"""The official Python client, as it is, in a thread of its own.

Its event loop is asyncio's; what it saw comes back through a queue.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler

from tests.web.site import PATIENCE, Site, Visitor, eventually, open_site

TOPIC = "platform:twitch:1"


class Official:
    """Runs the client; ``seen`` is what its handlers were told, in order."""

    def __init__(self, url: str, token: str) -> None:
        self.seen: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._address = url.replace("http", "ws") + "/connection/websocket"
        self._token = token
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.client: Any = None
        self.subscription: Any = None

    async def start(self) -> None:
        self._thread.start()
        await self.run(self._start)

    async def stop(self) -> None:
        await self.run(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await trio.to_thread.run_sync(self._thread.join)
        self._loop.close()

    async def run(self, function: Any) -> Any:
        """Awaits ``function()`` in the client's loop."""
        future = asyncio.run_coroutine_threadsafe(_call(function), self._loop)
        return await trio.to_thread.run_sync(future.result, PATIENCE)

    async def next(self, *kinds: str) -> tuple[Any, ...]:
        """The next thing seen of one of ``kinds``; others are passed over."""
        while True:
            thing = await trio.to_thread.run_sync(lambda: self.seen.get(timeout=PATIENCE))
            if thing[0] in kinds:
                return thing

    async def _stop(self) -> None:
        await self.client.disconnect()
        # The client closes its connections in tasks that nobody waits for.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=PATIENCE) if others else None

    async def _start(self) -> None:
        self.client = Client(
            self._address,
            token=self._token,
            events=_ClientEvents(self.seen),
            min_reconnect_delay=0.05,
        )
        self.subscription = self.client.new_subscription(
            TOPIC, events=_SubscriptionEvents(self.seen)
        )
        await self.client.connect()
        await self.subscription.subscribe()


async def _call(function: Any) -> Any:
    return await function()


class _ClientEvents(ClientEventHandler):
    def __init__(self, seen: Any) -> None:
        self._seen = seen

    async def on_connected(self, ctx: Any) -> None:
        self._seen.put(("connected", ctx.data))

    async def on_connecting(self, ctx: Any) -> None:
        self._seen.put(("connecting", ctx.code, ctx.reason))

    async def on_disconnected(self, ctx: Any) -> None:
        self._seen.put(("disconnected", ctx.code, ctx.reason))


class _SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self, seen: Any) -> None:
        self._seen = seen

    async def on_subscribed(self, ctx: Any) -> None:
        self._seen.put(("subscribed", ctx.was_recovering, ctx.recovered, ctx.data))

    async def on_publication(self, ctx: Any) -> None:
        self._seen.put(("publication", ctx.pub.offset, ctx.pub.data))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    environment = {"STREAMPAI_PING_INTERVAL": "1000", "STREAMPAI_MAX_CLIENT_QUEUE": "65536"}
    async with open_site(tmp_path, environment) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


@pytest.fixture
async def official(site: Site, visitor: Visitor) -> AsyncIterator[Official]:
    official = Official(site.url, visitor.token)
    await official.start()
    yield official
    await official.stop()


async def test_it_connects_subscribes_and_gets_publications(site: Site, official: Official) -> None:
    assert await official.next("connected") == ("connected", {"user": 1, "simulated": False})
    subscribed = await official.next("subscribed")
    assert subscribed == ("subscribed", False, False, {"snapshot": TOPIC})
    await site.publish(TOPIC, 1, 2)
    assert await official.next("publication") == ("publication", 1, {"n": 1})
    assert await official.next("publication") == ("publication", 2, {"n": 2})


async def test_its_calls_are_answered(site: Site, official: Official) -> None:
    await official.next("subscribed")
    await site.publish(TOPIC, 1, 2, store=True)
    data = {"id": "c-1", "platforms": ["twitch"]}
    result = await official.run(lambda: official.client.rpc("start_stream", data))
    assert result.data == {"accepted": "c-1"}
    history = await official.run(lambda: official.subscription.history(limit=10))
    assert [p.offset for p in history.publications] == [1, 2]
    presence = await official.run(official.subscription.presence)
    assert [info.user for info in presence.clients.values()] == ["1"]
    await official.run(official.subscription.unsubscribe)
    await eventually(lambda: site.pubsub.subscribers(TOPIC) == 0)


async def test_it_gets_what_it_missed_while_it_was_away(site: Site, official: Official) -> None:
    await official.next("subscribed")
    await site.publish(TOPIC, 1, store=True)
    await official.next("publication")
    for connection in list(site.server.connections):
        connection.abort()
    await eventually(lambda: not site.manager.present)
    await site.publish(TOPIC, 2, 3, store=True)
    assert (await official.next("subscribed"))[1:3] == (True, True)
    assert [(await official.next("publication"))[1] for _ in range(2)] == [2, 3]
    await site.publish(TOPIC, 4, store=True)
    assert (await official.next("publication"))[1] == 4


async def test_it_comes_back_after_it_was_slow(site: Site, official: Official) -> None:
    await official.next("subscribed")
    # More than the queue takes, at once: no reader could be quick enough.
    for number in range(1, 301):
        site.pubsub.publish(TOPIC, b'{"n":%d,"x":"%b"}' % (number, b"x" * 1_000))
    assert (await official.next("connecting"))[1:] == (3008, "slow")
    assert (await official.next("subscribed"))[1] is True
    await site.publish(TOPIC, 301)
    assert (await official.next("publication"))[1] == 301


async def test_it_comes_back_after_a_shutdown(site: Site, official: Official) -> None:
    await official.next("subscribed")
    site.scope.cancel()
    assert (await official.next("connecting"))[1] == 1
    await site.stop()


async def test_it_stays_away_when_the_log_in_has_ended(
    site: Site, visitor: Visitor, official: Official
) -> None:
    await official.next("subscribed")
    await visitor.http.delete("/api/session")
    assert await official.next("disconnected") == ("disconnected", 3500, "logged out")


async def test_it_answers_pings(site: Site, official: Official) -> None:
    await official.next("subscribed")
    await trio.sleep(2)
    assert len(site.manager.present) == 1
    assert not any(type(event).__name__ == "BrowserDisconnected" for event in site.events)
