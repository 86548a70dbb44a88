"""Settings: read once, checked once, handed down as plain frozen sections.

They come from the environment and, beneath it, from a TOML file named by
``STREAMPAI_SETTINGS`` whose keys are the same names in lower case. Durations
are milliseconds outside (``..._INTERVAL``, ``..._TIMEOUT``) and seconds inside.
A wrong value and an unknown ``STREAMPAI_`` key are errors that name the key,
the value and what was expected.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from .errors import SettingsError


class Secret:
    """A string that has no repr and no way into a log line. ``reveal()`` gives it out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)" if self._value else "Secret()"

    __str__ = __repr__


Parser = Callable[[str], Any]


class _Expected(ValueError):
    """The parser's own words for what it wanted."""


def _integer(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d+", text, re.ASCII) or not low <= int(text) <= high:
            raise _Expected(f"a whole number from {low:,} to {high:,}")
        return int(text)

    return parse


def _milliseconds(low: int, high: int) -> Parser:
    def parse(text: str) -> float:
        try:
            value: int = _integer(low, high)(text)
        except _Expected:
            raise _Expected(f"milliseconds, a whole number from {low:,} to {high:,}") from None
        return value / 1000

    return parse


def _text(text: str) -> str:
    return text


def _secret(text: str) -> Secret:
    return Secret(text)


def _flag(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in words:
        raise _Expected("true or false")
    return words[text.lower()]


def _one_of(*words: str) -> Parser:
    def parse(text: str) -> str:
        if text not in words:
            raise _Expected("one of " + ", ".join(words))
        return text

    return parse


def _url(*schemes: str) -> Parser:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname:
            raise _Expected("a URL that begins with " + " or ".join(f"{s}://" for s in schemes))
        return text.rstrip("/")

    return parse


def _path(text: str) -> Path:
    return Path(text).expanduser()


def setting(name: str, default: str, parse: Parser, explain: str) -> Any:
    """An attrs field that knows its key, its default as text, its parser and its story."""
    return attrs.field(
        metadata={"name": name, "default": default, "parse": parse, "explain": explain}
    )


@attrs.frozen(kw_only=True)
class WebSettings:
    host: str = setting("STREAMPAI_HOST", "127.0.0.1", _text, "Address to listen on.")
    port: int = setting("STREAMPAI_PORT", "8080", _integer(0, 65535), "Port; 0 takes a free one.")
    base_url: str = setting(
        "STREAMPAI_BASE_URL",
        "",
        lambda text: _url("http", "https")(text) if text else "",
        "How browsers reach this daemon; https makes cookies Secure. Empty: from host and port.",
    )
    admin_key: Secret = setting(
        "STREAMPAI_ADMIN_KEY",
        "",
        _secret,
        "Key for the server routes under /api/; empty: a new one at each start, left in the data directory as admin-token.",
    )
    session_lifetime: float = setting(
        "STREAMPAI_SESSION_LIFETIME",
        "2592000000",
        _milliseconds(60_000, 31_536_000_000),
        "How long a log-in lasts (30 days).",
    )
    max_frame: int = setting(
        "STREAMPAI_MAX_FRAME",
        "65536",
        _integer(1_024, 1_048_576),
        "Largest WebSocket message from a browser, in bytes; the protocol's reference has 64 KiB.",
    )
    max_queue: int = setting(
        "STREAMPAI_MAX_CLIENT_QUEUE",
        "1048576",
        _integer(65_536, 67_108_864),
        "Bytes that may wait for one browser; beyond it is told 'slow' and comes back.",
    )
    max_clients_per_user: int = setting(
        "STREAMPAI_MAX_CLIENTS_PER_USER", "50", _integer(1, 10_000), "WebSockets per user."
    )
    ping_interval: float = setting(
        "STREAMPAI_PING_INTERVAL",
        "25000",
        _milliseconds(1_000, 120_000),
        "Server pings to browsers; a missing pong ends the connection.",
    )
    shutdown_grace: float = setting(
        "STREAMPAI_SHUTDOWN_GRACE",
        "10000",
        _milliseconds(100, 120_000),
        "From SIGTERM to the end; keep systemd's TimeoutStopSec above it.",
    )


@attrs.frozen(kw_only=True)
class StorageSettings:
    data: Path = setting("STREAMPAI_DATA", "./data", _path, "Directory of the store and key file.")
    key: Secret = setting(
        "STREAMPAI_KEY",
        "",
        _secret,
        "32 bytes, base64, that encrypt tokens and stream keys; empty: a key file in the data directory.",
    )


@attrs.frozen(kw_only=True)
class LivestreamSettings:
    max_concurrent_users: int = setting(
        "MAX_CONCURRENT_USERS", "1000", _integer(1, 100_000), "User trees at once."
    )
    max_platforms_per_user: int = setting(
        "MAX_PLATFORMS_PER_USER", "10", _integer(1, 50), "Destinations of one show."
    )
    disconnect_timeout: float = setting(
        "STREAM_DISCONNECT_TIMEOUT",
        "300000",
        _milliseconds(1_000, 3_600_000),
        "A stream ends this long after its encoder left.",
    )
    metrics_broadcast_interval: float = setting(
        "STREAM_METRICS_BROADCAST_INTERVAL",
        "10000",
        _milliseconds(100, 300_000),
        "Statistics are published this often at most.",
    )
    event_history_size: int = setting(
        "EVENT_HISTORY_SIZE", "100", _integer(1, 10_000), "Events per topic kept in memory."
    )
    dedupe_window: int = setting(
        "STREAMPAI_DEDUPE_WINDOW",
        "10000",
        _integer(100, 1_000_000),
        "Event ids per user remembered; Twitch may resend for ten minutes.",
    )
    user_idle_timeout: float = setting(
        "STREAMPAI_USER_IDLE_TIMEOUT",
        "900000",
        _milliseconds(1_000, 86_400_000),
        "A user's tree stops this long after the last browser left, never while live.",
    )
    user_restarts: int = setting(
        "STREAMPAI_USER_RESTARTS",
        "3",
        _integer(0, 1_000),
        "Failures of one user's whole tree within the window below that are answered at once; a tree that goes on failing would only burn the processor.",
    )
    user_restart_window: float = setting(
        "STREAMPAI_USER_RESTART_WINDOW",
        "60000",
        _milliseconds(100, 3_600_000),
        "The window that STREAMPAI_USER_RESTARTS are counted in.",
    )
    user_restart_delay: float = setting(
        "STREAMPAI_USER_RESTART_DELAY",
        "5000",
        _milliseconds(10, 3_600_000),
        "A user's tree that failed past its limits comes back after this long.",
    )
    user_task_restarts: int = setting(
        "STREAMPAI_USER_TASK_RESTARTS",
        "5",
        # An event is handed over so many times to a state that crashes; once at least.
        _integer(1, 1_000),
        "Crashes of a user's parts (state, live input, outputs …) together within the window below; one more starts the whole tree anew, since its memory may be what is wrong.",
    )
    user_task_restart_window: float = setting(
        "STREAMPAI_USER_TASK_RESTART_WINDOW",
        "60000",
        _milliseconds(100, 3_600_000),
        "The window that STREAMPAI_USER_TASK_RESTARTS are counted in.",
    )
    monitor_restarts: int = setting(
        "STREAMPAI_MONITOR_RESTARTS",
        "5",
        _integer(0, 1_000),
        "Crashes of one platform's monitor within the window below; past them it is tried only now and then, for the other platforms of the show must not suffer.",
    )
    monitor_restart_window: float = setting(
        "STREAMPAI_MONITOR_RESTART_WINDOW",
        "60000",
        _milliseconds(100, 3_600_000),
        "The window that STREAMPAI_MONITOR_RESTARTS are counted in.",
    )
    monitor_restart_delay: float = setting(
        "STREAMPAI_MONITOR_RESTART_DELAY",
        "60000",
        _milliseconds(10, 3_600_000),
        "A monitor that crashed past its limits comes back after this long.",
    )
    refresher_restarts: int = setting(
        "STREAMPAI_REFRESHER_RESTARTS",
        "3",
        _integer(0, 1_000),
        "Crashes of a user's token refreshers together within the window below; one more counts as a crash of one of the user's parts.",
    )
    refresher_restart_window: float = setting(
        "STREAMPAI_REFRESHER_RESTART_WINDOW",
        "5000",
        _milliseconds(100, 3_600_000),
        "The window that STREAMPAI_REFRESHER_RESTARTS are counted in.",
    )


@attrs.frozen(kw_only=True)
class PlatformSettings:
    event_poll_interval: float = setting(
        "PLATFORM_EVENT_POLL_INTERVAL",
        "5000",
        _milliseconds(100, 300_000),
        "For what a platform only tells when asked, its own pace permitting.",
    )
    monitor_timeout: float = setting(
        "PLATFORM_MONITOR_TIMEOUT",
        "30000",
        _milliseconds(500, 600_000),
        "A monitor silent for so long is restarted.",
    )
    api_call_timeout: float = setting(
        "API_CALL_TIMEOUT", "10000", _milliseconds(100, 30_000), "One call to a service."
    )
    viewers_interval: float = setting(
        "STREAMPAI_VIEWERS_INTERVAL",
        "30000",
        _milliseconds(100, 600_000),
        "Viewer counts; platforms renew theirs about once a minute.",
    )
    backoff_base: float = setting(
        "STREAMPAI_BACKOFF_BASE", "500", _milliseconds(1, 60_000), "First wait before a reconnect."
    )
    backoff_cap: float = setting(
        "STREAMPAI_BACKOFF_CAP", "60000", _milliseconds(10, 600_000), "Longest such wait."
    )


@attrs.frozen(kw_only=True)
class CloudflareSettings:
    url: str = setting(
        "STREAMPAI_CLOUDFLARE_URL",
        "https://api.cloudflare.com/client/v4",
        _url("http", "https"),
        "The API's base.",
    )
    account: str = setting("STREAMPAI_CLOUDFLARE_ACCOUNT", "", _text, "Account id.")
    token: Secret = setting(
        "STREAMPAI_CLOUDFLARE_TOKEN", "", _secret, "API token with Stream: Edit."
    )
    instance: str = setting(
        "STREAMPAI_INSTANCE",
        "default",
        _text,
        "Marks live inputs as this installation's; several daemons on one account need different words.",
    )
    input_poll_interval: float = setting(
        "CLOUDFLARE_INPUT_POLL_INTERVAL",
        "15000",
        # The floor is for the account's budget; the sandbox has a budget of its own.
        _milliseconds(100, 30_000),
        "How often the encoder's arrival is asked for (10,000-30,000); stretched when many users share the account.",
    )
    requests_per_window: int = setting(
        "STREAMPAI_CLOUDFLARE_REQUESTS",
        "1020",
        _integer(10, 1_000_000),
        "Calls in any five minutes; Cloudflare blocks the whole account at 1,200.",
    )


@attrs.frozen(kw_only=True)
class TwitchSettings:
    client_id: str = setting("STREAMPAI_TWITCH_CLIENT_ID", "", _text, "The application's id.")
    client_secret: Secret = setting(
        "STREAMPAI_TWITCH_CLIENT_SECRET", "", _secret, "The application's secret."
    )
    api_url: str = setting(
        "STREAMPAI_TWITCH_API_URL",
        "https://api.twitch.tv/helix",
        _url("http", "https"),
        "Helix.",
    )
    auth_url: str = setting(
        "STREAMPAI_TWITCH_AUTH_URL",
        "https://id.twitch.tv/oauth2",
        _url("http", "https"),
        "OAuth.",
    )
    eventsub_url: str = setting(
        "STREAMPAI_TWITCH_EVENTSUB_URL",
        "wss://eventsub.wss.twitch.tv/ws",
        _url("ws", "wss"),
        "EventSub over WebSocket.",
    )
    ingest_url: str = setting(
        "STREAMPAI_TWITCH_INGEST_URL",
        "rtmps://ingest.global-contribute.live-video.net:443/app",
        _url("rtmp", "rtmps"),
        "Where Cloudflare sends the stream on to.",
    )
    keepalive: int = setting(
        "STREAMPAI_TWITCH_KEEPALIVE",
        "10",
        _integer(1, 600),
        "Seconds of silence after which EventSub sends a keepalive; Twitch takes 10 to 600.",
    )


@attrs.frozen(kw_only=True)
class TelemetrySettings:
    log_format: str = setting(
        "STREAMPAI_LOG_FORMAT", "text", _one_of("text", "json"), "Log lines on stderr."
    )
    log_level: str = setting(
        "STREAMPAI_LOG_LEVEL", "info", _one_of("debug", "info", "warning", "error"), "From this on."
    )
    loop_stall: float = setting(
        "STREAMPAI_LOOP_STALL",
        "5000",
        _milliseconds(50, 600_000),
        "A loop that has not turned for so long is logged, with the task that holds it and where; keep it below systemd's WatchdogSec, which ends a loop that never turns again.",
    )


@attrs.frozen(kw_only=True)
class Settings:
    web: WebSettings
    storage: StorageSettings
    livestream: LivestreamSettings
    platforms: PlatformSettings
    cloudflare: CloudflareSettings
    twitch: TwitchSettings
    telemetry: TelemetrySettings
    # Set by the cli only: the platforms are simulated, every page says so, and this is
    # where people find the controls of the simulation.
    simulated: bool = False
    sandbox_url: str = ""


SECTIONS: Mapping[str, type[Any]] = {
    "web": WebSettings,
    "storage": StorageSettings,
    "livestream": LivestreamSettings,
    "platforms": PlatformSettings,
    "cloudflare": CloudflareSettings,
    "twitch": TwitchSettings,
    "telemetry": TelemetrySettings,
}


@attrs.frozen(kw_only=True)
class EffectiveSetting:
    """One line of ``streampai check-settings``."""

    name: str
    value: str
    origin: str
    explain: str


def _known_keys() -> "dict[str, attrs.Attribute[Any]]":
    return {
        field.metadata["name"]: field
        for section in SECTIONS.values()
        for field in attrs.fields(section)
    }


def _from_file(path: str) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(f"STREAMPAI_SETTINGS={path}: {exc}") from exc
    known = _known_keys()
    values = {}
    for key, value in table.items():
        if key.upper() not in known:
            raise SettingsError(f"{path}: {key} is not a setting")
        if isinstance(value, dict | list):
            raise SettingsError(f"{path}: {key} must be a single value")
        values[key.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
    return values


def _gather(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Values and origins of what is set; complains of STREAMPAI_ keys nobody reads."""
    known = _known_keys()
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    if path := environ.get("STREAMPAI_SETTINGS"):
        for key, value in _from_file(path).items():
            values[key], origins[key] = value, path
    for key in environ:
        if key in known:
            values[key], origins[key] = environ[key], "environment"
        elif key.startswith("STREAMPAI_") and key != "STREAMPAI_SETTINGS":
            raise SettingsError(f"{key} is not a setting; see streampai check-settings")
    return values, origins


def _parse(field: "attrs.Attribute[Any]", text: str) -> Any:
    try:
        return field.metadata["parse"](text)
    except _Expected as exc:
        name = field.metadata["name"]
        shown = "…" if field.metadata["parse"] is _secret else repr(text)
        raise SettingsError(f"{name}={shown}: expected {exc}") from None


def _check_pace(cloudflare: CloudflareSettings) -> None:
    """The floor is for the real account's budget, which the dashboard shares."""
    interval = cloudflare.input_poll_interval
    if urlsplit(cloudflare.url).hostname == "api.cloudflare.com" and interval < 10:
        raise SettingsError(
            f"CLOUDFLARE_INPUT_POLL_INTERVAL={interval * 1000:.0f}: expected 10,000 to 30,000"
            " milliseconds with the real API"
        )


def load_settings(
    environ: Mapping[str, str] | None = None, *, simulated: bool = False, sandbox_url: str = ""
) -> Settings:
    """The checked settings of ``environ`` (the process's by default). Raises SettingsError."""
    values, _ = _gather(os.environ if environ is None else environ)
    sections = {
        name: section(
            **{
                field.name: _parse(
                    field, values.get(field.metadata["name"], field.metadata["default"])
                )
                for field in attrs.fields(section)
            }
        )
        for name, section in SECTIONS.items()
    }
    _check_pace(sections["cloudflare"])
    return Settings(**sections, simulated=simulated, sandbox_url=sandbox_url)


def effective_settings(environ: Mapping[str, str] | None = None) -> list[EffectiveSetting]:
    """Every setting with its value as text, secrets masked, and where it came from."""
    values, origins = _gather(os.environ if environ is None else environ)
    lines = []
    for name, field in _known_keys().items():
        text = values.get(name, field.metadata["default"])
        _parse(field, text)
        if text and field.metadata["parse"] is _secret:
            text = "…"
        lines.append(
            EffectiveSetting(
                name=name,
                value=text,
                origin=origins.get(name, "default"),
                explain=field.metadata["explain"],
            )
        )
    return lines
