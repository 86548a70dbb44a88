"""Serves the pages under the real Content-Security-Policy, with a pretended daemon behind them.

``open_harness()`` runs it in a thread of its own, so that a test can drive a
browser synchronously and change the world with ``harness.do(...)``.
"""

import functools
import mimetypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, redirect, request, websocket
from quart_trio import QuartTrio

from .wire import PING_INTERVAL, Connection
from .world import USER, World

STATIC = Path(__file__).parents[2] / "streampai" / "web" / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; "
    "connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A browser that reads slower than this many frames behind is cut off, as in the daemon.
QUEUE = 20_000
T = TypeVar("T")


@functools.cache
def _file(path: Path) -> bytes:
    return path.read_bytes()


def refusal(code: str, message: str, status: int, **details: Any) -> tuple[dict[str, Any], int]:
    return {"error": {"code": code, "message": message, "retryable": False, "details": details}}, status  # fmt: skip


def build_app(world: World, nursery: trio.Nursery, *, settle: float) -> QuartTrio:
    """``settle`` is how many seconds a command takes until its outcome."""
    app = QuartTrio("harness", static_folder=None)

    @app.after_request
    async def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = CSP
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Date"] = world.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
        return response

    @app.get("/static/<path:name>")
    async def static(name: str) -> Any:
        return Response(_file(STATIC / name), content_type=mimetypes.guess_type(name)[0])

    @app.get("/")
    async def index() -> Any:
        if not world.signed_in:
            return redirect("/login")
        return await static("index.html")

    @app.get("/login")
    async def login() -> Any:
        return await static("login.html")

    @app.post("/api/session")
    async def log_in() -> Any:
        body = await request.get_json()
        if body != {"username": "demo", "password": "demo-demo"}:
            return refusal("invalid_credentials", "The name or the password is wrong.", 401)
        world.signed_in = True
        return {"user": {"id": USER, "name": "demo", "admin": False}, "csrf": "c-1"}

    @app.delete("/api/session")
    async def log_out() -> Any:
        world.signed_in = False
        return "", 204

    @app.get("/api/me")
    async def me() -> Any:
        if not world.signed_in:
            return refusal("unauthorized", "Log in first.", 401)
        return {"user": {"id": USER, "name": "demo", "admin": False}, "csrf": "c-1", "sandbox_url": world.sandbox_url}  # fmt: skip

    @app.get("/api/stream")
    async def stream() -> Any:
        return world.state

    @app.get("/api/stream/key")
    async def key() -> Any:
        return {"ingest_url": world.state["input"]["ingest_url"], "stream_key": world.key}

    @app.get("/api/streams")
    async def streams() -> Any:
        return {"streams": world.shows}

    @app.get("/api/events")
    async def events() -> Any:
        before, limit = int(request.args["before"]), int(request.args["limit"])
        older = [event for event in world.events if event["sequence"] < before]
        page = older[-limit:]
        return {"events": page, "next": page[0]["sequence"] if len(page) == limit else None}

    async def accept(method: str, **fields: Any) -> Any:
        if request.headers.get("X-CSRF-Token") != "c-1":
            return refusal("bad_origin", "The request comes from a page that is not ours.", 403)
        body = {**(await request.get_json()), **fields}
        world.commands.append((method, body))
        nursery.start_soon(carry_out, world, method, body, settle)
        return {"accepted": body["id"]}, 202

    app.post("/api/stream/start", endpoint="start")(partial(accept, "start_stream"))
    app.post("/api/stream/stop", endpoint="stop")(partial(accept, "stop_stream"))
    app.post("/api/chat", endpoint="chat")(partial(accept, "send_chat"))
    app.patch("/api/stream/metadata", endpoint="metadata")(partial(accept, "edit_metadata"))
    app.post("/api/stream/key/rotate", endpoint="rotate")(partial(accept, "rotate_key"))
    app.put("/api/stream/destinations/<platform>", endpoint="set")(
        partial(accept, "set_destination")
    )
    app.post("/api/stream/destinations/<platform>/retry", endpoint="retry")(
        partial(accept, "retry_destination")
    )

    @app.websocket("/connection/websocket")
    async def connection() -> None:
        await serve_connection(world)

    return app


