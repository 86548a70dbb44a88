import json

import httpx
import pytest
import trio

from streampai.sandbox import Sandbox, SandboxOptions, open_sandbox

from .callers import EventSubSocket, TwitchCaller, open_raw, open_socket, until


def _say(sandbox: Sandbox, text: str = "hi") -> str:
    channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
    return sandbox.acts.say(channel, sandbox.twitch.user("ada"), text)


async def test_the_welcome_states_the_session(sandbox: Sandbox) -> None:
    url = f"{sandbox.urls['twitch_eventsub']}?keepalive_timeout_seconds=30"
    async with open_socket(sandbox, url) as socket:
        session = socket.welcome["payload"]["session"]
        assert session["status"] == "connected" and session["keepalive_timeout_seconds"] == 30
        assert session["reconnect_url"] is None
        assert socket.welcome["metadata"]["message_type"] == "session_welcome"


@pytest.mark.parametrize(("asked", "given"), [("", 10), ("?k=1", 10), ("5000", 600), ("0", 1)])
async def test_a_keepalive_out_of_range_is_clamped(
    sandbox: Sandbox, asked: str, given: int
) -> None:
    query = f"?keepalive_timeout_seconds={asked}" if asked.isdigit() else asked
    async with open_socket(sandbox, sandbox.urls["twitch_eventsub"] + query) as socket:
        assert socket.welcome["payload"]["session"]["keepalive_timeout_seconds"] == given


