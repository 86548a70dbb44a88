"""The HTTP API: commands as REST, history, pages, and what operators ask for."""

import errno
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import trio
import trio.testing

from streampai.commands import COMMANDS, SetDestination, StartStream
from streampai.errors import CommandRefused, SettingsError
from streampai.runtime import NotRunning
from streampai.web import app as app_module
from tests.web.site import Site, Visitor, open_site

KEY = {"X-API-Key": "the-admin-key"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("<!doctype html>the stream page")
    (static / "login.html").write_text("<!doctype html>the log-in page")
    (static / "page.mjs").write_text("export default 1")
    async with open_site(tmp_path / "data", static=static) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


@pytest.mark.parametrize(
    ("method", "path", "body", "command"),
    [
        ("POST", "/api/stream/start", {"platforms": ["twitch"]}, "start_stream"),
        ("POST", "/api/stream/stop", None, "stop_stream"),
        ("POST", "/api/stream/stop", {}, "stop_stream"),
        ("PUT", "/api/stream/destinations/twitch", {"enabled": True}, "set_destination"),
        ("DELETE", "/api/stream/destinations/twitch", None, "set_destination"),
        ("POST", "/api/stream/destinations/twitch/retry", None, "retry_destination"),
        ("POST", "/api/chat", {"text": "hello"}, "send_chat"),
        ("PATCH", "/api/stream/metadata", {"title": "A title"}, "edit_metadata"),
        ("POST", "/api/stream/key/rotate", None, "rotate_key"),
    ],
)
async def test_a_route_carries_out_its_command(
    site: Site, visitor: Visitor, method: str, path: str, body: Any, command: str
) -> None:
    answer = await visitor.http.request(method, path, json=body)
    assert answer.status_code == 202, answer.text
    [accepted] = site.manager.user(1).commands
    assert type(accepted) is COMMANDS[command]
    assert answer.json() == {"accepted": accepted.id}


async def test_a_command_keeps_the_id_it_was_given(site: Site, visitor: Visitor) -> None:
    body = {"id": "mine", "platforms": ["twitch", "kick"]}
    await visitor.http.post("/api/stream/start", json=body)
    await visitor.http.delete("/api/stream/destinations/kick")
    start, drop = site.manager.user(1).commands
    assert start == StartStream(id="mine", platforms=("twitch", "kick"))
    assert drop == SetDestination(id=drop.id, platform="kick", enabled=False)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"x", {}, 400, "bad_request"),
        (b"[]", {}, 400, "bad_request"),
        (b'{"platforms":"twitch"}', {}, 400, "bad_request"),
        (b'{"platforms":[],"more":1}', {}, 400, "bad_request"),
        (b'{"platforms":[],"id":""}', {}, 400, "bad_request"),
        (b"{}", {}, 400, "bad_request"),
        (b"{}", {"Content-Type": "text/plain"}, 400, "bad_request"),
        (b"\xff", {}, 400, "bad_request"),
        (b" " * 70_000, {}, 413, "too_large"),
    ],
)
async def test_a_malformed_body_is_refused_once_and_without_its_content(
    site: Site,
    visitor: Visitor,
    content: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    answer = await visitor.http.post("/api/stream/start", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert site.refusals == [(code, "POST /api/stream/start")]
    assert site.manager.user(1).commands == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CommandRefused(code="encoder_not_connected"), 409, "encoder_not_connected"),
        (NotRunning("user_stream_manager/1"), 503, "user_restarting"),
        (CommandRefused(code="user_restarting"), 503, "user_restarting"),
    ],
)
async def test_a_refusal_has_its_documented_status(
    site: Site, visitor: Visitor, error: Any, status: int, code: str
) -> None:
    site.manager.user(1).refusal = error
    answer = await visitor.http.post("/api/stream/stop")
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"].keys() == {"code", "message", "retryable", "details"}


