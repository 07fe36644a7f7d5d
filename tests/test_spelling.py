"""Finding texts by their spelling: pruning loses nothing that a look at every text finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz

from medha_core.embedded.spelling import Spellings

WORDS = (
    "show list all orders customers of from in berlin paris where total above below 10 20 name price".split()
)
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
TEXTS = st.one_of(SENTENCES, st.text(max_size=30), st.text(alphabet="ab", max_size=12))


@given(st.lists(TEXTS, max_size=30), TEXTS, st.sampled_from([0.0, 50.0, 75.0, 85.0, 99.0, 100.0]))
def test_pruning_loses_nothing(texts, text, least):
    every = {i: fuzz.ratio(text, other) for i, other in enumerate(texts)}
    expected = {i: ratio for i, ratio in every.items() if ratio >= least}
    found = Spellings(texts).near(text, least, limit=len(texts))
    assert dict(found) == expected
    assert [ratio for _, ratio in found] == sorted(expected.values(), reverse=True)


@pytest.mark.parametrize(
    "slip", ["lsit all orders from berlin", "list al orders from berlin", "list all orders fron berlin"]
)
def test_a_slip_finds_what_was_meant(slip):
    texts = ["list all orders from berlin", "list all orders from paris", "total of all customers"]
    assert Spellings(texts).near(slip, 85, 1)[0][0] == 0


def test_no_more_than_asked_for_and_none_of_none():
    assert len(Spellings(["aaaa"] * 5).near("aaaa", 85, 2)) == 2
    assert Spellings([]).near("aaaa", 85, 2) == []
    assert len(Spellings(["a", "b"])) == 2


def test_texts_beyond_the_basic_plane_and_lone_surrogates():
    assert Spellings(["\ud800 orders 😀", "x"]).near("\ud800 orders 😀", 99, 5) == [(0, 100.0)]
