"""Each known trap of the servers beneath, and each way a client can be hostile: bounded and survived."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import pytest
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from streampai.telemetry.events import BrowserDisconnected
from streampai.web import browser as browser_module
from streampai.web import conversation, edge
from streampai.web.connection import Connection, ServerConfig
from tests.web.raw_socket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    RawSocket,
    frame,
    handshake,
)
from tests.web.site import Site, Visitor, eventually, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    environment = {"STREAMPAI_PING_INTERVAL": "1000", "STREAMPAI_MAX_CLIENT_QUEUE": "65536"}
    async with open_site(tmp_path, environment) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    return await site.visitor()


async def goodbye(site: Site) -> tuple[int, str]:
    """Code and reason of the browser that has left; nothing of it is left behind."""
    await eventually(lambda: any(isinstance(e, BrowserDisconnected) for e in site.events))
    [event] = [e for e in site.events if isinstance(e, BrowserDisconnected)]
    await eventually(lambda: not site.server.connections)
    assert site.manager.present == []
    return event.code, event.reason


async def still_serves(site: Site) -> None:
    stream = await site.connection()
    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")


# --- readers that do not read ---------------------------------------------------


def publish_much(site: Site, number: int) -> None:
    for _ in range(number):
        site.pubsub.publish("user_stream:1", b'"%b"' % (b"x" * 400))


async def test_a_browser_that_never_reads_is_dropped_as_slow_and_nobody_waits_for_it(
    site: Site, visitor: Visitor
) -> None:
    stuck, good = await site.browser(visitor), await site.browser(visitor)
    for socket in (stuck, good):
        await socket.ask(subscribe={"channel": "user_stream:1"})
    offsets: list[int] = []

    async def read() -> None:
        while len(offsets) < 2_000:
            message = await good.next()
            offsets.append(message["push"]["pub"]["offset"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for published in range(50, 2_001, 50):
            publish_much(site, 50)
            await eventually(lambda: len(offsets) >= published)  # noqa: B023 - called at once
    assert offsets == list(range(1, 2_001))
    await eventually(lambda: site.pubsub.subscribers("user_stream:1") == 1)
    await eventually(lambda: len(site.manager.present) == 1)
    [event] = [e for e in site.events if isinstance(e, BrowserDisconnected)]
    assert (event.code, event.reason) == (3008, "slow")


async def test_a_slow_browser_that_reads_in_time_sees_why_it_is_dropped(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.browser(visitor)
    await socket.ask(subscribe={"channel": "user_stream:1"})
    publish_much(site, 2_000)
    assert await socket.closed() == (3008, "slow")


async def test_a_browser_that_never_reads_does_not_hold_up_a_shutdown(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "CLOSE_HANDSHAKE", 0.2)
    socket = await site.browser(visitor)
    await socket.ask(subscribe={"channel": "user_stream:1"})
    for _ in range(100):
        site.pubsub.publish("user_stream:1", b'"%b"' % (b"x" * 600))
    start = trio.current_time()
    await site.stop()
    assert trio.current_time() - start < 2.5


async def test_a_download_that_is_not_read_is_cut_at_the_end_of_the_grace(
    site: Site, tmp_path: Path
) -> None:
    async with open_site(tmp_path / "two", {"STREAMPAI_SHUTDOWN_GRACE": "300"}) as other:
        await still_serves(other)
        stream = await other.connection()
        # Answers of thousands of requests, none of them read.
        with trio.move_on_after(0.5):
            while True:
                await stream.send_all(b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        start = trio.current_time()
        await other.stop()
        assert trio.current_time() - start < 1


# --- peers that are silent, or gone ----------------------------------------------


async def test_a_mute_browser_is_dropped(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    socket.answers_pings = False
    assert await socket.closed() == (3012, "no pong")


async def test_a_browser_that_answers_stays_and_is_pinged_again(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.browser(visitor)
    with trio.move_on_after(2):
        await socket.next()
    assert (await socket.ask(presence={"channel": "user_stream:1"}))["presence"] is not None


async def test_whoever_does_not_connect_in_time_is_stale(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_module, "STALE_AFTER", 0.2)
    socket = await site.socket(visitor)
    assert await socket.closed() == (3502, "stale")


async def test_a_browser_that_vanishes_leaves_nothing_behind(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    await socket.ask(subscribe={"channel": "user_stream:1"})
    await socket.stream.aclose()
    # Nothing is waited for: not even the answer to a close frame.
    with trio.fail_after(edge.CLOSE_HANDSHAKE - 0.1):
        assert await goodbye(site) == (3000, "connection closed")
    assert site.pubsub.subscribers("user_stream:1") == 0


async def test_a_browser_that_does_not_answer_our_close_frame_is_cut_off(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "CLOSE_HANDSHAKE", 0.2)
    socket = await site.browser(visitor)
    await socket.send(b"rubbish")
    await trio.sleep(0.1)
    await eventually(lambda: not site.server.connections)


async def test_idle_connections_are_closed_also_after_a_request(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make = ServerConfig.__init__

    def impatient(self: ServerConfig, *args: Any) -> None:
        make(self, *args)
        self.keep_alive_timeout = 0.3

    monkeypatch.setattr(ServerConfig, "__init__", impatient)
    async with open_site(tmp_path / "two") as other:
        stream = await other.connection()
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with trio.fail_after(2):
            while await stream.receive_some():
                pass


# --- floods, and messages that are too large --------------------------------------


async def test_a_flood_of_commands_is_ended(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "CLOSE_HANDSHAKE", 0.2)
    socket = await site.browser(visitor)
    command = {"presence": {"channel": "user_stream:1"}}
    with suppress(trio.BrokenResourceError):
        for _ in range(100):
            await socket.say(*[dict(command) for _ in range(20)])
    assert await goodbye(site) == (3013, "too many requests")


async def test_a_browser_is_given_time_to_answer_our_close_frame(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.browser(visitor)
    await socket.send(b"rubbish")
    socket.answers_close = False
    assert await socket.closed() == (3501, "bad request")
    with trio.move_on_after(0.3) as waiting:
        await socket.stream.receive_some()
    assert waiting.cancelled_caught
    await socket.send((3501).to_bytes(2, "big"), CLOSE)
    with trio.fail_after(1):
        assert await socket.stream.receive_some() == b""


async def test_whoever_still_talks_can_read_why_the_connection_ended(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.browser(visitor)
    await socket.stream.send_all(frame(b"rubbish") + frame(b"x" * 10_000) * 30)
    assert await socket.closed() == (3501, "bad request")


async def test_a_flood_of_frames_after_the_end_is_thrown_away(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "CLOSE_HANDSHAKE", 0.3)
    socket = await site.browser(visitor)
    await socket.send(b"rubbish")
    with pytest.raises(trio.BrokenResourceError):
        while True:
            await socket.stream.send_all(frame(b"x" * 10_000) * 10)
    assert await goodbye(site) == (3501, "bad request")


async def test_rpcs_that_are_not_done_are_bounded(site: Site, visitor: Visitor) -> None:
    socket = await site.browser(visitor)
    site.manager.user(1).hold = trio.Event()
    for number in range(conversation.MAX_RPCS):
        await socket.say({"rpc": {"method": "stop_stream", "data": {"id": str(number)}}})
    reply = await socket.ask(rpc={"method": "stop_stream", "data": {"id": "x"}})
    assert reply["error"] == {"code": 111, "message": "too many requests", "temporary": True}
    site.manager.user(1).hold.set()
    assert "rpc" in await socket.next()


async def test_a_message_that_is_too_large_is_refused_with_1009(
    site: Site, visitor: Visitor
) -> None:
    socket = await site.browser(visitor)
    await socket.send(b'{"id":9,"rpc":{"method":"%b"}}' % (b"x" * 70_000))
    assert await socket.closed() == (1009, "")
    assert await goodbye(site) == (1009, "message size limit")
    assert ("too_large", "websocket frame") in site.refusals


async def test_an_endless_message_does_not_fill_the_memory(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "CLOSE_HANDSHAKE", 0.3)
    socket = await site.browser(visitor)
    await socket.stream.send_all(frame(b"x" * 1_000, fin=False))
    with pytest.raises(trio.BrokenResourceError):
        while True:
            await socket.stream.send_all(frame(b"x" * 50_000, opcode=0, fin=False))
    await eventually(lambda: not site.server.connections)


async def test_compression_is_not_agreed_to(site: Site, visitor: Visitor) -> None:
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    socket = await site.socket(visitor, **headers)
    assert b"101" in socket.head and b"deflate" not in socket.head


# --- bytes that make no sense -------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "opcode"),
    [
        (b"", TEXT),
        (b"", BINARY),
        (b"rubbish", TEXT),
        (b'{"id":1,"ping":{}}', TEXT),
        (b"{}", TEXT),
        (b'{"id":2,"connect":{}}', TEXT),
        (b'{"id":2,"subscribe":{"channel":""}}', TEXT),
        (b"\xff", BINARY),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(
    site: Site, visitor: Visitor, payload: bytes, opcode: int
) -> None:
    socket = await site.browser(visitor)
    await socket.send(payload, opcode)
    assert await socket.closed() == (3501, "bad request")
    assert ("bad_request", "websocket frame") in site.refusals


async def test_json_in_a_binary_frame_is_as_good_as_in_text(site: Site, visitor: Visitor) -> None:
    socket = await site.socket(visitor)
    await socket.send(b'{"id":1,"connect":{}}', BINARY)
    assert "connect" in await socket.next()


async def test_anything_before_connect_breaks_the_protocol(site: Site, visitor: Visitor) -> None:
    socket = await site.socket(visitor)
    await socket.say({"subscribe": {"channel": "user_stream:1"}})
    assert await socket.closed() == (3501, "bad request")


@pytest.mark.parametrize(
    "garbage",
    [
        frame(b"{}", mask=False),
        b"\xff" * 100,
        frame(b"x" * 200, PING),
        frame(b"\xff", TEXT),
        frame(b"\x00", CLOSE),
        frame(b"x", opcode=0),
        frame(b"x", PONG, fin=False),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=[
        "unmasked",
        "ones",
        "long ping",
        "no utf-8",
        "bad close",
        "continuation",
        "split pong",
        "http",
    ],
)
async def test_bytes_that_are_no_frame_end_only_this_connection(
    site: Site, visitor: Visitor, garbage: bytes
) -> None:
    socket = await site.browser(visitor)
    await socket.stream.send_all(garbage)
    with trio.fail_after(5):
        await socket.closed()
    await goodbye(site)
    await still_serves(site)


@pytest.mark.parametrize("more", [b"", b"y" * 100], ids=["silent", "talking"])
async def test_bytes_behind_the_handshake_refuse_it_and_leave_nothing_open(
    site: Site, visitor: Visitor, caplog: pytest.LogCaptureFixture, more: bytes
) -> None:
    stream = await site.connection()
    head = handshake(site.port, {"Cookie": f"streampai={visitor.token}"})
    await stream.send_all(head + b"x")
    socket = RawSocket(stream)
    assert b"400" in await socket.read_head()
    await stream.send_all(more)
    await eventually(lambda: not site.server.connections)
    await still_serves(site)
    assert caplog.records == [], "it is nothing that an operator could do anything about"


async def test_bytes_behind_a_handshake_that_is_refused_do_no_harm(site: Site) -> None:
    for _ in range(5):
        stream = await site.connection()
        await stream.send_all(handshake(site.port, {"Origin": "https://evil.example"}))
        for _ in range(20):
            try:
                await stream.send_all(b"x" * 100)
            except trio.BrokenResourceError:
                break
    await still_serves(site)
    await eventually(lambda: not site.server.connections)


async def test_a_handshake_that_is_answered_late_is_refused_as_well(site: Site) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep(0.1)
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        assert scope[edge.DOORWAY].ended

    async def serve(stream: trio.SocketStream) -> None:
        app = ASGIWrapper(edge.Edge(late, max_message=1_000))
        config = ServerConfig(site.settings.web)
        await Connection(app, config, WorkerContext(None), ConnectionState({}), stream).run()  # type: ignore[arg-type]

    listeners = await site.nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(handshake(port, {}) + b"x")
    socket = RawSocket(stream)
    assert b"400" in await socket.read_head()
    with trio.fail_after(2):
        assert await stream.receive_some() == b""
    await stream.aclose()


def http2(path: bytes) -> bytes:
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", path)]
    client.send_headers(1, headers, end_stream=True)
    return client.data_to_send()


@pytest.mark.parametrize(
    "packet",
    [
        http2(b"/"),
        http2(b"/\xff\xfe"),
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"HTTP2-Settings: !!!!a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
        handshake(1, {"Sec-WebSocket-Version": "7"}),
        handshake(1, {"Upgrade": "websocket, x"}),
        handshake(1, {"Sec-WebSocket-Extensions": "permessage-deflate; x=\xff"}),
    ],
    ids=["h2", "h2 path", "h2c", "path", "tls", "length", "version", "upgrade", "extensions"],
)
async def test_one_packet_cannot_take_the_server_down(site: Site, packet: bytes) -> None:
    stream = await site.connection()
    await stream.send_all(packet)
    with trio.move_on_after(0.3):
        await stream.receive_some()
    await still_serves(site)


async def test_a_wish_for_http2_is_ignored(site: Site) -> None:
    stream = await site.connection()
    await stream.send_all(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


# --- faults of ours, and limits --------------------------------------------------------


async def test_a_fault_in_a_handler_closes_with_1011_and_is_logged_once(
    site: Site, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await site.browser(visitor)

    def broken(topic: str) -> bytes:
        raise LookupError("a bug")

    site.manager.user(1).topic_snapshot = broken  # type: ignore[method-assign]
    await socket.say({"subscribe": {"channel": "user_stream:1"}})
    assert await socket.closed() == (1011, "internal error")
    assert await goodbye(site) == (1011, "internal error")
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info and "a bug" in str(record.exc_text or record.exc_info[1].exceptions)  # type: ignore[union-attr]
    await still_serves(site)


async def test_connections_beyond_the_limit_are_closed_at_once(
    site: Site, visitor: Visitor
) -> None:
    await eventually(lambda: not site.server.connections)
    site.server.max_connections = 1
    socket = await site.browser(visitor)
    stream = await site.connection()
    with trio.fail_after(2):
        assert await stream.receive_some() == b""
    assert ("too_many_connections", "accept") in site.refusals
    await socket.stream.aclose()
    await eventually(lambda: not site.server.connections)
    await still_serves(site)