async def test_a_fault_of_ours_is_told_without_details_and_logged(
    site: Site, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    site.manager.user(1).refusal = LookupError("a bug")  # type: ignore[assignment]
    answer = await visitor.http.post("/api/stream/stop")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "a bug" not in answer.text and "a bug" in caplog.text


async def test_requests_of_one_log_in_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "REQUEST_BURST", 3)
    monkeypatch.setattr(app_module, "REQUEST_RATE", 0.01)
    async with open_site(tmp_path / "two") as site:
        visitor = await site.visitor()
        answers = [await visitor.http.get("/api/me") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 90 <= int(answers[3].headers["Retry-After"]) <= 100
        assert (await (await site.visitor("other")).http.get("/api/me")).status_code == 200


async def test_the_state_its_parts_and_the_key_can_be_read(site: Site, visitor: Visitor) -> None:
    http = visitor.http
    assert (await http.get("/api/stream")).json()["state"] == "offline"
    assert (await http.get("/api/stream/destinations/twitch")).json()["title"] == "Twitch"
    assert (await http.get("/api/stream/destinations/x")).status_code == 404
    assert (await http.get("/api/stream/key")).json() == {
        "ingest_url": "rtmps://ingest.example/live",
        "stream_key": "the-stream-key",
    }
    me = (await http.get("/api/me")).json()
    assert me["user"] == {"id": 1, "name": "demo", "admin": False}
    assert me["csrf"] == visitor.csrf and me["simulated"] is False


async def test_events_are_paged_from_the_newest(site: Site, visitor: Visitor) -> None:
    for number in range(1, 8):
        _, top = await site.storage.events.position("platform:twitch:1")
        payload = b'{"type":"test","sequence":%d}' % number
        await store(site, top + 1, number, payload)
    page = (await visitor.http.get("/api/events?limit=3")).json()
    assert [e["sequence"] for e in page["events"]] == [5, 6, 7] and page["next"] == 5
    page = (await visitor.http.get(f"/api/events?limit=4&before={page['next']}")).json()
    assert [e["sequence"] for e in page["events"]] == [1, 2, 3, 4]
    page = (await visitor.http.get("/api/events?before=1")).json()
    assert page == {"events": [], "next": None}


async def store(site: Site, offset: int, sequence: int, payload: bytes) -> None:
    from datetime import UTC, datetime

    from streampai.storage import EventRow

    row = EventRow(
        topic="platform:twitch:1",
        offset=offset,
        sequence=sequence,
        event_id=None,
        kind="test",
        occurred_at=datetime.now(UTC),
        payload=payload,
    )
    await site.storage.events.append(1, None, [row])


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "before=-1", "before=1e9"])
async def test_a_query_that_is_no_number_is_refused(visitor: Visitor, query: str) -> None:
    assert (await visitor.http.get(f"/api/events?{query}")).status_code == 400


async def test_shows_are_listed_newest_first(site: Site, visitor: Visitor) -> None:
    await site.storage.streams.begin(1, ["twitch"], "first")
    await site.storage.streams.finish("first", "stopped", {"messages": 3})
    await site.storage.streams.begin(1, ["twitch", "kick"], "second")
    shows = (await visitor.http.get("/api/streams")).json()["streams"]
    assert [show["id"] for show in shows] == ["second", "first"]
    assert shows[1]["summary"] == {"messages": 3} and shows[1]["reason"] == "stopped"
    assert shows[0]["platforms"] == ["twitch", "kick"] and shows[0]["ended_at"] is None
    assert shows[1]["ended_at"].endswith("Z")


# --- pages -------------------------------------------------------------------------


async def test_the_stream_page_is_for_who_has_logged_in(site: Site, visitor: Visitor) -> None:
    assert "the stream page" in (await visitor.http.get("/")).text
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        answer = await http.get("/")
        assert answer.status_code == 302 and answer.headers["Location"] == "/login"
        assert "the log-in page" in (await http.get("/login")).text


