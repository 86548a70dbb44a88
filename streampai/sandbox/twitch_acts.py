"""What people do on Twitch, and every event that comes of it.

Twitch reports one act several times; an ``act`` id joins those reports in the
books. Each method is a plain call that changes the channel and emits.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from . import twitch_payloads as payloads
from .eventsub import EventSub
from .options import stamp
from .twitch_state import CATEGORIES, Channel, TwitchState, User, since

# Twitch's own placeholder for gifts without a name.
ANONYMOUS = ("274598607", "ananonymousgifter", "AnAnonymousGifter")
MESSAGES_KEPT = 10_000


class TwitchActs:
    """Binds the state's own turns (on air, off air) to their events too."""

    def __init__(self, twitch: TwitchState, eventsub: EventSub) -> None:
        self._twitch = twitch
        self._eventsub = eventsub
        # Message → channel and author, so that it can be deleted; Twitch forgets after six hours.
        self._messages: dict[str, tuple[Channel, User]] = {}
        twitch.on_live = self._went_live
        twitch.on_offline = self._went_offline

    def _emit(
        self, channel: Channel, kind: str, event: Mapping[str, Any], act: str, id: str = ""
    ) -> None:
        self._eventsub.emit(kind, channel, event, id=id, act=act)

    def _went_live(self, channel: Channel) -> None:
        event = payloads.of_channel(
            channel, id=channel.stream_id, type="live", started_at=since(channel.started)
        )
        self._emit(channel, "stream.online", event, _act("online"), id=str(channel.stream_id))

    def _went_offline(self, channel: Channel, stream_id: str) -> None:
        event = payloads.of_channel(channel, id=stream_id)
        self._emit(channel, "stream.offline", event, _act("offline"), id=stream_id)

    # Chat

    def say(
        self,
        channel: Channel,
        chatter: User,
        text: str,
        *,
        bits: int = 0,
        reply_to: str = "",
        reward_id: str | None = None,
        act: str = "",
    ) -> str:
        """A message in chat; its id."""
        message_id = str(uuid4())
        reply = None
        if reply_to:
            reply = {"parent_message_id": reply_to, "parent_message_body": ""}
            for role in ("parent", "thread"):
                reply |= channel.owner.fields(f"{role}_")
            reply["thread_message_id"] = reply_to
        channel.chatters.add(chatter.id)
        self._messages[message_id] = (channel, chatter)
        if len(self._messages) > MESSAGES_KEPT:
            del self._messages[next(iter(self._messages))]
        event = payloads.chat_message(
            channel, chatter, text, message_id, bits=bits, reply=reply, reward_id=reward_id
        )
        self._emit(channel, "channel.chat.message", event, act or _act("chat"), id=message_id)
        return message_id

    def author_of(self, channel: Channel, message_id: str) -> User | None:
        """Who wrote a message of this channel that can still be deleted."""
        where, author = self._messages.get(message_id, (None, None))
        return author if where is channel else None

    def _notice(
        self,
        channel: Channel,
        chatter: User,
        notice: str,
        detail: Mapping[str, Any],
        system: str,
        act: str,
        *,
        text: str = "",
        anonymous: bool = False,
    ) -> None:
        message_id = str(uuid4())
        event = payloads.chat_notification(
            channel,
            chatter,
            notice,
            dict(detail),
            message_id,
            system,
            text=text,
            anonymous=anonymous,
        )
        self._emit(channel, "channel.chat.notification", event, act, id=message_id)

    def announce(self, channel: Channel, user: User, text: str, color: str = "PRIMARY") -> None:
        detail = {"color": color}
        self._notice(channel, user, "announcement", detail, "", _act("announcement"), text=text)

    def notice(
        self, channel: Channel, user: User, notice: str, detail: Mapping[str, Any], system: str
    ) -> None:
        """Any other notice, also one that nobody has heard of yet."""
        self._notice(channel, user, notice, detail, system, _act(notice))

    def delete_message(self, channel: Channel, author: User, message_id: str) -> None:
        event = {
            **channel.owner.fields("broadcaster_"),
            **author.fields("target_"),
            "message_id": message_id,
        }
        kind = "channel.chat.message_delete"
        self._emit(channel, kind, event, _act("delete"), id=message_id)

    def clear_chat(self, channel: Channel) -> None:
        self._emit(channel, "channel.chat.clear", payloads.of_channel(channel), _act("clear"))

    def ban(
        self, channel: Channel, user: User, seconds: int = 0, reason: str = ""
    ) -> datetime | None:
        """For ``seconds``, or for good when 0. The user's messages go. Returns when it ends."""
        now = datetime.now(UTC)
        until = now + timedelta(seconds=seconds) if seconds else None
        channel.banned[user.id] = until
        channel.chatters.discard(user.id)
        act = _act("ban")
        wiped = {**channel.owner.fields("broadcaster_"), **user.fields("target_")}
        self._emit(channel, "channel.chat.clear_user_messages", wiped, act)
        event = payloads.about(
            channel,
            user,
            **channel.owner.fields("moderator_"),
            reason=reason,
            banned_at=stamp(now),
            ends_at=stamp(until) if until else None,
            is_permanent=until is None,
        )
        self._emit(channel, "channel.ban", event, act)
        return until

    def unban(self, channel: Channel, user: User) -> None:
        del channel.banned[user.id]
        moderator = channel.owner.fields("moderator_")
        event = payloads.about(channel, user, **moderator)
        self._emit(channel, "channel.unban", event, _act("unban"))

    # Support

    def follow(self, channel: Channel, user: User) -> None:
        now = datetime.now(UTC)
        channel.followers[user.id] = now
        event = payloads.about(channel, user, followed_at=stamp(now))
        self._emit(channel, "channel.follow", event, _act("follow"))

    def subscribe(self, channel: Channel, user: User, tier: str = "1000") -> None:
        """A first subscription."""
        act = _act("subscribe")
        channel.subscribers[user.id] = {"tier": tier, "gifter": None}
        event = payloads.about(channel, user, tier=tier, is_gift=False)
        self._emit(channel, "channel.subscribe", event, act)
        detail = {"sub_tier": tier, "is_prime": False, "duration_months": 1}
        text = f"{user.name} subscribed at Tier {tier[0]}."
        self._notice(channel, user, "sub", detail, text, act)

    def resubscribe(
        self, channel: Channel, user: User, months: int = 3, tier: str = "1000", text: str = ""
    ) -> None:
        """A renewal that the viewer shares in chat; one that is not shared is never told."""
        act = _act("resubscribe")
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
        self._emit(channel, "channel.subscription.message", event, act)
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
        self._notice(channel, user, "resub", detail, system, act, text=text)

    def end_subscription(self, channel: Channel, user: User) -> None:
        tier = channel.subscribers.pop(user.id, {"tier": "1000"})["tier"]
        event = payloads.about(channel, user, tier=tier, is_gift=False)
        self._emit(channel, "channel.subscription.end", event, _act("end_subscription"))

    def gift_bomb(
        self, channel: Channel, gifter: User | None, recipients: list[User], tier: str = "1000"
    ) -> str:
        """``gifter`` None: anonymous. Returns the community gift's id."""
        act, gift_id, count = _act("gift_bomb"), str(uuid4()), len(recipients)
        total = None if gifter is None else count
        event = payloads.about(
            channel,
            gifter,
            total=count,
            tier=tier,
            cumulative_total=total,
            is_anonymous=gifter is None,
        )
        self._emit(channel, "channel.subscription.gift", event, act, id=gift_id)
        shown, anonymous = gifter or self._nobody(), gifter is None
        detail = {"id": gift_id, "total": count, "sub_tier": tier, "cumulative_total": total}
        system = f"{shown.name} is gifting {count} Tier {tier[0]} Subs!"
        self._notice(channel, shown, "community_sub_gift", detail, system, act, anonymous=anonymous)
        for recipient in recipients:
            channel.subscribers[recipient.id] = {"tier": tier, "gifter": gifter}
            received = payloads.about(channel, recipient, tier=tier, is_gift=True)
            self._emit(channel, "channel.subscribe", received, act)
            detail = {
                "duration_months": 1,
                "cumulative_total": None,
                **recipient.fields("recipient_"),
                "sub_tier": tier,
                "community_gift_id": gift_id,
            }
            system = f"{shown.name} gifted a Tier {tier[0]} sub to {recipient.name}!"
            self._notice(channel, shown, "sub_gift", detail, system, act, anonymous=anonymous)
        return gift_id

    def _nobody(self) -> User:
        number, login, name = ANONYMOUS
        return User(id=number, login=login, name=name, created=datetime(2018, 1, 1, tzinfo=UTC))

    def cheer(self, channel: Channel, user: User, bits: int, text: str = "") -> None:
        act = _act("cheer")
        text = f"Cheer{bits} {text}".strip()
        event = payloads.about(channel, user, is_anonymous=False, message=text, bits=bits)
        self._emit(channel, "channel.cheer", event, act)
        self.say(channel, user, text, bits=bits, act=act)
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
        self._emit(channel, "channel.bits.use", used, act)

    def raid(self, channel: Channel, source: User, viewers: int) -> None:
        """Another channel's viewers arrive."""
        act = _act("raid")
        channel.viewers += viewers if channel.live else 0
        event = payloads.raid(source, channel.owner, viewers)
        self._emit(channel, "channel.raid", event, act)
        if source.id in self._twitch.channels:
            self._emit(self._twitch.channels[source.id], "channel.raid", event, act)
        detail = {
            **source.fields(),
            "viewer_count": viewers,
            "profile_image_url": f"https://static-cdn.jtvnw.net/{source.login}.png",
        }
        system = f"{viewers} raiders from {source.name} have joined!"
        self._notice(channel, source, "raid", detail, system, act)

    def redeem(
        self, channel: Channel, user: User, title: str = "Hydrate", cost: int = 100, text: str = ""
    ) -> str:
        """Channel points for a reward; with ``text`` it also appears in chat."""
        act, redemption_id = _act("redeem"), str(uuid4())
        event = payloads.redemption(channel, user, redemption_id, title, cost, text)
        kind = "channel.channel_points_custom_reward_redemption.add"
        self._emit(channel, kind, event, act, id=redemption_id)
        if text:
            self.say(channel, user, text, reward_id=event["reward"]["id"], act=act)
        return redemption_id

    # The channel

    def update_channel(
        self,
        channel: Channel,
        *,
        title: str | None = None,
        category_id: str | None = None,
        language: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """What is None stays. Twitch tells of it when something was asked to change."""
        channel.title = channel.title if title is None else title
        if category_id is not None:
            channel.category_id = category_id if category_id in CATEGORIES else ""
        channel.language = language or channel.language
        channel.tags = channel.tags if tags is None else tags
        event = payloads.channel_update(channel)
        self._emit(channel, "channel.update", event, _act("update"))

    def ad_break(self, channel: Channel, seconds: int = 60) -> None:
        event = payloads.of_channel(
            channel,
            **channel.owner.fields("requester_"),
            started_at=stamp(),
            duration_seconds=seconds,
            is_automatic=False,
        )
        self._emit(channel, "channel.ad_break.begin", event, _act("ad_break"))


def _act(kind: str) -> str:
    return f"{kind}:{uuid4()}"
