"""Helix's common part: tokens, points, errors and pages of answers, under ``/helix``."""

import math
from collections.abc import Callable
from time import time
from typing import Any

import orjson
from quart import Response, g, request
from quart_trio import QuartTrio

from .agenda import Agenda
from .eventsub_subscriptions import Refused
from .options import SandboxOptions
from .twitch_models import Channel, Token, User
from .twitch_state import TwitchState

BASE = "/helix"
PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


def error_body(status: int, message: str = "", **extra: object) -> bytes:
    phrase = PHRASES.get(status, "Error")
    text = message or ("Invalid OAuth token" if status == 401 else phrase.lower())
    return orjson.dumps({"error": phrase, "status": status, "message": text, **extra})


def limit_headers(seconds: float) -> tuple[tuple[str, str], ...]:
    """Of a 429: Twitch names the moment when the bucket is full, and no Retry-After."""
    reset = str(math.ceil(time() + seconds))
    return (
        ("Ratelimit-Limit", "800"),
        ("Ratelimit-Remaining", "0"),
        ("Ratelimit-Reset", reset),
    )


class Points:
    """The bucket of 800 points a minute, per client and user; it refills steadily."""

    def __init__(self, agenda: Agenda, *, points: int, window: float) -> None:
        self._agenda = agenda
        self.points = points
        self._rate = points / window
        # One per client and user that ever called.
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, key: tuple[str, str]) -> tuple[bool, dict[str, str]]:
        now = self._agenda.now()
        left, at = self._buckets.get(key, (float(self.points), now))
        left = min(float(self.points), left + (now - at) * self._rate)
        passes = left >= 1
        left -= 1 if passes else 0
        self._buckets[key] = (left, now)
        full = time() + (self.points - left) / self._rate
        return passes, {
            "Ratelimit-Limit": str(self.points),
            "Ratelimit-Remaining": str(int(left)),
            "Ratelimit-Reset": str(math.ceil(full)),
        }


class Helix:
    """What every call needs: an admitted token, and the user and channel it speaks for."""

    def __init__(self, agenda: Agenda, twitch: TwitchState, options: SandboxOptions) -> None:
        self._twitch = twitch
        self._points = Points(agenda, points=options.helix_points, window=options.helix_window)

    def add_to(self, app: QuartTrio) -> None:
        app.before_request(self._admit)
        app.after_request(self._state_limits)
        app.register_error_handler(Refused, _as_error)

    async def _admit(self) -> None:
        if not request.path.startswith(BASE + "/"):
            return
        scheme, _, access = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not access:
            raise Refused(401, "OAuth token is missing")
        token = self._twitch.token(access.strip())
        if token is None:
            raise Refused(401, "Invalid OAuth token")
        if request.headers.get("Client-Id") != token.client_id:
            raise Refused(401, "Client ID and OAuth token do not match")
        key = (token.client_id, token.user.id if token.user else "")
        passes, g.limit_headers = self._points.spend(key)
        g.token = token
        if not passes:
            raise Refused(429, "request rate limit exceeded")

    async def _state_limits(self, response: Response) -> Response:
        for key, value in g.get("limit_headers", {}).items():
            response.headers[key] = value
        return response

    def user(self, *scopes: str) -> User:
        """The token's user, who must have given one of ``scopes``."""
        token: Token = g.token
        if token.user is None:
            raise Refused(401, "a user access token is needed")
        if scopes and not set(scopes) & set(token.scopes):
            raise Refused(401, f"Missing scope: {scopes[0]}")
        return token.user

    def channel(self, name: str = "broadcaster_id") -> Channel:
        user = self._twitch.users.get(argument(name))
        if user is None:
            raise Refused(400, f"unknown user in {name}")
        return self._twitch.channel(user)

    def own_channel(self, *scopes: str) -> Channel:
        user = self.user(*scopes)
        if argument("broadcaster_id") != user.id:
            raise Refused(
                401,
                "The ID in broadcaster_id must match the user ID found in the request's OAuth token.",
            )
        return self._twitch.channel(user)

    def moderated(self, *scopes: str) -> Channel:
        user = self.user(*scopes)
        if argument("moderator_id") != user.id:
            raise Refused(
                401,
                "The ID in moderator_id must match the user ID found in the request's OAuth token.",
            )
        channel = self.channel()
        if user is not channel.owner and user.id not in channel.moderators:
            raise Refused(403, "the user is not a moderator of this channel")
        return channel

    def token(self) -> Token:
        admitted: Token = g.token
        return admitted


def add_route(app: QuartTrio, path: str, method: str, handler: Callable[..., Any]) -> None:
    rule = f"{BASE}{path}"
    app.add_url_rule(
        rule, f"{method} {rule}", handler, methods=[method], provide_automatic_options=False
    )


async def _as_error(error: Refused) -> Response:
    body = error_body(error.status, str(error), **error.extra)
    return Response(body, error.status, content_type="application/json; charset=utf-8")


def argument(name: str) -> str:
    """A query parameter that must be there."""
    value = request.args.get(name)
    if not value:
        raise Refused(400, f'Missing required parameter "{name}"')
    return value


def several(name: str) -> list[str]:
    """A repeated query parameter; at most a hundred of them."""
    values = request.args.getlist(name)
    if len(values) > 100:
        raise Refused(400, f"at most 100 values of {name}")
    return values


async def body_object() -> dict[str, Any]:
    raw = await request.get_data(as_text=False)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be an object")
    return body


async def body_or_query() -> dict[str, Any]:
    """The body; the query when there is none, as Helix also takes it and some clients send it."""
    if await request.get_data():
        return await body_object()
    return dict(request.args.items())


def as_json(status: int, **fields: Any) -> Response:
    content_type = "application/json; charset=utf-8"
    return Response(orjson.dumps(fields), status, content_type=content_type)


def data(items: list[Any], **more: Any) -> Response:
    return as_json(200, data=items, **more)


def page(items: list[Any], *, default: int, most: int, **more: Any) -> Response:
    """One page of ``items``; the cursor is the place of the next."""
    try:
        first = int(request.args.get("first", default))
        start = int(request.args.get("after") or 0)
    except ValueError:
        raise Refused(400, "first must be a number, after a cursor") from None
    if not 1 <= first <= most or start < 0:
        raise Refused(400, f"first must be from 1 to {most}")
    more["pagination"] = {"cursor": str(start + first)} if start + first < len(items) else {}
    return data(items[start : start + first], **more)
