"""What happened: events of the past, newest page first, and the shows."""

from datetime import datetime

import orjson
from quart import request
from quart.typing import ResponseReturnValue

from ..errors import BadRequest
from ..storage import StreamSession
from .app import json_response
from .login import Visit
from .route import Route
from .services import WebServices

DEFAULT_PAGE, LARGEST_PAGE = 100, 500
_PAGE = f"At most {LARGEST_PAGE}; {DEFAULT_PAGE} when left out."


class HistoryRoutes:
    def __init__(self, services: WebServices) -> None:
        self._storage = services.storage

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/api/events",
                handler=self.events,
                summary="Events of all topics, oldest first within the page.",
                query={
                    "before": "Only events whose sequence is below this: `next` of a page.",
                    "limit": _PAGE,
                },
                answers={200: "`events`, and `next`, null on the last page."},
            ),
            Route(
                method="GET",
                path="/api/streams",
                handler=self.streams,
                summary="Shows, newest first, with their summaries.",
                query={"limit": _PAGE},
                answers={200: "`streams`."},
            ),
        )

    async def events(self, visit: Visit) -> ResponseReturnValue:
        limit = _number("limit", LARGEST_PAGE) or DEFAULT_PAGE
        rows = await self._storage.events.page(
            visit.user_id, before_sequence=_number("before", 2**53), limit=limit
        )
        more = orjson.loads(rows[0])["sequence"] if len(rows) == limit else None
        return json_response({"events": [orjson.Fragment(row) for row in rows], "next": more})

    async def streams(self, visit: Visit) -> ResponseReturnValue:
        limit = _number("limit", LARGEST_PAGE) or DEFAULT_PAGE
        shows = await self._storage.streams.recent(visit.user_id, limit)
        return json_response({"streams": [_show(show) for show in shows]})


def _number(name: str, largest: int) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or not 1 <= int(text) <= largest:
        raise BadRequest(f"{name} must be a whole number from 1 to {largest:,}.", errors=[name])
    return int(text)


def _show(show: StreamSession) -> dict[str, object]:
    return {
        "id": show.id,
        "phase": show.phase,
        "platforms": list(show.platforms),
        "started_at": _iso(show.started_at),
        "ended_at": _iso(show.ended_at),
        "reason": show.reason,
        "summary": dict(show.summary),
    }


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
