"""How people support a channel: follows, subscriptions, gifts, bits, raids, rewards.

Twitch reports most of these several times over; all those reports are made.
"""

from datetime import UTC, datetime
from uuid import uuid4

from . import twitch_payloads as payloads
from .options import stamp
from .twitch_acts import TwitchActs, new_act
from .twitch_models import Channel, User
from .twitch_state import TwitchState

# Twitch's own placeholder for gifts without a name.
ANONYMOUS = ("274598607", "ananonymousgifter", "AnAnonymousGifter")


class TwitchSupport:
    """Plain calls, each of which changes the channel and emits."""

    def __init__(self, twitch: TwitchState, acts: TwitchActs) -> None:
        self._twitch = twitch
        self._acts = acts

    def follow(self, channel: Channel, user: User) -> None:
        now = datetime.now(UTC)
        channel.followers[user.id] = now
        event = payloads.about(channel, user, followed_at=stamp(now))
        self._acts.emit(channel, "channel.follow", event, new_act("follow"))

    def subscribe(self, channel: Channel, user: User, tier: str = "1000") -> None:
        """A first subscription."""
        act = new_act("subscribe")
        channel.subscribers[user.id] = {"tier": tier, "gifter": None}
        event = payloads.about(channel, user, tier=tier, is_gift=False)
        self._acts.emit(channel, "channel.subscribe", event, act)
        detail = {"sub_tier": tier, "is_prime": False, "duration_months": 1}
        text = f"{user.name} subscribed at Tier {tier[0]}."
        self._acts.tell(channel, user, "sub", detail, text, act)

    def resubscribe(
        self, channel: Channel, user: User, months: int = 3, tier: str = "1000", text: str = ""
    ) -> None:
        """A renewal that the viewer shares in chat; one that is not shared is never told."""
        act = new_act("resubscribe")
        channel.subscribers[user.id] = {"tier": tier, "gifter": None}
        event = payloads.about(
            channel,
            user,
            tier=tier,
            message={"text": text, "emotes": None},
            cumulative_months=months,
            streak_months=None,
            duration_months=1,
        )
        self._acts.emit(channel, "channel.subscription.message", event, act)
        detail = {
            "cumulative_months": months,
            "duration_months": 1,
            "streak_months": None,
            "sub_tier": tier,
            "is_prime": False,
            "is_gift": False,
            "gifter_is_anonymous": None,
            **dict.fromkeys(("gifter_user_id", "gifter_user_name", "gifter_user_login")),
        }
        system = (
            f"{user.name} subscribed at Tier {tier[0]}. They've subscribed for {months} months!"
        )
        self._acts.tell(channel, user, "resub", detail, system, act, text=text)

    def end_subscription(self, channel: Channel, user: User) -> None:
        tier = channel.subscribers.pop(user.id, {"tier": "1000"})["tier"]
        event = payloads.about(channel, user, tier=tier, is_gift=False)
        self._acts.emit(channel, "channel.subscription.end", event, new_act("end_subscription"))

    def gift_bomb(
        self, channel: Channel, gifter: User | None, recipients: list[User], tier: str = "1000"
    ) -> str:
        """``gifter`` None: anonymous. Returns the community gift's id."""
        act, gift_id, count = new_act("gift_bomb"), str(uuid4()), len(recipients)
        total = None if gifter is None else count
        event = payloads.about(
            channel,
            gifter,
            total=count,
            tier=tier,
            cumulative_total=total,
            is_anonymous=gifter is None,
        )
        self._acts.emit(channel, "channel.subscription.gift", event, act, id=gift_id)
        shown, anonymous = gifter or self._nobody(), gifter is None
        detail = {"id": gift_id, "total": count, "sub_tier": tier, "cumulative_total": total}
        system = f"{shown.name} is gifting {count} Tier {tier[0]} Subs!"
        self._acts.tell(
            channel, shown, "community_sub_gift", detail, system, act, anonymous=anonymous
        )
        for recipient in recipients:
            channel.subscribers[recipient.id] = {"tier": tier, "gifter": gifter}
            received = payloads.about(channel, recipient, tier=tier, is_gift=True)
            self._acts.emit(channel, "channel.subscribe", received, act)
            detail = {
                "duration_months": 1,
                "cumulative_total": None,
                **recipient.fields("recipient_"),
                "sub_tier": tier,
                "community_gift_id": gift_id,
            }
            system = f"{shown.name} gifted a Tier {tier[0]} sub to {recipient.name}!"
            self._acts.tell(channel, shown, "sub_gift", detail, system, act, anonymous=anonymous)
        return gift_id

    def _nobody(self) -> User:
        number, login, name = ANONYMOUS
        return User(id=number, login=login, name=name, created=datetime(2018, 1, 1, tzinfo=UTC))

    def cheer(self, channel: Channel, user: User, bits: int, text: str = "") -> None:
        act = new_act("cheer")
        text = f"Cheer{bits} {text}".strip()
        event = payloads.about(channel, user, is_anonymous=False, message=text, bits=bits)
        self._acts.emit(channel, "channel.cheer", event, act)
        self._acts.say(channel, user, text, bits=bits, act=act)
        parts = payloads.fragments(text, cheering=True)
        for part in parts:
            del part["mention"]
        used = payloads.about(
            channel,
            user,
            bits=bits,
            type="cheer",
            power_up=None,
            message={"text": text, "fragments": parts},
        )
        self._acts.emit(channel, "channel.bits.use", used, act)

    def raid(self, channel: Channel, source: User, viewers: int) -> None:
        """Another channel's viewers arrive."""
        act = new_act("raid")
        channel.viewers += viewers if channel.live else 0
        event = payloads.raid(source, channel.owner, viewers)
        self._acts.emit(channel, "channel.raid", event, act)
        if source.id in self._twitch.channels:
            self._acts.emit(self._twitch.channels[source.id], "channel.raid", event, act)
        detail = {
            **source.fields(),
            "viewer_count": viewers,
            "profile_image_url": f"https://static-cdn.jtvnw.net/{source.login}.png",
        }
        system = f"{viewers} raiders from {source.name} have joined!"
        self._acts.tell(channel, source, "raid", detail, system, act)

    def redeem(
        self, channel: Channel, user: User, title: str = "Hydrate", cost: int = 100, text: str = ""
    ) -> str:
        """Channel points for a reward; with ``text`` it also appears in chat."""
        act, redemption_id = new_act("redeem"), str(uuid4())
        event = payloads.redemption(channel, user, redemption_id, title, cost, text)
        kind = "channel.channel_points_custom_reward_redemption.add"
        self._acts.emit(channel, kind, event, act, id=redemption_id)
        if text:
            self._acts.say(channel, user, text, reward_id=event["reward"]["id"], act=act)
        return redemption_id
