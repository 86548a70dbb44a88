"""Polls, predictions, hype trains, the stream and the channel as our events. Pure; see :mod:`.normalise`."""

from collections.abc import Callable

from ...events import (
    Choice,
    HypeTrainProgressed,
    MetadataChanged,
    PlatformEvent,
    PlatformStreamEnded,
    PlatformStreamStarted,
    PollProgressed,
    PredictionProgressed,
    Progress,
)
from .arrival import Arrival


def once(arrival: Arrival, progress: Progress) -> str:
    """A beginning, a lock or an end happens once to a thing; its steps between have no id."""
    if progress is Progress.PROGRESSED:
        return ""
    return f"{arrival.event.text('id')}:{progress.value}"


def poll(progress: Progress) -> "Callable[[Arrival], PlatformEvent]":
    def read(arrival: Arrival) -> PlatformEvent:
        event = arrival.event
        return PollProgressed(
            **arrival.common(once(arrival, progress)),
            poll_id=event.text("id"),
            progress=progress,
            title=event.text("title"),
            choices=tuple(
                Choice(
                    id=choice.text("id"),
                    title=choice.text("title"),
                    votes=choice.number("votes", 0),
                    points=choice.number("channel_points_votes", 0),
                )
                for choice in event.children("choices")
            ),
            ends_at=event.optional_time("ends_at"),
            status=event.text("status", ""),
        )

    return read


def prediction(progress: Progress) -> "Callable[[Arrival], PlatformEvent]":
    def read(arrival: Arrival) -> PlatformEvent:
        event = arrival.event
        winner = event.text("winning_outcome_id", "")
        return PredictionProgressed(
            **arrival.common(once(arrival, progress)),
            prediction_id=event.text("id"),
            progress=progress,
            title=event.text("title"),
            choices=tuple(
                Choice(
                    id=outcome.text("id"),
                    title=outcome.text("title"),
                    votes=outcome.number("users", 0),
                    points=outcome.number("channel_points", 0),
                    winner=bool(winner) and outcome.text("id") == winner,
                )
                for outcome in event.children("outcomes")
            ),
            locks_at=event.optional_time("locks_at"),
            status=event.text("status", ""),
        )

    return read


def hype_train(progress: Progress) -> "Callable[[Arrival], PlatformEvent]":
    def read(arrival: Arrival) -> PlatformEvent:
        event = arrival.event
        return HypeTrainProgressed(
            **arrival.common(once(arrival, progress)),
            train_id=event.text("id"),
            progress=progress,
            level=event.number("level"),
            total=event.number("total"),
            goal=event.number("goal", 0),
            ends_at=event.optional_time("expires_at"),
        )

    return read


def stream_online(arrival: Arrival) -> PlatformEvent:
    stream_id = arrival.event.text("id")
    return PlatformStreamStarted(
        **arrival.common(f"{stream_id}:online", arrival.event.optional_time("started_at")),
        platform_stream_id=stream_id,
    )


def stream_offline(arrival: Arrival) -> PlatformEvent:
    # Libraries of 2026 have the stream's id here, the reference has not.
    stream_id = arrival.event.text("id", "")
    return PlatformStreamEnded(
        **arrival.common(f"{stream_id}:offline" if stream_id else ""), platform_stream_id=stream_id
    )


def channel_updated(arrival: Arrival) -> PlatformEvent:
    event = arrival.event
    return MetadataChanged(
        **arrival.common(),
        title=event.text("title"),
        category=event.text("category_name", ""),
        category_id=event.text("category_id", ""),
        language=event.text("language", ""),
    )
