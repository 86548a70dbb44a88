"""What is said and done in a channel, and every event that comes of it.

Twitch reports one act several times; an ``act`` id joins those reports in the
books. Each method is a plain call that changes the channel and emits.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from . import twitch_payloads as payloads
from .eventsub_delivery import Dispatcher
from .options import stamp
from .twitch_models import CATEGORIES, Channel, User, since
from .twitch_state import TwitchState

MESSAGES_KEPT = 10_000


class TwitchActs:
    """Binds the state's own turns (on air, off air) to their events too."""

    def __init__(self, twitch: TwitchState, dispatcher: Dispatcher) -> None:
        self._twitch = twitch
        self._dispatcher = dispatcher
        # Message → channel and author, so that it can be deleted; Twitch forgets after six hours.
        self._messages: dict[str, tuple[Channel, User]] = {}
        twitch.on_live = self._went_live
        twitch.on_offline = self._went_offline

    def emit(
        self, channel: Channel, kind: str, event: Mapping[str, Any], act: str, id: str = ""
    ) -> None:
        self._dispatcher.emit(kind, channel, event, id=id, act=act)

    def _went_live(self, channel: Channel) -> None:
        event = payloads.of_channel(
            channel, id=channel.stream_id, type="live", started_at=since(channel.started)
        )
        self.emit(channel, "stream.online", event, new_act("online"), id=str(channel.stream_id))

    def _went_offline(self, channel: Channel, stream_id: str) -> None:
        event = payloads.of_channel(channel, id=stream_id)
        self.emit(channel, "stream.offline", event, new_act("offline"), id=stream_id)

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
        self.emit(channel, "channel.chat.message", event, act or new_act("chat"), id=message_id)
        return message_id

    def author_of(self, channel: Channel, message_id: str) -> User | None:
        """Who wrote a message of this channel that can still be deleted."""
        where, author = self._messages.get(message_id, (None, None))
        return author if where is channel else None

    def tell(
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
        self.emit(channel, "channel.chat.notification", event, act, id=message_id)

    def announce(self, channel: Channel, user: User, text: str, color: str = "PRIMARY") -> None:
        detail = {"color": color}
        self.tell(channel, user, "announcement", detail, "", new_act("announcement"), text=text)

    def notice(
        self, channel: Channel, user: User, notice: str, detail: Mapping[str, Any], system: str
    ) -> None:
        """Any other notice, also one that nobody has heard of yet."""
        self.tell(channel, user, notice, detail, system, new_act(notice))

    def delete_message(self, channel: Channel, author: User, message_id: str) -> None:
        event = {
            **channel.owner.fields("broadcaster_"),
            **author.fields("target_"),
            "message_id": message_id,
        }
        kind = "channel.chat.message_delete"
        self.emit(channel, kind, event, new_act("delete"), id=message_id)

    def clear_chat(self, channel: Channel) -> None:
        self.emit(channel, "channel.chat.clear", payloads.of_channel(channel), new_act("clear"))

    def ban(
        self, channel: Channel, user: User, seconds: int = 0, reason: str = ""
    ) -> datetime | None:
        """For ``seconds``, or for good when 0. The user's messages go. Returns when it ends."""
        now = datetime.now(UTC)
        until = now + timedelta(seconds=seconds) if seconds else None
        channel.banned[user.id] = until
        channel.chatters.discard(user.id)
        act = new_act("ban")
        wiped = {**channel.owner.fields("broadcaster_"), **user.fields("target_")}
        self.emit(channel, "channel.chat.clear_user_messages", wiped, act)
        event = payloads.about(
            channel,
            user,
            **channel.owner.fields("moderator_"),
            reason=reason,
            banned_at=stamp(now),
            ends_at=stamp(until) if until else None,
            is_permanent=until is None,
        )
        self.emit(channel, "channel.ban", event, act)
        return until

    def unban(self, channel: Channel, user: User) -> None:
        del channel.banned[user.id]
        moderator = channel.owner.fields("moderator_")
        event = payloads.about(channel, user, **moderator)
        self.emit(channel, "channel.unban", event, new_act("unban"))

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
        self.emit(channel, "channel.update", event, new_act("update"))

    def ad_break(self, channel: Channel, seconds: int = 60) -> None:
        event = payloads.of_channel(
            channel,
            **channel.owner.fields("requester_"),
            started_at=stamp(),
            duration_seconds=seconds,
            is_automatic=False,
        )
        self.emit(channel, "channel.ad_break.begin", event, new_act("ad_break"))


def new_act(kind: str) -> str:
    return f"{kind}:{uuid4()}"
