"""The template tier and the values it takes from a question."""

import pytest

from medha_core import (
    HashingEmbedder,
    Medha,
    ParameterExtractionError,
    ParameterExtractor,
    QueryTemplate,
    SearchStrategy,
    Settings,
)

COUNT = QueryTemplate(
    intent="count_users",
    template_text="How many users are there",
    query_template="SELECT COUNT(*) FROM users",
)
BY_CITY = QueryTemplate(
    intent="customers_by_city",
    template_text="List customers in {city}",
    aliases=["Which clients live in {city}"],
    query_template="SELECT * FROM customers WHERE city = '{city}'",
    parameters=["city"],
)
TOP = QueryTemplate(
    intent="top_products",
    template_text="Show the top {limit} products",
    query_template="SELECT * FROM products ORDER BY sales DESC LIMIT {limit}",
    parameters=["limit"],
    priority=2,
)


@pytest.fixture
async def cache():
    settings = Settings(_env_file=None)
    async with Medha("t", HashingEmbedder(), settings=settings, templates=[COUNT, BY_CITY, TOP]) as cache:
        yield cache


@pytest.mark.parametrize(
    ("question", "intent", "query"),
    [
        ("How many users are there?", "count_users", "SELECT COUNT(*) FROM users"),
        ("please tell me how many users there are", "count_users", "SELECT COUNT(*) FROM users"),
        (
            "List customers in New York",
            "customers_by_city",
            "SELECT * FROM customers WHERE city = 'New York'",
        ),
        (
            "Which clients live in Zürich?",
            "customers_by_city",
            "SELECT * FROM customers WHERE city = 'Zürich'",
        ),
        ("show the top 7 products", "top_products", "SELECT * FROM products ORDER BY sales DESC LIMIT 7"),
    ],
)
async def test_a_question_that_fits_is_answered(cache, question, intent, query):
    hit = await cache.search(question)
    assert hit.strategy is SearchStrategy.TEMPLATE_MATCH
    assert (hit.template_used, hit.generated_query) == (intent, query)
    assert 0.7 <= hit.confidence <= 0.88


@pytest.mark.parametrize(
    "question",
    [
        "How many users are not active",
        "How many users are there who signed up in 2023",
        "List customers in the north",
        "Show the top products",
        "List suppliers in New York",
    ],
)
async def test_words_the_template_does_not_explain_speak_against_it(cache, question):
    assert not await cache.search(question)


async def test_a_failed_rendering_does_not_lend_its_score():
    unsafe = QueryTemplate(
        intent="unsafe",
        template_text="show orders of {name}",
        query_template="SELECT * FROM orders WHERE name = '{name}'",
        parameters=["name"],
        parameter_patterns={"name": r"of (.+)"},
    )
    weak = QueryTemplate(
        intent="weak",
        template_text="show orders today by region and month",
        query_template="SELECT 2",
        priority=5,
    )
    async with Medha(
        "t", HashingEmbedder(), settings=Settings(_env_file=None, guard="off"), templates=[unsafe, weak]
    ) as cache:
        assert not await cache.search("show orders of O'Brien'; DROP TABLE orders; --")
        assert (await cache.search("show orders of Smith")).template_used == "unsafe"


def test_every_parameter_needs_a_value_of_its_own():
    extractor = ParameterExtractor()
    with pytest.raises(ParameterExtractionError, match="city"):
        extractor.extract("list customers in berlin", BY_CITY)
    transfer = QueryTemplate(
        intent="flights",
        template_text="flights from {origin} to {destination}",
        query_template="{origin} {destination}",
        parameters=["origin", "destination"],
    )
    values = extractor.extract("Flights from New York to Los Angeles", transfer)
    assert values == {"origin": "New York", "destination": "Los Angeles"}
    pattern = transfer.model_copy(update={"parameter_patterns": {"destination": r"to ([A-Z]\w+ [A-Z]\w+)"}})
    values = extractor.extract("Flights from New York to Los Angeles", pattern)
    assert values == {"origin": "New York", "destination": "Los Angeles"}


@pytest.mark.parametrize("question", ["In which office do we sell most in New York", "in New York"])
def test_a_word_that_opens_a_sentence_is_no_name(question):
    assert ParameterExtractor().extract(question, BY_CITY) == {"city": "New York"}


@pytest.mark.parametrize(
    "value", ["last week", "yesterday", "3 days ago", "O'Brien", "x; y", "a--b", "", "x\\", 'a"b', "%"]
)
def test_values_that_are_relative_or_could_end_a_literal_are_refused(value):
    loose = BY_CITY.model_copy(update={"parameter_patterns": {"city": r"[\w\s'\";\\-]*"}})
    with pytest.raises(ParameterExtractionError):
        ParameterExtractor().render_query(loose, {"city": value})


def test_a_slot_without_a_value_is_refused():
    with pytest.raises(ParameterExtractionError, match=r"\{city\}"):
        ParameterExtractor().render_query(BY_CITY, {})
