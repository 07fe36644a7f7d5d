"""Values for parameters: where they are found, and how they are written into a query."""

import asyncio
import logging
import sys
import threading

import pytest
import sqlglot
from graphql import parse as parse_graphql
from hypothesis import example, given
from hypothesis import strategies as st

from medha_core import (
    ArgumentValueError,
    ParameterExtractionError,
    ParameterExtractor,
    QueryTemplate,
    TemplateError,
)
from medha_core.parameters import Entity
from medha_core.reading.literals import literals


def template(text, query="", parameters=(), **fields):
    return QueryTemplate(
        intent="t", template_text=text, query_template=query, parameters=list(parameters), **fields
    )


def extract(question, text, *parameters, extractor=None, **fields):
    made = template(text, parameters=parameters, **fields)
    return (extractor or ParameterExtractor()).extract(question, made)


# by form


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("orders in New York", "orders in {city}", {"city": "New York"}),
        ("orders in Rio de Janeiro and more", "orders in {city}", {"city": "Rio de Janeiro"}),
        ("orders in Łódź?", "orders in {city}", {"city": "Łódź"}),
        ("In which month did Jean-Luc O'Neill order", "orders of {name}", {"name": "Jean-Luc O'Neill"}),
        ("What did Anna's team order", "orders of {name}", {"name": "Anna"}),
        ('orders of "acme gmbh"', "orders of {company}", {"company": "acme gmbh"}),
        ("offices in the U.S.", "offices in {country}", {"country": "U.S."}),
        ("orders in Rome.", "orders in {city}", {"city": "Rome"}),
        ("top 5 products of 2023", "top {n} products of {year}", {"n": "5", "year": "2023"}),
        ("products of 2023, top 5", "top {n} products of {year}", {"n": "5", "year": "2023"}),
        ("orders since 2024-03-01", "orders since {start_date}", {"start_date": "2024-03-01"}),
        ("tickets of project apollo", "tickets of project {project}", {"project": "apollo"}),
        ("flights to Rome from Paris", "flights from {a} to {b}", {"a": "Paris", "b": "Rome"}),
        ("flights from Paris to Paris", "flights from {a} to {b}", {"a": "Paris", "b": "Paris"}),
    ],
)
def test_values_are_found_by_form_and_by_what_stands_before_them(question, text, expected):
    assert extract(question, text, *expected) == expected


@pytest.mark.parametrize(
    ("question", "text", "missing"),
    [
        ("orders in berlin", "orders in {city}", "city"),
        ("orders in Rome", "orders from {a} to {b}", "b"),
        ("top products", "top {n} products", "n"),
        ("version 1.2.3", "version {n}", "n"),
        ("1,000 orders", "{n} orders", "n"),
    ],
)
def test_what_is_not_there_is_named(question, text, missing):
    parameters = [part.partition("}")[0] for part in text.split("{")[1:]]
    with pytest.raises(ParameterExtractionError, match=f"no value for {missing}"):
        extract(question, text, *parameters)


def test_no_part_of_a_question_gives_two_values():
    fields = {"parameter_patterns": {"year": r"(\d{4})"}}
    with pytest.raises(ParameterExtractionError, match="no value for limit"):
        extract("orders of 2023", "top {limit} orders of {year}", "limit", "year", **fields)
    assert extract("top 7 of 2023", "top {limit} of {year}", "limit", "year", **fields) == {
        "limit": "7",
        "year": "2023",
    }


# declared patterns


def test_a_pattern_gives_its_first_group_or_all():
    fields = {"parameter_patterns": {"sku": r"\b[A-Z]{2}-\d+\b", "days": r"(\d+) days"}}
    found = extract("Stock of ab-12 in 30 days", "stock of {sku} in {days}", "sku", "days", **fields)
    assert found == {"sku": "ab-12", "days": "30"}


