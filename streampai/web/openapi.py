"""The documentation of the API, made from the table that is served: JSON and a page."""

from collections.abc import Sequence
from typing import Any

from quart import Response
from quart.typing import ResponseReturnValue

from .. import __version__
from ..commands import COMMANDS
from ..errors import ERROR_CODES
from . import bodies
from .app import SOCKET_PATH, json_response
from .docs_page import STYLE, render
from .route import PARAMETER, Access, Route

_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.PAGE: [{"session": []}],
    Access.SESSION: [{"session": []}],
    Access.KEY: [{"admin_key": []}],
    Access.OPERATOR: [{"admin_key": []}, {"session": []}],
}
SOCKET_SUMMARY = (
    "The WebSocket. Speaks the Centrifuge client protocol in its JSON form; RPC methods are the"
    " commands listed under `x-rpc-methods`. The session cookie logs in, or its value as `token`"
    " of the connect command."
)
_SOCKET = {
    "get": {
        "summary": SOCKET_SUMMARY,
        "responses": {"101": {"description": "Switches to WebSocket."}},
        "security": _SECURITY[Access.SESSION],
    }
}


class Documentation:
    """``routes`` is everything that is served besides; its own routes are added."""

    def __init__(self, routes: Sequence[Route]) -> None:
        own = (
            self._route("/openapi.json", self.document, "This API as an OpenAPI 3.1 document."),
            self._route("/docs", self.page, "This API as a page."),
            self._route("/docs.css", self.style, "How the page looks."),
        )
        self.routes = (*routes, *own)
        self._document = describe(self.routes)
        self._page = render(self.routes, SOCKET_SUMMARY)

    def _route(self, path: str, handler: Any, summary: str) -> Route:
        return Route(
            method="GET", path=path, handler=handler, summary=summary, access=Access.PUBLIC
        )

    async def document(self) -> ResponseReturnValue:
        return json_response(self._document)

    async def page(self) -> ResponseReturnValue:
        return Response(self._page, mimetype="text/html")

    async def style(self) -> ResponseReturnValue:
        return Response(STYLE, mimetype="text/css")


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {SOCKET_PATH: _SOCKET}
    for route in routes:
        path = PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Streampai",
            "version": __version__,
            "description": "Requests that change something need a same-origin `Origin`, or, from"
            " scripts, the log-in's `X-CSRF-Token`.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": _error_schema()},
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "streampai"},
                "admin_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "x-rpc-methods": {name: bodies.schema(cls) for name, cls in COMMANDS.items()},
    }


def _operation(route: Route) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "security": _SECURITY[route.access],
        "responses": {
            str(status): {"description": words} for status, words in route.answers.items()
        }
        | {"default": {"description": "A refusal.", "content": error}},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PARAMETER.findall(route.path)
    ] + [
        {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
        for name, words in route.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if (schema := route.body_schema()) is not None:
        operation["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _error_schema() -> dict[str, Any]:
    fields = {
        "code": {"type": "string", "enum": list(ERROR_CODES)},
        "message": {"type": "string"},
        "retryable": {"type": "boolean"},
        "details": {"type": "object"},
    }
    error = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}
