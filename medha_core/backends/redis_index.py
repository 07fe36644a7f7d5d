"""The two ways in which a Redis server finds vectors."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from medha_core.backends.driver import Where
from medha_core.backends.record import Record
from medha_core.backends.redis_connection import redis, run_script
from medha_core.settings import Settings

__all__ = ["SearchModule", "VectorIndex", "VectorSets"]

Found = tuple[str, Sequence[Any], float]
_MICROSECONDS = 1_000_000
_SHOWN = ("tags", "expires", "body", "correct", "incorrect")


class VectorIndex(ABC):
    """What finds the records nearest to a vector; the driver keeps the records."""

    name: ClassVar[str]
    write_script: ClassVar[str] = ""
    """Lua that runs after a record's hash was written; KEYS[1] is the base, ARGV[1] the key."""
    delete_script: ClassVar[str] = ""

    def __init__(self, client: Any, settings: Settings):
        self._client = client
        self._settings = settings

    @classmethod
    @abstractmethod
    def is_there(cls, client: Any) -> bool:
        """Whether the server has it."""

    @abstractmethod
    def create(self, space: str, base: str, dimension: int) -> None:
        """Make room for a space, unless it is there."""

    @abstractmethod
    def drop(self, space: str, base: str) -> None:
        """Delete what `create` made."""

    def write_arguments(self, record: Record) -> list[Any]:
        """Further arguments of the script, from ARGV[8] on."""
        return []

    @abstractmethod
    def nearest(
        self, space: str, base: str, queries: Sequence[bytes], limit: int, where: Where
    ) -> list[list[Found]]:
        """For each query, keys, the fields `_SHOWN` of their hashes, and cosines; best first.

        In one round trip.
        """


def _knows(client: Any, *command: str) -> bool:
    """Whether the server has a command; other errors than "unknown command" are raised."""
    try:
        client.execute_command(*command)
    except redis.ResponseError as error:
        if "unknown command" in str(error).lower():
            return False
        raise
    return True


class VectorSets(VectorIndex):
    """Redis 8: a vector set a space, its elements' attributes carrying tags and expiry."""

    name = "vector sets"
    write_script = """
redis.call('VREM', KEYS[1] .. 'vectors', ARGV[1])
redis.call('VADD', KEYS[1] .. 'vectors', 'FP32', ARGV[7], ARGV[1], 'NOQUANT', 'EF', ARGV[9],
  'SETATTR', ARGV[8], 'M', ARGV[10])
"""
    delete_script = "redis.call('VREM', KEYS[1] .. 'vectors', ARGV[1])"
    _NEAREST = """
local found = redis.call('VSIM', KEYS[1] .. 'vectors', 'FP32', ARGV[1], 'WITHSCORES', 'COUNT', ARGV[2],
  'EF', ARGV[3], unpack(ARGV, 4))
local answer = {}
for i = 1, #found, 2 do
  answer[#answer + 1] = {found[i], found[i + 1], redis.call('HMGET', KEYS[1] .. 'e:' .. found[i],
    'tags', 'expires', 'body', 'correct', 'incorrect')}
end
return answer
"""

    def __init__(self, client: Any, settings: Settings):
        super().__init__(client, settings)
        self._nearest = client.register_script(self._NEAREST)

    @classmethod
    def is_there(cls, client: Any) -> bool:
        return _knows(client, "VCARD", "medha:never")

    def create(self, space: str, base: str, dimension: int) -> None:
        """The first element makes the set."""

    def drop(self, space: str, base: str) -> None:
        """The last element took the set with it."""

    def write_arguments(self, record: Record) -> list[Any]:
        attributes = dict.fromkeys(record.tags, 1) | {"x": int(record.expires * _MICROSECONDS)}
        settings = self._settings
        return [json.dumps(attributes), settings.redis_hnsw_ef_construction, settings.redis_hnsw_m]

    def nearest(
        self, space: str, base: str, queries: Sequence[bytes], limit: int, where: Where
    ) -> list[list[Found]]:
        conditions = [f".{tag} == 1" for tag in where.all_of]
        if where.alive_at is not None:
            conditions.append(f".x > {int(where.alive_at * _MICROSECONDS)}")
        # FILTER-EF 0: look on until enough satisfy the filter.
        filtered = ["FILTER", " && ".join(conditions), "FILTER-EF", 0] if conditions else []
        ef = max(200, 2 * limit, self._settings.redis_hnsw_ef_runtime)
        calls = [(base, query, limit, ef, *filtered) for query in queries]
        # VSIM's score is (1 + cosine) / 2; a record without its hash was deleted meanwhile.
        return [
            [
                (key.decode(), fields, 2.0 * float(score) - 1.0)
                for key, score, fields in found
                if fields[0] is not None
            ]
            for found in run_script(self._client, self._nearest, calls)
        ]


