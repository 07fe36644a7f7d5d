"""A first-level cache in Redis, shared by the processes of a service; needs the extra `redis`."""

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import ValidationError

from medha_core.concurrency.forking import lock
from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.interfaces.l1_cache import L1CacheBackend
from medha_core.l1_cache import scripts
from medha_core.l1_cache.connection import Connection
from medha_core.types import CacheHit

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisL1Cache"]

_AT_ONCE = 128
"""Keys or entries handed to the server in one step, during which it serves nobody else."""


class RedisL1Cache(L1CacheBackend):
    """Ready hits in a Redis (or Valkey) server, for all processes that use the same `prefix`.

    Safe from any thread and event loop. What one process forgets, none serves any more, and no slow
    search of another brings it back: the generation is kept on the server. Without a server every
    look-up misses; what was forgotten meanwhile is made good by emptying the cache when it is back.

    Everything stands in four keys, `<prefix>:records`, `:recent`, `:by_entry` and `:generation`;
    the waterfall's keys carry collection and filters, so collections share a prefix without
    meeting. Values are JSON. The server runs short Lua scripts (Redis 5 or later, no cluster).

    Args:
        url: `redis://[[user]:password@]host:port/db`, `rediss://` or `unix://`.
        prefix: apart from caches with another one.
        ttl: seconds a hit is kept at most; None until its entry expires or it is pushed out.
        max_size: hits kept; those unused for longest make room. 0 turns the cache off.
        timeout: seconds the server may take; then the look-up is a miss.
    """

    shared = True

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        prefix: str = "medha:l1",
        ttl: int | None = None,
        max_size: int = 1000,
        *,
        timeout: float = 0.5,
        clock: Callable[[], float] = time.time,
    ):
        for name, text in (("url", url), ("prefix", prefix)):
            if not isinstance(text, str):
                raise ArgumentTypeError(name, "str", text)
        if not prefix:
            raise ArgumentValueError("prefix", "text that is not empty", prefix)
        if ttl is not None and ttl < 1:
            raise ArgumentValueError("ttl", "at least 1 second, or None", ttl)
        if max_size < 0:
            raise ArgumentValueError("max_size", "0 or more", max_size)
        if timeout <= 0:
            raise ArgumentValueError("timeout", "a positive number of seconds", timeout)
        self._connection = Connection(url, timeout)
        self._prefix = prefix
        self._keys = [f"{prefix}:{name}" for name in ("records", "recent", "by_entry", "generation")]
        self._ttl = ttl
        self._max_size = max_size
        self._clock = clock
        self._lock = lock()
        """Held while one of those below changes."""
        self._size = 0
        self._generation = 0
        """The server's generation as far as it is known, and what was added here since."""
        self._unsent = 0
        """Steps of the generation that the server was not told of yet."""
        self._untold = 0
        """How often something was forgotten that the server could not be told of."""
        self._told = 0
        """How many of those were made good by emptying the cache."""

    def __repr__(self) -> str:
        state = "" if self._connection.is_up else ", not reachable"
        return f"<RedisL1Cache {self._prefix!r} at {self._connection.place}, {self._size}{state}>"

    @property
    def size(self) -> int:
        """Hits held by all processes, as of this one's last look."""
        return self._size

    @property
    def generation(self) -> int:
        return self._generation

    def advance(self) -> int:
        with self._lock:
            self._generation += 1
            self._unsent += 1
            return self._generation

    async def get(self, key: str) -> CacheHit | None:
        if not self._max_size:
            return None
        record = await self._run(scripts.READ, quote(key, safe=""))
        hit = self._hit(record) if record else None
        if record and hit is None:
            await self._run(scripts.DROP, quote(key, safe=""))
        return hit

    async def set(self, key: str, value: CacheHit) -> None:
        await self._write(key, value, None)

    async def refill(self, key: str, value: CacheHit, generation: int) -> None:
        if generation == self._generation:
            await self._write(key, value, generation)

    async def invalidate(self, key: str) -> None:
        await self._forget(0, scripts.DROP, [quote(key, safe="")])

    async def invalidate_entries(self, entry_ids: Sequence[str]) -> None:
        await self._forget(len(entry_ids), scripts.FORGET, [quote(one, safe="") for one in entry_ids])

    async def invalidate_prefix(self, prefix: str) -> None:
        """Drop every key that starts with `prefix`, a few at a time."""
        start = quote(prefix, safe="")
        found = await self._connection.run(lambda client: self._starting(client, start))
        await self._forget(1, scripts.DROP, found or [], lost=found is None)

    async def clear(self) -> None:
        await self._forget(0, scripts.CLEAR, [])

    async def invalidate_all(self) -> None:
        await self._forget(1, scripts.CLEAR, [])

    async def connect(self) -> None:
        """Learn the server's generation, so that what is stored first can be shown at once."""
        await self._send(scripts.DROP)

    async def close(self) -> None:
        await self._connection.close()

    # records

    async def _write(self, key: str, value: CacheHit, generation: int | None) -> None:
        if not self._max_size:
            return
        entry = quote(value.entry_id, safe="") if value.entry_id else ""
        await self._run(
            scripts.WRITE,
            quote(key, safe=""),
            self._record(value, entry),
            entry,
            "" if generation is None else str(generation),
            str(self._max_size),
            "" if self._ttl is None else str(self._ttl),
        )

    def _record(self, hit: CacheHit, entry: str) -> str:
        ends = [hit.expires_at.timestamp()] if hit.expires_at else []
        ends += [self._clock() + self._ttl] if self._ttl else []
        fields = hit.model_dump(mode="json", exclude={"explanation"})
        return json.dumps({"entry": entry, "until": min(ends, default=None), "hit": fields})

    def _hit(self, record: str) -> CacheHit | None:
        """The hit in a record; None for one that has expired or that nobody here wrote."""
        try:
            held = json.loads(record)
            if held["until"] is not None and held["until"] <= self._clock():
                return None
            return CacheHit.model_validate(held["hit"])
        except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
            return None

    # talking to the server

    async def _run(self, script: str, *arguments: str) -> str | None:
        """Run a script; its own result, None without a server.

        A server that was away may hold what should have been dropped: it is emptied first.
        """
        untold = self._untold
        if untold > self._told and await self._send(scripts.CLEAR) is not None:
            with self._lock:
                self._told = max(self._told, untold)
        return None if self._untold > self._told else await self._send(script, *arguments)

    async def _send(self, script: str, *arguments: str) -> str | None:
        with self._lock:
            sent, self._unsent = self._unsent, 0
        answer = None
        try:
            answer = await self._connection.run(lambda client: self._call(client, script, sent, arguments))
        finally:
            with self._lock:
                if answer is None:  # no server, or cancelled: a step that is told twice does no harm
                    self._unsent += sent
                else:
                    _, generation, self._size = answer
                    self._generation = int(generation) + self._unsent
        return None if answer is None else answer[0]

    async def _call(
        self, client: "Redis", script: str, sent: int, arguments: Sequence[str]
    ) -> tuple[str, str, int]:
        # A generation that was lost with the server begins above all that were given out.
        first = int(self._clock() * 1e6)
        return await client.register_script(script)(self._keys, [first, sent, *arguments])

    async def _forget(self, steps: int, script: str, arguments: list[str], *, lost: bool = False) -> None:
        """Advance the generation, and tell the server what to drop, now or when it is back."""
        with self._lock:
            self._generation += steps
            self._unsent += steps
        told = False
        try:
            for start in range(0, max(len(arguments), 1), _AT_ONCE):
                lost = await self._send(script, *arguments[start : start + _AT_ONCE]) is None or lost
            told = not lost
        finally:  # a caller that was cancelled leaves it untold
            if not told:
                with self._lock:
                    self._untold += 1

    async def _starting(self, client: "Redis", start: str) -> list[str]:
        return [key async for key, _ in client.zscan_iter(self._keys[1], f"{start}*", _AT_ONCE)]
