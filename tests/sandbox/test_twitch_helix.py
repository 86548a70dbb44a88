import time

import httpx
import pytest

from streampai.sandbox import Sandbox, SandboxOptions, open_sandbox

from .callers import TwitchCaller


async def test_every_call_needs_a_token_of_the_same_client(twitch: TwitchCaller) -> None:
    good = twitch.headers
    for headers, message in (
        ({}, "OAuth token is missing"),
        ({**good, "Authorization": "Bearer no"}, "Invalid OAuth token"),
        ({**good, "Client-Id": "other"}, "Client ID and OAuth token do not match"),
    ):
        answer = await twitch.call("GET", "/users", headers=headers)
        assert answer.json() == {"error": "Unauthorized", "status": 401, "message": message}


async def test_a_missing_scope_and_a_foreign_channel_are_401_too(twitch: TwitchCaller) -> None:
    foreign = twitch.sandbox.twitch.user("ada").id
    answer = await twitch.call("PATCH", f"/channels?broadcaster_id={foreign}", json={"title": "x"})
    assert answer.status_code == 401 and "must match" in answer.json()["message"]
    await twitch.log_in("demo", "user:read:chat")
    answer = await twitch.call(
        "PATCH", f"/channels?broadcaster_id={twitch.user_id}", json={"title": "x"}
    )
    assert answer.json()["message"] == "Missing scope: channel:manage:broadcast"


