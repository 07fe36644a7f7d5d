"""Reading questions and queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core.reading.features import extract
from medha_core.reading.literals import literals


def keys(question: str) -> list[str]:
    return [item.key for item in extract(question).items]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("orders over 1,500.50", "orders over 1500.5"),
        ("top 5 orders", "top five orders"),
        ("orders over 2.5 million", "orders over 2500000"),
        ("orders over 10k", "orders over 10000"),
        ("what is the longest road", "what's the longest road"),
        ("could you please show me all the orders", "list orders"),
        ("i would like to see the orders", "orders"),
        ("how many orders are there", "number of orders"),
        ("the most expensive item", "the dearest item".replace("dearest", "costliest")),
        ("items that do not sell", "items that don't sell"),
        ("the city with the largest population", "the city with the highest population"),
    ],
)
def test_two_ways_of_saying_it_read_alike(one, other):
    from medha_core.guard.view import view
    from medha_core.reading.lexicon import english

    assert view(extract(one), (), english()).keys == view(extract(other), (), english()).keys


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("top 5 orders", "top 10 orders"),
        ("first 5 orders", "top 5 orders"),
        ("orders in 2023", "orders in 2024"),
        ("customer 10234", "customer 10239"),
        ("the largest order", "the smallest order"),
        ("items that sell", "items that never sell"),
        ("orders before noon", "orders after noon"),
        ("item SKU-12", "item SKU-13"),
        ("at least 5 items", "at most 5 items"),
        ("the highest mountain", "the longest mountain"),
    ],
)
def test_what_differs_in_meaning_reads_differently(one, other):
    assert keys(one) != keys(other)


def test_digits_of_any_script_are_numbers():
    assert "n:2023" in keys("orders in ２０２３")


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_read(question, query):
    features = extract(question, query)
    assert all(0 <= mention.first < mention.last <= len(features.words) for mention in features.mentions)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM orders o WHERE o.city = 'Rome' LIMIT 5", [("Rome", "orders.city"), ("5", "limit")]),
        ("SELECT 1 FROM t WHERE lower(name) LIKE '%it''s%'", [("1", ""), ("%it's%", "name")]),
        (
            "SELECT a FROM t WHERE d BETWEEN '2020-01-01' AND '2020-02-01'",
            [("2020-01-01", "d"), ("2020-02-01", "d")],
        ),
        ("SELECT a FROM t WHERE x IN ('p', 'q')", [("p", "x"), ("q", "x")]),
        ('SELECT "a" FROM "t" WHERE "b" = "Rome"', [("Rome", "b")]),
        ("SELECT a FROM t GROUP BY a HAVING count(x) > 3", [("3", "count(x)")]),
        ("SELECT a -- 'no' \n FROM t /* 'no' */ WHERE x = 'y'", [("y", "x")]),
        ("MATCH (p:Person {name: 'Ann'}) WHERE p.age > 30 RETURN p", [("Ann", "name"), ("30", "person.age")]),
        ('{ user(id: "7", first: 10) { name } }', [("7", "id"), ("10", "first")]),
    ],
)
def test_literals_know_their_columns(query, expected):
    assert [(literal.value, literal.column) for literal in literals(query)] == expected


@given(st.text(max_size=300))
def test_no_query_breaks_the_tokenizer(query):
    for literal in literals(query):
        assert query[literal.start : literal.end]


def test_values_of_the_query_are_found_in_the_question():
    features = extract(
        'orders from St. Louis by " Ann Lee " since 2020',
        "SELECT * FROM o WHERE city = 'st. louis' AND who = 'Ann Lee' AND year > 2020 AND kind = 'x'",
    )
    assert [(m.text, m.column) for m in features.mentions] == [
        ("st louis", "city"),
        ("ann lee", "who"),
        ("2020", "year"),
    ]
    assert (
        features.shape == "SELECT * FROM o WHERE city = ?city AND who = ?who AND year > ?year AND kind = 'x'"
    )


@pytest.mark.parametrize(
    "number", ["9" * 5000, "1" * 5000 + "k", "$" + "7" * 5000, "1.2.3k", "1.2.3 million", "...", "1..k"]
)
def test_what_looks_like_a_number_and_is_none_is_read_all_the_same(number):
    assert keys(f"orders of part {number}") != keys(f"orders of part {number[:-2]}8")
