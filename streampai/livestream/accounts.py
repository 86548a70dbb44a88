"""One user's accounts at the platforms, and a token refresher for each.

The tokens live here, in the user's own tasks; storage has them encrypted.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

import trio

from .. import names
from ..errors import CommandRefused, ReloginNeeded
from ..platforms.platform import Account, Tokens
from ..platforms.tokens import AccountTokens
from ..runtime import ChildSpec, DynamicSupervisor, NotFound
from ..storage import StoredAccount
from .services import Report, Services

# Of the daemon's grace, this much is for a renewal under way to be written down; the
# supervisor gives up a little later.
RENEWAL_SHARE, REFRESHER_SHARE = 0.5, 0.6


class UserAccounts:
    """``changed(platform)`` is called when an account came, went, or needs a log-in.

    ``run`` is the supervisor of the token refreshers; it fills itself again from
    what is loaded, so it may crash and come back.
    """

    def __init__(
        self,
        *,
        user_id: int,
        services: Services,
        changed: Callable[[str], Awaitable[None]],
        report: Report,
    ) -> None:
        self._user_id = user_id
        self._services = services
        self._changed = changed
        self._report = report
        self._stored: dict[str, StoredAccount] = {}
        self._tokens: dict[str, AccountTokens] = {}
        self._accounts: dict[str, Account] = {}
        self._refreshers: DynamicSupervisor | None = None

    @property
    def stored(self) -> Mapping[str, StoredAccount]:
        return self._stored

    @property
    def relogin(self) -> set[str]:
        return {name for name, account in self._stored.items() if account.relogin}

    def get(self, platform: str) -> Account:
        """Raises CommandRefused ``platform_not_connected`` or ReloginNeeded."""
        account = self._accounts.get(platform)
        if account is None:
            raise CommandRefused(code="platform_not_connected", platform=platform)
        if self._stored[platform].relogin:
            raise ReloginNeeded(platform=platform)
        return account

    def account(self, platform: str) -> Account:
        """Also an account that needs a log-in: its monitor waits for that."""
        return self._accounts[platform]

    async def load(self) -> None:
        for stored in await self._services.storage.accounts.all(self._user_id):
            if stored.platform in self._services.platforms:
                self._bind(stored)

    async def reload(self, platform: str) -> None:
        """Take up what a log-in or a disconnection has stored."""
        stored = await self._services.storage.accounts.get(self._user_id, platform)
        if stored is None:
            self._stored.pop(platform, None)
            self._tokens.pop(platform, None)
            self._accounts.pop(platform, None)
            await self._stop_refresher(platform)
        elif (
            platform in self._tokens
            and stored.identity.platform_user_id == self._stored[platform].identity.platform_user_id
        ):
            self._stored[platform] = stored
            self._tokens[platform].replace(stored.tokens)
        else:
            await self._stop_refresher(platform)
            self._bind(stored)
            if self._refreshers is not None:
                await self._start_refresher(self._refreshers, platform)
        await self._changed(platform)

    def _bind(self, stored: StoredAccount) -> None:
        name, services = stored.platform, self._services
        platform = services.platforms[name]
        accounts = services.storage.accounts

        async def load() -> Tokens | None:
            found = await accounts.get(self._user_id, name)
            return None if found is None else found.tokens

        async def validate() -> None:
            await self._accounts[name].validate()

        tokens = AccountTokens(
            user_id=self._user_id,
            platform=name,
            tokens=stored.tokens,
            load=load,
            validate=validate,
            save=partial(
                accounts.save_tokens,
                self._user_id,
                name,
                of=stored.identity.platform_user_id,
            ),
            grace=services.settings.web.shutdown_grace * RENEWAL_SHARE,
            refresh=platform.refresh,
            relogin=partial(self._needs_login, name),
            telemetry=services.telemetry,
            now=services.now,
        )
        self._stored[name] = stored
        self._tokens[name] = tokens
        self._accounts[name] = platform.account(
            user_id=self._user_id, identity=stored.identity, tokens=tokens
        )

    async def _needs_login(self, platform: str, reason: str) -> None:
        await self._services.storage.accounts.mark(
            self._user_id, platform, relogin=True, reason=reason
        )
        stored = await self._services.storage.accounts.get(self._user_id, platform)
        if stored is not None:
            self._stored[platform] = stored
        await self._changed(platform)

    async def run(
        self, *, task_status: "trio.TaskStatus[object]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        settings = self._services.settings.livestream
        supervisor = DynamicSupervisor(
            name=f"token_refreshers/{self._user_id}",
            max_restarts=settings.refresher_restarts,
            max_seconds=settings.refresher_restart_window,
            report=self._report,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run, name=f"token_refreshers/{self._user_id}/accounts")
            self._refreshers = supervisor
            try:
                for platform in list(self._tokens):
                    await self._start_refresher(supervisor, platform)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._refreshers = None

    async def _stop_refresher(self, platform: str) -> None:
        if self._refreshers is not None:
            with suppress(NotFound):
                await self._refreshers.terminate_child(platform)

    async def _start_refresher(self, supervisor: DynamicSupervisor, platform: str) -> None:
        await supervisor.start_child(
            ChildSpec(
                id=platform,
                start=self._tokens[platform].run,
                name=names.task_name(names.token_refresher(self._user_id, platform)),
                # A renewal under way is written down first: the old tokens may be dead.
                shutdown=self._services.settings.web.shutdown_grace * REFRESHER_SHARE,
                handshake=False,
            )
        )
