"""Helix: sending chat, announcements, chatters, deleting, banning."""

from datetime import UTC, datetime

from quart import Response, request
from quart_trio import QuartTrio

from .agenda import Agenda
from .eventsub_subscriptions import Refused
from .helix import Helix, add_route, argument, body_object, body_or_query, data, page
from .options import stamp
from .twitch_acts import TwitchActs
from .twitch_models import Channel, User, since
from .twitch_state import TwitchState

CHAT_LENGTH = 500
# Messages in 30 seconds: of a broadcaster or moderator, and of anybody else.
PACE_PRIVILEGED, PACE = 100, 20


class ChatCalls:
    def __init__(self, agenda: Agenda, helix: Helix, twitch: TwitchState, acts: TwitchActs) -> None:
        self._agenda = agenda
        self._helix = helix
        self._twitch = twitch
        self._acts = acts
        # (sender, channel) → what was said when, for the rules about repetition and pace.
        self._said: dict[tuple[str, str], list[tuple[float, str]]] = {}

    def add_to(self, app: QuartTrio) -> None:
        add_route(app, "/chat/messages", "POST", self._send_chat)
        add_route(app, "/chat/announcements", "POST", self._announce)
        add_route(app, "/chat/chatters", "GET", self._get_chatters)
        add_route(app, "/moderation/chat", "DELETE", self._delete_chat)
        add_route(app, "/moderation/bans", "POST", self._ban)
        add_route(app, "/moderation/bans", "DELETE", self._unban)

    async def _send_chat(self) -> Response:
        user = self._helix.user("user:write:chat")
        body = await body_or_query()
        if body.get("sender_id") != user.id:
            raise Refused(401, "sender_id must match the user ID found in the OAuth token.")
        owner = self._twitch.users.get(str(body.get("broadcaster_id")))
        text = body.get("message")
        if owner is None or not isinstance(text, str) or not text.strip():
            raise Refused(400, "broadcaster_id and message are needed")
        if len(text) > CHAT_LENGTH:
            raise Refused(422, "the message is too large")
        if "for_source_only" in body:
            raise Refused(400, "for_source_only needs an app access token")
        channel = self._twitch.channel(owner)
        if user.id in channel.banned:
            raise Refused(403, "the sender is not permitted to send messages in this chat")
        record = {
            "at": stamp(),
            "channel": owner.login,
            "sender": user.login,
            "text": text,
            "reply_to": body.get("reply_parent_message_id") or "",
        }
        if reason := self._drop_reason(channel, user, text):
            dropped = {"code": reason, "message": f"Your message was dropped: {reason}."}
            self._twitch.sent_chat.append({**record, "is_sent": False, "message_id": ""})
            return data([{"message_id": "", "is_sent": False, "drop_reason": dropped}])
        message_id = self._acts.say(channel, user, text, reply_to=record["reply_to"])
        self._twitch.sent_chat.append({**record, "is_sent": True, "message_id": message_id})
        return data([{"message_id": message_id, "is_sent": True}])

    def _drop_reason(self, channel: Channel, user: User, text: str) -> str:
        """Why the message does not appear, which Helix still answers with 200."""
        knobs, now = self._twitch.knobs, self._agenda.now()
        if knobs.drop_chat > 0:
            knobs.drop_chat -= 1
            return knobs.drop_code
        privileged = user is channel.owner or user.id in channel.moderators
        said = self._said.setdefault((user.id, channel.owner.id), [])
        said[:] = [entry for entry in said if entry[0] > now - 30]
        if len(said) >= (PACE_PRIVILEGED if privileged else PACE):
            return "msg_ratelimit"
        if not privileged and any(earlier == text for _, earlier in said):
            return "msg_duplicate"
        said.append((now, text))
        return ""

    async def _announce(self) -> Response:
        channel = self._helix.moderated("moderator:manage:announcements")
        body = await body_or_query()
        text = body.get("message")
        if not isinstance(text, str) or not text or len(text) > CHAT_LENGTH:
            raise Refused(400, f"message must have 1 to {CHAT_LENGTH} characters")
        color = str(body.get("color", "primary")).upper()
        self._acts.announce(channel, self._helix.user(), text, color)
        return Response("", 204)

    async def _get_chatters(self) -> Response:
        channel = self._helix.moderated("moderator:read:chatters")
        items = [self._twitch.users[i].fields() for i in sorted(channel.chatters)]
        return page(items, default=100, most=1000, total=len(items))

    async def _delete_chat(self) -> Response:
        channel = self._helix.moderated("moderator:manage:chat_messages")
        message_id = request.args.get("message_id")
        if not message_id:
            self._acts.clear_chat(channel)
            return Response("", 204)
        author = self._acts.author_of(channel, message_id)
        if author is None:
            raise Refused(404, "the message was not found")
        if author is channel.owner or author.id in channel.moderators:
            raise Refused(400, "messages of the broadcaster and moderators cannot be deleted")
        self._acts.delete_message(channel, author, message_id)
        return Response("", 204)

    async def _ban(self) -> Response:
        channel = self._helix.moderated("moderator:manage:banned_users")
        body = (await body_object()).get("data")
        if not isinstance(body, dict):
            raise Refused(400, "data is missing")
        target = self._twitch.users.get(str(body.get("user_id")))
        seconds = body.get("duration", 0)
        if target is None or target is channel.owner:
            raise Refused(400, "this user may not be banned")
        if not isinstance(seconds, int) or not 0 <= seconds <= 1_209_600:
            raise Refused(400, "duration must be from 1 to 1209600 seconds")
        if target.id in channel.banned and channel.banned[target.id] is None:
            raise Refused(400, "user is already banned")
        until = self._acts.ban(channel, target, seconds, str(body.get("reason", "")))
        item = {
            "broadcaster_id": channel.owner.id,
            "moderator_id": self._helix.user().id,
            "user_id": target.id,
            "created_at": since(datetime.now(UTC)),
            "end_time": since(until) or None,
        }
        return data([item])

    async def _unban(self) -> Response:
        channel = self._helix.moderated("moderator:manage:banned_users")
        target = self._twitch.users.get(argument("user_id"))
        if target is None or target.id not in channel.banned:
            raise Refused(400, "user is not banned")
        self._acts.unban(channel, target)
        return Response("", 204)
