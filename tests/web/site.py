"""A web server on loopback with the real store and topics, and a manager that only remembers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import orjson
import trio

from streampai import names
from streampai.commands import Command
from streampai.errors import CommandRefused, StreampaiError
from streampai.runtime import PubSub, utc_now
from streampai.settings import Secret, Settings, load_settings
from streampai.storage import Argon2Parameters, EventRow, Storage, User, open_storage
from streampai.telemetry import Telemetry
from streampai.telemetry.events import RequestRefused, TelemetryEvent
from streampai.telemetry.task_tree import task_tree
from streampai.web import WebServer, open_web

from .raw_socket import RawSocket

PASSWORD = "correct horse"
QUICK = Argon2Parameters(time_cost=1, memory=8)
# No connections are kept, so that the server's are those that a test has opened.
ONE_REQUEST = httpx.Limits(max_keepalive_connections=0)
# Nothing in these tests takes as long; what hangs fails instead.
PATIENCE = 10.0


class FakeUser:
    """A user's tree as the web part sees it."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.commands: list[Command] = []
        self.changed: list[str] = []
        self.refusal: StreampaiError | None = None
        self.hold: trio.Event | None = None
        self.asked = trio.Event()

    async def submit(self, command: Command) -> None:
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        self.commands.append(command)

    def snapshot(self) -> bytes:
        destination = {"platform": "twitch", "title": "Twitch", "enabled": True}
        return orjson.dumps({"revision": 1, "state": "offline", "destinations": [destination]})

    def topic_snapshot(self, topic: str) -> bytes | None:
        return orjson.dumps({"snapshot": topic})

    def topics(self) -> list[str]:
        return [
            names.user_stream_topic(self.user_id),
            names.statistics_topic(self.user_id),
            names.cloudflare_input_topic(self.user_id),
            names.stream_lifecycle_topic(self.user_id),
            names.platform_topic("twitch", self.user_id),
        ]

    async def account_changed(self, platform: str) -> None:
        self.changed.append(platform)

    async def stream_key(self) -> tuple[str, Secret]:
        return "rtmps://ingest.example/live", Secret("the-stream-key")


class FakeManager:
    def __init__(self, storage: Storage, pubsub: PubSub) -> None:
        self._storage = storage
        self._pubsub = pubsub
        self.users: dict[int, FakeUser] = {}
        self.present: list[tuple[str, int]] = []
        self.logged_out_sessions: list[str] = []
        self.refusal: StreampaiError | None = None

    async def ensure_user(self, user_id: int) -> FakeUser:
        if self.refusal is not None:
            raise self.refusal
        if user_id not in self.users:
            user = FakeUser(user_id)
            for topic in user.topics():
                if topic.startswith(("platform:", "stream_lifecycle:")):
                    epoch, offset = await self._storage.events.position(topic)
                    rows = await self._storage.events.last(topic, 100)
                    self._pubsub.open_topic(topic, epoch=epoch, offset=offset, publications=rows)
                else:
                    self._pubsub.open_topic(topic, history_size=1)
            self.users[user_id] = user
        return self.users[user_id]

    def user(self, user_id: int) -> FakeUser:
        if user_id not in self.users:
            raise CommandRefused(code="user_restarting")
        return self.users[user_id]

    def browser_connected(self, session_id: str, user_id: int) -> None:
        self.present.append((session_id, user_id))

    def browser_disconnected(self, session_id: str) -> None:
        self.present.remove(next(entry for entry in self.present if entry[0] == session_id))

    async def logged_in(self, user_id: int) -> None:
        await self.ensure_user(user_id)

    async def logged_out(self, session_id: str, user_id: int) -> None:
        self.logged_out_sessions.append(session_id)


@attrs.define
class Visitor:
    """Somebody's browser: an HTTP client with the session's cookie, and its token."""

    http: httpx.AsyncClient
    user: User
    token: str
    csrf: str


