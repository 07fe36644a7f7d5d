"""Forgetting: entries that must no longer answer."""

from medha_core.acts.parts import Parts


class Forgetting:
    """Deletes entries."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def expire(self, collection_name: str | None = None) -> int:
        """Delete the entries that have expired; their number. It costs what it deletes, not what is stored.

        Expired entries answer nothing, deleted or not: this frees their room.
        """
        self._parts.check_started()
        self._parts.check_writable()
        self._parts.l1.advance()
        gone = await self._parts.backend.expire(
            self._parts.scope.collection if collection_name is None else collection_name
        )
        await self._parts.l1.invalidate_entries(gone)
        return len(gone)
