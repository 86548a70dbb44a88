"""Twitch's chat and its moderation as our events. Pure; see :mod:`.normalise`."""

from ...events import (
    ChatCleared,
    ChatMessageDeleted,
    ChatMessageReceived,
    ModerationActed,
    ModerationKind,
    NoticeReceived,
    PlatformEvent,
    ReplyTo,
)
from ..fields import Fields
from .arrival import Arrival, chatter_of, emotes_in, person_of

# Notices that repeat an act which a subscription of its own reports.
_REPORTED_ELSEWHERE = frozenset(("sub", "resub", "sub_gift", "community_sub_gift", "raid"))


def chat_message(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    message = event.child("message")
    message_id = event.text("message_id")
    reply = event.optional_child("reply")
    return ChatMessageReceived(
        **arrival.common(message_id),
        message_id=message_id,
        author=chatter_of(event),
        text=message.text("text"),
        emotes=emotes_in(message),
        reply_to=None if reply is None else _reply(reply),
        highlighted=event.text("message_type", "") == "channel_points_highlighted",
    )


def _reply(reply: Fields) -> ReplyTo:
    return ReplyTo(
        message_id=reply.text("parent_message_id"),
        author_name=reply.text("parent_user_name", ""),
        text=reply.text("parent_message_body", ""),
    )


def message_deleted(arrival: Arrival) -> PlatformEvent:
    message_id = arrival.event.text("message_id")
    return ChatMessageDeleted(
        **arrival.common(f"{message_id}:deleted"),
        message_id=message_id,
        author=person_of(arrival.event, "target_user"),
    )


def chat_cleared(arrival: Arrival) -> PlatformEvent:
    return ChatCleared(**arrival.common())


def user_messages_cleared(arrival: Arrival) -> PlatformEvent:
    return ChatCleared(**arrival.common(), author=person_of(arrival.event, "target_user"))


def notice(arrival: Arrival) -> PlatformEvent | None:
    event = arrival.event
    kind = event.text("notice_type")
    if kind in _REPORTED_ELSEWHERE:
        return None
    words = (event.text("system_message", ""), event.child("message").text("text", ""))
    return NoticeReceived(
        **arrival.common(f"{event.text('message_id')}:notice"),
        kind=kind,
        text=" – ".join(word for word in words if word),
        author=chatter_of(event),
    )


def ad_break(arrival: Arrival) -> PlatformEvent:
    seconds = arrival.event.number("duration_seconds")
    occurred_at = arrival.event.optional_time("started_at")
    return NoticeReceived(
        **arrival.common(occurred_at=occurred_at),
        kind="ad_break",
        text=f"An ad break of {seconds} seconds has begun.",
    )


def ban(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    permanent = event.flag("is_permanent")
    return ModerationActed(
        **arrival.common(occurred_at=event.optional_time("banned_at")),
        kind=ModerationKind.BAN if permanent else ModerationKind.TIMEOUT,
        target=person_of(event),
        moderator=person_of(event, "moderator_user"),
        reason=event.text("reason", ""),
        ends_at=None if permanent else event.optional_time("ends_at"),
    )
