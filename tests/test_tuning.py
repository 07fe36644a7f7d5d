"""Measuring the guard: the table of a calibration, and the questions it is made from."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core import (
    ArgumentValueError,
    ConfigurationError,
    HashingEmbedder,
    Medha,
    MedhaError,
    OnnxEmbedder,
    Settings,
)
from medha_core.deciding.calibration import CONFIDENCES, Calibration, Outcome, load, shipped
from medha_core.embeddings.models import DEFAULT_MODEL, model_path
from medha_core.guard.judge import LEVELS
from medha_core.learning.tuning import measure

SETTINGS = Settings(_env_file=None)

OUTCOMES = st.lists(
    st.builds(Outcome, st.floats(0.5, 1.0), st.booleans(), st.booleans()), min_size=1, max_size=40
)


@given(OUTCOMES)
def test_more_confidence_gives_fewer_hits_and_fewer_wrong_ones(outcomes):
    table = Calibration.of(len(outcomes), outcomes).table
    assert [row.confidence for row in table] == list(CONFIDENCES)
    for lower, higher in pairwise(table):
        assert higher.hits <= lower.hits <= len(outcomes)
        assert higher.wrong <= lower.wrong
        assert 0 < lower.error < 1


@given(OUTCOMES, st.floats(0.001, 1.0))
def test_the_chosen_confidence_keeps_the_error_below_the_rate(outcomes, rate):
    table = Calibration.of(len(outcomes), outcomes)
    confidence = table.confidence_for(rate)
    if confidence == float("inf"):
        assert all(row.error >= rate for row in table.table)
    else:
        assert table.error_from(confidence) < rate


def test_few_answers_promise_little():
    right = [Outcome(0.99, True)]
    assert Calibration.of(3, right * 3).confidence_for(0.05) == float("inf")
    assert Calibration.of(300, right * 300).confidence_for(0.05) == 0.5


def test_a_calibration_is_written_and_read(tmp_path):
    table = Calibration.of(3, [Outcome(0.8, True), Outcome(0.9, False), Outcome(1.0, True, True)], "a file")
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(table.as_dict()))
    read = load(path)
    assert (read.lookups, read.table, read.source) == (3, table.table, "a file")
    assert repr(read) == "<Calibration of 3 look-ups: a file>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "medha-calibration-1"}',
        '{"format": "medha-calibration-1", "lookups": 1, "table": []}',
        '{"format": "medha-calibration-1", "lookups": 1, "table": [[0.5, 1, 1, 1, 2]]}',
        '{"format": "medha-calibration-1", "lookups": 1, "table": [[0.5, 1, 1, "1", 0]]}',
        '{"format": "medha-calibration-1", "lookups": 1, "table": [[0.9, 1, 1, 1, 0], [0.5, 1, 1, 1, 0]]}',
    ],
)
def test_what_is_no_calibration_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"calibration\.json"):
        load(path)


def test_a_cache_names_the_calibration_it_cannot_read(tmp_path):
    settings = Settings(_env_file=None, calibration_file=str(tmp_path / "none.json"))
    with pytest.raises(MedhaError, match=r"none\.json: no such file"):
        Medha("c", HashingEmbedder(), settings=settings)


def test_a_calibration_is_only_read_where_files_may_be_read(tmp_path):
    path, allowed = tmp_path / "calibration.json", tmp_path / "allowed"
    path.write_text(json.dumps(shipped().as_dict()))
    allowed.mkdir()
    settings = Settings(
        _env_file=None, max_error_rate=0.01, calibration_file=str(path), allowed_file_dir=str(allowed)
    )
    with pytest.raises(ArgumentValueError, match="allowed_file_dir"):
        Medha("c", HashingEmbedder(), settings=settings)


def test_the_shipped_table_covers_the_levels():
    table = shipped()
    assert table.lookups > 1000
    for level in LEVELS.values():
        assert 0 < table.error_from(level.floor) < 0.1
    assert table.confidence_for(0.02) < table.confidence_for(0.015) <= table.confidence_for(0.01) < 1


# measuring


@pytest.fixture(scope="module")
def embedder():
    if not model_path(DEFAULT_MODEL).is_dir():
        pytest.skip(f"needs the model {DEFAULT_MODEL}: medha models pull")
    return OnnxEmbedder()


COUNT = "SELECT count(*) FROM customers"
PLAIN = [
    {"question": "How many customers do we have?", "generated_query": COUNT},
    {"question": "What is the number of customers we have?", "generated_query": COUNT},
    {"question": "how many customers do we have", "generated_query": "select  count(*) from customers "},
    {"question": "Which shop has the largest stock?", "generated_query": "SELECT s FROM t ORDER BY n DESC"},
    {"question": "Which shop has the smallest stock?", "generated_query": "SELECT s FROM t ORDER BY n"},
]


async def test_plain_entries_are_asked_of_one_another(embedder):
    table = await measure(PLAIN, embedder, SETTINGS, source="plain")
    assert table.source == "plain"
    assert table.lookups == 3  # the other wordings, and the second of the queries with one question
    assert (table.table[0].hits, table.table[0].right, table.table[0].weighed) == (2, 2, 1)


async def test_exchanged_values_count_by_the_query_they_give(embedder):
    def entry(question, year):
        return {"question": question, "generated_query": f"SELECT sum(total) FROM orders WHERE year = {year}"}

    entries = [entry(f"What was our revenue in {year}?", year) for year in (2020, 2021, 2022, 2023)]
    entries.append(entry("Tell me our revenue in 2020", 2020))
    with_values = await measure(entries, embedder, SETTINGS)
    without = await measure(entries, embedder, Settings(_env_file=None, substitution="off"))
    assert with_values.table[0].hits == with_values.table[0].right > without.table[0].hits


def labelled(correct=True, **changes):
    return {
        "question": "What is the number of customers we have?",
        "stored_question": "How many customers do we have?",
        "stored_query": COUNT,
        "correct": correct,
        **changes,
    }


@pytest.mark.parametrize("correct", [True, False])
async def test_labels_decide_what_is_right(embedder, correct):
    table = await measure([labelled(correct)], embedder, SETTINGS)
    row = table.table[0]
    assert (table.lookups, row.hits, row.right, row.wrong) == (1, 1, int(correct), int(not correct))


async def test_several_labels_of_one_question_are_one_look_up(embedder):
    other = labelled(False, stored_question="How many suppliers do we have?", stored_query="SELECT 2")
    table = await measure([labelled(), other], embedder, SETTINGS)
    assert (table.lookups, table.table[0].hits, table.table[0].right) == (1, 1, 1)


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([labelled(), labelled(correct="yes")], "entry 2: correct"),
        ([labelled(stored_query=" ")], "entry 1: stored_query"),
        ([{"question": "q"}], "entry 1: generated_query"),
        ([{"question": 7, "generated_query": "SELECT 1"}], "entry 1: question"),
    ],
)
async def test_a_faulty_entry_is_named(entries, named):
    with pytest.raises(ArgumentValueError, match=named):
        await measure(entries, HashingEmbedder(), SETTINGS)


@pytest.mark.parametrize("entries", [[], PLAIN[:1], PLAIN[3:]])
async def test_what_cannot_be_asked_is_said(entries):
    with pytest.raises(MedhaError, match="no two of the questions have the same query"):
        await measure(entries, HashingEmbedder(), SETTINGS)


async def test_there_is_nothing_to_measure_without_a_guard():
    with pytest.raises(ConfigurationError, match="guard"):
        await measure(PLAIN, HashingEmbedder(), Settings(_env_file=None, guard="off"))


async def test_a_measured_table_is_what_the_cache_promises_by(embedder, tmp_path):
    path = tmp_path / "calibration.json"
    question, asked = PLAIN[0]["question"], PLAIN[1]["question"]
    for right, answered in ((True, True), (False, False)):
        table = Calibration.of(200, [Outcome(0.99, right)] * 200)
        path.write_text(json.dumps(table.as_dict()))
        settings = Settings(_env_file=None, max_error_rate=0.05, calibration_file=str(path))
        async with Medha("c", embedder, settings=settings) as cache:
            await cache.store(question, COUNT)
            assert bool(await cache.search(asked)) is answered
