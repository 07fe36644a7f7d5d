"""Finding a mistyped question among stored ones without a vector, beside rapidfuzz over all of them.

    pytest benchmarks/bench_spelling.py --benchmark-columns=median,iqr,rounds --benchmark-group-by=group

Texts are 5 to 14 words drawn from those of the tests' questions, seed 3; asked is a stored text without its
last letter but one. Both ways find the same texts.
"""

import itertools
import random
from functools import cache
from pathlib import Path

import pytest
from rapidfuzz import fuzz, process

from medha_core.embedded.spelling import Spellings

LEAST = 85.0


@cache
def texts(size: int) -> list[str]:
    questions = (Path(__file__).parents[1] / "tests" / "data" / "questions.txt").read_text("utf-8")
    chosen, words = random.Random(3), questions.lower().split()
    return [" ".join(chosen.choices(words, k=chosen.randint(5, 14))) for _ in range(size)]


@pytest.mark.parametrize("way", ["pruned", "rapidfuzz"])
@pytest.mark.parametrize("size", [1_000, 10_000, 100_000])
def test_near(benchmark, size: int, way: str) -> None:
    stored = texts(size)
    spellings = Spellings(stored)
    asked = [f"{text[:-2]}{text[-1]}" for text in stored[:: max(1, size // 50)]]

    def plain(text: str) -> set[int]:
        return {place for _, _, place in process.extract(text, stored, scorer=fuzz.ratio, processor=None,
                                                         score_cutoff=LEAST, limit=None)}  # fmt: skip

    def pruned(text: str) -> set[int]:
        return {place for place, _ in spellings.near(text, LEAST, len(stored))}

    assert pruned(asked[0]) == plain(asked[0])
    benchmark.group = f"{size} texts"
    queries = itertools.cycle(asked)
    benchmark(lambda: (pruned if way == "pruned" else plain)(next(queries)))
