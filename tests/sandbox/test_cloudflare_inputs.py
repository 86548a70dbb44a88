from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from streampai.sandbox import Sandbox, SandboxOptions, open_sandbox

from .callers import CloudflareCaller


async def test_a_new_input_has_keys_and_no_status(cloudflare: CloudflareCaller) -> None:
    made = await cloudflare.result("POST", "/live_inputs", json={"meta": {"name": "demo"}})
    assert made["status"] is None
    assert made["enabled"] and made["recording"]["mode"] == "off"
    assert made["rtmps"]["streamKey"] and made["srt"]["passphrase"]
    assert await cloudflare.result("GET", f"/live_inputs/{made['uid']}") == made


async def test_the_list_holds_neither_status_nor_credentials(cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    listed = await cloudflare.result("GET", "/live_inputs")
    assert listed["total"] == 1
    (item,) = listed["liveInputs"]
    assert item["uid"] == uid and item["meta"]["streampai_user"] == "1"
    assert not {"status", "rtmps", "recording"} & set(item)


async def test_the_list_may_be_a_bare_array(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    sandbox.cloudflare.knobs.list_as_array = True
    assert [i["uid"] for i in await cloudflare.result("GET", "/live_inputs")] == [uid]


async def test_what_an_update_leaves_out_stays(cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    changed = await cloudflare.result("PUT", f"/live_inputs/{uid}", json={"preferLowLatency": True})
    assert changed["preferLowLatency"] and changed["meta"]["name"] == "demo"


async def test_disabling_an_input_ends_its_broadcast_and_refuses_the_next(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input()
    assert sandbox.connect_encoder(uid)
    changed = await cloudflare.result("PUT", f"/live_inputs/{uid}", json={"enabled": False})
    assert changed["status"]["current"]["state"] == "disconnected"
    assert not sandbox.connect_encoder(uid)


async def test_rotation_changes_every_key_and_disconnects(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    before = await cloudflare.result("GET", f"/live_inputs/{uid}")
    after = await cloudflare.result("POST", f"/live_inputs/{uid}/rotate_keys")
    assert "keysRotatedAt" not in before and after["keysRotatedAt"]
    assert after["rtmps"]["streamKey"] != before["rtmps"]["streamKey"]
    assert after["status"]["current"]["state"] == "disconnected"


async def test_a_deleted_input_is_not_found(cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    assert (await cloudflare.call("DELETE", f"/live_inputs/{uid}")).content == b""
    answer = await cloudflare.call("GET", f"/live_inputs/{uid}")
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == 10003


async def test_a_malformed_id_cannot_be_routed(cloudflare: CloudflareCaller) -> None:
    answer = await cloudflare.call("GET", "/live_inputs/xyz")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, 7003)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, 10000),
        ({"Authorization": "nonsense"}, 400, 6003),
        ({"Authorization": "Bearer wrong"}, 403, 10000),
        ({"X-Auth-Email": "owner@sandbox.test", "X-Auth-Key": "wrong"}, 403, 10000),
    ],
)
async def test_bad_credentials_are_refused(
    cloudflare: CloudflareCaller, headers: dict[str, str], status: int, code: int
) -> None:
    answer = await cloudflare.call("GET", "/live_inputs", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_the_global_key_is_taken_too(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    headers = {"X-Auth-Email": sandbox.options.api_email, "X-Auth-Key": sandbox.options.api_key}
    assert (await cloudflare.call("GET", "/live_inputs", headers=headers)).status_code == 200


async def test_another_account_is_forbidden(
    sandbox: Sandbox, cloudflare: CloudflareCaller, http: httpx.AsyncClient
) -> None:
    url = f"{sandbox.urls['cloudflare']}/accounts/{'0' * 32}/stream/live_inputs"
    assert (await http.get(url, headers=cloudflare.headers)).status_code == 403


async def test_an_idempotency_key_makes_one_input(cloudflare: CloudflareCaller) -> None:
    headers = {**cloudflare.headers, "Idempotency-Key": "once"}
    first = await cloudflare.result("POST", "/live_inputs", json={}, headers=headers)
    second = await cloudflare.result("POST", "/live_inputs", json={}, headers=headers)
    assert first["uid"] == second["uid"]
    other = await cloudflare.call("POST", "/live_inputs", json={"meta": {}}, headers=headers)
    assert other.status_code == 400


async def test_retention_counts_only_at_the_top(cloudflare: CloudflareCaller) -> None:
    nested = {"recording": {"mode": "automatic", "deleteRecordingAfterDays": 30}}
    made = await cloudflare.result("POST", "/live_inputs", json=nested)
    assert made["deleteRecordingAfterDays"] is None
    bad = await cloudflare.call("POST", "/live_inputs", json={"deleteRecordingAfterDays": 5})
    assert bad.json()["errors"][0]["code"] == 10060


@pytest.mark.parametrize("shape", ["object", "string", "null", "missing"])
async def test_the_status_comes_in_every_shape(
    sandbox: Sandbox, cloudflare: CloudflareCaller, shape: str
) -> None:
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid, "srt")
    sandbox.cloudflare.knobs.status_shape = shape
    item = await cloudflare.result("GET", f"/live_inputs/{uid}")
    if shape == "object":
        assert item["status"]["current"]["state"] == "connected"
        assert item["status"]["current"]["ingestProtocol"] == "srt"
    elif shape == "string":
        assert item["status"] == "connected"
    elif shape == "null":
        assert item["status"] is None
    else:
        assert "status" not in item


async def test_a_word_that_nobody_knows_can_be_shown(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    sandbox.cloudflare.knobs.status_word = "new_configuration_accepted"
    item = await cloudflare.result("GET", f"/live_inputs/{uid}")
    assert item["status"]["current"]["state"] == "new_configuration_accepted"


async def test_history_lists_earlier_states(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    uid = await cloudflare.new_input()
    sandbox.cloudflare.knobs.status_history = True
    sandbox.connect_encoder(uid)
    sandbox.disconnect_encoder(uid)
    status = (await cloudflare.result("GET", f"/live_inputs/{uid}"))["status"]
    assert [status["current"]["state"], status["history"][0]["state"]] == [
        "disconnected",
        "connected",
    ]


async def test_an_encoder_is_found_by_uid_name_or_user(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    uid = await cloudflare.new_input(meta={"name": "ada", "streampai_user": "41"})
    for who in (uid, "ada", "41"):
        assert sandbox.connect_encoder(who)
        assert sandbox.disconnect_encoder(who)
    assert not sandbox.connect_encoder("nobody")


async def test_the_status_lags_but_says_when_it_really_began() -> None:
    options = SandboxOptions(status_lag=60.0)
    async with (
        open_sandbox(base_port=0, options=options) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        cloudflare = CloudflareCaller(sandbox, http)
        uid = await cloudflare.new_input()
        before = datetime.now(UTC)
        sandbox.connect_encoder(uid)
        after = datetime.now(UTC)
        assert (await cloudflare.result("GET", f"/live_inputs/{uid}"))["status"] is None
        await http.post(f"{sandbox.urls['control']}/tick", json={"seconds": 61})
        item = await cloudflare.result("GET", f"/live_inputs/{uid}")
        entered = datetime.fromisoformat(item["status"]["current"]["statusEnteredAt"])
        assert before <= entered <= after


async def test_the_date_header_may_be_wrong(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    sandbox.cloudflare.knobs.clock_skew = -3600.0
    answer = await cloudflare.call("GET", "/live_inputs")
    shown = parsedate_to_datetime(answer.headers["date"])
    assert abs(datetime.now(UTC) - timedelta(hours=1) - shown) < timedelta(seconds=10)


async def test_an_input_can_vanish_behind_the_clients_back(
    sandbox: Sandbox, cloudflare: CloudflareCaller, http: httpx.AsyncClient
) -> None:
    uid = await cloudflare.new_input()
    assert (await http.delete(f"{sandbox.urls['control']}/inputs/demo")).json()["deleted"] == uid
    assert (await cloudflare.call("GET", f"/live_inputs/{uid}")).status_code == 404


async def test_a_recorded_broadcast_is_a_live_video_until_it_ends(
    sandbox: Sandbox, cloudflare: CloudflareCaller, http: httpx.AsyncClient
) -> None:
    uid = await cloudflare.new_input(recording={"mode": "automatic"})
    sandbox.connect_encoder(uid)
    (video,) = await cloudflare.result("GET", f"/live_inputs/{uid}/videos")
    assert video["status"]["state"] == "live-inprogress" and video["duration"] == -1
    bulk = await cloudflare.result("GET", "?status=live-inprogress&type=live")
    assert [v["liveInput"] for v in bulk] == [uid]
    lifecycle = (await http.get(f"{sandbox.urls['cloudflare_customer']}/{uid}/lifecycle")).json()
    assert lifecycle == {"isInput": True, "videoUID": video["uid"], "live": True}
    refused = await cloudflare.call("DELETE", f"/{video['uid']}")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, 10046)
    sandbox.disconnect_encoder(uid)
    (video,) = await cloudflare.result("GET", f"/live_inputs/{uid}/videos")
    assert video["status"]["state"] == "ready"
    assert (await cloudflare.call("DELETE", f"/{video['uid']}")).status_code == 200


async def test_viewers_are_counted_only_on_cloudflares_own_player(
    sandbox: Sandbox, cloudflare: CloudflareCaller, http: httpx.AsyncClient
) -> None:
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid)
    views = await http.get(f"{sandbox.urls['cloudflare_customer']}/{uid}/views")
    assert views.json() == {"liveViewers": 0}
