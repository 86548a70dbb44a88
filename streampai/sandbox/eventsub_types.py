"""EventSub's subscription types: version, condition, scope, and who may have them (2026)."""

from collections.abc import Mapping

import attrs

BROADCASTER = "broadcaster_user_id"
USER = "user_id"
MODERATOR = "moderator_user_id"


@attrs.frozen
class SubscriptionType:
    """``scopes``: any of them will do. ``condition`` without scopes may name any channel."""

    version: str
    condition: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def _own(*scopes: str, version: str = "1") -> SubscriptionType:
    return SubscriptionType(version, (BROADCASTER,), scopes)


_CHAT = SubscriptionType("1", (BROADCASTER, USER), ("user:read:chat",))
_SUBS = _own("channel:read:subscriptions")
_BITS = _own("bits:read")
_TRAIN = _own("channel:read:hype_train", version="2")
_POLLS = _own("channel:read:polls", "channel:manage:polls")
_PREDICTIONS = _own("channel:read:predictions", "channel:manage:predictions")

TYPES: Mapping[str, SubscriptionType] = {
    "channel.chat.message": _CHAT,
    "channel.chat.notification": _CHAT,
    "channel.chat.message_delete": _CHAT,
    "channel.chat.clear": _CHAT,
    "channel.chat.clear_user_messages": _CHAT,
    "channel.follow": SubscriptionType(
        "2", (BROADCASTER, MODERATOR), ("moderator:read:followers",)
    ),
    "channel.subscribe": _SUBS,
    "channel.subscription.end": _SUBS,
    "channel.subscription.message": _SUBS,
    "channel.subscription.gift": _SUBS,
    "channel.cheer": _BITS,
    "channel.bits.use": _BITS,
    "channel.raid": SubscriptionType(
        "1", (), (), ("to_broadcaster_user_id", "from_broadcaster_user_id")
    ),
    "channel.ban": _own("channel:moderate"),
    "channel.unban": _own("channel:moderate"),
    "channel.update": SubscriptionType("2", (BROADCASTER,)),
    "stream.online": SubscriptionType("1", (BROADCASTER,)),
    "stream.offline": SubscriptionType("1", (BROADCASTER,)),
    "channel.channel_points_custom_reward_redemption.add": SubscriptionType(
        "1",
        (BROADCASTER,),
        ("channel:read:redemptions", "channel:manage:redemptions"),
        ("reward_id",),
    ),
    "channel.hype_train.begin": _TRAIN,
    "channel.hype_train.progress": _TRAIN,
    "channel.hype_train.end": _TRAIN,
    "channel.poll.begin": _POLLS,
    "channel.poll.progress": _POLLS,
    "channel.poll.end": _POLLS,
    "channel.prediction.begin": _PREDICTIONS,
    "channel.prediction.progress": _PREDICTIONS,
    "channel.prediction.lock": _PREDICTIONS,
    "channel.prediction.end": _PREDICTIONS,
    "channel.ad_break.begin": _own("channel:read:ads"),
    "channel.custom_power_up_redemption.add": _BITS,
}

# Versions that once were, and are answered 410.
REMOVED = {
    ("channel.follow", "1"),
    ("channel.update", "1"),
    ("channel.hype_train.begin", "1"),
    ("channel.hype_train.progress", "1"),
    ("channel.hype_train.end", "1"),
}
