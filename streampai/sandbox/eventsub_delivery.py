"""From an event to the frames that wait for its subscribers, and the books of who got it."""

import random
from collections import deque
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from .agenda import Agenda
from .eventsub_session import Delivery, Frame, Session, envelope
from .eventsub_subscriptions import Subscription, Subscriptions
from .eventsub_trouble import EventSubKnobs, malformed
from .options import stamp
from .twitch_models import Channel

# Per channel; long enough for a storm of chat to be compared event by event.
DELIVERIES_KEPT = 20_000


class Dispatcher:
    """Plain calls: an event is in its subscribers' queues, and in the books, when ``emit`` returns."""

    def __init__(
        self,
        agenda: Agenda,
        subscriptions: Subscriptions,
        knobs: EventSubKnobs,
        rng: random.Random,
    ) -> None:
        self._agenda = agenda
        self._subscriptions = subscriptions
        self._knobs = knobs
        self._rng = rng
        self._number = 0
        self.books: dict[str, deque[Delivery]] = {}

    def emit(
        self, kind: str, channel: Channel, event: Mapping[str, Any], *, id: str = "", act: str = ""
    ) -> Delivery:
        """One event of ``channel`` for everybody subscribed. ``act`` joins the events of one act."""
        self._number += 1
        delivery = Delivery(number=self._number, kind=kind, id=id, act=act, at=stamp())
        book = self.books.setdefault(channel.owner.login, deque(maxlen=DELIVERIES_KEPT))
        book.append(delivery)
        for subscription in self._subscriptions.enabled_for(kind, channel.owner.id):
            if _concerns(subscription, channel, event):
                self._deliver(subscription, event, delivery)
        return delivery

    def _deliver(
        self, subscription: Subscription, event: Mapping[str, Any], delivery: Delivery
    ) -> None:
        frame = Frame(self._notification(subscription, event, delivery), delivery)
        delay = self._knobs.late_seconds if self._happens(self._knobs.late) else 0.0
        self._agenda.after(delay, lambda: self._send(subscription, frame))
        if self._happens(self._knobs.repeat):
            again = Frame(self._notification(subscription, event, delivery))
            self._agenda.after(delay, lambda: self._send(subscription, again))

    def _notification(
        self, subscription: Subscription, event: Mapping[str, Any], delivery: Delivery
    ) -> str:
        message_id = str(uuid4())
        delivery.message_ids.append(message_id)
        return envelope(
            "notification",
            {"subscription": subscription.item(), "event": event},
            message_id=message_id,
            subscription_type=subscription.type,
            subscription_version=subscription.version,
        )

    def _send(self, subscription: Subscription, frame: Frame) -> None:
        session = subscription.session
        if session.overtaken is None and self._happens(self._knobs.reorder):
            session.overtaken = frame
            self._agenda.after(0.2, lambda: _let_pass(session, frame))
            return
        session.send(frame)
        if self._happens(self._knobs.duplicate):
            session.send(Frame(frame.text))
        if self._happens(self._knobs.malformed):
            session.send(Frame(self._rng.choice(malformed(subscription))))
        if session.overtaken is not None:
            _let_pass(session, session.overtaken)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def state(self, last: int) -> dict[str, list[dict[str, Any]]]:
        return {
            login: [_entry(delivery) for delivery in list(book)[-last:]]
            for login, book in self.books.items()
        }


def _entry(delivery: Delivery) -> dict[str, Any]:
    return {
        "number": delivery.number,
        "kind": delivery.kind,
        "id": delivery.id or next(iter(delivery.message_ids), ""),
        "act": delivery.act,
        "at": delivery.at,
        "message_ids": delivery.message_ids,
        "delivered": delivery.delivered > 0,
    }


def _let_pass(session: Session, frame: Frame) -> None:
    if session.overtaken is frame:
        session.overtaken = None
        session.send(frame)


def _concerns(subscription: Subscription, channel: Channel, event: Mapping[str, Any]) -> bool:
    condition = subscription.condition
    if subscription.type == "channel.raid":
        # The same raid is two events: one for where it comes from, one for where it goes.
        incoming = event["to_broadcaster_user_id"] == channel.owner.id
        side = "to" if incoming else "from"
        return condition[f"{side}_broadcaster_user_id"] == channel.owner.id
    reward = condition.get("reward_id", "")
    return not reward or event.get("reward", {}).get("id") == reward