async def test_files_are_asked_for_again_and_sent_only_when_they_changed(site: Site) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        answer = await http.get("/static/page.mjs")
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["Cache-Control"] == "no-cache"
        headers = {"If-None-Match": answer.headers["ETag"]}
        assert (await http.get("/static/page.mjs", headers=headers)).status_code == 304
        for path in ("/static/none.js", "/static/../data/x", "/static/%2e%2e/data/x", "/static/"):
            assert (await http.get(path)).status_code == 404


async def test_every_answer_forbids_what_we_do_not_need(site: Site) -> None:
    for path in ("/login", "/static/page.mjs", "/healthz", "/nothing", "/docs"):
        async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
            headers = (await http.get(path)).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
        assert not any("unsafe" in sources for sources in policy.values())
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in headers


async def test_unknown_paths_and_methods_are_answered_as_json(site: Site) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        answer = await http.get("/api/nothing")
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"
        answer = await http.put("/api/session")
        assert answer.status_code == 405 and answer.json()["error"]["code"] == "bad_request"
        assert {"POST", "DELETE"} <= set(answer.headers["Allow"].split(", "))
        answer = await http.get("/connection/websocket")
        assert answer.status_code == 400


# --- operators ---------------------------------------------------------------------


async def test_health_readiness_and_metrics(site: Site, visitor: Visitor) -> None:
    await site.browser(visitor)
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        assert (await http.get("/healthz")).json() == {"status": "alive"}
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "healthy", "browsers": 1}
        site.health.update(status="degraded", reason="storage is slow")
        assert (await http.get("/readyz")).status_code == 200
        site.health.update(status="down")
        answer = await http.get("/readyz")
        assert answer.status_code == 503 and answer.json()["reason"] == "storage is slow"
        assert (await http.get("/metrics")).text == "# metrics\n"


async def test_the_tree_is_for_operators(site: Site, visitor: Visitor) -> None:
    assert (await visitor.http.get("/api/tree")).status_code == 403
    admin = await site.visitor("chief", admin=True)
    answer = await admin.http.get("/api/tree")
    assert answer.status_code == 200 and "web/clock" in answer.text
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        assert (await http.get("/api/tree", headers=KEY)).status_code == 200
        wrong = await http.get("/api/tree", headers={"X-API-Key": "wrong"})
        assert wrong.status_code == 401


async def test_the_server_api_needs_its_key(site: Site, visitor: Visitor, tmp_path: Path) -> None:
    for path in ("/api/publish", "/api/disconnect", "/api/unsubscribe"):
        answer = await visitor.http.post(path, json={})
        assert answer.status_code == 401
    async with (
        open_site(tmp_path / "two", {"STREAMPAI_ADMIN_KEY": ""}) as off,
        httpx.AsyncClient(verify=False, base_url=off.url, headers={"X-API-Key": ""}) as http,
    ):
        assert (await http.post("/api/publish", json={})).status_code == 401


