from typing import Any

from streampai.sandbox import Sandbox
from streampai.sandbox.twitch_payloads import NOTICES, fragments
from streampai.sandbox.twitch_state import Channel

from .callers import EventSubSocket, TwitchCaller, open_socket

KINDS = (
    "channel.subscribe",
    "channel.subscription.gift",
    "channel.subscription.message",
    "channel.cheer",
    "channel.bits.use",
)


async def _subscribe_all(twitch: TwitchCaller, socket: EventSubSocket) -> None:
    for kind in KINDS:
        assert (await twitch.subscribe(socket.id, kind)).status_code == 202
    for kind in ("message", "notification"):
        assert (await twitch.subscribe_chat(socket.id, kind)).status_code == 202
    raid = await twitch.subscribe(socket.id, "channel.raid", to_broadcaster_user_id=twitch.user_id)
    assert raid.status_code == 202


def _demo(sandbox: Sandbox) -> Channel:
    return sandbox.twitch.channel(sandbox.twitch.user("demo"))


async def _next(socket: EventSubSocket, count: int) -> list[tuple[str, dict[str, Any]]]:
    found = []
    while len(found) < count:
        message = await socket.message()
        if message["metadata"]["message_type"] == "notification":
            kind = message["metadata"]["subscription_type"]
            found.append((kind, message["payload"]["event"]))
    return found


