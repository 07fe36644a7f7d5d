"""Answers questions from a directory that another process writes.

    python tests/asking_harness.py FOLDER

Reads a JSON list of questions a line, and writes a line with the list of what
answered each: the strategy and the query.
"""

import asyncio
import json
import sys

from forgetting_world import WORLD

from medha_core import Medha, Settings


async def answer(folder: str) -> None:
    settings = Settings(_env_file=None)
    async with Medha.open(folder, mode="r", embedder=WORLD.embedder(), settings=settings) as cache:
        for line in sys.stdin:
            hits = [await cache.search(question) for question in json.loads(line)]
            print(json.dumps([(hit.strategy.value, hit.generated_query) for hit in hits]), flush=True)


if __name__ == "__main__":
    asyncio.run(answer(sys.argv[1]))
