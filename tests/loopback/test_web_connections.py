"""Connecting accounts of platforms, against a platform that does as it is told."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from streampai.errors import PlatformRefused, PlatformUnavailable, StreampaiError
from streampai.platforms.platform import DeviceCode, Identity, Tokens
from streampai.settings import Secret
from tests.web.site import Site, Visitor, open_site

TOKENS = Tokens(access=Secret("canary-access"), refresh=Secret("canary-refresh"))
IDENTITY = Identity(platform_user_id="77", login="demo", display_name="Demo")


class FakePlatform:
    name = "twitch"
    title = "Twitch"
    scopes = ("chat:read",)

    def __init__(self) -> None:
        self.is_configured = True
        self.codes: list[tuple[str, str]] = []
        self.polls = 0
        self.answer: tuple[Tokens, Identity] | StreampaiError | None = None
        self.revoked: list[Tokens] = []
        self.refusal: StreampaiError | None = None

    def configured(self) -> bool:
        return self.is_configured

    def authorize_url(self, *, state: str, redirect_uri: str) -> str:
        query = httpx.QueryParams(state=state, redirect_uri=redirect_uri)
        return f"https://id.twitch.example/authorize?{query}"

    async def exchange_code(self, *, code: str, redirect_uri: str) -> tuple[Tokens, Identity]:
        if self.refusal is not None:
            raise self.refusal
        self.codes.append((code, redirect_uri))
        return TOKENS, IDENTITY

    async def start_device_code(self) -> DeviceCode:
        return DeviceCode(
            device_code=Secret("canary-device"),
            user_code="ABCD-EFGH",
            verification_uri="https://twitch.example/activate",
            interval=0,
            expires_in=60,
        )

    async def poll_device_code(self, device: DeviceCode) -> tuple[Tokens, Identity] | None:
        assert device.device_code.reveal() == "canary-device"
        self.polls += 1
        if isinstance(self.answer, StreampaiError):
            raise self.answer
        return self.answer

    async def revoke(self, tokens: Tokens) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.revoked.append(tokens)


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
async def site(tmp_path: Path, platform: FakePlatform) -> AsyncIterator[Site]:
    async with open_site(tmp_path, platforms={"twitch": platform}) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


async def begin(visitor: Visitor) -> dict[str, str]:
    answer = await visitor.http.get("/connections/twitch/login")
    assert answer.status_code == 302
    url = urlsplit(answer.headers["Location"])
    assert url.hostname == "id.twitch.example"
    return {name: values[0] for name, values in parse_qs(url.query).items()}


async def come_back(visitor: Visitor, **query: str) -> str:
    answer = await visitor.http.get("/connections/twitch/callback", params=query)
    assert answer.status_code == 302
    return str(answer.headers["Location"])


async def test_an_account_is_connected_by_redirects(
    site: Site, visitor: Visitor, platform: FakePlatform
) -> None:
    query = await begin(visitor)
    assert query["redirect_uri"] == f"{site.url}/connections/twitch/callback"
    assert await come_back(visitor, code="abc", state=query["state"]) == "/?connected=twitch"
    assert platform.codes == [("abc", query["redirect_uri"])]
    stored = await site.storage.accounts.get(1, "twitch")
    assert stored is not None and stored.tokens == TOKENS and stored.identity == IDENTITY
    assert site.manager.user(1).changed == ["twitch"]
    [connection] = (await visitor.http.get("/api/connections")).json()["connections"]
    assert connection["connected"] is True and connection["account"] == "Demo"


async def test_behind_a_proxy_the_platform_sends_back_to_the_public_address(
    tmp_path: Path, platform: FakePlatform
) -> None:
    base = {"STREAMPAI_BASE_URL": "http://streampai.example/"}
    async with open_site(tmp_path / "two", base, platforms={"twitch": platform}) as site:
        await site.storage.users.add("demo", "correct horse")
        async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
            body = {"username": "demo", "password": "correct horse"}
            await http.post("/api/session", json=body)
            answer = await http.get("/connections/twitch/login")
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["redirect_uri"] == ["http://streampai.example/connections/twitch/callback"]


async def test_a_state_is_good_once_and_for_its_own_log_in(
    site: Site, visitor: Visitor, platform: FakePlatform
) -> None:
    other = await site.visitor("other")
    state = (await begin(visitor))["state"]
    assert await come_back(other, code="abc", state=state) == "/?connection_error=bad_request"
    state = (await begin(visitor))["state"]
    assert await come_back(visitor, code="abc", state=state) == "/?connected=twitch"
    assert await come_back(visitor, code="abc", state=state) == "/?connection_error=bad_request"
    assert await come_back(visitor, code="abc") == "/?connection_error=bad_request"
    assert len(platform.codes) == 1
    assert await site.storage.accounts.get(other.user.id, "twitch") is None


async def test_what_goes_wrong_at_the_platform_is_shown_on_the_page(
    site: Site, visitor: Visitor, platform: FakePlatform
) -> None:
    state = (await begin(visitor))["state"]
    location = await come_back(visitor, error="access_denied", state=state)
    assert location == "/?connection_error=forbidden"
    platform.refusal = PlatformRefused()
    state = (await begin(visitor))["state"]
    location = await come_back(visitor, code="abc", state=state)
    assert location == "/?connection_error=platform_refused"
    assert site.refusals[-1] == ("platform_refused", "GET /connections/<platform>/callback")


async def test_whoever_is_not_logged_in_is_sent_to_the_log_in_page(site: Site) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        for path in ("/connections/twitch/login", "/connections/twitch/callback?code=x"):
            answer = await http.get(path)
            assert answer.status_code == 302 and answer.headers["Location"] == "/login"


async def test_an_account_is_connected_by_a_code_typed_in_elsewhere(
    site: Site, visitor: Visitor, platform: FakePlatform
) -> None:
    path = "/api/connections/twitch/device"
    assert (await visitor.http.get(path)).status_code == 404
    begun = (await visitor.http.post(path)).json()
    assert begun["user_code"] == "ABCD-EFGH" and "canary" not in str(begun)
    assert (await visitor.http.get(path)).json() == {"status": "pending"}
    platform.answer = (TOKENS, IDENTITY)
    assert (await visitor.http.get(path)).json() == {"status": "connected", "account": "Demo"}
    assert site.manager.user(1).changed == ["twitch"]
    assert (await visitor.http.get(path)).status_code == 404


async def test_a_platform_is_not_asked_more_often_than_it_allows(
    site: Site, visitor: Visitor, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = platform.start_device_code

    async def slower() -> DeviceCode:
        code = await start()
        return DeviceCode(
            device_code=code.device_code,
            user_code=code.user_code,
            verification_uri=code.verification_uri,
            interval=30,
            expires_in=60,
        )

    monkeypatch.setattr(platform, "start_device_code", slower)
    await visitor.http.post("/api/connections/twitch/device")
    for _ in range(3):
        answer = await visitor.http.get("/api/connections/twitch/device")
        assert answer.json() == {"status": "pending"}
    assert platform.polls == 0


@pytest.mark.parametrize(
    ("error", "status", "again"), [(PlatformRefused(), 502, 404), (PlatformUnavailable(), 503, 503)]
)
async def test_a_definite_refusal_ends_the_code_and_an_outage_does_not(
    visitor: Visitor, platform: FakePlatform, error: StreampaiError, status: int, again: int
) -> None:
    await visitor.http.post("/api/connections/twitch/device")
    platform.answer = error
    assert (await visitor.http.get("/api/connections/twitch/device")).status_code == status
    assert (await visitor.http.get("/api/connections/twitch/device")).status_code == again


@pytest.mark.parametrize("out_of_reach", [False, True])
async def test_disconnecting_forgets_the_tokens_whatever_the_platform_says(
    site: Site, visitor: Visitor, platform: FakePlatform, out_of_reach: bool
) -> None:
    await site.storage.accounts.save(1, "twitch", IDENTITY, TOKENS)
    platform.refusal = PlatformUnavailable() if out_of_reach else None
    answer = await visitor.http.delete("/api/connections/twitch")
    assert answer.json() == {"revoked": not out_of_reach}
    assert await site.storage.accounts.get(1, "twitch") is None
    assert platform.revoked == ([] if out_of_reach else [TOKENS])
    assert site.manager.user(1).changed == ["twitch"]
    assert (await visitor.http.delete("/api/connections/twitch")).status_code == 409


async def test_platforms_that_are_unknown_or_not_set_up_are_told_apart(
    visitor: Visitor, platform: FakePlatform
) -> None:
    assert (await visitor.http.delete("/api/connections/x")).status_code == 404
    assert (await visitor.http.get("/connections/x/login")).status_code == 404
    platform.is_configured = False
    answer = await visitor.http.get("/connections/twitch/login")
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "not_supported"
    [connection] = (await visitor.http.get("/api/connections")).json()["connections"]
    assert connection["configured"] is False


async def test_no_token_is_shown(site: Site, visitor: Visitor) -> None:
    await site.storage.accounts.save(1, "twitch", IDENTITY, TOKENS)
    assert "canary" not in (await visitor.http.get("/api/connections")).text
    assert "canary" not in repr(site.events)
