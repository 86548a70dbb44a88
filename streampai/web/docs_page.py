"""The documentation as a page: one HTML document and its style, without scripts."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from .. import __version__
from ..commands import COMMANDS
from ..errors import ERROR_CODES
from . import bodies
from .app import SOCKET_PATH
from .route import Access, Route

_ACCESS_WORDS = {
    Access.PUBLIC: "anybody",
    Access.PAGE: "whoever has logged in",
    Access.SESSION: "whoever has logged in",
    Access.KEY: "the admin key",
    Access.OPERATOR: "the admin key or an admin's log-in",
}
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
h2 { font: 600 1rem ui-monospace, monospace; margin-bottom: 0; overflow-wrap: anywhere; }
code, pre { font: 0.875rem ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.5rem; border: 1px solid; border-radius: 0.25rem; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: 0.125rem 1rem 0.125rem 0; }
"""


def render(routes: Sequence[Route], socket_summary: str) -> str:
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
        f"{sections}<section><h2>GET {SOCKET_PATH}</h2><p>{_prose(socket_summary)}</p>"
        f"{commands}</section><section><h2>Errors</h2>"
        "<table><tr><th>code</th><th>RPC</th><th>HTTP</th><th>meaning</th></tr>"
        f"{errors}</table></section></main></body></html>"
    )


def _section(route: Route) -> str:
    schema = route.body_schema()
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