def test_a_pattern_that_finds_nothing_leaves_it_to_the_form():
    assert extract("in Rome", "in {city}", "city", parameter_patterns={"city": r"city (\w+)"}) == {
        "city": "Rome"
    }


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (template("x", parameter_patterns={"city": "(.+)"}), "city, which parameters does not list"),
        (template("x", parameters=["a"], parameter_patterns={"a": "("}), "is no regular expression"),
        (template("x", "SELECT {a}, {b}", ["a"]), "slots that parameters does not list: b"),
        (template("x", "SELECT 1 -- {a}", ["a"]), "slots in a comment of its query: a"),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_it_is_given(made, named):
    with pytest.raises(TemplateError, match=named):
        ParameterExtractor().check(made)


HANGING = [(r"(a|aa)+$", "a" * 60 + "b"), (r"(.*a){25}$", "a" * 200 + "b"), (r"(a+)+$", "a" * 5000 + "b")]


@pytest.mark.parametrize(("pattern", "question"), HANGING)
def test_a_pattern_that_never_ends_is_given_up(pattern, question, caplog):
    # `re` would take longer than the universe has.
    with caplog.at_level(logging.WARNING, "medha_core"), pytest.raises(ParameterExtractionError):
        extract(question, "of {x}", "x", parameter_patterns={"x": pattern})
    assert question not in caplog.text
    assert len(caplog.records) <= 1


# recognisers


def test_a_recogniser_of_the_caller_is_asked_before_the_form():
    asked = []

    def cities(text, labels):
        asked.append((text, tuple(labels)))
        return [Entity("city", word) for word in text.split() if word in ("berlin", "rome")]

    extractor = ParameterExtractor(recogniser=cities)
    assert extract("orders in berlin", "orders in {city}", "city", extractor=extractor) == {"city": "berlin"}
    extract("orders in berlin", "orders in {city}", "city", extractor=extractor)
    assert asked == [("orders in berlin", ("city",))]
    assert extractor.extract_entities("orders in rome")["city"] == ["rome"]
    assert "own" in repr(extractor)


def test_what_recognisers_found_is_kept_for_few_questions():
    calls = []
    extractor = ParameterExtractor(recogniser=lambda text, _labels: calls.append(text) or [])
    for i in range(300):
        extractor.extract_entities(f"q{i}")
    extractor.extract_entities("q299")
    assert len(calls) == 300
    extractor.extract_entities("q0")
    assert len(calls) == 301


def test_extract_entities_gathers_names_numbers_and_dates():
    found = ParameterExtractor().extract_entities('orders of Anna in 2023 since 2024-01-05, "big one"')
    assert found == {"NAME": ["Anna", "big one"], "NUMBER": ["2023"], "DATE": ["2024-01-05"]}


@pytest.fixture
def spacy_model(tmp_path, require):
    """A directory with a rule-based pipeline: no download, the real library."""
    spacy = pytest.importorskip("spacy", reason="spacy is not installed")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(
        [
            {"label": "PERSON", "pattern": [{"LOWER": "ada"}, {"LOWER": "lovelace"}]},
            {"label": "ORG", "pattern": "acme"},
        ]
    )
    pipeline.to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_spacy_finds_persons_and_companies(spacy_model):
    extractor = ParameterExtractor(spacy_model=spacy_model)
    assert extractor.spacy_available
    text, names = "orders of {user} at {company}", ("user", "company")
    found = extract("orders of ada lovelace at acme", text, *names, extractor=extractor)
    assert found == {"user": "ada lovelace", "company": "acme"}
    assert extractor.extract_entities("ask ada lovelace")["PERSON"] == ["ada lovelace"]


def test_without_spacy_or_when_it_is_not_wanted_forms_alone_are_used(spacy_model, monkeypatch):
    assert not ParameterExtractor(False, spacy_model=spacy_model).spacy_available
    monkeypatch.setattr("medha_core.parameters.entities.find_spec", lambda name: None)
    extractor = ParameterExtractor(use_gliner=True)
    assert (extractor.spacy_available, extractor.gliner_available) == (False, False)
    assert extract("in Rome", "in {city}", "city", extractor=extractor) == {"city": "Rome"}


