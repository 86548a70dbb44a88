"""Things that begin, go on and end on a channel: hype trains, polls, predictions.

Each method tells the whole of it at once; Twitch promises no order between them
anyway. Shapes from the EventSub reference of 2026.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from . import twitch_payloads as payloads
from .eventsub_delivery import Dispatcher
from .options import stamp
from .twitch_models import Channel, User


class TwitchOccasions:
    def __init__(self, dispatcher: Dispatcher, rng: random.Random) -> None:
        self._dispatcher = dispatcher
        self._rng = rng

    def hype_train(self, channel: Channel, best: User, total: int = 900) -> str:
        """The train's id."""
        train_id, act, now = uuid4().hex, f"hype_train:{uuid4()}", datetime.now(UTC)
        records = {"all_time_high_level": 4, "all_time_high_total": 2845}
        for stage, reached in (("begin", total // 2), ("progress", total), ("end", total)):
            event = payloads.hype_train(channel, train_id, 1 + reached // 500, reached, best)
            if stage == "begin":
                event |= records
            if stage == "end":
                for running in ("progress", "goal", "expires_at"):
                    del event[running]
                event["ended_at"] = stamp(now)
                event["cooldown_ends_at"] = stamp(now + timedelta(hours=1))
            self._dispatcher.emit(
                f"channel.hype_train.{stage}", channel, event, id=train_id, act=act
            )
        return train_id

    def poll(self, channel: Channel, title: str, choices: list[str]) -> str:
        """The poll's id."""
        poll_id, act, now = str(uuid4()), f"poll:{uuid4()}", datetime.now(UTC)
        listed: list[dict[str, Any]] = [{"id": str(uuid4()), "title": c} for c in choices]
        counted = [{**c, "bits_votes": 0, "channel_points_votes": 0} for c in listed]
        for choice in counted:
            choice["votes"] = self._rng.randint(1, 40)
        common = {
            "id": poll_id,
            "title": title,
            "bits_voting": {"is_enabled": False, "amount_per_vote": 0},
            "channel_points_voting": {"is_enabled": False, "amount_per_vote": 0},
            "started_at": stamp(now),
        }
        ends = {"ends_at": stamp(now + timedelta(minutes=1))}
        ended = {"status": "completed", "ended_at": stamp(now + timedelta(minutes=1))}
        for stage, more in (
            ("begin", {"choices": listed, **ends}),
            ("progress", {"choices": counted, **ends}),
            ("end", {"choices": counted, **ended}),
        ):
            event = payloads.of_channel(channel, **common, **more)
            self._dispatcher.emit(f"channel.poll.{stage}", channel, event, id=poll_id, act=act)
        return poll_id

    def prediction(self, channel: Channel, title: str, outcomes: list[str]) -> str:
        """The prediction's id; the first outcome wins."""
        prediction_id, act, now = str(uuid4()), f"prediction:{uuid4()}", datetime.now(UTC)
        colours = ("blue", "pink")
        listed: list[dict[str, Any]] = [
            {"id": str(uuid4()), "title": title, "color": colours[min(i, 1)]}
            for i, title in enumerate(outcomes)
        ]
        backed = [
            {
                **outcome,
                "users": self._rng.randint(1, 20),
                "channel_points": self._rng.randint(100, 9000),
                "top_predictors": [],
            }
            for outcome in listed
        ]
        common = {"id": prediction_id, "title": title, "started_at": stamp(now)}
        locks = stamp(now + timedelta(minutes=2))
        ended = {
            "winning_outcome_id": listed[0]["id"],
            "status": "resolved",
            "ended_at": stamp(now + timedelta(minutes=5)),
        }
        for stage, more in (
            ("begin", {"outcomes": listed, "locks_at": locks}),
            ("progress", {"outcomes": backed, "locks_at": locks}),
            ("lock", {"outcomes": backed, "locked_at": locks}),
            ("end", {"outcomes": backed, **ended}),
        ):
            event = payloads.of_channel(channel, **common, **more)
            self._dispatcher.emit(
                f"channel.prediction.{stage}", channel, event, id=prediction_id, act=act
            )
        return prediction_id
