"""What the guard learns from the entries of a collection."""

import asyncio

import numpy as np
import pytest

from medha_core import BaseEmbedder, Medha, NativeBackend, Settings
from medha_core.guard import Guard, Learned, Reason, make_guard
from medha_core.learning import teaching

GUARDS = [Guard(), make_guard("balanced")]
GUARD = GUARDS[0]


@pytest.fixture(
    autouse=True, scope="module", params=dict.fromkeys(map(type, GUARDS)), ids=lambda kind: kind.__name__
)
def each_guard(request):
    """Every test runs on the readable guard and on the compiled one."""
    globals()["GUARD"] = next(guard for guard in GUARDS if type(guard) is request.param)


COUNT = "SELECT count(*) FROM cafe WHERE city = '{}'"
LIST = "SELECT * FROM cafe WHERE city = '{}'"


def stored(learned: Learned, entry: int, question: str, query: str, neighbours=()):
    features = GUARD.features(question, query)
    learned.observe(entry, features, neighbours)
    return features


def test_pairs_with_the_same_query_teach_equal_words():
    learned = GUARD.evidence()
    stored(learned, 1, "where is a cafe in Rome", LIST.format("Rome"))
    stored(learned, 2, "where is a place in Oslo", LIST.format("Oslo"))
    other = GUARD.features("the best place in Lima", "SELECT * FROM cafe WHERE city = 'Lima' ORDER BY stars")
    asked = GUARD.features("the best cafe in Lima")
    alone = GUARD.judge(asked, other, 0.8)
    taught = GUARD.judge(asked, other, 0.8, learned=learned)
    assert taught.reason is Reason.LEARNED
    assert taught.confidence > alone.confidence


def test_a_difference_that_changed_a_query_is_not_believed():
    learned = GUARD.evidence()
    first = stored(learned, 1, "cafe in Rome", LIST.format("Rome"))
    stored(
        learned, 2, "cafe terrace in Rome", "SELECT * FROM cafe WHERE terrace = 1 AND city = 'Rome'", [first]
    )
    other = GUARD.features("good cafe in Oslo", LIST.format("Oslo"))
    verdict = GUARD.judge(GUARD.features("good cafe terrace in Oslo"), other, 0.9, learned=learned)
    assert not verdict.accepted


def test_the_form_of_a_question_finds_entries_with_other_values():
    learned = GUARD.evidence()
    stored(learned, 1, "which cafes are in Rome", LIST.format("Rome"))
    stored(learned, 2, "how many cafes are in Oslo", COUNT.format("Oslo"))
    assert GUARD.alike(GUARD.features("which cafes are in Oslo"), learned) == [1]
    assert GUARD.alike(GUARD.features("whcih caffes are in Oslo"), learned) == [1]
    assert GUARD.alike(GUARD.features("which cafes are in Lima"), learned) == []


def test_a_forgotten_entry_is_not_found():
    learned = GUARD.evidence()
    features = stored(learned, 1, "which cafes are in Rome", LIST.format("Rome"))
    learned.forget(1, features)
    learned.forget(1, features)
    assert GUARD.alike(GUARD.features("which cafes are in Rome"), learned) == []
    assert len(learned) == 0
    assert "0 questions, 0 harmless differences" in repr(learned)
    if isinstance(learned, Learned):
        assert not learned.values.columns("rome")


class Looked(BaseEmbedder):
    """Every question near every other, so that the guard alone decides."""

    dimension = 8
    model_name = "looked"

    async def aembed(self, text: str) -> list[float]:
        noise = np.random.default_rng(len(text)).standard_normal(8) * 0.05
        return (np.eye(8)[0] + noise).tolist()

    async def aembed_batch(self, texts: list[str], **_) -> list[list[float]]:
        return [await self.aembed(text) for text in texts]


class Apart(Looked):
    """No two questions equally far from a third."""

    async def aembed(self, text: str) -> list[float]:
        return (np.eye(8)[0] + np.random.default_rng(list(text.encode())).standard_normal(8) * 0.05).tolist()


def watched(monkeypatch, cache):
    """What the guard learns from now on: id of an entry, ids of those beside it."""
    knowledge, seen = cache._parts.teacher._knowledge, []
    learn = knowledge.learn

    def noted(collection, entry, neighbours, ends=None):
        seen.append((entry.id, [one.id for one in neighbours]))
        learn(collection, entry, neighbours, ends)

    monkeypatch.setattr(knowledge, "learn", noted)
    return seen


CITIES = ["Rome", "Oslo", "Lima", "Paris", "Cairo", "Bergen", "Ulm", "Nice", "Bari", "Turin", "Basel", "Kyiv"]


async def test_what_is_learnt_does_not_depend_on_when(monkeypatch):
    """At once, before the next search, and when too many wait: the same entries beside the same ones."""
    monkeypatch.setattr(teaching, "_SOON", 1000)
    found = []
    for behind in (1, 5, 100):
        monkeypatch.setattr(teaching, "_BEHIND", behind)
        async with Medha("c", Apart(), settings=Settings(_env_file=None)) as cache:
            seen = watched(monkeypatch, cache)
            for city in CITIES:
                await cache.store(f"which cafes are in {city}", LIST.format(city))
            assert len(seen) == len(CITIES) - len(CITIES) % behind
            answered = await cache.search("which cafes are in Gent")
            assert len(seen) == len(CITIES)
            found.append((seen, answered.generated_query))
    assert [len(near) for _, near in found[0][0]] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8]
    assert found[0] == found[1] == found[2]


