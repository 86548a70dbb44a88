"""What every user's tree is given: the parts of the daemon that are there once."""

from collections.abc import Callable, Mapping

import attrs

from ..cloudflare import CloudflareClient
from ..platforms.platform import Now, Platform
from ..runtime import PubSub, Registry, SupervisorReport
from ..settings import Settings
from ..storage import Storage
from ..telemetry import Telemetry

Report = Callable[[SupervisorReport], None]


@attrs.frozen(kw_only=True)
class Services:
    settings: Settings
    storage: Storage
    pubsub: PubSub
    registry: Registry
    telemetry: Telemetry
    cloudflare: CloudflareClient
    platforms: Mapping[str, Platform]
    now: Now
