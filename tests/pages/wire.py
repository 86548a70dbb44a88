"""The server side of the Centrifuge protocol, as much of it as the page uses.

A topic numbers its publications within one epoch and keeps the last hundred;
``subscribe`` answers with exactly what a returning client missed, or with a
snapshot and not recovered.
"""

import json
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

HISTORY = 100
PING_INTERVAL = 5
RETAINED_WORDS = ("platform:", "stream_lifecycle:")


@attrs.define(eq=False)
class Topic:
    epoch: str = attrs.field(factory=lambda: uuid.uuid4().hex[:8])
    offset: int = 0
    retained: deque[tuple[int, Any]] = attrs.field(factory=lambda: deque(maxlen=HISTORY))
    listeners: list["Connection"] = attrs.field(factory=list)


@attrs.define(eq=False)
class Connection:
    """One browser's socket: frames go out through ``send``, one synchronous call each."""

    send: Callable[[str], None]
    close: Callable[[int, str], None]
    client: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    topics: set[str] = attrs.field(factory=set)


@attrs.define(eq=False)
class Broker:
    snapshot: Callable[[str], Any]
    topics: dict[str, Topic] = attrs.field(factory=dict)
    connections: list[Connection] = attrs.field(factory=list)

    def topic(self, name: str) -> Topic:
        return self.topics.setdefault(name, Topic())

    def publish(self, name: str, data: Any) -> None:
        topic = self.topic(name)
        topic.offset += 1
        topic.retained.append((topic.offset, data))
        push = {"push": {"channel": name, "pub": {"data": data, "offset": topic.offset}}}
        for connection in topic.listeners:
            connection.send(json.dumps(push))

    def restart(self) -> None:
        """As after a restart without memory: new epochs, so that nobody can recover."""
        for topic in self.topics.values():
            topic.epoch = uuid.uuid4().hex[:8]

    def leave(self, connection: Connection) -> None:
        self.connections.remove(connection)
        for name in connection.topics:
            self.topic(name).listeners.remove(connection)

    def receive(self, connection: Connection, frame: str) -> None:
        for line in frame.split("\n"):
            command = json.loads(line)
            if command:
                connection.send(
                    json.dumps({"id": command["id"], **self._answer(connection, command)})
                )

    def _answer(self, connection: Connection, command: dict[str, Any]) -> dict[str, Any]:
        if "connect" in command:
            self.connections.append(connection)
            return {"connect": {"client": connection.client, "ping": PING_INTERVAL, "pong": True}}
        if "subscribe" in command:
            return {"subscribe": self._subscribe(connection, command["subscribe"])}
        if "unsubscribe" in command:
            name = command["unsubscribe"]["channel"]
            connection.topics.discard(name)
            self.topic(name).listeners.remove(connection)
            return {"unsubscribe": {}}
        return {"error": {"code": 104, "message": "method not found"}}

    def _subscribe(self, connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
        name = request["channel"]
        topic = self.topic(name)
        connection.topics.add(name)
        topic.listeners.append(connection)
        reply = {"recoverable": True, "positioned": True, "epoch": topic.epoch}
        if request.get("recover"):
            reply["was_recovering"] = True
            after = request.get("offset", 0)
            missed = [(offset, data) for offset, data in topic.retained if offset > after]
            whole = missed[0][0] == after + 1 if missed else after == topic.offset
            if request.get("epoch", "") == topic.epoch and whole:
                publications = [{"data": data, "offset": offset} for offset, data in missed]
                return {**reply, "recovered": True, "offset": after, "publications": publications}
        return {**reply, "offset": topic.offset, "data": self._snapshot(name, topic)}

    def _snapshot(self, name: str, topic: Topic) -> Any:
        if name.startswith(RETAINED_WORDS):
            return {"events": [{"offset": offset, "data": data} for offset, data in topic.retained]}
        return self.snapshot(name)
