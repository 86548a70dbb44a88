"""How EventSub goes wrong: close codes, what becomes of subscriptions, unreadable frames, knobs."""

from collections.abc import Mapping

import attrs

from .eventsub_session import envelope
from .eventsub_subscriptions import Subscription

# What a subscription's status becomes when its socket closed with a code.
ENDINGS: Mapping[int, str] = {
    4000: "websocket_internal_error",
    4001: "websocket_received_inbound_traffic",
    4002: "websocket_failed_ping_pong",
    4003: "websocket_connection_unused",
    4004: "websocket_failed_to_reconnect",
    4005: "websocket_network_timeout",
    4006: "websocket_network_error",
    4007: "websocket_failed_to_reconnect",
}
REASONS: Mapping[int, str] = {
    4000: "internal server error",
    4001: "sent inbound traffic",
    4002: "client failed ping pong",
    4003: "connection unused",
    4004: "client reconnect grace time expired",
    4005: "network timeout",
    4006: "network error",
    4007: "invalid reconnect",
}


@attrs.define(kw_only=True)
class EventSubKnobs:
    """Probabilities per event, 0 to 1; seconds where named so.

    ``duplicate`` resends with the same message id, ``repeat`` with another one.

    ``cut_every``: a socket is cut without a word every so many seconds on
    average; 0 never. ``refuse_sockets``: so many connection attempts are
    answered 503. ``refuse_reconnect``: reconnect URLs are answered 503.
    """

    duplicate: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    malformed: float = 0.0
    late: float = 0.0
    late_seconds: float = 1.0
    cut_every: float = 0.0
    refuse_sockets: int = 0
    refuse_reconnect: bool = False


def malformed(subscription: Subscription) -> list[str]:
    """Frames that no client should choke on."""
    notice = {
        "subscription_type": subscription.type,
        "subscription_version": subscription.version,
    }
    item = subscription.item()
    return [
        '{"metadata": {"message_type": "notific',
        "[]",
        envelope("notification", {"subscription": item}, **notice),
        envelope("notification", {"subscription": item, "event": {}}, **notice),
        envelope("notification", {"subscription": item, "event": None}, **notice),
        envelope("notification", {}, subscription_type="channel.unheard_of"),
        envelope("session_surprise", {"session": {"id": 5}}),
    ]
