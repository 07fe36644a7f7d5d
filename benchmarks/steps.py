"""Where the time of a search goes: its steps, each without those inside it, by how a question is answered.

    python -m benchmarks.steps [--size 10000] [--rounds 7] [--pairs pairs.jsonl ...]

Vectors are given and the guard is on. What is remembered of questions (first level, read questions,
vectors) is forgotten before each round, so none is asked twice; entries and words were met before. Without
`--pairs` the questions are those of `benchmarks.compare`; with it, JSON lines with `question` and `sql` (.gz
too), of which one in ten is asked and the others are stored.

A step is what one function takes but for the steps it calls. Looking at the clock so often adds a tenth to
the whole, so the median of the whole is measured without.
"""

import argparse
import asyncio
import gc
import gzip
import inspect
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.compare.caches import Vectors
from benchmarks.compare.data import load
from benchmarks.compare.pair import on_one_core
from medha_core import BaseEmbedder, Medha, OnnxEmbedder, Settings
from medha_core.deciding import decision
from medha_core.waterfall import vector_tiers

Pair = tuple[str, str]


class Given(BaseEmbedder):
    """Looks vectors up instead of computing them."""

    dimension = 384
    model_name = "given"

    def __init__(self, vectors: dict[str, np.ndarray]):
        self.vectors = vectors

    async def aembed(self, text: str) -> Any:
        return self.vectors[text]

    async def aembed_batch(self, texts: list[str], **_: Any) -> Any:
        return [self.vectors[text] for text in texts]


def synthetic(size: int) -> tuple[list[Pair], list[str], dict[str, np.ndarray]]:
    """Pairs to store, questions to ask, and the vectors of all."""
    data = load("synthetic", size)
    vectors = Vectors(data.rows, data.hits, data.nearest, data.misses)
    pairs = [(question, f"SELECT {number}") for number, question in enumerate(vectors.stored)]
    return pairs, [*vectors.hits, *vectors.misses], vectors.known