async def test_a_gift_bomb_is_told_in_every_way(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with open_socket(sandbox) as socket:
        await _subscribe_all(twitch, socket)
        gift_id = sandbox.scenarios.play("gift_bomb", {"from": "ada", "count": 3})["result"]
        events = await _next(socket, 8)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for kind, event in events:
        by_kind.setdefault(kind, []).append(event)
    (gift,) = by_kind["channel.subscription.gift"]
    assert gift["total"] == 3 and gift["user_login"] == "ada" and not gift["is_anonymous"]
    assert [e["is_gift"] for e in by_kind["channel.subscribe"]] == [True] * 3
    bomb, *gifts = by_kind["channel.chat.notification"]
    assert bomb["community_sub_gift"]["id"] == gift_id
    assert [g["sub_gift"]["community_gift_id"] for g in gifts] == [gift_id] * 3
    assert len({d.act for d in sandbox.eventsub.deliveries["demo"]}) == 1


async def test_an_anonymous_gift_names_nobody(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with open_socket(sandbox) as socket:
        await _subscribe_all(twitch, socket)
        sandbox.scenarios.play("gift_bomb", {"anonymous": True, "count": 1})
        events = dict(await _next(socket, 2))
    gift = events["channel.subscription.gift"]
    assert gift["user_id"] is None and gift["is_anonymous"] and gift["cumulative_total"] is None
    notice = events["channel.chat.notification"]
    assert notice["chatter_is_anonymous"] and notice["chatter_user_id"] == "274598607"


async def test_a_cheer_is_a_cheer_a_message_and_bits_used(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await _subscribe_all(twitch, socket)
        sandbox.support.cheer(_demo(sandbox), sandbox.twitch.user("ada"), 500, "gg Kappa")
        events = dict(await _next(socket, 3))
    assert events["channel.cheer"]["bits"] == 500
    assert events["channel.bits.use"]["type"] == "cheer"
    message = events["channel.chat.message"]
    assert message["cheer"] == {"bits": 500}
    parts = [(f["type"], f["text"]) for f in message["message"]["fragments"]]
    assert parts == [("cheermote", "Cheer500"), ("text", " gg "), ("emote", "Kappa")]
    assert message["message"]["fragments"][0]["cheermote"]["tier"] == 100


async def test_a_raid_is_told_in_both_forms(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with open_socket(sandbox) as socket:
        await _subscribe_all(twitch, socket)
        sandbox.support.raid(_demo(sandbox), sandbox.twitch.user("ada"), 77)
        events = dict(await _next(socket, 2))
    assert events["channel.raid"]["viewers"] == 77
    assert events["channel.raid"]["from_broadcaster_user_login"] == "ada"
    assert events["channel.chat.notification"]["raid"]["viewer_count"] == 77


async def test_who_watches_its_own_raids_hears_of_the_one_it_sends(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        answer = await twitch.subscribe(
            socket.id, "channel.raid", from_broadcaster_user_id=twitch.user_id
        )
        assert answer.status_code == 202
        ada = sandbox.twitch.channel(sandbox.twitch.user("ada"))
        sandbox.support.raid(ada, sandbox.twitch.user("demo"), 5)
        assert (await socket.event())["to_broadcaster_user_login"] == "ada"


async def test_a_resubscription_has_no_subscribe_event(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await _subscribe_all(twitch, socket)
        sandbox.scenarios.play("resubscribe", {"from": "ada", "months": 12, "text": "a year"})
        events = dict(await _next(socket, 2))
    assert events["channel.subscription.message"]["cumulative_months"] == 12
    assert events["channel.chat.notification"]["resub"]["cumulative_months"] == 12
    kinds = [d.kind for d in sandbox.eventsub.deliveries["demo"]]
    assert "channel.subscribe" not in kinds


async def test_a_notification_fills_exactly_its_own_object(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id, "notification")
        sandbox.support.subscribe(_demo(sandbox), sandbox.twitch.user("ada"))
        event = await socket.event()
    assert [name for name in NOTICES if event[name] is not None] == ["sub"]


async def test_a_notice_that_nobody_has_heard_of_is_possible(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id, "notification")
        detail = {"notice_type": "moon_landing", "detail": {"crew": 3}, "text": "They landed."}
        sandbox.scenarios.play("notice", detail)
        event = await socket.event()
    assert event["notice_type"] == "moon_landing" and event["moon_landing"] == {"crew": 3}
    assert event["system_message"] == "They landed."


async def test_sent_chat_comes_back_as_a_message(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    async with open_socket(sandbox) as socket:
        await twitch.subscribe_chat(socket.id)
        body = {"broadcaster_id": twitch.user_id, "sender_id": twitch.user_id, "message": "hi"}
        sent = (await twitch.call("POST", "/chat/messages", json=body)).json()["data"][0]
        event = await socket.event()
    assert event["message_id"] == sent["message_id"]
    assert event["chatter_user_login"] == "demo"
    assert event["badges"][0]["set_id"] == "broadcaster"


async def test_a_redemption_with_text_is_also_a_message(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    kind = "channel.channel_points_custom_reward_redemption.add"
    async with open_socket(sandbox) as socket:
        await twitch.subscribe(socket.id, kind)
        await twitch.subscribe_chat(socket.id)
        sandbox.scenarios.play("redeem", {"from": "ada", "text": "sip"})
        events = dict(await _next(socket, 2))
    reward = events[kind]["reward"]
    assert reward["title"] == "Hydrate" and events[kind]["status"] == "unfulfilled"
    assert events["channel.chat.message"]["channel_points_custom_reward_id"] == reward["id"]


async def test_trains_polls_and_predictions_begin_and_end(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async with open_socket(sandbox) as socket:
        for stage in ("begin", "progress", "end"):
            await twitch.subscribe(socket.id, f"channel.hype_train.{stage}", "2")
            await twitch.subscribe(socket.id, f"channel.poll.{stage}")
            await twitch.subscribe(socket.id, f"channel.prediction.{stage}")
        await twitch.subscribe(socket.id, "channel.prediction.lock")
        for story in ("hype_train", "poll", "prediction"):
            sandbox.scenarios.play(story, {"user": "demo"})
        events = await _next(socket, 10)
    kinds = [kind.removeprefix("channel.") for kind, _ in events]
    assert kinds == [
        *(f"hype_train.{s}" for s in ("begin", "progress", "end")),
        *(f"poll.{s}" for s in ("begin", "progress", "end")),
        *(f"prediction.{s}" for s in ("begin", "progress", "lock", "end")),
    ]
    train_begin, _, train_end = (event for _, event in events[:3])
    assert train_begin["id"] == train_end["id"]
    assert "goal" in train_begin and "goal" not in train_end and train_end["ended_at"]
    poll_end, prediction_end = events[5][1], events[9][1]
    assert poll_end["status"] == "completed" and poll_end["choices"][0]["votes"] > 0
    winner = prediction_end["winning_outcome_id"]
    assert winner in {outcome["id"] for outcome in prediction_end["outcomes"]}


def test_text_is_cut_into_fragments_that_add_up_to_it() -> None:
    text = "  Kappa hello <3 Cheer5 @nobody  "
    parts = fragments(text)
    assert "".join(part["text"] for part in parts) == text
    assert [p["type"] for p in parts] == ["text", "emote", "text", "emote", "text"]
