"""What the OAuth calls share: parameters from anywhere, errors, JSON, and pages for people."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl

import orjson
from quart import Response, request

from .helix import PHRASES

STATIC = Path(__file__).with_name("static")


class OAuthError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error_body(status: int, message: str = "") -> bytes:
    text = message or PHRASES.get(status, "error").lower()
    return orjson.dumps({"status": status, "message": text})


async def arguments() -> dict[str, str]:
    """Parameters from the query and the body, whatever the body calls itself."""
    found = dict(request.args.items())
    raw = await request.get_data()
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError:
        raise OAuthError(400, "the body is not text") from None
    if text.lstrip().startswith("{"):
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise OAuthError(400, "the body is not JSON") from None
        return found | {k: str(v) for k, v in body.items()}
    return found | dict(parse_qsl(text, keep_blank_values=True))


def as_json(status: int, body: object) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")


def page(name: str, hidden: Mapping[str, str], scopes: list[str], **words: str) -> Response:
    inputs = "".join(
        f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in hidden.items()
    )
    items = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in scopes)
    template = Template((STATIC / name).read_text("utf-8"))
    html = template.substitute(
        hidden=inputs, scopes=items, **{k: escape(v) for k, v in words.items()}
    )
    policy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return Response(html, 200, headers=headers, content_type="text/html; charset=utf-8")
