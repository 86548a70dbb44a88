"""WebSocket clients against real loopback servers, well-behaved and otherwise."""

import base64
import datetime
import functools
import hashlib
import ipaddress
import os
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio_websocket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from streampai.runtime import WebSocketClosed, WebSocketFailed, open_websocket

connect = functools.partial(open_websocket, connect_timeout=5)


@asynccontextmanager
async def library_server(handler, ssl_context=None):
    """A server by trio-websocket; yields its port."""

    async def serve(request):
        connection = await request.accept()
        with suppress(trio_websocket.ConnectionClosed):
            await handler(connection)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            lambda task_status: trio_websocket.serve_websocket(
                serve, "127.0.0.1", 0, ssl_context, task_status=task_status
            )
        )
        yield server.port
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def raw_server(handler, *, handshake=True):
    """A server that speaks bytes; yields its URL."""

    async def serve(stream):
        async with stream:
            request = b""
            while handshake and b"\r\n\r\n" not in request:
                request += await stream.receive_some(4096)
            if handshake:
                (key,) = [
                    line.split(b":", 1)[1].strip()
                    for line in request.split(b"\r\n")
                    if line.lower().startswith(b"sec-websocket-key")
                ]
                digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                await stream.send_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                    + base64.b64encode(digest)
                    + b"\r\n\r\n"
                )
            with suppress(trio.BrokenResourceError):
                await handler(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            functools.partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        )
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/feed?token=s3cret"
        nursery.cancel_scope.cancel()


async def echo(connection):
    while True:
        await connection.send_message(await connection.get_message())


async def until_gone(stream):
    while await stream.receive_some(4096):
        pass


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def test_texts_and_bytes_go_to_and_fro_even_empty_ones():
    async with library_server(echo) as port, connect(f"ws://127.0.0.1:{port}") as socket:
        for message in ("text", "", b"bytes", b"", "ünï", "x" * 100_000):
            await socket.send(message)
            assert await socket.receive() == message


async def test_path_query_and_headers_reach_the_server():
    seen = {}

    async def serve(request):
        seen["path"] = request.path
        seen["headers"] = dict(request.headers)
        await request.accept()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            lambda task_status: trio_websocket.serve_websocket(
                serve, "127.0.0.1", 0, None, task_status=task_status
            )
        )
        url = f"ws://127.0.0.1:{server.port}/a/b?c=d"
        async with connect(url, headers=[("X-Client", "streampai")]):
            pass
        nursery.cancel_scope.cancel()
    assert seen["path"] == "/a/b?c=d"
    assert seen["headers"][b"x-client"] == b"streampai"


async def test_a_close_from_the_far_side_tells_code_and_reason_after_what_came_before():
    async def handler(connection):
        await connection.send_message("last words")
        await connection.aclose(4003, "unused")

    async with library_server(handler) as port:
        with pytest.raises(WebSocketClosed) as caught:
            async with connect(f"ws://127.0.0.1:{port}") as socket:
                assert await socket.receive() == "last words"
                await socket.receive()
        assert (caught.value.code, caught.value.reason) == (4003, "unused")


async def test_the_socket_is_closed_even_when_the_far_side_closed_first():
    gone = trio.Event()

    async def handler(stream):
        await stream.send_all(b"\x88\x02\x0f\xa1")
        await until_gone(stream)
        gone.set()

    before = descriptors()
    async with raw_server(handler) as url:
        with pytest.raises(WebSocketClosed) as caught:
            async with connect(url) as socket:
                await socket.receive()
        assert caught.value.code == 4001
        with trio.fail_after(5):
            await gone.wait()
    assert descriptors() == before


async def test_a_broken_connection_is_1006():
    async def handler(stream):
        await stream.send_all(b"\x81\x02hi")

    async with raw_server(handler) as url:
        with pytest.raises(WebSocketClosed) as caught:
            async with connect(url) as socket:
                assert await socket.receive() == "hi"
                await socket.receive()
        assert caught.value.code == 1006
        with pytest.raises(WebSocketClosed):
            async with connect(url) as socket:
                while True:
                    await socket.send("x")
                    await trio.sleep(0.01)


async def test_nobody_listening_is_a_failure():
    with trio.socket.socket() as placeholder:
        await placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        with pytest.raises(WebSocketFailed):
            async with connect(f"ws://127.0.0.1:{port}"):
                pytest.fail("connected to nobody")


async def test_a_refused_handshake_tells_its_status_and_no_secret():
    async def serve(stream):
        await stream.receive_some(4096)
        await stream.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await until_gone(stream)

    async with raw_server(serve, handshake=False) as url:
        with pytest.raises(WebSocketFailed) as caught:
            async with connect(url):
                pass
        assert caught.value.status == 403
        assert "s3cret" not in str(caught.value) and "403" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Extensions: \xff\r\n\r\n",
    ],
)
async def test_a_server_that_hangs_up_or_talks_rubbish_is_a_failure_at_once(answer):
    async def handler(stream):
        await stream.receive_some(4096)
        await stream.send_all(answer)

    async with raw_server(handler, handshake=False) as url:
        with trio.fail_after(3), pytest.raises(WebSocketFailed) as caught:
            async with connect(url):
                pass
        assert caught.value.status == 0


async def test_a_mute_server_is_given_up_in_time():
    before = descriptors()
    async with raw_server(until_gone, handshake=False) as url:
        start = trio.current_time()
        with pytest.raises(WebSocketFailed, match="no handshake"):
            async with open_websocket(url, connect_timeout=0.1):
                pass
        assert trio.current_time() - start < 1
    assert descriptors() == before


