"""What a user has chosen for the next show: where to, under which title."""

from .database import Database


class Destinations:
    """Platforms switched on or off. Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, user_id: int) -> dict[str, bool]:
        """Whether each platform that was ever set is on; in order of platform."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT platform, enabled FROM destinations WHERE user_id = ? ORDER BY platform",
                (user_id,),
            ).fetchall()
        )
        return {platform: bool(enabled) for platform, enabled in rows}

    async def set(self, user_id: int, platform: str, enabled: bool) -> None:
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "INSERT OR REPLACE INTO destinations (user_id, platform, enabled)"
                    " VALUES (?, ?, ?)",
                    (user_id, platform, enabled),
                ).rowcount
            )
        )

    async def delete(self, user_id: int, platform: str) -> None:
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM destinations WHERE user_id = ? AND platform = ?",
                    (user_id, platform),
                ).rowcount
            )
        )


class Metadata:
    """Title and category. Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user_id: int) -> tuple[str, str]:
        """Title and category; both empty until they are first set."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT title, category FROM metadata WHERE user_id = ?", (user_id,)
            ).fetchone()
        )
        return (row[0], row[1]) if row else ("", "")

    async def set(self, user_id: int, title: str, category: str) -> None:
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "INSERT OR REPLACE INTO metadata (user_id, title, category) VALUES (?, ?, ?)",
                    (user_id, title, category),
                ).rowcount
            )
        )
