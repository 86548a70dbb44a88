"""Twitch's users and channels, tokens and grants, and the knobs of the service that keeps them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from .agenda import Entry
from .options import stamp

CATEGORIES: Mapping[str, str] = {
    "509658": "Just Chatting",
    "1469308723": "Software and Game Development",
    "26936": "Music",
    "509660": "Art",
    "27471": "Minecraft",
    "33214": "Fortnite",
    "516575": "VALORANT",
}


@attrs.define(eq=False, kw_only=True)
class User:
    id: str
    login: str
    name: str
    created: datetime
    color: str = ""

    def fields(self, prefix: str = "") -> dict[str, str]:
        return {
            f"{prefix}user_id": self.id,
            f"{prefix}user_login": self.login,
            f"{prefix}user_name": self.name,
        }


@attrs.define(eq=False, kw_only=True)
class Channel:
    """One user's channel. ``writers`` are the pushes that arrive; more than one is somebody's bug."""

    owner: User
    stream_key: str
    title: str = "Untitled"
    category_id: str = "509658"
    language: str = "en"
    tags: list[str] = attrs.field(factory=list)
    labels: list[str] = attrs.field(factory=list)
    writers: list[str] = attrs.field(factory=list)
    most_writers: int = 0
    stream_id: str | None = None
    started: datetime | None = None
    visible_from: float = 0.0
    viewers: int = 0
    ending: Entry | None = None
    followers: dict[str, datetime] = attrs.field(factory=dict)
    subscribers: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    moderators: set[str] = attrs.field(factory=set)
    banned: dict[str, datetime | None] = attrs.field(factory=dict)
    chatters: set[str] = attrs.field(factory=set)

    @property
    def category(self) -> str:
        return CATEGORIES.get(self.category_id, "")

    @property
    def live(self) -> bool:
        return self.stream_id is not None


@attrs.define(eq=False, kw_only=True)
class Token:
    """An access token. ``user`` None: the application's own."""

    access: str
    client_id: str
    user: User | None
    scopes: tuple[str, ...]
    expires: float
    grant: "Grant | None" = None


@attrs.define(eq=False, kw_only=True)
class Grant:
    """What a user allowed, and the refresh tokens that stand for it."""

    client_id: str
    user: User
    scopes: tuple[str, ...]
    # Newest last.
    refresh: list[str] = attrs.field(factory=list)
    public: bool = False
    revoked: bool = False


@attrs.define(eq=False, kw_only=True)
class DeviceRequest:
    device_code: str
    user_code: str
    client_id: str
    scopes: tuple[str, ...]
    expires: float
    user: User | None = None
    denied: bool = False


@attrs.define(kw_only=True)
class TwitchKnobs:
    """How the service behaves where the real one varies.

    ``refresh``: "same" gives the same refresh token back, "new" another one
    beside it, "replace" another one and the old dies at once.
    """

    token_lifetime: float = 14_400.0
    refresh: str = "new"
    refuse_refresh: bool = False
    drop_chat: int = 0
    drop_code: str = "msg_rejected"
    streams_lag: float = 0.0
    viewers: int = 42


def since(moment: datetime | None) -> str:
    return stamp(moment, digits=0) if moment else ""
