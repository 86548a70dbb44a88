"""What may go wrong and is expected.

One base class carries what a person or a program needs to act on an error: a
stable ``code``, a sentence, whether trying again can help, and details.
Everything that is not one of these is a bug and is left to the supervisors.

``ERROR_CODES`` is the documented table: each code with the number it has in
an RPC reply (the protocol leaves 400-1999 to applications; refusals are
400-499), its HTTP status and what it means.
"""

from collections.abc import Mapping
from typing import NamedTuple


class ErrorCode(NamedTuple):
    number: int
    http_status: int
    meaning: str


ERROR_CODES: Mapping[str, ErrorCode] = {
    "bad_request": ErrorCode(400, 400, "The request does not have the documented form."),
    "unauthorized": ErrorCode(401, 401, "Log in first."),
    "forbidden": ErrorCode(403, 403, "This is not yours to see or change."),
    "unknown_command": ErrorCode(404, 404, "There is no command of that name."),
    "not_found": ErrorCode(405, 404, "There is no such thing."),
    "invalid_credentials": ErrorCode(406, 401, "The name or the password is wrong."),
    "bad_origin": ErrorCode(407, 403, "The request comes from a page that is not ours."),
    "too_large": ErrorCode(413, 413, "The request is larger than is accepted."),
    "encoder_not_connected": ErrorCode(420, 409, "No encoder is sending to the ingest."),
    "already_streaming": ErrorCode(421, 409, "The stream has already been started."),
    "ending": ErrorCode(422, 409, "The stream is being ended; wait until that is complete."),
    "no_platform_selected": ErrorCode(423, 422, "Select at least one platform."),
    "token_expired": ErrorCode(424, 409, "The platform needs you to log in again."),
    "platform_not_connected": ErrorCode(425, 409, "Connect an account of this platform first."),
    "too_many_platforms": ErrorCode(426, 422, "More platforms than MAX_PLATFORMS_PER_USER."),
    "not_streaming": ErrorCode(427, 409, "No stream is running."),
    "too_many_users": ErrorCode(428, 503, "This server is full (MAX_CONCURRENT_USERS)."),
    "rate_limited": ErrorCode(429, 429, "Too many requests; wait as long as told."),
    "webrtc_not_supported": ErrorCode(430, 409, "Cloudflare cannot forward a WHIP broadcast."),
    "encoder_connected": ErrorCode(
        418, 409, "Stop sending first: a new key cuts off whoever sends with the old one."
    ),
    "unknown_platform": ErrorCode(431, 404, "There is no platform of that name."),
    "text_too_long": ErrorCode(432, 422, "The text is longer than the platform accepts."),
    "not_supported": ErrorCode(433, 422, "The platform has no public way to do this."),
    "input_unknown": ErrorCode(434, 503, "Cloudflare cannot be asked whether the encoder is in."),
    "input_missing": ErrorCode(435, 409, "Cloudflare no longer has this live input."),
    "all_platforms_failed": ErrorCode(436, 502, "No selected platform could be started."),
    "platform_refused": ErrorCode(437, 502, "The platform refused the request."),
    "cloudflare_refused": ErrorCode(438, 502, "Cloudflare refused the request."),
    "user_restarting": ErrorCode(450, 503, "This user's tasks are being restarted."),
    "storage_unavailable": ErrorCode(451, 503, "The store cannot be written now."),
    "cloudflare_unavailable": ErrorCode(452, 503, "Cloudflare cannot be reached now."),
    "platform_unavailable": ErrorCode(453, 503, "The platform cannot be reached now."),
    "shutting_down": ErrorCode(454, 503, "The server is stopping."),
    "internal_error": ErrorCode(499, 500, "A fault of ours; it has been logged."),
}


class StreampaiError(Exception):
    """The base of every expected error.

    ``code`` is a key of ERROR_CODES. ``retryable`` says whether the very same
    request may succeed later. ``details`` never holds a secret.
    """

    code = "internal_error"
    retryable = False

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        **details: object,
    ) -> None:
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        self.message = message or ERROR_CODES[self.code].meaning
        self.details = details
        super().__init__(self.message)

    @property
    def number(self) -> int:
        return ERROR_CODES[self.code].number

    @property
    def http_status(self) -> int:
        return ERROR_CODES[self.code].http_status

    def as_dict(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "details": self.details,
        }


class CommandRefused(StreampaiError):
    """A command cannot be carried out as things stand.

    Caused by who asks or by when: nothing has been done and nothing has
    broken. Always give a code.
    """

    code = "bad_request"


class BadRequest(StreampaiError):
    """What arrived from outside does not have the documented form."""

    code = "bad_request"


class NotAuthorised(StreampaiError):
    """Who asks is unknown (``unauthorized``) or may not (``forbidden``)."""

    code = "unauthorized"


class RateLimited(StreampaiError):
    """A limit of ours or of a service bites. ``retry_after`` is in seconds."""

    code = "rate_limited"
    retryable = True

    def __init__(
        self, message: str | None = None, *, retry_after: float, **details: object
    ) -> None:
        self.retry_after = retry_after
        super().__init__(message)
        self.details = {"retry_after": retry_after, **details}


class CloudflareUnavailable(StreampaiError):
    """Cloudflare could not be asked: network, timeout, 5xx, an unreadable answer.

    It says nothing about the thing asked for. A request that changes something
    may or may not have been carried out.
    """

    code = "cloudflare_unavailable"
    retryable = True


class CloudflareRefused(StreampaiError):
    """Cloudflare answered, and the answer is no. ``details["status"]`` has the HTTP status.

    ``input_missing`` is the code when it is certain that the input is gone.
    """

    code = "cloudflare_refused"


class PlatformUnavailable(StreampaiError):
    """A platform could not be asked, or its connection broke. Not the streamer's fault."""

    code = "platform_unavailable"
    retryable = True


class PlatformRefused(StreampaiError):
    """A platform answered, and the answer is no. Trying the same again is useless."""

    code = "platform_refused"


class ReloginNeeded(StreampaiError):
    """A platform has definitely refused the account's tokens; only the streamer can help."""

    code = "token_expired"


class StorageUnavailable(StreampaiError):
    """The store refused or failed a write (disk full, read-only, I/O error). Nothing was stored."""

    code = "storage_unavailable"
    retryable = True


class SettingsError(StreampaiError):
    """A setting is missing or wrong: names the key, the value and what was expected."""

    code = "bad_request"
