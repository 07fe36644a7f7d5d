"""What a first-level cache in Redis costs beside the one in memory: a hit, a miss, a hit that is kept.

    python benchmarks/bench_redis_l1.py [redis://...]

Without an address it starts a server, as the tests do.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from medha_core import CacheHit, InMemoryL1Cache, SearchStrategy
from medha_core.l1_cache import RedisL1Cache

ROUNDS = 2000
HIT = CacheHit(generated_query="SELECT 1", strategy=SearchStrategy.L1_CACHE, entry_id="e")


async def microseconds(act):
    """Median and 95th percentile of the wall time of one call."""
    spent = []
    for i in range(ROUNDS):
        begin = time.perf_counter()
        await act(i)
        spent.append(time.perf_counter() - begin)
    spent.sort()
    return spent[ROUNDS // 2] * 1e6, spent[ROUNDS * 95 // 100] * 1e6


async def measure(name, l1):
    await l1.set("k", HIT)
    for label, act in (
        ("hit", lambda _: l1.get("k")),
        ("miss", lambda _: l1.get("absent")),
        ("keep", lambda i: l1.refill(f"{i:032x}", HIT, l1.generation)),
    ):
        middle, late = await microseconds(act)
        print(f"{name:<8}{label:<6}{middle:>8.1f} us {late:>8.1f} us p95")
    await l1.close()


@contextlib.contextmanager
def server(url):
    """The address given, or that of a server of its own."""
    if url is not None:
        yield url
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from servers import RedisServer

    with tempfile.TemporaryDirectory() as folder, RedisServer(folder) as started:
        yield started.url


async def main(url):
    await measure("memory", InMemoryL1Cache())
    await measure("redis", RedisL1Cache(url))


if __name__ == "__main__":
    with server(sys.argv[1] if len(sys.argv) > 1 else None) as address:
        asyncio.run(main(address))
