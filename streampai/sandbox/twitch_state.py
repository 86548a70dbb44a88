"""What Twitch would know: users and their channels, tokens, who broadcasts, what was sent to chat."""

import random
import zlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from .agenda import Agenda
from .options import SandboxOptions
from .twitch_models import Channel, DeviceRequest, Grant, Token, TwitchKnobs, User

# Access tokens that one refresh token supports; beyond it the oldest dies.
TOKENS_PER_GRANT = 50
# Kept for comparison; a test's worth of chat.
SENT_KEPT = 10_000


class TwitchState:
    """Users are created when first mentioned; ids come from the login, so they outlive a restart."""

    def __init__(self, agenda: Agenda, options: SandboxOptions, rng: random.Random) -> None:
        self._agenda = agenda
        self.options = options
        self._rng = rng
        self.heal()
        self.users: dict[str, User] = {}
        self._logins: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.tokens: dict[str, Token] = {}
        self.grants: list[Grant] = []
        self.codes: dict[str, tuple[Grant, str, float]] = {}
        self.devices: dict[str, DeviceRequest] = {}
        self.sent_chat: deque[dict[str, Any]] = deque(maxlen=SENT_KEPT)
        # Told of a grant that ended, of a channel that went on or off the air.
        self.on_revoked: Callable[[Grant], None] = lambda _: None
        self.on_live: Callable[[Channel], None] = lambda _: None
        self.on_offline: Callable[[Channel, str], None] = lambda _channel, _stream: None

    def heal(self) -> None:
        """Every knob where it was at the start."""
        self.knobs = TwitchKnobs(
            token_lifetime=self.options.token_lifetime, streams_lag=self.options.streams_lag
        )

    def word(self, bits: int = 150) -> str:
        """A random word of letters and digits, as tokens and keys are."""
        return f"{self._rng.getrandbits(bits):0{bits // 4}x}"

    # Users

    def user(self, login: str) -> User:
        """The user of this login, created when new."""
        login = login.strip().lower()
        if found := self._logins.get(login):
            return found
        number = 100_000_000 + zlib.crc32(login.encode()) % 800_000_000
        while str(number) in self.users:
            number += 1
        colours = ("#FF4500", "#2E8B57", "#1E90FF", "#9ACD32", "#DAA520", "#8A2BE2", "")
        made = User(
            id=str(number),
            login=login,
            name=login[:1].upper() + login[1:],
            created=datetime.now(UTC) - timedelta(days=number % 3000),
            color=colours[number % len(colours)],
        )
        self.users[made.id] = self._logins[login] = made
        return made

    def by_login(self, login: str) -> User | None:
        return self._logins.get(login.lower())

    def channel(self, user: User) -> Channel:
        if user.id not in self.channels:
            key = f"live_{user.id}_{self.word(120)}"
            self.channels[user.id] = Channel(owner=user, stream_key=key)
        return self.channels[user.id]

    def authorised(self) -> list[User]:
        """Users whose account some application may use now."""
        return list({g.user.id: g.user for g in self.grants if not g.revoked}.values())

    def has_grant(self, client_id: str, user_id: str) -> bool:
        return any(
            g.user.id == user_id and g.client_id == client_id and not g.revoked for g in self.grants
        )

    # Tokens

    def allow(
        self, client_id: str, user: User, scopes: tuple[str, ...], *, public: bool = False
    ) -> Grant:
        grant = Grant(client_id=client_id, user=user, scopes=scopes, public=public)
        self.grants.append(grant)
        self.channel(user)
        return grant

    def issue_code(self, grant: Grant, redirect_uri: str) -> str:
        now = self._agenda.now()
        self.codes = {c: entry for c, entry in self.codes.items() if entry[2] > now}
        code = self.word(120)
        self.codes[code] = (
            grant,
            redirect_uri,
            now + self.options.code_lifetime,
        )
        return code

    def spend_code(self, code: str, client_id: str, redirect_uri: str) -> Grant | None:
        """None for a code that is unknown, used, expired or another's."""
        grant, expected, expires = self.codes.pop(code, (None, "", 0.0))
        if grant is None or grant.client_id != client_id or expected != redirect_uri:
            return None
        return grant if self._agenda.now() < expires else None

    def issue(self, grant: Grant | None, client_id: str) -> Token:
        """A new access token; for a grant without a refresh token one is made too."""
        lifetime = self.knobs.token_lifetime if grant else 5_000_000.0
        token = Token(
            access=self.word(),
            client_id=client_id,
            user=grant.user if grant else None,
            scopes=grant.scopes if grant else (),
            expires=self._agenda.now() + lifetime,
            grant=grant,
        )
        self.tokens[token.access] = token
        mine = [t for t in self.tokens.values() if grant and t.grant is grant]
        for oldest in mine[:-TOKENS_PER_GRANT]:
            del self.tokens[oldest.access]
        if grant is not None and not grant.refresh:
            grant.refresh.append(self.word(250))
        return token

    def lifetime(self, token: Token) -> int:
        return max(0, round(token.expires - self._agenda.now()))

    def token(self, access: str) -> Token | None:
        """The token, unless it is unknown, expired or its grant ended."""
        found = self.tokens.get(access)
        if found is None or found.expires <= self._agenda.now():
            return None
        return None if found.grant and found.grant.revoked else found

    def refresh(
        self, refresh_token: str, client_id: str, *, secret: bool
    ) -> tuple[Token, str] | None:
        """Another access token and the refresh token that goes with it from now on.

        Only a public client's grant can be refreshed without the secret.
        """
        grant = next((g for g in self.grants if refresh_token in g.refresh), None)
        if grant is None or grant.revoked or grant.client_id != client_id:
            return None
        if not secret and not grant.public:
            return None
        if self.knobs.refuse_refresh:
            return None
        kind = "replace" if grant.public else self.knobs.refresh
        kept = refresh_token
        if kind != "same":
            kept = self.word(250)
            grant.refresh.append(kept)
            del grant.refresh[:-TOKENS_PER_GRANT]
        if kind == "replace":
            grant.refresh.remove(refresh_token)
        return self.issue(grant, client_id), kept

    def begin_device(self, client_id: str, scopes: tuple[str, ...]) -> DeviceRequest:
        now = self._agenda.now()
        self.devices = {c: d for c, d in self.devices.items() if d.expires > now}
        device = DeviceRequest(
            device_code=self.word(160),
            user_code="".join(self._rng.choices("BCDFGHJKLMNPQRSTVWXZ", k=8)),
            client_id=client_id,
            scopes=scopes,
            expires=now + self.options.device_lifetime,
        )
        self.devices[device.device_code] = device
        return device

    def forget_token(self, access: str) -> bool:
        """The application gives one access token back. False when it was dead already."""
        alive = self.token(access) is not None
        self.tokens.pop(access, None)
        return alive

    def expire_tokens(self, user: User | None = None) -> int:
        """The access tokens of ``user``, or everybody's, are dead now; refreshing helps."""
        now, count = self._agenda.now(), 0
        for token in self.tokens.values():
            if token.user is not None and user in (None, token.user) and token.expires > now:
                token.expires = now
                count += 1
        return count

    def revoke_grants(self, user: User) -> int:
        """The user disconnects the application: no token works and none can be had."""
        ended = [g for g in self.grants if g.user is user and not g.revoked]
        for grant in ended:
            grant.revoked = True
            self.on_revoked(grant)
        return len(ended)

    # Broadcasts: media arriving is going live

    def begin_push(self, key: str, source: str) -> bool:
        channel = next((c for c in self.channels.values() if c.stream_key == key), None)
        if channel is None:
            return False
        channel.writers.append(source)
        channel.most_writers = max(channel.most_writers, len(channel.writers))
        if channel.ending is not None:
            channel.ending.cancel()
            channel.ending = None
        if not channel.live:
            channel.stream_id = str(40_000_000_000 + self._rng.getrandbits(32))
            channel.started = datetime.now(UTC)
            channel.visible_from = self._agenda.now() + self.knobs.streams_lag
            channel.viewers = self.knobs.viewers
            self.on_live(channel)
        return True

    def end_push(self, source: str) -> None:
        for channel in self.channels.values():
            if source in channel.writers:
                channel.writers.remove(source)
                if not channel.writers:
                    self._end_later(channel)

    def _end_later(self, channel: Channel) -> None:
        def end() -> None:
            ended, channel.stream_id, channel.ending = channel.stream_id, None, None
            channel.viewers = 0
            if ended is not None:
                self.on_offline(channel, ended)

        channel.ending = self._agenda.after(self.options.offline_delay, end)

    def shown_live(self, channel: Channel) -> bool:
        """Whether Get Streams has it already; its caches lag."""
        return channel.live and self._agenda.now() >= channel.visible_from

    def state(self) -> dict[str, Any]:
        return {
            "users": [
                {
                    "id": u.id,
                    "login": u.login,
                    "name": u.name,
                    "authorised": any(g.user is u and not g.revoked for g in self.grants),
                }
                for u in self.users.values()
                if u.id in self.channels
            ],
            "channels": {
                c.owner.login: {
                    "title": c.title,
                    "category": c.category,
                    "category_id": c.category_id,
                    "live": c.live,
                    "stream_id": c.stream_id,
                    "viewers": c.viewers,
                    "writers": list(c.writers),
                    "most_writers": c.most_writers,
                    "followers": len(c.followers),
                }
                for c in self.channels.values()
            },
            "live_tokens": sum(self.token(t) is not None for t in self.tokens),
        }
