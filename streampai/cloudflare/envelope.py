"""The frame around every answer of Cloudflare's v4 API. Pure.

``{"result": ..., "success": bool, "errors": [{"code": int, "message": str}], ...}`` is
what is documented; answers without it, with parts missing and in HTML do occur.
"""

from typing import Any

import attrs
import orjson


class UnreadableAnswer(ValueError):
    """An answer that has none of the known shapes; it is evidence of nothing."""


@attrs.frozen(kw_only=True)
class Envelope:
    """What an answer says. ``code`` is the first error's, None when it has none.

    ``framed`` is false for JSON without the API's frame, which anything on the way
    may have sent.
    """

    success: bool
    result: Any
    framed: bool = False
    code: int | None = None
    message: str = ""


def parse_envelope(body: bytes) -> Envelope:
    """The envelope of a body; a bare object or array counts as a successful result.

    Raises UnreadableAnswer for HTML, text, an empty body and anything else that is no JSON.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableAnswer("not JSON") from None
    if isinstance(payload, list):
        return Envelope(success=True, result=payload)
    if not isinstance(payload, dict):
        raise UnreadableAnswer("neither an object nor an array")
    code, message = _first_error(payload.get("errors") or payload.get("error"))
    success = payload.get("success", code is None and not message) is True
    bare = "result" not in payload and "success" not in payload
    return Envelope(
        success=success,
        result=payload if bare else payload.get("result"),
        framed="success" in payload,
        code=code,
        message=message,
    )


def _first_error(errors: Any) -> tuple[int | None, str]:
    first = errors[0] if isinstance(errors, list) and errors else errors
    if isinstance(first, dict):
        code = first.get("code")
        return (code if type(code) is int else None), str(first.get("message") or "")
    return None, first if isinstance(first, str) else ""
