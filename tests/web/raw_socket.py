"""A WebSocket client of its own, which can also do what no honest client does."""

import os
from contextlib import suppress
from typing import Any

import orjson
import trio

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Closed(Exception):
    """The server has closed: with a close frame's code and reason, or (0, "") without one."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)


def handshake(port: int, headers: dict[str, str], path: str = "/connection/websocket") -> bytes:
    lines = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, mask: bool = True) -> bytes:
    size = len(payload)
    head = bytearray([(0x80 if fin else 0) | opcode])
    masked = 0x80 if mask else 0
    if size < 126:
        head.append(masked | size)
    elif size < 65_536:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if not mask:
        return bytes(head) + payload
    key = os.urandom(4)
    repeated = key * (size // 4 + 1)
    body = bytes(a ^ b for a, b in zip(payload, repeated, strict=False))
    return bytes(head) + key + body


class RawSocket:
    """``answers_pings`` False makes it mute; ``frames`` counts text frames that came."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.answers_pings = True
        self.answers_close = True
        self.frames = 0
        self.head = b""
        self._buffer = bytearray()
        self._messages: list[Any] = []
        self._id = 0

    @classmethod
    async def open(
        cls, stream: trio.SocketStream, port: int, headers: dict[str, str]
    ) -> "RawSocket":
        socket = cls(stream)
        await stream.send_all(handshake(port, headers))
        await socket.read_head()
        return socket

    async def read_head(self) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self.head, self._buffer = head, bytearray(rest)
        return head

    async def say(self, *commands: dict[str, Any]) -> None:
        """Commands in one frame, each numbered unless it has an id."""
        for command in commands:
            if command and "id" not in command and "send" not in command:
                self._id += 1
                command["id"] = self._id
        await self.send(b"\n".join(map(orjson.dumps, commands)))

    async def ask(self, **command: Any) -> Any:
        """One command, and its reply. Pushes that come before it are dropped."""
        await self.say(command)
        while (reply := await self.next()).get("id") != command["id"]:
            pass
        return reply

    async def send(self, payload: bytes, opcode: int = TEXT) -> None:
        await self.stream.send_all(frame(payload, opcode))

    async def next(self) -> Any:
        """The next reply or push; pings are answered and not given. Raises Closed."""
        while True:
            while not self._messages:
                opcode, payload = await self.read_frame()
                if opcode == TEXT:
                    self.frames += 1
                    self._messages = [orjson.loads(line) for line in payload.split(b"\n")]
            message = self._messages.pop(0)
            if message:
                return message
            if self.answers_pings:
                await self.send(b"{}")

    async def closed(self) -> tuple[int, str]:
        """Reads until the server closes, answers its close frame, and gives code and reason."""
        while True:
            try:
                await self.next()
            except Closed as closed:
                return closed.code, closed.reason

    async def closed_after_connect(self) -> tuple[int, str]:
        await self.say({"connect": {}})
        return await self.closed()

    async def read_frame(self) -> tuple[int, bytes]:
        while len(self._buffer) < 2:
            await self._more()
        assert self._buffer[1] & 0x80 == 0, "servers do not mask"
        size, start = self._buffer[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            while len(self._buffer) < 2 + width:
                await self._more()
            size, start = int.from_bytes(self._buffer[2 : 2 + width], "big"), 2 + width
        while len(self._buffer) < start + size:
            await self._more()
        opcode, payload = self._buffer[0] & 0x0F, bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        if opcode == CLOSE:
            if self.answers_close:
                with suppress(trio.BrokenResourceError):
                    await self.send(payload, CLOSE)
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            raise Closed(code, payload[2:].decode())
        return opcode, payload

    async def _more(self) -> None:
        try:
            data = await self.stream.receive_some()
        except trio.BrokenResourceError:
            data = b""
        if not data:
            raise Closed(0, "")
        self._buffer += data
