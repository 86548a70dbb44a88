import json

import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected

from streampai.sandbox import Sandbox

from .callers import TwitchCaller, open_socket, until


def _say(sandbox: Sandbox, text: str = "hi") -> str:
    channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
    return sandbox.acts.say(channel, sandbox.twitch.user("ada"), text)


def _delivered(sandbox: Sandbox) -> list[bool]:
    return [d["delivered"] for d in sandbox.state()["twitch"]["delivered"]["demo"]]


async def test_the_books_know_what_nobody_got(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    first = _say(sandbox)
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        second = _say(sandbox)
        assert (await socket.event())["message_id"] == second
        sandbox.eventsub.cut()
        assert await socket.closed() == 1006
    await until(lambda: not sandbox.eventsub.sessions)
    third = _say(sandbox)
    books = sandbox.state()["twitch"]["delivered"]["demo"]
    assert [d["id"] for d in books] == [first, second, third]
    assert _delivered(sandbox) == [False, True, False]


async def test_what_was_delivered_before_a_cut_arrives_and_what_was_not_does_not(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        for number in range(2000):
            _say(sandbox, str(number))
        (session,) = sandbox.eventsub.open_sessions()
        await until(lambda: session.sent > 50)
        sandbox.eventsub.cut()
        got = []
        with pytest.raises(ConnectionClosed):
            while True:
                got.append((await socket.event())["message_id"])
    await until(lambda: not sandbox.eventsub.sessions)
    books = sandbox.state()["twitch"]["delivered"]["demo"]
    assert 0 < len(got) < 2000
    assert [d["id"] for d in books if d["delivered"]] == got


async def test_a_silent_socket_is_open_and_dumb(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    url = f"{sandbox.urls['twitch_eventsub']}?keepalive_timeout_seconds=1"
    async with open_socket(sandbox, url) as socket:
        await twitch.subscribe_chat(socket.id)
        assert sandbox.eventsub.silence("demo") == 1
        _say(sandbox, "lost")
        with trio.move_on_after(1.3) as waiting:
            await socket.message()
        assert waiting.cancelled_caught
        sandbox.eventsub.silence(silent=False)
        heard = _say(sandbox, "heard")
        assert (await socket.event())["message_id"] == heard
    assert _delivered(sandbox) == [False, True]


async def test_a_duplicate_has_the_same_message_id(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sandbox.eventsub.knobs.duplicate = 1.0
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        _say(sandbox)
        one, two = await socket.message(), await socket.message()
    assert one == two
    assert _delivered(sandbox) == [True]


async def test_a_reordered_event_comes_after_its_follower(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        sandbox.eventsub.knobs.reorder = 1.0
        first, second = _say(sandbox), _say(sandbox)
        assert [(await socket.event())["message_id"] for _ in range(2)] == [second, first]
        # Without a follower it comes all the same.
        third = _say(sandbox)
        assert (await socket.event())["message_id"] == third


async def test_a_late_event_keeps_its_old_time(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        sandbox.eventsub.knobs.late, sandbox.eventsub.knobs.late_seconds = 1.0, 700.0
        first = _say(sandbox)
        sandbox.eventsub.knobs.late = 0.0
        second = _say(sandbox)
        one = await socket.message()
        sandbox.agenda.advance(701)
        two = await socket.message()
    assert [m["payload"]["event"]["message_id"] for m in (one, two)] == [second, first]
    times = [m["metadata"]["message_timestamp"] for m in (one, two)]
    assert times[1] < times[0]


async def test_malformed_frames_come_beside_the_true_ones(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.eventsub.knobs.malformed = 1.0
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        ids = [_say(sandbox) for _ in range(20)]
        got, bad = [], 0
        for _ in range(40):
            try:
                message = json.loads(await socket.text())
                got.append(message["payload"]["event"]["message_id"])
            except (ValueError, KeyError, TypeError):
                bad += 1
    assert got == ids and bad == 20


async def test_sockets_can_be_cut_every_so_often(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sandbox.eventsub.cut_every(0.05)
    for _ in range(3):
        async with open_socket(sandbox) as socket:
            assert await socket.closed() == 1006
    sandbox.eventsub.heal()
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        await trio.sleep(0.3)
        message_id = _say(sandbox)
        assert (await socket.event())["message_id"] == message_id


async def test_connections_can_be_refused_for_a_while(sandbox: Sandbox) -> None:
    sandbox.eventsub.knobs.refuse_sockets = 1
    with pytest.raises(ExceptionGroup) as refused:
        async with open_socket(sandbox):
            pass
    assert refused.group_contains(ConnectionRejected)
    async with open_socket(sandbox):
        pass


async def test_close_codes_reach_only_the_named_users_sockets(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as mine, open_socket(sandbox) as nobodys:
        await twitch.subscribe_chat(mine.id)
        assert sandbox.eventsub.cut("demo", code=4000) == 1
        assert await mine.closed() == 4000
        assert len(sandbox.eventsub.open_sessions()) == 1
        assert nobodys.id in sandbox.eventsub.sessions


async def test_an_event_may_come_again_with_another_message_id(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.eventsub.knobs.repeat = 1.0
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        _say(sandbox)
        one, two = await socket.message(), await socket.message()
    assert one["payload"] == two["payload"]
    ids = [m["metadata"]["message_id"] for m in (one, two)]
    assert ids[0] != ids[1]
    assert sandbox.state()["twitch"]["delivered"]["demo"][0]["message_ids"] == ids


async def test_one_subscription_can_be_revoked_and_the_rest_goes_on(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        await twitch.subscribe(socket.id, "stream.online")
        count = sandbox.eventsub.revoke_some("demo", "stream.online", "version_removed")
        message = await socket.message()
        assert count == 1 and message["metadata"]["subscription_type"] == "stream.online"
        assert message["payload"]["subscription"]["status"] == "version_removed"
        message_id = _say(sandbox)
        assert (await socket.event())["message_id"] == message_id
