"""A live input, its encoder and its outputs, and the knobs of the service that keeps them."""

from datetime import datetime
from typing import Any, Protocol

import attrs

from .agenda import Entry

MAX_OUTPUTS = 50
SHAPES = ("object", "string", "null", "missing")


class Ingest(Protocol):
    """A platform's ingest: takes pushes to its own URLs."""

    platform: str

    def accepts(self, url: str) -> bool:
        """Whether ``url`` is one of this platform's."""

    def begin(self, key: str, source: str) -> bool:
        """Media for ``key`` begins to arrive from ``source``; False refuses it."""

    def end(self, source: str) -> None: ...


@attrs.define(eq=False, kw_only=True)
class Output:
    uid: str
    url: str
    key: str
    enabled: bool
    # What the API shows; absent until the first attempt to push.
    state: str | None = None
    phase: str = "idle"
    deleted: bool = False
    pending: Entry | None = None

    @property
    def pushing(self) -> bool:
        """Whether media reaches the destination."""
        return self.phase in ("pushing", "stopping")

    def item(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "uid": self.uid,
            "url": self.url,
            "streamKey": self.key,
            "enabled": self.enabled,
        }
        if self.state is not None:
            shown["status"] = {"current": {"state": self.state}}
        return shown


@attrs.frozen(kw_only=True)
class Encoder:
    protocol: str
    since: datetime


@attrs.define(eq=False, kw_only=True)
class LiveInput:
    uid: str
    meta: dict[str, Any]
    settings: dict[str, Any]
    secrets: dict[str, str]
    created: str
    modified: str
    rotated: str | None = None
    encoder: Encoder | None = None
    status: dict[str, Any] | None = None
    history: list[dict[str, Any]] = attrs.field(factory=list)
    outputs: dict[str, Output] = attrs.field(factory=dict)
    # Deleted outputs that push until the lag is over.
    leaving: dict[str, Output] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        return str(self.meta.get("name", ""))

    def belongs_to(self, who: str) -> bool:
        return who != "" and who in (
            self.uid,
            self.name,
            str(self.meta.get("streampai_user", "")),
        )


@attrs.define(kw_only=True)
class CloudflareKnobs:
    """How the service words and times its answers. Lags in seconds."""

    status_shape: str = "object"
    status_word: str = ""
    status_history: bool = False
    list_as_array: bool = False
    ratelimit_headers: bool = True
    clock_skew: float = 0.0
    status_lag: float = 0.0
    srt_lag: float = 0.0
    output_delay: float = 0.0
    delete_lag: float = 0.0
