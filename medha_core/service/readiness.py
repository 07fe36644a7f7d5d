"""Whether a server can answer: what it needs, looked at when asked."""

from medha_core.errors import MedhaError
from medha_core.medha import Medha
from medha_core.service.service import EmbedderService

_FINE = frozenset({"ok", "up", "off", "unknown", "away"})
"""Redis that is away is fine: memory goes on alone."""


class Readiness:
    """The state of the default model, of the cache and of Redis.

    Args:
        cache: None where there are no `/cache` routes.
    """

    def __init__(self, service: EmbedderService, cache: Medha | None = None):
        self._service = service
        self._cache = cache
        self.closing = False
        """Set when the server begins to shut down."""

    async def checks(self) -> dict[str, str]:
        """A word for each part; `ok` where it works."""
        states = {"model": self._model(), "redis": self._service.redis_state}
        if self._cache is not None:
            states["cache"] = await self._store()
        return states

    def is_ready(self, checks: dict[str, str]) -> bool:
        return not self.closing and _FINE.issuperset(checks.values())

    def _model(self) -> str:
        return "ok" if self._service.default_model in self._service.loaded_models() else "not loaded"

    async def _store(self) -> str:
        try:
            await self._cache.stats()  # type: ignore[union-attr]
        except MedhaError:
            return "failed"
        return "ok"
