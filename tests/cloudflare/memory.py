"""The two stores that cloudflare/ is given, in memory; a test may kill at each of their points."""

import itertools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import trio

from streampai.cloudflare import LiveInput
from streampai.errors import StorageUnavailable


@attrs.frozen
class MemoryIntent:
    id: int
    kind: str
    key: str
    details: Mapping[str, Any]


class MemoryIntents:
    def __init__(self) -> None:
        self.rows: dict[int, MemoryIntent] = {}
        self.results: dict[int, tuple[str, Mapping[str, Any]]] = {}
        self.point: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.broken = False
        self._numbers = itertools.count(1)

    async def begin(self, kind: str, key: str, details: Mapping[str, Any]) -> int:
        await self._reach()
        intent = MemoryIntent(next(self._numbers), kind, key, dict(details))
        self.rows[intent.id] = intent
        await self.point()
        return intent.id

    async def finish(self, intent_id: int, outcome: str, result: Mapping[str, Any]) -> None:
        await self._reach()
        assert intent_id in self.rows
        assert intent_id not in self.results, "finished twice"
        self.results[intent_id] = (outcome, dict(result))
        await self.point()

    async def open(self) -> Sequence[MemoryIntent]:
        await self._reach()
        return [row for row in self.rows.values() if row.id not in self.results]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(self.rows[id_].kind, outcome) for id_, (outcome, _) in self.results.items()]

    def text(self) -> str:
        """Everything that would be on disk."""
        return json.dumps([attrs.asdict(row) for row in self.rows.values()]) + json.dumps(
            [list(result) for result in self.results.values()]
        )

    async def _reach(self) -> None:
        await self.point()
        if self.broken:
            raise StorageUnavailable


class MemoryStore:
    def __init__(self, live_input: LiveInput | None = None) -> None:
        self.live_input = live_input
        self.point: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.broken = False
        self.saves = 0

    async def get(self) -> LiveInput | None:
        await self.point()
        return self.live_input

    async def save(self, live_input: LiveInput) -> None:
        await self.point()
        if self.broken:
            raise StorageUnavailable
        self.live_input = live_input
        self.saves += 1
        await self.point()
