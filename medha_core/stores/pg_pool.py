"""A pool of connections to PostgreSQL, waited for while the server starts."""

import asyncio
import logging
from typing import Any

from medha_core.errors import ArgumentValueError, ConfigurationError, StorageInitializationError

__all__ = ["open_pool"]

logger = logging.getLogger("medha_core")


async def _as_it_is(_connection: Any) -> None:
    """Done to a connection before its next use: its state never changes, and asking is a round trip."""


async def open_pool(dsn: str, min_size: int, max_size: int, retries: int, backoff: float) -> Any:
    """A pool of asyncpg. Raises `StorageInitializationError` after the last retry."""
    try:
        import asyncpg
    except ImportError as error:
        raise ConfigurationError("PgVectorStore needs asyncpg: pip install 'medha-core[pgvector]'") from error
    if retries < 0:
        raise ArgumentValueError("startup_retries", "0 or more", retries)
    passing = (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.TooManyConnectionsError,
    )
    for attempt in range(retries + 1):
        try:
            return await asyncpg.create_pool(dsn, min_size=min_size, max_size=max_size, reset=_as_it_is)
        except passing as error:
            if attempt == retries:
                raise StorageInitializationError(
                    f"PostgreSQL cannot be reached after {retries + 1} attempts: {error}"
                ) from error
            wait = backoff * 2**attempt
            logger.warning(
                "PostgreSQL cannot be reached (attempt %d of %d), next in %.1f s: %s",
                attempt + 1,
                retries + 1,
                wait,
                error,
            )
            await asyncio.sleep(wait)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise StorageInitializationError(f"PostgreSQL refuses the connection: {error}") from error
    raise AssertionError("unreachable")
