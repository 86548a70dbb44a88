"""Coming back: exactly what was missed, or the news that it cannot be had."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from streampai.errors import CommandRefused
from streampai.telemetry.events import BrowserResumed
from streampai.web.subscriptions import MAX_SUBSCRIPTIONS, REJECT_UNRECOVERED
from tests.web.raw_socket import RawSocket
from tests.web.site import Site, Visitor, eventually, open_site

TOPIC = "platform:twitch:1"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path, {"EVENT_HISTORY_SIZE": "5"}) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


@pytest.fixture
async def socket(site: Site, visitor: Visitor) -> RawSocket:
    return await site.browser(visitor)


def position(site: Site, offset: int, topic: str = TOPIC) -> dict[str, Any]:
    epoch = site.pubsub.position(topic).epoch
    return {"channel": topic, "recover": True, "offset": offset, "epoch": epoch}


async def test_what_memory_holds_is_given_again(site: Site, socket: RawSocket) -> None:
    await site.publish(TOPIC, 1, 2, 3)
    reply = (await socket.ask(subscribe=position(site, 1)))["subscribe"]
    assert reply == {
        "recoverable": True,
        "positioned": True,
        "was_recovering": True,
        "recovered": True,
        "epoch": site.pubsub.position(TOPIC).epoch,
        "offset": 1,
        "publications": [{"data": {"n": 2}, "offset": 2}, {"data": {"n": 3}, "offset": 3}],
    }
    [event] = [e for e in site.events if isinstance(e, BrowserResumed)]
    assert (event.topic, event.recovered, event.publications) == (TOPIC, True, 2)


async def test_what_only_the_store_holds_is_given_again(site: Site, socket: RawSocket) -> None:
    await site.publish(TOPIC, *range(1, 21), store=True)
    reply = (await socket.ask(subscribe=position(site, 2)))["subscribe"]
    assert reply["recovered"] is True
    assert [p["offset"] for p in reply["publications"]] == list(range(3, 21))


async def test_nothing_is_missing_or_doubled_when_events_come_while_the_store_is_read(
    site: Site, socket: RawSocket
) -> None:
    await site.publish(TOPIC, *range(1, 11), store=True)
    tail = site.storage.events.tail

    async def slow_tail(*args: Any, **kwargs: Any) -> list[tuple[int, bytes]]:
        rows = await tail(*args, **kwargs)
        await site.publish(TOPIC, 11, 12, 13)
        await trio.lowlevel.checkpoint()
        return rows

    site.storage.events.tail = slow_tail  # type: ignore[method-assign]
    reply = (await socket.ask(subscribe=position(site, 2)))["subscribe"]
    await site.publish(TOPIC, 14)
    offsets = [p["offset"] for p in reply["publications"]]
    offsets.append((await socket.next())["push"]["pub"]["offset"])
    assert offsets == list(range(3, 15))


async def test_nothing_missed_is_recovered_without_publications(
    site: Site, socket: RawSocket
) -> None:
    await site.publish(TOPIC, 1)
    reply = (await socket.ask(subscribe=position(site, 1)))["subscribe"]
    assert reply["recovered"] is True and reply["offset"] == 1
    assert "publications" not in reply and "data" not in reply


@pytest.mark.parametrize(
    "wish",
    [
        {"offset": 1, "epoch": "another life"},
        {"offset": 99},
        {"offset": 0, "epoch": "_"},
    ],
)
async def test_what_cannot_be_given_whole_is_told_and_a_snapshot_given_instead(
    site: Site, socket: RawSocket, wish: dict[str, Any]
) -> None:
    await site.publish(TOPIC, *range(1, 11))
    reply = (await socket.ask(subscribe={"channel": TOPIC, "recover": True, **wish}))["subscribe"]
    assert reply["was_recovering"] is True and "recovered" not in reply
    assert "publications" not in reply
    assert reply["offset"] == 10 and reply["data"] == {"snapshot": TOPIC}


async def test_a_client_may_ask_for_an_error_instead(site: Site, socket: RawSocket) -> None:
    wish = {"channel": TOPIC, "recover": True, "epoch": "_", "flag": 1 | REJECT_UNRECOVERED}
    reply = await socket.ask(subscribe=wish)
    assert reply["error"] == {"code": 112, "message": "unrecoverable position"}
    assert "subscribe" in await socket.ask(subscribe={"channel": TOPIC})


async def test_the_end_of_a_topics_life_makes_the_browser_subscribe_anew(
    site: Site, socket: RawSocket
) -> None:
    await site.publish(TOPIC, 1)
    await socket.ask(subscribe={"channel": TOPIC})
    before = position(site, 1)
    site.pubsub.drop_topic(TOPIC)
    push = (await socket.next())["push"]
    assert push["unsubscribe"] == {"code": 2500, "reason": "insufficient state"}
    reply = await socket.ask(subscribe=before)
    assert reply["error"]["code"] == 450 and reply["error"]["temporary"] is True
    site.pubsub.open_topic(TOPIC)
    assert "recovered" not in (await socket.ask(subscribe=before))["subscribe"]


async def test_a_tree_that_restarts_is_a_temporary_error(site: Site, socket: RawSocket) -> None:
    del site.manager.users[1]
    reply = await socket.ask(subscribe={"channel": TOPIC})
    assert reply["error"]["code"] == 450 and reply["error"]["temporary"] is True


async def test_commands_keep_their_order_while_the_store_is_slow(
    site: Site, socket: RawSocket
) -> None:
    await site.publish(TOPIC, *range(1, 11), store=True)
    tail, go_on = site.storage.events.tail, trio.Event()

    async def slow_tail(*args: Any, **kwargs: Any) -> list[tuple[int, bytes]]:
        await go_on.wait()
        return await tail(*args, **kwargs)

    site.storage.events.tail = slow_tail  # type: ignore[method-assign]
    await socket.say({"subscribe": position(site, 1)}, {"unsubscribe": {"channel": TOPIC}})
    await site.publish(TOPIC, 11)
    go_on.set()
    assert "subscribe" in await socket.next()
    assert (await socket.next())["unsubscribe"] == {}
    assert site.pubsub.subscribers(TOPIC) == 0


async def test_a_browser_that_leaves_while_the_store_is_read_subscribes_to_nothing(
    site: Site, socket: RawSocket
) -> None:
    await site.publish(TOPIC, *range(1, 11), store=True)
    reading, go_on = trio.Event(), trio.Event()

    async def slow_tail(*args: Any, **kwargs: Any) -> list[tuple[int, bytes]]:
        reading.set()
        await go_on.wait()
        return []

    site.storage.events.tail = slow_tail  # type: ignore[method-assign]
    await socket.say({"subscribe": position(site, 1)})
    await reading.wait()
    await socket.stream.aclose()
    go_on.set()
    await eventually(lambda: not site.manager.present)
    assert site.pubsub.subscribers(TOPIC) == 0


async def test_history_gives_pages_and_the_position(site: Site, socket: RawSocket) -> None:
    await site.publish(TOPIC, *range(1, 11), store=True)
    page = (await socket.ask(history={"channel": TOPIC, "limit": 2}))["history"]
    assert [p["offset"] for p in page["publications"]] == [1, 2] and page["offset"] == 10
    since = {"offset": 9, "epoch": page["epoch"]}
    wish = {"channel": TOPIC, "limit": -1, "since": since, "reverse": True}
    page = (await socket.ask(history=wish))["history"]
    assert [p["offset"] for p in page["publications"]] == list(range(8, 0, -1))
    page = (await socket.ask(history={"channel": TOPIC}))["history"]
    assert page == {"epoch": since["epoch"], "offset": 10}


async def test_only_ones_own_topics_can_be_seen(site: Site, socket: RawSocket) -> None:
    await site.visitor("other")
    channels = {
        "user_stream:2": 103,
        "platform:twitch:2": 103,
        "user_stream:01": 102,
        "user_stream:١": 107,
        "platform:unheard_of:1": 102,
        "something": 102,
        "x" * 256: 107,
    }
    for command in ("subscribe", "presence", "presence_stats", "history"):
        for channel, code in channels.items():
            reply = await socket.ask(**{command: {"channel": channel}})
            assert reply["error"]["code"] == code, channel
            assert site.refusals[-1] == (str(code), f"websocket {command}")


async def test_every_refusal_has_its_code(site: Site, socket: RawSocket) -> None:
    refused: list[tuple[dict[str, Any], int]] = [
        ({"publish": {"channel": TOPIC, "data": {}}}, 103),
        ({"sub_refresh": {"channel": TOPIC, "token": "x"}}, 108),
        ({"refresh": {"token": "wrong"}}, 109),
        ({"rpc": {"method": "no_such_thing", "data": {}}}, 104),
        ({"rpc": {"method": 1}}, 107),
        ({"rpc": {"data": {}}}, 104),
        ({"rpc": {"method": "start_stream", "data": {"platforms": ["twitch"]}}}, 400),
        ({"rpc": {"method": "start_stream", "data": []}}, 400),
        ({"rpc": {"method": "start_stream"}}, 400),
        ({"subscribe": {"channel": TOPIC, "type": 1}}, 108),
        ({"subscribe": {"channel": TOPIC, "recover": 1}}, 107),
        ({"subscribe": {"channel": TOPIC, "offset": "1"}}, 107),
        ({"history": {"channel": TOPIC, "limit": 1, "since": {"offset": 1, "epoch": "_"}}}, 112),
        ({"history": {"channel": TOPIC, "since": {"offset": 0}, "reverse": True}}, 107),
        ({"history": {"channel": TOPIC, "limit": "1"}}, 107),
        ({"history": {"channel": TOPIC, "since": 1}}, 107),
        ({"history": {"channel": TOPIC, "since": {"offset": "1"}}}, 107),
        ({"history": {"channel": TOPIC, "reverse": 1}}, 107),
    ]
    for command, code in refused:
        before = len(site.refusals)
        reply = await socket.ask(**command)
        assert reply["error"]["code"] == code and reply["error"]["message"], command
        assert len(site.refusals) == before + 1


async def test_a_second_subscription_of_a_topic_is_refused(socket: RawSocket) -> None:
    await socket.ask(subscribe={"channel": TOPIC})
    assert (await socket.ask(subscribe={"channel": TOPIC}))["error"]["code"] == 105


async def test_unsubscribing_is_never_an_error(site: Site, socket: RawSocket) -> None:
    await socket.ask(subscribe={"channel": TOPIC})
    for _ in range(2):
        assert (await socket.ask(unsubscribe={"channel": TOPIC}))["unsubscribe"] == {}
    await site.publish(TOPIC, 1)
    assert "presence" in await socket.ask(presence={"channel": TOPIC})


async def test_subscriptions_are_bounded(
    site: Site, socket: RawSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = [f"platform:p{n}:1" for n in range(MAX_SUBSCRIPTIONS + 1)]
    for topic in topics:
        site.pubsub.open_topic(topic)
    monkeypatch.setattr(site.manager.user(1), "topics", lambda: topics)
    await socket.say(*[{"subscribe": {"channel": topic}} for topic in topics])
    replies = [await socket.next() for _ in topics]
    assert [reply.get("error", {}).get("code") for reply in replies] == [
        *[None] * MAX_SUBSCRIPTIONS,
        106,
    ]


async def test_presence_tells_who_is_there_and_joins_are_told_to_who_asked(
    site: Site, visitor: Visitor, socket: RawSocket
) -> None:
    await socket.ask(subscribe={"channel": TOPIC, "join_leave": True})
    own = (await socket.next())["push"]["join"]["info"]
    assert own["user"] == "1"
    second = await site.browser(visitor)
    await second.ask(subscribe={"channel": TOPIC})
    joined = (await socket.next())["push"]["join"]["info"]
    presence = (await socket.ask(presence={"channel": TOPIC}))["presence"]["presence"]
    assert presence == {own["client"]: own, joined["client"]: joined}
    stats = (await socket.ask(presence_stats={"channel": TOPIC}))["presence_stats"]
    assert stats == {"num_clients": 2, "num_users": 1}
    await second.stream.aclose()
    assert (await socket.next())["push"]["leave"]["info"] == joined


async def test_a_refused_connect_drops_the_rest_of_its_frame(site: Site, visitor: Visitor) -> None:
    site.manager.refusal = CommandRefused(code="too_many_users")
    socket = await site.socket(visitor)
    await socket.say({"connect": {}}, {"subscribe": {"channel": TOPIC}})
    reply = await socket.next()
    assert reply["error"]["code"] == 428 and reply["error"]["temporary"] is True
    with trio.move_on_after(0.1):
        raise AssertionError(await socket.next())
    await socket.say({"subscribe": {"channel": TOPIC}})
    assert await socket.closed() == (3501, "bad request")


async def test_replies_larger_than_the_queue_reach_who_reads(
    site: Site, socket: RawSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = b'"%b"' % (b"x" * 1_000_000)
    monkeypatch.setattr(site.manager.user(1), "topic_snapshot", lambda topic: snapshot)
    topics = site.manager.user(1).topics()
    await socket.say(*[{"subscribe": {"channel": topic}} for topic in topics])
    replies, pushes = 0, 0
    while replies < len(topics) or pushes < len(topics):
        message = await socket.next()
        if "push" in message:
            pushes += 1
        else:
            assert len(message["subscribe"]["data"]) == 1_000_000
            await site.publish(topics[replies], 1)
            replies += 1
