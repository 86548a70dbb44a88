"""One user at Twitch: what the rest of the daemon asks of it."""

from collections.abc import Callable

from ...errors import PlatformRefused, ReloginNeeded
from ...runtime import TokenBucket
from ...settings import TwitchSettings
from ...telemetry import Telemetry
from ...telemetry.events import LimiterWaited
from ..api import ApiClient
from ..platform import AccessTokens, Destination, Identity, Limits, Now, SentMessage
from ..recent_ids import RecentIds
from .client import POINTS_PER_MINUTE, TwitchClient
from .oauth import TwitchOAuth
from .source import EventSubSource

# Twitch resends with the same id, for ten minutes at most.
SEEN_FOR = 600.0
# A busy chat has some thirty messages a second at most for so long.
SEEN_AT_MOST = 20_000
# A broadcaster may send 100 messages in 30 s; past it Twitch ignores the
# account for half an hour. Rate and burst together stay below in any 30 s.
CHAT_RATE = 50 / 30
CHAT_BURST = 50

LIMITS = Limits(chat_length=500, title_length=140, encoder_timeout=90.0)


class TwitchAccount:
    """Fulfils ``Account``. Keep one per user: it remembers rate limits and seen ids."""

    def __init__(
        self,
        *,
        user_id: int,
        identity: Identity,
        tokens: AccessTokens,
        api: ApiClient,
        oauth: TwitchOAuth,
        settings: TwitchSettings,
        telemetry: Telemetry,
        now: Now,
    ) -> None:
        self.identity = identity
        self._user_id = user_id
        self._tokens = tokens
        self._oauth = oauth
        self._settings = settings
        self._telemetry = telemetry
        self._now = now
        self._seen = RecentIds(lifetime=SEEN_FOR, capacity=SEEN_AT_MOST)
        self._chat = self._bucket(f"twitch/{user_id}/chat", CHAT_RATE, CHAT_BURST)
        self._client = TwitchClient(
            api,
            settings,
            broadcaster=identity.platform_user_id,
            tokens=tokens,
            bucket=self._bucket(f"twitch/{user_id}", POINTS_PER_MINUTE / 60, POINTS_PER_MINUTE),
            now=now,
        )

    def source(self) -> EventSubSource:
        return EventSubSource(
            user_id=self._user_id,
            broadcaster=self.identity.platform_user_id,
            client=self._client,
            tokens=self._tokens,
            seen=self._seen,
            settings=self._settings,
            telemetry=self._telemetry,
            now=self._now,
        )

    async def destination(self) -> Destination:
        return Destination(
            url=self._settings.ingest_url, stream_key=await self._client.stream_key()
        )

    async def send_chat(self, text: str) -> SentMessage:
        """Waits for its turn when many are sent. See ``TwitchClient.send_chat``."""
        _check_length("A chat message", text, LIMITS.chat_length)
        await self._chat.acquire()
        return await self._client.send_chat(text)

    async def edit_metadata(self, *, title: str | None, category: str | None) -> None:
        """``category`` is a name as Twitch spells it, in any case; "" takes it away.

        Raises PlatformRefused for a name that Twitch does not have, with
        similar ones in ``details["suggestions"]``; then nothing is changed.
        """
        changes = {}
        if title is not None:
            if not title.strip():
                raise PlatformRefused("Twitch needs a title")
            _check_length("A title", title, LIMITS.title_length)
            changes["title"] = title
        if category is not None:
            changes["game_id"] = await self._category_id(category) if category else "0"
        if changes:
            await self._client.modify_channel(changes)

    async def viewers(self) -> int | None:
        stream = await self._client.stream()
        return None if stream is None else stream.viewers

    async def validate(self) -> None:
        """Twitch demands this at the start and every hour. An ended token is renewed first."""
        token = await self._tokens.access()
        known = await self._oauth.validate(token)
        if known is None:
            known = await self._oauth.validate(await self._tokens.renew(token))
        if known is None:
            raise ReloginNeeded("Twitch does not accept a token it has just given")
        if known.client_id != self._settings.client_id:
            raise ReloginNeeded("the account was connected through another application")
        if known.platform_user_id != self.identity.platform_user_id:
            raise ReloginNeeded("the tokens are of another Twitch account")

    async def _category_id(self, name: str) -> str:
        found = await self._client.search_categories(name)
        for category in found:
            if category.name.casefold() == name.strip().casefold():
                return category.id
        raise PlatformRefused(
            f"Twitch has no category called {name!r}",
            suggestions=[category.name for category in found[:5]],
        )

    def _bucket(self, name: str, rate: float, burst: float) -> TokenBucket:
        return TokenBucket(rate=rate, burst=burst, name=name, on_wait=_report_to(self._telemetry))


def _report_to(telemetry: Telemetry) -> Callable[[str, float], None]:
    return lambda limiter, wait: telemetry.emit(LimiterWaited(limiter=limiter, wait=wait))


def _check_length(what: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise PlatformRefused(
            f"{what} at Twitch has {limit} characters at most",
            code="text_too_long",
            limit=limit,
        )
