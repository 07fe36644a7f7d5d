"""What the guard costs: reading, judging, learning, and whole searches with it.

    pytest benchmarks/bench_guard.py --benchmark-columns=min,median,mean,rounds

Questions are made from a grammar (seed 7): what is asked, an order, a comparison, a city, a number. Each
is stored with a query of its own shape and values, so candidates differ as those of a real cache do: in
values, in an operator, in a noun. The readable guard (`plain`) stands beside the compiled one. In whole
searches the vectors are given: random directions, and near its entry for each asked question.
"""

import asyncio
import random
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pytest

from benchmarks.bench_search import DIMENSION, Given, step, unit
from medha_core import CacheEntry, Medha, NativeBackend, Settings
from medha_core.guard import Guard, Learned
from medha_core.guard.compiled import CompiledGuard
from medha_core.normalise import normalize_question, query_hash
from medha_core.scope import entry_id

GUARDS = {"compiled": CompiledGuard, "plain": Guard}
CANDIDATES = 8
ASKED = 200
SIZES = [1_000, 10_000, 100_000]
NOUNS = "customers orders suppliers invoices products parcels returns tickets visits branches".split()
CITIES = "Rome Oslo Lima Paris Cairo Tokyo Delhi Quito Turin Bergen Porto Graz Lyon Cork Bath Kiel".split()
FORMS = [
    ("how many {noun} are there in {city}", "SELECT count(*) FROM {noun} WHERE {noun}.city = '{city}'"),
    (
        "list the {noun} from {city} since {year}",
        "SELECT * FROM {noun} WHERE city = '{city}' AND y >= {year}",
    ),
    ("top {n} {noun} by total in {year}", "SELECT * FROM {noun} WHERE y = {year} ORDER BY total LIMIT {n}"),
    ("which {noun} cost more than {n} in {city}", "SELECT * FROM {noun} WHERE c > {n} AND city = '{city}'"),
    ("average price of {noun} per month in {year}", "SELECT avg(price) FROM {noun} WHERE year = {year}"),
    ("the largest of the {noun} of {city}", "SELECT max(total) FROM {noun} WHERE city = '{city}'"),
    ("{noun} in {city} without a phone number", "SELECT * FROM {noun} WHERE city = '{city}' AND tel IS NULL"),
]
WAYS = ["please show me {}", "{} please", "can you tell me {}", "i would like to see {}", "{} again"]


class Pair(NamedTuple):
    question: str
    query: str


