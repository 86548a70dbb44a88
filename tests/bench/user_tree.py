"""What a user of the real daemon takes: logged in, everything running, no show.

Storage is real, Cloudflare and the platforms are played in this process without
sockets, so their few bytes for each user count as well.
"""

import tempfile
from datetime import UTC, datetime

import trio

from streampai.cloudflare import CloudflareClient
from streampai.livestream import LivestreamManager, Services
from streampai.platforms import PLATFORMS
from streampai.platforms.platform import PlatformContext
from streampai.runtime import PubSub, Registry
from streampai.settings import load_settings
from streampai.storage import Argon2Parameters, open_storage
from streampai.telemetry import Telemetry

from ..cloudflare.fake_cloudflare import ACCOUNT, TOKEN, FakeCloudflare
from .figures import Figure, apart, resident_memory

# The first ones pay for what all share.
FIRST, USERS = 20, 200

SETTINGS = {
    "STREAMPAI_CLOUDFLARE_URL": "http://cloudflare.test/client/v4",
    "STREAMPAI_CLOUDFLARE_ACCOUNT": ACCOUNT,
    "STREAMPAI_CLOUDFLARE_TOKEN": TOKEN,
    "STREAMPAI_CLOUDFLARE_REQUESTS": "1000000",
}

# Nobody tries to guess these passwords.
ARGON2 = Argon2Parameters(time_cost=1, memory=8, parallelism=1)


def _now():
    return datetime.now(UTC)


async def _kilobytes_and_tasks(data):
    settings = load_settings({**SETTINGS, "STREAMPAI_DATA": data})
    telemetry = Telemetry()
    async with (
        open_storage(settings.storage, telemetry=telemetry, now=_now, argon2=ARGON2) as storage,
        FakeCloudflare().http() as http,
        trio.open_nursery() as nursery,
    ):
        context = PlatformContext(settings=settings, http=http, telemetry=telemetry, now=_now)
        services = Services(
            settings=settings,
            storage=storage,
            pubsub=PubSub(history_size=settings.livestream.event_history_size),
            registry=Registry(),
            telemetry=telemetry,
            cloudflare=CloudflareClient(
                http, settings.cloudflare, timeout=10.0, telemetry=telemetry, now=_now
            ),
            platforms={name: make(context) for name, make in PLATFORMS.items()},
            now=_now,
        )
        manager = LivestreamManager(services=services)
        await nursery.start(manager.run)
        users = [
            (await storage.users.add(f"user{n}", f"a password {n}")).id
            for n in range(FIRST + USERS)
        ]
        await _up(manager, users[:FIRST])
        memory, tasks = resident_memory(), _tasks()
        await _up(manager, users[FIRST:])
        result = (resident_memory() - memory) / USERS / 1024, (_tasks() - tasks) / USERS
        nursery.cancel_scope.cancel()
    return result


async def _up(manager, users):
    for user_id in users:
        await manager.ensure_user(user_id)
    for user_id in users:
        # Its encoder's key is known when Cloudflare has been asked for everything.
        while b'"provisioned":true' not in manager.user(user_id).snapshot():  # noqa: ASYNC110
            await trio.sleep(0.01)  # a snapshot has nothing to wait on


def _tasks():
    return trio.lowlevel.current_statistics().tasks_living


def _measure():
    with tempfile.TemporaryDirectory() as data:
        return trio.run(_kilobytes_and_tasks, data)


def measure():
    memory, tasks = apart(_measure)
    yield Figure(
        target="T1", what=f"a real user without a show, {tasks:.0f} tasks", unit="KiB", ours=memory
    )
