"""Helix: streams, users, channels, their followers, subscribers and categories."""

from typing import Any

from quart import Response, request
from quart_trio import QuartTrio

from .eventsub_subscriptions import Refused
from .helix import Helix, add_route, argument, body_object, data, page, several
from .twitch_acts import TwitchActs
from .twitch_models import CATEGORIES, Channel, User, since
from .twitch_state import TwitchState

TITLE_LENGTH = 140
MAX_TAGS, TAG_LENGTH = 10, 25


class ChannelCalls:
    def __init__(self, helix: Helix, twitch: TwitchState, acts: TwitchActs) -> None:
        self._helix = helix
        self._twitch = twitch
        self._acts = acts

    def add_to(self, app: QuartTrio) -> None:
        add_route(app, "/streams", "GET", self._get_streams)
        add_route(app, "/streams/key", "GET", self._get_stream_key)
        add_route(app, "/users", "GET", self._get_users)
        add_route(app, "/channels", "GET", self._get_channels)
        add_route(app, "/channels", "PATCH", self._modify_channel)
        add_route(app, "/channels/followers", "GET", self._get_followers)
        add_route(app, "/subscriptions", "GET", self._get_subscribers)
        add_route(app, "/games", "GET", self._get_games)
        add_route(app, "/search/categories", "GET", self._search_categories)

    async def _get_streams(self) -> Response:
        ids, logins = several("user_id"), several("user_login")
        games = several("game_id")
        items = []
        for channel in self._twitch.channels.values():
            owner = channel.owner
            asked = owner.id in ids or owner.login in logins or not (ids or logins)
            in_game = not games or channel.category_id in games
            if asked and in_game and self._twitch.shown_live(channel):
                items.append(_stream_item(channel))
        return page(items, default=20, most=100)

    async def _get_stream_key(self) -> Response:
        channel = self._helix.own_channel("channel:read:stream_key")
        return data([{"stream_key": channel.stream_key}])

    async def _get_users(self) -> Response:
        ids, logins = several("id"), several("login")
        if ids or logins:
            found = [u for i in ids if (u := self._twitch.users.get(i))]
            found += [u for n in logins if (u := self._twitch.by_login(n)) and u not in found]
        else:
            found = [self._helix.user()]
        return data([_user_item(user) for user in found])

    async def _get_channels(self) -> Response:
        ids = several("broadcaster_id")
        if not ids:
            raise Refused(400, "broadcaster_id is missing")
        users = [u for i in ids if (u := self._twitch.users.get(i))]
        return data([_channel_item(self._twitch.channel(u)) for u in users])

    async def _modify_channel(self) -> Response:
        channel = self._helix.own_channel("channel:manage:broadcast")
        body = await body_object()
        title, category = body.get("title"), body.get("game_id")
        language, tags = body.get("broadcaster_language"), body.get("tags")
        if not body:
            raise Refused(400, "nothing to change")
        if title is not None and (
            not isinstance(title, str) or not title.strip() or len(title) > TITLE_LENGTH
        ):
            raise Refused(400, f"title must have 1 to {TITLE_LENGTH} characters")
        if category is not None and category not in ("", "0", *CATEGORIES):
            raise Refused(400, "unknown game_id")
        if tags is not None and not _good_tags(tags):
            raise Refused(400, "at most ten tags of at most 25 letters and digits each")
        self._acts.update_channel(
            channel, title=title, category_id=category, language=language, tags=tags
        )
        return Response("", 204)

    async def _get_followers(self) -> Response:
        channel = self._helix.channel()
        user = self._helix.user("moderator:read:followers")
        if user is not channel.owner and user.id not in channel.moderators:
            raise Refused(401, "the user is not a moderator of this channel")
        wanted = request.args.get("user_id")
        newest = sorted(channel.followers.items(), key=lambda pair: pair[1], reverse=True)
        items = [
            {**self._twitch.users[i].fields(), "followed_at": since(at)}
            for i, at in newest
            if wanted in (None, i)
        ]
        return page(items, default=20, most=100, total=len(channel.followers))

    async def _get_subscribers(self) -> Response:
        channel = self._helix.own_channel("channel:read:subscriptions")
        items = []
        for user_id, details in channel.subscribers.items():
            gifter: User | None = details["gifter"]
            items.append(
                {
                    **_named("broadcaster", channel.owner),
                    **_named("gifter", gifter),
                    "is_gift": gifter is not None,
                    "plan_name": "Channel Subscription",
                    "tier": details["tier"],
                    **self._twitch.users[user_id].fields(),
                }
            )
        return page(items, default=20, most=100, total=len(items), points=len(items))

    async def _get_games(self) -> Response:
        ids, names = several("id"), [name.lower() for name in several("name")]
        if not ids and not names:
            raise Refused(400, "id, name or igdb_id is needed")
        found = [c for c in CATEGORIES.items() if c[0] in ids or c[1].lower() in names]
        return data([{**_category_item(*c), "igdb_id": ""} for c in found])

    async def _search_categories(self) -> Response:
        query = argument("query").lower()
        found = [c for c in CATEGORIES.items() if query in c[1].lower()]
        return page([_category_item(*c) for c in found], default=20, most=100)


def _stream_item(channel: Channel) -> dict[str, Any]:
    login = channel.owner.login
    return {
        "id": channel.stream_id,
        **channel.owner.fields(),
        "game_id": channel.category_id,
        "game_name": channel.category,
        "type": "live",
        "title": channel.title,
        "tags": channel.tags,
        "viewer_count": channel.viewers,
        "started_at": since(channel.started),
        "language": channel.language,
        "thumbnail_url": (
            f"https://static-cdn.jtvnw.net/previews-ttv/live_user_{login}-{{width}}x{{height}}.jpg"
        ),
        "tag_ids": [],
        "is_mature": False,
    }


def _user_item(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "login": user.login,
        "display_name": user.name,
        "type": "",
        "broadcaster_type": "affiliate",
        "description": "",
        "profile_image_url": f"https://static-cdn.jtvnw.net/{user.login}.png",
        "offline_image_url": "",
        "view_count": 0,
        "created_at": since(user.created),
    }


def _channel_item(channel: Channel) -> dict[str, Any]:
    return {
        **_named("broadcaster", channel.owner),
        "broadcaster_language": channel.language,
        "game_id": channel.category_id,
        "game_name": channel.category,
        "title": channel.title,
        "delay": 0,
        "tags": channel.tags,
        "content_classification_labels": channel.labels,
        "is_branded_content": False,
    }


def _named(role: str, user: User | None) -> dict[str, str]:
    """Helix leaves out the ``user_`` that EventSub has; nobody is empty strings."""
    values = (user.id, user.login, user.name) if user else ("", "", "")
    return dict(zip((f"{role}_id", f"{role}_login", f"{role}_name"), values, strict=True))


def _category_item(category_id: str, name: str) -> dict[str, str]:
    art = f"https://static-cdn.jtvnw.net/ttv-boxart/{category_id}-{{width}}x{{height}}.jpg"
    return {"id": category_id, "name": name, "box_art_url": art}


def _good_tags(tags: object) -> bool:
    return (
        isinstance(tags, list)
        and len(tags) <= MAX_TAGS
        and all(isinstance(t, str) and t.isalnum() and len(t) <= TAG_LENGTH for t in tags)
    )
