"""user_stream_manager/42: one user's supervisor and the one API for that user's stream.

It takes commands in, and works them off in two lanes, so that a chat message
does not wait for a start. Its children are drawn in ``user_tree``; what they
must not lose when they crash belongs to this manager: wishes, the state client,
the accounts. When the manager itself crashes, the livestream manager starts the
whole tree again, and it takes up the show where storage says it stands.
"""

from contextlib import aclosing
from typing import Any

import attrs
import trio

from .. import names
from ..commands import (
    Command,
    EditMetadata,
    RetryDestination,
    RotateKey,
    SendChat,
    SetDestination,
    StartStream,
    StopStream,
    command_name,
)
from ..errors import CommandRefused, RateLimited, StreampaiError
from ..platforms.platform import Limits
from ..runtime import Mailbox, Server
from ..settings import Secret
from ..storage import User
from .accounts import UserAccounts
from .durably import durably
from .outgoing import Outgoing
from .services import Report, Services
from .show import Show
from .snapshot import DestinationStatus
from .state_client import StateClient
from .transitions import StreamStatus
from .user_tree import UserTree
from .wishes import Wishes

# Commands of one user that wait to be worked off; a person cannot click this fast.
LANE_CAPACITY = 100


@attrs.frozen(kw_only=True)
class Submit:
    command: Command


@attrs.frozen(kw_only=True)
class EndShow:
    """The show ends by itself: nobody waits for an answer."""

    reason: str
    session_id: str


@attrs.frozen(kw_only=True)
class FollowAccount:
    """An account came, went or was connected anew: nobody waits for an answer."""

    platform: str


@attrs.frozen(kw_only=True)
class Accepted:
    """``session_id`` is the show that was open when the command was accepted."""

    command: Command
    session_id: str | None


