"""How a live input is written down: its settings as they come in, its JSON as it goes out."""

from collections.abc import Mapping
from typing import Any

from .cloudflare_models import CloudflareKnobs, LiveInput
from .options import stamp

_RECORDING: Mapping[str, Any] = {
    "mode": "off",
    "requireSignedURLs": False,
    "allowedOrigins": None,
    "hideLiveViewerCount": False,
    "timeoutSeconds": 0,
}
_TYPES: Mapping[str, type] = {"preferLowLatency": bool, "enabled": bool, "defaultCreator": str}
_RETENTION_DAYS = range(30, 1097)


class BadSetting(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "enabled": True,
        "preferLowLatency": False,
        "defaultCreator": None,
        "deleteRecordingAfterDays": None,
        "recording": dict(_RECORDING),
    }
    return {**defaults, **given}


def read_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``body`` changes. Unknown keys are ignored, as is retention nested in ``recording``.

    Raises BadSetting.
    """
    found: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        if body.get(name) is not None:
            if not isinstance(body[name], kind):
                raise BadSetting(10005, f"{name} has the wrong type")
            found[name] = body[name]
    days = body.get("deleteRecordingAfterDays")
    if days is not None:
        if not isinstance(days, int) or days not in _RETENTION_DAYS:
            raise BadSetting(10060, "deleteRecordingAfterDays must be from 30 to 1096")
        found["deleteRecordingAfterDays"] = days
    recording = body.get("recording")
    if recording is not None:
        if not isinstance(recording, dict):
            raise BadSetting(10005, "recording must be an object")
        if recording.get("mode", "off") not in ("off", "automatic"):
            raise BadSetting(10005, "recording.mode must be off or automatic")
        known = {k: v for k, v in recording.items() if k in _RECORDING}
        found["recording"] = {**_RECORDING, **known}
    return found


def list_item(live: LiveInput) -> dict[str, Any]:
    """An element of the list: no status, no credentials, no recording."""
    return {
        "uid": live.uid,
        "created": live.created,
        "modified": live.modified,
        "meta": live.meta,
        "enabled": live.settings["enabled"],
        "deleteRecordingAfterDays": live.settings["deleteRecordingAfterDays"],
    }


def input_item(live: LiveInput, knobs: CloudflareKnobs) -> dict[str, Any]:
    host, keys = "live.cloudflare.com", live.secrets
    customer = "https://customer-sandbox.cloudflarestream.com"
    rtmps, srt = f"rtmps://{host}:443/live/", f"srt://{host}:778"
    item: dict[str, Any] = {
        "uid": live.uid,
        "rtmps": {"url": rtmps, "streamKey": keys["rtmps"]},
        "rtmpsPlayback": {"url": rtmps, "streamKey": keys["rtmps_playback"]},
        "srt": {"url": srt, "streamId": live.uid, "passphrase": keys["srt"]},
        "srtPlayback": {
            "url": srt,
            "streamId": f"play{live.uid}",
            "passphrase": keys["srt_playback"],
        },
        "webRTC": {"url": f"{customer}/{keys['webrtc']}/webRTC/publish"},
        "webRTCPlayback": {"url": f"{customer}/{live.uid}/webRTC/play"},
        "playback": {
            "hls": f"{customer}/{live.uid}/manifest/video.m3u8",
            "dash": f"{customer}/{live.uid}/manifest/video.mpd",
        },
        "created": live.created,
        "modified": live.modified,
        "meta": live.meta,
        **live.settings,
    }
    if live.rotated:
        item["keysRotatedAt"] = live.rotated
    if knobs.status_shape != "missing":
        item["status"] = _status(live, knobs)
    return item


def _status(live: LiveInput, knobs: CloudflareKnobs) -> Any:
    if live.status is None or knobs.status_shape == "null":
        return None
    current = dict(live.status)
    if current["state"] == "connected":
        current["statusLastSeen"] = stamp(digits=6)
    if knobs.status_word:
        current["state"] = knobs.status_word
    if knobs.status_shape == "string":
        return current["state"]
    return {"current": current, "history": live.history if knobs.status_history else []}
