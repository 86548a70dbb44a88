"""Questions to a running daemon or sandbox over HTTP.

With ``http.client``: a probe that runs every few seconds must not pay for
importing a large library.
"""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import SettingsError
from ..settings import WebSettings

# An answer beyond this is not one of ours.
MAX_ANSWER = 64 * 1024 * 1024


def reachable(url: str) -> str:
    """``url`` with an address one can connect to where it has one that only listens."""
    return url.replace("//0.0.0.0", "//127.0.0.1", 1).replace("//[::]", "//[::1]", 1)


def local_url(settings: WebSettings) -> str:
    """Where a daemon with these settings answers on this machine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return reachable(f"http://{host}:{settings.port}")


def get_json(
    url: str, *, timeout: float, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Status and parsed body of a GET; the body is None when it is not JSON.

    Blocks for up to ``timeout`` seconds a step. Raises OSError when nobody
    answers, and SettingsError when ``url`` is no http or https address.
    """
    parts = urlsplit(url)
    kinds: Mapping[str, type[http.client.HTTPConnection]] = {
        "http": http.client.HTTPConnection,
        "https": http.client.HTTPSConnection,
    }
    if parts.scheme not in kinds or not parts.hostname:
        raise SettingsError(f"{url} is not an http or https address")
    connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=timeout)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=dict(headers or {}))
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER)
    except http.client.HTTPException as exc:
        raise ConnectionError(f"{url} does not answer as HTTP does") from exc
    finally:
        connection.close()
    try:
        return answer.status, json.loads(body)
    except ValueError:
        return answer.status, None
