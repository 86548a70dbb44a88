"""Which output is whose. Pure.

Cloudflare accepts doubles and knows no platforms, so the place an output sends to,
(url, key), is what makes it a destination's.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from ..settings import Secret
from .models import Output

Place = tuple[str, Secret]


class Destination(Protocol):
    """Where a platform wants the stream to be sent."""

    @property
    def url(self) -> str: ...
    @property
    def stream_key(self) -> Secret: ...


def place_of(output: Output | Destination) -> Place:
    return (output.url, output.stream_key)


def places_of(wanted: Mapping[str, Destination]) -> dict[str, Place]:
    return {platform: place_of(destination) for platform, destination in wanted.items()}


def best_output(outputs: Collection[Output]) -> Output:
    """Of several to one place, the one to keep: one that is on, best of all receiving."""
    return min(outputs, key=lambda output: (not output.enabled, output.state != "connected"))


def doubles(
    outputs: Collection[Output], places: Collection[Place], kept: Collection[str]
) -> list[Output]:
    """All but one of the outputs to each of ``places``; uids in ``kept`` are kept first."""
    found: list[Output] = []
    for place in set(places):
        same = [output for output in outputs if place_of(output) == place]
        same.sort(key=lambda output: (output.uid not in kept, not output.enabled))
        found += same[1:]
    return found
