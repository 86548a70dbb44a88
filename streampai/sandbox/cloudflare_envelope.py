"""The v4 envelope that every answer of Cloudflare's API comes in."""

from collections.abc import Mapping
from typing import Any

import orjson
from quart import Response


class ApiError(Exception):
    """An answer that is an error, in the v4 envelope."""

    def __init__(
        self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def error_body(status: int, code: int | None = None, message: str = "") -> bytes:
    """The envelope of a failure. Status 200 is the failure that looks like a success."""
    known = {401: 10000, 403: 10000, 404: 10003, 429: 10500}
    code = known.get(status, 10001) if code is None else code
    error = {"code": code, "message": message or f"simulated failure ({status})"}
    return orjson.dumps({"result": None, "success": False, "errors": [error], "messages": []})


def answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers=dict(headers or {}), content_type="application/json")


def success(result: object) -> Response:
    return answer(orjson.dumps({"result": result, "success": True, "errors": [], "messages": []}))


async def as_envelope(error: ApiError) -> Response:
    return answer(error_body(error.status, error.code, str(error)), error.status, error.headers)


async def unroutable(_: Exception) -> Response:
    return answer(error_body(404, 7003, "could not route to this path"), 404)


async def wrong_method(_: Exception) -> Response:
    return answer(error_body(405, 10005, "method not allowed"), 405)


def checked_id(uid: str) -> str:
    if len(uid) != 32 or not set(uid) <= set("0123456789abcdef"):
        raise ApiError(404, 7003, "could not route to this path: malformed identifier")
    return uid


def body_object(raw: str | bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        raise ApiError(400, 10005, "body is not JSON") from None
    if not isinstance(body, dict):
        raise ApiError(400, 10005, "body must be an object")
    return body
