"""Redis: vector sets (Redis 8 and later) or the search module, whichever the server has."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.record import Record
from medha_core.backends.redis_connection import connect, redis, run_script
from medha_core.backends.redis_index import SearchModule, VectorIndex, VectorSets
from medha_core.errors import StorageInitializationError
from medha_core.settings import Settings

__all__ = ["RedisVectorBackend"]

_FIELDS = ("tags", "expires", "body", "correct", "incorrect", "vector")
_AT_ONCE = 200

# One script a record, so that its hash and the sets it is looked up by change together.
_FORGET = """
local old = redis.call('HGET', KEYS[1] .. 'e:' .. ARGV[1], 'tags')
if old then
  for tag in string.gmatch(old, '%S+') do redis.call('SREM', KEYS[1] .. 't:' .. tag, ARGV[1]) end
end
"""
_WRITE = (
    _FORGET
    + """
local entry = KEYS[1] .. 'e:' .. ARGV[1]
for tag in string.gmatch(ARGV[2], '%S+') do redis.call('SADD', KEYS[1] .. 't:' .. tag, ARGV[1]) end
redis.call('ZADD', KEYS[1] .. 'keys', 0, ARGV[1])
redis.call('ZADD', KEYS[1] .. 'expires', ARGV[3], ARGV[1])
redis.call('HSET', entry, 'tags', ARGV[2], 'expires', ARGV[3], 'body', ARGV[4], 'correct', ARGV[5],
  'incorrect', ARGV[6], 'vector', ARGV[7])
"""
)
_DELETE = (
    _FORGET
    + """
