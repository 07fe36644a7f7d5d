"""What the first microseconds of a question cost: normalising, its key, the first-level cache.

    pytest benchmarks/bench_text.py --benchmark-columns=min,median,rounds --benchmark-group-by=group

Each group runs the extension and its Python twin. Questions are fixed; vectors have seed 7.
"""

from types import ModuleType

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from medha_core import _core, _twin

DIMENSION = 384
QUESTIONS = {
    "plain, 60 characters": "show total revenue per region for the third quarter of 2024?",
    "polite, 60 characters": "Could you show me the revenue per region for the year 2024?!",
    "with a literal": "show total revenue of the customer 'Ada Lovelace' for 2024?",
    "beyond ASCII": "zeige den Umsatz für Zürich und Genève im dritten Quartal 2024?",
    "1,000 characters": "show total revenue per region for the third quarter of 2024 and " * 16,
}
CORES = {"extension": _core, "twin": _twin}


@pytest.fixture(params=CORES)
def core(request: pytest.FixtureRequest) -> ModuleType:
    """The extension and its twin."""
    return CORES[request.param]


@pytest.fixture(params=QUESTIONS)
def question(request: pytest.FixtureRequest) -> str:
    """Each of the fixed questions."""
    return QUESTIONS[request.param]


@pytest.mark.benchmark(group="normalize")
def test_normalize(benchmark: BenchmarkFixture, core: ModuleType, question: str) -> None:
    assert benchmark(core.normalize, question) == _twin.normalize(question)


@pytest.mark.benchmark(group="question_key")
def test_question_key(benchmark: BenchmarkFixture, core: ModuleType, question: str) -> None:
    assert benchmark(core.question_key, b"shop", question) == _twin.question_key(b"shop", question)


@pytest.mark.benchmark(group="lookup, a hit among 1,000")
def test_lookup(benchmark: BenchmarkFixture, core: ModuleType, question: str) -> None:
    cache = full_cache(core)
    cache.put(core.question_key(b"shop", question), "SELECT 1")
    assert benchmark(cache.lookup, b"shop", question) == "SELECT 1"


@pytest.mark.benchmark(group="put with eviction at 1,000")
def test_put(benchmark: BenchmarkFixture, core: ModuleType) -> None:
    cache = full_cache(core)
    keys = [number.to_bytes(16, "little") for number in range(2000)]

    def put_all() -> None:
        for tag, key in enumerate(keys):
            cache.put(key, key, tag=tag)

    benchmark(put_all)
    benchmark.extra_info["calls per round"] = len(keys)
    assert len(cache) == 1000


@pytest.mark.benchmark(group="as_unit_rows")
@pytest.mark.parametrize("rows", [1, 1000])
def test_as_unit_rows(benchmark: BenchmarkFixture, core: ModuleType, rows: int) -> None:
    batch = np.random.default_rng(7).standard_normal((rows, DIMENSION)).astype(np.float32)
    assert benchmark(core.as_unit_rows, batch, DIMENSION).shape == batch.shape


@pytest.mark.benchmark(group="quantize_int8")
@pytest.mark.parametrize("rows", [1, 1000])
def test_quantize_int8(benchmark: BenchmarkFixture, core: ModuleType, rows: int) -> None:
    batch = np.random.default_rng(7).standard_normal((rows, DIMENSION)).astype(np.float32)
    assert benchmark(core.quantize_int8, batch)[0].shape == batch.shape


def full_cache(core: ModuleType) -> object:
    """A cache of 1,000 records."""
    cache = core.LRUCache(1000)
    for number in range(1000):
        cache.put(core.hash_parts(str(number)), number)
    return cache
