"""Clients as the daemon would have them: httpx for calls, trio-websocket for EventSub."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from streampai.sandbox import Sandbox

REDIRECT = "http://127.0.0.1:9/callback"
SCOPES = (
    "user:read:chat user:write:chat moderator:read:followers channel:read:subscriptions bits:read "
    "channel:read:redemptions channel:manage:broadcast channel:read:stream_key "
    "moderator:manage:chat_messages moderator:manage:banned_users moderator:read:chatters "
    "moderator:manage:announcements channel:moderate channel:read:hype_train channel:read:polls "
    "channel:read:predictions channel:read:ads"
)


class CloudflareCaller:
    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self._http = http
        options = sandbox.options
        self.stream = f"{sandbox.urls['cloudflare']}/accounts/{options.account}/stream"
        self.headers = {"Authorization": f"Bearer {options.api_token}"}

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        more.setdefault("headers", self.headers)
        return await self._http.request(method, self.stream + path, **more)

    async def result(self, method: str, path: str, **more: Any) -> Any:
        answer = (await self.call(method, path, **more)).json()
        assert answer["success"], answer
        return answer["result"]

    async def new_input(self, **body: Any) -> str:
        body.setdefault("meta", {"name": "demo", "streampai_user": "1"})
        return str((await self.result("POST", "/live_inputs", json=body))["uid"])

    async def new_output(self, uid: str, url: str, key: str = "key") -> str:
        body = {"url": url, "streamKey": key}
        return str((await self.result("POST", f"/live_inputs/{uid}/outputs", json=body))["uid"])


class TwitchCaller:
    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http
        self.auth, self.api = sandbox.urls["twitch_auth"], sandbox.urls["twitch_api"]
        self.tokens: dict[str, Any] = {}
        self.user_id = ""

    @property
    def client(self) -> dict[str, str]:
        options = self.sandbox.options
        return {"client_id": options.client_id, "client_secret": options.client_secret}

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.tokens['access_token']}",
            "Client-Id": self.sandbox.options.client_id,
        }

    async def authorize(self, login: str, scopes: str = SCOPES) -> str:
        """A code, by the real redirect."""
        answer = await self.http.get(
            f"{self.auth}/authorize",
            params={
                "response_type": "code",
                "client_id": self.sandbox.options.client_id,
                "redirect_uri": REDIRECT,
                "scope": scopes,
                "state": "s",
                "sandbox_login": login,
            },
        )
        assert answer.status_code == 302, answer.text
        return str(httpx.URL(answer.headers["location"]).params["code"])

    async def log_in(self, login: str, scopes: str = SCOPES) -> "TwitchCaller":
        code = await self.authorize(login, scopes)
        form = {**self.client, "grant_type": "authorization_code", "code": code}
        answer = await self.http.post(f"{self.auth}/token", data={**form, "redirect_uri": REDIRECT})
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()
        self.user_id = self.sandbox.twitch.user(login).id
        return self

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        more.setdefault("headers", self.headers)
        return await self.http.request(method, self.api + path, **more)

    async def subscribe(
        self, session_id: str, kind: str, version: str = "1", **condition: str
    ) -> httpx.Response:
        condition = condition or {"broadcaster_user_id": self.user_id}
        body = {
            "type": kind,
            "version": version,
            "condition": condition,
            "transport": {"method": "websocket", "session_id": session_id},
        }
        return await self.call("POST", "/eventsub/subscriptions", json=body)

    async def subscribe_chat(self, session_id: str, kind: str = "message") -> httpx.Response:
        return await self.subscribe(
            session_id,
            f"channel.chat.{kind}",
            broadcaster_user_id=self.user_id,
            user_id=self.user_id,
        )


class EventSubSocket:
    """One open socket after its welcome."""

    def __init__(self, socket: WebSocketConnection, welcome: dict[str, Any]) -> None:
        self.socket = socket
        self.welcome = welcome
        self.id = welcome["payload"]["session"]["id"]

    async def text(self) -> str:
        with trio.fail_after(5):
            return str(await self.socket.get_message())

    async def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.text())
        return found

    async def event(self) -> dict[str, Any]:
        """The next notification's event, keepalives left out."""
        while True:
            message = await self.message()
            if message["metadata"]["message_type"] == "notification":
                event: dict[str, Any] = message["payload"]["event"]
                return event

    async def closed(self) -> int:
        """Read to the end; the close code, 1006 for none."""
        try:
            while True:
                await self.text()
        except ConnectionClosed as exc:
            return int(exc.reason.code) if exc.reason else 1006


@asynccontextmanager
async def open_raw(url: str) -> AsyncIterator[WebSocketConnection]:
    host, _, rest = url.removeprefix("ws://").partition("/")
    name, _, port = host.partition(":")
    stream = await trio.open_tcp_stream(name, int(port))
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(5):
                socket = await wrap_client_stream(nursery, stream, host, f"/{rest}")
            yield socket
            with trio.move_on_after(1):
                await socket.aclose()
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_socket(sandbox: Sandbox, url: str = "") -> AsyncIterator[EventSubSocket]:
    async with open_raw(url or f"{sandbox.urls['twitch_eventsub']}") as socket:
        with trio.fail_after(5):
            welcome = json.loads(await socket.get_message())
        yield EventSubSocket(socket, welcome)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so, looking often; a loopback's other side has no event for us."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.005)
