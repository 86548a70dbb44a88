"""Log lines: the standard library's logging on stderr, as text or JSON.

``configure_logging`` is called once, by the cli. ``LogListener`` decides which
telemetry events become lines: what an operator would act on or look up later,
once when a thing is lost and once when it returns, never a line per chat
message or per call, and no flood from whatever fails in a loop.
"""

import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import attrs
import orjson

from ..settings import TelemetrySettings
from . import events
from .bus import Telemetry

# syslog's numbers, which journald reads from the front of a line
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
# Ends of a task that nobody need look into: it was over, or it was asked to stop.
_ORDERLY = ("", "normal", "shutdown")
_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")


def _priority(level: int) -> int:
    return next((number for floor, number in _PRIORITIES if level >= floor), 7)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return fields


def _stack(record: logging.LogRecord) -> str:
    """Where another thread was; see stall_watch."""
    stack: str = getattr(record, "stack", "")
    return stack


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    # Quoted and escaped: a value from outside cannot forge a second line or field.
    return text if _PLAIN.fullmatch(text) else orjson.dumps(text).decode()


class TextFormatter(logging.Formatter):
    """``time level event key=value …``; under journald ``<6>event key=value …``.

    journald keeps time and level itself. A traceback or a stack follows on lines
    of its own, each with the priority of the first.
    """

    def __init__(self, *, journald: bool) -> None:
        super().__init__()
        self._journald = journald

    def format(self, record: logging.LogRecord) -> str:
        words = [record.getMessage().replace("\n", " ")]
        words += [f"{key}={_value(value)}" for key, value in _fields(record).items()]
        line = " ".join(words)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        if stack := _stack(record):
            line += "\n" + stack
        if self._journald:
            prefix = f"<{_priority(record.levelno)}>"
            return "\n".join(prefix + part for part in line.split("\n"))
        return f"{_time(record)} {record.levelname.lower():7} {line}"


