"""For operators: is it alive, is it ready, what does it measure, what does it do."""

from quart import Response
from quart.typing import ResponseReturnValue

from .app import json_response
from .browsers import Browsers
from .route import Access, Route
from .services import WebServices

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class OperationRoutes:
    def __init__(self, services: WebServices, browsers: Browsers) -> None:
        self._services = services
        self._browsers = browsers

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/healthz",
                handler=self.alive,
                access=Access.PUBLIC,
                summary="Whether the daemon answers at all.",
                answers={200: '`{"status": "alive"}`.'},
            ),
            Route(
                method="GET",
                path="/readyz",
                handler=self.ready,
                access=Access.PUBLIC,
                summary="Whether browsers should be sent here.",
                answers={
                    200: "`status` healthy or degraded, with the reasons.",
                    503: "`status` down or draining.",
                },
            ),
            Route(
                method="GET",
                path="/metrics",
                handler=self.metrics,
                access=Access.PUBLIC,
                summary="Metrics in the Prometheus text format.",
            ),
            Route(
                method="GET",
                path="/api/tree",
                handler=self.tree,
                access=Access.OPERATOR,
                summary="The live tree of tasks, by name, with what their supervisors know of them.",
                answers={
                    200: "`tree`: nodes with `name`, `stopping`, `children`; `child` (state, age,"
                    " restarts, budget, mailbox …) if it is supervised; `supervisor` if it supervises."
                },
            ),
        )

    async def alive(self) -> ResponseReturnValue:
        return json_response({"status": "alive"})

    async def ready(self) -> ResponseReturnValue:
        health = dict(self._services.health())
        health["browsers"] = len(self._browsers)
        if self._browsers.draining:
            health["status"] = "draining"
        ready = health.get("status") in ("healthy", "degraded")
        return json_response(health, 200 if ready else 503)

    async def metrics(self) -> ResponseReturnValue:
        return Response(self._services.metrics(), content_type=METRICS_TYPE)

    async def tree(self) -> ResponseReturnValue:
        return json_response({"tree": [node.as_dict() for node in self._services.tree()]})
