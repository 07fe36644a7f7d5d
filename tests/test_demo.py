"""The sample of `medha demo`: every SQL runs, every expectation names what is stored."""

import sqlite3

import pytest

from medha_core import CallableEmbedder, HashingEmbedder
from medha_core.demo import Verdict, run_demo, shop


@pytest.fixture(scope="module")
def database():
    connection = shop.open_shop()
    yield connection
    connection.close()


def test_there_are_enough_questions():
    assert len(shop.pairs()) >= 150
    assert len(shop.paraphrases()) == 20
    assert len(shop.must_miss()) == 5


@pytest.mark.parametrize("pair", shop.pairs(), ids=lambda pair: pair.question)
def test_every_query_gives_a_row(database, pair):
    first = database.execute(pair.generated_query).fetchone()
    assert first is not None
    assert first[0] is not None


def test_questions_are_told_apart():
    questions = [pair.question.casefold() for pair in shop.pairs()]
    asked = [item.question.casefold() for item in (*shop.paraphrases(), *shop.must_miss())]
    assert len(set(questions + asked)) == len(questions) + len(asked)


def test_expectations_name_stored_questions():
    stored = {pair.question for pair in shop.pairs()}
    assert {item.stored for item in shop.paraphrases()} <= stored
    assert {item.near for item in shop.must_miss()} <= stored


def test_each_kind_of_near_miss_is_there():
    assert {item.differs for item in shop.must_miss()} == {
        "condition",
        "negation",
        "time",
        "direction",
        "name",
    }


def test_the_shop_cannot_be_written_to(database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("DELETE FROM orders")


def test_references_between_tables_hold(database):
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_sample_can_be_warmed_from_its_file():
    with shop.pairs_file() as path:
        assert len(path.read_text(encoding="utf-8").splitlines()) == len(shop.pairs())


def blind(_text):
    """The same vector for every text: whatever is answered is answered by chance."""
    return [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("embedder", [HashingEmbedder(), CallableEmbedder(blind, 4, "blind")], ids=repr)
async def test_a_run_that_does_not_understand_the_questions_is_not_as_expected(embedder):
    report = await run_demo(embedder)
    assert report.entries == len(shop.pairs())
    assert sum(report.count(verdict) for verdict in Verdict) == len(report.answers) == 25
    assert not report.as_expected


async def test_every_hit_has_the_first_row_of_its_query(database):
    for answer in (await run_demo(HashingEmbedder())).answers:
        expected = database.execute(answer.hit.generated_query).fetchone() if answer.hit else None
        assert answer.first_row == expected


async def test_progress_ends_at_the_number_of_entries():
    seen = []
    await run_demo(HashingEmbedder(), on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(shop.pairs()), len(shop.pairs()))
