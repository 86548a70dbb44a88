import httpx
import pytest

from streampai.sandbox import Sandbox, SandboxOptions, open_sandbox

from .callers import CloudflareCaller, TwitchCaller


def _states(sandbox: Sandbox) -> list[tuple[str | None, bool]]:
    (live,) = sandbox.state()["cloudflare"]["inputs"]
    return [(o["state"], o["pushing"]) for o in live["outputs"] + live["leaving"]]


async def test_an_output_pushes_while_the_encoder_is_in(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input()
    await cloudflare.new_output(uid, "rtmps://elsewhere.test/live", "secret")
    (item,) = await cloudflare.result("GET", f"/live_inputs/{uid}/outputs")
    assert item["streamKey"] == "secret" and item["enabled"] and "status" not in item
    sandbox.connect_encoder(uid)
    (item,) = await cloudflare.result("GET", f"/live_inputs/{uid}/outputs")
    assert item["status"] == {"current": {"state": "connected"}}
    sandbox.disconnect_encoder(uid)
    (item,) = await cloudflare.result("GET", f"/live_inputs/{uid}/outputs")
    assert item["status"] == {"current": {"state": "disconnected"}}


async def test_nothing_keeps_two_equal_outputs_apart(cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    one = await cloudflare.new_output(uid, "rtmp://a.test/live")
    two = await cloudflare.new_output(uid, "rtmp://a.test/live")
    assert one != two


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://a.test", "streamKey": "k"},
        {"url": "rtmp://a.test"},
        {"streamKey": "k"},
        {"url": "rtmp://a.test", "streamKey": "k", "enabled": 1},
    ],
)
async def test_a_bad_output_is_refused(cloudflare: CloudflareCaller, body: object) -> None:
    uid = await cloudflare.new_input()
    answer = await cloudflare.call("POST", f"/live_inputs/{uid}/outputs", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 10005)


