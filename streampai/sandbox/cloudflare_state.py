"""What Cloudflare Stream would know: live inputs, their encoders, their outputs, the videos.

Media is modelled by its effects only: an encoder is there or not, an output
pushes or not, and an ingest that takes the push is told so.
"""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from .agenda import Agenda
from .cloudflare_models import CloudflareKnobs, Encoder, Ingest, LiveInput, Output
from .options import SandboxOptions, stamp


class CloudflareState:
    """The account's live inputs. Everything here is a plain call."""

    def __init__(self, agenda: Agenda, options: SandboxOptions, rng: random.Random) -> None:
        self._agenda = agenda
        self._options = options
        self._rng = rng
        self.heal()
        self.inputs: dict[str, LiveInput] = {}
        self.videos: dict[str, dict[str, Any]] = {}
        self.ingests: list[Ingest] = []

    def heal(self) -> None:
        """Every knob where it was at the start."""
        options = self._options
        self.knobs = CloudflareKnobs(
            status_lag=options.status_lag,
            srt_lag=options.srt_lag,
            output_delay=options.output_delay,
            delete_lag=options.delete_lag,
        )

    def new_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _new_secrets(self) -> dict[str, str]:
        words = ("rtmps", "rtmps_playback", "srt", "srt_playback", "webrtc")
        return {word: f"{self._rng.getrandbits(192):048x}" for word in words}

    # Live inputs

    def create_input(self, meta: Mapping[str, Any], settings: Mapping[str, Any]) -> LiveInput:
        now = stamp(digits=6)
        made = LiveInput(
            uid=self.new_id(),
            meta=dict(meta),
            settings=dict(settings),
            secrets=self._new_secrets(),
            created=now,
            modified=now,
        )
        self.inputs[made.uid] = made
        return made

    def find(self, who: str) -> LiveInput | None:
        """The newest input with this uid, ``meta.name`` or ``meta.streampai_user``."""
        found = [i for i in self.inputs.values() if i.belongs_to(who)]
        return found[-1] if found else None

    def update_input(
        self, live: LiveInput, meta: Mapping[str, Any] | None, settings: Mapping[str, Any]
    ) -> None:
        if meta is not None:
            live.meta = dict(meta)
        live.settings.update(settings)
        live.modified = stamp(digits=6)
        if not live.settings["enabled"]:
            self._lose_encoder(live, "disabled")

    def rotate_keys(self, live: LiveInput) -> None:
        """New keys; whoever publishes with the old ones is disconnected."""
        live.secrets = self._new_secrets()
        live.rotated = live.modified = stamp(digits=6)
        self._lose_encoder(live, "keysRotated")

    def delete_input(self, live: LiveInput) -> None:
        self._lose_encoder(live, "deleted")
        del self.inputs[live.uid]

    # The encoder

    def connect_encoder(self, live: LiveInput, protocol: str = "rtmp") -> bool:
        """False when the input is disabled or gone, as the service then refuses publishers."""
        if not live.settings["enabled"] or live.uid not in self.inputs:
            return False
        if live.encoder is None:
            live.encoder = Encoder(protocol=protocol, since=datetime.now(UTC))
            self._enter(live, "connected", "connected_to_live_input", live.encoder)
            self._begin_video(live)
            self._settle(live)
        return True

    def disconnect_encoder(self, live: LiveInput, reason: str = "clientDisconnect") -> None:
        self._lose_encoder(live, reason)

    def _lose_encoder(self, live: LiveInput, reason: str) -> None:
        if live.encoder is not None:
            encoder, live.encoder = live.encoder, None
            self._enter(live, "disconnected", reason, encoder)
            self._end_video(live)
            self._settle(live)

    def _enter(self, live: LiveInput, state: str, reason: str, encoder: Encoder) -> None:
        """The status follows the encoder with a lag, but says when it really happened."""
        entered = stamp(digits=6)
        lag = self.knobs.srt_lag if encoder.protocol == "srt" else self.knobs.status_lag

        def show() -> None:
            if live.status is not None:
                live.history = [live.status, *live.history][:20]
            live.status = {
                "ingestProtocol": encoder.protocol,
                "state": state,
                "reason": reason,
                "statusEnteredAt": entered,
                "statusLastSeen": stamp(digits=6),
            }

        self._agenda.after(lag, show)

    # Outputs

    def create_output(self, live: LiveInput, url: str, key: str, enabled: bool) -> Output:
        made = Output(uid=self.new_id(), url=url, key=key, enabled=enabled)
        live.outputs[made.uid] = made
        self._settle(live)
        return made

    def enable_output(self, live: LiveInput, output: Output, enabled: bool) -> None:
        output.enabled = enabled
        self._settle(live)

    def delete_output(self, live: LiveInput, output: Output) -> None:
        """Gone from the list at once, while its push goes on for the delete lag."""
        del live.outputs[output.uid]
        output.deleted = True
        live.leaving[output.uid] = output
        self._settle(live)

    def _settle(self, live: LiveInput) -> None:
        """Bring every output of ``live`` to where its encoder and switches want it."""
        media = live.encoder is not None and live.encoder.protocol != "webrtc"
        for output in [*live.outputs.values(), *live.leaving.values()]:
            if media and output.enabled and not output.deleted:
                self._want_push(output)
            else:
                self._want_no_push(live, output, media)

    def _want_push(self, output: Output) -> None:
        match output.phase:
            case "idle" | "refused":
                output.phase, output.state = "starting", "connecting"
                self._later(output, self.knobs.output_delay, lambda: self._begin_push(output))
            case "stopping":
                # Enabled again before a disabling took effect.
                self._later(output, float("inf"), lambda: None)
                output.phase = "pushing"

    def _want_no_push(self, live: LiveInput, output: Output, media: bool) -> None:
        match output.phase:
            case "pushing" if media:
                output.phase = "stopping"
                lag = self.knobs.delete_lag
                self._later(output, lag, lambda: self._end_push(live, output))
            case "starting" | "pushing":
                self._end_push(live, output)
            case "stopping" if not media:
                self._end_push(live, output)
            case "idle" | "refused":
                live.leaving.pop(output.uid, None)

    def _later(self, output: Output, lag: float, act: Callable[[], None]) -> None:
        """``act`` takes the place of whatever was to happen to this output."""
        if output.pending is not None:
            output.pending.cancel()
        output.pending = self._agenda.after(lag, act) if lag < float("inf") else None

    def _begin_push(self, output: Output) -> None:
        ingest = next((i for i in self.ingests if i.accepts(output.url)), None)
        accepted = ingest is None or ingest.begin(output.key, output.uid)
        output.state = "connected" if accepted else "error"
        output.phase = "pushing" if accepted else "refused"

    def _end_push(self, live: LiveInput, output: Output) -> None:
        if output.pending is not None:
            output.pending.cancel()
        pushed, output.phase, output.state = output.pushing, "idle", "disconnected"
        live.leaving.pop(output.uid, None)
        for ingest in self.ingests:
            if pushed and ingest.accepts(output.url):
                ingest.end(output.uid)

    def platform_of(self, url: str) -> str:
        return next((i.platform for i in self.ingests if i.accepts(url)), "")

    # Videos

    def _begin_video(self, live: LiveInput) -> None:
        if live.settings["recording"]["mode"] != "automatic":
            return
        uid = self.new_id()
        self.videos[uid] = {
            "uid": uid,
            "liveInput": live.uid,
            "creator": live.settings["defaultCreator"],
            "created": stamp(digits=6),
            "modified": stamp(digits=6),
            "duration": -1,
            "meta": {"name": live.name},
            "readyToStream": True,
            "status": {"state": "live-inprogress", "errorReasonCode": "", "errorReasonText": ""},
        }

    def _end_video(self, live: LiveInput) -> None:
        for video in self.videos.values():
            if video["liveInput"] == live.uid and video["duration"] == -1:
                self._agenda.after(self._options.recording_delay, partial(_finish, video))

    def live_video(self, live: LiveInput) -> str | None:
        for video in self.videos.values():
            if video["liveInput"] == live.uid and video["duration"] == -1:
                return str(video["uid"])
        return None

    def state(self) -> dict[str, Any]:
        return {"inputs": [self._input_state(live) for live in self.inputs.values()]}

    def _input_state(self, live: LiveInput) -> dict[str, Any]:
        return {
            "uid": live.uid,
            "name": live.name,
            "user": str(live.meta.get("streampai_user", "")),
            "instance": str(live.meta.get("streampai_instance", "")),
            "enabled": live.settings["enabled"],
            "connected": live.encoder is not None,
            "protocol": live.encoder.protocol if live.encoder else "",
            "status": live.status and live.status["state"],
            "rotated": live.rotated,
            "outputs": [self._output_state(o) for o in live.outputs.values()],
            "leaving": [self._output_state(o) for o in live.leaving.values()],
        }

    def _output_state(self, output: Output) -> dict[str, Any]:
        return {
            "uid": output.uid,
            "url": output.url,
            "enabled": output.enabled,
            "platform": self.platform_of(output.url),
            "state": output.state,
            "pushing": output.pushing,
            "key_tail": output.key[-4:],
        }


def _finish(video: dict[str, Any]) -> None:
    video["duration"] = 60.0
    video["modified"] = stamp(digits=6)
    video["status"]["state"] = "ready"
