"""What Twitch says, as classes: EventSub's messages and Helix's things.

The decoders take what the February 2026 reference promises as needed and
everything else as optional: Twitch adds fields and message types without
notice.
"""

from datetime import datetime

import attrs

from ...errors import BadRequest
from ..fields import Fields, read_object


@attrs.frozen(kw_only=True)
class Welcome:
    """``session_welcome``: the socket may be subscribed to. ``keepalive`` is in seconds."""

    session_id: str
    keepalive: float
    sent_at: datetime


@attrs.frozen(kw_only=True)
class Keepalive:
    """``session_keepalive``: nothing else was sent for a while."""


@attrs.frozen(kw_only=True)
class Reconnect:
    """``session_reconnect``: this socket is cut in about 30 s. ``url`` is "" when none was named."""

    url: str


@attrs.frozen(kw_only=True)
class Revocation:
    """``revocation``: one subscription has ended. ``status`` says why."""

    subscription_id: str
    type: str
    status: str


@attrs.frozen(kw_only=True)
class Notification:
    """``notification``: an event of one of our subscriptions, its payload as yet unread."""

    message_id: str
    sent_at: datetime
    type: str
    version: str
    event: Fields = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Unreadable:
    """A frame that is no message. ``reason`` quotes nothing of it."""

    reason: str


@attrs.frozen(kw_only=True)
class UnknownMessage:
    """A message of a type that is not ours to understand yet."""

    type: str


Message = Welcome | Keepalive | Reconnect | Revocation | Notification | Unreadable | UnknownMessage


def decode_message(frame: str | bytes) -> Message:
    """What one frame of EventSub says; never raises, see Unreadable."""
    try:
        return _decode(read_object("frame", frame))
    except BadRequest as exc:
        return Unreadable(reason=exc.message)


def _decode(frame: Fields) -> Message:
    metadata = frame.child("metadata")
    kind = metadata.text("message_type")
    match kind:
        case "session_keepalive":
            return Keepalive()
        case "session_welcome":
            session = frame.child("payload").child("session")
            return Welcome(
                session_id=session.text("id"),
                keepalive=float(session.number("keepalive_timeout_seconds", 10)),
                sent_at=metadata.time("message_timestamp"),
            )
        case "session_reconnect":
            session = frame.child("payload").child("session")
            return Reconnect(url=session.text("reconnect_url", ""))
        case "revocation":
            subscription = frame.child("payload").child("subscription")
            return Revocation(
                subscription_id=subscription.text("id", ""),
                type=subscription.text("type"),
                status=subscription.text("status"),
            )
        case "notification":
            payload = frame.child("payload")
            # The reference repeats type and version in the metadata; the subscription has the say.
            subscription = payload.child("subscription")
            name = subscription.text("type")
            event = payload.child("event")
            event.place = name
            return Notification(
                message_id=metadata.text("message_id"),
                sent_at=metadata.time("message_timestamp"),
                type=name,
                version=subscription.text("version", ""),
                event=event,
            )
    return UnknownMessage(type=kind)


@attrs.frozen(kw_only=True)
class HelixUser:
    id: str
    login: str
    display_name: str


@attrs.frozen(kw_only=True)
class HelixStream:
    """A live stream. Twitch renews ``viewers`` about once a minute."""

    id: str
    title: str
    viewers: int
    started_at: datetime | None


@attrs.frozen(kw_only=True)
class HelixChannel:
    title: str
    category: str
    category_id: str
    language: str


@attrs.frozen(kw_only=True)
class Category:
    id: str
    name: str


@attrs.frozen(kw_only=True)
class Subscription:
    """An EventSub subscription as Helix lists it."""

    id: str
    type: str
    status: str


@attrs.frozen(kw_only=True)
class Delivery:
    """What became of a chat message of ours. ``code`` and ``reason`` when it was dropped."""

    is_sent: bool
    message_id: str
    code: str = ""
    reason: str = ""


@attrs.frozen(kw_only=True)
class ValidatedToken:
    """What Twitch says of an access token."""

    client_id: str
    platform_user_id: str
    login: str
    scopes: tuple[str, ...]
    expires_in: float


def decode_user(item: Fields) -> HelixUser:
    login = item.text("login")
    return HelixUser(
        id=item.text("id"), login=login, display_name=item.text("display_name", "") or login
    )


def decode_stream(item: Fields) -> HelixStream:
    return HelixStream(
        id=item.text("id"),
        title=item.text("title", ""),
        viewers=item.number("viewer_count", 0),
        started_at=item.optional_time("started_at"),
    )


def decode_channel(item: Fields) -> HelixChannel:
    return HelixChannel(
        title=item.text("title", ""),
        category=item.text("game_name", ""),
        category_id=item.text("game_id", ""),
        language=item.text("broadcaster_language", ""),
    )


def decode_category(item: Fields) -> Category:
    return Category(id=item.text("id"), name=item.text("name"))


def decode_subscription(item: Fields) -> Subscription:
    return Subscription(
        id=item.text("id"), type=item.text("type", ""), status=item.text("status", "")
    )


def decode_subscriptions(answer: Fields) -> tuple[list[Subscription], str]:
    """One page, and the cursor of the next or ""."""
    pagination = answer.optional_child("pagination")
    return (
        [decode_subscription(item) for item in answer.children("data")],
        pagination.text("cursor", "") if pagination else "",
    )


def decode_delivery(item: Fields) -> Delivery:
    drop = item.optional_child("drop_reason")
    return Delivery(
        is_sent=item.flag("is_sent"),
        message_id=item.text("message_id", ""),
        code=drop.text("code", "") if drop else "",
        reason=drop.text("message", "") if drop else "",
    )


def decode_validated_token(answer: Fields) -> ValidatedToken:
    """An application's own token has neither user nor login."""
    return ValidatedToken(
        client_id=answer.text("client_id"),
        platform_user_id=answer.text("user_id", ""),
        login=answer.text("login", ""),
        scopes=answer.texts("scopes"),
        expires_in=float(answer.number("expires_in", 0)),
    )