def real(paths: Iterable[str], size: int) -> tuple[list[Pair], list[str], dict[str, np.ndarray]]:
    """The same from files of labelled questions."""
    found: dict[str, str] = {}
    for path in map(Path, paths):
        data = path.read_bytes()
        for line in (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines():
            one = json.loads(line)
            found.setdefault(one["question"], one["sql"])
    pairs = list(found.items())
    random.Random(7).shuffle(pairs)
    tenth = min(len(pairs) // 10, 600)
    asked, stored = [question for question, _ in pairs[:tenth]], pairs[tenth : tenth + size]
    texts = [*asked, *(question for question, _ in stored)]
    with OnnxEmbedder() as model:
        return stored, asked, dict(zip(texts, model.embed_array(texts), strict=True))


class Steps:
    """Times functions by name, each without what is timed inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = [0.0]

    def begin(self) -> None:
        """A new search."""
        self.seconds, self._inside = defaultdict(float), [0.0]

    def watch(self, owner: Any, name: str, step: str) -> None:
        """Time `owner.name` as a step from now on."""
        setattr(owner, name, self._timed(step, getattr(owner, name)))

    def _timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        async def waited(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            begun = perf_counter()
            try:
                return await function(*arguments, **named)
            finally:
                self._end(step, perf_counter() - begun)

        def called(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            begun = perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._end(step, perf_counter() - begun)

        return waited if inspect.iscoroutinefunction(function) else called

    def _end(self, step: str, seconds: float) -> None:
        self.seconds[step] += seconds - self._inside.pop()
        self._inside[-1] += seconds


def watch_all(steps: Steps, cache: Medha) -> None:
    """Time the steps of a cache. Whatever is not named here is the glue's."""
    parts = cache._parts
    knowledge, by_vector = parts.waterfall._knowledge, parts.waterfall._by_vector
    steps.watch(parts.backend, "with_text", "text look-up")
    steps.watch(parts.embedding, "aembed_array", "embedder's wrapper")
    steps.watch(parts.backend, "_nearest", "index")
    steps.watch(parts.backend, "candidates", "candidates")
    steps.watch(parts.backend, "fetch", "row")
    steps.watch(by_vector, "_alike", "same words elsewhere")
    steps.watch(knowledge, "alike", "same words elsewhere")
    steps.watch(knowledge, "_asked", "reading the question")
    steps.watch(knowledge, "_stored", "entries read before")
    steps.watch(knowledge.guard, "judge_all", "judging")
    steps.watch(knowledge, "decide", "deciding")
    steps.watch(decision, "write", "exchanging values")
    steps.watch(decision, "completed", "exchanging values")
    steps.watch(by_vector._assurance, "settle", "assurance")
    steps.watch(by_vector, "_count", "statistics")
    steps.watch(parts.stats, "record", "statistics")
    steps.watch(parts.stats, "record_embedding", "statistics")
    steps.watch(vector_tiers, "hit_from", "hit object")
    steps.watch(parts.waterfall, "remember", "first level, filled")


class Trial:
    """A filled cache, and what is asked of it by how it is answered."""

    def __init__(self, pairs: Sequence[Pair], asked: Sequence[str], vectors: dict[str, np.ndarray]):
        self._pairs, self._asked = pairs, asked
        self.cache = Medha("c", Given(vectors), settings=Settings(_env_file=None))
        self.kinds: dict[str, list[str]] = defaultdict(list)

    async def fill(self) -> None:
        await self.cache.start()
        items = [{"question": question, "generated_query": query} for question, query in self._pairs]
        await self.cache.store_many(items, batch_size=5_000)
        self._read = self.cache._parts.waterfall._knowledge._asked
        for question in self._asked:
            self.kinds[(await self.cache.search(question)).strategy.value].append(question)

    async def forget_questions(self) -> None:
        await self.cache._parts.l1.clear()
        self.cache._parts.embedding.forget()
        self._read.cache_clear()

    async def whole(self, questions: Sequence[str], rounds: int) -> tuple[float, float]:
        """Median and processor microseconds of a search."""
        times, cpu = [], 0.0
        for _ in range(rounds):
            await self.forget_questions()
            before = process_time()
            for question in questions:
                begun = perf_counter()
                await self.cache.search(question)
                times.append(perf_counter() - begun)
            cpu += process_time() - before
        return 1e6 * median(times), 1e6 * cpu / len(times)

    async def by_step(self, steps: Steps, questions: Sequence[str], rounds: int) -> dict[str, float]:
        """Median microseconds of each step."""
        seen: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            await self.forget_questions()
            for question in questions:
                steps.begin()
                begun = perf_counter()
                await self.cache.search(question)
                steps.seconds["glue"] = perf_counter() - begun - sum(steps.seconds.values())
                for step, seconds in steps.seconds.items():
                    seen[step].append(seconds)
        searches = rounds * len(questions)
        return {step: 1e6 * median(times + [0.0] * (searches - len(times))) for step, times in seen.items()}


async def run(options: argparse.Namespace) -> None:
    trial = Trial(*(real(options.pairs, options.size) if options.pairs else synthetic(options.size)))
    await trial.fill()
    on_one_core()
    gc.collect()
    kinds = {kind: asked for kind, asked in trial.kinds.items() if len(asked) >= 20}
    wholes = {kind: await trial.whole(asked, options.rounds) for kind, asked in kinds.items()}
    steps = Steps()
    watch_all(steps, trial.cache)
    for kind, asked in kinds.items():
        whole, cpu = wholes[kind]
        print(f"{kind}: {len(asked)} questions, median {whole:.1f} us, processor {cpu:.1f} us")
        found = await trial.by_step(steps, asked, options.rounds)
        for step, microseconds in sorted(found.items(), key=lambda one: -one[1]):
            print(f"  {step:<22}{microseconds:8.1f}")
    await trial.cache.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the time of a search goes.")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", nargs="*", default=[])
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
