"""What a sandbox is built with: credentials, and how fast the services' clocks run.

The defaults are quick, so that people and tests see things happen; ``lifelike``
has the times that the real services take.
"""

from datetime import UTC, datetime

import attrs


@attrs.frozen(kw_only=True)
class SandboxOptions:
    """Durations in seconds. The credentials open nothing but a sandbox on loopback,
    and are the same each time so that a daemon's settings survive a sandbox's restart."""

    # Cloudflare
    account: str = "5a4db0c5000000000000000000000001"
    api_token: str = "sandbox-cloudflare-token"
    api_email: str = "owner@sandbox.test"
    api_key: str = "sandbox-cloudflare-global-key"
    request_quota: int = 1200
    request_window: float = 300.0
    status_lag: float = 0.1
    srt_lag: float = 1.0
    output_delay: float = 0.2
    delete_lag: float = 0.2
    recording_delay: float = 0.5

    # Twitch
    client_id: str = "sandboxclient0000000000000000"
    client_secret: str = "sandbox-client-secret"
    # A public application has no secret: its refresh tokens, from the device flow, work once.
    public_client: bool = False
    # None takes any redirect to loopback: the daemon's port is not known beforehand.
    redirect_uris: tuple[str, ...] | None = None
    token_lifetime: float = 14_400.0
    code_lifetime: float = 60.0
    device_interval: float = 1.0
    device_lifetime: float = 1_800.0
    helix_points: int = 800
    helix_window: float = 60.0
    unused_timeout: float = 10.0
    reconnect_grace: float = 30.0
    keepalive_floor: int = 1
    keepalive_default: int = 10
    max_transports: int = 3
    max_subscriptions: int = 300
    max_total_cost: int = 10
    disabled_listing: float = 3_600.0
    offline_delay: float = 0.2
    streams_lag: float = 0.0

    # Scenarios
    story_pace: float = 1.0

    @classmethod
    def lifelike(cls) -> "SandboxOptions":
        """The real services' times, as far as they are known."""
        return cls(
            status_lag=2.0,
            srt_lag=30.0,
            output_delay=3.0,
            delete_lag=20.0,
            recording_delay=60.0,
            device_interval=5.0,
            keepalive_floor=10,
            offline_delay=90.0,
            streams_lag=60.0,
        )


def stamp(moment: datetime | None = None, *, digits: int = 9) -> str:
    """RFC 3339 in UTC with ``Z``. Twitch writes up to nine digits of a second, Cloudflare six."""
    moment = moment or datetime.now(UTC)
    fraction = f"{moment.microsecond:06d}000"[:digits]
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if digits else "") + "Z"