class SearchModule(VectorIndex):
    """RediSearch: an index a space over the records' hashes."""

    name = "the search module"

    @classmethod
    def is_there(cls, client: Any) -> bool:
        return _knows(client, "FT._LIST")

    def create(self, space: str, base: str, dimension: int) -> None:
        settings = self._settings
        vector: list[Any] = ["TYPE", "FLOAT32", "DIM", dimension, "DISTANCE_METRIC", "COSINE"]
        if settings.redis_index_algorithm == "HNSW":
            vector += ["M", settings.redis_hnsw_m]
            vector += ["EF_CONSTRUCTION", settings.redis_hnsw_ef_construction]
            vector += ["EF_RUNTIME", max(100, settings.redis_hnsw_ef_runtime)]
        schema = ["tags", "TAG", "SEPARATOR", " ", "expires", "NUMERIC"]
        schema += ["vector", "VECTOR", settings.redis_index_algorithm, len(vector), *vector]
        try:
            self._client.execute_command(
                "FT.CREATE", self._index(space), "ON", "HASH", "PREFIX", 1, f"{base}e:", "SCHEMA", *schema
            )
        except redis.ResponseError as error:
            if "already exists" not in str(error).lower():
                raise

    def drop(self, space: str, base: str) -> None:
        try:
            self._client.execute_command("FT.DROPINDEX", self._index(space))
        except redis.ResponseError as error:
            if not any(words in str(error).lower() for words in ("unknown index", "no such index")):
                raise

    def _index(self, space: str) -> str:
        return f"{self._settings.redis_key_prefix}:{space}"

    def nearest(
        self, space: str, base: str, queries: Sequence[bytes], limit: int, where: Where
    ) -> list[list[Found]]:
        conditions = [f"@tags:{{{tag}}}" for tag in where.all_of]
        if where.alive_at is not None:
            conditions.append(f"@expires:[({float(where.alive_at)!r} +inf]")
        condition = f"({' '.join(conditions)})" if conditions else "*"
        with self._client.pipeline(transaction=False) as pipeline:
            for query in queries:
                pipeline.execute_command(
                    "FT.SEARCH",
                    self._index(space),
                    f"{condition}=>[KNN {int(limit)} @vector $query AS distance]",
                    *("PARAMS", 2, "query", query),
                    *("RETURN", len(_SHOWN) + 1, *_SHOWN, "distance"),
                    *("SORTBY", "distance", "LIMIT", 0, limit, "DIALECT", 2),
                )
            answers = pipeline.execute()
        return [
            [_hit(key, pairs) for key, pairs in zip(answer[1::2], answer[2::2], strict=True) if pairs]
            for answer in answers
        ]


def _hit(key: bytes, pairs: Sequence[bytes]) -> Found:
    """One result of FT.SEARCH: the hash's name, and names and values in turn."""
    held = dict(zip(pairs[::2], pairs[1::2], strict=True))
    fields = [held[name.encode()] for name in _SHOWN]
    return key.rpartition(b":")[2].decode(), fields, 1.0 - float(held[b"distance"])
