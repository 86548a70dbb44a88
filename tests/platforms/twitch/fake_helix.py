"""Helix and OAuth as an httpx transport: answers are scripted per path, requests are kept."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs
import httpx
import orjson
import trio

from streampai.platforms.api import ApiClient
from streampai.platforms.platform import PlatformContext
from streampai.runtime import utc_now
from streampai.settings import Settings, load_settings
from streampai.telemetry import Telemetry

Script = Callable[["Request"], "Reply"]


@attrs.frozen(kw_only=True)
class Request:
    method: str
    path: str
    token: str
    params: Mapping[str, str]
    form: Mapping[str, str]
    json: Any


@attrs.frozen
class Reply:
    status: int
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    after: float = 0.0


def error(status: int, message: str, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": "x", "status": status, "message": message}, names)


class FakeHelix:
    """``on["POST eventsub/subscriptions"]`` is asked for the reply; there are defaults for most."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.on: dict[str, Script] = {
            "POST eventsub/subscriptions": self._subscribed,
            "GET eventsub/subscriptions": lambda _: Reply(200, {"data": [], "pagination": {}}),
            "DELETE eventsub/subscriptions": lambda _: Reply(204),
        }
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def asked(self, what: str) -> list[Request]:
        return [r for r in self.requests if f"{r.method} {r.path}" == what]

    def subscribed(self, session_id: str) -> list[str]:
        """The types asked for on a session, in order."""
        return [
            request.json["type"]
            for request in self.asked("POST eventsub/subscriptions")
            if request.json["transport"]["session_id"] == session_id
        ]

    def _subscribed(self, request: Request) -> Reply:
        data = {"id": f"s-{len(self.requests)}", "status": "enabled", **request.json}
        return Reply(202, {"data": [data], "total": 1, "total_cost": 0, "max_total_cost": 10})

    async def _answer(self, raw: httpx.Request) -> httpx.Response:
        body = raw.content
        is_json = raw.headers.get("Content-Type") == "application/json"
        request = Request(
            method=raw.method,
            path=raw.url.path.removeprefix("/helix/").removeprefix("/"),
            token=raw.headers.get("Authorization", "").partition(" ")[2],
            params=dict(raw.url.params),
            form={} if is_json else dict(parse_qsl(body.decode())),
            json=orjson.loads(body) if is_json else None,
        )
        self.requests.append(request)
        reply = self.on[f"{request.method} {request.path}"](request)
        await trio.sleep(reply.after)
        content = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        return httpx.Response(reply.status, content=content, headers=dict(reply.headers))


def settings_for_tests(eventsub_url: str = "ws://127.0.0.1:9/ws", **environment: str) -> Settings:
    return load_settings(
        {
            "STREAMPAI_TWITCH_CLIENT_ID": "cid-test",
            "STREAMPAI_TWITCH_CLIENT_SECRET": "planted-secret",
            "STREAMPAI_TWITCH_API_URL": "http://twitch.test/helix",
            "STREAMPAI_TWITCH_AUTH_URL": "http://twitch.test/oauth2",
            "STREAMPAI_TWITCH_EVENTSUB_URL": eventsub_url,
            **environment,
        }
    )


def make_context(
    helix: FakeHelix, telemetry: Telemetry | None = None, **environment: str
) -> PlatformContext:
    return PlatformContext(
        settings=settings_for_tests(**environment),
        http=helix.http,
        telemetry=telemetry or Telemetry(),
        now=utc_now,
    )


def make_api(helix: FakeHelix, telemetry: Telemetry, *, timeout: float = 5.0) -> ApiClient:
    return ApiClient(helix.http, service="Twitch", timeout=timeout, telemetry=telemetry)
