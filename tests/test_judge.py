"""The optional judge: asked in doubt only, within its time, and never twice."""

import asyncio
import threading

import pytest

from medha_core import ArgumentTypeError, ConfigurationError, Medha, OnnxEmbedder, Settings
from medha_core.deciding.rulings import Rulings
from medha_core.embeddings.models import DEFAULT_MODEL, model_path

STORED = "How many customers do we have?"
LIKE_IT = "What is the number of customers we have?"
UNSURE = "How many customers do we serve?"
FAR = "How many of our clients ever come back?"
OTHER = "How many customers do we not have?"
QUERY = "SELECT count(*) FROM customers"


@pytest.fixture(scope="module")
def embedder():
    if not model_path(DEFAULT_MODEL).is_dir():
        pytest.skip(f"needs the model {DEFAULT_MODEL}: medha models pull")
    return OnnxEmbedder()


class Judge:
    """Answers as it is told and remembers what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def __call__(self, *texts):
        self.asked.append(texts)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def ask(embedder):
    async def asked(judge, *questions, **settings):
        settings = Settings(_env_file=None, l1_cache_max_size=0, judge_from=0.001, judge_to=1.0, **settings)
        async with Medha("shop", embedder, settings=settings, judge=judge) as cache:
            await cache.store(STORED, QUERY)
            return [await cache.search(question, explain=True) for question in questions]

    return asked


def verdict(hit):
    return hit.explanation.steps[-1].candidates[0].verdict


async def test_a_doubtful_answer_is_given_when_the_judge_agrees(ask):
    judge = Judge(True)
    (hit,) = await ask(judge, LIKE_IT)
    assert hit.generated_query == QUERY
    assert judge.asked == [(LIKE_IT, STORED, QUERY)]


async def test_a_candidate_that_was_refused_in_doubt_is_given_when_the_judge_agrees(ask):
    (without,) = await ask(None, UNSURE)
    assert not without
    (hit,) = await ask(Judge(True), UNSURE)
    assert hit.generated_query == QUERY
    assert verdict(hit) == "judge"


@pytest.mark.parametrize("question", [LIKE_IT, UNSURE])
async def test_a_judge_that_does_not_agree_refuses(ask, question):
    (miss,) = await ask(Judge(False), question)
    assert not miss
    assert verdict(miss) == "judge"


@pytest.mark.parametrize("answer", [ValueError("no idea"), None, "yes", 1])
async def test_what_fails_refuses_and_is_asked_again(ask, answer):
    judge = Judge(answer)
    assert not any(await ask(judge, LIKE_IT, LIKE_IT))
    assert len(judge.asked) == 2


async def test_a_veto_is_not_put_to_the_judge(ask):
    judge = Judge(True)
    assert not any(await ask(judge, OTHER))
    assert judge.asked == []


async def test_exchanged_values_are_not_put_to_the_judge(embedder):
    judge = Judge(False)
    settings = Settings(_env_file=None, judge_from=0.001, judge_to=1.0)
    async with Medha("shop", embedder, settings=settings, judge=judge) as cache:
        await cache.store("What was our revenue in 2023?", "SELECT sum(t) FROM o WHERE year = 2023")
        hit = await cache.search("What was our revenue in 2022?")
    assert hit.generated_query == "SELECT sum(t) FROM o WHERE year = 2022"
    assert judge.asked == []


async def test_what_lies_below_every_threshold_is_not_put_to_the_judge(ask):
    judge = Judge(True)
    assert not any(await ask(judge, FAR))
    assert judge.asked == []


async def test_the_same_words_are_not_put_to_the_judge(ask):
    judge = Judge(False)
    (hit,) = await ask(judge, STORED.upper())
    assert hit
    assert judge.asked == []


@pytest.mark.parametrize("answer", [True, False])
async def test_answers_are_remembered(ask, answer):
    judge = Judge(answer)
    hits = await ask(judge, LIKE_IT, LIKE_IT, LIKE_IT)
    assert [bool(hit) for hit in hits] == [answer] * 3
    assert len(judge.asked) == 1


async def test_what_a_user_said_is_not_put_to_the_judge(embedder):
    judge = Judge(True)
    settings = Settings(_env_file=None, judge_to=1.0)
    async with Medha("shop", embedder, settings=settings, judge=judge) as cache:
        await cache.store(STORED, QUERY)
        hit = await cache.search(LIKE_IT)
        await cache.feedback(LIKE_IT, False, entry_id=hit.entry_id)
        assert not await cache.search(LIKE_IT)
    assert len(judge.asked) == 1


async def test_outside_the_band_nobody_is_asked(embedder):
    judge = Judge(False)
    settings = Settings(_env_file=None, judge_from=0.001, judge_to=0.002)
    async with Medha("shop", embedder, settings=settings, judge=judge) as cache:
        await cache.store(STORED, QUERY)
        assert await cache.search(LIKE_IT)
    assert judge.asked == []


async def test_a_coroutine_function_is_awaited_in_the_loop(ask):
    threads = []

    async def judge(_question, _stored, query):
        await asyncio.sleep(0)
        threads.append(threading.current_thread())
        return query == QUERY

    (hit,) = await ask(judge, LIKE_IT)
    assert hit
    assert threads == [threading.current_thread()]


async def test_a_synchronous_judge_does_not_hold_the_loop(ask):
    threads = []
    (hit,) = await ask(lambda *_: threads.append(threading.current_thread()) is None, LIKE_IT)
    assert hit
    assert threads != [threading.current_thread()]


async def test_a_judge_that_takes_too_long_refuses(ask):
    released = threading.Event()
    try:
        for endless in (lambda *_: asyncio.Event().wait(), lambda *_: released.wait()):
            (miss,) = await ask(endless, LIKE_IT, judge_timeout=0.05)
            assert not miss
    finally:
        released.set()


def test_what_cannot_be_called_is_refused(embedder):
    with pytest.raises(ArgumentTypeError, match="judge"):
        Medha("shop", embedder, judge="yes")


def test_a_judge_needs_the_guard(embedder):
    with pytest.raises(ConfigurationError, match="judge: needs the guard"):
        Medha("shop", embedder, settings=Settings(_env_file=None, guard="off"), judge=Judge(True))


def test_rulings_are_bounded_and_tell_texts_apart():
    rulings = Rulings(2)
    rulings.remember("a", "b", "c", True)
    assert rulings.of("a", "bc", "") is None
    rulings.remember("a", "b", "c", False)
    assert rulings.of("a", "b", "c") is False
    for text in "xyz":
        rulings.remember(text, "b", "c", True)
    assert len(rulings) == 2
    assert rulings.of("a", "b", "c") is None
    assert repr(rulings) == "<Rulings 2/2>"
    rulings.clear()
    assert rulings.of("z", "b", "c") is None


def test_a_band_without_anything_in_it_is_refused():
    with pytest.raises(ValueError, match=r"judge_from \(0.9\) must be below judge_to \(0.3\)"):
        Settings(_env_file=None, judge_from=0.9, judge_to=0.3)