async def test_points_run_out_and_come_back_steadily() -> None:
    options = SandboxOptions(helix_points=20, helix_window=2000.0)
    async with (
        open_sandbox(base_port=0, options=options) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        twitch = await TwitchCaller(sandbox, http).log_in("demo")
        for left in range(19, -1, -1):
            answer = await twitch.call("GET", "/users")
            assert answer.headers["ratelimit-limit"] == "20"
            assert answer.headers["ratelimit-remaining"] == str(left)
            assert int(answer.headers["ratelimit-reset"]) > time.time()
        answer = await twitch.call("GET", "/users")
        assert answer.status_code == 429 and answer.json()["error"] == "Too Many Requests"
        sandbox.agenda.advance(1000)
        answer = await twitch.call("GET", "/users")
        assert answer.status_code == 200 and answer.headers["ratelimit-remaining"] == "9"


async def test_a_429_by_chance_names_the_moment_to_come_back(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.faults["helix"].chances.rate_limited = 1.0
    sandbox.faults["helix"].chances.retry_after = 30.0
    answer = await twitch.call("GET", "/users")
    assert answer.status_code == 429 and answer.headers["ratelimit-remaining"] == "0"
    assert 25 < int(answer.headers["ratelimit-reset"]) - time.time() <= 31


async def test_users_are_found_by_id_login_or_token(twitch: TwitchCaller) -> None:
    ada = twitch.sandbox.twitch.user("ada")
    (me,) = (await twitch.call("GET", "/users")).json()["data"]
    assert me["login"] == "demo" and me["display_name"] == "Demo"
    found = (await twitch.call("GET", f"/users?login=demo&id={ada.id}")).json()["data"]
    assert {u["login"] for u in found} == {"demo", "ada"}
    many = "&".join(f"id={n}" for n in range(101))
    assert (await twitch.call("GET", f"/users?{many}")).status_code == 400


async def test_a_changed_title_is_shown_and_told(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    path = f"/channels?broadcaster_id={twitch.user_id}"
    body = {"title": "New", "game_id": "26936", "tags": ["English"]}
    assert (await twitch.call("PATCH", path, json=body)).status_code == 204
    (channel,) = (await twitch.call("GET", path)).json()["data"]
    assert (channel["title"], channel["game_name"]) == ("New", "Music")
    assert [d.kind for d in sandbox.eventsub.deliveries["demo"]] == ["channel.update"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": " "},
        {"title": "x" * 141},
        {"game_id": "7"},
        {"tags": ["two words"]},
        {"tags": ["t"] * 11},
    ],
)
async def test_a_bad_change_of_the_channel_is_refused(
    twitch: TwitchCaller, body: dict[str, object]
) -> None:
    path = f"/channels?broadcaster_id={twitch.user_id}"
    assert (await twitch.call("PATCH", path, json=body)).status_code == 400


async def test_categories_are_searched_and_named(twitch: TwitchCaller) -> None:
    found = (await twitch.call("GET", "/search/categories?query=chat")).json()["data"]
    assert found[0]["id"] == "509658"
    games = (await twitch.call("GET", "/games?name=Music")).json()["data"]
    assert games[0]["id"] == "26936"


async def test_lists_come_in_pages(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sandbox.scenarios.play("follow", {"user": "demo", "count": 5})
    path = f"/channels/followers?broadcaster_id={twitch.user_id}&first=3"
    first = (await twitch.call("GET", path)).json()
    assert first["total"] == 5 and len(first["data"]) == 3
    cursor = first["pagination"]["cursor"]
    second = (await twitch.call("GET", f"{path}&after={cursor}")).json()
    assert len(second["data"]) == 2 and second["pagination"] == {}
    assert not {f["user_id"] for f in first["data"]} & {f["user_id"] for f in second["data"]}


async def test_subscribers_are_listed_with_their_gifter(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.scenarios.play("gift_bomb", {"user": "demo", "from": "ada", "count": 1})
    path = f"/subscriptions?broadcaster_id={twitch.user_id}"
    (item,) = (await twitch.call("GET", path)).json()["data"]
    assert item["is_gift"] and item["gifter_login"] == "ada"
    assert item["broadcaster_login"] == "demo" and item["user_login"] == "lucky_0"


async def _say(twitch: TwitchCaller, text: str, **more: str) -> dict[str, object]:
    body = {"broadcaster_id": twitch.user_id, "sender_id": twitch.user_id, "message": text, **more}
    answer = await twitch.call("POST", "/chat/messages", json=body)
    assert answer.status_code == 200, answer.text
    item: dict[str, object] = answer.json()["data"][0]
    return item


async def test_sent_chat_is_kept_in_the_books(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sent = await _say(twitch, "hello")
    assert sent["is_sent"] and sent["message_id"]
    (record,) = sandbox.state()["twitch"]["sent_chat"]
    assert record["text"] == "hello" and record["message_id"] == sent["message_id"]


async def test_a_message_may_come_in_the_query(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    query = {"broadcaster_id": twitch.user_id, "sender_id": twitch.user_id, "message": "hello"}
    answer = await twitch.call("POST", "/chat/messages", params=query)
    assert answer.json()["data"][0]["is_sent"]
    assert sandbox.state()["twitch"]["sent_chat"][0]["text"] == "hello"


async def test_200_is_not_success_when_a_message_is_dropped(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.twitch.knobs.drop_chat = 1
    dropped = await _say(twitch, "hello")
    assert dropped["is_sent"] is False and dropped["message_id"] == ""
    assert dropped["drop_reason"]["code"] == "msg_rejected"  # type: ignore[index]
    assert (await _say(twitch, "hello"))["is_sent"]
    assert [r["is_sent"] for r in sandbox.state()["twitch"]["sent_chat"]] == [False, True]


async def test_repetition_and_pace_are_limited_for_ordinary_users(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    ada = sandbox.twitch.user("ada")
    sandbox.twitch.channel(ada)
    there = {"broadcaster_id": ada.id}
    assert (await _say(twitch, "same", **there))["is_sent"]
    again = await _say(twitch, "same", **there)
    assert again["drop_reason"]["code"] == "msg_duplicate"  # type: ignore[index]
    for number in range(19):
        assert (await _say(twitch, f"{number}", **there))["is_sent"]
    fast = await _say(twitch, "more", **there)
    assert fast["drop_reason"]["code"] == "msg_ratelimit"  # type: ignore[index]
    sandbox.agenda.advance(31)
    assert (await _say(twitch, "same", **there))["is_sent"]
    # The broadcaster may repeat.
    assert (await _say(twitch, "x"))["is_sent"] and (await _say(twitch, "x"))["is_sent"]


async def test_a_bad_chat_message_is_an_error(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    me = {"broadcaster_id": twitch.user_id, "sender_id": twitch.user_id}
    for body, status in (
        ({**me, "message": "x" * 501}, 422),
        ({**me, "message": " "}, 400),
        ({**me, "sender_id": "1", "message": "x"}, 401),
        ({**me, "broadcaster_id": "1", "message": "x"}, 400),
        ({**me, "message": "x", "for_source_only": True}, 400),
    ):
        assert (await twitch.call("POST", "/chat/messages", json=body)).status_code == status
    ada = sandbox.twitch.user("ada")
    sandbox.twitch.channel(ada).banned[twitch.user_id] = None
    body = {**me, "broadcaster_id": ada.id, "message": "x"}
    assert (await twitch.call("POST", "/chat/messages", json=body)).status_code == 403


async def test_moderation_deletes_bans_and_unbans(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
    ada = sandbox.twitch.user("ada")
    message_id = sandbox.acts.say(channel, ada, "spam")
    who = f"broadcaster_id={twitch.user_id}&moderator_id={twitch.user_id}"
    delete = f"/moderation/chat?{who}&message_id={message_id}"
    assert (await twitch.call("DELETE", delete)).status_code == 204
    assert (await twitch.call("DELETE", f"{delete}x")).status_code == 404
    own = sandbox.acts.say(channel, channel.owner, "mine")
    path = f"/moderation/chat?{who}&message_id={own}"
    assert (await twitch.call("DELETE", path)).status_code == 400
    bans = f"/moderation/bans?{who}"
    body = {"data": {"user_id": ada.id, "duration": 60, "reason": "spam"}}
    (ban,) = (await twitch.call("POST", bans, json=body)).json()["data"]
    assert ban["end_time"] and ban["user_id"] == ada.id
    del body["data"]["duration"]
    assert (await twitch.call("POST", bans, json=body)).json()["data"][0]["end_time"] is None
    assert (await twitch.call("POST", bans, json=body)).status_code == 400
    assert (await twitch.call("DELETE", f"{bans}&user_id={ada.id}")).status_code == 204
    assert (await twitch.call("DELETE", f"{bans}&user_id={ada.id}")).status_code == 400
    assert (await twitch.call("DELETE", f"/moderation/chat?{who}")).status_code == 204
    kinds = [d.kind for d in sandbox.eventsub.deliveries["demo"]]
    assert "channel.chat.message_delete" in kinds and "channel.chat.clear" in kinds
    assert "channel.ban" in kinds and "channel.unban" in kinds


async def test_only_moderators_moderate(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    ada = sandbox.twitch.user("ada")
    sandbox.twitch.channel(ada)
    path = f"/chat/chatters?broadcaster_id={ada.id}&moderator_id={twitch.user_id}"
    assert (await twitch.call("GET", path)).status_code == 403
    sandbox.twitch.channel(ada).moderators.add(twitch.user_id)
    assert (await twitch.call("GET", path)).status_code == 200


async def test_get_streams_may_lag(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sandbox.twitch.knobs.streams_lag = 60.0
    channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
    sandbox.twitch.begin_push(channel.stream_key, "here")
    path = f"/streams?user_login=demo&user_id={twitch.user_id}"
    assert (await twitch.call("GET", path)).json()["data"] == []
    sandbox.agenda.advance(61)
    assert len((await twitch.call("GET", path)).json()["data"]) == 1


async def test_the_ingests_name_the_sandbox(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    answer = await twitch.http.get(f"{sandbox.urls['twitch']}/ingests")
    template = answer.json()["ingests"][0]["url_template"]
    assert template == sandbox.urls["twitch_ingest"] + "/{stream_key}"


async def test_a_broadcast_survives_a_short_gap() -> None:
    async with open_sandbox(base_port=0, options=SandboxOptions(offline_delay=90)) as sandbox:
        channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
        sandbox.twitch.begin_push(channel.stream_key, "a")
        stream_id = channel.stream_id
        sandbox.twitch.end_push("a")
        sandbox.twitch.begin_push(channel.stream_key, "b")
        assert channel.stream_id == stream_id
        assert [d.kind for d in sandbox.eventsub.deliveries["demo"]] == ["stream.online"]
