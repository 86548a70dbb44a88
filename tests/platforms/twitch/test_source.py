"""EventSub against a server on loopback. Real sockets, real clock, short patience."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.errors import (
    PlatformRefused,
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
    StreampaiError,
)
from streampai.events import ChatMessageReceived
from streampai.platforms.recent_ids import RecentIds
from streampai.platforms.twitch.client import TwitchClient
from streampai.platforms.twitch.connection import EventSubConnection
from streampai.platforms.twitch.models import Unreadable
from streampai.platforms.twitch.socket import Patience
from streampai.platforms.twitch.source import EventSubSource
from streampai.platforms.twitch.subscriptions import AT_ONCE, WANTED
from streampai.runtime import TokenBucket, utc_now
from streampai.telemetry import Telemetry
from streampai.telemetry.events import PlatformEventDropped, TelemetryEvent

from ..fakes import FakeTokens, spy_on
from .fake_eventsub import FakeEventSub, open_fake_eventsub
from .fake_helix import FakeHelix, Reply, Request, error, make_api, settings_for_tests

ALL = [wanted.type for wanted in WANTED]
CREATE = "POST eventsub/subscriptions"


@attrs.define
class World:
    eventsub: FakeEventSub
    helix: FakeHelix
    tokens: FakeTokens
    told: list[TelemetryEvent]
    telemetry: Telemetry
    seen: RecentIds
    patience: Patience

    def source(self, **settings: str) -> EventSubSource:
        twitch = settings_for_tests(self.eventsub.url, **settings).twitch
        client = TwitchClient(
            make_api(self.helix, self.telemetry),
            twitch,
            broadcaster="7001",
            tokens=self.tokens,
            bucket=TokenBucket(rate=1000, burst=1000, name="test"),
            now=utc_now,
        )
        return EventSubSource(
            user_id=42,
            broadcaster="7001",
            client=client,
            tokens=self.tokens,
            seen=self.seen,
            settings=twitch,
            telemetry=self.telemetry,
            now=utc_now,
            patience=self.patience,
        )

    def open(self) -> AbstractAsyncContextManager[EventSubConnection]:
        return self.source().open()

    def dropped(self) -> list[str]:
        return [e.reason for e in self.told if isinstance(e, PlatformEventDropped)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    telemetry = Telemetry()
    async with open_fake_eventsub() as eventsub:
        yield World(
            eventsub=eventsub,
            helix=FakeHelix(),
            tokens=FakeTokens(),
            told=spy_on(telemetry),
            telemetry=telemetry,
            seen=RecentIds(lifetime=600, capacity=1000),
            patience=Patience(connect=2.0, welcome=0.3, reconnect=0.6, drain=0.3),
        )


async def next_texts(connection: EventSubConnection, count: int) -> list[str]:
    """The texts of the next chat messages."""
    texts = []
    with trio.fail_after(5):
        while len(texts) < count:
            texts.append((await connection.channel.receive()).event.text("message_id"))
    return texts


async def rest_of(connection: EventSubConnection) -> list[Any]:
    """What still comes until the channel ends."""
    with trio.fail_after(5):
        return [item async for item in connection.channel]


async def failure_of(context: AbstractAsyncContextManager[EventSubConnection]) -> StreampaiError:
    """Why a connection ended, or could not be made."""
    with pytest.raises(StreampaiError) as caught, trio.fail_after(5):
        async with context as connection:
            async for _ in connection.channel:
                pass
    return caught.value


async def test_entering_subscribes_to_all_that_is_wanted_with_chat_among_the_first(
    world: World,
) -> None:
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        assert socket.path == "/ws?keepalive_timeout_seconds=10"
        asked = world.helix.subscribed(socket.session_id)
        assert "channel.chat.message" in asked[:AT_ONCE]
        assert sorted(asked) == sorted(ALL)
        assert connection.not_subscribed == ()
    conditions = {r.json["type"]: r.json["condition"] for r in world.helix.asked(CREATE)}
    me = "7001"
    assert conditions["channel.chat.message"] == {"broadcaster_user_id": me, "user_id": me}
    assert conditions["channel.follow"] == {"broadcaster_user_id": me, "moderator_user_id": me}
    assert conditions["channel.raid"] == {"to_broadcaster_user_id": me}


async def test_a_notification_comes_out_and_is_normalised(world: World) -> None:
    source = world.source()
    async with source.open() as connection:
        socket = await world.eventsub.next_socket()
        await socket.notify("hello")
        notification = await connection.channel.receive()
    (event,) = source.normalise(notification, utc_now())
    assert isinstance(event, ChatMessageReceived)
    assert (event.id, event.user_id, event.text) == ("twitch:hello", 42, "hello")


async def test_nothing_is_ever_sent_to_twitch(world: World) -> None:
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        await socket.notify("one")
        await next_texts(connection, 1)
    await socket.closed.wait()
    assert socket.inbound == []


async def test_silence_beyond_the_keepalive_is_a_broken_connection(world: World) -> None:
    world.eventsub.keepalive = 1
    failure = await failure_of(world.open())
    assert isinstance(failure, PlatformUnavailable)
    assert failure.message == "Twitch has been silent for 1.3 s"


async def test_keepalives_are_life_and_slow_subscribing_does_not_eat_them(world: World) -> None:
    world.eventsub.keepalive = 1

    def slowly(request: Request) -> Reply:
        return attrs.evolve(world.helix._subscribed(request), after=0.25)

    world.helix.on[CREATE] = slowly

    async def keep_alive() -> None:
        socket = await world.eventsub.next_socket()
        for _ in range(6):
            await socket.keepalive()
            await trio.sleep(0.4)
        await socket.notify("still here")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_alive)
        async with world.open() as connection:
            assert await next_texts(connection, 1) == ["still here"]
            assert trio.current_time() - connection.last_heard < 1


async def test_without_a_welcome_there_is_no_connection(world: World) -> None:
    world.eventsub.welcomes = lambda _: False
    failure = await failure_of(world.open())
    assert isinstance(failure, PlatformUnavailable)
    assert "welcome" in failure.message


async def test_a_refused_handshake_is_unavailable(world: World) -> None:
    world.eventsub.rejects = lambda _: True
    assert isinstance(await failure_of(world.open()), PlatformUnavailable)


async def test_a_dead_address_is_unavailable(world: World) -> None:
    world.eventsub.port = 1
    assert isinstance(await failure_of(world.open()), PlatformUnavailable)


@pytest.mark.parametrize("code", [4000, 4001, 4002, 4003, 4004, 4005, 4006, 4007, 1000, 1011])
async def test_whatever_came_before_a_close_is_delivered_and_the_code_is_told(
    world: World, code: int
) -> None:
    with pytest.raises(PlatformUnavailable) as caught:
        async with world.open() as connection:
            socket = await world.eventsub.next_socket()
            await socket.notify("last")
            await socket.close(code)
            assert len(await rest_of(connection)) == 1
    assert caught.value.details == {"close_code": code}


async def test_a_dropped_socket_is_a_broken_connection(world: World) -> None:
    with pytest.raises(PlatformUnavailable) as caught:
        async with world.open() as connection:
            await (await world.eventsub.next_socket()).drop()
            assert await rest_of(connection) == []
    assert caught.value.details == {"close_code": 1006}


async def test_a_socket_that_dies_while_it_is_subscribed_ends_the_attempt(world: World) -> None:
    world.helix.on[CREATE] = lambda request: Reply(500, after=0.2)

    async def close() -> None:
        await (await world.eventsub.next_socket()).close(4005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        failure = await failure_of(world.open())
    assert failure.details == {"close_code": 4005}


async def test_cancelling_closes_the_socket_at_once(world: World) -> None:
    with trio.CancelScope() as scope:
        async with world.open():
            socket = await world.eventsub.next_socket()
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    with trio.fail_after(1):
        await socket.closed.wait()


async def test_an_error_of_ours_passes_out_of_the_block_as_it_is(world: World) -> None:
    with pytest.raises(PlatformRefused, match="by the body"):
        async with world.open():
            raise PlatformRefused("by the body")


# --- Duplicates and the unreadable ----------------------------------------------


async def test_a_repeated_message_id_is_dropped_also_on_the_next_connection(world: World) -> None:
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        await socket.notify("one", message_id="same")
        await socket.notify("one", message_id="same")
        await socket.notify("two")
        assert await next_texts(connection, 2) == ["one", "two"]
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        await socket.notify("one", message_id="same")
        await socket.notify("three")
        assert await next_texts(connection, 1) == ["three"]
    assert world.dropped() == ["duplicate", "duplicate"]


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(hours=1), timedelta(hours=-1)])
async def test_age_is_judged_by_twitchs_clock(world: World, ahead: timedelta) -> None:
    world.eventsub.clock_ahead = ahead
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        old = world.eventsub.timestamp(ago=timedelta(minutes=11))
        await socket.notify("old", message_timestamp=old)
        await socket.notify("fresh")
        assert await next_texts(connection, 1) == ["fresh"]
    assert world.dropped() == ["stale"]


async def test_a_frame_that_is_no_message_is_handed_on_as_unreadable(world: World) -> None:
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        assert socket.wire is not None
        await socket.wire.send_message("{not json")
        await socket.send("hologram", {"who": "knows"})
        await socket.notify("after")
        assert await connection.channel.receive() == Unreadable(reason="frame is not JSON")
        assert await next_texts(connection, 1) == ["after"]


# --- Subscriptions that fail ------------------------------------------------------


async def test_a_refused_subscription_is_named_and_harms_no_other(world: World) -> None:
    def answer(request: Request) -> Reply:
        if request.json["type"] in ("channel.follow", "channel.ban"):
            return error(403, "subscription missing proper authorization")
        if request.json["type"] == "channel.raid":
            return error(409, "subscription already exists")
        return world.helix._subscribed(request)

    world.helix.on[CREATE] = answer
    async with world.open() as connection:
        assert connection.not_subscribed == ("channel.follow", "channel.ban")


async def test_no_subscription_at_all_is_a_refusal(world: World) -> None:
    world.helix.on[CREATE] = lambda _: error(403, "subscription missing proper authorization")
    failure = await failure_of(world.open())
    assert isinstance(failure, PlatformRefused)
    assert "missing proper authorization" in failure.message


async def test_chat_that_cannot_be_subscribed_now_ends_the_attempt(world: World) -> None:
    def answer(request: Request) -> Reply:
        if request.json["type"] == "channel.chat.message":
            return error(503, "later")
        return world.helix._subscribed(request)

    world.helix.on[CREATE] = answer
    assert isinstance(await failure_of(world.open()), PlatformUnavailable)


async def test_what_failed_for_a_while_is_asked_for_again(world: World) -> None:
    world.patience = attrs.evolve(world.patience, late=0.1)
    answers = [500, 500, 500]
    again = trio.Event()

    def answer(request: Request) -> Reply:
        if request.json["type"] == "channel.raid":
            if answers:
                return error(answers.pop(), "not now")
            again.set()
        return world.helix._subscribed(request)

    world.helix.on[CREATE] = answer
    async with world.open() as connection:
        assert connection.not_subscribed == ("channel.raid",)
        with trio.fail_after(2):
            await again.wait()
            # The answer is on its way; nothing tells of its arrival but this.
            while connection.not_subscribed:
                await trio.lowlevel.checkpoint()


async def test_a_token_that_has_ended_is_renewed_once(world: World) -> None:
    world.tokens.renewals = ["access-1"]

    def answer(request: Request) -> Reply:
        if request.token == "access-0":
            return error(401, "Invalid OAuth token")
        return world.helix._subscribed(request)

    world.helix.on[CREATE] = answer
    async with world.open() as connection:
        assert connection.not_subscribed == ()
    assert world.tokens.renewed == 1


async def test_a_missing_scope_is_no_reason_to_renew(world: World) -> None:
    world.tokens.renewals = ["access-1"]

    def answer(request: Request) -> Reply:
        if request.json["type"] == "channel.ban":
            return error(401, "Missing scope: channel:moderate")
        return world.helix._subscribed(request)

    world.helix.on[CREATE] = answer
    async with world.open() as connection:
        assert connection.not_subscribed == ("channel.ban",)
    assert world.tokens.renewed == 0


async def test_tokens_that_cannot_be_renewed_need_a_log_in(world: World) -> None:
    world.helix.on[CREATE] = lambda _: error(401, "Invalid OAuth token")
    assert isinstance(await failure_of(world.open()), ReloginNeeded)


async def test_a_full_quota_is_cleaned_up_and_asked_again(world: World) -> None:
    full = True

    def answer(request: Request) -> Reply:
        if full:
            return error(
                429, "number of websocket transports limit exceeded", Ratelimit_Remaining="500"
            )
        return world.helix._subscribed(request)

    def delete(request: Request) -> Reply:
        nonlocal full
        full = False
        return Reply(204)

    stale = {"id": "old", "type": "channel.raid", "status": "websocket_disconnected"}
    live = {"id": "live", "type": "channel.raid", "status": "enabled"}
    world.helix.on[CREATE] = answer
    world.helix.on["GET eventsub/subscriptions"] = lambda _: Reply(200, {"data": [stale, live]})
    world.helix.on["DELETE eventsub/subscriptions"] = delete
    async with world.open() as connection:
        assert connection.not_subscribed == ()
    (deleted,) = world.helix.asked("DELETE eventsub/subscriptions")
    assert deleted.params == {"id": "old"}


async def test_a_quota_that_stays_full_is_waited_for(world: World) -> None:
    world.helix.on[CREATE] = lambda _: error(429, "max_total_cost", Ratelimit_Remaining="500")
    failure = await failure_of(world.open())
    assert isinstance(failure, RateLimited)
    assert failure.retry_after >= 30


# --- Revocation -------------------------------------------------------------------


@pytest.mark.parametrize("status", ["authorization_revoked", "user_removed"])
async def test_a_removed_authorisation_needs_a_log_in(world: World, status: str) -> None:
    with pytest.raises(ReloginNeeded) as caught:
        async with world.open() as connection:
            socket = await world.eventsub.next_socket()
            await socket.revoke("channel.follow", status)
            await rest_of(connection)
    assert world.tokens.refused == [caught.value.message]


async def test_what_still_comes_after_the_end_harms_nothing(world: World) -> None:
    with pytest.raises(ReloginNeeded):
        async with world.open() as connection:
            socket = await world.eventsub.next_socket()
            await socket.revoke("channel.follow", "authorization_revoked")
            await rest_of(connection)
            await socket.notify("too late")
            with trio.fail_after(5):
                while not len(world.seen):
                    await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked()


async def test_one_revoked_subscription_is_named(world: World) -> None:
    async with world.open() as connection:
        socket = await world.eventsub.next_socket()
        await socket.revoke("channel.follow", "version_removed")
        await socket.notify("after")
        await next_texts(connection, 1)
        assert connection.not_subscribed == ("channel.follow",)
    assert world.tokens.refused == []


async def test_a_connection_without_any_subscription_left_is_over(world: World) -> None:
    with pytest.raises(PlatformRefused):
        async with world.open() as connection:
            socket = await world.eventsub.next_socket()
            for kind in ALL:
                await socket.revoke(kind, "version_removed")
            await rest_of(connection)


# --- session_reconnect ------------------------------------------------------------


async def test_a_hand_over_loses_and_doubles_nothing_and_subscribes_nothing(world: World) -> None:
    world.eventsub.welcomes = lambda socket: "challenge" not in socket.path
    async with world.open() as connection:
        old = await world.eventsub.next_socket()
        before = len(world.helix.asked(CREATE))
        url = f"{world.eventsub.url}?challenge=c1&id=x"
        await old.ask_to_reconnect(url)
        new = await world.eventsub.next_socket()
        assert new.path == "/ws?challenge=c1&id=x"
        await old.notify("old, before the welcome")
        assert await next_texts(connection, 1) == ["old, before the welcome"]
        await new.welcome()
        await new.notify("new")
        assert await next_texts(connection, 1) == ["new"]
        assert not old.closed.is_set()
        await old.notify("old, under way")
        await old.notify("on both", message_id="both")
        await new.notify("on both", message_id="both")
        assert await next_texts(connection, 2) == ["old, under way", "on both"]
        with trio.fail_after(2):
            await old.closed.wait()
        assert old.close_code == 1000
        await new.notify("after")
        assert await next_texts(connection, 1) == ["after"]
        assert len(world.helix.asked(CREATE)) == before
        assert world.dropped() == ["duplicate"]
        assert new.inbound == old.inbound == []


async def test_hand_overs_may_follow_one_another(world: World) -> None:
    async with world.open() as connection:
        for number in range(3):
            socket = await world.eventsub.next_socket()
            await socket.notify(f"message {number}")
            assert await next_texts(connection, 1) == [f"message {number}"]
            await socket.ask_to_reconnect(f"{world.eventsub.url}?challenge={number}")
        socket = await world.eventsub.next_socket()
        await socket.notify("done")
        assert await next_texts(connection, 1) == ["done"]


@pytest.mark.parametrize("how", ["refused", "mute", "no address", "nonsense", "other scheme"])
async def test_a_failed_hand_over_starts_anew_while_the_old_socket_still_delivers(
    world: World, how: str
) -> None:
    def leads_nowhere(path: str) -> bool:
        return "challenge" in path

    if how == "refused":
        world.eventsub.rejects = leads_nowhere
    world.eventsub.welcomes = lambda socket: not leads_nowhere(socket.path)
    url = {
        "no address": None,
        "nonsense": "ws://[half",
        "other scheme": "http://127.0.0.1:1/",
    }.get(how, f"{world.eventsub.url}?challenge=1")
    async with world.open() as connection:
        old = await world.eventsub.next_socket()
        await old.ask_to_reconnect(url)
        if how in ("refused", "mute"):
            assert "challenge" in (await world.eventsub.next_socket()).path
        await old.notify("meanwhile")
        assert await next_texts(connection, 1) == ["meanwhile"]
        fresh = await world.eventsub.next_socket()
        assert fresh.path == old.path
        with trio.fail_after(5):
            await old.closed.wait()
        assert sorted(world.helix.subscribed(fresh.session_id)) == sorted(ALL)
        await fresh.notify("fresh")
        assert await next_texts(connection, 1) == ["fresh"]


async def test_the_old_socket_may_end_before_the_new_one_is_welcomed(world: World) -> None:
    world.patience = attrs.evolve(world.patience, welcome=2.0, reconnect=2.0)
    world.eventsub.welcomes = lambda socket: "challenge" not in socket.path
    async with world.open() as connection:
        old = await world.eventsub.next_socket()
        await old.ask_to_reconnect(f"{world.eventsub.url}?challenge=1")
        new = await world.eventsub.next_socket()
        await old.close(4004)
        await new.welcome()
        await new.notify("moved")
        assert await next_texts(connection, 1) == ["moved"]


async def test_when_both_fail_the_connection_is_over_and_the_gap_the_monitors(world: World) -> None:
    world.eventsub.welcomes = lambda socket: "challenge" not in socket.path
    with pytest.raises(PlatformUnavailable) as caught:
        async with world.open() as connection:
            old = await world.eventsub.next_socket()
            await old.ask_to_reconnect(f"{world.eventsub.url}?challenge=1")
            new = await world.eventsub.next_socket()
            await old.close(4004)
            await new.close(4007)
            await rest_of(connection)
    assert caught.value.details == {"close_code": 4004}
    assert len(world.helix.asked(CREATE)) == len(ALL)


async def test_an_old_socket_that_nothing_replaces_is_read_to_its_end(world: World) -> None:
    with pytest.raises(PlatformUnavailable) as caught:
        async with world.open() as connection:
            old = await world.eventsub.next_socket()
            world.eventsub.rejects = lambda _: True
            await old.ask_to_reconnect(f"{world.eventsub.url}?challenge=1")
            await world.eventsub.next_socket()
            await world.eventsub.next_socket()
            await old.notify("to the last")
            assert await next_texts(connection, 1) == ["to the last"]
            await old.close(4004)
            await rest_of(connection)
    assert caught.value.details == {"close_code": 4004}
