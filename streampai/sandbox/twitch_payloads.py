"""The bodies of EventSub events, field for field as Twitch sends them (EventSub reference, 2026)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from .options import stamp
from .twitch_models import Channel, User

EMOTES: Mapping[str, str] = {
    "Kappa": "25",
    "LUL": "425618",
    "PogChamp": "305954156",
    "HeyGuys": "30259",
    "BibleThump": "86",
    "<3": "9",
}
NOTICES = (
    "sub",
    "resub",
    "sub_gift",
    "community_sub_gift",
    "gift_paid_upgrade",
    "prime_paid_upgrade",
    "pay_it_forward",
    "raid",
    "unraid",
    "announcement",
    "bits_badge_tier",
    "charity_donation",
    "watch_streak",
    "modiversary",
    "shared_chat_sub",
    "shared_chat_resub",
    "shared_chat_sub_gift",
    "shared_chat_community_sub_gift",
    "shared_chat_gift_paid_upgrade",
    "shared_chat_prime_paid_upgrade",
    "shared_chat_pay_it_forward",
    "shared_chat_raid",
    "shared_chat_announcement",
    "shared_chat_modiversary",
)
_SOURCE: Mapping[str, None] = {
    "source_broadcaster_user_id": None,
    "source_broadcaster_user_login": None,
    "source_broadcaster_user_name": None,
    "source_message_id": None,
    "source_badges": None,
    "is_source_only": None,
}
_CHEER = re.compile(r"cheer(\d+)", re.IGNORECASE)
_WORD = re.compile(r"\S+")

Event = dict[str, Any]


def fragments(text: str, users: Sequence[User] = (), *, cheering: bool = False) -> list[Event]:
    """``text`` cut into what Twitch recognises: emotes, mentions of ``users``, cheermotes."""
    found: list[Event] = []
    plain_from = 0

    def plain(until: int) -> None:
        if until > plain_from:
            found.append(_fragment("text", text[plain_from:until]))

    for match in _WORD.finditer(text):
        special = _special(match[0], users, cheering)
        if special is not None:
            plain(match.start())
            found.append(special)
            plain_from = match.end()
    plain(len(text))
    return found


def _fragment(kind: str, text: str, **filled: Any) -> Event:
    return {"type": kind, "text": text, "cheermote": None, "emote": None, "mention": None, **filled}


def _special(word: str, users: Sequence[User], cheering: bool) -> Event | None:
    if word in EMOTES:
        emote = {
            "id": EMOTES[word],
            "emote_set_id": "0",
            "owner_id": "0",
            "format": ["static"],
        }
        return _fragment("emote", word, emote=emote)
    if cheering and (cheer := _CHEER.fullmatch(word)):
        bits = int(cheer[1])
        tier = max(t for t in (1, 100, 1000, 5000, 10000) if t <= max(bits, 1))
        return _fragment(
            "cheermote", word, cheermote={"prefix": "cheer", "bits": bits, "tier": tier}
        )
    if word.startswith("@"):
        for user in users:
            if user.login == word[1:].lower():
                return _fragment("mention", word, mention=user.fields())
    return None


def badges(user: User, channel: Channel) -> list[dict[str, str]]:
    worn = []
    if user is channel.owner:
        worn.append({"set_id": "broadcaster", "id": "1", "info": ""})
    if user.id in channel.moderators:
        worn.append({"set_id": "moderator", "id": "1", "info": ""})
    if user.id in channel.subscribers:
        worn.append({"set_id": "subscriber", "id": "0", "info": "1"})
    return worn


def chat_message(
    channel: Channel,
    chatter: User,
    text: str,
    message_id: str,
    *,
    bits: int = 0,
    reply: Event | None = None,
    reward_id: str | None = None,
    users: Sequence[User] = (),
) -> Event:
    return {
        **channel.owner.fields("broadcaster_"),
        **chatter.fields("chatter_"),
        "message_id": message_id,
        "message": {
            "text": text,
            "fragments": fragments(text, [channel.owner, *users], cheering=bits > 0),
        },
        "color": chatter.color,
        "badges": badges(chatter, channel),
        "message_type": "text",
        "cheer": {"bits": bits} if bits else None,
        "reply": reply,
        "channel_points_custom_reward_id": reward_id,
        "channel_points_animation_id": None,
        **_SOURCE,
    }


def chat_notification(
    channel: Channel,
    chatter: User,
    notice: str,
    detail: Event,
    message_id: str,
    system_message: str,
    *,
    text: str = "",
    anonymous: bool = False,
) -> Event:
    """Exactly the object named by ``notice`` is filled."""
    event: Event = {
        **channel.owner.fields("broadcaster_"),
        **chatter.fields("chatter_"),
        "chatter_is_anonymous": anonymous,
        "color": chatter.color,
        "badges": badges(chatter, channel),
        "system_message": system_message,
        "message_id": message_id,
        "message": {"text": text, "fragments": fragments(text)},
        "notice_type": notice,
        **dict.fromkeys(NOTICES),
        **_SOURCE,
    }
    event[notice] = detail
    return event


def about(channel: Channel, user: User | None, **fields: Any) -> Event:
    """A user (null when anonymous), the broadcaster, and what else there is."""
    who: Event = user.fields() if user else dict.fromkeys(("user_id", "user_login", "user_name"))
    return {**who, **channel.owner.fields("broadcaster_"), **fields}


def of_channel(channel: Channel, **fields: Any) -> Event:
    return {**channel.owner.fields("broadcaster_"), **fields}


def channel_update(channel: Channel) -> Event:
    return of_channel(
        channel,
        title=channel.title,
        language=channel.language,
        category_id=channel.category_id,
        category_name=channel.category,
        content_classification_labels=list(channel.labels),
    )


def raid(source: User, target: User, viewers: int) -> Event:
    return {
        **source.fields("from_broadcaster_"),
        **target.fields("to_broadcaster_"),
        "viewers": viewers,
    }


def redemption(
    channel: Channel, user: User, redemption_id: str, title: str, cost: int, text: str
) -> Event:
    reward_id = str(UUID(int=int.from_bytes(title.encode()[:16].ljust(16, b"\0"), "big")))
    return about(
        channel,
        user,
        id=redemption_id,
        user_input=text,
        status="unfulfilled",
        reward={"id": reward_id, "title": title, "cost": cost, "prompt": ""},
        redeemed_at=stamp(),
    )


def hype_train(channel: Channel, train_id: str, level: int, total: int, best: User) -> Event:
    now = datetime.now(UTC)
    return of_channel(
        channel,
        id=train_id,
        total=total,
        progress=total % 500,
        goal=500,
        level=level,
        top_contributions=[{**best.fields(), "type": "bits", "total": total}],
        shared_train_participants=None,
        is_shared_train=False,
        started_at=stamp(now),
        expires_at=stamp(now + timedelta(minutes=5)),
        type="regular",
    )
