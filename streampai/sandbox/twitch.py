"""Twitch on one port: OAuth, Helix, EventSub and the list of ingests."""

import orjson
from quart import Response, websocket
from quart_trio import QuartTrio

from .agenda import Agenda
from .connection import SCOPE_KEY
from .eventsub import EventSub
from .helix import Helix
from .helix_channels import ChannelCalls
from .helix_chat import ChatCalls
from .helix_subscriptions import SubscriptionCalls
from .options import SandboxOptions
from .twitch_acts import TwitchActs
from .twitch_oauth import OAuthService
from .twitch_pages import STATIC
from .twitch_state import TwitchState


class TwitchService:
    """The HTTP and WebSocket face of a :class:`TwitchState`."""

    def __init__(
        self,
        agenda: Agenda,
        state: TwitchState,
        eventsub: EventSub,
        acts: TwitchActs,
        options: SandboxOptions,
        origin: str,
    ) -> None:
        self._eventsub = eventsub
        """``origin``: scheme, host and port, for the URLs that are handed out."""
        host = origin.removeprefix("http://")
        eventsub.url = f"ws://{host}/ws"
        self._ingest = f"rtmp://{host}/app"
        helix = Helix(agenda, state, options)
        self._parts = (
            OAuthService(agenda, state, options, origin),
            helix,
            ChannelCalls(helix, state, acts),
            ChatCalls(agenda, helix, state, acts),
            SubscriptionCalls(helix, eventsub, options),
        )

    def app(self) -> QuartTrio:
        app = QuartTrio(
            "streampai.sandbox.twitch", static_folder=str(STATIC), static_url_path="/static"
        )
        for part in self._parts:
            part.add_to(app)
        app.add_url_rule("/ingests", "ingests", self._ingests)
        app.websocket("/ws")(self._socket)
        return app

    async def _ingests(self) -> Response:
        template = f"{self._ingest}/{{stream_key}}"
        ingest = {
            "_id": 1,
            "availability": 1.0,
            "default": True,
            "name": "Sandbox",
            "url_template": template,
            "url_template_secure": template,
            "priority": 0,
        }
        return Response(orjson.dumps({"ingests": [ingest]}), content_type="application/json")

    async def _socket(self) -> Response | None:
        arguments = dict(websocket.args.items())
        if not self._eventsub.admit(arguments):
            return Response("", 503)
        await websocket.accept()
        connection = websocket.scope[SCOPE_KEY]  # type: ignore[literal-required]
        await self._eventsub.serve(websocket, connection, arguments)
        return None
