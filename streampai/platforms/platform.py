"""The contract that every platform fulfils.

A ``Platform`` is one per daemon and keeps no user's state; ``account`` binds
it to one user's tokens. Adding a platform is one folder with ``client``,
``models``, ``source``, ``normalise`` and one line in ``PLATFORMS``.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

import attrs
import httpx
import trio

from ..events import PlatformEvent
from ..settings import Secret, Settings
from ..telemetry import Telemetry

Emit = Callable[[PlatformEvent], Awaitable[None]]
Now = Callable[[], datetime]


@attrs.frozen(kw_only=True)
class Tokens:
    """One account's tokens. Neither has a repr; ``expires_at`` is None when unknown."""

    access: Secret
    refresh: Secret
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Identity:
    """Who an account is at its platform."""

    platform_user_id: str
    login: str
    display_name: str


@attrs.frozen(kw_only=True)
class Destination:
    """Where the ingest sends the stream on to."""

    url: str
    stream_key: Secret


@attrs.frozen(kw_only=True)
class DeviceCode:
    """RFC 8628: show ``user_code``, let the user open ``verification_uri``, poll every ``interval`` s."""

    device_code: Secret
    user_code: str
    verification_uri: str
    interval: float
    expires_in: float


@attrs.frozen(kw_only=True)
class Limits:
    """What the platform accepts; checked before anything is sent.

    ``encoder_timeout`` is how many seconds after the video stops the platform
    itself ends the broadcast.
    """

    chat_length: int
    title_length: int
    encoder_timeout: float


@attrs.frozen(kw_only=True)
class SentMessage:
    message_id: str


class Notifications(Protocol):
    """One live connection. ``channel`` gives raw notifications until the connection ends.

    ``missed_nothing`` is true when this connection took over from the one
    before without a gap. ``not_subscribed`` names what the platform refused;
    it may change while the connection lives. ``last_heard`` is the time, on
    Trio's clock, of the last sign of life, keepalives included; one is due
    every ``keepalive`` seconds, slack included.
    """

    @property
    def channel(self) -> "trio.MemoryReceiveChannel[Any]": ...

    @property
    def missed_nothing(self) -> bool: ...

    @property
    def not_subscribed(self) -> tuple[str, ...]: ...

    @property
    def last_heard(self) -> float: ...

    @property
    def keepalive(self) -> float: ...


class Source(Protocol):
    """Where a platform's events come from, for one account."""

    def open(self) -> AbstractAsyncContextManager[Notifications]:
        """Connect, subscribe, and keep the connection until the block ends.

        Entering raises PlatformUnavailable, PlatformRefused, RateLimited or
        ReloginNeeded. When the connection breaks later the channel is closed
        and leaving the block raises the reason as one of the same errors.
        Silence beyond the platform's keepalive counts as broken. Cancelling
        closes the socket at once.
        """

    def normalise(self, notification: Any, received_at: datetime) -> Sequence[PlatformEvent]:
        """Pure. Raises BadRequest when the payload cannot be read.

        Its message names the kind and the field and quotes nothing of the
        payload: it goes to the log as a sample.
        """


class Account(Protocol):
    """One user at one platform. Every call raises the errors of :mod:`streampai.errors`
    (PlatformUnavailable, PlatformRefused, RateLimited, ReloginNeeded) and may be cancelled."""

    identity: Identity

    def source(self) -> Source: ...

    async def destination(self) -> Destination: ...

    async def send_chat(self, text: str) -> SentMessage: ...

    async def edit_metadata(self, *, title: str | None, category: str | None) -> None: ...

    async def viewers(self) -> int | None:
        """Viewers now; None when the platform does not show the stream as live."""

    async def validate(self) -> None:
        """The platform's own check of the token; raises ReloginNeeded when it is dead."""


class AccessTokens(Protocol):
    """What an account needs of :class:`~streampai.platforms.tokens.AccountTokens`."""

    async def access(self) -> Secret:
        """A token that is still good for a while. Raises ReloginNeeded, PlatformUnavailable."""

    async def renew(self, rejected: Secret) -> Secret:
        """The platform answered 401 to ``rejected``: get another, once for all who ask."""

    def refuse(self, reason: str) -> None:
        """The platform itself has said that the authorisation is gone (``reason``: a sentence).

        From now on ``access`` and ``renew`` raise ReloginNeeded.
        """


class Platform(Protocol):
    """One per daemon."""

    name: str
    title: str
    limits: Limits
    scopes: tuple[str, ...]

    def configured(self) -> bool:
        """False when the application's id or secret is missing: it cannot be connected then."""

    def authorize_url(self, *, state: str, redirect_uri: str) -> str: ...

    async def exchange_code(self, *, code: str, redirect_uri: str) -> tuple[Tokens, Identity]: ...

    async def start_device_code(self) -> DeviceCode: ...

    async def poll_device_code(self, device: DeviceCode) -> tuple[Tokens, Identity] | None:
        """None while the user has not decided. Raises PlatformRefused when it is over."""

    async def refresh(self, tokens: Tokens) -> Tokens:
        """Raises ReloginNeeded on a definite refusal."""

    async def revoke(self, tokens: Tokens) -> None: ...

    def account(self, *, user_id: int, identity: Identity, tokens: AccessTokens) -> Account: ...


@attrs.frozen(kw_only=True)
class PlatformContext:
    """What a platform is built from: ``PLATFORMS[name](context)``."""

    settings: Settings
    http: httpx.AsyncClient
    telemetry: Telemetry
    now: Now
