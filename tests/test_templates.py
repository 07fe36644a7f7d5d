"""The template tier and the values it takes from a question."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core import (
    HashingEmbedder,
    Medha,
    ParameterExtractionError,
    ParameterExtractor,
    QueryTemplate,
    SearchStrategy,
    Settings,
    TemplateError,
    keyword_overlap_score,
)
from medha_core.templates.gate import Gate

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


# which templates are looked at


def score(question, template):
    """The formula, spelt out."""
    overlap = max(
        keyword_overlap_score(question, text) for text in (template.template_text, *template.aliases)
    )
    return 0.5 * overlap + 0.3 + 0.02 * (5 - template.priority)


WORDS = st.lists(st.sampled_from("show all users orders open late the of {x} {y} in".split()), max_size=6)
SAMPLE = st.builds(
    lambda words, aliases, priority: QueryTemplate(
        intent="t",
        template_text=" ".join(words),
        aliases=[" ".join(alias) for alias in aliases],
        query_template="q",
        priority=priority,
    ),
    WORDS,
    st.lists(WORDS, max_size=2),
    st.integers(1, 5),
)


@given(st.lists(SAMPLE, max_size=8), WORDS, st.sampled_from([0.0, 0.3, 0.38, 0.5, 0.63, 0.7, 0.8, 0.88, 1.0]))
def test_the_index_of_words_finds_what_the_formula_finds(templates, words, threshold):
    question = " ".join(words).replace("{", "").replace("}", "")
    asked = frozenset(question.lower().split()) - {"the", "of", "in"}
    found = Gate(templates, threshold).reached(asked)
    expected = {i for i, one in enumerate(templates) if score(question, one) >= threshold - 1e-9}
    assert {one.place for one in found} == expected
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    best = {}
    for one in found:
        best[one.place] = max(best.get(one.place, 0), one.score)
    assert best == pytest.approx({place: score(question, templates[place]) for place in expected})


def named(intent, text, **fields):
    return QueryTemplate(intent=intent, template_text=text, query_template=f"SELECT {intent!r}", **fields)


async def answered(templates, question, **settings):
    given = Settings(_env_file=None, **settings)
    async with Medha("t", HashingEmbedder(), settings=given, templates=templates) as cache:
        return await cache.search(question)


async def test_the_better_priority_wins_among_equals_and_the_score_is_the_formula():
    templates = [named("low", "count lamps", priority=4), named("high", "count lamps", priority=2)]
    hit = await answered(templates, "count lamps")
    assert hit.template_used == "high"
    assert hit.confidence == pytest.approx(0.5 + 0.3 + 0.06)
    assert (await answered(templates[:1], "count lamps")).confidence == pytest.approx(0.82)
    assert not await answered(templates, "count lamps", score_threshold_template=0.87)


async def test_an_alias_answers_as_the_text_does():
    templates = [named("lamps", "count lamps", aliases=["number of lights", "how many bulbs"])]
    for question in ("count lamps", "what is the number of lights?", "How many bulbs are there"):
        assert (await answered(templates, question)).template_used == "lamps"
    assert not await answered(templates, "number of red lights")


async def test_a_hit_names_its_values(cache):
    hit = await cache.search("List customers in New York")
    assert hit.parameters == {"city": "New York"}
    assert (await cache.search("List customers in New York")).strategy is SearchStrategy.L1_CACHE


async def test_filters_are_not_answered_by_templates(cache):
    assert not await cache.search("How many users are there?", filters={"tenant": "a"})


async def test_other_languages_are_answered_word_for_word():
    template = QueryTemplate(
        intent="kunden",
        template_text="Zeige alle Kunden in {stadt}",
        query_template="SELECT * FROM kunden WHERE stadt = '{stadt}'",
        parameters=["stadt"],
    )
    assert (await answered([template], "zeige alle Kunden in Köln")).parameters == {"stadt": "Köln"}
    assert not await answered([template], "Zeige alle Kunden nicht in Köln")


# loading


def write(path, *templates):
    path.write_text(json.dumps([template.model_dump() for template in templates]), encoding="utf-8")
    return path


async def test_templates_are_loaded_from_lists_and_files(cache, tmp_path):
    assert (await cache.search("How many users are there?")).template_used == "count_users"
    await cache.load_templates([named("lamps", "count lamps")])
    assert not await cache.search("How many users are there?")
    assert (await cache.search("count lamps")).template_used == "lamps"
    await cache.load_templates_from_file(write(tmp_path / "t.json", COUNT, BY_CITY))
    assert (await cache.search("Which clients live in Zürich?")).template_used == "customers_by_city"
    await cache.load_templates([])
    assert not await cache.search("Which clients live in Zürich?")


async def test_the_settings_name_a_file_that_is_read_at_start(tmp_path):
    path = write(tmp_path / "t.json", named("lamps", "count lamps"))
    hit = await answered(None, "count lamps", template_file=str(path))
    assert hit.template_used == "lamps"
    assert not await answered([COUNT], "count lamps", template_file=str(path))


def test_synchronous_callers_load_them_too(tmp_path):
    cache = Medha("t", HashingEmbedder(), settings=Settings(_env_file=None))
    cache.start_sync()
    cache.load_templates_from_file_sync(write(tmp_path / "t.json", COUNT))
    assert cache.search_sync("How many users are there?").template_used == "count_users"
    cache.load_templates_sync([])
    assert not cache.search_sync("How many users are there?")
    cache.close_sync()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"[{]", "line 1: not valid JSON"),
        (b"{}", "expected a JSON array of templates, got dict"),
        (b"[1]", "item 0: expected an object"),
        (b'[{"intent": "a"}]', "item 0: template_text: Field required"),
        (b'[{"intent": "a", "template_text": "b", "query_template": "c", "priority": 9}]', "priority"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "not usable JSON"),
        (
            b'[{"intent": "a", "template_text": "b", "query_template": "c",'
            b' "parameter_patterns": {"x": "y"}}]',
            "x, which parameters does not list",
        ),
        (b'[{"intent": "a", "template_text": "b", "query_template": "{x}"}]', "does not list: x"),
    ],
)
async def test_a_file_that_cannot_be_used_is_a_template_error_and_changes_nothing(
    cache, tmp_path, content, named
):
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(TemplateError, match=named):
        await cache.load_templates_from_file(path)
    assert (await cache.search("How many users are there?")).template_used == "count_users"


async def test_a_file_out_of_bounds_is_a_template_error(tmp_path):
    path = write(tmp_path / "t.json", COUNT)
    settings = Settings(_env_file=None, allowed_file_dir=str(tmp_path / "in"))
    async with Medha("t", HashingEmbedder(), settings=settings) as cache:
        with pytest.raises(TemplateError, match="allowed_file_dir"):
            await cache.load_templates_from_file(path)
        with pytest.raises(TemplateError, match="allowed_file_dir"):
            await cache.load_templates_from_file(tmp_path / "none.json")
    fenced = Settings(_env_file=None, template_file=str(tmp_path / "none.json"))
    with pytest.raises(TemplateError, match="no such file"):
        await Medha("t", HashingEmbedder(), settings=fenced).start()