async def test_a_model_is_never_loaded_on_the_thread_of_an_event_loop():
    loaded, gate = [], threading.Event()

    class Slow:
        def __call__(self, text, _labels):
            return []

    def load():
        loaded.append(threading.current_thread())
        gate.wait(20)
        return Slow()

    from medha_core.parameters.entities import LazyModel

    model = LazyModel("slow", load)
    assert model.get() is None
    assert model.get() is None
    gate.set()
    while model.get() is None:
        await asyncio.sleep(0.001)
    assert loaded != [threading.current_thread()]
    assert len(loaded) == 1


def test_a_model_that_cannot_be_loaded_is_one_warning(tmp_path, caplog):
    extractor = ParameterExtractor(spacy_model=tmp_path / "nowhere")
    for _ in range(2):
        assert extract("user Ada", "user {user}", "user", extractor=extractor) == {"user": "Ada"}
    assert [record.message.partition(":")[0] for record in caplog.records] == ["spaCy is not used"]


GLINER = """
class GLiNER:
    @classmethod
    def from_pretrained(cls, name):
        assert name == "urchade/gliner_medium-v2.1"
        return cls()

    def predict_entities(self, text, labels, threshold=0.5):
        assert labels == ["city"]
        return [{"label": "city", "text": "city berlin", "start": 10, "end": 21, "score": 0.9}]
"""


def test_the_gliner_adapter_names_the_parameters_and_strips_the_label(tmp_path, monkeypatch):
    """The library needs torch and a model from the network; a module with its interface stands in."""
    (tmp_path / "gliner.py").write_text(GLINER)
    monkeypatch.syspath_prepend(tmp_path)
    extractor = ParameterExtractor(use_gliner=True)
    assert extractor.gliner_available
    assert extract("orders of city berlin", "of {city}", "city", extractor=extractor) == {"city": "berlin"}
    sys.modules.pop("gliner")


def test_a_wrong_language_is_named():
    with pytest.raises(ArgumentValueError, match="query_language"):
        ParameterExtractor(query_language="prolog")


# rendering


def render(query, language="sql", patterns=None, **values):
    made = template("x", query, values, parameter_patterns=patterns or {})
    return ParameterExtractor(query_language=language).render_query(made, values)


@pytest.mark.parametrize(
    ("language", "query", "values", "expected"),
    [
        ("sql", "WHERE n = '{x}'", {"x": "O'Brien"}, "WHERE n = 'O''Brien'"),
        ("sql", "WHERE n = {x}", {"x": "New York"}, "WHERE n = 'New York'"),
        ("sql", "WHERE n = {x}", {"x": "12.5"}, "WHERE n = 12.5"),
        ("sql", "WHERE n = {x}", {"x": 7}, "WHERE n = 7"),
        ("sql", "WHERE d >= {x}", {"x": "2024-03-01"}, "WHERE d >= '2024-03-01'"),
        ("sql", "WHERE d >= DATE '{x}'", {"x": "2024-03-01"}, "WHERE d >= DATE '2024-03-01'"),
        ("sql", "WHERE n LIKE '%{x}%'", {"x": "AT&T"}, "WHERE n LIKE '%AT&T%'"),
        ("sql", "SELECT * FROM {x}", {"x": "orders"}, "SELECT * FROM orders"),
        ("sql", "SELECT * FROM sales_{x}", {"x": "2024"}, "SELECT * FROM sales_2024"),
        ("sql", "SELECT COUNT({x}) FROM t", {"x": "id"}, "SELECT COUNT(id) FROM t"),
        ("sql", "SELECT a FROM t ORDER BY {x} DESC LIMIT {n}", {"x": "b", "n": "5"}, None),
        ("sql", "WHERE d > now() - INTERVAL {x} DAY", {"x": "7"}, "WHERE d > now() - INTERVAL 7 DAY"),
        ("sql", "WHERE a IN ({x}, {y})", {"x": "a b", "y": 3}, "WHERE a IN ('a b', 3)"),
        ("cypher", "MATCH (n {name: '{x}'})", {"x": "O'Brien"}, "MATCH (n {name: 'O\\'Brien'})"),
        ("cypher", "MATCH (n:{x}) RETURN n", {"x": "Person"}, "MATCH (n:Person) RETURN n"),
        ("cypher", "WHERE n.name = {x}", {"x": "Ada B"}, "WHERE n.name = 'Ada B'"),
        (
            "cypher",
            "WHERE n.city IN [{x}, {y}]",
            {"x": "New York", "y": 5},
            "WHERE n.city IN ['New York', 5]",
        ),
        ("sql", "WHERE a = ANY(ARRAY[{x}])", {"x": "a or b"}, "WHERE a = ANY(ARRAY['a or b'])"),
        ("graphql", "{ users(ids: [{x}]) {id} }", {"x": "a b"}, '{ users(ids: ["a b"]) {id} }'),
        ("graphql", '{ user(name: "{x}") { id } }', {"x": "O'Brien"}, '{ user(name: "O\'Brien") { id } }'),
        ("graphql", "{ user(name: {x}) {id} }", {"x": "Ada B"}, '{ user(name: "Ada B") {id} }'),
        ("generic", "WHERE n = {x}", {"x": "abc"}, "WHERE n = abc"),
        ("generic", "SELECT 1 WHERE n = {x}", {"x": "a b"}, "SELECT 1 WHERE n = 'a b'"),
        ("generic", '{"city": "{x}"}', {"x": "New York"}, '{"city": "New York"}'),
    ],
)
def test_values_are_written_by_the_rules_of_the_language_and_the_place(language, query, values, expected):
    expected = expected or "SELECT a FROM t ORDER BY b DESC LIMIT 5"
    assert render(query, language, **values) == expected


