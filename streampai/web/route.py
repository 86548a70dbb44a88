"""A route: what is served where, to whom, and what the documentation says of it.

One table of these is both what the application serves and what
``/openapi.json`` describes.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

import attrs
from quart.typing import ResponseReturnValue


class Access(Enum):
    """Who may: anybody; who has logged in; who has the admin key; either that or an admin."""

    PUBLIC = "public"
    SESSION = "session"
    KEY = "key"
    OPERATOR = "operator"


Handler = Callable[..., Awaitable[ResponseReturnValue]]


@attrs.frozen(kw_only=True)
class Route:
    """``handler`` gets the parts of the path, ``visit`` when access is SESSION, and
    ``body``, an instance of ``body``'s class, when there is one.

    ``answers`` says in words what each status means; errors that any route can
    give need no mention.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    access: Access = Access.SESSION
    body: type[Any] | None = None
    query: Mapping[str, str] = attrs.field(factory=dict)
    answers: Mapping[int, str] = attrs.field(factory=lambda: {200: "As described."})
    # The RPC method whose command the route carries out; it gives the body its schema.
    command: str = ""

    @property
    def where(self) -> str:
        """As it stands in telemetry: never holds what a client sent."""
        return f"{self.method} {self.path}"
