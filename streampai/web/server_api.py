"""Server routes in the shape of Centrifugo's own API, for operators' scripts and tests.

Answers are ``{"result": {…}}`` or ``{"error": {"code", "message"}}``, both with
status 200, as clients of that API expect; only a wrong key is a status.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import attrs
import orjson
from quart.typing import ResponseReturnValue

from .. import names
from . import wire
from .app import json_response
from .browsers import Browsers
from .history import is_durable
from .route import Access, Route
from .services import WebServices
from .wire import ErrorReply

# Results remembered by idempotency key; a script repeats at once or not at all.
MAX_REMEMBERED = 1_000
_ANSWERS = {200: "`result`, or `error` with `code` and `message`.", 401: "The key is wrong."}


@attrs.frozen(kw_only=True)
class Publish:
    """``idempotency_key``: said again, the first result is given and nothing is published."""

    channel: str
    data: object
    idempotency_key: str = ""


@attrs.frozen(kw_only=True)
class Disconnect:
    """``disconnect`` may have ``code`` (3000-4999) and ``reason``."""

    user: str
    client: str = ""
    disconnect: object = None


@attrs.frozen(kw_only=True)
class Unsubscribe:
    user: str
    channel: str
    client: str = ""


class ServerApi:
    def __init__(self, services: WebServices, browsers: Browsers) -> None:
        self._pubsub = services.pubsub
        self._browsers = browsers
        self._remembered: OrderedDict[tuple[str, str], Mapping[str, Any]] = OrderedDict()

    def routes(self) -> tuple[Route, ...]:
        return (
            self._route(
                "/api/publish",
                self.publish,
                Publish,
                "Publish on a topic that carries snapshots. Topics of events are numbered"
                " with the store and cannot be published on from outside (108).",
            ),
            self._route("/api/disconnect", self.disconnect, Disconnect, "Send browsers away."),
            self._route(
                "/api/unsubscribe", self.unsubscribe, Unsubscribe, "End subscriptions of a user."
            ),
        )

    def _route(self, path: str, handler: Any, body: type[Any], summary: str) -> Route:
        async def answer(body: Any) -> ResponseReturnValue:
            try:
                return json_response({"result": handler(body)})
            except ErrorReply as error:
                return json_response({"error": {"code": error.code, "message": error.message}})

        return Route(
            method="POST",
            path=path,
            handler=answer,
            access=Access.KEY,
            body=body,
            summary=summary,
            answers=_ANSWERS,
        )

    def publish(self, body: Publish) -> Mapping[str, Any]:
        if names.topic_owner(body.channel) is None or body.channel not in self._pubsub.topics():
            raise ErrorReply(102)
        if is_durable(body.channel):
            raise ErrorReply(108)
        key = (body.channel, body.idempotency_key)
        if body.idempotency_key and key in self._remembered:
            return self._remembered[key]
        position = self._pubsub.publish(body.channel, orjson.dumps(body.data))
        result = {"offset": position.offset, "epoch": position.epoch}
        if body.idempotency_key:
            self._remembered[key] = result
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return result

    def disconnect(self, body: Disconnect) -> Mapping[str, Any]:
        wish = body.disconnect if isinstance(body.disconnect, dict) else {}
        code = wish.get("code", 3503)
        if type(code) is not int or not 3000 <= code <= 4999:
            raise ErrorReply(107)
        reason = wish.get("reason") or wire.CLOSE_REASONS.get(code, "force disconnect")
        # A close frame has room for 123 bytes of reason.
        if not isinstance(reason, str):
            raise ErrorReply(107)
        if len(reason.encode()) > 123:
            raise ErrorReply(107)
        for browser in self._browsers.of_user(_user(body.user), body.client or None):
            browser.disconnect(code, reason)
        return {}

    def unsubscribe(self, body: Unsubscribe) -> Mapping[str, Any]:
        for browser in self._browsers.of_user(_user(body.user), body.client or None):
            browser.unsubscribe(body.channel)
        return {}


def _user(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ErrorReply(107)
    return int(text)