@pytest.mark.parametrize(
    ("language", "query", "value"),
    [
        ("sql", "WHERE n = '{x}'", "x'; DROP TABLE users; --"),
        ("sql", "WHERE n = '{x}'", "x' OR '1'='1"),
        ("sql", "WHERE n = '{x}'", "x\\"),
        ("sql", "WHERE n = '{x}'", "x ＇ y"),
        ("sql", "WHERE n = E'{x}'", "O'Brien"),
        ("sql", "WHERE n = '{x}'", "a\nb"),
        ("sql", "WHERE n = '{x}'", "x\ud800"),
        ("sql", "WHERE n = '{x}'", "x" * 513),
        ("sql", "WHERE n = {x}", "1 OR 1=1 --"),
        ("sql", "WHERE n LIKE '{x}'", "%"),
        ("sql", "WHERE n LIKE '{x}'", "a_b"),
        ("sql", "WHERE n RLIKE '{x}'", ".*"),
        ("sql", "WHERE n = 5 -{x}", "-1"),
        ("sql", "SELECT * FROM {x}", "users u, secrets"),
        ("sql", "SELECT * FROM {x}", "select"),
        ("sql", "SELECT [{x}] FROM t", "a], [b"),
        ("sql", "SELECT a FROM t LIMIT {x}", "all"),
        ("cypher", "MATCH (n) RETURN n SKIP {x}", "many"),
        ("sql", "SELECT [c_{x}] FROM t", "a], [b"),
        ("generic", "db.find({ids: [{x}]})", "a or b"),
        ("sql", "SELECT 1 -- {x}", "abc"),
        ("sql", 'SELECT "{x}" FROM t', 'a" FROM secrets'),
        ("graphql", '{ user(name: """{x}""") { id } }', 'a""" b'),
        ("cypher", "MATCH (n:{x})", "A) DETACH DELETE (n"),
        ("generic", "WHERE id = {x}", "1 or true"),
        ("generic", "WHERE n = '{x}'", "O'Brien"),
        ("generic", "WHERE n = '{x}'", "last week"),
        ("generic", "WHERE n = '{x}'", "3 days ago"),
        ("generic", "WHERE n = '{x}'", "in 2 weeks"),
        ("generic", "WHERE n = '{x}'", "tomorrow"),
        ("generic", "WHERE n = '{x}'", " "),
        ("generic", "WHERE n = '{x}'", True),
        ("generic", "WHERE n = '{x}'", None),
    ],
)
def test_what_could_end_a_literal_or_go_stale_is_refused(language, query, value):
    with pytest.raises(ParameterExtractionError):
        render(query, language, {"x": r"(?s).*"}, x=value)


