"""A notification on its way to become an event, and what most of them hold: people and texts."""

from datetime import datetime
from typing import Any

import attrs

from ...events import Author, Emote, event_id
from ..fields import Fields
from .models import Notification

NAME = "twitch"

_ROLES = {
    "broadcaster": "broadcaster",
    "moderator": "moderator",
    "lead_moderator": "moderator",
    "vip": "vip",
    "subscriber": "subscriber",
    # Worn in place of the subscriber badge by a channel's first subscribers.
    "founder": "subscriber",
}
_TIERS = {"1000": "Tier 1", "2000": "Tier 2", "3000": "Tier 3"}
ANONYMOUS = Author(id="", name="Anonymous", anonymous=True)


@attrs.frozen(kw_only=True)
class Arrival:
    """One notification on its way, and for whom."""

    notification: Notification
    user_id: int
    received_at: datetime

    @property
    def event(self) -> Fields:
        return self.notification.event

    def common(self, native_id: str = "", occurred_at: datetime | None = None) -> dict[str, Any]:
        return {
            "id": event_id(NAME, native_id or self.notification.message_id),
            "platform": NAME,
            "user_id": self.user_id,
            "occurred_at": occurred_at or self.notification.sent_at,
            "received_at": self.received_at,
        }


def person_of(fields: Fields, prefix: str = "user") -> Author:
    """Whoever the three fields of ``prefix`` name. Null stands for anonymous."""
    person = fields.text(f"{prefix}_id", "")
    if not person:
        return ANONYMOUS
    login = fields.text(f"{prefix}_login", "")
    return Author(id=person, name=fields.text(f"{prefix}_name", "") or login or person, login=login)


def chatter_of(event: Fields) -> Author:
    badges = [(badge.text("set_id"), badge.text("id", "")) for badge in event.children("badges")]
    return attrs.evolve(
        person_of(event, "chatter_user"),
        colour=event.text("color", ""),
        badges=tuple(f"{name}/{version}" for name, version in badges),
        roles=tuple(dict.fromkeys(_ROLES[name] for name, _ in badges if name in _ROLES)),
        anonymous=event.flag("chatter_is_anonymous", False),
    )


def emotes_in(message: Fields) -> tuple[Emote, ...]:
    """Where the emotes stand in the text. Python counts code points, as our ranges do."""
    emotes = []
    position = 0
    text = message.text("text")
    for fragment in message.children("fragments"):
        piece = fragment.text("text", "")
        emote = fragment.optional_child("emote")
        end = position + len(piece)
        if text[position:end] != piece:
            # The pieces do not make up the text: a picture would hide the wrong letters.
            return ()
        if emote is not None and piece:
            name = emote.text("id")
            emotes.append(Emote(begin=position, end=end, id=name, url=emote_url(name)))
        position = end
    return tuple(emotes)


def emote_url(emote_id: str) -> str:
    """Twitch's picture of an emote; ``default`` moves when the emote can."""
    return f"https://static-cdn.jtvnw.net/emoticons/v2/{emote_id}/default/dark/2.0"


def tier_of(event: Fields) -> str:
    tier = event.text("tier", "")
    return _TIERS.get(tier, tier)
