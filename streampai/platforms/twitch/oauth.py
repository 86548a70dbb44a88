"""Twitch's OAuth 2.0: how an account is connected and its tokens are kept alive.

Parameters go in the form body, never in the URL: URLs end up in logs. Twitch
offers no PKCE. Facts: Twitch's authentication reference of February 2026.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import NoReturn
from urllib.parse import urlencode

from ...errors import (
    PlatformRefused,
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
    StreampaiError,
)
from ...settings import Secret, TwitchSettings
from ..api import Answer, ApiClient
from ..fields import Fields
from ..platform import DeviceCode, Now, Tokens
from .models import ValidatedToken, decode_validated_token

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# When Twitch limits log-ins without saying for how long.
_DEFAULT_WAIT = 30.0


class TwitchOAuth:
    """The calls under ``/oauth2``. All raise PlatformUnavailable when Twitch cannot be asked."""

    def __init__(
        self, api: ApiClient, settings: TwitchSettings, *, scopes: tuple[str, ...], now: Now
    ) -> None:
        self._api = api
        self._settings = settings
        self._scopes = " ".join(scopes)
        self._now = now

    def authorize_url(self, *, state: str, redirect_uri: str) -> str:
        """Where the browser goes to consent; Twitch sends it back with ``code`` and ``state``."""
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._settings.client_id,
                "redirect_uri": redirect_uri,
                "scope": self._scopes,
                "state": state,
            }
        )
        return f"{self._settings.auth_url}/authorize?{query}"

    async def exchange_code(self, *, code: str, redirect_uri: str) -> Tokens:
        """Tokens for a code, which works once. Raises PlatformRefused for a used or wrong one."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        answer = await self._post("token", form, operation="exchange_code", secret=True)
        if answer.status != 200:
            self._raise(answer)
        return self._tokens(answer)

    async def start_device_code(self) -> DeviceCode:
        answer = await self._post("device", {"scopes": self._scopes}, operation="device_code")
        if answer.status != 200:
            self._raise(answer)
        return answer.read(_device_code)

    async def poll_device_code(self, device: DeviceCode) -> Tokens | None:
        """None while the user has not decided. Raises PlatformRefused when the code is over."""
        form = {
            "grant_type": _DEVICE_GRANT,
            "scopes": self._scopes,
            "device_code": device.device_code.reveal(),
        }
        answer = await self._post("token", form, operation="poll_device_code")
        if answer.status == 200:
            return self._tokens(answer)
        # RFC 8628 3.5 also has slow_down; the asker's interval stays the same, and pending it is.
        if answer.status == 400 and answer.reason() in ("authorization_pending", "slow_down"):
            return None
        return self._raise(answer)

    async def refresh(self, tokens: Tokens) -> Tokens:
        """New tokens. Twitch may give another refresh token, and the old one may then be dead.

        Raises ReloginNeeded on a definite refusal. PlatformRefused means that
        our own id or secret is wrong, which no log-in can mend.
        """
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh.reveal()}
        answer = await self._post("token", form, operation="refresh", secret=True)
        if answer.status == 200:
            return self._tokens(answer, tokens)
        if answer.status in (400, 401) and "invalid client" not in answer.reason().lower():
            raise ReloginNeeded(f"Twitch no longer accepts this log-in: {answer.reason()}")
        return self._raise(answer)

    async def validate(self, access: Secret) -> ValidatedToken | None:
        """What the token is good for; None when Twitch does not know it or it has ended."""
        answer = await self._api.call(
            "GET",
            f"{self._settings.auth_url}/validate",
            operation="validate",
            headers={"Authorization": f"OAuth {access.reveal()}"},
        )
        if answer.status == 401:
            return None
        if answer.status != 200:
            self._raise(answer)
        return answer.read(decode_validated_token)

    async def revoke(self, tokens: Tokens) -> None:
        """End the access token. One that is dead already is well revoked."""
        answer = await self._post("revoke", {"token": tokens.access.reveal()}, operation="revoke")
        if answer.status not in (200, 400):
            self._raise(answer)

    async def _post(
        self, path: str, form: Mapping[str, str], *, operation: str, secret: bool = False
    ) -> Answer:
        full = {"client_id": self._settings.client_id, **form}
        if secret:
            full["client_secret"] = self._settings.client_secret.reveal()
        return await self._api.call(
            "POST", f"{self._settings.auth_url}/{path}", operation=operation, form=full
        )

    def _tokens(self, answer: Answer, old: Tokens | None = None) -> Tokens:
        def decode(fields: Fields) -> Tokens:
            lifetime = fields.number("expires_in", 0)
            refresh = fields.text("refresh_token", "")
            return Tokens(
                access=Secret(fields.text("access_token")),
                refresh=Secret(refresh) if refresh or old is None else old.refresh,
                expires_at=self._now() + timedelta(seconds=lifetime) if lifetime > 0 else None,
                scopes=fields.texts("scope"),
            )

        return answer.read(decode)

    def _raise(self, answer: Answer) -> NoReturn:
        raise refusal(answer, retry_after=answer.retry_after(self._now()))


def _device_code(fields: Fields) -> DeviceCode:
    return DeviceCode(
        device_code=Secret(fields.text("device_code")),
        user_code=fields.text("user_code"),
        verification_uri=fields.text("verification_uri"),
        interval=float(fields.number("interval", 5)),
        expires_in=float(fields.number("expires_in", 1800)),
    )


def refusal(answer: Answer, *, retry_after: float | None) -> StreampaiError:
    """What an answer that is no success means when nothing more particular is known of it."""
    if answer.status == 429:
        return RateLimited(
            f"Twitch limits us: {answer.reason()}",
            retry_after=_DEFAULT_WAIT if retry_after is None else retry_after,
        )
    if 400 <= answer.status < 500:
        return PlatformRefused(f"Twitch refused: {answer.reason()}", status=answer.status)
    return PlatformUnavailable(f"Twitch failed with {answer.status}", status=answer.status)
