"""Twitch against the sandbox's real wires, put together as the daemon does: log-in, tokens, monitor."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import trio

from streampai.events import (
    ChatMessageReceived,
    FollowReceived,
    MetadataChanged,
    MonitorStatus,
    MonitorStatusChanged,
    PlatformEvent,
    RaidReceived,
    SubscriptionKind,
    SubscriptionReceived,
    SupportReceived,
    decode_event,
    encode_event,
)
from streampai.platforms import (
    Account,
    AccountTokens,
    Platform,
    PlatformContext,
    PlatformMonitor,
    Tokens,
)
from streampai.platforms.twitch import TwitchPlatform
from streampai.runtime import CircuitBreaker, Registry, utc_now
from streampai.sandbox import Sandbox, open_sandbox
from streampai.sandbox.twitch_state import Channel, User
from streampai.settings import load_settings
from streampai.telemetry import Telemetry

BACK = "http://127.0.0.1/connections/callback"


@attrs.define
class World:
    sandbox: Sandbox
    platform: Platform
    account: Account
    keeper: AccountTokens
    log_in: Callable[[], Awaitable[Any]]
    monitor: PlatformMonitor | None = None
    saved: list[Tokens] = attrs.field(factory=list)
    relogins: list[str] = attrs.field(factory=list)
    events: list[PlatformEvent] = attrs.field(factory=list)
    told: trio.Event = attrs.field(factory=trio.Event)

    async def emit(self, event: PlatformEvent) -> None:
        await trio.lowlevel.checkpoint()
        self.events.append(event)
        self.told.set()
        self.told = trio.Event()

    async def until(self, holds: Callable[[list[PlatformEvent]], Any]) -> None:
        with trio.fail_after(5):
            while not holds(self.events):
                await self.told.wait()

    def channel_and_viewer(self) -> tuple[Channel, User]:
        twitch = self.sandbox.twitch
        return twitch.channel(twitch.user("pixel_pia")), twitch.user("moss_otter")

    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ChatMessageReceived)]

    def statuses(self) -> list[MonitorStatusChanged]:
        return [event for event in self.events if isinstance(event, MonitorStatusChanged)]

    def connected(self, times: int = 1) -> Callable[[list[PlatformEvent]], bool]:
        return lambda _: [s.status for s in self.statuses()].count(MonitorStatus.CONNECTED) >= times


async def log_in(platform: Platform, http: httpx.AsyncClient) -> Any:
    url = platform.authorize_url(state="s1", redirect_uri=BACK)
    answer = await http.get(f"{url}&sandbox_login=pixel_pia")
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["state"] == ["s1"]
    return await platform.exchange_code(code=query["code"][0], redirect_uri=BACK)


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    telemetry = Telemetry()
    async with (
        open_sandbox(base_port=0, seed=1) as sandbox,
        httpx.AsyncClient() as http,
        trio.open_nursery() as nursery,
    ):
        settings = load_settings({**sandbox.settings_environment(), "STREAMPAI_BACKOFF_BASE": "50"})
        platform = TwitchPlatform(
            PlatformContext(settings=settings, http=http, telemetry=telemetry, now=utc_now)
        )
        tokens, identity = await log_in(platform, http)

        async def save(fresh: Tokens) -> None:
            await trio.lowlevel.checkpoint()
            world.saved.append(fresh)

        async def relogin(reason: str) -> None:
            await trio.lowlevel.checkpoint()
            world.relogins.append(reason)

        async def validate() -> None:
            await world.account.validate()

        keeper = AccountTokens(
            user_id=42,
            platform="twitch",
            tokens=tokens,
            save=save,
            refresh=platform.refresh,
            relogin=relogin,
            validate=validate,
            now=utc_now,
            telemetry=telemetry,
        )
        account = platform.account(user_id=42, identity=identity, tokens=keeper)
        world = World(sandbox, platform, account, keeper, partial(log_in, platform, http))
        await nursery.start(keeper.run)
        world.monitor = PlatformMonitor(
            user_id=42,
            platform="twitch",
            account=account,
            emit=world.emit,
            registry=Registry(),
            settings=settings.platforms,
            telemetry=telemetry,
            now=utc_now,
            breaker=CircuitBreaker(),
        )
        await nursery.start(world.monitor.run)
        await world.until(world.connected())
        yield world
        nursery.cancel_scope.cancel()


async def test_a_show_is_heard_and_each_act_counts_once() -> None:
    async with open_world() as world:
        assert world.account.identity.login == "pixel_pia"
        assert world.statuses()[-1].not_subscribed == ()
        destination = await world.account.destination()
        assert destination.url == world.sandbox.urls["twitch_ingest"]
        assert destination.stream_key
        assert await world.account.viewers() is None
        user = {"user": "pixel_pia"}
        for act in ("follow", "subscribe", "raid"):
            world.sandbox.scenarios.play(act, user)
        world.sandbox.scenarios.play("gift_bomb", {**user, "count": 3})
        world.sandbox.scenarios.play("cheer", {**user, "bits": 250})
        sent = await world.account.send_chat("hello from us")
        await world.account.edit_metadata(title="Tea time", category=None)
        await world.until(lambda events: any(isinstance(e, MetadataChanged) for e in events))
        await world.until(
            lambda events: any(
                isinstance(e, ChatMessageReceived) and e.message_id == sent.message_id
                for e in events
            )
        )
        for kind in (FollowReceived, RaidReceived, SupportReceived):
            assert len([e for e in world.events if isinstance(e, kind)]) == 1, kind
        given = [e for e in world.events if isinstance(e, SubscriptionReceived)]
        assert [(e.kind, e.count) for e in given].count((SubscriptionKind.NEW, 1)) == 1
        assert [(e.kind, e.count) for e in given].count((SubscriptionKind.GIFT, 3)) == 1
        assert [e.kind for e in given].count(SubscriptionKind.GIFT_RECEIVED) == 3
        (support,) = [e for e in world.events if isinstance(e, SupportReceived)]
        assert support.amount == 250
        assert len({event.id for event in world.events}) == len(world.events)
        for event in world.events:
            assert decode_event(encode_event(event)).user_id == 42


async def test_a_lost_connection_comes_back_and_says_what_was_missed() -> None:
    async with open_world() as world:
        before = utc_now()
        assert world.sandbox.eventsub.cut("pixel_pia") == 1
        await world.until(world.connected(2))
        back = world.statuses()[-1]
        assert back.missed_from is not None and back.missed_until is not None
        assert back.missed_from <= before <= back.missed_until
        world.sandbox.scenarios.play("follow", {"user": "pixel_pia"})
        await world.until(lambda events: any(isinstance(e, FollowReceived) for e in events))


async def test_tokens_that_end_in_the_middle_are_renewed_unnoticed() -> None:
    async with open_world() as world:
        world.sandbox.twitch.expire_tokens()
        assert (await world.account.send_chat("still here")).message_id
        assert len(world.saved) == 1
        assert world.relogins == []


async def test_a_hand_over_between_sockets_is_unnoticed() -> None:
    async with open_world() as world:
        texts = [f"message {number}" for number in range(40)]
        for text in texts:
            if text in (texts[5], texts[20]):
                assert world.sandbox.eventsub.reconnect("pixel_pia") == 1
            world.sandbox.acts.say(*world.channel_and_viewer(), text)
            await trio.sleep(0.01)
        await world.until(lambda _: len(world.texts()) >= len(texts))
        assert sorted(world.texts()) == sorted(texts)
        assert [s.status for s in world.statuses()].count(MonitorStatus.CONNECTED) == 1


async def test_a_removed_authorisation_is_told_and_a_new_log_in_mends_it() -> None:
    async with open_world() as world:
        assert world.monitor is not None
        world.sandbox.twitch.revoke_grants(world.sandbox.twitch.user("pixel_pia"))
        await world.until(lambda _: world.statuses()[-1].status is MonitorStatus.RELOGIN_NEEDED)
        with trio.fail_after(5):
            while not world.relogins:
                await trio.lowlevel.checkpoint()
        tokens, _ = await world.log_in()
        world.keeper.replace(tokens)
        world.monitor.account_changed()
        await world.until(world.connected(2))
