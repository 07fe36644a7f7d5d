"""Query texts are read by compiled code as the Python reader reads them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medha_core.native import extension_loaded
from medha_core.reading import literals as plain
from medha_core.reading.query import _plain_query, differ_only_at, read_query

if not extension_loaded:
    pytest.skip("there is no compiled reader to compare", allow_module_level=True)

PIECES = [
    *"SELECT With explain match MATCH similar to =~ regexp CONCAT( ) )".split(),
    *"'\"\\`[]()-/*.,=<>!:$@|~ \n\x1ceE+5aAbX_",
    *"like LIKE in( between and as from join where limit not is count( max( t. 1.5e-3 '' \\'".split(),
    "flightFare",
    *"HTMLParser --x\n /* */ // :: (a:Label contains é 'São' \ud800 0x1F 'it''s' E'x' a.b= select".split(" "),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text()


@settings(max_examples=800)
@given(TEXTS)
def test_literals_and_names(query):
    assert read_query.__wrapped__(query) == _plain_query(query)


@settings(max_examples=400)
@given(TEXTS, TEXTS, st.sets(st.integers(0, 30)))
def test_two_queries_that_differ_in_some_tokens(before, after, starts):
    for other in (before, after, before + after, before.replace("a", "b")):
        a, b = plain.tokenize(before), plain.tokenize(other)
        same = [t.kind for t in a] == [t.kind for t in b] and all(
            x.start in starts or x.text == y.text for x, y in zip(a, b, strict=True)
        )
        assert differ_only_at(before, other, starts) == same


def test_a_long_query_is_read():
    query = "SELECT '" + "x" * 1_000_000 + "' WHERE a.b = 'c'" + " OR a.b = 'd'" * 2_000
    assert len(read_query(query).literals) == 2_002
