"""What this package needs of the intent log, and how its intents read.

An intent row is written before an effect on Cloudflare and finished after it, so
that a daemon killed at any point finds at its next start what it may have begun.
The effect points, in the order in which a kill may fall between them:

    1  nothing yet                      nothing to do
    2  the intent is written            look: it has not happened, or it has (3, 4)
    3  the request has left             look
    4  the answer has come              look
    5  the result is written            nothing to do

"Look" is always a listing at Cloudflare: an answer that was lost and a kill are
the same case. Details never hold a stream key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

CREATE_INPUT = "cloudflare.create_input"
ROTATE_KEY = "cloudflare.rotate_key"
CREATE_OUTPUT = "cloudflare.create_output"
ENABLE_OUTPUT = "cloudflare.enable_output"
DELETE_OUTPUT = "cloudflare.delete_output"

DONE = "done"
FAILED = "failed"
ABANDONED = "abandoned"


class Intent(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def details(self) -> Mapping[str, Any]: ...


class IntentLog(Protocol):
    """One user's intents. Every call is durable when it returns and may raise StorageUnavailable."""

    async def begin(self, kind: str, key: str, details: Mapping[str, Any]) -> int: ...

    async def finish(self, intent_id: int, outcome: str, result: Mapping[str, Any]) -> None: ...

    async def open(self) -> Sequence[Intent]:
        """The intents without a result, oldest first, also of other kinds than ours."""
