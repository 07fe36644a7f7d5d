"""What a vector costs: the model alone, with its tokenizer, and through the embedder.

    python benchmarks/bench_embedding.py          the tables, ways of computing interleaved
    pytest benchmarks/bench_embedding.py          the same calls under pytest-benchmark

Interleaving gives every way the same share of a noisy machine. CPU time is the
process's, so threads that spin or wait busily show; the cosine beside the time is
against float32. Texts differ from call to call: nothing is remembered.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from medha_core.embeddings import OnnxEmbedder

WORDS = "orders customers rivers flights prices cities movies teams".split()
BATCHES = (8, 32, 128)
POOLS = (1, 2, 4)


def questions() -> Iterator[str]:
    """Questions of 12 tokens, marks included, each new."""
    for number in count():
        word, other = WORDS[number % 8], WORDS[number // 8 % 8]
        yield f"how many {word} and {other} are in area {chr(97 + number // 64 % 26)} now"


def mixed(size: int, seed: int) -> list[str]:
    """Questions of 6 to 24 tokens, of many lengths, as a batch has them."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 23))) for _ in range(size)]


async def compare(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """CPU and wall milliseconds of each way, (rounds, 2), taken in turn; a way may be asynchronous."""
    times = {name: np.empty((rounds, 2)) for name in ways}
    for turn in range(-3, rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            result = way()
            if inspect.isawaitable(result):
                await result
            if turn >= 0:
                times[name][turn] = time.process_time() - cpu, time.perf_counter() - wall
    return {name: 1000 * values for name, values in times.items()}


def show(title: str, times: dict[str, np.ndarray], texts: int = 1) -> None:
    print(f"\n{title:<44}  cpu p10   cpu p50  wall p10  wall p50  texts/cpu-s")
    for name, values in times.items():
        low, middle = np.percentile(values, [10, 50], axis=0)
        figures = f"{low[0]:9.3f} {middle[0]:9.3f} {low[1]:9.3f} {middle[1]:9.3f}"
        print(f"  {name:<42}{figures} {1000 * texts / middle[0]:12.0f}")


def single(embedder: OnnxEmbedder) -> dict[str, Callable[[], object]]:
    texts, model = questions(), embedder._model
    ids = model.tokenizer.encode_batch([next(texts)])[0].ids
    bare, feed = model.session._session, {"input_ids": np.array([ids], np.int32)}
    variant = f"{embedder.variant}, {len(ids)} tokens"
    return {
        f"{variant}: session.run alone": lambda: bare.run(None, feed),
        f"{variant}: tokenizer and run": lambda: model.session.run(
            [model.tokenizer.encode_batch([next(texts)])[0].ids]
        ),
        f"{variant}: embed_array": lambda: embedder.embed_array([next(texts)]),
        f"{variant}: embed (list of float)": lambda: embedder.embed(next(texts)),
        f"{variant}: aembed_array": lambda: embedder.aembed_array([next(texts)]),
    }


def batches(embedders: list[OnnxEmbedder], size: int) -> dict[str, Callable[[], object]]:
    seeds = count()
    return {
        f"{embedder.variant}, {embedder.threads} threads": lambda embedder=embedder: embedder.embed_array(
            mixed(size, next(seeds))
        )
        for embedder in embedders
    }


def clients(embedder: OnnxEmbedder, number: int = 16) -> Callable[[], object]:
    """So many tasks that ask one question each, at once."""
    texts = questions()

    async def ask() -> None:
        await asyncio.gather(*(embedder.aembed_array([next(texts)]) for _ in range(number)))

    return ask


async def main() -> None:
    pools = [OnnxEmbedder(threads=number) for number in POOLS]
    exact = OnnxEmbedder(variant="float32", threads=2)
    texts = mixed(200, 1)
    cosines = (pools[0].embed_array(texts) * exact.embed_array(texts)).sum(axis=1)
    print(f"int8 against float32: cosine {cosines.min():.4f} smallest, {cosines.mean():.4f} mean")
    for embedder in (pools[0], exact):
        show("one question, hot", await compare(single(embedder), 300))
    show("one question, models in turn", await compare(single(pools[0]) | single(exact), 100))
    for size in BATCHES:
        show(f"batch of {size}, mixed lengths", await compare(batches([*pools, exact], size), 20), size)
    asked = {f"int8, {pool.threads} threads": clients(pool) for pool in pools}
    show("16 clients at once, 12 tokens each", await compare(asked, 40), 16)


@pytest.fixture(scope="module", params=["int8", "float32"])
def embedder(request: pytest.FixtureRequest) -> Iterator[OnnxEmbedder]:
    with OnnxEmbedder(variant=request.param) as embedder:
        yield embedder


def test_one_question(benchmark, embedder):
    texts = questions()
    benchmark.extra_info["variant"] = embedder.variant
    assert benchmark(lambda: embedder.embed_array([next(texts)])).shape == (1, 384)


@pytest.mark.parametrize("size", BATCHES)
def test_batch(benchmark, embedder, size):
    seeds = count()
    benchmark.extra_info["texts"] = size
    vectors = benchmark(lambda: embedder.embed_array(mixed(size, next(seeds))))
    assert vectors.shape == (size, 384)


if __name__ == "__main__":
    asyncio.run(main())
