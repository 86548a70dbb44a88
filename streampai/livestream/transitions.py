"""The four public states of a stream and what leads from one to the next. Pure.

    offline ──encoder in──▶ ready ──Start──▶ streaming ──Stop, clock──▶ ending
       ▲ ◀──encoder out──────┘                                            │
       └──────────────────────── clean-up complete ───────────────────────┘

An input whose state is unknown changes nothing.
"""

from collections.abc import Collection
from enum import Enum

from ..cloudflare.models import InputState
from ..errors import CommandRefused


class StreamStatus(Enum):
    OFFLINE = "offline"
    READY = "ready"
    STREAMING = "streaming"
    ENDING = "ending"


def follow_input(status: StreamStatus, state: InputState) -> StreamStatus:
    """Where the encoder's coming and going leads: only between offline and ready."""
    if status is StreamStatus.OFFLINE and state is InputState.CONNECTED:
        return StreamStatus.READY
    if status is StreamStatus.READY and state is InputState.DISCONNECTED:
        return StreamStatus.OFFLINE
    return status


def after_ending(last_known: InputState) -> StreamStatus:
    """Where a completed clean-up leads; an input last known as connected still is."""
    return StreamStatus.READY if last_known is InputState.CONNECTED else StreamStatus.OFFLINE


def start(
    status: StreamStatus,
    state: InputState,
    *,
    starting: bool,
    protocol: str,
    platforms: Collection[str],
    known: Collection[str],
    connected: Collection[str],
    relogin: Collection[str],
    max_platforms: int,
) -> None:
    """May the stream start? Raises CommandRefused with a distinct code for each cause.

    ``known`` are the platforms this daemon has, ``connected`` those with an account,
    ``relogin`` those whose account the platform no longer accepts.
    """
    if starting or status is StreamStatus.STREAMING:
        raise CommandRefused(code="already_streaming")
    if status is StreamStatus.ENDING:
        raise CommandRefused(code="ending")
    check_platforms(platforms, known=known, max_platforms=max_platforms)
    if status is StreamStatus.OFFLINE:
        if state is InputState.UNKNOWN:
            raise CommandRefused(code="input_unknown", retryable=True)
        raise CommandRefused(code="encoder_not_connected")
    if protocol == "webrtc":
        raise CommandRefused(code="webrtc_not_supported")
    for platform in platforms:
        check_account(platform, connected=connected, relogin=relogin)


def check_platforms(
    platforms: Collection[str], *, known: Collection[str], max_platforms: int
) -> None:
    if not platforms:
        raise CommandRefused(code="no_platform_selected")
    if len(platforms) > max_platforms:
        raise CommandRefused(code="too_many_platforms", limit=max_platforms)
    for platform in platforms:
        if platform not in known:
            raise CommandRefused(code="unknown_platform", platform=platform)


def check_account(platform: str, *, connected: Collection[str], relogin: Collection[str]) -> None:
    if platform not in connected:
        raise CommandRefused(code="platform_not_connected", platform=platform)
    if platform in relogin:
        raise CommandRefused(code="token_expired", platform=platform)


def stop(status: StreamStatus, *, starting: bool) -> bool:
    """True when there is something to stop; False when Stop has nothing to do (it is idempotent)."""
    return starting or status is StreamStatus.STREAMING


def change_destination(status: StreamStatus) -> None:
    """Destinations are chosen at any time but while the stream is being ended."""
    if status is StreamStatus.ENDING:
        raise CommandRefused(code="ending")


def retry_destination(status: StreamStatus) -> None:
    if status is StreamStatus.ENDING:
        raise CommandRefused(code="ending")
    if status is not StreamStatus.STREAMING:
        raise CommandRefused(code="not_streaming")
