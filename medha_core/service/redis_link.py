"""Redis as a place for bytes: pipelined, asynchronous, never waited for long, and allowed to be away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from time import monotonic
from typing import Any

from medha_core.concurrency.bridge import bridge
from medha_core.errors import ArgumentTypeError, ConfigurationError

try:
    import redis
    import redis.asyncio.retry
    import redis.backoff
except ModuleNotFoundError as error:
    if error.name != "redis":
        raise
    raise ConfigurationError("the Redis cache needs redis: pip install 'medha-core[redis]'") from error

logger = logging.getLogger("medha_core")

_AWAY = (redis.RedisError, OSError, TimeoutError)


class RedisLink:
    """Gets and sets many values in one round trip; None while Redis is away.

    After a failure Redis is left alone for `pause` seconds; then one call tries
    again. A synchronous client is used in a thread, so that it never blocks the
    event loop.

    Args:
        client: a URL, a `redis.asyncio` client, or a synchronous one. The client of a URL
            serves every event loop, and is closed with the link.
        timeout: seconds a call may take.
    """

    def __init__(
        self,
        client: Any,
        *,
        timeout: float = 1.0,
        pause: float = 1.0,
        clock: Callable[[], float] = monotonic,
    ):
        self._timeout = timeout
        self._owned = isinstance(client, str)
        self._client = _opened(client, timeout) if self._owned else client
        if not hasattr(self._client, "pipeline"):
            raise ArgumentTypeError("redis_client", "a Redis client or URL", client)
        pool = getattr(self._client, "connection_pool", None)
        if getattr(pool, "connection_kwargs", {}).get("decode_responses"):
            raise ConfigurationError("redis_client: vectors are bytes, so decode_responses must be off")
        self._is_async = asyncio.iscoroutinefunction(self._client.pipeline(transaction=False).execute)
        self._pause = pause
        self._clock = clock
        self._try_at = 0.0
        self.up: bool | None = None
        """Whether the last call reached Redis; None before the first."""

    def __repr__(self) -> str:
        return f"<RedisLink, {({None: 'not tried', True: 'up', False: 'away'})[self.up]}>"

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """The value of each key, None for one that holds no bytes; None for all when Redis is away."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
        answers = await self._run(pipeline)
        return answers and [answer if isinstance(answer, bytes) else None for answer in answers]

    async def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> bool:
        """Keep values for `ttl` seconds (None: for ever); whether Redis took them."""
        pipeline = self._client.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.set(key, value, px=None if ttl is None else max(1, round(ttl * 1000)))
        answers = await self._run(pipeline)
        return answers is not None and not any(isinstance(answer, Exception) for answer in answers)

    async def close(self) -> None:
        """Close a client that was made here."""
        if self._owned:
            await bridge.borrow(self._client.aclose())

    async def _run(self, pipeline: Any) -> Any:
        if self._clock() < self._try_at:
            return None
        self._try_at = self._clock() + self._pause if self.up is False else 0.0  # one try at a time
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._executed(pipeline)
        except _AWAY as error:
            self._lost(error)
            return None
        self._found()
        return answer

    def _executed(self, pipeline: Any) -> Awaitable[Any]:
        # An answer that is an error concerns one key; what is raised concerns the connection.
        if not self._is_async:
            return asyncio.to_thread(pipeline.execute, raise_on_error=False)
        answers: Coroutine[Any, Any, Any] = pipeline.execute(raise_on_error=False)
        # Connections belong to one event loop: those made here to one that no caller ends.
        return bridge.borrow(answers) if self._owned else answers

    def _lost(self, error: Exception) -> None:
        self._try_at = self._clock() + self._pause
        if self.up is not False:
            logger.warning("Redis is away, vectors are remembered in memory: %s", type(error).__name__)
        self.up = False

    def _found(self) -> None:
        self._try_at = 0.0
        if self.up is False:
            logger.warning("Redis is back")
        self.up = True


def _opened(url: str, timeout: float) -> Any:
    # One retry, at once: a connection of the pool may be dead although Redis lives.
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1)
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    try:
        return redis.asyncio.Redis.from_url(url, retry=retry, **limits)
    except ValueError as error:
        raise ConfigurationError(f"redis_url: {error}") from error