async def test_the_server_api_publishes_once_per_key(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    await socket.ask(subscribe={"channel": "user_stream:1"})
    body = {"channel": "user_stream:1", "data": {"x": 1}, "idempotency_key": "k"}
    async with httpx.AsyncClient(verify=False, base_url=site.url, headers=KEY) as http:
        answers = [(await http.post("/api/publish", json=body)).json() for _ in range(2)]
    epoch = site.pubsub.position("user_stream:1").epoch
    assert answers == [{"result": {"offset": 1, "epoch": epoch}}] * 2
    assert (await socket.next())["push"]["pub"] == {"data": {"x": 1}, "offset": 1}
    assert site.pubsub.position("user_stream:1").offset == 1


async def test_the_server_api_answers_errors_with_status_200(site: Site, visitor: Visitor) -> None:
    wrong: list[tuple[str, dict[str, Any], int]] = [
        ("publish", {"channel": "platform:twitch:1", "data": 1}, 108),
        ("publish", {"channel": "user_stream:77", "data": 1}, 102),
        ("publish", {"channel": "x", "data": 1}, 102),
        ("disconnect", {"user": "x"}, 107),
        ("disconnect", {"user": "1", "disconnect": {"code": 1000}}, 107),
        ("disconnect", {"user": "1", "disconnect": {"code": 4000, "reason": "x" * 124}}, 107),
        ("unsubscribe", {"user": "", "channel": "x"}, 107),
    ]
    async with httpx.AsyncClient(verify=False, base_url=site.url, headers=KEY) as http:
        for path, body, code in wrong:
            answer = await http.post(f"/api/{path}", json=body)
            assert answer.status_code == 200 and answer.json()["error"]["code"] == code, body


async def test_the_server_api_sends_browsers_away(site: Site, visitor: Visitor) -> None:
    first, second = await site.browser(visitor), await site.browser(visitor)
    await first.ask(subscribe={"channel": "user_stream:1"})
    async with httpx.AsyncClient(verify=False, base_url=site.url, headers=KEY) as http:
        await http.post("/api/unsubscribe", json={"user": "1", "channel": "user_stream:1"})
        push = (await first.next())["push"]
        assert push["unsubscribe"] == {"code": 2000, "reason": "server unsubscribe"}
        body = {"user": "1", "disconnect": {"code": 4001, "reason": "maintenance"}}
        await http.post("/api/disconnect", json=body)
    assert await first.closed() == (4001, "maintenance")
    assert await second.closed() == (4001, "maintenance")


# --- the document --------------------------------------------------------------------


async def test_the_document_lists_every_route_that_is_served(site: Site) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        document = (await http.get("/openapi.json")).json()
        page = (await http.get("/docs")).text
    served = set()
    for rule in site.server.app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        served |= {(path, method.lower()) for method in methods or {"get"}}
    documented = {
        (path, method) for path, methods in document["paths"].items() for method in methods
    }
    assert documented == served
    for operation in (op for methods in document["paths"].values() for op in methods.values()):
        assert operation["summary"] and operation["responses"]
    assert document["x-rpc-methods"].keys() == COMMANDS.keys()
    assert "start_stream" in page and "encoder_not_connected" in page and "<script" not in page


async def test_a_documented_body_is_one_that_is_accepted(site: Site) -> None:
    async with httpx.AsyncClient(verify=False, base_url=site.url) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    operation = paths["/api/stream/destinations/{platform}"]["put"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"].keys() == {"id", "enabled"} and schema["required"] == ["enabled"]
    assert operation["parameters"][0]["name"] == "platform"
    schema = paths["/api/session"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["username", "password"]
    assert orjson.dumps(paths)


# --- listening -------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_a_plain_sentence(site: Site, tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_site(tmp_path / "two", {"STREAMPAI_PORT": str(site.port)}):
            pass
    leaf: BaseException = caught.value
    while isinstance(leaf, BaseExceptionGroup):
        [leaf] = leaf.exceptions
    assert isinstance(leaf, SettingsError)
    assert f"STREAMPAI_PORT={site.port}" in leaf.message
    assert "Address already in use" in leaf.message
    assert isinstance(leaf.__cause__, OSError) and leaf.__cause__.errno == errno.EADDRINUSE


async def test_an_address_that_is_not_ours_is_a_plain_sentence(tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_site(tmp_path, {"STREAMPAI_HOST": "192.0.2.1"}):
            pass
    assert caught.group_contains(SettingsError, match="STREAMPAI_HOST=192.0.2.1")


async def test_ipv6_is_listened_on(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with open_site(tmp_path, {"STREAMPAI_HOST": "::1"}) as site:
        assert site.url.startswith("http://[::1]:")
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.get(f"{site.url}/healthz")).status_code == 200


async def test_after_a_stop_nothing_listens_and_requests_in_flight_are_answered(
    site: Site, visitor: Visitor
) -> None:
    user = site.manager.user(1)
    user.hold = trio.Event()
    answers: list[int] = []

    async def ask() -> None:
        answers.append((await visitor.http.post("/api/stream/stop")).status_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await user.asked.wait()
        nursery.start_soon(site.stop)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with pytest.raises(OSError, match="refused"):
            await site.connection()
        user.hold.set()
    assert answers == [202]
