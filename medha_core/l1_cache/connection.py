"""One Redis client for all event loops of a process, and what happens while there is no server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from medha_core.concurrency.bridge import bridge
from medha_core.concurrency.forking import leave_open
from medha_core.errors import ArgumentValueError, ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

logger = logging.getLogger("medha_core")

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
"""Seconds without a server in which it is not asked again; doubled until the longest."""


_CONNECTIONS = 8
"""Connections at most; work beyond them waits its turn."""


class Connection:
    """Runs work with a client on the loop of the process's bridge, so that no caller's loop owns a socket.

    While the server cannot be reached, work is skipped: that is one warning, and one
    line when it is back.

    Args:
        url: `redis://`, `rediss://` or `unix://`. Never logged: it may hold a password.
        timeout: seconds a connection or an answer may take.
    """

    def __init__(self, url: str, timeout: float, *, clock: Callable[[], float] = monotonic):
        try:
            from redis.asyncio.connection import parse_url
            from redis.exceptions import RedisError
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "redis":
                raise
            raise ConfigurationError(
                "RedisL1Cache needs the package redis: pip install 'medha-core[redis]'"
            ) from None
        try:
            where = parse_url(url)
        except ValueError as error:
            raise ArgumentValueError(
                "url", "redis://, rediss:// or unix://", url.partition(":")[0]
            ) from error
        self.place = where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"
        """Where the server is, for people."""
        self._url = url
        self._timeout = timeout
        self._clock = clock
        self._errors = (RedisError, OSError, asyncio.TimeoutError)
        self._client: Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pause = 0.0
        self._again_at = 0.0

    @property
    def is_up(self) -> bool:
        """Whether the last work succeeded, or none was done yet."""
        return not self._pause

    async def run(self, work: "Callable[[Redis], Awaitable[T]]") -> T | None:
        """What `work` gives, or None when the server cannot be reached."""
        if self._is_waiting():
            return None
        return await bridge.borrow(self._attempt(work))

    def _is_waiting(self) -> bool:
        return bool(self._pause) and self._clock() < self._again_at

    async def close(self) -> None:
        """Close the connections; the next work opens new ones."""
        await bridge.borrow(self._close())

    # on the bridge's loop only

    async def _attempt(self, work: "Callable[[Redis], Awaitable[T]]") -> T | None:
        client, room = self._made()
        async with room:
            if self._is_waiting():
                return None
            try:
                result = await work(client)
            except self._errors as error:
                self._lost(error)
                return None
        if self._pause:
            logger.info("the first-level cache at %s is reachable again", self.place)
            self._pause = 0.0
        return result

    def _lost(self, error: BaseException) -> None:
        if not self._pause:
            logger.warning(
                "the first-level cache at %s is not reachable, going on without: %s",
                self.place,
                type(error).__name__,
            )
        self._pause = min(max(self._pause * 2, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        self._again_at = self._clock() + self._pause

    def _made(self) -> "tuple[Redis, asyncio.Semaphore]":
        """The client of this loop, and room in it; a forked child has another loop and makes its own."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            options: dict[str, Any] = {
                "decode_responses": True,
                "socket_timeout": self._timeout,
                "socket_connect_timeout": self._timeout,
                # Once: a connection kept from before the server was restarted.
                "retry": Retry(NoBackoff(), 1),
            }
            if self._client is not None:
                leave_open(self._client)  # of the process that forked this one
            self._client, self._loop = Redis.from_url(self._url, **options), loop
            self._room = asyncio.Semaphore(_CONNECTIONS)
        return self._client, self._room

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()