def pairs(count: int) -> list[Pair]:
    """So many different questions, those that are alike beside one another, each with its query."""
    rng = random.Random(7)
    found: dict[str, Pair] = {}
    while len(found) < count:
        question, query = FORMS[len(found) // CANDIDATES % len(FORMS)]
        values = {
            "noun": rng.choice(NOUNS),
            "city": rng.choice(CITIES),
            "year": rng.randrange(1900, 2100),
            "n": rng.randrange(1, 100_000),
        }
        pair = Pair(question.format(**values), query.format(**values))
        if pair.question in found:  # a small form is used up: a district makes it another place
            place = f"{values['city']} {''.join(chr(97 + int(d)) for d in str(len(found)))}"
            pair = Pair(*(text.replace(values["city"], place) for text in pair))
        found[pair.question] = pair
    return list(found.values())


class Judging:
    """A guard that has learnt a thousand entries, and searches of eight candidates each."""

    def __init__(self, kind: str):
        self.guard = GUARDS[kind]()
        self.pairs = pairs(1_000)
        self.entries = [self.guard.features(*pair) for pair in self.pairs]
        self.learned: Any = self.guard.evidence()
        for place, entry in enumerate(self.entries):
            self.learned.observe(place, entry, self.entries[max(0, place - CANDIDATES) : place])
        rng = random.Random(1)
        asked = [rng.choice(WAYS).format(pair.question) for pair in self.pairs[:ASKED]]
        self.asked = [self.guard.features(question) for question in asked]

    def judge(self, place: int) -> int:
        """How many of the entries round a place are accepted."""
        first = place // CANDIDATES * CANDIDATES
        stored, scores = self.entries[first : first + CANDIDATES], [0.9] * CANDIDATES
        if isinstance(self.guard, CompiledGuard):
            found = self.guard.judge_all(self.asked[place], stored, scores, self.learned, "off")
            return len(found.accepted)
        verdicts = (self.guard.judge(self.asked[place], one, 0.9, learned=self.learned) for one in stored)
        return sum(verdict.accepted for verdict in verdicts)


_judging: dict[str, Judging] = {}


@pytest.fixture(params=GUARDS)
def judging(request: pytest.FixtureRequest) -> Judging:
    if request.param not in _judging:
        _judging[request.param] = Judging(request.param)
    return _judging[request.param]


def test_read_a_question(benchmark, judging):
    questions = cycle(f"please {pair.question}" for pair in judging.pairs)
    benchmark(lambda: judging.guard.features(next(questions)))


def test_judge_eight_candidates(benchmark, judging):
    places = cycle(range(ASKED))
    benchmark.extra_info["accepted"] = sum(judging.judge(place) for place in range(ASKED)) / ASKED
    benchmark(lambda: judging.judge(next(places)))


def test_read_an_entry(benchmark, judging):
    entries = cycle(judging.pairs)
    benchmark(lambda: judging.guard.features(*next(entries)))


def test_learn_an_entry(benchmark, judging):
    learned = judging.guard.evidence() if isinstance(judging.guard, CompiledGuard) else Learned()
    places = cycle(range(CANDIDATES, len(judging.entries)))

    def learn() -> None:
        place = next(places)
        learned.observe(place, judging.entries[place], judging.entries[place - CANDIDATES : place])

    benchmark(learn)


class Searching:
    """A cache of `size` entries with the guard on, and questions in other words that lie near an entry.

    The vectors are handed over where the embedding would compute them: what is measured is the rest.
    """

    def __init__(self, size: int):
        rng = np.random.default_rng(7)
        stored = unit(rng.standard_normal((size, DIMENSION)))
        # Entries of one form lie near one another, so that a search finds eight to judge.
        for first in range(0, size, CANDIDATES):
            rows = slice(first, first + CANDIDATES)
            stored[rows] = unit(stored[first] + 0.45 * stored[rows])
        self.pairs = pairs(size)
        ways = random.Random(1)
        self.asked = [ways.choice(WAYS).format(pair.question) for pair in self.pairs[:ASKED]]
        near = unit(stored[:ASKED] + 0.01 * rng.standard_normal((ASKED, DIMENSION)))
        self.vectors = dict(zip(self.asked, near, strict=True))
        settings = Settings(_env_file=None, l1_cache_max_size=0, learned_entries=2_000)
        backend = NativeBackend(settings=settings)
        self.cache = Medha("c", Given(), backend, settings)
        asyncio.run(self._fill(backend, stored))
        self.cache._parts.embedding.aembed_array = self._given

    async def _given(self, questions: list[str], **_: Any) -> np.ndarray:
        return np.stack([self.vectors[question] for question in questions])

    async def _fill(self, backend: NativeBackend, vectors: np.ndarray) -> None:
        await backend.connect()
        await backend.initialize("c", DIMENSION)
        entries = [
            CacheEntry(
                id=entry_id("c", pair.question, {}),
                vector=vector,
                original_question=pair.question,
                normalized_question=normalize_question(pair.question),
                generated_query=pair.query,
                query_hash=query_hash(pair.query),
            )
            for pair, vector in zip(self.pairs, vectors, strict=True)
        ]
        for start in range(0, len(entries), 5_000):
            await backend.upsert("c", entries[start : start + 5_000])
        await self.cache.start()
        await self.cache._parts.teacher.recalled()

    def right(self) -> float:
        """Share of the asked questions that get their own query."""
        hits = [step(self.cache.search(asked)).generated_query for asked in self.asked]
        return sum(hit == pair.query for hit, pair in zip(hits, self.pairs, strict=False)) / ASKED


_searching: dict[int, Searching] = {}


@pytest.mark.parametrize("size", SIZES)
def test_search_with_the_guard(benchmark, size):
    if size not in _searching:
        _searching[size] = Searching(size)
    case = _searching[size]
    benchmark.extra_info["right"] = case.right()
    assert benchmark.extra_info["right"] > 0.5
    questions = cycle(case.asked)
    benchmark(lambda: step(case.cache.search(next(questions))))
