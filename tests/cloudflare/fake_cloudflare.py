"""A Cloudflare of our own, in memory, behind ``httpx.MockTransport``.

``fault`` is asked at every request and may answer one of FAULTS; ``point`` is
awaited before and after a request takes effect, so that a test can kill there.
"""

import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import trio

FAULTS = ("refuse", "lose", "500", "html", "twice", "failure", "garbage", "429")
ACCOUNT = "acc"
TOKEN = "token-canary"
START = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)


def fake_now() -> datetime:
    """The wall clock of the tests: it goes with Trio's."""
    return START + timedelta(seconds=trio.current_time())


async def _no_point() -> None:
    await trio.lowlevel.checkpoint()


def _no_fault(request: httpx.Request) -> str:
    return ""


class FakeCloudflare:
    def __init__(self) -> None:
        self.inputs: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[tuple[float, str, str]] = []
        self.fault: Callable[[httpx.Request], str] = _no_fault
        self.point: Callable[[], Awaitable[None]] = _no_point
        # Requests that have come to the point where a fault may hit them.
        self.reached = 0
        # Inputs whose encoder has died without a word.
        self.silent: set[str] = set()
        self.skew = timedelta(0)
        self.retry_after = "60"
        self.headers: dict[str, str] = {}
        self.latency = 0.0
        self.list_as_array = False
        self.idempotency: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    def add_input(self, **meta: str) -> str:
        uid = f"{next(self._numbers):032x}"
        self.inputs[uid] = {
            "uid": uid,
            "rtmps": {"url": "rtmps://live.example:443/live/", "streamKey": f"key-canary-{uid}"},
            "srt": {"url": "srt://live.example:778", "streamId": "id", "passphrase": "pass"},
            "created": f"2026-01-01T00:00:{int(uid, 16) % 60:02}.123456789Z",
            "meta": meta,
            "status": None,
            "enabled": True,
        }
        self.outputs[uid] = []
        return uid

    def set_status(self, uid: str, state: str | None, *, entered: float = 0.0, **more: str) -> None:
        """``entered`` is seconds before now."""
        if state is None:
            self.inputs[uid]["status"] = None
            return
        now = fake_now() + self.skew
        current = {
            "ingestProtocol": "rtmp",
            "state": state,
            "reason": "said so",
            "statusEnteredAt": (now - timedelta(seconds=entered)).isoformat(),
            "statusLastSeen": now.isoformat(),
        }
        self.inputs[uid]["status"] = {"current": {**current, **more}, "history": []}

    def add_output(self, uid: str, url: str, key: str, *, enabled: bool = True) -> str:
        output_uid = f"{next(self._numbers):032x}"
        self.outputs[uid].append(
            {"uid": output_uid, "url": url, "streamKey": key, "enabled": enabled}
        )
        return output_uid

    def places(self, uid: str) -> list[tuple[str, str]]:
        return sorted((o["url"], o["streamKey"]) for o in self.outputs[uid])

    def count(self, method: str, ending: str = "") -> int:
        return sum(1 for _, m, path in self.requests if m == method and path.endswith(ending))

    def peak(self, window: float = 300.0) -> int:
        """The most requests in any window of so many seconds."""
        times = [at for at, _, _ in self.requests]
        peak = begin = 0
        for end, at in enumerate(times):
            while at - times[begin] >= window:
                begin += 1
            peak = max(peak, end - begin + 1)
        return peak

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((trio.current_time(), request.method, request.url.path))
        await trio.sleep(self.latency)
        self.reached += 1
        fault = self.fault(request)
        await self.point()
        if fault == "refuse":
            raise httpx.ConnectError("refused", request=request)
        if fault == "429":
            return httpx.Response(
                429,
                headers={"Retry-After": self.retry_after} if self.retry_after else self.headers,
                json={"result": None, "success": False, "errors": [{"code": 10500}]},
            )
        if fault == "failure":
            return _answer(200, None, code=10001, message="no")
        if fault in ("500", "html") and request.method != "POST":
            return httpx.Response(502, html="<h1>Bad gateway</h1>")
        answer = self._apply(request)
        if fault == "twice":
            self._apply(request)
        await self.point()
        if fault == "lose":
            raise httpx.ReadError("cut", request=request)
        if fault in ("500", "html"):
            return httpx.Response(500, html="<h1>Oops</h1>")
        if fault == "garbage":
            return httpx.Response(200, text="<html>")
        date = (fake_now() + self.skew).strftime("%a, %d %b %Y %H:%M:%S GMT")
        answer.headers.update({"Date": date, "cf-ray": "ray-1", **self.headers})
        return answer

    def _apply(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _answer(403, None, code=10000, message=f"bad {TOKEN}")
        parts = request.url.path.split("/stream/live_inputs", 1)[1].strip("/").split("/")
        body = json.loads(request.content) if request.content else {}
        match request.method, parts:
            case "GET", [""]:
                hidden = ("rtmps", "srt", "status")
                found = [
                    {k: v for k, v in i.items() if k not in hidden} for i in self.inputs.values()
                ]
                return _answer(200, found if self.list_as_array else {"liveInputs": found})
            case "POST", [""]:
                attempt = request.headers.get("Idempotency-Key", "")
                uid = self.idempotency.get(attempt) or self.add_input(**body["meta"])
                if attempt:
                    self.idempotency[attempt] = uid
                return _answer(200, self.inputs[uid])
            case _, [uid, *_] if uid not in self.inputs:
                return _answer(404, None, code=10003, message="not found")
            case "GET", [uid]:
                self._beat(uid)
                return _answer(200, self.inputs[uid])
            case "DELETE", [uid]:
                del self.inputs[uid], self.outputs[uid]
                return httpx.Response(200)
            case "POST", [uid, "rotate_keys"]:
                rtmps = self.inputs[uid]["rtmps"]
                rtmps["streamKey"] = f"{rtmps['streamKey']}-{next(self._numbers)}"
                return _answer(200, self.inputs[uid])
            case "GET", [uid, "outputs"]:
                return _answer(200, self.outputs[uid])
            case "POST", [uid, "outputs"]:
                self.add_output(uid, body["url"], body["streamKey"])
                return _answer(200, self.outputs[uid][-1])
            case _, [uid, "outputs", output_uid]:
                return self._one_output(request.method, uid, output_uid, body)
        return _answer(404, None, code=7003, message="no route")

    def _beat(self, uid: str) -> None:
        current = (self.inputs[uid]["status"] or {"current": {}})["current"]
        if current.get("state") == "connected" and uid not in self.silent:
            current["statusLastSeen"] = (fake_now() + self.skew).isoformat()

    def _one_output(
        self, method: str, uid: str, output_uid: str, body: dict[str, Any]
    ) -> httpx.Response:
        for output in self.outputs[uid]:
            if output["uid"] == output_uid:
                if method == "DELETE":
                    self.outputs[uid].remove(output)
                    return httpx.Response(200, json={})
                output.update(body)
                return _answer(200, output)
        return _answer(404, None, code=10003, message="not found")


def _answer(
    status: int, result: Any, *, code: int | None = None, message: str = ""
) -> httpx.Response:
    errors = [] if code is None else [{"code": code, "message": message}]
    body = {"result": result, "success": code is None, "errors": errors, "messages": []}
    return httpx.Response(status, json=body)