class JsonFormatter(logging.Formatter):
    """One JSON object per line; a traceback is the text under ``traceback``, a stack under ``stack``."""

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            body["traceback"] = self.formatException(record.exc_info)
        if stack := _stack(record):
            body["stack"] = stack
        return orjson.dumps(body, default=str).decode()


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """systemd names the journal's socket by device and inode; a redirected stderr is another file."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure_logging(
    settings: TelemetrySettings, stream: TextIO, *, environ: Mapping[str, str] = os.environ
) -> None:
    """Send every logger of the process to ``stream``, from ``settings.log_level`` on.

    Text lines carry journald's priorities only where ``stream`` is the journal.
    """
    handler = logging.StreamHandler(stream)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(journald=_is_journal(stream, environ)))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    # They log a line per request, with its whole URL: too many, and a code or token may stand in one.
    for name in ("httpx", "httpcore", "hpack"):
        logging.getLogger(name).setLevel(logging.WARNING)


class Damper:
    """Lets the first ``burst`` lines of a key through per ``window`` seconds, and counts the rest."""

    # Keys name users and children; beyond this the longest unused is forgotten.
    KEYS = 1_000

    def __init__(
        self, *, burst: int, window: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._window = window
        self._clock = clock
        self._seen: OrderedDict[object, list[float]] = OrderedDict()

    def allow(self, key: object) -> int | None:
        """How many lines of this key were held back before this one; None: hold this one too."""
        now = self._clock()
        slot = self._seen.setdefault(key, [now, 0, 0])
        self._seen.move_to_end(key)
        if len(self._seen) > self.KEYS:
            self._seen.popitem(last=False)
        if now - slot[0] >= self._window:
            slot[0], slot[1] = now, 0
        slot[1] += 1
        if slot[1] > self._burst:
            slot[2] += 1
            return None
        held, slot[2] = int(slot[2]), 0
        return held


class LogListener:
    """Attaches itself to ``telemetry``; writes to the logger ``streampai``."""

    # A service is called lost after so many failed calls in a row: one 502 is weather.
    LOST_AFTER = 3
    # Seconds of loop lag that people begin to notice.
    LAG = 0.25

    def __init__(
        self, telemetry: Telemetry, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logging.getLogger("streampai")
        self._damper = Damper(burst=5, window=60.0, clock=clock)
        # Of things that are lost or not; a user's go when the user's tree ends.
        self._monitors: dict[int, dict[str, str]] = {}
        self._failed_calls: dict[str, int] = {}
        self._storage_lost = False
        listeners: Mapping[type[Any], Callable[[Any], None]] = {
            events.UserSessionStarted: self._info,
            events.UserSessionEnded: self._user_ended,
            events.StreamStateChanged: self._info,
            events.MonitorStarted: self._debug,
            events.MonitorStateChanged: self._monitor,
            events.PlatformEventDropped: self._dropped,
            events.InputStatusChecked: self._debug,
            events.OutputCreatedAtCloudflare: self._info,
            events.OutputDestroyedAtCloudflare: self._info,
            events.ApiCallFinished: self._call,
            events.TokenRefreshed: self._token,
            events.SupervisorReported: self._supervisor,
            events.BreakerChanged: self._breaker,
            events.LimiterWaited: self._waited,
            events.BrowserConnected: self._debug,
            events.BrowserDisconnected: self._debug,
            events.BrowserResumed: self._debug,
            events.RequestRefused: self._refused,
            events.StorageWritten: self._stored,
            events.StorageFailed: self._storage_failed,
            events.LoopLagMeasured: self._lag,
        }
        for cls, listener in listeners.items():
            telemetry.attach(listener, cls)

    def _line(self, level: int, event: events.TelemetryEvent, **more: object) -> None:
        if self._logger.isEnabledFor(level):
            fields = {k: v for k, v in attrs.asdict(event).items() if v not in ("", None)}
            # A crash is told with its traceback, which names no values of variables.
            error = fields.pop("error", None)
            self._logger.log(
                level, event.name, exc_info=error, extra={"fields": {**fields, **more}}
            )

    def _damped(self, level: int, event: events.TelemetryEvent, key: object) -> None:
        if self._logger.isEnabledFor(level) and (held := self._damper.allow(key)) is not None:
            self._line(level, event, **({"held_back": held} if held else {}))

    def _info(self, event: events.TelemetryEvent) -> None:
        self._line(logging.INFO, event)

    def _debug(self, event: events.TelemetryEvent) -> None:
        self._line(logging.DEBUG, event)

    def _user_ended(self, event: events.UserSessionEnded) -> None:
        self._monitors.pop(event.user_id, None)
        self._line(logging.INFO, event)

    def _monitor(self, event: events.MonitorStateChanged) -> None:
        monitors = self._monitors.setdefault(event.user_id, {})
        before = monitors.get(event.platform, "")
        if event.status == "stopped":
            monitors.pop(event.platform, None)
            self._line(logging.DEBUG, event)
        elif event.status == "connecting" or event.status == before:
            # On the way, or the same trouble once more.
            self._line(logging.DEBUG, event)
        else:
            monitors[event.platform] = event.status
            level = logging.INFO if event.status == "connected" else logging.WARNING
            self._line(level, event)

    def _dropped(self, event: events.PlatformEventDropped) -> None:
        if event.reason == "duplicate":
            # Platforms re-send as a rule; the metrics count them.
            self._line(logging.DEBUG, event)
        else:
            self._damped(logging.WARNING, event, ("dropped", event.platform, event.reason))

    def _call(self, event: events.ApiCallFinished) -> None:
        failed = self._failed_calls.get(event.service, 0)
        if event.status == 0 or event.status >= 500:
            self._failed_calls[event.service] = failed + 1
            if failed + 1 == self.LOST_AFTER:
                self._line(logging.WARNING, event, lost=event.service)
        elif failed:
            del self._failed_calls[event.service]
            if failed >= self.LOST_AFTER:
                self._line(logging.INFO, event, back=event.service, failed_calls=failed)

    def _token(self, event: events.TokenRefreshed) -> None:
        level = logging.DEBUG if event.outcome == "renewed" else logging.WARNING
        self._damped(level, event, ("token", event.user_id, event.platform, event.outcome))

    def _supervisor(self, event: events.SupervisorReported) -> None:
        orderly = event.reason.partition(":")[0] in _ORDERLY
        if event.what == "started" or (event.what == "exited" and orderly):
            self._line(logging.DEBUG, event)
        elif event.what in ("limit_reached", "abandoned"):
            self._damped(logging.ERROR, event, (event.supervisor, event.child, event.what))
        else:
            self._damped(logging.WARNING, event, (event.supervisor, event.child, event.what))

    def _breaker(self, event: events.BreakerChanged) -> None:
        # Half-open is a try, not news.
        level = {"open": logging.WARNING, "closed": logging.INFO}.get(event.new, logging.DEBUG)
        self._line(level, event)

    def _waited(self, event: events.LimiterWaited) -> None:
        level = logging.INFO if event.wait >= 1.0 else logging.DEBUG
        self._damped(level, event, ("waited", event.limiter))

    def _refused(self, event: events.RequestRefused) -> None:
        self._damped(logging.INFO, event, ("refused", event.user_id, event.code, event.where))

    def _storage_failed(self, event: events.StorageFailed) -> None:
        if not self._storage_lost:
            self._storage_lost = True
            self._line(logging.ERROR, event, lost="storage")

    def _stored(self, event: events.StorageWritten) -> None:
        if self._storage_lost:
            self._storage_lost = False
            self._line(logging.INFO, event, back="storage")

    def _lag(self, event: events.LoopLagMeasured) -> None:
        if event.lag >= self.LAG:
            self._damped(logging.WARNING, event, "lag")
