"""The Centrifuge client protocol in its JSON form, as plain functions.

A frame from a browser holds one or more JSON objects, one per line; so does
every frame to it. Facts: the public schema of the protocol and the behaviour
of its official clients, which read what is written here.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import orjson

if TYPE_CHECKING:
    from ..runtime import Publication

PING = b"{}"
MAX_CHANNEL = 255
# uint32 in the protocol's schema.
MAX_ID = 2**32 - 1

REQUESTS = frozenset(
    [
        "connect",
        "subscribe",
        "unsubscribe",
        "publish",
        "presence",
        "presence_stats",
        "history",
        "rpc",
        "send",
        "refresh",
        "sub_refresh",
    ]
)

# The protocol's own errors; 400-1999 are ours and stand in ERROR_CODES.
PROTOCOL_ERRORS: Mapping[int, tuple[str, bool]] = {
    100: ("internal server error", True),
    101: ("unauthorized", False),
    102: ("unknown channel", False),
    103: ("permission denied", False),
    104: ("method not found", False),
    105: ("already subscribed", False),
    106: ("limit exceeded", False),
    107: ("bad request", False),
    108: ("not available", False),
    109: ("token expired", False),
    111: ("too many requests", True),
    112: ("unrecoverable position", False),
}

# 3500-3999 tell a client to stay away, everything else to come back. A reason
# must never be empty and never parse as JSON: the JavaScript client would
# misread the code.
CLOSE_REASONS: Mapping[int, str] = {
    1001: "shutdown",
    1009: "message size limit",
    1011: "internal error",
    3004: "internal server error",
    3008: "slow",
    3012: "no pong",
    3013: "too many requests",
    3500: "invalid token",
    3501: "bad request",
    3502: "stale",
    3503: "force disconnect",
    3504: "connection limit",
    3506: "inappropriate protocol",
}


class ProtocolViolation(Exception):
    """The browser broke the protocol; its connection is closed with 3501."""


class ErrorReply(Exception):
    """The answer to one command is this error; the connection goes on."""

    def __init__(
        self, code: int, message: str | None = None, *, temporary: bool | None = None
    ) -> None:
        text, retry = PROTOCOL_ERRORS.get(code, ("", False))
        self.code = code
        self.message = message or text
        self.temporary = retry if temporary is None else temporary
        super().__init__(self.message)


@attrs.frozen
class Request:
    """One command. ``name`` is a word of REQUESTS, or ``pong``, which has no id, like ``send``."""

    id: int
    name: str
    body: Mapping[str, Any]


_PONG = Request(0, "pong", {})


def decode(frame: str | bytes) -> list[Request]:
    """The commands of one frame, in order. Raises ProtocolViolation.

    One line break at the end is accepted, an empty line is not. Fields of the
    envelope that are unknown here are left alone: newer clients may send them.
    """
    lines = frame.split("\n") if isinstance(frame, str) else frame.split(b"\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [_decode_line(line) for line in lines]


def _decode_line(line: str | bytes) -> Request:
    try:
        envelope = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ProtocolViolation("not JSON") from None
    if not isinstance(envelope, dict):
        raise ProtocolViolation("not an object")
    if not envelope:
        return _PONG
    names = [key for key in envelope if key in REQUESTS]
    if len(names) != 1:
        raise ProtocolViolation("not exactly one known request")
    [name] = names
    body = envelope[name]
    if not isinstance(body, dict):
        raise ProtocolViolation("a request that is not an object")
    number = envelope.get("id", 0)
    if type(number) is not int or not 0 <= number <= MAX_ID or (number == 0) != (name == "send"):
        raise ProtocolViolation("an id that is missing or no unsigned number")
    return Request(number, name, body)


def channel_of(body: Mapping[str, Any]) -> str:
    """Raises ProtocolViolation when it is missing or empty, ErrorReply 107 when it cannot be one."""
    channel = body.get("channel", "")
    if not isinstance(channel, str) or not channel:
        raise ProtocolViolation("no channel")
    if len(channel) > MAX_CHANNEL or not channel.isascii():
        raise ErrorReply(107)
    return channel


def field(body: Mapping[str, Any], name: str, default: Any) -> Any:
    """A field of exactly the default's type, or the default. Raises ErrorReply 107."""
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not type(default):
        raise ErrorReply(107)
    # Beyond it neither JavaScript nor the store can count.
    if type(value) is int and abs(value) > 2**53:
        raise ErrorReply(107)
    return value


def encode_reply(request: Request, result: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"id": request.id, request.name: result})


def encode_error(request: Request, error: ErrorReply) -> bytes:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.temporary:
        body["temporary"] = True
    return orjson.dumps({"id": request.id, "error": body})


def encode_push(channel: str, kind: str, body: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"push": {"channel": channel, kind: body}})


def encode_publication(publication: "Publication") -> bytes:
    """The push frame, made once for all who get it and kept on the publication."""
    if publication.frame is None:
        channel = orjson.dumps(publication.topic)
        publication.frame = b'{"push":{"channel":%b,"pub":{"data":%b,"offset":%d}}}' % (
            channel,
            publication.data,
            publication.offset,
        )
    return publication.frame


def embed(data: bytes) -> orjson.Fragment:
    """JSON that exists already, placed as it is into a larger answer."""
    return orjson.Fragment(data)


def publications(rows: Iterable[tuple[int, bytes]]) -> list[dict[str, Any]]:
    """Offsets and data in the shape that replies carry."""
    return [{"data": embed(data), "offset": offset} for offset, data in rows]


def join(frames: Iterable[bytes]) -> bytes:
    return b"\n".join(frames)
