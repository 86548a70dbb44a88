"""The Quart-Trio application: routes from one table, and what holds for all of them.

Each request: headers that let a browser run nothing but our own files; the
access the route asks for; a strict body; errors as
``{"error": {"code", "message", "retryable", "details"}}``, told to telemetry
once and without content.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import orjson
from quart import Response, g, redirect, request, websocket
from quart.typing import ResponseReturnValue
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ..errors import ERROR_CODES, NotAuthorised, RateLimited, StreampaiError
from ..runtime import NotRunning
from ..telemetry.events import RequestRefused
from . import bodies
from .browser import BrowserSession
from .browsers import Browsers
from .edge import DOORWAY, Doorway
from .login import Login, Visit
from .route import Access, Route
from .services import WebServices
from .throttle import Throttle

_log = logging.getLogger("streampai.web")

MAX_BODY = 65_536
# Requests of one log-in: a page asks for a handful when it loads.
REQUEST_RATE, REQUEST_BURST = 20, 100
SOCKET_PATH = "/connection/websocket"
JSON_SUBPROTOCOL, PROTOBUF_SUBPROTOCOL = "centrifuge-json", "centrifuge-protobuf"

# Pictures of emotes and badges come from the platforms' own hosts; all else is ours.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' https: data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_STATUS_CODES = {404: "not_found", 413: "too_large", 429: "rate_limited"}


class WebApp:
    """Builds ``quart``, the application, from ``routes``."""

    def __init__(
        self, services: WebServices, login: Login, browsers: Browsers, routes: Sequence[Route]
    ) -> None:
        self._services = services
        self._login = login
        self._browsers = browsers
        self._throttle = Throttle(rate=REQUEST_RATE, burst=REQUEST_BURST)
        self.routes = tuple(routes)
        self.quart = app = QuartTrio("streampai.web", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        app.config["BODY_TIMEOUT"] = app.config["RESPONSE_TIMEOUT"] = 30
        for route in self.routes:
            app.add_url_rule(
                route.path,
                endpoint=route.where,
                view_func=partial(self._serve, route),
                methods=[route.method],
                provide_automatic_options=False,
            )
        app.websocket(SOCKET_PATH)(self._browser)
        app.after_request(self._add_headers)
        app.register_error_handler(StreampaiError, self._refuse)
        app.register_error_handler(NotRunning, self._restarting)
        app.register_error_handler(HTTPException, self._http_error)
        app.register_error_handler(Exception, self._fault)

    async def _serve(self, route: Route, **arguments: Any) -> ResponseReturnValue:
        g.where = route.where
        if route.access is not Access.PUBLIC:
            visit = await self._admit(route)
            if route.access is Access.PAGE and visit is None:
                return redirect("/login")
            if route.access in (Access.SESSION, Access.PAGE):
                arguments["visit"] = visit
        if route.body is not None:
            arguments["body"] = bodies.decode(route.body, await bodies.read_json())
        return await route.handler(**arguments)

    async def _admit(self, route: Route) -> Visit | None:
        if route.access is Access.KEY:
            self._login.check_key(request)
            return None
        if route.access is Access.OPERATOR and "X-API-Key" in request.headers:
            self._login.check_key(request)
            return None
        visit = await self._login.visit(request)
        if visit is None:
            if route.access is Access.PAGE:
                return None
            raise NotAuthorised
        g.user_id = visit.user_id
        self._login.check_forgery(request, visit)
        if wait := self._throttle.take(visit.session.id):
            raise RateLimited(retry_after=round(wait, 2))
        if route.access is Access.OPERATOR:
            user = await self._services.storage.users.get(visit.user_id)
            if user is None or not user.admin:
                raise NotAuthorised(code="forbidden")
        return visit

    async def _browser(self) -> None:
        """The WebSocket. Whoever is not logged in is told so by a close code: a refused
        handshake would make the client libraries try again for ever."""
        g.where = f"GET {SOCKET_PATH}"
        self._login.check_origin(websocket)
        doorway: Doorway = cast(Any, websocket.scope)[DOORWAY]
        session = BrowserSession(
            self._services,
            doorway.socket,
            self._login.token(websocket),
            admit=self._browsers.admit,
        )
        doorway.open(session.receive, session.overflowed)
        offered = websocket.requested_subprotocols
        await websocket.accept(
            subprotocol=JSON_SUBPROTOCOL if JSON_SUBPROTOCOL in offered else None
        )
        if doorway.ended:
            return
        wants_protobuf = PROTOBUF_SUBPROTOCOL in offered and JSON_SUBPROTOCOL not in offered
        if wants_protobuf or websocket.args.get("format") == "protobuf":
            session.disconnect(3506)
        await self._browsers.serve(session)

    # --- answers ---------------------------------------------------------------

    async def _add_headers(self, response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if self._login.secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    async def _refuse(self, error: StreampaiError) -> Response:
        self._services.telemetry.emit(
            RequestRefused(
                user_id=g.get("user_id"), code=error.code, where=g.get("where", "unknown route")
            )
        )
        response = json_response({"error": error.as_dict()}, error.http_status)
        if isinstance(error, RateLimited):
            response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
        return response

    async def _restarting(self, error: NotRunning) -> Response:
        return await self._refuse(StreampaiError(code="user_restarting", retryable=True))

    async def _http_error(self, error: HTTPException) -> Response:
        """What Quart itself refuses: unknown paths, wrong methods, large bodies."""
        status = error.code or 500
        if status < 400:  # a redirect
            return error.get_response()  # type: ignore[return-value]
        code = _STATUS_CODES.get(status, "bad_request" if status < 500 else "internal_error")
        response = await self._refuse(
            StreampaiError(error.description or ERROR_CODES[code].meaning, code=code)
        )
        response.status_code = status
        if status == 405 and getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(error.valid_methods)  # type: ignore[attr-defined]
        return response

    async def _fault(self, error: Exception) -> Response:
        """A bug of ours: logged with its traceback, told without details."""
        _log.error("%s failed", g.get("where", "a request"), exc_info=error)
        return await self._refuse(StreampaiError(code="internal_error"))


def json_response(body: Any, status: int = 200) -> Response:
    """Compact JSON; ``orjson.Fragment`` may stand anywhere in it, what JSON has no form for
    becomes text."""
    return Response(orjson.dumps(body, default=str), status=status, mimetype="application/json")
