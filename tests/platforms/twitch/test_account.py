"""What one Twitch account does when it is asked, against scripted answers of Helix."""

import math
from typing import Any

import attrs
import pytest
import trio

from streampai.errors import (
    PlatformRefused,
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
)
from streampai.platforms.platform import Identity
from streampai.platforms.twitch import TwitchAccount, TwitchPlatform
from streampai.platforms.twitch.account import CHAT_BURST
from streampai.settings import Secret
from streampai.telemetry import Telemetry
from streampai.telemetry.events import LimiterWaited, TelemetryEvent

from ..fakes import EPOCH, FakeTokens, spy_on, trio_now
from .fake_helix import FakeHelix, Reply, Request, error, make_context

ME = Identity(platform_user_id="7001", login="pixel_pia", display_name="Pixel_Pia")


@attrs.define
class World:
    helix: FakeHelix
    tokens: FakeTokens
    account: TwitchAccount
    told: list[TelemetryEvent]


@pytest.fixture
def world() -> World:
    helix, tokens, telemetry = FakeHelix(), FakeTokens(), Telemetry()
    told = spy_on(telemetry)
    context = attrs.evolve(make_context(helix, telemetry), now=trio_now)
    account = TwitchPlatform(context).account(user_id=42, identity=ME, tokens=tokens)
    return World(helix, tokens, account, told)


def data(*items: Any) -> Reply:
    return Reply(200, {"data": list(items), "pagination": {}})


async def test_every_call_carries_the_token_and_the_client_id(world: World) -> None:
    world.helix.on["GET streams"] = lambda _: data()
    await world.account.viewers()
    (request,) = world.helix.requests
    assert request.token == "access-0"
    assert request.params == {"user_id": "7001"}


async def test_viewers_are_those_of_the_running_stream(world: World) -> None:
    world.helix.on["GET streams"] = lambda _: data({"id": "9001", "viewer_count": 314})
    assert await world.account.viewers() == 314
    world.helix.on["GET streams"] = lambda _: data()
    assert await world.account.viewers() is None


async def test_a_destination_is_the_ingest_and_the_key(world: World) -> None:
    world.helix.on["GET streams/key"] = lambda _: data({"stream_key": "live_7001_planted"})
    destination = await world.account.destination()
    assert destination.url.startswith("rtmps://")
    assert destination.stream_key == Secret("live_7001_planted")
    assert "planted" not in repr(destination)


async def test_a_key_that_is_withheld_is_refused_in_twitchs_words(world: World) -> None:
    world.helix.on["GET streams/key"] = lambda _: error(403, "enable two-factor first")
    with pytest.raises(PlatformRefused, match="two-factor"):
        await world.account.destination()


# --- Chat -----------------------------------------------------------------------


async def test_a_sent_message_has_its_id(world: World) -> None:
    world.helix.on["POST chat/messages"] = lambda _: data({"message_id": "c-1", "is_sent": True})
    assert (await world.account.send_chat("hello")).message_id == "c-1"
    assert world.helix.requests[0].json == {
        "broadcaster_id": "7001",
        "sender_id": "7001",
        "message": "hello",
    }


async def test_a_dropped_message_is_refused_with_the_reason(world: World) -> None:
    drop = {"code": "msg_duplicate", "message": "You said that already."}
    world.helix.on["POST chat/messages"] = lambda _: data(
        {"message_id": "", "is_sent": False, "drop_reason": drop}
    )
    with pytest.raises(PlatformRefused, match="You said that already") as caught:
        await world.account.send_chat("hello")
    assert caught.value.details == {"drop_code": "msg_duplicate"}


async def test_a_message_that_is_too_long_is_not_sent(world: World) -> None:
    with pytest.raises(PlatformRefused) as caught:
        await world.account.send_chat("x" * 501)
    assert caught.value.code == "text_too_long"
    assert world.helix.requests == []


@pytest.mark.parametrize("status", [500, 503])
async def test_a_message_is_never_sent_twice(world: World, status: int) -> None:
    world.helix.on["POST chat/messages"] = lambda _: error(status, "oops")
    with pytest.raises(PlatformUnavailable):
        await world.account.send_chat("hello")
    assert len(world.helix.requests) == 1


