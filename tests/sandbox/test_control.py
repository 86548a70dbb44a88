import httpx
import pytest
import trio

from streampai.sandbox import Sandbox

from .callers import CloudflareCaller, TwitchCaller, open_socket, until


class ControlCaller:
    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self._http = http
        self._base = sandbox.urls["control"]

    async def __call__(
        self, method: str, path: str, body: object = None, **more: object
    ) -> httpx.Response:
        return await self._http.request(method, self._base + path, json=body, **more)  # type: ignore[arg-type]


@pytest.fixture
async def control(sandbox: Sandbox, http: httpx.AsyncClient) -> ControlCaller:
    return ControlCaller(sandbox, http)


async def test_the_page_is_called_sandbox_and_runs_nothing_inline(control: ControlCaller) -> None:
    page = await control("GET", "/")
    assert "<title>Sandbox</title>" in page.text
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]
    assert "onclick" not in page.text and "style=" not in page.text
    for name in ("sandbox.css", "control.js"):
        assert f"/static/{name}" in page.text
        assert (await control("GET", f"/static/{name}")).status_code == 200


async def test_the_encoder_is_switched_by_name(
    sandbox: Sandbox, cloudflare: CloudflareCaller, control: ControlCaller
) -> None:
    uid = await cloudflare.new_input()
    on = await control("POST", "/encoder", {"user": "demo", "connected": True, "protocol": "srt"})
    assert on.json() == {"uid": uid, "connected": True}
    (live,) = (await control("GET", "/state")).json()["cloudflare"]["inputs"]
    assert live["connected"] and live["protocol"] == "srt" and live["user"] == "1"
    await control("POST", "/encoder", {"user": uid, "connected": False})
    assert sandbox.cloudflare.inputs[uid].encoder is None
    assert (await control("POST", "/encoder", {"user": "nobody"})).status_code == 404
    wrong = {"user": uid, "protocol": "carrier pigeon"}
    assert (await control("POST", "/encoder", wrong)).status_code == 400
    await cloudflare.call("PUT", f"/live_inputs/{uid}", json={"enabled": False})
    assert (await control("POST", "/encoder", {"user": uid})).status_code == 409


async def test_stories_are_told_and_stopped(
    sandbox: Sandbox, twitch: TwitchCaller, control: ControlCaller
) -> None:
    told = (await control("POST", "/scenarios/follow", {"from": "ada"})).json()
    assert told["user"] == "demo"
    number = (await control("POST", "/scenarios/life", {})).json()["number"]
    assert (await control("GET", "/state")).json()["stories"][0]["number"] == number
    assert (await control("DELETE", f"/scenarios/{number}")).json() == {"stopped": 1}
    assert (await control("POST", "/scenarios/unknown", {})).status_code == 400


async def test_faults_are_set_shown_and_healed(
    sandbox: Sandbox, cloudflare: CloudflareCaller, control: ControlCaller
) -> None:
    body = {
        "cloudflare": {
            "slow": 0,
            "calls": [{"action": "status", "status": 503, "path": "*/live_inputs", "times": 0}],
        },
        "helix": {"error": 0.5},
        "eventsub": {"duplicate": 0.25, "cut_every": 100},
        "cloudflare_knobs": {"clock_skew": -5, "status_shape": "string"},
        "twitch_knobs": {"refresh": "replace"},
    }
    shown = (await control("POST", "/faults", body)).json()
    assert shown["helix"]["chances"]["error"] == 0.5
    assert shown["eventsub"]["duplicate"] == 0.25
    assert sandbox.cloudflare.knobs.status_shape == "string"
    assert sandbox.twitch.knobs.refresh == "replace"
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 503
    healed = (await control("DELETE", "/faults")).json()
    assert healed["cloudflare"]["calls"] == [] and healed["helix"]["chances"]["error"] == 0
    assert healed["eventsub"]["cut_every"] == 0
    assert sandbox.cloudflare.knobs.status_shape == "object"
    assert sandbox.twitch.knobs.refresh == "new"
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"gravity": {}},
        {"helix": {"error": "much"}},
        {"helix": {"magic": 1}},
        {"helix": []},
        {"cloudflare": {"calls": [{"nth": 1}]}},
        {"cloudflare": {"calls": [{"action": "explode"}]}},
        {"cloudflare": {"calls": [{"action": "cut", "nth": "first"}]}},
        {"cloudflare_knobs": {"status_shape": "round"}},
        {"twitch_knobs": {"refresh": "maybe"}},
        [],
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(control: ControlCaller, body: object) -> None:
    answer = await control("POST", "/faults", body)
    assert answer.status_code == 400 and answer.json()["error"]


