"""One question on its way, who may see which entry, and what becomes of the one that answers."""

import logging
from typing import NamedTuple

from medha_core.errors import MedhaError, StorageError
from medha_core.interfaces import Candidate
from medha_core.interfaces.storage import Fetched
from medha_core.logs import said
from medha_core.metadata import metadata_matches
from medha_core.scope import Scope
from medha_core.settings import Settings
from medha_core.trace import Explanation, NoTrace
from medha_core.types import CacheHit, SearchStrategy

logger = logging.getLogger("medha_core")


class Request(NamedTuple):
    """One question on its way through the tiers."""

    question: str
    scope: Scope
    trace: Explanation | NoTrace


def hit_from(row: Fetched, strategy: SearchStrategy, confidence: float, cosine: float | None) -> CacheHit:
    """The hit that a stored row makes."""
    return CacheHit(
        generated_query=row.generated_query,
        response_summary=row.response_summary,
        confidence=confidence,
        strategy=strategy,
        template_used=row.template_id,
        expires_at=row.expires_at,
        metadata=row.metadata,
        entry_id=row.id,
        similarity=cosine,
    )


def failure(error: MedhaError, settings: Settings) -> CacheHit:
    """The hit that says why there is none; of a failing store, what `Settings.on_store_error` asks for."""
    logger.warning("search failed: %s", said(error, settings))
    missed = isinstance(error, StorageError) and settings.on_store_error == "miss"
    return CacheHit(strategy=SearchStrategy.NO_MATCH if missed else SearchStrategy.ERROR, error=str(error))


def named(error: Exception) -> MedhaError:
    """An error as one of ours: what is somebody else's may raise anything."""
    if isinstance(error, MedhaError):
        return error
    ours = MedhaError(f"a tier raised {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours


def is_visible(candidate: Candidate, scope: Scope) -> bool:
    """Whether a caller with this scope may see an entry."""
    allowed = bool(scope.filters) or scope.include_scoped or not candidate.metadata
    return allowed and metadata_matches(candidate.metadata, scope.filters)
