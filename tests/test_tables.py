"""Which tables a query is about, as far as forgetting needs to know."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medha_core import ArgumentTypeError, ArgumentValueError
from medha_core.tables import keys_of, read_tables
from medha_core.tables.memory import TableMemory


def is_about(query, table, language="generic"):
    return bool(set(keys_of(table)) & set(read_tables(query, language)))


SQL = [
    ("SELECT * FROM orders", ["orders", "public.orders"], ["order", "users"]),
    ("SELECT * FROM Public.Orders o", ["orders", "public.orders", "x.public.orders"], ["sales.orders", "o"]),
    ("SELECT 1 FROM a JOIN b ON a.x = b.y, c", ["a", "b", "c"], ["x", "y"]),
    ("SELECT * FROM t WHERE id IN (SELECT t_id FROM inner_t)", ["t", "inner_t"], ["t_id"]),
    ("SELECT (SELECT max(x) FROM deep) FROM t", ["deep", "t"], ["x"]),
    ("WITH recent AS (SELECT * FROM orders) SELECT * FROM recent", ["orders"], ["recent"]),
    ("WITH orders AS (SELECT * FROM orders) SELECT * FROM orders", ["orders"], []),
    ("WITH a AS (SELECT 1), b AS (SELECT * FROM a JOIN c) SELECT * FROM b", ["c"], ["a", "b"]),
    ("WITH RECURSIVE tree AS (SELECT * FROM n UNION SELECT * FROM tree) SELECT * FROM tree", ["n"], ["tree"]),
    ("SELECT * FROM (WITH x AS (SELECT * FROM y) SELECT * FROM x) s, x", ["y", "x"], ["s"]),
    ("SELECT * FROM Recent WHERE 1 IN (WITH recent AS (SELECT 1) SELECT * FROM recent)", ["recent"], []),
    ('SELECT * FROM "Order Items"', ["order items", '"ORDER ITEMS"'], ["order"]),
    ("SELECT * FROM `shop`.`orders`", ["orders", "shop.orders", "`shop`.orders"], ["shop"]),
    ("SELECT * FROM [dbo].[Orders]", ["orders", "dbo.orders", "[dbo].[orders]"], ["dbo"]),
    ("SELECT * FROM a UNION ALL SELECT * FROM b", ["a", "b"], []),
    ("INSERT INTO log SELECT * FROM src", ["log", "src"], []),
    ("DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id)", ["t", "u"], []),
    ("-- all of them\nSELECT * FROM t", ["t"], ["all", "them"]),
    ("SELECT 'FROM secret' FROM t", ["t"], ["secret"]),
]


@pytest.mark.parametrize(("query", "about", "not_about"), SQL)
def test_sql(query, about, not_about):
    assert [name for name in about if not is_about(query, name)] == []
    assert [name for name in not_about if is_about(query, name)] == []
    assert read_tables(query, "sql") == read_tables(query)


@pytest.mark.parametrize(
    "query", ["SELECT FROM WHERE (orders", "EXPLAIN SELECT * FROM orders", "FROM orders |> x"]
)
def test_what_cannot_be_parsed_counts_for_every_name_in_it(query):
    assert is_about(query, "orders")
    assert is_about(query, "public.orders")


def test_cypher_labels_and_types():
    query = "MATCH (u:User:Admin)-[:PLACED|SENT]->(o:`Big Order`) WHERE u.name = ':Secret' RETURN u // :Note"
    for language in ("cypher", "generic"):
        found = {
            name
            for name in ("User", "admin", "placed", "SENT", "big order")
            if is_about(query, name, language)
        }
        assert found == {"User", "admin", "placed", "SENT", "big order"}
        assert not is_about(query, "secret", language)
        assert not is_about(query, "note", language)
        assert not is_about(query, "u", language)


def test_graphql_root_fields():
    query = """query Q($n: Int = 5) @cached {
      # orders of "users"
      mine: orders(first: $n, where: {users: "x"}) { items { products } }
      customers @include(if: true) { name }
      ...Rest
    }
    fragment Rest on Query { regions { name } }"""
    for language in ("graphql", "generic"):
        assert [
            name for name in ("orders", "customers", "regions") if not is_about(query, name, language)
        ] == []
        outside = ("mine", "users", "products", "name", "include", "cached", "rest", "query", "items", "n")
        assert [name for name in outside if is_about(query, name, language)] == []


def test_a_name_that_is_none_is_refused():
    for bad in ("", " ", ".", "a.", "a..b", '"a'):
        with pytest.raises(ArgumentValueError, match="name"):
            keys_of(bad)
    with pytest.raises(ArgumentTypeError):
        keys_of(7)


def test_an_enormous_query_is_left_for_later():
    assert read_tables("SELECT 1 FROM t -- " + "x" * 200_000) is None
    assert read_tables(" ".join(f"w{n}" for n in range(1000))) is None
    assert "w999" in read_tables(" ".join(f"w{n}" for n in range(1000)), bounded=False)
    assert "t" in read_tables("SELECT 1 FROM t -- " + "x" * 200_000, bounded=False)


def test_without_the_extra_sql_is_not_read_and_the_rest_is():
    code = (
        "import sys, importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'sqlglot' else found(name, *a)\n"
        "from medha_core.tables import read_tables\n"
        "assert read_tables('SELECT 1 FROM t') is None\n"
        "assert 'user' in read_tables('MATCH (u:User) RETURN u')\n"
        "assert 'sqlglot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


VALUES = [
    ("SELECT * FROM orders WHERE id = 7", "SELECT * FROM orders WHERE id = 12"),
    ("SELECT a FROM t WHERE b = 'it''s' AND c < 1.5", "SELECT a FROM t WHERE b = 'x''y' AND c < 2.25"),
    ('SELECT a FROM t WHERE b = "Ann Lee"', 'SELECT a FROM t WHERE b = "Bo"'),
    ("SELECT a FROM t1, t2 WHERE t1.x = 1", "SELECT a FROM t1, t2 WHERE t1.x = 2"),
]


@pytest.mark.parametrize(("one", "other"), VALUES)
def test_queries_that_differ_in_values_are_read_once(one, other):
    memory = TableMemory()
    assert memory.get(one, "sql") is TableMemory.UNKNOWN
    memory.keep(one, "sql", read_tables(one, "sql"))
    assert memory.get(other, "sql") == read_tables(other, "sql")
    assert memory.get(other, "generic") is TableMemory.UNKNOWN


NAMES = [
    ('SELECT * FROM "orders"', 'SELECT * FROM "users"'),
    ('SELECT * FROM "a b"."c" WHERE x = 1', 'SELECT * FROM "a d"."c" WHERE x = 1'),
    ("SELECT a FROM t1", "SELECT a FROM t2"),
    ("SELECT a FROM t WHERE b = '\\'' -- 'FROM u", "SELECT a FROM t WHERE b = '\\'' -- 'FROM v"),
    ('WITH "x" AS (SELECT * FROM c) SELECT * FROM d', 'WITH "d" AS (SELECT * FROM c) SELECT * FROM d'),
    ("SELECT * FROM `it 1` WHERE x = 1", "SELECT * FROM `it 2` WHERE x = 1"),
    ("SELECT FROM WHERE (a 'left'", "SELECT FROM WHERE (a 'right'"),
    ("SELECT * FROM [t 1]", "SELECT * FROM [t 2]"),
    ("SELECT a FROM '.''.' WHERE c = 0", "SELECT a FROM '''' WHERE c = 0"),
]


@pytest.mark.parametrize(("one", "other"), NAMES)
def test_a_value_that_may_be_a_name_is_read_each_time(one, other):
    memory = TableMemory()
    memory.keep(one, "sql", read_tables(one, "sql"))
    assert memory.get(one, "sql") == read_tables(one, "sql")
    assert memory.get(other, "sql") is TableMemory.UNKNOWN


_TEXTS = st.text(alphabet="ab 'xt.\"", max_size=6).map(lambda text: text.replace("'", "''"))
_FORMS = [
    "SELECT a FROM t WHERE b = '{}' AND c = {}",
    "SELECT a FROM '{}' WHERE c = {}",
    'SELECT a FROM "{}" JOIN u ON u.x = {}',
    'SELECT "{}" FROM t LIMIT {}',
    "SELECT a FROM t AS '{}', u WHERE x IN ({}, 2)",
]


@given(st.sampled_from(_FORMS), st.tuples(_TEXTS, st.integers(0, 99)), st.tuples(_TEXTS, st.integers(0, 99)))
@settings(max_examples=150, deadline=None)
def test_what_is_remembered_is_what_would_be_read(form, one, other):
    memory, query = TableMemory(), form.format(*other)
    memory.keep(form.format(*one), "sql", read_tables(form.format(*one), "sql"))
    found = memory.get(query, "sql")
    assert found is TableMemory.UNKNOWN or found == read_tables(query, "sql")


def test_a_memory_of_tables_stays_small():
    memory = TableMemory()
    for number in range(3000):
        memory.keep(f"SELECT a FROM t{number}", "sql", ("t",))
    memory.keep("SELECT a FROM t -- " + "x" * 5000, "sql", ("t",))
    assert len(memory) <= 1024
    assert memory.get("SELECT a FROM t -- " + "x" * 5000, "sql") is TableMemory.UNKNOWN
