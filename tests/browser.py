"""A browser for tests: logs in over HTTP, speaks the Centrifuge protocol over a WebSocket.

It is stricter than the official libraries: a gap or a double in a recoverable
topic is an error at once, and what a resume could not give is named.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import attrs
import httpx
import orjson
import trio

from streampai.runtime import WebSocketClosed, open_websocket

PATIENCE = 15.0


@attrs.define
class Seen:
    """What a browser knows of one topic."""

    epoch: str = ""
    offset: int = 0
    data: list[dict[str, Any]] = attrs.field(factory=list)
    snapshot: Any = None
    recovered: bool = False
    gaps: list[tuple[int, int]] = attrs.field(factory=list)

    @property
    def last(self) -> dict[str, Any]:
        return self.data[-1] if self.data else self.snapshot


class Gone(Exception):
    """The server closed the WebSocket."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}")


@attrs.define(eq=False)
class Browser:
    """One log-in. ``topics`` outlives connections, as a page that reconnects does."""

    url: str
    http: httpx.AsyncClient
    csrf: str = ""
    user_id: int = 0
    topics: dict[str, Seen] = attrs.field(factory=dict)
    closed: Gone | None = None
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _replies: dict[int, Any] = attrs.field(factory=dict)
    _next_id: int = 0
    _socket: Any = None

    async def log_in(self, name: str, password: str) -> httpx.Response:
        answer = await self.http.post(
            "/api/session",
            json={"username": name, "password": password},
            headers={"Origin": self.url},
        )
        if answer.status_code == 200:
            self.csrf = answer.json()["csrf"]
            self.user_id = answer.json()["user"]["id"]
        return answer

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"X-CSRF-Token": self.csrf, "Origin": self.url}
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str) -> Any:
        answer = await self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # --- the WebSocket --------------------------------------------------------------

    @asynccontextmanager
    async def connected(self, *topics: str, origin: str | None = None) -> AsyncIterator["Browser"]:
        """Connect and subscribe; topics known from before are resumed at their position."""
        cookies = "; ".join(f"{c.name}={c.value}" for c in self.http.cookies.jar)
        address = self.url.replace("http", "ws", 1) + "/connection/websocket"
        headers = [("Cookie", cookies), ("Origin", origin or self.url)]
        self.closed = None
        async with trio.open_nursery() as nursery:
            async with open_websocket(
                address, headers=headers, connect_timeout=PATIENCE, queue=1024
            ) as self._socket:
                nursery.start_soon(self._read, self._socket)
                await self.ask("connect", {"name": "tests"})
                for topic in topics or self.default_topics():
                    await self.subscribe(topic)
                yield self
            nursery.cancel_scope.cancel()

    def default_topics(self) -> list[str]:
        user = self.user_id
        return [
            f"user_stream:{user}",
            f"user_stream:{user}:statistics",
            f"cloudflare_input:{user}",
            f"stream_lifecycle:{user}",
            f"platform:twitch:{user}",
        ]

    async def _read(self, socket: Any) -> None:
        while True:
            try:
                frame = await socket.receive()
            except WebSocketClosed as closed:
                self.closed = Gone(closed.code, closed.reason)
                self._tell()
                return
            for line in frame.split("\n"):
                message = orjson.loads(line)
                if not message:
                    await socket.send("{}")
                elif "id" in message:
                    self._take_reply(message)
                elif "push" in message:
                    self._take(message["push"])
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _take(self, push: dict[str, Any]) -> None:
        if "pub" not in push:
            return
        topic = self.topics[push["channel"]]
        publication = push["pub"]
        offset = publication.get("offset", topic.offset + 1)
        assert offset == topic.offset + 1, f"{push['channel']}: {offset} came after {topic.offset}"
        topic.offset = offset
        topic.data.append(publication["data"])

    async def ask(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """The reply's result; raises AssertionError with the protocol's error."""
        reply = await self.try_to(method, body)
        assert "error" not in reply, reply["error"]
        result: dict[str, Any] = reply[method]
        return result

    async def try_to(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        self._next_id += 1
        number = self._next_id
        if method == "subscribe":
            # Its reply is taken up in the reader: publications may follow at once.
            self._replies[number] = body
        await self._socket.send(orjson.dumps({"id": number, method: body}).decode())
        await self.until(lambda: isinstance(self._replies.get(number), Reply))
        reply: dict[str, Any] = self._replies.pop(number).body
        return reply

    def _take_reply(self, message: dict[str, Any]) -> None:
        asked = self._replies.get(message["id"])
        if isinstance(asked, dict) and "subscribe" in message:
            self._take_subscription(asked, message["subscribe"])
        self._replies[message["id"]] = Reply(message)

    async def subscribe(self, name: str) -> dict[str, Any]:
        topic = self.topics.get(name)
        body: dict[str, Any] = {"channel": name}
        if topic is not None:
            body |= {"recover": True, "offset": topic.offset, "epoch": topic.epoch}
        return await self.ask("subscribe", body)

    def _take_subscription(self, asked: dict[str, Any], result: dict[str, Any]) -> None:
        topic = self.topics.setdefault(asked["channel"], Seen())
        topic.recovered = result.get("recovered", False)
        if topic.recovered:
            for publication in result.get("publications", ()):
                assert publication["offset"] == topic.offset + 1
                topic.offset = publication["offset"]
                topic.data.append(publication["data"])
            return
        if "recover" in asked:
            topic.gaps.append((topic.offset, result.get("offset", 0)))
        topic.epoch, topic.offset = result.get("epoch", ""), result.get("offset", 0)
        topic.snapshot = result.get("data")
        if isinstance(topic.snapshot, dict) and "events" in topic.snapshot:
            known = {event.get("id") for event in topic.data}
            topic.data.extend(
                row["data"]
                for row in topic.snapshot["events"]
                if row["data"].get("id") not in known
            )

    async def until(self, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Wait for what the pushes bring; returns what ``condition`` gave."""
        with trio.move_on_after(patience):
            while not (result := condition()):
                if self.closed is not None:
                    raise self.closed
                await self._changed.wait()
            return result
        raise AssertionError(f"not within {patience} s; state: {self.state}")

    # --- what the page shows ----------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        last: dict[str, Any] = self.topics[f"user_stream:{self.user_id}"].last
        return last

    @property
    def statistics(self) -> dict[str, Any]:
        last: dict[str, Any] = self.topics[f"user_stream:{self.user_id}:statistics"].last
        return last

    @property
    def lifecycle(self) -> list[dict[str, Any]]:
        return self.topics[f"stream_lifecycle:{self.user_id}"].data

    def events(self, platform: str = "twitch", kind: str = "") -> list[dict[str, Any]]:
        data = self.topics[f"platform:{platform}:{self.user_id}"].data
        return [event for event in data if kind in ("", event["type"])]

    def destination(self, platform: str = "twitch") -> dict[str, Any]:
        found: dict[str, Any] = next(
            d for d in self.state["destinations"] if d["platform"] == platform
        )
        return found

    async def until_state(self, word: str, patience: float = PATIENCE) -> None:
        await self.until(lambda: self.state["state"] == word, patience)

    async def command(self, method: str, **data: Any) -> dict[str, Any]:
        """Send a command over RPC and wait for its outcome event."""
        command_id = data.pop("id", None) or uuid4().hex
        reply = await self.ask("rpc", {"method": method, "data": {"id": command_id, **data}})
        assert reply["data"]["accepted"] == command_id
        return await self.outcome(command_id)

    async def outcome(self, command_id: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for event in self.lifecycle:
                if event.get("command_id") == command_id:
                    return event
            return None

        result: dict[str, Any] = await self.until(found)
        return result

    async def done(self, method: str, **data: Any) -> dict[str, Any]:
        outcome = await self.command(method, **data)
        assert outcome["type"] == "command_done", outcome
        return outcome


@attrs.frozen
class Reply:
    body: dict[str, Any]


@asynccontextmanager
async def open_browser(url: str) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as http:
        yield Browser(url=url, http=http)