async def test_messages_beyond_twitchs_limit_wait_and_say_so(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.helix.on["POST chat/messages"] = lambda _: data({"message_id": "c", "is_sent": True})
    for _ in range(100):
        await world.account.send_chat("hello")
    assert trio.current_time() == pytest.approx((100 - CHAT_BURST) / (50 / 30), abs=0.1)
    assert any(isinstance(event, LimiterWaited) for event in world.told)


# --- Title and category ---------------------------------------------------------


async def test_a_category_is_looked_up_by_its_name_in_any_case(world: World) -> None:
    world.helix.on["GET search/categories"] = lambda _: data(
        {"id": "1", "name": "Just Chatting Late"}, {"id": "2", "name": "Just Chatting"}
    )
    world.helix.on["PATCH channels"] = lambda _: Reply(204)
    await world.account.edit_metadata(title="Tea time", category="just chatting")
    (patch,) = world.helix.asked("PATCH channels")
    assert patch.params == {"broadcaster_id": "7001"}
    assert patch.json == {"title": "Tea time", "game_id": "2"}


async def test_an_unknown_category_changes_nothing_and_names_similar_ones(world: World) -> None:
    world.helix.on["GET search/categories"] = lambda _: data({"id": "1", "name": "Chess"})
    with pytest.raises(PlatformRefused, match="Chesss") as caught:
        await world.account.edit_metadata(title="Tea time", category="Chesss")
    assert caught.value.details == {"suggestions": ["Chess"]}
    assert world.helix.asked("PATCH channels") == []


async def test_an_empty_category_takes_it_away_and_none_leaves_it(world: World) -> None:
    world.helix.on["PATCH channels"] = lambda _: Reply(204)
    await world.account.edit_metadata(title=None, category="")
    await world.account.edit_metadata(title="x", category=None)
    await world.account.edit_metadata(title=None, category=None)
    assert [r.json for r in world.helix.requests] == [{"game_id": "0"}, {"title": "x"}]


@pytest.mark.parametrize("title", ["", "  ", "x" * 141])
async def test_a_title_that_twitch_would_not_take_is_not_sent(world: World, title: str) -> None:
    with pytest.raises(PlatformRefused):
        await world.account.edit_metadata(title=title, category=None)
    assert world.helix.requests == []


# --- Tokens and limits ------------------------------------------------------------


async def test_a_token_that_is_refused_anew_is_not_renewed_for_each_call(world: World) -> None:
    world.tokens.renewals = ["access-1", "access-2", "access-3"]
    world.helix.on["GET streams"] = lambda _: error(401, "Invalid OAuth token")
    for _ in range(3):
        with pytest.raises(PlatformRefused):
            await world.account.viewers()
    assert world.tokens.renewed == 1


@pytest.mark.parametrize(
    "words",
    [
        "Missing scope: channel:read:stream_key",
        "Client ID and OAuth token do not match",
        "The ID in broadcaster_id must match the user ID found in the request's OAuth token.",
    ],
)
async def test_a_401_about_rights_is_a_refusal(world: World, words: str) -> None:
    world.helix.on["GET streams/key"] = lambda _: error(401, words)
    with pytest.raises(PlatformRefused):
        await world.account.destination()
    assert world.tokens.renewed == 0


async def test_a_question_is_asked_again_once_after_a_503(world: World) -> None:
    world.helix.on["GET streams"] = lambda _: error(503, "busy")
    with pytest.raises(PlatformUnavailable):
        await world.account.viewers()
    assert len(world.helix.requests) == 2


async def test_an_empty_bucket_is_waited_for_until_its_reset(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    reset = str(int(EPOCH.timestamp()) + 40)

    def answer(_: Request) -> Reply:
        if trio.current_time() < 40:
            return error(429, "slow down", Ratelimit_Remaining="0", Ratelimit_Reset=reset)
        return data({"id": "1", "viewer_count": 5})

    world.helix.on["GET streams"] = answer
    with pytest.raises(RateLimited) as caught:
        await world.account.viewers()
    assert caught.value.retry_after == pytest.approx(40, abs=1)
    assert await world.account.viewers() == 5
    assert trio.current_time() >= 40
    assert len(world.helix.requests) == 2


async def test_a_limit_with_points_left_is_a_quota_and_blocks_nothing_else(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.helix.on["POST chat/messages"] = lambda _: error(429, "full", Ratelimit_Remaining="700")
    world.helix.on["GET streams"] = lambda _: data()
    with pytest.raises(RateLimited) as caught:
        await world.account.send_chat("hello")
    assert caught.value.details["quota"] is True
    await world.account.viewers()
    assert trio.current_time() == 0


@pytest.mark.parametrize("reset", ["", "soon", "0", "99999999999"])
async def test_a_reset_that_makes_no_sense_does_not_block_for_long(
    world: World, autojump_clock: trio.testing.MockClock, reset: str
) -> None:
    world.helix.on["GET streams"] = lambda _: error(
        429, "slow down", Ratelimit_Remaining="0", Ratelimit_Reset=reset
    )
    with pytest.raises(RateLimited) as caught:
        await world.account.viewers()
    assert 1 <= caught.value.retry_after <= 120


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"data": 5}', b'{"data": [5]}'])
async def test_an_answer_that_cannot_be_read_is_unavailable(world: World, body: bytes) -> None:
    world.helix.on["GET streams"] = lambda _: Reply(200, body)
    with pytest.raises(PlatformUnavailable):
        await world.account.viewers()


# --- Validation -------------------------------------------------------------------


def valid(**changes: Any) -> Reply:
    body = {"client_id": "cid-test", "login": "pixel_pia", "scopes": [], "user_id": "7001"}
    return Reply(200, {**body, "expires_in": 5000, **changes})


async def test_a_good_token_is_valid(world: World) -> None:
    world.helix.on["GET oauth2/validate"] = lambda _: valid()
    await world.account.validate()
    assert world.helix.requests[0].token == "access-0"


async def test_an_ended_token_is_renewed_and_validated_again(world: World) -> None:
    world.tokens.renewals = ["access-1"]
    world.helix.on["GET oauth2/validate"] = lambda request: (
        valid() if request.token == "access-1" else error(401, "invalid access token")
    )
    await world.account.validate()
    assert world.tokens.renewed == 1


@pytest.mark.parametrize(
    "answer",
    [error(401, "invalid access token"), valid(client_id="another"), valid(user_id="7002")],
    ids=["dead", "of another application", "of another user"],
)
async def test_a_token_that_is_not_good_needs_a_log_in(world: World, answer: Reply) -> None:
    world.tokens.renewals = ["access-1"]
    world.helix.on["GET oauth2/validate"] = lambda _: answer
    with pytest.raises(ReloginNeeded):
        await world.account.validate()


async def test_a_validation_that_cannot_be_made_says_nothing_of_the_token(world: World) -> None:
    world.helix.on["GET oauth2/validate"] = lambda _: error(500, "oops")
    with pytest.raises(PlatformUnavailable):
        await world.account.validate()


def test_the_chat_bucket_stays_below_twitchs_limit_in_any_thirty_seconds() -> None:
    assert CHAT_BURST + math.ceil(30 * 50 / 30) <= 100
