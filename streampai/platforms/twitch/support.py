"""Follows, subscriptions, bits, raids and redemptions as our events. Pure; see :mod:`.normalise`."""

from ...events import (
    FollowReceived,
    PlatformEvent,
    RaidReceived,
    RewardRedeemed,
    SubscriptionKind,
    SubscriptionReceived,
    SupportReceived,
)
from .arrival import ANONYMOUS, Arrival, emotes_in, person_of, tier_of


def follow(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    return FollowReceived(
        **arrival.common(occurred_at=event.optional_time("followed_at")), author=person_of(event)
    )


def subscribed(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    person = person_of(event)
    gift = event.flag("is_gift")
    return SubscriptionReceived(
        **arrival.common(),
        kind=SubscriptionKind.GIFT_RECEIVED if gift else SubscriptionKind.NEW,
        # Who gave is not told here; the gift has an event of its own.
        author=person,
        recipient=person if gift else None,
        tier=tier_of(event),
    )


def subscription_ended(arrival: Arrival) -> PlatformEvent:
    return SubscriptionReceived(
        **arrival.common(),
        kind=SubscriptionKind.ENDED,
        author=person_of(arrival.event),
        tier=tier_of(arrival.event),
    )


def renewed(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    message = event.optional_child("message")
    return SubscriptionReceived(
        **arrival.common(),
        kind=SubscriptionKind.RENEWAL,
        author=person_of(event),
        tier=tier_of(event),
        months=event.number("cumulative_months", 0),
        text="" if message is None else message.text("text", ""),
    )


def gifted(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    anonymous = event.flag("is_anonymous", False)
    return SubscriptionReceived(
        **arrival.common(),
        kind=SubscriptionKind.GIFT,
        author=ANONYMOUS if anonymous else person_of(event),
        tier=tier_of(event),
        count=event.number("total"),
    )


def bits_used(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    message = event.optional_child("message")
    return SupportReceived(
        **arrival.common(),
        author=person_of(event),
        unit="bits",
        amount=event.number("bits"),
        text="" if message is None else message.text("text", ""),
        emotes=() if message is None else emotes_in(message),
    )


def raided(arrival: Arrival) -> PlatformEvent:
    return RaidReceived(
        **arrival.common(),
        author=person_of(arrival.event, "from_broadcaster_user"),
        viewers=arrival.event.number("viewers"),
    )


def redeemed(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    reward = event.child("reward")
    return RewardRedeemed(
        **arrival.common(event.text("id"), event.optional_time("redeemed_at")),
        author=person_of(event),
        reward_id=reward.text("id"),
        title=reward.text("title"),
        cost=reward.number("cost"),
        text=event.text("user_input", ""),
        status=event.text("status", ""),
    )
