"""Twitch, as the daemon's table of platforms has it."""

import trio

from ...errors import PlatformRefused, ReloginNeeded
from ...runtime import TokenBucket
from ...settings import Secret
from ..api import ApiClient
from ..platform import AccessTokens, DeviceCode, Identity, PlatformContext, Tokens
from .account import LIMITS, TwitchAccount
from .arrival import NAME
from .client import POINTS_PER_MINUTE, TwitchClient
from .oauth import TwitchOAuth
from .subscriptions import SCOPES

# Beyond hearing: to write in chat, to change title and category, to send the stream on.
_SCOPES = (*SCOPES, "user:write:chat", "channel:manage:broadcast", "channel:read:stream_key")


class TwitchPlatform:
    """Fulfils ``Platform``. Keeps nobody's state."""

    name = NAME
    title = "Twitch"
    limits = LIMITS
    scopes: tuple[str, ...] = _SCOPES

    def __init__(self, context: PlatformContext) -> None:
        self._settings = context.settings.twitch
        self._telemetry = context.telemetry
        self._now = context.now
        self._api = ApiClient(
            context.http,
            service=self.title,
            timeout=context.settings.platforms.api_call_timeout,
            telemetry=context.telemetry,
        )
        self._oauth = TwitchOAuth(self._api, self._settings, scopes=self.scopes, now=self._now)

    def configured(self) -> bool:
        return bool(self._settings.client_id and self._settings.client_secret)

    def authorize_url(self, *, state: str, redirect_uri: str) -> str:
        return self._oauth.authorize_url(state=state, redirect_uri=redirect_uri)

    async def exchange_code(self, *, code: str, redirect_uri: str) -> tuple[Tokens, Identity]:
        tokens = await self._oauth.exchange_code(code=code, redirect_uri=redirect_uri)
        return tokens, await self._identity(tokens)

    async def start_device_code(self) -> DeviceCode:
        return await self._oauth.start_device_code()

    async def poll_device_code(self, device: DeviceCode) -> tuple[Tokens, Identity] | None:
        tokens = await self._oauth.poll_device_code(device)
        return None if tokens is None else (tokens, await self._identity(tokens))

    async def refresh(self, tokens: Tokens) -> Tokens:
        return await self._oauth.refresh(tokens)

    async def revoke(self, tokens: Tokens) -> None:
        await self._oauth.revoke(tokens)

    def account(self, *, user_id: int, identity: Identity, tokens: AccessTokens) -> TwitchAccount:
        return TwitchAccount(
            user_id=user_id,
            identity=identity,
            tokens=tokens,
            api=self._api,
            oauth=self._oauth,
            settings=self._settings,
            telemetry=self._telemetry,
            now=self._now,
        )

    async def _identity(self, tokens: Tokens) -> Identity:
        """Whose tokens these are."""
        client = TwitchClient(
            self._api,
            self._settings,
            broadcaster="",
            tokens=_NewTokens(tokens),
            bucket=TokenBucket(rate=POINTS_PER_MINUTE / 60, burst=1, name="twitch/login"),
            now=self._now,
        )
        user = await client.me()
        if user is None:
            raise PlatformRefused("Twitch does not say whose log-in this is")
        return Identity(platform_user_id=user.id, login=user.login, display_name=user.display_name)


class _NewTokens:
    """Tokens as they came from a log-in; there is nothing yet to renew them for."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def access(self) -> Secret:
        await trio.lowlevel.checkpoint()
        return self._tokens.access

    async def renew(self, rejected: Secret) -> Secret:
        await trio.lowlevel.checkpoint()
        raise ReloginNeeded("Twitch does not accept a token it has just given")

    def refuse(self, reason: str) -> None:
        raise ReloginNeeded(reason)