async def test_a_hold_is_awaited_and_released_over_http(
    sandbox: Sandbox, cloudflare: CloudflareCaller, control: ControlCaller
) -> None:
    rule = {"action": "hold", "name": "first", "method": "POST", "after_effect": True}
    await control("POST", "/faults", {"cloudflare": {"calls": [rule]}})
    path = "/holds/first?wait=5"
    assert (await control("GET", "/holds/first")).json() == {"name": "first", "reached": False}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cloudflare.new_input)
        assert (await control("GET", path)).json()["reached"]
        assert len(sandbox.cloudflare.inputs) == 1
        assert (await control("POST", "/holds/first")).status_code == 200
    assert (await control("GET", "/holds/second")).status_code == 404


async def test_sockets_are_cut_closed_silenced_and_sent_away(
    sandbox: Sandbox, twitch: TwitchCaller, control: ControlCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        assert (await control("POST", "/sockets", {"action": "silence"})).json() == {"sockets": 1}
        assert (await control("POST", "/sockets", {"action": "speak"})).json() == {"sockets": 1}
        answer = await control("POST", "/sockets", {"action": "reconnect", "user": "demo"})
        assert answer.json() == {"sockets": 1}
        assert (await socket.message())["metadata"]["message_type"] == "session_reconnect"
        assert (await control("POST", "/kill-sockets", {"code": 4006})).json() == {"cut": 1}
        assert await socket.closed() == 4006
    await until(lambda: not sandbox.eventsub.sessions)
    async with open_socket(sandbox) as socket:
        assert (await control("POST", "/kill-sockets")).json() == {"cut": 1}
        assert await socket.closed() == 1006
    assert (await control("POST", "/kill-sockets", {"code": 5})).status_code == 400
    assert (await control("POST", "/sockets", {"action": "sing"})).status_code == 400


async def test_tokens_expire_and_grants_end(twitch: TwitchCaller, control: ControlCaller) -> None:
    assert (await control("POST", "/tokens", {"action": "expire"})).json() == {"tokens": 1}
    assert (await twitch.call("GET", "/users")).status_code == 401
    body = {"action": "revoke", "user": "demo"}
    assert (await control("POST", "/tokens", body)).json() == {"grants": 1}
    assert (await control("POST", "/tokens", {"action": "revoke"})).status_code == 400


async def test_subscriptions_are_revoked_by_kind(
    sandbox: Sandbox, twitch: TwitchCaller, control: ControlCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        body = {"user": "demo", "type": "channel.raid"}
        assert (await control("POST", "/revocations", body)).json() == {"revoked": 0}
        assert (await control("POST", "/revocations", {"user": "demo"})).json() == {"revoked": 1}
        assert (await socket.message())["metadata"]["message_type"] == "revocation"


async def test_a_device_is_allowed_from_the_control_port(
    sandbox: Sandbox, twitch: TwitchCaller, control: ControlCaller
) -> None:
    form = {"client_id": sandbox.options.client_id, "scopes": ""}
    device = (await twitch.http.post(f"{twitch.auth}/device", data=form)).json()
    body = {"user_code": device["user_code"], "login": "ada"}
    assert (await control("POST", "/device", body)).status_code == 200
    assert sandbox.twitch.devices[device["device_code"]].user is sandbox.twitch.user("ada")
    assert (await control("POST", "/device", {"user_code": "?"})).status_code == 404


async def test_cloudflare_can_be_blocked(
    cloudflare: CloudflareCaller, control: ControlCaller
) -> None:
    await control("POST", "/limits", {"block": 30})
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 429
    assert (await control("POST", "/limits", {"block": "long"})).status_code == 400


async def test_pages_of_other_origins_are_refused(sandbox: Sandbox, control: ControlCaller) -> None:
    foreign = await control("POST", "/shutdown", {}, headers={"Origin": "http://evil.test"})
    assert foreign.status_code == 403 and not sandbox.shutdown.is_set()
    own = await control(
        "POST", "/tick", {"seconds": 0}, headers={"Origin": sandbox.urls["control"]}
    )
    assert own.status_code == 200


async def test_the_books_can_be_asked_for_their_end(
    sandbox: Sandbox, twitch: TwitchCaller, control: ControlCaller
) -> None:
    sandbox.scenarios.play("follow", {"user": "demo", "count": 9})
    books = (await control("GET", "/state?last=4")).json()["twitch"]["delivered"]["demo"]
    assert [d["number"] for d in books] == [6, 7, 8, 9]


async def test_no_secret_is_in_the_books(
    sandbox: Sandbox, cloudflare: CloudflareCaller, twitch: TwitchCaller, control: ControlCaller
) -> None:
    uid = await cloudflare.new_input()
    await cloudflare.new_output(uid, "rtmp://a.test", "planted-canary-key")
    books = (await control("GET", "/state")).text
    for secret in (
        "planted-canary",
        twitch.tokens["access_token"],
        twitch.tokens["refresh_token"],
        sandbox.options.client_secret,
        sandbox.twitch.channel(sandbox.twitch.user("demo")).stream_key,
    ):
        assert secret not in books