async def test_leaving_a_mute_server_takes_no_longer_than_allowed():
    async with raw_server(until_gone) as url:
        start = trio.current_time()
        async with connect(url, disconnect_timeout=0.1):
            pass
        assert 0.1 <= trio.current_time() - start < 1


async def test_a_normal_end_says_goodbye():
    got, ended = [], trio.Event()

    async def handler(connection):
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await connection.get_message()
        got.append(closed.value.reason.code)
        ended.set()

    async with library_server(handler) as port:
        async with connect(f"ws://127.0.0.1:{port}"):
            pass
        with trio.fail_after(2):
            await ended.wait()
    assert got == [1000]


async def test_a_ping_during_the_closing_harms_nobody():
    # In trio-websocket it ends the reader, and its Cancelled the caller's siblings.
    async def handler(stream):
        await stream.receive_some(100)
        await stream.send_all(b"\x89\x01p")
        await until_gone(stream)

    story = []

    async def sibling():
        await trio.sleep(0.3)
        story.append("sibling lived")

    async def client():
        async with connect(url, disconnect_timeout=5):
            pass
        story.append("client left")

    async with raw_server(handler) as url:
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sibling)
            nursery.start_soon(client)
        # Nor does it wait for an answer to its close that nobody would read.
        assert trio.current_time() - start < 2
    assert story == ["client left", "sibling lived"]


async def test_a_protocol_error_is_an_end_with_a_code():
    async def handler(stream):
        await stream.send_all(b"\xff\xff\xff\xff")
        await until_gone(stream)

    async with raw_server(handler) as url:
        with pytest.raises((WebSocketClosed, WebSocketFailed)):
            async with connect(url) as socket:
                await socket.receive()


async def test_pings_are_answered_while_the_receiver_is_busy():
    ponged = trio.Event()

    async def handler(connection):
        for _ in range(50):
            await connection.send_message("x")
        await connection.ping()
        ponged.set()

    async with library_server(handler) as port, connect(f"ws://127.0.0.1:{port}") as socket:
        with trio.fail_after(5):
            await ponged.wait()
        assert await socket.receive() == "x"


async def test_too_large_a_message_closes_with_1009():
    async def handler(connection):
        await connection.send_message("x" * 2000)
        await connection.get_message()

    async with library_server(handler) as port:
        with pytest.raises(WebSocketClosed) as caught:
            async with connect(f"ws://127.0.0.1:{port}", max_message_size=1000) as socket:
                await socket.receive()
        assert caught.value.code == 1009


async def test_an_exception_in_the_block_comes_out_as_it_is_and_the_socket_is_closed():
    before = descriptors()
    async with library_server(echo) as port:
        error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError) as caught:
            async with connect(f"ws://127.0.0.1:{port}"):
                raise error
        assert caught.value is error
    assert descriptors() == before


async def test_cancelled_it_leaves_at_once():
    async with raw_server(until_gone) as url:
        start = trio.current_time()
        with trio.move_on_after(0.1) as scope:
            async with connect(url, disconnect_timeout=5) as socket:
                await socket.receive()
        assert scope.cancelled_caught
        assert trio.current_time() - start < 1


async def test_cancelled_while_connecting_it_leaves_no_socket_behind():
    before = descriptors()
    async with raw_server(until_gone, handshake=False) as url:
        with trio.move_on_after(0.05) as scope:
            async with connect(url):
                pass
        assert scope.cancelled_caught
    assert descriptors() == before


async def test_a_cancelled_receive_loses_nothing():
    async with library_server(echo) as port, connect(f"ws://127.0.0.1:{port}") as socket:
        with trio.move_on_after(0.05):
            await socket.receive()
        await socket.send("kept")
        assert await socket.receive() == "kept"


async def test_after_a_send_cancelled_half_way_it_is_unusable():
    async def never_read(stream):
        await trio.sleep_forever()

    async with raw_server(never_read) as url, connect(url, disconnect_timeout=0.1) as socket:
        with trio.move_on_after(0.2) as scope:
            while True:
                await socket.send("x" * 1_000_000)
        assert scope.cancelled_caught
        for ask in (socket.send("y"), socket.receive()):
            with pytest.raises(WebSocketFailed, match="half-way"):
                await ask


@pytest.mark.parametrize("url", ["http://h/", "ws:///x", "localhost:1", ""])
async def test_other_urls_are_refused(url):
    with pytest.raises(ValueError):
        async with connect(url):
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server.load_cert_chain(path)
    client.load_verify_locations(path)
    return server, client


async def test_tls_with_a_shared_context(certificate):
    server, client = certificate
    before = descriptors()
    async with library_server(echo, server) as port:
        for _ in range(2):
            async with connect(f"wss://127.0.0.1:{port}", ssl_context=client) as socket:
                await socket.send("secret")
                assert await socket.receive() == "secret"
    assert descriptors() == before


async def test_an_unknown_certificate_is_a_failure(certificate):
    server, _ = certificate
    before = descriptors()

    async def handshake_only(stream):
        with pytest.raises(trio.BrokenResourceError):
            await trio.SSLStream(stream, server, server_side=True).do_handshake()

    async with raw_server(handshake_only, handshake=False) as url:
        with pytest.raises(WebSocketFailed, match="(?i)certificate"):
            async with connect(url.replace("ws:", "wss:")):
                pass
    assert descriptors() == before
