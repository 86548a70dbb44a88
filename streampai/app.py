"""The whole tree, nested in start order; what opens first closes last.

    open_application(settings)
    ├── storage                 SQLite, its writer thread
    ├── http                    one httpx client for every service
    └── root nursery
        ├── livestream manager                      users in and out
        │   └── user_stream_manager/42 …            see livestream/user_manager.py
        └── web                                     Quart-Trio on Hypercorn; browser/…

Leaving the block tells the browsers first (close code 1001), then stops the
users' trees in reverse start order, then closes the clients, then drains the
store. Running streams are not ended: they are taken up at the next start.
"""

import fcntl
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from .cloudflare import CloudflareClient
from .errors import SettingsError
from .livestream import LivestreamManager, Services
from .platforms import PLATFORMS
from .platforms.platform import Now, Platform, PlatformContext
from .runtime import (
    ChildSpec,
    ChildType,
    PubSub,
    Registry,
    Supervisor,
    collect_garbage_forever,
    utc_now,
)
from .settings import Secret, Settings
from .storage import Storage, open_storage
from .telemetry import Telemetry
from .telemetry.metrics import Metrics
from .telemetry.task_tree import task_tree
from .web import WebServer, open_web

# Connections to all services together; a thousand users' polls and commands go
# through limiters long before they need so many.
MAX_CONNECTIONS = 100
# Users that left are collected in full so often; it stops the loop for a moment.
FULL_COLLECTION = 3600.0


@attrs.frozen(kw_only=True)
class Application:
    """A running daemon. ``urls`` are where it listens."""

    settings: Settings
    urls: list[str]
    storage: Storage
    platforms: Mapping[str, Platform]
    manager: LivestreamManager
    services: Services
    web: WebServer

    def health(self) -> Mapping[str, Any]:
        """``status`` healthy or degraded, ``reasons`` as sentences, and the numbers behind them."""
        return _health(self.manager, self.storage)


@asynccontextmanager
async def open_application(
    settings: Settings, *, telemetry: Telemetry | None = None, now: Now = utc_now
) -> AsyncIterator[Application]:
    """Run the daemon while the block lasts; entering returns when it serves.

    Raises SettingsError when the port cannot be had, StorageUnavailable when the
    store cannot be opened. Must be left within ``settings.web.shutdown_grace``
    plus what the store needs; cancelling the block from outside does the same.
    """
    telemetry = telemetry if telemetry is not None else Telemetry()
    settings = _with_admin_key(settings)
    metrics = Metrics(telemetry)
    async with (
        open_storage(settings.storage, telemetry=telemetry, now=now) as storage,
        _alone(settings.storage.data),
        _open_http(settings) as http,
    ):
        context = PlatformContext(settings=settings, http=http, telemetry=telemetry, now=now)
        services = Services(
            settings=settings,
            storage=storage,
            pubsub=PubSub(history_size=settings.livestream.event_history_size),
            registry=Registry(),
            telemetry=telemetry,
            cloudflare=CloudflareClient(
                http,
                settings.cloudflare,
                timeout=settings.platforms.api_call_timeout,
                telemetry=telemetry,
                now=now,
            ),
            platforms={name: make(context) for name, make in PLATFORMS.items()},
            now=now,
        )
        manager = LivestreamManager(services=services)
        root = _root(manager)
        web = open_web(
            settings,
            storage=storage,
            manager=manager,
            pubsub=services.pubsub,
            platforms=services.platforms,
            telemetry=telemetry,
            health=lambda: _health(manager, storage),
            tree=lambda: task_tree(root.tree()),
            metrics=metrics.render,
            now=now,
        )
        async with trio.open_nursery() as users:
            collect = partial(collect_garbage_forever, interval=FULL_COLLECTION)
            users.start_soon(collect, name="garbage_collector")
            await users.start(root.run, name="root")
            async with trio.open_nursery() as front:
                urls = await front.start(web.run, name="web")
                _write_admin_key(settings)
                yield Application(
                    settings=settings,
                    urls=urls,
                    storage=storage,
                    platforms=services.platforms,
                    manager=manager,
                    services=services,
                    web=web,
                )
                front.cancel_scope.cancel()
            users.cancel_scope.cancel()


def _root(manager: LivestreamManager) -> Supervisor:
    """Gives the users' trees their room; a livestream manager that fails takes the daemon
    along, and whoever runs the daemon starts it afresh."""
    child = ChildSpec(id="livestream_manager", start=manager.run, type=ChildType.SUPERVISOR)
    return Supervisor([child], name="root", max_restarts=0)


def _health(manager: LivestreamManager, storage: Storage) -> Mapping[str, Any]:
    numbers = manager.status()
    reasons = []
    if storage.trouble:
        reasons.append(f"the store cannot be written: {storage.trouble}")
    if restarting := numbers["restarting"]:
        reasons.append(f"{len(restarting)} users are between two lives")
    for status, sentence in (
        ("waiting", "monitors wait to connect again"),
        ("relogin_needed", "accounts need a log-in"),
    ):
        if number := numbers["monitors"].get(status):
            reasons.append(f"{number} {sentence}")
    return {"status": "degraded" if reasons else "healthy", "reasons": reasons, **numbers}


def _with_admin_key(settings: Settings) -> Settings:
    """The operator's key, or a new one for whoever can read the data directory."""
    if settings.web.admin_key:
        return settings
    key = Secret(secrets.token_urlsafe(32))
    return attrs.evolve(settings, web=attrs.evolve(settings.web, admin_key=key))


def _write_admin_key(settings: Settings) -> None:
    path = settings.storage.data / "admin-token"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(settings.web.admin_key.reveal() + "\n")
    fresh.replace(path)


@asynccontextmanager
async def _alone(data: Path) -> AsyncIterator[None]:
    """One daemon per data directory: two would fight over the same shows.

    Commands such as ``streampai user`` use the store beside it. The kernel gives the
    lock back however the process ends.
    """
    with (data / "daemon.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"STREAMPAI_DATA={data}: another daemon runs here.") from None
        yield


@asynccontextmanager
async def _open_http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """One client for all: building its TLS context costs more than a thousand requests."""
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=settings.platforms.api_call_timeout,
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
        # Proxies of the environment are for people, not for a daemon that talks to
        # named services; a redirect from an API is an error to be seen.
        trust_env=False,
        follow_redirects=False,
    ) as http:
        yield http
