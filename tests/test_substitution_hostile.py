"""Hostile values from the question to the database: whatever is asked for is a value there and nothing else.

`MEDHA_EXAMPLES=5000 pytest tests/test_substitution_hostile.py tests/test_substitution.py` is the campaign.
"""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core.deciding.decision import Candidate, decide
from medha_core.guard.choice import make_guard
from medha_core.reading.literals import literals, tokenize

graphql = pytest.importorskip("graphql")
sqlglot = pytest.importorskip("sqlglot")

GUARD = make_guard("balanced")
MARKS = "'`\\-;/*%_$#\n\t(){}[]<>=!&@:,.?~^ aZ09é中😀’＇ʼ‘“＂；－ \x00\x1f\x7f​"
PIECES = st.sampled_from(
    "' OR 1=1 --|'; DROP TABLE shop; --|\\|\\'|''|/*|*/|--|#|$$|$q$|%s|{0}|}}|\\u0022".split("|")
)
VALUES = st.one_of(
    st.text(max_size=40),
    st.text(MARKS, max_size=24),
    st.lists(st.one_of(PIECES, st.text(MARKS, max_size=4)), max_size=5).map("".join),
    st.sampled_from(["x" * 511, "x" * 513, "x" * 100_000, "'" * 400]),
).map(lambda text: text.replace('"', "'"))
MOST, SOME = ("sqlite", "postgres", "duckdb", "tsql", "oracle", "snowflake"), ("sqlite", "postgres")
SQL = {
    "SELECT name FROM shop WHERE city = 'Rome' AND rank < 3": MOST,
    "SELECT name FROM shop WHERE rank < 3 AND (city = 'Rome' OR city IN ('Rome')) -- 'it''s'": SOME,
    "WITH s AS (SELECT * FROM shop WHERE city = 'Rome') SELECT name, 'a; --' FROM s /* 'Rome' */": SOME,
    "SELECT name FROM shop WHERE city LIKE '%Rome%' LIMIT 3": SOME,
    "SELECT name FROM shop WHERE city LIKE '%Rome%' ESCAPE '!' LIMIT 3": SOME,
}


def asked_for(value: str, query: str, escapes: bool | None):
    """The stored query as it answers the question for another value, through the whole guard."""
    learned = GUARD.evidence()
    stored = GUARD.features('shops in "Rome"', query)
    learned.observe(1, stored)
    asked = GUARD.features(f'shops in "{value}"')
    candidates = [Candidate(stored, query, 0.97)]
    decision = decide(
        GUARD, learned, asked, [stored], candidates, substitution="any", backslash_escapes=escapes
    )
    return decision.substituted


def emptied(query: str, dialect: str):
    """The parse trees with every string in them emptied."""
    literal = sqlglot.exp.Literal

    def empty(node):
        return literal.string("") if isinstance(node, literal) and node.is_string else node

    return [tree.transform(empty) for tree in sqlglot.parse(query, read=dialect)]


@pytest.mark.parametrize("query", SQL)
@given(value=VALUES)
def test_sql_keeps_its_structure_in_every_dialect(query, value):
    made = asked_for(value, query, escapes=False)
    if made is not None:
        for dialect in SQL[query]:
            assert emptied(made.query, dialect) == emptied(query, dialect)


@pytest.mark.parametrize("query", [query for query in SQL if "LIKE" not in query])
@given(value=VALUES)
def test_a_database_finds_the_asked_value_and_nothing_else(query, value):
    made = asked_for(value, query, escapes=False)
    if made is None:
        return
    (bound,) = set(made.bind_values)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE shop (name, city, rank)")
    database.executemany("INSERT INTO shop VALUES (?, ?, 1)", [("right", bound), ("wrong", "Rome")])
    rows = database.execute(made.query).fetchall()
    assert [row[0] for row in rows] == ["right"]
    assert database.execute(made.bound_query, made.bind_values).fetchall() == rows
    assert database.execute("SELECT count(*) FROM shop").fetchone() == (2,)
    database.close()


@given(value=VALUES)
def test_a_pattern_finds_what_contains_the_value_and_nothing_else(value):
    query = "SELECT name FROM shop WHERE city LIKE '%Rome%' LIMIT 3"
    made = asked_for(value, query, escapes=False)
    if made is None:
        return
    (bound,) = made.bind_values
    inner = bound.strip("%")
    if inner.lower() in "rome":
        return
    assert "_" not in inner
    assert "%" not in inner
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE shop (name, city)")
    database.executemany("INSERT INTO shop VALUES (?, ?)", [("right", f"<{inner}>"), ("wrong", "Rome")])
    assert (
        database.execute(made.query).fetchall()
        == [("right",)]
        == database.execute(made.bound_query, [bound]).fetchall()
    )
    database.close()


@given(value=VALUES)
def test_backslashes_of_mysql_are_escaped(value):
    query = "SELECT name FROM shop WHERE city = 'Rome' AND rank < 3"
    made = asked_for(value, query, escapes=True)
    if made is not None:
        for dialect in ("mysql", "bigquery", "databricks"):
            assert emptied(made.query, dialect) == emptied(query, dialect)
        said = next(sqlglot.parse_one(made.query, read="mysql").find_all(sqlglot.exp.Literal))
        assert said.this == made.bind_values[0]


@given(value=VALUES)
def test_graphql_keeps_its_structure(value):
    query = '{ shops(city: "Rome", first: 9) { name } }'
    made = asked_for(value, query, escapes=None)
    if made is None:
        return
    assert marks(made.query) == marks(query)
    shops = graphql.parse(made.query).definitions[0].selection_set.selections[0]
    assert shops.arguments[0].value.value == made.bind_values[0]


def marks(query: str) -> list[tuple[str, str]]:
    """The tokens of a GraphQL query, without the text of strings."""
    lexer, found = graphql.Lexer(graphql.Source(query)), []
    while (token := lexer.advance()).kind is not graphql.TokenKind.EOF:
        found.append((token.kind, "" if token.kind is graphql.TokenKind.STRING else token.value))
    return found


@given(value=VALUES)
def test_cypher_keeps_its_tokens(value):
    query = "MATCH (s:Shop {city: 'Rome'}) WHERE s.rank < 3 RETURN s.name"
    made = asked_for(value, query, escapes=None)
    if made is not None:
        assert [token.kind for token in tokenize(made.query)] == [token.kind for token in tokenize(query)]
        assert made.bind_values[0] in [literal.value for literal in literals(made.query)]


@pytest.mark.parametrize("value", ["Oslo", "O'Brien", "São Paulo", "東京", "x; y", "a--b", "50 # 3"])
@pytest.mark.parametrize("query", SQL)
def test_ordinary_and_odd_values_are_exchanged(query, value):
    made = asked_for(value, query, escapes=False)
    assert made is not None
    assert value in made.bind_values[0]


def test_what_is_too_long_is_refused():
    query = next(iter(SQL))
    assert asked_for("x" * 512, query, escapes=False) is not None
    assert asked_for("x" * 513, query, escapes=False) is None
