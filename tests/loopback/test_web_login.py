"""Log-ins, and everything a foreign page, a stolen cookie or a guesser might try."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from streampai.telemetry.events import BrowserDisconnected
from streampai.web import browser as browser_module
from streampai.web import login as login_module
from tests.web.raw_socket import Closed, RawSocket, handshake
from tests.web.site import PASSWORD, Site, Visitor, eventually, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path, {"STREAMPAI_MAX_CLIENTS_PER_USER": "2"}) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


async def test_a_log_in_gives_a_cookie_that_scripts_cannot_read(site: Site) -> None:
    await site.storage.users.add("demo", PASSWORD)
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        answer = await http.post("/api/session", json={"username": "demo", "password": PASSWORD})
    assert answer.json()["user"] == {"id": 1, "name": "demo", "admin": False}
    attributes = answer.headers["Set-Cookie"].split("; ")
    assert attributes[0].startswith("streampai=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"} <= set(attributes)
    assert "Secure" not in attributes
    assert site.manager.users.keys() == {1}


async def test_behind_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    base = "https://streampai.example"
    async with open_site(tmp_path, {"STREAMPAI_BASE_URL": base}) as site:
        await site.storage.users.add("demo", PASSWORD)
        async with httpx.AsyncClient(
            verify=False, base_url=site.url, headers={"Origin": base}
        ) as http:
            body = {"username": "demo", "password": PASSWORD}
            answer = await http.post("/api/session", json=body)
            attributes = answer.headers["Set-Cookie"].split("; ")
            assert attributes[0].startswith("__Host-streampai=")
            assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(attributes)
            assert "Domain" not in answer.headers["Set-Cookie"]
            assert answer.headers["Strict-Transport-Security"]
            http.headers["Origin"] = site.url
            answer = await http.post("/api/session", json=body)
            assert answer.status_code == 403


@pytest.mark.parametrize("name", ["demo", "nobody", "", "x" * 5_000])
async def test_a_wrong_password_and_an_unknown_name_look_the_same(site: Site, name: str) -> None:
    await site.storage.users.add("demo", PASSWORD)
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        answer = await http.post("/api/session", json={"username": name, "password": "wrong"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_credentials"
    assert site.refusals == [("invalid_credentials", "POST /api/session")]
    assert "Set-Cookie" not in answer.headers


async def test_guessing_is_slowed_down_by_name_also_for_the_right_password(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.storage.users.add("demo", PASSWORD)
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        for _ in range(login_module.NAME_BURST):
            body = {"username": "demo", "password": "wrong"}
            assert (await http.post("/api/session", json=body)).status_code == 401
        answer = await http.post("/api/session", json={"username": "demo", "password": PASSWORD})
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 20
        assert answer.json()["error"]["code"] == "rate_limited"
        body = {"username": "other", "password": "wrong"}
        assert (await http.post("/api/session", json=body)).status_code == 401


async def test_guessing_is_slowed_down_by_address(site: Site) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        for number in range(login_module.ADDRESS_BURST):
            body = {"username": f"u{number}", "password": "wrong"}
            assert (await http.post("/api/session", json=body)).status_code == 401
        body = {"username": "another", "password": "wrong"}
        assert (await http.post("/api/session", json=body)).status_code == 429
        # A proxy on this machine tells who is asking; only its own word, the last, counts.
        http.headers["X-Forwarded-For"] = "10.0.0.1, 192.0.2.7"
        assert (await http.post("/api/session", json=body)).status_code == 401


async def test_log_ins_that_succeed_use_nothing_up(site: Site, visitor: Visitor) -> None:
    for _ in range(login_module.ADDRESS_BURST + 2):
        body = {"username": "demo", "password": PASSWORD}
        assert (await visitor.http.post("/api/session", json=body)).status_code == 200


@pytest.mark.parametrize("path", ["/api/me", "/api/stream", "/api/events", "/api/tree"])
async def test_without_a_log_in_there_is_nothing_to_see(site: Site, path: str) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        http.cookies.set("streampai", "made up")
        answer = await http.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:1"])
async def test_a_foreign_page_can_change_nothing(site: Site, visitor: Visitor, origin: str) -> None:
    visitor.http.headers.update({"Origin": origin, "X-CSRF-Token": visitor.csrf})
    answer = await visitor.http.post("/api/stream/stop")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "bad_origin"
    body = {"username": "demo", "password": PASSWORD}
    assert (await visitor.http.post("/api/session", json=body)).status_code == 403
    assert site.manager.user(1).commands == []


async def test_a_script_needs_the_csrf_token_beside_the_cookie(
    site: Site, visitor: Visitor
) -> None:
    del visitor.http.headers["Origin"]
    for token in (b"", b"wrong", b"wr\xc3\xb6ng"):
        headers = [(b"X-CSRF-Token", token)] if token else []
        answer = await visitor.http.post("/api/stream/stop", headers=headers)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "forbidden"
    csrf = (await visitor.http.get("/api/me")).json()["csrf"]
    answer = await visitor.http.post("/api/stream/stop", headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 202


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_foreign_page_gets_no_websocket(site: Site, visitor: Visitor, origin: str) -> None:
    socket = RawSocket(await site.connection())
    cookie = f"streampai={visitor.token}"
    await socket.stream.send_all(handshake(site.port, {"Cookie": cookie, "Origin": origin}))
    assert b" 403 " in await socket.read_head()
    assert ("bad_origin", "GET /connection/websocket") in site.refusals


async def test_our_own_page_gets_one(site: Site, visitor: Visitor) -> None:
    socket = await site.socket(visitor, Origin=site.url)
    assert "connect" in await socket.ask(connect={})


async def test_a_client_without_cookies_may_log_in_by_token(site: Site, visitor: Visitor) -> None:
    socket = await site.socket()
    reply = await socket.ask(connect={"token": visitor.token})
    assert reply["connect"]["data"] == {"user": 1, "simulated": False}
    assert (await socket.ask(refresh={"token": visitor.token}))["refresh"] == {}


async def test_another_users_token_does_not_refresh_a_connection(
    site: Site, visitor: Visitor
) -> None:
    other = await site.visitor("other")
    socket = await site.browser(visitor)
    reply = await socket.ask(refresh={"token": other.token})
    assert reply["error"]["code"] == 109


@pytest.mark.parametrize(
    "headers", [{"Sec-WebSocket-Protocol": "centrifuge-protobuf"}, {"path": "?format=protobuf"}]
)
async def test_the_binary_protocol_is_refused_for_good(
    site: Site, visitor: Visitor, headers: dict[str, str]
) -> None:
    path = "/connection/websocket" + headers.pop("path", "")
    socket = RawSocket(await site.connection())
    headers["Cookie"] = f"streampai={visitor.token}"
    await socket.stream.send_all(handshake(site.port, headers, path))
    await socket.read_head()
    assert await socket.closed() == (3506, "inappropriate protocol")


async def test_the_json_subprotocol_is_agreed_to(site: Site, visitor: Visitor) -> None:
    offered = {"Sec-WebSocket-Protocol": "centrifuge-protobuf, centrifuge-json"}
    socket = await site.socket(visitor, **offered)
    assert b"sec-websocket-protocol: centrifuge-json" in socket.head.lower()


async def test_logging_out_ends_the_sockets_of_this_log_in_only(
    site: Site, visitor: Visitor
) -> None:
    elsewhere = await site.visitor()
    here, there = await site.browser(visitor), await site.browser(elsewhere)
    answer = await visitor.http.delete("/api/session")
    assert answer.status_code == 204
    assert (
        'streampai=""' in answer.headers["Set-Cookie"]
        or "Max-Age=0" in answer.headers["Set-Cookie"]
    )
    with trio.fail_after(browser_module.FIRST_SESSION_CHECK - 0.1):
        assert await here.closed() == (3500, "logged out")
    assert "presence" in await there.ask(presence={"channel": "user_stream:1"})
    assert len(site.manager.logged_out_sessions) == 1
    visitor.http.cookies.set("streampai", visitor.token)
    assert (await visitor.http.get("/api/me")).status_code == 401
    assert await (await site.socket(visitor)).closed_after_connect() == (3500, "invalid token")


async def test_a_log_in_that_is_ended_elsewhere_ends_its_sockets_soon(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_module, "FIRST_SESSION_CHECK", 0.1)
    socket = await site.browser(visitor)
    await site.storage.sessions.revoke_all(1)
    assert await socket.closed() == (3500, "logged out")


async def test_a_connection_lasts_no_longer_than_its_log_in(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        visitor = await site.visitor()
        token, _ = await site.storage.sessions.create(visitor.user.id, lifetime=0.5)
        visitor.token = token
        socket = await site.browser(visitor)
        assert await socket.closed() == (3500, "session expired")


async def test_two_sockets_of_one_log_in_are_counted_as_two(site: Site, visitor: Visitor) -> None:
    first, second = await site.browser(visitor), await site.browser(visitor)
    assert len(site.manager.present) == 2
    await first.stream.aclose()
    await eventually(lambda: len(site.manager.present) == 1)
    assert "presence" in await second.ask(presence={"channel": "user_stream:1"})
    await second.stream.aclose()
    await eventually(lambda: not site.manager.present)


async def test_a_user_may_have_so_many_sockets_and_no_more(site: Site, visitor: Visitor) -> None:
    kept = [await site.browser(visitor) for _ in range(2)]
    socket = await site.socket(visitor)
    assert await socket.closed_after_connect() == (3504, "connection limit")
    assert "connect" in await (await site.socket(await site.visitor("other"))).ask(connect={})
    assert len(kept) == 2
    codes = [e.code for e in site.events if isinstance(e, BrowserDisconnected)]
    assert codes == [3504]


async def test_no_secret_reaches_telemetry_or_the_log(
    site: Site, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await site.socket()
    await socket.say({"connect": {"token": "canary-token"}})
    with pytest.raises(Closed):
        await socket.next()
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        body = {"username": "demo", "password": "canary-password"}
        await http.post("/api/session", json=body)
        await http.get("/canary-path", headers={"X-API-Key": "canary-key"})
        await http.post("/api/publish", json={}, headers={"X-API-Key": "canary-key"})
    seen = repr(site.events) + caplog.text
    assert "canary" not in seen
    assert visitor.token not in seen and visitor.csrf not in seen
    await trio.lowlevel.checkpoint()
