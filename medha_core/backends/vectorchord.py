"""PostgreSQL with the extension VectorChord."""

import time
from collections.abc import Callable

from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.postgres import PostgresDriver
from medha_core.settings import Settings

__all__ = ["VectorChordBackend"]

_PROBES_SHARE = 10
"""Of the lists of the last level, one in so many is looked into."""


class VectorChordDriver(PostgresDriver):
    """`vchordrq` indexes: inverted lists with RaBitQ codes, candidates re-ranked by exact vectors."""

    engine = "vectorchord"
    extensions = ("vector", "vchord")

    def __init__(self, settings: Settings):
        super().__init__(settings)
        probes = [max(1, lists // _PROBES_SHARE) for lists in settings.vc_lists]
        self.session = {
            "vchordrq.probes": ",".join(map(str, probes)),
            "vchordrq.prefilter": "on",
        }

    def index(self, table: str, name: str, dimension: int, condition: str) -> str | None:
        settings = self._settings
        options = (
            f"residual_quantization = {str(settings.vc_residual_quantization).lower()}\n"
            f"[build.internal]\nlists = {[int(lists) for lists in settings.vc_lists]}\n"
        )
        return (
            f"CREATE INDEX IF NOT EXISTS {name} ON {table} USING vchordrq (embedding vector_cosine_ops) "
            f"WITH (options = $options${options}$options$) WHERE {condition}"
        )


class VectorChordBackend(ForeignBackend):
    """Entries in PostgreSQL, by the settings `pg_*` and `vc_*`."""

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(VectorChordDriver(settings or Settings()), clock=clock)
