"""The documentation of the API, made from the table that is served: JSON and a page."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from quart import Response
from quart.typing import ResponseReturnValue

from .. import __version__
from ..commands import COMMANDS
from ..errors import ERROR_CODES
from . import bodies
from .app import SOCKET_PATH, json_response
from .route import Access, Route

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_ACCESS_WORDS = {
    Access.PUBLIC: "anybody",
    Access.SESSION: "whoever has logged in",
    Access.KEY: "the admin key",
    Access.OPERATOR: "the admin key or an admin's log-in",
}
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.SESSION: [{"session": []}],
    Access.KEY: [{"admin_key": []}],
    Access.OPERATOR: [{"admin_key": []}, {"session": []}],
}
_SOCKET = {
    "get": {
        "summary": "The WebSocket. Speaks the Centrifuge client protocol in its JSON form; RPC"
        " methods are the commands listed under `x-rpc-methods`. The session cookie logs in, or"
        " the cookie's value as `token` of the connect command.",
        "responses": {"101": {"description": "Switches to WebSocket."}},
        "security": _SECURITY[Access.SESSION],
    }
}
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
h2 { font: 600 1rem ui-monospace, monospace; margin-bottom: 0; overflow-wrap: anywhere; }
code, pre { font: 0.875rem ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.5rem; border: 1px solid; border-radius: 0.25rem; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: 0.125rem 1rem 0.125rem 0; }
"""


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
        self._page = render(self.routes)

    def _route(self, path: str, handler: Any, summary: str) -> Route:
        return Route(
            method="GET", path=path, handler=handler, summary=summary, access=Access.PUBLIC
        )

    async def document(self) -> ResponseReturnValue:
        return json_response(self._document)

    async def page(self) -> ResponseReturnValue:
        return Response(self._page, mimetype="text/html")

    async def style(self) -> ResponseReturnValue:
        return Response(_STYLE, mimetype="text/css")


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {SOCKET_PATH: _SOCKET}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
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
        for name in _PARAMETER.findall(route.path)
    ] + [
        {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
        for name, words in route.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if (schema := body_schema(route)) is not None:
        operation["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def body_schema(route: Route) -> dict[str, Any] | None:
    """What the body must look like; fields that stand in the path are not in it."""
    if route.body is not None:
        return bodies.schema(route.body)
    if not route.command:
        return None
    schema = bodies.schema(COMMANDS[route.command], optional=frozenset({"id"}))
    for name in _PARAMETER.findall(route.path):
        del schema["properties"][name]
    left = [name for name in schema.get("required", []) if name in schema["properties"]]
    if left:
        schema["required"] = left
    else:
        schema.pop("required", None)
    return schema


def _error_schema() -> dict[str, Any]:
    fields = {
        "code": {"type": "string", "enum": list(ERROR_CODES)},
        "message": {"type": "string"},
        "retryable": {"type": "boolean"},
        "details": {"type": "object"},
    }
    error = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def render(routes: Sequence[Route]) -> str:
    """A page without scripts; everything in it is ours and escaped all the same."""
    sections = "".join(_section(route) for route in routes)
    commands = "".join(
        f"<h2>{escape(name)}</h2><pre>{_shape(bodies.schema(cls))}</pre>"
        for name, cls in COMMANDS.items()
    )
    errors = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{code.number}</td>"
        f"<td>{code.http_status}</td><td>{escape(code.meaning)}</td></tr>"
        for name, code in ERROR_CODES.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        "<title>Streampai API</title><link rel=stylesheet href=/docs.css><body>"
        f"<h1>Streampai API {escape(__version__)}</h1>"
        '<p>The same as an <a href="/openapi.json">OpenAPI document</a>.</p><main>'
        f"{sections}<section><h2>GET {SOCKET_PATH}</h2><p>{_prose(_SOCKET['get']['summary'])}</p>"
        f"{commands}</section><section><h2>Errors</h2>"
        "<table><tr><th>code</th><th>RPC</th><th>HTTP</th><th>meaning</th></tr>"
        f"{errors}</table></section></main></body></html>"
    )


def _section(route: Route) -> str:
    schema = body_schema(route)
    body = f"<pre>{_shape(schema)}</pre>" if schema else ""
    answers = "".join(
        f"<tr><td>{status}</td><td>{_prose(words)}</td></tr>"
        for status, words in route.answers.items()
    )
    query = "".join(
        f"<tr><td><code>?{escape(name)}</code></td><td>{_prose(words)}</td></tr>"
        for name, words in route.query.items()
    )
    return (
        f"<section><h2>{route.method} {escape(route.path)}</h2><p>{_prose(route.summary)}"
        f" For {_ACCESS_WORDS[route.access]}.</p>{body}<table>{query}{answers}</table></section>"
    )


def _prose(words: Any) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(str(words)))


def _shape(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    lines = []
    for name, field in schema["properties"].items():
        kind = field.get("type", "any")
        words = kind if isinstance(kind, str) else " or ".join(kind)
        if "items" in field:
            words = f"{words} of {field['items']['type']}"
        lines.append(f"  {name}: {words}{'' if name in required else ' (optional)'}")
    return escape("{\n" + "\n".join(lines) + "\n}") if lines else "{}"
