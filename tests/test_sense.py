"""What a query asks of its data, read with patterns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core.reading.lexicon import english
from medha_core.reading.sense import NO_SENSE, read_sense


def sense(query: str):
    return read_sense(query, english())


@pytest.mark.parametrize(
    ("query", "way", "noun"),
    [
        ("SELECT name FROM lake ORDER BY area DESC LIMIT 1", "max", "area"),
        ("select name from lake order by lake.area limit 1", "min", "area"),
        ("SELECT name FROM lake ORDER BY `surface_area` ASC NULLS LAST LIMIT 1", "min", "area"),
        ("SELECT name FROM lake WHERE area = (SELECT max(area) FROM lake)", "max", "area"),
        (
            "SELECT l.name FROM lake l WHERE l.maxDepth = (SELECT MIN( k.maxDepth ) FROM lake k)",
            "min",
            "depth",
        ),
        ("SELECT name FROM ward ORDER BY num_beds DESC LIMIT 1", "max", "bed"),
    ],
)
def test_the_one_extreme_of_a_query(query, way, noun):
    found = sense(query)
    assert f"w:{noun}" in found.measured
    assert ("o:largest" in found.superlatives) == (way == "max")
    assert ("o:smallest" in found.superlatives) == (way == "min")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM lake",
        "SELECT name FROM lake ORDER BY area DESC",
        "SELECT name FROM lake ORDER BY area DESC LIMIT 3",
        "SELECT name FROM lake ORDER BY area DESC LIMIT 10",
        "SELECT name FROM lake ORDER BY area DESC LIMIT 1, 5",
        "SELECT name FROM lake ORDER BY area DESC LIMIT 1 OFFSET 1",
        "SELECT name FROM lake ORDER BY area DESC, depth LIMIT 1",
        "SELECT name FROM lake ORDER BY count(*) DESC LIMIT 1",
        "SELECT name FROM lake WHERE area = (SELECT max(area) FROM lake) ORDER BY depth LIMIT 1",
        "SELECT name FROM lake WHERE area = (SELECT max(area) FROM lake) LIMIT 3",
        "SELECT TOP 3 name FROM lake WHERE area < (SELECT max(area) FROM lake)",
        "SELECT max(area) - min(area) FROM lake",
        "MATCH (l:Lake) RETURN max(l.area)",
        "",
    ],
)
def test_no_extreme_is_seen_where_there_is_none_or_more_than_one(query):
    assert not sense(query).superlatives


def test_what_a_superlative_says_by_itself():
    assert "o:largest" in sense("SELECT name FROM lake ORDER BY area DESC LIMIT 1").alone
    assert "o:largest" not in sense("SELECT name FROM lake ORDER BY depth DESC LIMIT 1").alone
    assert "o:most heavy" in sense("SELECT id FROM parcel ORDER BY weight DESC LIMIT 1").alone
    towns = sense("SELECT name FROM town ORDER BY population DESC LIMIT 1")
    assert "w:town" in towns.peopled
    assert towns.sizes == {"o:largest"}
    assert not sense("SELECT name FROM town ORDER BY area DESC LIMIT 1").peopled


def test_what_is_selected():
    found = sense("SELECT t.population FROM towns AS t WHERE t.name = 'Kent'")
    assert found.is_number
    assert {"w:population", "w:people"} <= found.selected
    assert found.things == {"w:town"}
    assert sense("SELECT book.num_pages FROM book").selected == {"w:page"}
    assert not sense("SELECT page FROM book").is_number
    assert not sense("SELECT a, b FROM book").selected
    assert not sense("SELECT count(page) FROM book").selected
    assert sense("SELECT b.a, u.c FROM x JOIN books b ON x.i = b.i, racks as u WHERE 1").things == {
        "w:book",
        "w:rack",
    }
    assert sense("SELECT a, c FROM books JOIN x ON 1 = 1").things == {"w:book"}
    assert sense("SELECT x.a FROM books JOIN x ON 1 = 1").things == {"w:x"}
    assert sense("SELECT birth_city FROM person").places == {"w:city"}
    assert sense("SELECT highest_point FROM land").extremes == {"o:highest"}


def test_what_tells_two_things_apart():
    assert sense("SELECT a FROM t WHERE a <> b").differs
    assert sense("SELECT a FROM t WHERE a != b").differs
    assert not sense("SELECT a FROM t WHERE a = b").differs


def test_of_other_texts_nothing_is_said():
    assert sense("MATCH (a:Town) RETURN a.name") == NO_SENSE
    assert sense("SELECT name FROM town" + " " * 5000) == NO_SENSE


@given(st.text(st.sampled_from("select max(min) from order by limit 1 a.b, `'\n\0é")))
def test_any_text_is_read(query):
    sense(query)
    sense(f"SELECT {query} FROM t ORDER BY {query} LIMIT 1")
