"""Helix: creating, listing and deleting EventSub subscriptions."""

from quart import Response, request
from quart_trio import QuartTrio

from .eventsub import EventSub
from .eventsub_subscriptions import Refused
from .helix import Helix, add_route, argument, as_json, body_object, page
from .options import SandboxOptions, stamp

_FILTERS = ("status", "type", "user_id", "subscription_id", "conduit_id")


class SubscriptionCalls:
    def __init__(self, helix: Helix, eventsub: EventSub, options: SandboxOptions) -> None:
        self._helix = helix
        self._eventsub = eventsub
        self._options = options

    def add_to(self, app: QuartTrio) -> None:
        add_route(app, "/eventsub/subscriptions", "POST", self._create_subscription)
        add_route(app, "/eventsub/subscriptions", "GET", self._list_subscriptions)
        add_route(app, "/eventsub/subscriptions", "DELETE", self._delete_subscription)

    async def _create_subscription(self) -> Response:
        made = self._eventsub.subscribe(self._helix.token(), await body_object())
        item = made.item()
        item["transport"]["connected_at"] = stamp(made.session.connected_at)
        return as_json(202, data=[item], **self._totals())

    def _totals(self) -> dict[str, int]:
        subscriptions = self._eventsub.subscriptions
        return {
            "total": len(subscriptions.visible_to(self._helix.token())),
            "total_cost": subscriptions.total_cost(self._helix.token()),
            "max_total_cost": self._options.max_total_cost,
        }

    async def _list_subscriptions(self) -> Response:
        given = {k: v for k in _FILTERS if (v := request.args.get(k))}
        if len(given) > 1:
            raise Refused(400, "only one filter may be given")
        found = self._eventsub.subscriptions.visible_to(self._helix.token())
        if status := given.get("status"):
            found = [s for s in found if s.status == status]
        if kind := given.get("type"):
            found = [s for s in found if s.type == kind]
        if user_id := given.get("user_id"):
            found = [s for s in found if user_id in s.condition.values()]
        if subscription_id := given.get("subscription_id"):
            found = [s for s in found if s.id == subscription_id]
        return page([s.listed() for s in found], default=100, most=100, **self._totals())

    async def _delete_subscription(self) -> Response:
        found = self._eventsub.subscriptions.get(argument("id"))
        if found is None or found not in self._eventsub.subscriptions.visible_to(
            self._helix.token()
        ):
            raise Refused(404, "subscription not found")
        self._eventsub.unsubscribe(found)
        return Response("", 204)