MARKS = [
    *(
        "'",
        '"',
        "`",
        "\\",
        ";",
        "--",
        "/*",
        "*/",
        "#",
        "OR",
        "1=1",
        "UNION",
        "SELECT",
        "x",
        ")",
        "(",
        ",",
        ".",
    ),
    *("%", "_", " ", "\n", "\t", "\x00", "é", "’", "＇", "O'Brien", "a", "7", "-5", "null"),
]
HOSTILE = st.one_of(
    st.text(max_size=12),
    st.lists(
        st.sampled_from(MARKS),
        max_size=8,
    ).map("".join),
    st.from_regex(r"[A-Za-z' ]{1,12}", fullmatch=True),
)
SQL = [
    "SELECT a FROM t WHERE b = '{x}' AND c = 1",
    "SELECT a FROM t WHERE b = {x} AND c = 1",
    "SELECT a FROM t WHERE b LIKE '%{x}%' ORDER BY a LIMIT 3",
    "SELECT a FROM t WHERE b IN ('k', {x}) OR c = 'q'",
    "SELECT a FROM t WHERE b > 10 - {x}",
    "SELECT a FROM t LIMIT {x}",
]


def shape(query, dialect):
    """The tree of a query without the values of its literals."""
    tree = sqlglot.parse_one(query, dialect=dialect)
    for literal in list(tree.find_all(sqlglot.exp.Literal)):
        literal.replace(sqlglot.exp.Literal.number(0))
    return tree.sql(dialect=dialect).replace("-0", "0")


@pytest.mark.parametrize("query", SQL)
@given(value=HOSTILE)
@example(value="' OR 1=1 --")
@example(value="\\' OR 1=1 --")
@example(value="-5")
def test_no_value_changes_the_structure_of_sql(query, value):
    try:
        made = render(query, "sql", {"x": "(?s).*"}, x=value)
    except ParameterExtractionError:
        return
    for dialect in ("postgres", "mysql", "sqlite"):
        assert shape(made, dialect) == shape(query.replace("{x}", "7"), dialect)
        texts = [one.this for one in sqlglot.parse_one(made, dialect=dialect).find_all(sqlglot.exp.Literal)]
        assert any(value in text or value.lstrip("-") == text for text in texts)


@given(value=HOSTILE)
def test_no_value_changes_the_structure_of_graphql(value):
    query = '{ user(name: "{x}", at: {y}) { id name } }'
    try:
        made = render(query, "graphql", {"x": "(?s).*", "y": "(?s).*"}, x=value, y=value)
    except ParameterExtractionError:
        return
    [asked] = parse_graphql(made).definitions[0].selection_set.selections
    assert [argument.value.value for argument in asked.arguments] == [value, value]
    assert [field.name.value for field in asked.selection_set.selections] == ["id", "name"]


@given(value=HOSTILE)
def test_no_value_changes_the_literals_of_cypher(value):
    query = "MATCH (n:City {name: '{x}'}) WHERE n.size > {y} RETURN n"
    try:
        made = render(query, "cypher", {"x": "(?s).*", "y": "(?s).*"}, x=value, y=value)
    except ParameterExtractionError:
        return
    text, number_or_text = (literal.value for literal in literals(made))
    assert text == value
    assert number_or_text in (value, value.lstrip("-"))
    assert made.endswith("RETURN n")


@given(value=HOSTILE)
def test_no_language_known_means_nothing_that_any_language_could_read(value):
    try:
        made = render("find '{x}' or \"{x}\" in {x}", "generic", {"x": "(?s).*"}, x=value)
    except ParameterExtractionError:
        return
    assert not set(value) & set("'\"`\\;\n")
    assert made == f"find '{value}' or \"{value}\" in {value}"