async def test_keepalives_come_only_in_silence(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    url = f"{sandbox.urls['twitch_eventsub']}?keepalive_timeout_seconds=1"
    async with open_socket(sandbox, url) as socket:
        await twitch.subscribe_chat(socket.id)
        kinds = []
        with trio.move_on_after(1.6):
            async with trio.open_nursery() as nursery:

                async def read() -> None:
                    while True:
                        kinds.append((await socket.message())["metadata"]["message_type"])

                nursery.start_soon(read)
                for _ in range(3):
                    _say(sandbox)
                    await trio.sleep(0.5)
        assert kinds == ["notification"] * 3
        message = await socket.message()
        assert message["metadata"]["message_type"] == "session_keepalive"
        assert message["payload"] == {}


async def test_a_notification_has_envelope_subscription_and_event(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        made = (await twitch.subscribe_chat(socket.id)).json()
        message_id = _say(sandbox, "hello")
        message = await socket.message()
    metadata, payload = message["metadata"], message["payload"]
    assert metadata["subscription_type"] == "channel.chat.message"
    assert metadata["subscription_version"] == "1"
    assert payload["subscription"]["id"] == made["data"][0]["id"]
    assert payload["subscription"]["transport"]["session_id"] == socket.id
    assert payload["event"]["message_id"] == message_id
    assert made["total"] == 1 and made["total_cost"] == 0 and made["max_total_cost"] == 10


async def test_data_from_the_client_closes_with_4001(sandbox: Sandbox) -> None:
    async with open_socket(sandbox) as socket:
        await socket.socket.send_message("hello")
        assert await socket.closed() == 4001


async def test_an_unused_socket_closes_with_4003() -> None:
    options = SandboxOptions(unused_timeout=0.05)
    async with (
        open_sandbox(base_port=0, options=options) as sandbox,
        open_socket(sandbox) as socket,
    ):
        assert await socket.closed() == 4003


async def test_a_socket_whose_last_subscription_went_closes_with_4003(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        made = (await twitch.subscribe_chat(socket.id)).json()["data"][0]
        sandbox.agenda.advance(700)
        path = f"/eventsub/subscriptions?id={made['id']}"
        assert (await twitch.call("DELETE", path)).status_code == 204
        assert (await twitch.call("DELETE", path)).status_code == 404
        sandbox.agenda.advance(700)
        assert await socket.closed() == 4003


async def test_the_same_subscription_twice_is_409_with_the_first_ones_id(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        first = (await twitch.subscribe_chat(socket.id)).json()["data"][0]["id"]
        again = await twitch.subscribe_chat(socket.id)
    assert again.status_code == 409
    assert again.json()["message"] == "subscription already exists"
    assert again.json()["id"] == first


async def test_a_stale_session_is_400(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with open_socket(sandbox) as socket:
        pass
    await until(lambda: not sandbox.eventsub.sessions)
    answer = await twitch.subscribe_chat(socket.id)
    assert answer.status_code == 400 and "does not exist" in answer.json()["message"]


async def test_two_users_on_one_socket_are_refused(
    sandbox: Sandbox, twitch: TwitchCaller, http: httpx.AsyncClient
) -> None:
    other = await TwitchCaller(sandbox, http).log_in("ada")
    async with open_socket(sandbox) as socket:
        assert (await twitch.subscribe_chat(socket.id)).status_code == 202
        refused = await other.subscribe_chat(socket.id)
    assert refused.status_code == 400 and "different users" in refused.json()["message"]


async def test_a_fourth_socket_is_over_the_quota(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with (
        open_socket(sandbox) as one,
        open_socket(sandbox) as two,
        open_socket(sandbox) as three,
        open_socket(sandbox) as four,
    ):
        for socket in (one, two, three):
            assert (await twitch.subscribe_chat(socket.id)).status_code == 202
        refused = await twitch.subscribe_chat(four.id)
        assert refused.status_code == 429
        assert refused.json()["message"] == "number of websocket transports limit exceeded"
        # A quota, not the rate.
        assert int(refused.headers["ratelimit-remaining"]) > 0


async def test_sockets_that_broke_may_count_for_a_while(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.eventsub.subscriptions.orphan_seconds = 60.0
    for _ in range(3):
        async with open_socket(sandbox) as socket:
            assert (await twitch.subscribe_chat(socket.id)).status_code == 202
    await until(lambda: not sandbox.eventsub.sessions)
    async with open_socket(sandbox) as socket:
        assert (await twitch.subscribe_chat(socket.id)).status_code == 429
        sandbox.agenda.advance(61)
        assert (await twitch.subscribe_chat(socket.id)).status_code == 202


async def test_one_socket_takes_so_many_subscriptions_and_no_more() -> None:
    async with (
        open_sandbox(base_port=0, options=SandboxOptions(max_subscriptions=2)) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
        open_socket(sandbox) as socket,
    ):
        twitch = await TwitchCaller(sandbox, http).log_in("demo")
        assert (await twitch.subscribe(socket.id, "stream.online")).status_code == 202
        assert (await twitch.subscribe(socket.id, "stream.offline")).status_code == 202
        assert (await twitch.subscribe(socket.id, "channel.update", "2")).status_code == 429


async def test_strangers_channels_cost_and_ten_is_the_most(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        for number in range(11):
            stranger = sandbox.twitch.user(f"stranger{number}").id
            answer = await twitch.subscribe(
                socket.id, "stream.online", broadcaster_user_id=stranger
            )
            assert answer.status_code == (202 if number < 10 else 429)
        free = await twitch.subscribe(socket.id, "stream.online")
        assert free.status_code == 202 and free.json()["total_cost"] == 10


@pytest.mark.parametrize(
    ("kind", "version", "status"),
    [
        ("channel.follow", "1", 410),
        ("channel.hype_train.begin", "1", 410),
        ("channel.chat.message", "2", 400),
        ("channel.unheard_of", "1", 400),
        ("channel.follow", "2", 400),
        ("channel.raid", "1", 400),
    ],
)
async def test_types_versions_and_conditions_are_checked(
    sandbox: Sandbox, twitch: TwitchCaller, kind: str, version: str, status: int
) -> None:
    async with open_socket(sandbox) as socket:
        answer = await twitch.subscribe(socket.id, kind, version)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "status", "message"}


async def test_an_unknown_user_in_a_condition_is_400(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        answer = await twitch.subscribe(socket.id, "stream.online", broadcaster_user_id="5")
    assert answer.status_code == 400


async def test_scopes_and_moderators_decide_who_may_subscribe(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    ada = sandbox.twitch.user("ada")
    channel = sandbox.twitch.channel(ada)
    async with open_socket(sandbox) as socket:
        follows = {"broadcaster_user_id": ada.id, "moderator_user_id": twitch.user_id}
        refused = await twitch.subscribe(socket.id, "channel.follow", "2", **follows)
        assert refused.status_code == 403
        assert refused.json()["message"] == "subscription missing proper authorization"
        channel.moderators.add(twitch.user_id)
        allowed = await twitch.subscribe(socket.id, "channel.follow", "2", **follows)
        assert allowed.status_code == 202
        foreign = await twitch.subscribe(socket.id, "channel.subscribe", broadcaster_user_id=ada.id)
        assert foreign.status_code == 403
        await twitch.log_in("demo", "bits:read")
        assert (await twitch.subscribe_chat(socket.id)).status_code == 403


async def test_an_app_token_cannot_subscribe_a_socket(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    form = {**twitch.client, "grant_type": "client_credentials"}
    twitch.tokens = (await twitch.http.post(f"{twitch.auth}/token", data=form)).json()
    async with open_socket(sandbox) as socket:
        assert (await twitch.subscribe(socket.id, "stream.online")).status_code == 401


async def test_ended_subscriptions_stay_listed_with_the_reason(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        sandbox.eventsub.cut(code=4005)
        assert await socket.closed() == 4005
    await until(lambda: not sandbox.eventsub.sessions)
    path = "/eventsub/subscriptions"
    (item,) = (await twitch.call("GET", path)).json()["data"]
    assert item["status"] == "websocket_network_timeout"
    assert item["transport"]["disconnected_at"]
    assert (await twitch.call("GET", f"{path}?status=enabled")).json()["data"] == []
    both = f"{path}?status=enabled&type=channel.raid"
    assert (await twitch.call("GET", both)).status_code == 400
    sandbox.agenda.advance(3601)
    assert (await twitch.call("GET", path)).json()["total"] == 0


async def test_a_user_who_disconnects_the_application_revokes_each_subscription(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        await twitch.subscribe(socket.id, "stream.online")
        sandbox.twitch.revoke_grants(sandbox.twitch.user("demo"))
        for _ in range(2):
            message = await socket.message()
            assert message["metadata"]["message_type"] == "revocation"
            subscription = message["payload"]["subscription"]
            assert subscription["status"] == "authorization_revoked"
        sandbox.agenda.advance(700)
        assert await socket.closed() == 4003


async def test_an_expired_token_leaves_the_socket_alone(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        sandbox.twitch.expire_tokens()
        message_id = _say(sandbox)
        assert (await socket.event())["message_id"] == message_id


# The reconnect dance


async def _told_to_reconnect(sandbox: Sandbox, socket: EventSubSocket) -> str:
    assert sandbox.eventsub.reconnect() == 1
    message = await socket.message()
    assert message["metadata"]["message_type"] == "session_reconnect"
    session = message["payload"]["session"]
    assert session["status"] == "reconnecting" and session["id"] == socket.id
    return str(session["reconnect_url"])


async def test_subscriptions_move_to_the_new_socket_without_a_gap(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as old:
        await twitch.subscribe_chat(old.id)
        url = await _told_to_reconnect(sandbox, old)
        before = _say(sandbox, "before")
        assert (await old.event())["message_id"] == before
        async with open_socket(sandbox, url) as new:
            after = _say(sandbox, "after")
            assert (await new.event())["message_id"] == after
            await old.socket.aclose()
            last = _say(sandbox, "last")
            assert (await new.event())["message_id"] == last
            # The new welcome's id is the one to subscribe with.
            assert (await twitch.subscribe(new.id, "stream.online")).status_code == 202
    assert all(d.delivered == 1 for d in sandbox.eventsub.deliveries["demo"])


async def test_who_ignores_a_reconnect_is_closed_with_4004(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as old:
        await twitch.subscribe_chat(old.id)
        await _told_to_reconnect(sandbox, old)
        sandbox.agenda.advance(31)
        assert await old.closed() == 4004


async def test_a_wrong_a_used_and_a_late_reconnect_url_close_with_4007(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async def refused(url: str) -> bool:
        async with open_raw(url) as socket:
            return await EventSubSocket(socket, _NO_WELCOME).closed() == 4007

    async with open_socket(sandbox) as old:
        await twitch.subscribe_chat(old.id)
        url = await _told_to_reconnect(sandbox, old)
        assert await refused(f"{sandbox.urls['twitch_eventsub']}?challenge=x&id={old.id}")
        assert await refused(url.replace(old.id, "AgoQother"))
        async with open_socket(sandbox, url):
            assert await refused(url)
    async with open_socket(sandbox) as old:
        await twitch.subscribe_chat(old.id)
        url = await _told_to_reconnect(sandbox, old)
    await until(lambda: not sandbox.eventsub.sessions)
    assert await refused(url)


_NO_WELCOME = json.loads('{"payload": {"session": {"id": ""}}}')


async def test_a_reconnect_url_may_be_refused_at_the_door(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.eventsub.knobs.refuse_reconnect = True
    async with open_socket(sandbox) as old:
        await twitch.subscribe_chat(old.id)
        url = await _told_to_reconnect(sandbox, old)
        answer = await twitch.http.get(
            url.replace("ws://", "http://"),
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            },
        )
        assert answer.status_code == 503
        # The old socket still delivers until its grace is over.
        message_id = _say(sandbox)
        assert (await old.event())["message_id"] == message_id
