"""What Cloudflare Stream Live says, as our own frozen classes.

The functions here are pure and forgiving: the published schema and the real
answers differ, so every shape that has been seen is read, and what cannot be
read is None or UnreadableAnswer, never a guess. Wire facts: the live input and
output resources of the v4 API under ``/accounts/{account}/stream``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import attrs

from ..settings import Secret
from .envelope import UnreadableAnswer

# The keys of a live input's ``meta`` object that mark it as ours.
META_INSTANCE = "streampai_instance"
META_USER = "streampai_user"


class InputState(Enum):
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    UNKNOWN = "unknown"


class StatusClass(Enum):
    """What a status word is evidence of; see :func:`streampai.cloudflare.status.classify`."""

    LIVE = "live"
    GAP = "gap"
    DOWN = "down"
    NEVER = "never"
    NO_EVIDENCE = "no_evidence"


@attrs.frozen(kw_only=True)
class InputStatus:
    """Is the encoder in, as far as is known.

    ``state`` is UNKNOWN while Cloudflare cannot be asked; ``last_known`` then still
    has what it said last (UNKNOWN only before the first answer). ``since`` is when
    that began, in this machine's time. ``gap`` marks a DISCONNECTED that may be
    short: the encoder is reconnecting, or its heartbeat has stopped.
    ``next_check_in`` is in seconds. ``checking_failed`` is a sentence for the
    streamer, empty while checking works.
    """

    state: InputState = InputState.UNKNOWN
    last_known: InputState = InputState.UNKNOWN
    since: datetime | None = None
    checked_at: datetime | None = None
    protocol: str = ""
    reason: str = ""
    gap: bool = False
    next_check_in: float = 0.0
    checking_failed: str = ""


@attrs.frozen(kw_only=True)
class StatusItem:
    """The current item of an input's status, as it stands on the wire.

    ``reason`` is free text in several spellings: shown, never branched on.
    """

    word: str
    protocol: str = ""
    reason: str = ""
    entered_at: datetime | None = None
    last_seen: datetime | None = None


@attrs.frozen(kw_only=True)
class LiveInput:
    """One ingest. ``instance`` and ``owner`` are our marks in its ``meta``, empty when there are none."""

    uid: str
    ingest_url: str
    stream_key: Secret
    srt_url: str = ""
    srt_stream_id: Secret = Secret("")
    srt_passphrase: Secret = Secret("")
    enabled: bool = True
    created: datetime | None = None
    instance: str = ""
    owner: str = ""


@attrs.frozen(kw_only=True)
class ListedInput:
    """An element of the list of inputs, which has neither credentials nor status."""

    uid: str
    created: datetime | None
    instance: str
    owner: str


@attrs.frozen(kw_only=True)
class Output:
    """One simulcast target of an input.

    ``state`` is connected, connecting, reconnecting, disconnected or error, and None
    until the first push; the key is undocumented, so no decision rests on it.
    """

    uid: str
    url: str
    stream_key: Secret
    enabled: bool = True
    state: str | None = None


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time with 0 to 9 digits of fraction; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _uid(result: object) -> tuple[str, Mapping[str, Any]]:
    fields = _object(result)
    uid = _text(fields.get("uid"))
    if not uid:
        raise UnreadableAnswer("no uid")
    return uid, fields


def _marks(fields: Mapping[str, Any]) -> tuple[str, str]:
    meta = _object(fields.get("meta"))
    return _text(meta.get(META_INSTANCE)), _text(meta.get(META_USER))


def parse_status(value: object) -> StatusItem | None:
    """The current status item; None when the input has never been connected.

    The schema says a nullable string, real answers carry ``{"current": {...}}``; an
    object without ``current`` but with ``state`` is read as the item itself.
    """
    if isinstance(value, str):
        return StatusItem(word=value) if value else None
    fields = _object(value)
    current = fields if "state" in fields else fields.get("current")
    if isinstance(current, str):
        return StatusItem(word=current) if current else None
    item = _object(current)
    if not (word := _text(item.get("state"))):
        return None
    return StatusItem(
        word=word,
        protocol=_text(item.get("ingestProtocol")),
        reason=_text(item.get("reason")),
        entered_at=parse_time(item.get("statusEnteredAt")),
        last_seen=parse_time(item.get("statusLastSeen")),
    )


def parse_input(result: object) -> tuple[LiveInput, StatusItem | None]:
    """A live input as create, get and rotate answer it. Raises UnreadableAnswer."""
    uid, fields = _uid(result)
    rtmps, srt = _object(fields.get("rtmps")), _object(fields.get("srt"))
    instance, owner = _marks(fields)
    live_input = LiveInput(
        uid=uid,
        ingest_url=_text(rtmps.get("url")),
        stream_key=Secret(_text(rtmps.get("streamKey"))),
        srt_url=_text(srt.get("url")),
        srt_stream_id=Secret(_text(srt.get("streamId"))),
        srt_passphrase=Secret(_text(srt.get("passphrase"))),
        enabled=fields.get("enabled") is not False,
        created=parse_time(fields.get("created")),
        instance=instance,
        owner=owner,
    )
    return live_input, parse_status(fields.get("status"))


def parse_inputs(result: object) -> list[ListedInput]:
    """The list of inputs: a bare array or ``{"liveInputs": [...]}``. Raises UnreadableAnswer.

    Elements without a uid are left out: they can be neither adopted nor deleted.
    """
    elements = result.get("liveInputs") if isinstance(result, dict) else result
    if not isinstance(elements, list):
        raise UnreadableAnswer("no list of live inputs")
    listed = []
    for fields in map(_object, elements):
        if uid := _text(fields.get("uid")):
            instance, owner = _marks(fields)
            created = parse_time(fields.get("created"))
            listed.append(ListedInput(uid=uid, created=created, instance=instance, owner=owner))
    return listed


def parse_output(result: object) -> Output:
    """One output. Raises UnreadableAnswer."""
    uid, fields = _uid(result)
    status = parse_status(fields.get("status"))
    return Output(
        uid=uid,
        url=_text(fields.get("url")),
        stream_key=Secret(_text(fields.get("streamKey"))),
        enabled=fields.get("enabled") is not False,
        state=None if status is None else status.word,
    )


def parse_outputs(result: object) -> list[Output]:
    """The outputs of an input. Raises UnreadableAnswer.

    An element that cannot be read spoils the whole answer: a list with a hole
    would make the missing output look deleted.
    """
    elements = result.get("outputs") if isinstance(result, dict) else result
    if not isinstance(elements, list):
        raise UnreadableAnswer("no list of outputs")
    return [parse_output(element) for element in elements]


def redacted_url(url: str, key: Secret) -> str:
    """The URL for people and intents: without user, query, fragment or the key itself."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    plain = urlunsplit((parts.scheme, host, parts.path, "", ""))
    return plain.replace(key.reveal(), "…") if key else plain
