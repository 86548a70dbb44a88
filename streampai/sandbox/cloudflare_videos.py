"""Videos and what Cloudflare's own player is told of a live input."""

from collections.abc import Callable
from typing import Any

import orjson
from quart import Response, request

from .cloudflare_envelope import ApiError, answer, checked_id, success
from .cloudflare_models import LiveInput
from .cloudflare_state import CloudflareState

Route = Callable[[str, str, Callable[..., Any]], None]


class VideoCalls:
    """Recordings exist only of inputs that record."""

    def __init__(self, state: CloudflareState, find: Callable[[str], LiveInput]) -> None:
        """``find`` raises ApiError when there is no such input."""
        self._state = state
        self._input = find

    def add_to(self, route: Route, stream: str) -> None:
        route(f"{stream}/live_inputs/<uid>/videos", "GET", self._input_videos)
        route(stream, "GET", self._list_videos)
        route(f"{stream}/storage-usage", "GET", self._storage_usage)
        route(f"{stream}/<uid>", "GET", self._get_video)
        route(f"{stream}/<uid>", "DELETE", self._delete_video)
        route("/<uid>/lifecycle", "GET", self._lifecycle)
        route("/<uid>/views", "GET", self._views)

    async def _input_videos(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        return success([v for v in self._state.videos.values() if v["liveInput"] == live.uid])

    async def _list_videos(self, account: str) -> Response:
        args = request.args
        found = list(self._state.videos.values())
        if status := args.get("status"):
            found = [v for v in found if v["status"]["state"] == status]
        if args.get("type") == "live":
            found = [v for v in found if v["liveInput"]]
        if uid := args.get("live_input_id"):
            found = [v for v in found if v["liveInput"] == uid]
        if creator := args.get("creator"):
            found = [v for v in found if v["creator"] == creator]
        if args.get("asc") != "true":
            found.reverse()
        try:
            limit = min(int(args.get("limit", "1000")), 1000)
        except ValueError:
            raise ApiError(400, 10005, "limit must be a number") from None
        return success(found[:limit])

    async def _storage_usage(self, account: str) -> Response:
        finished = [v for v in self._state.videos.values() if v["duration"] > 0]
        minutes = sum(v["duration"] for v in finished) / 60
        usage = {"totalStorageMinutes": minutes, "totalStorageMinutesLimit": 1000}
        return success({**usage, "videoCount": len(finished)})

    def _video(self, uid: str) -> dict[str, Any]:
        video = self._state.videos.get(checked_id(uid))
        if video is None:
            raise ApiError(404, 10003, "not found")
        return video

    async def _get_video(self, account: str, uid: str) -> Response:
        return success(self._video(uid))

    async def _delete_video(self, account: str, uid: str) -> Response:
        if self._video(uid)["duration"] == -1:
            raise ApiError(409, 10046, "this video is live")
        del self._state.videos[uid]
        return answer(b"")

    # The customer's own host; not part of the API's budget

    async def _lifecycle(self, uid: str) -> Response:
        live = self._input(uid)
        shown = {"isInput": True, "videoUID": self._state.live_video(live)}
        return answer(orjson.dumps({**shown, "live": live.encoder is not None}))

    async def _views(self, uid: str) -> Response:
        live = self._input(uid)
        if live.settings["recording"]["hideLiveViewerCount"]:
            return answer(b"{}")
        return answer(orjson.dumps({"liveViewers": 3 if self._state.live_video(live) else 0}))
