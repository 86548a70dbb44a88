"""A route: what is served where, to whom, and what the documentation says of it.

One table of these is both what the application serves and what
``/openapi.json`` describes.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

import attrs
from quart.typing import ResponseReturnValue

from ..commands import COMMANDS
from . import bodies


class Access(Enum):
    """Who may: anybody; who has logged in (PAGE: others are sent to the log-in page); who has
    the admin key; either that or an admin."""

    PUBLIC = "public"
    PAGE = "page"
    SESSION = "session"
    KEY = "key"
    OPERATOR = "operator"


# A part of a path, such as <platform> or <path:file>.
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

Handler = Callable[..., Awaitable[ResponseReturnValue]]


@attrs.frozen(kw_only=True)
class Route:
    """``handler`` gets the parts of the path, ``visit`` when access is SESSION or PAGE, and
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

    def body_schema(self) -> dict[str, Any] | None:
        """What the body must look like; fields that stand in the path are not in it."""
        if self.body is not None:
            return bodies.schema(self.body)
        if not self.command:
            return None
        schema = bodies.schema(COMMANDS[self.command], optional=frozenset({"id"}))
        for name in PARAMETER.findall(self.path):
            del schema["properties"][name]
        left = [name for name in schema.get("required", []) if name in schema["properties"]]
        if left:
            schema["required"] = left
        else:
            schema.pop("required", None)
        return schema