class UserStreamManager(Server):
    """See the module. ``submit`` is for people and programs; the rest is for the daemon."""

    expected_errors = (StreampaiError,)

    def __init__(self, *, user: User, services: Services, report: Report) -> None:
        super().__init__(
            key=names.user_stream_manager(user.id),
            registry=services.registry,
            capacity=LANE_CAPACITY,
        )
        self.user = user
        self._services = services
        self._wishes = Wishes()
        self._state = StateClient(
            user_id=user.id,
            services=services,
            wishes=self._wishes,
            attempts=services.settings.livestream.user_task_restarts,
        )
        self.accounts = UserAccounts(
            user_id=user.id, services=services, changed=self._account_changed, report=report
        )
        self._tree = UserTree(
            user=user,
            services=services,
            wishes=self._wishes,
            state=self._state,
            accounts=self.accounts,
            report=report,
        )
        self._show = Show(
            user_id=user.id,
            services=services,
            wishes=self._wishes,
            state=self._state,
            tree=self._tree,
            accounts=self.accounts,
            end_soon=self._end_soon,
        )
        self._outgoing = Outgoing(
            user_id=user.id,
            accounts=self.accounts,
            storage=services.storage,
            limits=self._limits,
        )
        self._show_lane: Mailbox[Accepted | EndShow | FollowAccount] = Mailbox(LANE_CAPACITY)
        self._talk_lane: Mailbox[Accepted] = Mailbox(LANE_CAPACITY)
        # Commands that are being accepted or worked off.
        self._under_way = 0

    # --- what others call -------------------------------------------------------

    async def submit(self, command: Command) -> None:
        """Accept a command: returns when it is certain that it will be worked off.

        Its outcome is CommandDone or CommandFailed on ``stream_lifecycle:{user}``. A
        command whose id has been accepted before is accepted again and acts no
        second time. Raises the StreampaiError that says why it is refused, and
        NotRunning when the tree ends meanwhile. Cancelling abandons the wait.
        """
        await self.call(Submit(command=command), timeout=None)

    def snapshot(self) -> bytes:
        """The state of the stream page as JSON; as it was last known while it restarts."""
        if (server := self._state.server) is not None:
            return server.encoded_snapshot
        history = self._services.pubsub.history(names.user_stream_topic(self.user.id))
        return history[-1].data

    def topic_snapshot(self, topic: str) -> bytes | None:
        """What a browser gets that subscribes without a position; None: nothing to give."""
        server, user_id = self._state.server, self.user.id
        if topic == names.user_stream_topic(user_id):
            return self.snapshot()
        if topic == names.statistics_topic(user_id) and server is not None:
            return server.encoded_statistics()
        history = self._services.pubsub.history(topic)
        if topic in (names.statistics_topic(user_id), names.cloudflare_input_topic(user_id)):
            return history[-1].data if history else None
        rows = b",".join(b'{"offset":%d,"data":%b}' % (p.offset, p.data) for p in history)
        return b'{"events":[%b]}' % rows

    def topics(self) -> list[str]:
        user_id = self.user.id
        return [
            names.user_stream_topic(user_id),
            names.statistics_topic(user_id),
            names.cloudflare_input_topic(user_id),
            names.stream_lifecycle_topic(user_id),
            *(names.platform_topic(name, user_id) for name in self._services.platforms),
        ]

    async def stream_key(self) -> tuple[str, Secret]:
        """The ingest's URL and key, for the encoder. Raises CommandRefused ``input_missing``."""
        live_input = await self._tree.stored_input()
        return live_input.ingest_url, live_input.stream_key

    async def account_changed(self, platform: str) -> None:
        """A log-in or a disconnection has been stored: take it up, also in a running show."""
        await self.accounts.reload(platform)

    def watched(self, watched: bool) -> None:
        """Somebody has the stream page open (or nobody any more): poll accordingly."""
        came = watched and not self._wishes.watched
        self._wishes.watched = watched
        if came:
            self._tree.check_input_soon()

    @property
    def live(self) -> bool:
        """True while there is a show, or a command, that must not be left alone."""
        waiting = self.depth + self._show_lane.depth + self._talk_lane.depth + self._under_way
        return self._wishes.session is not None or waiting > 0

    @property
    def stream_status(self) -> StreamStatus:
        status: StreamStatus = self._state.status.value
        return status

    @property
    def destinations(self) -> dict[str, DestinationStatus]:
        """Read only: what each destination shows."""
        return self._state.destinations

    # --- running ------------------------------------------------------------------------

    async def run(self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED) -> None:
        await self._load()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._tree.supervisor().run, name=f"{self.name}/children")
            for task, run in (
                ("input", self._follow_input),
                ("disconnect_clock", self._show.run_clock),
                ("outputs", self._show.outputs.keep),
                ("show", self._work_show_lane),
                ("talk", self._work_talk_lane),
            ):
                nursery.start_soon(run, name=f"{self.name}/{task}")
            await super().run(task_status=task_status)

    async def _load(self) -> None:
        """Read where this user stands; the same at a first start and after a crash."""
        await self.accounts.load()
        enabled = await self._services.storage.destinations.all(self.user.id)
        for name, platform in self._services.platforms.items():
            self.destinations[name] = DestinationStatus(
                platform=name,
                title=platform.title,
                enabled=enabled.get(name, False),
                encoder_timeout=platform.limits.encoder_timeout,
                chat_length=platform.limits.chat_length,
                title_length=platform.limits.title_length,
                **self._account_fields(name),
            )
        await self._show.load()
        await self._outgoing.abandon_unfinished()

    async def _follow_input(self) -> None:
        """Every change of the input: shown, and followed between offline and ready."""
        async with aclosing(self._state.live_input.eventual_values()) as values:
            async for status in values:
                await self._state.show_input(status, self._tree.ingest_url)
                await self._show.follow_input(status)

    async def _account_changed(self, platform: str) -> None:
        await self._state.show_destination(platform, **self._account_fields(platform))
        # In the lane, where it meets neither a stop nor the end of a browser's request.
        await self._show_lane.send(FollowAccount(platform=platform))

    def _account_fields(self, platform: str) -> dict[str, Any]:
        """An account's part of its destination."""
        stored = self.accounts.stored.get(platform)
        if stored is None:
            return {"connected": False, "account": "", "relogin": False}
        return {
            "connected": True,
            "account": stored.identity.display_name,
            "relogin": stored.relogin,
        }

    def _limits(self, platform: str) -> Limits:
        return self._services.platforms[platform].limits

    # --- commands: accepted here, one after the other --------------------------------------

    async def handle(self, message: object) -> object:
        match message:
            case Submit(command=command):
                self._under_way += 1
                try:
                    await self._accept(command)
                finally:
                    self._under_way -= 1
            case other:
                raise TypeError(f"user_stream_manager does not know {type(other).__name__}")
        return None

    async def _accept(self, command: Command) -> None:
        """Refuse, or make sure that the command will be worked off."""
        commands = self._services.storage.commands
        if await commands.seen(command.id, self.user.id):
            return
        self._check(command)
        lane = self._talk_lane if isinstance(command, SendChat | EditMetadata) else self._show_lane
        # One place is kept for a show that ends by itself.
        if lane.depth >= LANE_CAPACITY - 1:
            raise RateLimited("Too many commands are waiting.", retry_after=1.0)
        await commands.accept(command.id, self.user.id, command_name(command))
        try:
            await self._show.foresee(command)
        except StreampaiError:
            # Refused after all: the same id may be tried again.
            await durably(lambda: commands.withdraw(command.id, self.user.id))
            raise
        session = self._wishes.session
        lane.put(Accepted(command=command, session_id=None if session is None else session.id))

    def _check(self, command: Command) -> None:
        match command:
            case StartStream():
                self._show.check_start(command)
            case SetDestination(platform=platform) | RetryDestination(platform=platform):
                self._show.check_destination(command, platform)
            case SendChat():
                self._outgoing.check_chat(command)
            case EditMetadata():
                self._outgoing.check_metadata(command)
            case RotateKey() if self.stream_status is not StreamStatus.OFFLINE:
                raise CommandRefused(code="encoder_connected")

    async def _end_soon(self, reason: str, session_id: str) -> None:
        await self._show_lane.send(EndShow(reason=reason, session_id=session_id))

    # --- commands: worked off in their lane -------------------------------------------------

    async def _work_show_lane(self) -> None:
        await self._show.resume()
        while True:
            for job in await self._show_lane.take():
                match job:
                    case EndShow():
                        await self._show.stop_stream(job.reason, job.session_id)
                    case FollowAccount(platform=platform):
                        await self._show.follow_account(platform)
                    case Accepted():
                        await self._carry_out(job)

    async def _work_talk_lane(self) -> None:
        while True:
            for job in await self._talk_lane.take():
                await self._carry_out(job)

    async def _carry_out(self, job: Accepted) -> None:
        """Do it, and tell the outcome."""
        command = job.command
        self._under_way += 1
        try:
            try:
                result = await self._do(job)
            except StreampaiError as exc:
                await self._state.tell_failed(command.id, command_name(command), exc)
            else:
                await self._state.tell_done(command.id, command_name(command), result)
        finally:
            self._under_way -= 1

    async def _do(self, job: Accepted) -> dict[str, Any]:
        match job.command:
            case StartStream() as command:
                return await self._show.start_stream(command)
            case StopStream():
                return await self._show.stop_stream("stopped", job.session_id)
            case SetDestination() as command:
                return await self._show.set_destination(command)
            case RetryDestination() as command:
                return await self._show.retry_destination(command)
            case RotateKey():
                await self._tree.rotate_key()
                return {}
            case SendChat() as command:
                return {"receipts": await self._outgoing.send_chat(command)}
            case EditMetadata() as command:
                return await self._edit_metadata(command)
        raise TypeError(f"no such command: {job.command!r}")

    async def _edit_metadata(self, command: EditMetadata) -> dict[str, Any]:
        receipts = await self._outgoing.edit_metadata(command)
        metadata = self._services.storage.metadata
        title, category = await metadata.get(self.user.id)
        title = title if command.title is None else command.title
        category = category if command.category is None else command.category
        await metadata.set(self.user.id, title, category)
        await self._state.show(title=title, category=category)
        return {"receipts": receipts}
