"""What is wanted of one user's tree.

It belongs to user_stream_manager/42 and outlives the manager's children: a child
that was restarted reads here what it is to do. Storage has the same in its own
words; after a crash of the manager it is filled from there.
"""

from datetime import datetime

import attrs

from ..platforms.platform import Destination
from ..storage import StreamSession
from .snapshot import StreamSnapshot


@attrs.define(eq=False)
class Wishes:
    """``session`` is the open show. ``stopping``: a Stop has been accepted and is not done yet.

    ``monitors`` are the platforms to be watched, ``outputs`` where the ingest is to
    send, as far as the platforms have said. ``watched``: somebody has the page open.
    """

    session: StreamSession | None = None
    starting: bool = False
    stopping: bool = False
    grace_ends_at: datetime | None = None
    monitors: set[str] = attrs.field(factory=set)
    outputs: dict[str, Destination] = attrs.field(factory=dict)
    watched: bool = False

    def forget_show(self) -> None:
        """The show is over: nothing of it is wanted any more."""
        self.session = None
        self.starting = self.stopping = False
        self.grace_ends_at = None
        self.monitors.clear()
        self.outputs.clear()

    def rebuild(self, snapshot: StreamSnapshot) -> None:
        """The show's part of a fresh snapshot."""
        snapshot.busy = "starting" if self.starting else ""
        snapshot.grace_ends_at = self.grace_ends_at
        if self.session is not None:
            snapshot.session_id = self.session.id
            snapshot.started_at = self.session.started_at
