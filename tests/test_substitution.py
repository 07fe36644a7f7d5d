"""Values are exchanged; nothing else of a query ever changes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medha_core.deciding.substitution import completed, proposals, write
from medha_core.errors import ArgumentValueError
from medha_core.guard import Guard
from medha_core.reading.literals import literals, tokenize
from medha_core.reading.mentions import spoken
from medha_core.reading.slots import slots
from medha_core.reading.values import KnownValues

sqlglot = pytest.importorskip("sqlglot")
GUARD = Guard()


def known(*rows: tuple[str, str]) -> KnownValues:
    values = KnownValues()
    for column, spelling in rows:
        values.saw(column, " ".join(spoken(spelling)), spelling)
    return values


def substituted(asked: str, stored: str, query: str, values: KnownValues, mode: str = "seen", **options):
    features = GUARD.features(stored, query)
    found = [
        (proposal, write(query, features, proposal, **options))
        for proposal in proposals(GUARD.features(asked), features, query, values, mode)
    ]
    if len(found) != 1:
        return None
    ((proposal, written),) = found
    return None if written is None else completed(query, features, proposal, written)


CITIES = known(("shop.city", "Rome"), ("shop.city", "New York"), ("shop.city", "L'Aquila"))


@pytest.mark.parametrize(
    ("asked", "stored", "query", "expected"),
    [
        (
            "shops in New York",
            "shops in Rome",
            "SELECT * FROM shop WHERE shop.city = 'Rome'",
            "SELECT * FROM shop WHERE shop.city = 'New York'",
        ),
        (
            "top 10 shops in Rome",
            "top 5 shops in Rome",
            "SELECT * FROM shop WHERE shop.city = 'Rome' LIMIT 5",
            "SELECT * FROM shop WHERE shop.city = 'Rome' LIMIT 10",
        ),
        (
            "shops in new york",
            "shops in Rome",
            'select *  from shop where shop.city  =  "Rome" -- note',
            'select *  from shop where shop.city  =  "New York" -- note',
        ),
        (
            "shops in New York",
            "shops in Rome",
            "SELECT * FROM shop WHERE shop.city LIKE '%Rome%'",
            "SELECT * FROM shop WHERE shop.city LIKE '%New York%'",
        ),
        (
            "shops in l'aquila",
            "shops in Rome",
            "SELECT * FROM shop WHERE shop.city = 'Rome' OR shop.city = 'Rome'",
            "SELECT * FROM shop WHERE shop.city = 'L''Aquila' OR shop.city = 'L''Aquila'",
        ),
        (
            "shops in New York",
            "shops in Rome",
            "MATCH (s:shop) WHERE s.city = 'Rome' RETURN s",
            "MATCH (s:shop) WHERE s.city = 'New York' RETURN s",
        ),
    ],
)
def test_the_literal_takes_the_new_value_and_all_else_stays(asked, stored, query, expected):
    assert substituted(asked, stored, query, CITIES).query == expected


def test_a_date_slot_takes_dates():
    query = "SELECT * FROM sale WHERE day > '2023-03-05'"
    made = substituted("sales since 2023-04-01", "sales since 2023-03-05", query, known())
    assert made.query == "SELECT * FROM sale WHERE day > '2023-04-01'"
    assert substituted("sales since 7", "sales since 2023-03-05", query, known()) is None


def test_graphql_arguments_are_exchanged():
    values = known(("city", "Rome"), ("city", "Oslo"))
    made = substituted("shops in Oslo", "shops in Rome", '{ shops(city: "Rome", first: 9) { name } }', values)
    assert made.query == '{ shops(city: "Oslo", first: 9) { name } }'


def test_parameters_and_bind_values():
    query = "SELECT * FROM shop WHERE shop.city = 'Rome' LIMIT 5"
    made = substituted("top 10 shops in New York", "top 5 shops in Rome", query, CITIES)
    assert made.parameters == {"limit": "10", "shop.city": "New York"}
    assert made.bound_query == "SELECT * FROM shop WHERE shop.city = ? LIMIT ?"
    assert made.bind_values == ("New York", 10)


def test_modes():
    query, values = "SELECT * FROM shop WHERE shop.city = 'Rome'", known(("shop.city", "Rome"))
    asked, stored = 'shops in "Oslo"', 'shops in "Rome"'
    assert substituted(asked, stored, query, values) is None
    assert substituted(asked, stored, query, values, "off") is None
    assert (
        substituted(asked, stored, query, values, "any").query
        == "SELECT * FROM shop WHERE shop.city = 'Oslo'"
    )
    with pytest.raises(ArgumentValueError, match="mode"):
        substituted(asked, stored, query, values, "often")


@pytest.mark.parametrize(
    ("asked", "stored", "query"),
    [
        ("shops in Rome", "shops in Rome", "SELECT 1 WHERE city = 'Rome'"),
        ("shops in five", "shops in Rome", "SELECT 1 WHERE city = 'Rome'"),
        ("shops in Lima", "top 5 shops", "SELECT 1 LIMIT 5"),
        ("new york shops in Rome", "Rome shops in Rome", "SELECT 1 WHERE shop.city = 'Rome'"),
        ("shops in New York", "shops in Rome", "SELECT 1 WHERE shop.city = 'Rome' AND owner = 'Rome'"),
        ("shops in New York and Rome", "shops in Rome", "SELECT 1 WHERE shop.city = 'Rome'"),
    ],
)
def test_what_is_ambiguous_or_of_another_type_is_refused(asked, stored, query):
    assert substituted(asked, stored, query, CITIES) is None


def test_a_value_of_another_column_does_not_fit():
    values = known(("shop.city", "Rome"), ("clerk.name", "Ann"))
    assert (
        substituted("shops in Ann", "shops in Rome", "SELECT 1 FROM shop WHERE shop.city = 'Rome'", values)
        is None
    )


def test_columns_of_one_name_that_share_a_value_are_one():
    values = known(("shop.city", "Rome"), ("clerk.city", "Rome"), ("clerk.city", "Oslo"))
    made = substituted(
        "shops in Oslo", "shops in Rome", "SELECT 1 FROM shop WHERE shop.city = 'Rome'", values
    )
    assert made.query == "SELECT 1 FROM shop WHERE shop.city = 'Oslo'"


def test_slots_of_an_entry():
    query = "SELECT * FROM shop s WHERE s.city = 'Rome' AND s.open = 1 LIMIT 5"
    found = slots(GUARD.features("top 5 shops in Rome", query).mentions, query)
    assert [(slot.mention.text, slot.is_number) for slot in found] == [("5", True), ("rome", False)]


HOSTILE = [
    "' OR 1=1 --",
    "'; DROP TABLE shop; --",
    "\\",
    "\\' OR 1=1 --",
    "a''b",
    '"',
    "/* x */",
    "-- x",
    "x\n; select",
    "\x00",
    "%",
    "_",
    "ʼ OR ʼ1ʼ=ʼ1",
    "＇ OR 1=1",
    "${jndi}",
    "{{x}}",
    "x" * 100_000,
    "O'Brien",
]
QUERIES = {
    "SELECT * FROM shop WHERE shop.city = 'Rome' AND shop.rank < 3": ("sqlite", "postgres", "duckdb"),
    "SELECT * FROM shop WHERE shop.city LIKE '%Rome%' ORDER BY shop.rank LIMIT 3": ("sqlite", "postgres"),
    "SELECT * FROM shop WHERE shop.city IN ('Oslo', 'Rome')": ("sqlite", "postgres"),
}


def tree(query: str, dialect: str):
    """The parse tree with every string literal emptied."""
    found = sqlglot.parse(query, read=dialect)
    return [
        t.transform(
            lambda n: (
                sqlglot.exp.Literal.string("") if isinstance(n, sqlglot.exp.Literal) and n.is_string else n
            )
        )
        for t in found
    ]


def with_value(query: str, value: str, **options):
    values = KnownValues()
    values.saw("shop.city", "oslo hostile", value)
    values.saw("shop.city", "rome", "Rome")
    return substituted("shops in oslo hostile", "shops in Rome", query, values, **options)


@pytest.mark.parametrize("query", QUERIES)
@given(value=st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60), st.text("'\"\\-;/*%_ a", max_size=12)))
@example(value="Rome' --")
@example(value="%0%")
def test_no_value_changes_the_structure_of_a_query(query, value):
    made = with_value(query, value)
    if made is None:
        return
    for dialect in QUERIES[query]:
        assert tree(made.query, dialect) == tree(query, dialect)
        said = [
            n.this for t in sqlglot.parse(made.query, read=dialect) for n in t.find_all(sqlglot.exp.Literal)
        ]
        inside = [text.strip("%") for text in said] if "LIKE" in query else []
        assert {value, value.strip("%")} & {*said, *inside}


@given(value=st.one_of(st.sampled_from(HOSTILE), st.text("'\"\\-;/*%_ a", max_size=12)))
def test_backslashes_are_escaped_where_the_language_escapes_with_them(value):
    query = "SELECT * FROM shop WHERE shop.city = 'Rome' AND shop.rank < 3"
    made = with_value(query, value, backslash_escapes=True)
    if made is None:
        return
    assert tree(made.query, "mysql") == tree(query, "mysql")
    literal = next(sqlglot.parse_one(made.query, read="mysql").find_all(sqlglot.exp.Literal))
    assert literal.this == value


@pytest.mark.parametrize("value", ["a\\", "a\nb", "a\x00b"])
def test_values_that_dialects_read_differently_are_refused(value):
    assert with_value("SELECT * FROM shop WHERE shop.city = 'Rome'", value) is None


@given(value=st.text("'\"\\-;/*{}()$: a", max_size=20))
def test_cypher_and_graphql_keep_their_tokens(value):
    for query in (
        "MATCH (s:shop {city: 'Rome'}) WHERE s.rank < 3 RETURN s",
        '{ shop(city: "Rome", rank: 3) { name } }',
    ):
        values = KnownValues()
        values.saw("city", "oslo hostile", value)
        values.saw("city", "rome", "Rome")
        made = substituted("shops in oslo hostile", "shops in Rome", query, values)
        if made:
            assert [t.kind for t in tokenize(made.query)] == [t.kind for t in tokenize(query)]
            assert value in [literal.value for literal in literals(made.query)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT $$it is 'Rome'$$ FROM shop WHERE shop.city = 'Rome'",
        "SELECT $q$ 'Rome' $q$ FROM shop",
        "SELECT * FROM shop WHERE shop.city = 'Rome' /* a /* b */ */",
        "SELECT * FROM shop WHERE shop.city = x'Rome'",
        "SELECT * FROM shop WHERE shop.city = N'Rome'",
        "SELECT * FROM shop WHERE shop.city = E'Rome'",
        "SELECT * FROM shop WHERE shop.city = U&'Rome'",
        "SELECT * FROM shop WHERE shop.city = r'Rome'",
        "SELECT * FROM shop WHERE shop.city = _latin1'Rome'",
        "SELECT * FROM shop WHERE shop.city REGEXP 'Rome'",
        "SELECT * FROM shop WHERE shop.city ~ 'Rome'",
        "SELECT * FROM shop WHERE shop.city SIMILAR TO 'Rome'",
        "SELECT * FROM shop WHERE shop.city LIKE concat('%', 'Rome', '%')",
        "SELECT * FROM shop WHERE shop.city LIKE 'R%o_me'",
        "SELECT * FROM shop WHERE shop.city = '[Rome]'",
        "MATCH (s:shop) WHERE s.city =~ '.*Rome.*' RETURN s",
        '{ shop(city: """Rome""") { name } }',
        "SELECT * FROM shop WHERE shop.city = 'Rome",
    ],
)
def test_a_literal_that_may_be_more_than_a_value_is_left_alone(query):
    assert substituted("shops in New York", "shops in Rome", query, CITIES) is None


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT * FROM shop WHERE shop.city LIKE '%Rome%'", "100%"),
        ("SELECT * FROM shop WHERE shop.city LIKE '%Rome%'", "a_b"),
        ("SELECT * FROM shop WHERE shop.city LIKE '%Rome%'", "a[b"),
        ("SELECT * FROM shop WHERE shop.city LIKE '%Rome%' ESCAPE '!'", "Wow!"),
    ],
)
def test_values_that_are_special_where_they_would_stand_are_refused(query, value):
    assert with_value(query, value, backslash_escapes=False) is None
    assert with_value(query, "Oslo", backslash_escapes=False) is not None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM shop WHERE shop.city = 'Rome'", "SELECT * FROM shop WHERE shop.city = 'O''Brien'"),
        (
            "SELECT * FROM shop WHERE shop.city LIKE '%Rome%' ESCAPE '!'",
            "SELECT * FROM shop WHERE shop.city LIKE '%O''Brien%' ESCAPE '!'",
        ),
    ],
)
def test_escapes_keep_their_form(query, expected):
    made = with_value(query, "O'Brien")
    assert made.query == expected
    assert made.bind_values == (("%O'Brien%",) if "LIKE" in query else ("O'Brien",))


def test_a_limit_takes_whole_numbers_and_a_date_slot_days_that_exist():
    values = known(("o.day", "2023-05-01"))
    limit = "SELECT * FROM o LIMIT 5"
    assert substituted("top 7 orders", "top 5 orders", limit, values).query == "SELECT * FROM o LIMIT 7"
    assert substituted("top 2.5 orders", "top 5 orders", limit, values) is None
    day = "SELECT * FROM o WHERE o.day = '2023-05-01'"
    assert substituted("orders of 2023-05-31", "orders of 2023-05-01", day, values) is not None
    assert substituted("orders of 2023-02-31", "orders of 2023-05-01", day, values) is None


def test_a_minus_belongs_to_its_number():
    query = "SELECT * FROM r WHERE t < 5"
    assert substituted("readings below -5", "readings below 5", query, known()) is None
    stored = GUARD.features("readings below -5 degrees", "SELECT * FROM r WHERE t < -5")
    assert not GUARD.judge(GUARD.features("readings below 5 degrees"), stored, 0.99).accepted
    assert GUARD.judge(GUARD.features("show readings below -5 degrees"), stored, 0.99).accepted


TEXTS = st.text("'\"\\-;/*%_`$ #\n(){}[]aé😀\u2019\uff07\u02bc", max_size=24)
MANY = {
    "SELECT a FROM shop WHERE shop.city = 'Rome'": (
        "sqlite",
        "postgres",
        "duckdb",
        "tsql",
        "oracle",
        "snowflake",
    ),
    "SELECT a FROM shop WHERE shop.city = N'Rome' AND b = 'x'": ("tsql",),
    "SELECT a FROM shop WHERE shop.city LIKE '%Rome' OR shop.city NOT LIKE 'Rome%'": ("sqlite", "postgres"),
    "SELECT a FROM shop WHERE shop.city IN ('Rome') -- 'note'": ("sqlite", "postgres", "duckdb"),
    "SELECT a FROM shop WHERE shop.city = 'Rome' /* 'Rome' */ LIMIT 3": ("sqlite", "postgres"),
    "WITH s AS (SELECT * FROM shop WHERE shop.city = 'Rome') SELECT 'it''s', a FROM s": (
        "sqlite",
        "postgres",
    ),
}


@pytest.mark.parametrize("query", MANY)
@given(value=TEXTS)
def test_hostile_values_never_leave_their_literal(query, value):
    made = with_value(query, value)
    if made is None:
        return
    for dialect in MANY[query]:
        assert tree(made.query, dialect) == tree(query, dialect)


@given(value=TEXTS)
def test_hostile_values_never_leave_double_quotes_of_mysql(value):
    query = 'SELECT a FROM shop WHERE shop.city = "Rome" AND b = "it\\"s"'
    made = with_value(query, value, backslash_escapes=True)
    if made is not None:
        assert tree(made.query, "mysql") == tree(query, "mysql")
        said = [n.this for n in sqlglot.parse_one(made.query, read="mysql").find_all(sqlglot.exp.Literal)]
        assert value in said
