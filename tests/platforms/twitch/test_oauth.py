"""Connecting an account and renewing its tokens, against scripted answers."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from streampai.errors import PlatformRefused, PlatformUnavailable, RateLimited, ReloginNeeded
from streampai.platforms.platform import DeviceCode, Identity, Tokens
from streampai.platforms.twitch import TwitchPlatform
from streampai.settings import Secret

from ..fakes import EPOCH
from .fake_helix import FakeHelix, Reply, Request, error, make_context

OLD = Tokens(access=Secret("old-access"), refresh=Secret("old/refresh%+"))
USER = {"id": "7001", "login": "pixel_pia", "display_name": "Pixel_Pia"}


def granted(**changes: object) -> Reply:
    body = {
        "access_token": "new-access",
        "expires_in": 14000,
        "refresh_token": "new-refresh",
        "scope": ["user:read:chat"],
        "token_type": "bearer",
    }
    return Reply(200, {**body, **changes})


@pytest.fixture
def helix() -> FakeHelix:
    helix = FakeHelix()
    helix.on["POST oauth2/token"] = lambda _: granted()
    helix.on["GET users"] = lambda _: Reply(200, {"data": [USER]})
    return helix


@pytest.fixture
def platform(helix: FakeHelix) -> TwitchPlatform:
    return TwitchPlatform(attrs.evolve(make_context(helix), now=lambda: EPOCH))


def test_the_log_in_page_is_asked_for_all_scopes_and_our_state(platform: TwitchPlatform) -> None:
    url = urlsplit(platform.authorize_url(state="s&1", redirect_uri="http://localhost/back"))
    assert (url.netloc, url.path) == ("twitch.test", "/oauth2/authorize")
    assert parse_qs(url.query) == {
        "response_type": ["code"],
        "client_id": ["cid-test"],
        "redirect_uri": ["http://localhost/back"],
        "scope": [" ".join(platform.scopes)],
        "state": ["s&1"],
    }


async def test_a_code_becomes_tokens_and_an_identity(
    platform: TwitchPlatform, helix: FakeHelix
) -> None:
    tokens, identity = await platform.exchange_code(code="c1", redirect_uri="http://localhost/b")
    assert identity == Identity(
        platform_user_id="7001", login="pixel_pia", display_name="Pixel_Pia"
    )
    assert tokens == Tokens(
        access=Secret("new-access"),
        refresh=Secret("new-refresh"),
        expires_at=EPOCH + timedelta(seconds=14000),
        scopes=("user:read:chat",),
    )
    exchange, users = helix.requests
    assert exchange.params == {}
    assert exchange.form == {
        "grant_type": "authorization_code",
        "code": "c1",
        "redirect_uri": "http://localhost/b",
        "client_id": "cid-test",
        "client_secret": "planted-secret",
    }
    assert users.token == "new-access"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "Invalid authorization code"), PlatformRefused),
        (error(403, "invalid client secret"), PlatformRefused),
        (error(429, "slow down", Retry_After="9"), RateLimited),
        (error(502, "oops"), PlatformUnavailable),
        (Reply(200, {"hello": 1}), PlatformUnavailable),
        (Reply(302, {}, {"Location": "http://elsewhere.test/"}), PlatformUnavailable),
    ],
    ids=["used code", "wrong secret", "limited", "failing", "no tokens", "redirected"],
)
async def test_a_failed_exchange_is_told_apart(
    platform: TwitchPlatform, helix: FakeHelix, answer: Reply, kind: type[Exception]
) -> None:
    helix.on["POST oauth2/token"] = lambda _: answer
    with pytest.raises(kind) as caught:
        await platform.exchange_code(code="planted-code", redirect_uri="http://localhost/b")
    assert "planted" not in repr(caught.value)


async def test_a_refresh_gives_whatever_refresh_token_comes_back(
    platform: TwitchPlatform, helix: FakeHelix
) -> None:
    assert (await platform.refresh(OLD)).refresh == Secret("new-refresh")
    assert helix.requests[0].form["refresh_token"] == "old/refresh%+"
    helix.on["POST oauth2/token"] = lambda _: granted(refresh_token=None)
    assert (await platform.refresh(OLD)).refresh == OLD.refresh


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "Invalid refresh token"), ReloginNeeded),
        (error(401, "unauthorized"), ReloginNeeded),
        (error(400, "invalid client"), PlatformRefused),
        (error(403, "invalid client secret"), PlatformRefused),
        (error(500, "oops"), PlatformUnavailable),
        (error(429, "slow down"), RateLimited),
    ],
)
async def test_only_a_definite_refusal_of_the_refresh_token_needs_a_log_in(
    platform: TwitchPlatform, helix: FakeHelix, answer: Reply, kind: type[Exception]
) -> None:
    helix.on["POST oauth2/token"] = lambda _: answer
    with pytest.raises(kind):
        await platform.refresh(OLD)


async def test_a_device_is_connected_once_its_user_has_decided(
    platform: TwitchPlatform, helix: FakeHelix
) -> None:
    helix.on["POST oauth2/device"] = lambda _: Reply(
        200,
        {
            "device_code": "d1",
            "expires_in": 1800,
            "interval": 5,
            "user_code": "ABCDEFGH",
            "verification_uri": "http://twitch.test/activate",
        },
    )
    answers = [error(400, "authorization_pending"), granted()]
    helix.on["POST oauth2/token"] = lambda _: answers.pop(0)
    device = await platform.start_device_code()
    assert (device.user_code, device.interval) == ("ABCDEFGH", 5.0)
    assert await platform.poll_device_code(device) is None
    connected = await platform.poll_device_code(device)
    assert connected is not None
    assert connected[1].login == "pixel_pia"
    start, poll = helix.requests[:2]
    assert start.form == {"client_id": "cid-test", "scopes": " ".join(platform.scopes)}
    assert poll.form["device_code"] == "d1"
    assert poll.form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"


async def test_a_device_code_that_is_over_is_refused(
    platform: TwitchPlatform, helix: FakeHelix
) -> None:
    helix.on["POST oauth2/token"] = lambda _: error(400, "invalid device code")
    device = DeviceCode(
        device_code=Secret("d1"),
        user_code="A",
        verification_uri="http://x",
        interval=5,
        expires_in=9,
    )
    with pytest.raises(PlatformRefused):
        await platform.poll_device_code(device)


@pytest.mark.parametrize("answer", [Reply(200, b""), error(400, "Invalid token")])
async def test_a_revoked_token_is_gone_either_way(
    platform: TwitchPlatform, helix: FakeHelix, answer: Reply
) -> None:
    helix.on["POST oauth2/revoke"] = lambda _: answer
    await platform.revoke(OLD)
    (request,) = helix.requests
    assert request.form == {"client_id": "cid-test", "token": "old-access"}


async def test_a_log_in_whose_user_twitch_does_not_know_is_refused(
    platform: TwitchPlatform, helix: FakeHelix
) -> None:
    def nobody(_: Request) -> Reply:
        return Reply(200, {"data": []})

    helix.on["GET users"] = nobody
    with pytest.raises(PlatformRefused):
        await platform.exchange_code(code="c1", redirect_uri="http://localhost/b")


async def test_a_new_token_that_is_refused_at_once_needs_a_log_in(
    platform: TwitchPlatform, helix: FakeHelix
) -> None:
    helix.on["GET users"] = lambda _: error(401, "Invalid OAuth token")
    with pytest.raises(ReloginNeeded):
        await platform.exchange_code(code="c1", redirect_uri="http://localhost/b")
