"""One row of the comparison, in a process of its own: ours and a peer, taken in turn on one core.

    python -m benchmarks.compare.pair '{"work": "index", "peer": "hnswlib", "data": "text", "size": 10000}'

The last line it prints is JSON. Processor time and the clock are read around the same calls.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.compare.caches import CACHES, OURS, Cache, Vectors
from benchmarks.compare.data import Data, load
from benchmarks.compare.engines import EFS, ENGINES, Engine, Ours

TURN = 25
"""Calls of one side before it is the other's turn."""
SECONDS = 20.0
"""What one side may take for one kind of question."""


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def built(make: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `make` makes, with its processor seconds, seconds and bytes."""
    gc.collect()
    before, cpu, clock = resident(), time.process_time(), time.perf_counter()
    made = make()
    return made, {
        "build_cpu_s": time.process_time() - cpu,
        "build_s": time.perf_counter() - clock,
        "bytes": resident() - before,
    }


def on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def in_turn(
    sides: dict[str, Callable[[Any], Any]], asked: Sequence[Any]
) -> dict[str, tuple[np.ndarray, list[Any]]]:
    """Microseconds of each call and what it gave, the sides alternating; a slow side answers fewer."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    given: dict[str, list[Any]] = {name: [] for name in sides}
    for start in range(0, len(asked), TURN):
        for name, ask in sides.items():
            if sum(times[name]) > SECONDS:
                continue
            for one in asked[start : start + TURN]:
                begun = time.perf_counter()
                answer = ask(one)
                times[name].append(time.perf_counter() - begun)
                given[name].append(answer)
    return {name: (1e6 * np.array(times[name]), given[name]) for name in sides}


def quantiles(microseconds: np.ndarray) -> dict[str, float]:
    return {"p50_us": float(np.median(microseconds)), "p99_us": float(np.percentile(microseconds, 99))}


# the index


def index_row(task: dict[str, Any]) -> dict[str, Any]:
    """Hits and misses of two engines over the same rows, with recall and false answers."""
    data = load(task["data"], task["size"], task.get("questions", ""))
    makers = {"ours": Ours, "peer": ENGINES[task["peer"]]}
    engines: dict[str, Engine] = {}
    row: dict[str, Any] = {}
    for name, make in makers.items():
        make(data.rows[:10], data.min_score).close()  # imports what it needs
        engines[name], row[name] = built(lambda make=make: make(data.rows, data.min_score))
    on_one_core()
    row["peer"]["ef"] = tuned(engines["peer"], data)
    for name in engines:
        for query in data.hits[:50]:
            engines[name].search(query)
    for kind, asked in (("hit", data.hits), ("miss", data.misses)):
        for name, (times, labels) in in_turn({n: e.search for n, e in engines.items()}, asked).items():
            row[name][kind] = quantiles(times)
            if kind == "hit":
                row[name]["recall"] = float(np.mean(np.array(labels) == data.nearest[: len(labels)]))
            else:
                row[name]["false"] = float(np.mean([label is not None for label in labels]))
    for engine in engines.values():
        engine.close()
    return row


def tuned(engine: Engine, data: Data, wanted: float = 0.99) -> int | None:
    """Set the smallest breadth with which an engine finds enough of the hits; None where it has none."""
    if engine.ef is None:
        return None
    for ef in EFS:
        engine.set_ef(ef)
        found = np.array([engine.search(query) for query in data.hits])
        if np.mean(found == data.nearest) >= wanted:
            return ef
    return EFS[-1]


# whole caches


async def cache_row(task: dict[str, Any]) -> dict[str, Any]:
    """First-level hits, semantic hits, misses and stores of two caches with the same entries."""
    data = load(task["data"], task["size"], task.get("questions", ""))
    row: dict[str, Any] = {}
    caches: dict[str, Cache] = {}
    for name, make in (("ours", OURS), ("peer", CACHES[task["peer"]])):
        vectors = Vectors(data.rows, data.hits, data.nearest, data.misses)
        caches[name] = make(vectors)
        cpu = time.process_time()
        await caches[name].fill()
        row[name] = {"build_cpu_s": time.process_time() - cpu}
    on_one_core()
    fresh = [f"visits {text}" for text in vectors.stored[:200]]
    repeated = [vectors.stored[-1 - i % 20] for i in range(500)]
    for cache in caches.values():
        cache.vectors.known.update(zip(fresh, data.misses[:200], strict=False))
        for question in repeated[:20]:
            await cache.ask(question)
    kinds = {"l1": repeated, "hit": vectors.hits, "miss": vectors.misses}
    for kind, asked in kinds.items():
        for name, cache in caches.items():
            if kind != "l1" and cache.exact_only:
                continue
            times, answers = await timed(cache.ask, asked)
            row[name][kind] = quantiles(times)
            if kind == "hit":
                right = [f"SELECT {label}" for label in data.nearest[: len(answers)]]
                row[name]["right"] = float(np.mean([a == b for a, b in zip(answers, right, strict=True)]))
                row[name]["wrong"] = float(
                    np.mean([a is not None and a != b for a, b in zip(answers, right, strict=True)])
                )
            elif kind == "miss":
                row[name]["false"] = float(np.mean([bool(answer) for answer in answers]))
    for name, cache in caches.items():
        times, _ = await timed(lambda text, cache=cache: cache.store(text, "SELECT 1"), fresh)
        row[name]["store"] = quantiles(times)
        await cache.close()
    return row


async def timed(ask: Callable[[str], Awaitable[Any]], asked: Sequence[str]) -> tuple[np.ndarray, list[Any]]:
    times: list[float] = []
    answers = []
    for one in asked:
        begun = time.perf_counter()
        answers.append(await ask(one))
        times.append(time.perf_counter() - begun)
        if sum(times) > SECONDS:
            break
    return 1e6 * np.array(times), answers


def main() -> None:
    task = json.loads(sys.argv[1])
    row = index_row(task) if task["work"] == "index" else asyncio.run(cache_row(task))
    print(json.dumps(row))


if __name__ == "__main__":
    main()