async def test_there_is_no_fifty_first_output(cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    for number in range(50):
        await cloudflare.new_output(uid, f"rtmp://a.test/{number}")
    body = {"url": "rtmp://a.test", "streamKey": "k"}
    answer = await cloudflare.call("POST", f"/live_inputs/{uid}/outputs", json=body)
    assert answer.status_code == 400


async def test_a_second_delete_finds_nothing(cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    output = await cloudflare.new_output(uid, "rtmp://a.test/live")
    first = await cloudflare.call("DELETE", f"/live_inputs/{uid}/outputs/{output}")
    assert (first.status_code, first.json()) == (200, {})
    second = await cloudflare.call("DELETE", f"/live_inputs/{uid}/outputs/{output}")
    assert second.status_code == 404


async def test_a_deleted_output_pushes_on_for_the_lag(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    sandbox.cloudflare.knobs.delete_lag = 30.0
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    output = await cloudflare.new_output(uid, "rtmp://a.test/live")
    await cloudflare.call("DELETE", f"/live_inputs/{uid}/outputs/{output}")
    assert await cloudflare.result("GET", f"/live_inputs/{uid}/outputs") == []
    assert _states(sandbox) == [("connected", True)]
    # What others do does not prolong it.
    sandbox.agenda.advance(29)
    await cloudflare.new_output(uid, "rtmp://b.test/live")
    sandbox.agenda.advance(2)
    await cloudflare.result("GET", f"/live_inputs/{uid}/outputs")
    assert _states(sandbox) == [("connected", True)]


async def test_an_output_enabled_again_within_the_lag_never_stopped(
    sandbox: Sandbox, cloudflare: CloudflareCaller, twitch: TwitchCaller
) -> None:
    sandbox.cloudflare.knobs.delete_lag = 30.0
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    key = sandbox.twitch.channel(sandbox.twitch.user("demo")).stream_key
    output = await cloudflare.new_output(uid, sandbox.urls["twitch_ingest"], key)
    path = f"/live_inputs/{uid}/outputs/{output}"
    assert not (await cloudflare.result("PUT", path, json={"enabled": False}))["enabled"]
    assert (await cloudflare.result("PUT", path, json={"enabled": True}))["enabled"]
    sandbox.agenda.advance(31)
    await cloudflare.result("GET", f"/live_inputs/{uid}/outputs")
    assert _states(sandbox) == [("connected", True)]
    kinds = [d.kind for d in sandbox.eventsub.deliveries["demo"]]
    assert kinds == ["stream.online"]


async def test_pushing_to_twitchs_ingest_is_going_live(
    sandbox: Sandbox, cloudflare: CloudflareCaller, twitch: TwitchCaller
) -> None:
    answer = await twitch.call("GET", f"/streams/key?broadcaster_id={twitch.user_id}")
    key = answer.json()["data"][0]["stream_key"]
    uid = await cloudflare.new_input()
    output = await cloudflare.new_output(uid, sandbox.urls["twitch_ingest"], key)
    streams = f"/streams?user_id={twitch.user_id}"
    assert (await twitch.call("GET", streams)).json()["data"] == []
    sandbox.connect_encoder("demo")
    (stream,) = (await twitch.call("GET", streams)).json()["data"]
    assert stream["viewer_count"] == 42 and stream["user_login"] == "demo"
    await cloudflare.call("DELETE", f"/live_inputs/{uid}/outputs/{output}")
    assert (await twitch.call("GET", streams)).json()["data"] == []
    assert [d.kind for d in sandbox.eventsub.deliveries["demo"]] == [
        "stream.online",
        "stream.offline",
    ]


async def test_a_wrong_stream_key_is_an_output_in_error(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    await cloudflare.new_output(uid, sandbox.urls["twitch_ingest"], "live_0_wrong")
    assert _states(sandbox) == [("error", False)]


async def test_two_writers_on_one_key_are_counted(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    key = sandbox.twitch.channel(sandbox.twitch.user("demo")).stream_key
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    for _ in range(2):
        await cloudflare.new_output(uid, sandbox.urls["twitch_ingest"], key)
    assert sandbox.state()["twitch"]["channels"]["demo"]["most_writers"] == 2


async def test_a_webrtc_broadcast_is_not_sent_on(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input()
    await cloudflare.new_output(uid, "rtmp://a.test/live")
    sandbox.connect_encoder(uid, "webrtc")
    assert _states(sandbox) == [(None, False)]


async def test_an_output_is_connecting_before_it_is_connected(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    sandbox.cloudflare.knobs.output_delay = 3.0
    uid = await cloudflare.new_input()
    await cloudflare.new_output(uid, "rtmp://a.test/live")
    sandbox.connect_encoder(uid)
    assert _states(sandbox) == [("connecting", False)]
    sandbox.disconnect_encoder(uid)
    sandbox.agenda.advance(4)
    await cloudflare.result("GET", "/live_inputs")
    assert _states(sandbox) == [("disconnected", False)]


async def test_who_exceeds_the_limit_is_shut_out_for_a_window() -> None:
    async with (
        open_sandbox(base_port=0, options=SandboxOptions(request_quota=5)) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        cloudflare = CloudflareCaller(sandbox, http)
        for left in range(4, -1, -1):
            answer = await cloudflare.call("GET", "/live_inputs")
            assert answer.status_code == 200
            assert answer.headers["ratelimit"].startswith(f'"default";r={left};t=')
            assert answer.headers["ratelimit-policy"] == '"default";q=5;w=300'
        sandbox.agenda.advance(200)
        refused = await cloudflare.call("GET", "/live_inputs")
        assert refused.status_code == 429
        assert refused.json()["errors"][0]["code"] == 10500
        assert 299 <= int(refused.headers["retry-after"]) <= 300
        # The block outlasts the window in which it began.
        sandbox.agenda.advance(200)
        assert (await cloudflare.call("GET", "/live_inputs")).status_code == 429
        sandbox.agenda.advance(101)
        assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200
        state = sandbox.state()["cloudflare"]
        assert state["blocked"] == 2 and state["requests"]["total"] == 8
        # Five, the refused one and the next lay within 300 s of each other.
        assert state["requests"]["peak"] == 6
        path = "GET /client/v4/accounts/:id/stream/live_inputs"
        assert state["requests"]["paths"] == {path: 8}


async def test_the_limit_headers_can_be_missing(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    sandbox.cloudflare.knobs.ratelimit_headers = False
    sandbox.limit.block(7)
    answer = await cloudflare.call("GET", "/live_inputs")
    assert answer.headers["retry-after"] == "7" and "ratelimit" not in answer.headers
