"""What users say about answers changes what they get."""

import asyncio

import pytest

from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    Medha,
    OnnxEmbedder,
    SearchStrategy,
    Settings,
)
from medha_core.deciding.assurance import Assurance
from medha_core.embeddings.models import DEFAULT_MODEL, model_path

STORED = "How many customers do we have?"
ASKED = "What is the number of customers we have?"
QUERY = "SELECT count(*) FROM customers"


@pytest.fixture(scope="module")
def embedder():
    if not model_path(DEFAULT_MODEL).is_dir():
        pytest.skip(f"needs the model {DEFAULT_MODEL}: medha models pull")
    return OnnxEmbedder()


@pytest.fixture
def make(embedder):
    def made(**settings):
        return Medha("shop", embedder, settings=Settings(_env_file=None, **settings))

    return made


async def test_a_wrong_answer_is_not_given_again_to_its_question(make):
    async with make() as cache:
        await cache.store(STORED, QUERY)
        hit = await cache.search(ASKED)
        assert hit.generated_query == QUERY
        assert await cache.feedback(ASKED, False, entry_id=hit.entry_id) is True
        assert not await cache.search(ASKED)
        assert (await cache.search(STORED)).generated_query == QUERY


async def test_the_explanation_says_that_it_was_said_to_be_wrong(make):
    async with make() as cache:
        await cache.store(STORED, QUERY)
        hit = await cache.search(ASKED)
        await cache.feedback(ASKED, False, entry_id=hit.entry_id)
        miss = await cache.search(ASKED, explain=True)
        seen = miss.explanation.steps[-1].candidates[0]
        assert (seen.verdict, seen.question) == ("feedback", STORED)
        assert (await cache.stats()).near_misses == {"feedback": 1}


async def test_a_wrong_exchange_of_values_is_not_repeated(make):
    async with make() as cache:
        await cache.store("What was our revenue in 2023?", "SELECT sum(t) FROM o WHERE year = 2023")
        hit = await cache.search("What was our revenue in 2022?")
        assert hit.strategy is SearchStrategy.PARAMETRIC_MATCH
        await cache.feedback("What was our revenue in 2022?", False, entry_id=hit.entry_id)
        assert not await cache.search("What was our revenue in 2022?")


async def test_right_answers_go_on(make):
    async with make() as cache:
        await cache.store(STORED, QUERY)
        hit = await cache.search(ASKED)
        assert await cache.feedback(ASKED, True, entry_id=hit.entry_id) is True
        await cache.clear_caches()
        assert (await cache.search(ASKED)).generated_query == QUERY


async def test_without_an_id_the_stored_question_is_meant(make):
    async with make() as cache:
        await cache.store(STORED, QUERY)
        assert await cache.feedback("how many customers do we have", False) is True
        assert await cache.feedback("Which lamps are red?", False) is False
        assert await cache.feedback(STORED, True, entry_id="no such entry") is False
        assert await cache.feedback(STORED, True, collection_name="shop") is True


async def test_counters_outlive_the_process(make, tmp_path):
    async with make(path=tmp_path) as cache:
        await cache.store(STORED, QUERY)
        await cache.feedback(STORED, True)
    async with make(path=tmp_path, feedback_incorrect_threshold=2) as cache:
        await cache.feedback(STORED, False)
        assert await cache.search(STORED)
    async with make(path=tmp_path, feedback_incorrect_threshold=2) as cache:
        await cache.feedback(STORED, False)
        assert not await cache.search(STORED)
        assert (await cache.stats()).backend_count == 0


async def test_too_many_wrong_answers_delete_the_entry_alone(make):
    async with make(feedback_incorrect_threshold=1) as cache:
        await cache.store(STORED, QUERY)
        await cache.store(STORED, "SELECT 2", metadata={"tenant": "b"})
        hit = await cache.search(STORED)
        assert await cache.feedback(STORED, False, entry_id=hit.entry_id)
        assert not await cache.search(STORED)
        assert (await cache.search(STORED, filters={"tenant": "b"})).generated_query == "SELECT 2"


async def test_too_many_wrong_answers_without_an_id_delete_every_entry_of_the_question(make):
    async with make(feedback_incorrect_threshold=1) as cache:
        await cache.store(STORED, QUERY)
        await cache.store(STORED, "SELECT 2", metadata={"tenant": "b"})
        assert await cache.feedback(STORED, False)
        assert (await cache.stats()).backend_count == 0
        assert not await cache.search(STORED, filters={"tenant": "b"})


async def test_a_deleted_entry_does_not_come_back_from_a_slow_search(make):
    async with make(feedback_incorrect_threshold=1) as cache:
        await cache.store(STORED, QUERY)
        searches = [cache.search(ASKED) for _ in range(5)]
        await asyncio.gather(*searches, cache.feedback(STORED, False))
        assert not await cache.search(ASKED)
        assert not await cache.search(STORED)


