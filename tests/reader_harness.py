"""Asks a directory that another process writes, until a moment (seconds since the epoch).

    python tests/reader_harness.py FOLDER UNTIL

Prints as JSON what was seen that may not be, how often it asked, and how old the oldest answer was.
"""

import asyncio
import json
import sys
import time

from medha_core import HashingEmbedder, Medha, MedhaError, SearchStrategy


async def read_on(folder: str, until: float) -> dict[str, object]:
    faults, asked, oldest = [], 0, 0.0
    async with Medha.open(folder, mode="r", embedder=HashingEmbedder(32)) as cache:
        while time.time() < until or not asked:
            for number in range(10):
                hit = await cache.search(f"Where is machine {number}?")
                told, _, stamp = hit.generated_query.partition(" -- ")
                if hit.strategy is SearchStrategy.ERROR or told != f"SELECT {number}":
                    faults.append(f"{number}: {hit}")
                else:
                    oldest = max(oldest, time.time() - float(stamp))
                asked += 1
            await asyncio.sleep(0.002)
    return {"faults": faults[:3], "asked": asked, "oldest": oldest}


if __name__ == "__main__":
    try:
        said = asyncio.run(read_on(sys.argv[1], float(sys.argv[2])))
    except MedhaError as error:
        said = {"faults": [repr(error)], "asked": 0, "oldest": 0.0}
    print(json.dumps(said))