async def test_a_store_is_learnt_before_the_next_decision(monkeypatch):
    monkeypatch.setattr(teaching, "_SOON", 1000)
    async with Medha("c", Looked(), settings=Settings(_env_file=None)) as cache:
        seen = watched(monkeypatch, cache)
        await cache.store("which cafes are in Rome", LIST.format("Rome"))
        await cache.store("which cafes are in Oslo", LIST.format("Oslo"))
        assert not seen
        assert (await cache.search("which cafes are in Oslo")).generated_query == LIST.format("Oslo")
        assert not seen  # word for word: nothing is decided
        hit = await cache.search("so which cafes are in Oslo")
        assert hit.generated_query == LIST.format("Oslo")
        assert len(seen) == 2


async def test_an_idle_loop_learns(monkeypatch):
    async with Medha("c", Looked(), settings=Settings(_env_file=None)) as cache:
        seen = watched(monkeypatch, cache)
        for _ in range(2):
            seen.clear()
            await cache.store("which cafes are in Rome", LIST.format("Rome"))
            async with asyncio.timeout(60):
                while not seen:
                    await asyncio.sleep(0.001)
    assert len(seen) == 1


async def test_what_is_replaced_before_it_was_learnt_is_learnt_once(monkeypatch):
    monkeypatch.setattr(teaching, "_SOON", 1000)
    async with Medha("c", Looked(), settings=Settings(_env_file=None)) as cache:
        seen = watched(monkeypatch, cache)
        await cache.store("which cafes are in Rome", COUNT.format("Rome"))
        await cache.store("which cafes are in Oslo", LIST.format("Oslo"))
        await cache.store("which cafes are in Rome", LIST.format("Rome"))
        assert (await cache.search("so which cafes are in Rome")).generated_query == LIST.format("Rome")
        assert [len(near) for _, near in seen] == [0, 1]


async def test_what_is_forgotten_before_it_was_learnt_teaches_nothing(monkeypatch):
    monkeypatch.setattr(teaching, "_SOON", 1000)
    async with Medha("c", Looked(), settings=Settings(_env_file=None)) as cache:
        seen = watched(monkeypatch, cache)
        for city in CITIES[:3]:
            await cache.store(f"which cafes are in {city}", LIST.format(city))
        await cache.invalidate(f"which cafes are in {CITIES[1]}")
        assert not await cache.search("how many bars are in Oslo")
        assert [len(near) for _, near in seen] == [0, 1]
        await cache.store(f"which cafes are in {CITIES[3]}", LIST.format(CITIES[3]))
        await cache.invalidate_collection()
        assert not await cache.search("how many bars are in Oslo")
        assert len(seen) == 2


async def test_many_entries_are_learnt_beside_the_searches(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "_AT_ONCE", 3)
    settings = Settings(_env_file=None)
    cities = ["Rome", "Oslo", "Lima", "Paris", "Cairo"]
    async with Medha("c", Looked(), NativeBackend(tmp_path, settings=settings), settings) as cache:
        for city in cities:
            await cache.store(f"which cafes are in {city}", LIST.format(city))
    held, begun = asyncio.Event(), teaching.Teacher._recall

    async def held_up(self, collection):
        while not held.is_set() and not self._stopping:
            await asyncio.sleep(0.001)
        await begun(self, collection)

    monkeypatch.setattr(teaching.Teacher, "_recall", held_up)
    async with Medha("c", Looked(), NativeBackend(tmp_path, settings=settings), settings) as cache:
        teacher = cache._parts.teacher
        same = await cache.search("Which cafes are in: Rome")
        assert same.generated_query == LIST.format("Rome")
        other = "which cafes of Oslo, please, are in Rome"
        assert not await cache.search("cafes that are in Rome, which ones")
        assert not await cache.search(other)
        assert not await cache.search("which cafes are in Bergen")
        held.set()
        await teacher.recalled()
        assert (await cache.search("cafes that are in Rome, which ones")).generated_query == LIST.format(
            "Rome"
        )
        assert not await cache.search(other)


async def test_what_is_stored_while_a_batch_is_learnt_is_not_unlearnt():
    async with Medha("c", Apart(), settings=Settings(_env_file=None)) as cache:
        pairs = [
            {"question": f"which cafes are in {city}", "generated_query": LIST.format(city)}
            for city in CITIES
        ]
        many = asyncio.create_task(cache.store_many(pairs))
        while not await cache._backend.count("c"):
            await asyncio.sleep(0)
        assert not many.done()
        await cache.store(pairs[-1]["question"], LIST.format("later"))
        await many
        await cache._parts.teacher.caught_up()
        taught = cache._parts.teacher._knowledge.taught()["c"]
        assert set(taught.values()) == {LIST.format(city) for city in [*CITIES[:-1], "later"]}


async def test_a_cache_that_is_closed_stops_learning(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "_AT_ONCE", 3)
    settings = Settings(_env_file=None)
    async with Medha("c", Looked(), NativeBackend(tmp_path, settings=settings), settings) as cache:
        await cache.store_many(
            [{"question": f"cafe number {n}", "generated_query": f"SELECT {n}"} for n in range(200)]
        )
    for _ in range(3):
        async with Medha("c", Looked(), NativeBackend(tmp_path, settings=settings), settings) as cache:
            assert await cache.search("cafe number 7")