async def test_statistics_show_the_error_rate_seen_beside_the_one_promised(make):
    async with make(max_error_rate=0.05) as cache:
        await cache.store(STORED, QUERY)
        assert (await cache.stats()).error_rate_seen is None
        assert "no feedback yet, promised at most 5.00%" in str(await cache.stats())
        for correct in (True, True, True, False):
            await cache.feedback(STORED, correct)
        stats = await cache.stats()
        assert (stats.feedback_correct, stats.feedback_incorrect) == (3, 1)
        assert (stats.error_rate_seen, stats.error_rate_promised) == (0.25, 0.05)
        assert "wrong answers: 25.00% of 4 judged answers, promised at most 5.00%" in str(stats)


async def test_what_cannot_be_judged_is_refused_by_name(make):
    async with make() as cache:
        with pytest.raises(ArgumentTypeError, match="correct"):
            await cache.feedback(STORED, "yes")
        with pytest.raises(ArgumentValueError, match="question"):
            await cache.feedback(" ", True)
        with pytest.raises(ArgumentTypeError, match="entry_id"):
            await cache.feedback(STORED, True, entry_id=7)
    with pytest.raises(ConfigurationError, match="not open"):
        await cache.feedback(STORED, True)


def test_the_synchronous_form(make):
    cache = make()
    cache.start_sync()
    cache.store_sync(STORED, QUERY)
    hit = cache.search_sync(ASKED)
    assert cache.feedback_sync(ASKED, False, entry_id=hit.entry_id) is True
    assert not cache.search_sync(ASKED)
    cache.close_sync()


# the boost


async def test_trusted_entries_are_lifted_over_the_semantic_threshold(make):
    settings = {"guard": "off", "score_threshold_semantic": 0.98, "score_threshold_fuzzy": 100}
    async with make(**settings, feedback_boost_factor=0.2) as cache:
        await cache.store(STORED, QUERY)
        assert not await cache.search(ASKED)
        await cache.feedback(STORED, True)
        hit = await cache.search(ASKED)
        assert hit.strategy is SearchStrategy.SEMANTIC_MATCH
        assert hit.similarity < 0.98
    async with make(**settings) as cache:
        await cache.store(STORED, QUERY)
        await cache.feedback(STORED, True)
        assert not await cache.search(ASKED)


# the record of an entry


def required(correct=0, incorrect=0, **settings):
    return Assurance(Settings(_env_file=None, **settings), 0.7).required(correct, incorrect)


def test_a_lower_error_rate_asks_for_more_confidence():
    asked = [required(max_error_rate=rate) for rate in (1.0, 0.1, 0.03, 0.01, 0.0001)]
    assert asked == sorted(asked)
    assert asked[0] == 0.7
    assert asked[-1] == float("inf")


@pytest.mark.parametrize("settings", [{}, {"max_error_rate": 0.03}])
def test_wrong_answers_raise_what_an_entry_must_reach(settings):
    asked = [required(0, wrong, **settings) for wrong in range(5)]
    assert asked == sorted(asked)
    assert asked[0] < asked[1]


async def test_the_record_of_an_entry_decides_whether_other_words_get_it(make):
    async with make() as cache:
        await cache.store(STORED, QUERY)
        assert await cache.search(ASKED)
        await cache.feedback(STORED, False)
        miss = await cache.search(ASKED, explain=True)
        assert not miss
        assert miss.explanation.steps[-1].candidates[0].verdict == "error_rate"
        for _ in range(60):
            await cache.feedback(STORED, True)
        assert (await cache.search(ASKED)).generated_query == QUERY


def test_right_answers_lower_it_again_but_never_below_the_level():
    rate = {"max_error_rate": 0.03}
    assert required(0, 1, **rate) > required(30, 1, **rate)
    assert required(0, 0, **rate) >= required(500, 0, **rate) >= 0.7
    assert required(500, 0) == required() == 0.7


async def test_no_answer_but_the_same_words_when_nothing_is_certain_enough(make):
    async with make(max_error_rate=0.000001) as cache:
        await cache.store(STORED, QUERY)
        miss = await cache.search(ASKED, explain=True)
        assert not miss
        assert miss.explanation.steps[-1].candidates[0].verdict == "error_rate"
        assert (await cache.search(STORED)).generated_query == QUERY


def test_an_error_rate_needs_the_guard(make):
    with pytest.raises(ConfigurationError, match="max_error_rate: needs the guard"):
        make(max_error_rate=0.1, guard="off")


def test_settings_refuse_rates_that_are_none():
    for rate in (0, -0.1, 1.5):
        with pytest.raises(ValueError, match="max_error_rate"):
            Settings(_env_file=None, max_error_rate=rate)