redis.call('ZREM', KEYS[1] .. 'keys', ARGV[1])
redis.call('ZREM', KEYS[1] .. 'expires', ARGV[1])
redis.call('DEL', KEYS[1] .. 'e:' .. ARGV[1])
"""
)
_FEEDBACK = """
local entry = KEYS[1] .. 'e:' .. ARGV[1]
if redis.call('EXISTS', entry) == 0 then return 0 end
return redis.call('HINCRBY', entry, ARGV[2], 1)
"""


class RedisDriver(Driver):
    """A hash a record; sets of keys by tag, sorted sets by key and by expiry; the vectors in an index.

    All keys of a collection share a hash tag, so that a cluster keeps them on one node.
    """

    engine = "redis"
    lost = (redis.ConnectionError, redis.TimeoutError, ConnectionError)
    batch = 200
    together = 100

    def __init__(self, settings: Settings):
        self._settings = settings
        self._client: Any = None
        self._index: VectorIndex | None = None
        self.prefix = settings.redis_key_prefix

    def describe(self) -> str:
        settings = self._settings
        where = settings.redis_url and settings.redis_url.rpartition("@")[2]
        means = f" by {self._index.name}" if self._index else ""
        return f"{where or f'{settings.redis_host}:{settings.redis_port}'}{means}"

    # life

    def open(self) -> None:
        self._client = connect(self._settings)
        self._client.ping()
        for kind in (SearchModule, VectorSets):
            if kind.is_there(self._client):
                self._index = kind(self._client, self._settings)
                break
        else:
            raise StorageInitializationError(
                "redis: this server has neither vector sets (Redis 8) nor the search module: "
                "it can keep a first-level cache, and no vectors"
            )
        self._write = self._client.register_script(_WRITE + self._index.write_script)
        self._delete = self._client.register_script(_DELETE + self._index.delete_script)
        self._feedback = self._client.register_script(_FEEDBACK)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _base(self, space: str) -> str:
        return f"{self.prefix}:{{{space}}}:"

    # notes

    def _notes(self, kind: str) -> str:
        return f"{self.prefix}:notes:{kind}"

    def read_note(self, space: str, kind: str) -> str | None:
        found = self._client.hget(self._notes(kind), space)
        return None if found is None else found.decode()

    def write_note(self, space: str, kind: str, text: str) -> None:
        self._client.hset(self._notes(kind), space, text)

    def notes(self, kind: str) -> list[str]:
        return [note.decode() for note in self._client.hvals(self._notes(kind))]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        self._indexed.create(space, self._base(space), dimension)

    @property
    def _indexed(self) -> VectorIndex:
        if self._index is None:
            raise StorageInitializationError("redis: not connected")
        return self._index

    def drop(self, space: str) -> None:
        base = self._base(space)
        while keys := self._client.zrange(f"{base}keys", 0, _AT_ONCE - 1):
            self.delete(space, [key.decode() for key in keys])
        self._indexed.drop(space, base)
        for kind in ("collection", "stats"):
            self._client.hdel(self._notes(kind), space)

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        base = self._base(space)
        calls = [
            (
                base,
                record.key,
                " ".join(record.tags),
                repr(float(record.expires)),
                record.body,
                record.correct,
                record.incorrect,
                np.asarray(record.vector, dtype="<f4").tobytes(),
                *self._indexed.write_arguments(record),
            )
            for record in records
        ]
        run_script(self._client, self._write, calls, whole=True)

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        queries = [np.asarray(vector, dtype="<f4").tobytes() for vector in vectors]
        answers = self._indexed.nearest(space, self._base(space), queries, limit, where)
        return [[(_record(key, fields), cosine) for key, fields, cosine in found] for found in answers]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        found: list[Record] = []
        for keys in self._keys(space, where, limit):
            records = self._read(space, keys, with_vectors)
            found += [record for record in records if where.holds(record)]
            if len(found) >= limit:
                break
        return found[:limit]

    def _keys(self, space: str, where: Where, limit: int) -> Iterator[list[str]]:
        """Pages of keys, in order, among which are all that satisfy `where`."""
        base, client = self._base(space), self._client
        sets = [f"{base}t:{tag}" for tag in where.all_of or where.any_of]
        chosen: Any = None
        if where.keys:
            chosen = where.keys
        elif sets:
            chosen = client.sinter(sets) if where.all_of else client.sunion(sets)
        elif where.expired_at is not None:
            chosen = client.zrangebyscore(f"{base}expires", "-inf", repr(float(where.expired_at)))
        if chosen is not None:
            keys = sorted(key if isinstance(key, str) else key.decode() for key in chosen)
            keys = [key for key in keys if key > where.after]
            for start in range(0, len(keys), _AT_ONCE):
                yield keys[start : start + _AT_ONCE]
            return
        low = f"({where.after}" if where.after else "-"
        while page := client.zrangebylex(f"{base}keys", low, "+", 0, min(limit, 1000)):
            yield [key.decode() for key in page]
            low = f"({page[-1].decode()}"

    def _read(self, space: str, keys: Sequence[str], with_vectors: bool) -> list[Record]:
        base, fields = self._base(space), _FIELDS if with_vectors else _FIELDS[:-1]
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(f"{base}e:{key}", fields)
            found = pipeline.execute()
        # A key without its hash was deleted meanwhile.
        return [_record(key, held) for key, held in zip(keys, found, strict=True) if held[0] is not None]

    def count(self, space: str) -> int:
        return int(self._client.zcard(f"{self._base(space)}keys"))

    def delete(self, space: str, keys: Sequence[str]) -> None:
        base = self._base(space)
        run_script(self._client, self._delete, [(base, key) for key in keys], whole=True)

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        name = "correct" if correct else "incorrect"
        (count,) = run_script(self._client, self._feedback, [(self._base(space), key, name)])
        return int(count)


def _record(key: str, fields: Sequence[Any]) -> Record:
    tags, expires, body, correct, incorrect, *rest = fields
    return Record(
        key,
        tuple(tags.decode().split()),
        float(expires),
        body.decode(),
        int(correct),
        int(incorrect),
        np.frombuffer(rest[0], dtype="<f4") if rest else None,
    )


class RedisVectorBackend(ForeignBackend):
    """Entries in Redis, by the settings `redis_*`.

    Uses the search module (`FT.*`) where the server has it, else vector sets
    (`VADD`, `VSIM`); `repr` says which. A server with neither is refused.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(RedisDriver(settings or Settings()), clock=clock)
