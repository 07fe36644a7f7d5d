"""Which tables a query is about, as far as forgetting needs to know."""

import subprocess
import sys

import pytest

from medha_core import ArgumentTypeError, ArgumentValueError
from medha_core.tables import keys_of, read_tables


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
