"""Twitch's side of a push: a URL, and a stream key that makes its channel live."""

from .twitch_state import TwitchState


class TwitchIngest:
    """An :class:`~.cloudflare_models.Ingest`."""

    platform = "twitch"

    def __init__(self, state: TwitchState, url: str) -> None:
        self._state = state
        self._url = url

    def accepts(self, url: str) -> bool:
        return url == self._url or url.startswith(self._url + "/")

    def begin(self, key: str, source: str) -> bool:
        return self._state.begin_push(key.partition("?")[0], source)

    def end(self, source: str) -> None:
        self._state.end_push(source)