@attrs.define
class Site:
    settings: Settings
    storage: Storage
    manager: FakeManager
    pubsub: PubSub
    server: WebServer
    nursery: trio.Nursery
    events: list[TelemetryEvent]
    _stack: AsyncExitStack
    health: dict[str, Any] = attrs.field(factory=lambda: {"status": "healthy"})
    url: str = ""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    stopped: trio.Event = attrs.field(factory=trio.Event)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def refusals(self) -> list[tuple[str, str]]:
        return [(e.code, e.where) for e in self.events if isinstance(e, RequestRefused)]

    async def visitor(self, name: str = "demo", *, admin: bool = False) -> Visitor:
        """A user, made on first mention, whose browser has logged in."""
        user = await self.storage.users.by_name(name)
        if user is None:
            user = await self.storage.users.add(name, PASSWORD, admin=admin)
        http = await self._stack.enter_async_context(
            httpx.AsyncClient(verify=False, base_url=self.url, limits=ONE_REQUEST)
        )
        http.headers["Origin"] = self.url
        answer = await http.post("/api/session", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        token = next(iter(http.cookies.values()))
        return Visitor(http, user, token, answer.json()["csrf"])

    async def socket(self, visitor: Visitor | None = None, **headers: str) -> RawSocket:
        """A WebSocket that has been accepted; nothing has been said yet."""
        if visitor is not None:
            headers.setdefault("Cookie", f"streampai={visitor.token}")
        return await RawSocket.open(await self.connection(), self.port, headers)

    async def connection(self) -> trio.SocketStream:
        """A bare TCP connection that holds little of what its owner does not read."""
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4_096)
        try:
            await sock.connect(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        stream = trio.SocketStream(sock)
        self._stack.push_async_callback(stream.aclose)
        return stream

    async def browser(self, visitor: Visitor) -> RawSocket:
        """A WebSocket that is connected in the protocol's sense."""
        socket = await self.socket(visitor)
        answer = await socket.ask(connect={})
        assert "connect" in answer, answer
        return socket

    async def publish(self, topic: str, *numbers: int, store: bool = False) -> None:
        """Publications ``{"n": number}``; with ``store`` also into the store, as the daemon does."""
        owner = names.topic_owner(topic)
        assert owner is not None
        for number in numbers:
            data = b'{"n":%d}' % number
            if store:
                _, top = await self.storage.events.position(topic)
                sequence = await self.storage.events.last_sequence(owner) + 1
                row = EventRow(
                    topic=topic,
                    offset=top + 1,
                    sequence=sequence,
                    event_id=None,
                    kind="test",
                    occurred_at=datetime.now(UTC),
                    payload=data,
                )
                await self.storage.events.append(owner, None, [row])
            self.pubsub.publish(topic, data)

    async def stop(self) -> None:
        """Stops the server as the daemon does; returns when it is done."""
        self.scope.cancel()
        await self.stopped.wait()


async def eventually(condition: Callable[[], object]) -> None:
    """Returns once ``condition`` holds; something else makes it true."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await trio.sleep(0.01)


def quick_settings(data: Path, environment: Mapping[str, str] = {}) -> Settings:  # noqa: B006
    return load_settings(
        {
            "STREAMPAI_PORT": "0",
            "STREAMPAI_DATA": str(data),
            "STREAMPAI_ADMIN_KEY": "the-admin-key",
            "STREAMPAI_SHUTDOWN_GRACE": "3000",
            **environment,
        }
    )


@asynccontextmanager
async def open_site(
    data: Path,
    environment: Mapping[str, str] = {},  # noqa: B006
    *,
    platforms: Mapping[str, Any] = {},  # noqa: B006
    **options: Any,
) -> AsyncIterator[Site]:
    settings = quick_settings(data, environment)
    telemetry = Telemetry()
    events: list[TelemetryEvent] = []
    telemetry.attach(events.append)
    pubsub = PubSub(history_size=settings.livestream.event_history_size)
    with trio.fail_after(3 * PATIENCE):
        async with (
            open_storage(settings.storage, argon2=QUICK) as storage,
            trio.open_nursery() as nursery,
            AsyncExitStack() as stack,
        ):
            manager = FakeManager(storage, pubsub)
            health: dict[str, Any] = {"status": "healthy"}
            server = open_web(
                settings,
                storage=storage,
                manager=manager,  # type: ignore[arg-type]
                pubsub=pubsub,
                platforms=platforms,
                telemetry=telemetry,
                health=lambda: health,
                tree=task_tree,
                metrics=lambda: b"# metrics\n",
                now=utc_now,
                **options,
            )
            site = Site(
                settings, storage, manager, pubsub, server, nursery, events, stack, health=health
            )
            await nursery.start(partial(_run, site))
            yield site
            await stack.aclose()
            nursery.cancel_scope.cancel()


async def _run(site: Site, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    class Started:
        def started(self, urls: list[str]) -> None:
            [site.url] = urls
            task_status.started(urls)

    with site.scope:
        await site.server.run(task_status=Started())  # type: ignore[arg-type]
    site.stopped.set()