async def serve_connection(world: World) -> None:
    send_frame, frames = trio.open_memory_channel[str | tuple[int, str]](QUEUE)

    async def write() -> None:
        async for frame in frames:
            if isinstance(frame, tuple):
                await websocket.close(*frame)
                return
            await websocket.send(frame)

    async def ping() -> None:
        while True:
            await trio.sleep(PING_INTERVAL)
            send_frame.send_nowait("{}")

    mine = Connection(send=send_frame.send_nowait, close=lambda *why: send_frame.send_nowait(why))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(ping)
            while True:
                world.broker.receive(mine, await websocket.receive())
    finally:
        if mine in world.broker.connections:
            world.broker.leave(mine)


async def carry_out(world: World, method: str, body: dict[str, Any], settle: float) -> None:
    """The outcome of an accepted command, as the daemon would tell it."""
    result: dict[str, Any] = {}
    if method == "start_stream":
        world.change(busy="starting")
        world.happen("stream_starting", platforms=body["platforms"])
    if method == "stop_stream":
        world.change(state="ending")
        world.happen("stream_ending", reason="stopped")
    await trio.sleep(settle)
    match method:
        case "start_stream" if set(body["platforms"]) <= set(world.failing):
            reasons = {p: {"code": "platform_refused", "message": why} for p, why in world.failing.items()}  # fmt: skip
            error = refusal("all_platforms_failed", "No selected platform could be started.", 502, platforms=reasons)[0]["error"]  # fmt: skip
            world.change(busy="")
            world.happen("command_failed", command_id=body["id"], command=method, error=error)
            return
        case "start_stream":
            world.go_live()
        case "stop_stream":
            world.end()
        case "set_destination":
            world.change_destination(body["platform"], enabled=body["enabled"])
        case "retry_destination":
            world.failing.pop(body["platform"], None)
            world.change_destination(body["platform"], output="active", output_code="", output_reason="", live=True)  # fmt: skip
        case "edit_metadata":
            world.change(metadata={key: body[key] for key in ("title", "category") if key in body})
            result = {"receipts": {name: {"ok": True} for name in body["platforms"]}}
        case "send_chat":
            # One echo comes before the outcome and the others after it, as it happens.
            ids = {name: f"own-{len(world.events)}-{name}" for name in body["platforms"]}
            result = {"receipts": {n: {"ok": True, "message_id": i} for n, i in ids.items()}}
            host = {"roles": ["broadcaster"]}
            first, *others = ids
            world.say("northern_kiln", body["text"], first, message_id=ids[first], author=host)
            world.happen("command_done", command_id=body["id"], command=method, result=result)
            for name in others:
                world.say("northern_kiln", body["text"], name, message_id=ids[name], author=host)
            return
        case "rotate_key":
            world.key = "new-" + world.key
    world.happen("command_done", command_id=body["id"], command=method, result=result)


@attrs.define(eq=False)
class Harness:
    url: str
    world: World
    token: trio.lowlevel.TrioToken

    def do(self, act: Callable[[World], T]) -> T:
        """``act`` runs in the harness's thread, between two of its steps."""
        return trio.from_thread.run_sync(act, self.world, trio_token=self.token)

    def drop_sockets(self, code: int = 3011, reason: str = "force reconnect") -> None:
        self.do(lambda world: [each.close(code, reason) for each in list(world.broker.connections)])


@contextmanager
def open_harness(
    *, world: World | None = None, settle: float = 0.15, port: int = 0
) -> Iterator[Harness]:
    """Serves on loopback until the block ends."""
    made = world or World()
    ready = threading.Event()
    found: list[Any] = []

    async def main() -> None:
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        config.accesslog = config.errorlog = None
        config.include_date_header = False  # the world has its own clock
        config.graceful_timeout = 0.1
        async with trio.open_nursery() as nursery:
            app = build_app(made, nursery, settle=settle)
            urls = await nursery.start(serve, app, config)
            found.extend([urls[0], trio.lowlevel.current_trio_token(), nursery.cancel_scope])
            ready.set()

    thread = threading.Thread(target=trio.run, args=(main,), daemon=True)
    thread.start()
    if not ready.wait(15):
        raise RuntimeError("the harness did not start")
    url, token, scope = found
    try:
        yield Harness(url=url, world=made, token=token)
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=token)
        thread.join(10)
