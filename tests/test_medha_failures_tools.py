"""Ways in which caches of this kind fail their users: templates, parameters, Redis, the command line.

Each test is named after its item in the list; the others are in test_medha_failures.py.
"""

import asyncio
import inspect
import json
import logging
import socket
import sys
import threading
import time

import pytest

from command_line import call
from medha_core import (
    HashingEmbedder,
    Medha,
    ParameterExtractionError,
    ParameterExtractor,
    QueryTemplate,
    SearchStrategy,
    Settings,
    TemplateError,
    setup_logging,
)
from medha_core.l1_cache import RedisL1Cache
from medha_core.testing.l1_cache import hit

TEMPLATES = [
    QueryTemplate(
        intent="count_users",
        template_text="How many users are there",
        aliases=["number of users", "how many users"],
        query_template="SELECT COUNT(*) FROM users",
    ),
    QueryTemplate(
        intent="top_products",
        template_text="Show the top {limit} products",
        query_template="SELECT * FROM products ORDER BY sales DESC LIMIT {limit}",
        parameters=["limit"],
    ),
    QueryTemplate(
        intent="active",
        template_text="count active users",
        query_template="SELECT COUNT(*) FROM users WHERE active",
    ),
    QueryTemplate(
        intent="flights",
        template_text="flights from {origin} to {destination}",
        query_template="SELECT * FROM flights WHERE origin = '{origin}' AND destination = '{destination}'",
        parameters=["origin", "destination"],
    ),
    QueryTemplate(
        intent="list_customers",
        template_text="customers in {city}",
        query_template="SELECT * FROM customers WHERE city = '{city}'",
        parameters=["city"],
    ),
]


def cache_with(templates, **settings):
    given = Settings(_env_file=None, **settings)
    return Medha("c", HashingEmbedder(), settings=given, templates=templates)


@pytest.mark.parametrize(
    "question",
    [
        "How many users are not active",
        "How many users are there who signed up in 2023",
        "How many users are there in Berlin",
        "How many users were there before 2020",
        "How many users never paid",
        "Show the first 5 products",
        "Show the bottom 5 products",
        "Show the top 5 products of 2023",
        "Show the top 5 products except shoes",
        "count users",
        "flights from Paris to Rome before Monday",
        "cheapest flights from Paris to Rome",
        "flights not from Paris to Rome",
        "how many customers in Berlin",
        "customers in Berlin and Paris",
        "customers not in Berlin",
    ],
)
async def test_W6_a_qualifier_the_template_does_not_explain_is_no_hit(question):
    async with cache_with(TEMPLATES) as cache:
        hit = await cache.search(question)
        assert hit.strategy is SearchStrategy.NO_MATCH, hit.generated_query


async def test_W6_what_the_template_explains_still_is_one():
    async with cache_with(TEMPLATES) as cache:
        for question, query in {
            "please tell me how many users there are": "SELECT COUNT(*) FROM users",
            "What is the number of users?": "SELECT COUNT(*) FROM users",
            "show me the top 5 products": "SELECT * FROM products ORDER BY sales DESC LIMIT 5",
            "flights to Rome from Paris": TEMPLATES[3].query_template.format(
                origin="Paris", destination="Rome"
            ),
        }.items():
            hit = await cache.search(question)
            assert hit.strategy is SearchStrategy.TEMPLATE_MATCH, question
            assert hit.generated_query == query
            assert hit.entry_id is None
            assert hit.metadata == {}


async def test_W7_a_failed_render_cannot_lend_its_score():
    """The best template fails on its value; a weaker one far below the threshold must not answer for it."""
    loose = QueryTemplate(
        intent="loose",
        template_text="show orders of {name}",
        query_template="SELECT * FROM orders WHERE name = '{name}'",
        parameters=["name"],
        parameter_patterns={"name": r"of (.+)"},
    )
    weak = QueryTemplate(
        intent="weak", template_text="orders by month region and kind", query_template="SELECT 2", priority=5
    )
    for templates in ([loose, weak], [weak, loose]):
        async with cache_with(templates, guard="off") as cache:
            assert not await cache.search("show orders of x'; DROP TABLE orders; --")
            assert (await cache.search("show orders of Smith")).template_used == "loose"


def test_W9_a_word_that_opens_a_sentence_is_no_value_and_names_are_whole():
    extractor = ParameterExtractor()
    city = TEMPLATES[4]
    assert extractor.extract("In which office do customers in New York buy", city) == {"city": "New York"}
    assert extractor.extract("Customers in San Luis Obispo", city) == {"city": "San Luis Obispo"}


def test_W9_the_form_takes_no_number_that_a_pattern_took():
    template = QueryTemplate(
        intent="t",
        template_text="top {limit} of {year}",
        query_template="{limit} {year}",
        parameters=["limit", "year"],
        parameter_patterns={"year": r"(\d{4})"},
    )
    assert ParameterExtractor().extract("of 2023 the top 5", template) == {"limit": "5", "year": "2023"}
    with pytest.raises(ParameterExtractionError, match="limit"):
        ParameterExtractor().extract("the top of 2023", template)


async def test_W9_completeness_goes_by_names_and_a_pattern_for_no_parameter_is_refused():
    template = QueryTemplate(
        intent="t",
        template_text="orders of {name}",
        query_template="SELECT '{name}'",
        parameters=["name"],
        parameter_patterns={"year": r"(\d{4})"},
    )
    with pytest.raises(TemplateError, match="year, which parameters does not list"):
        await cache_with([template]).start()
    plain = template.model_copy(update={"parameter_patterns": {}})
    with pytest.raises(ParameterExtractionError, match="name"):
        ParameterExtractor().extract("orders of 2023", plain)


# the command line


def test_P13_every_option_does_what_it_says(tmp_path, monkeypatch):
    (tmp_path / "rows.json").write_text(json.dumps([{"question": "q one", "generated_query": "SELECT 1"}]))
    template = {"intent": "i", "template_text": "count lamps", "query_template": "SELECT 9"}
    (tmp_path / "templates.json").write_text(json.dumps([template]))
    place = {
        "MEDHA_PATH": str(tmp_path / "cache"),
        "MEDHA_EMBEDDER_TYPE": "hashing",
        "MEDHA_TEMPLATE_FILE": str(tmp_path / "templates.json"),
    }
    assert call(tmp_path, "warm", "rows.json", "--ttl", "1", **place).code == 0
    assert call(tmp_path, "stats", "--json", **place).json["templates"] == 1
    assert call(tmp_path, "search", "count lamps", **place).out == "SELECT 9\n"
    time.sleep(1.1)
    assert call(tmp_path, "search", "q one", **place).code == 1
    assert call(tmp_path, "expire", "--json", **place).json["removed"] == 1
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert call(tmp_path, "dedup", **place).code == 0
    assert call(tmp_path, "export", "--format", "csv", **place).code == 0


def test_P14_setup_logging_takes_what_is_documented():
    names = "level log_file console_level fmt date_fmt"
    assert list(inspect.signature(setup_logging).parameters) == names.split()


# spaCy and patterns


async def test_P15_no_model_is_loaded_in_a_constructor_or_on_the_event_loop(tmp_path, monkeypatch):
    """A stand-in for the library and its model, on the path, tells on which thread it is imported."""
    (tmp_path / "spacy.py").write_text(
        "import threading\nTHREADS, WANTED = [threading.current_thread().name], threading.Event()\n"
        "class Doc:\n    ents = []\n"
        "def load(name):\n    THREADS.append(threading.current_thread().name)\n    WANTED.wait()\n"
        "    return lambda text: Doc()\n"
    )
    (tmp_path / "en_core_web_sm.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "spacy"]:
        monkeypatch.delitem(sys.modules, name)
    extractor = ParameterExtractor()
    assert extractor.spacy_available
    assert "spacy" not in sys.modules
    user = QueryTemplate(
        intent="t", template_text="orders of {user}", query_template="'{user}'", parameters=["user"]
    )
    assert extractor.extract("orders of Ada", user) == {"user": "Ada"}
    while "spacy" not in sys.modules or not hasattr(sys.modules["spacy"], "WANTED"):
        await asyncio.sleep(0.01)
    assert extractor._spacy.get() is None
    sys.modules["spacy"].WANTED.set()
    while extractor._spacy.get() is None:
        await asyncio.sleep(0.01)
    assert threading.current_thread().name not in sys.modules["spacy"].THREADS

    async with cache_with([user]) as cache:
        assert (await cache.search("orders of Ada")).generated_query == "'Ada'"
    assert threading.current_thread().name not in sys.modules["spacy"].THREADS
    del sys.modules["spacy"]  # for good: monkeypatch would put the stand-in back


async def test_P16_a_pattern_that_never_ends_does_not_keep_the_loop(caplog):
    template = QueryTemplate(
        intent="t",
        template_text="orders of {name}",
        query_template="SELECT '{name}'",
        parameters=["name"],
        parameter_patterns={"name": r"^(([a-z])+.)+[A-Z]([a-z])+$"},
    )
    async with cache_with([template], guard="off") as cache:
        question = "orders of " + "a" * 4000
        with caplog.at_level(logging.WARNING, "medha_core"):
            for _ in range(3):  # `re` would not come back
                assert not await cache.search(question)
        assert "aaaa" not in caplog.text
        assert (await cache.search("orders of Ada")).template_used == "t"


@pytest.mark.parametrize("language", ["generic", "sql", "cypher", "graphql"])
async def test_P16_a_loose_pattern_lets_no_value_out_of_its_literal(language):
    template = QueryTemplate(
        intent="t",
        template_text="orders of {name}",
        query_template="SELECT * FROM orders WHERE name = '{name}'",
        parameters=["name"],
        parameter_patterns={"name": r"(?s)of (.+)"},
    )
    async with cache_with([template], guard="off", query_language=language) as cache:
        for value in (
            "x' OR '1'='1",
            "x'; DROP TABLE orders; --",
            "x\\' OR 1=1 --",
            "x\n' --",
            "＇ OR 1=1 --",
        ):
            hit = await cache.search(f"orders of {value}")
            assert not hit, hit.generated_query


# first-level cache and templates


async def test_T4_invalidate_all_keeps_other_prefixes_and_does_not_block_the_server(redis):
    mine, theirs = RedisL1Cache(redis.url), RedisL1Cache(redis.url, prefix="medha:l1:theirs")
    for i in range(200):
        await mine.set(f"k{i}", hit("SELECT 1", entry_id="e"))
    await theirs.set("k", hit("SELECT 2"))
    with socket.create_connection(("127.0.0.1", redis.port), timeout=10) as watch:
        watch.sendall(b"CONFIG RESETSTAT\r\n")
        assert watch.recv(100) == b"+OK\r\n"
        await mine.invalidate_all()
        watch.sendall(b"INFO commandstats\r\n")
        used = watch.recv(65536).decode()
    assert "cmdstat_keys:" not in used
    assert "cmdstat_del:" not in used
    assert await mine.get("k1") is None
    assert (await theirs.get("k")).generated_query == "SELECT 2"
    await mine.close()
    await theirs.close()


async def test_T7_edited_templates_answer_at_once_and_cost_no_embedding(tmp_path):
    class Counting(HashingEmbedder):
        calls = 0

        async def aembed_array(self, texts, **kwargs):
            Counting.calls += 1
            return await super().aembed_array(texts, **kwargs)

    path = tmp_path / "templates.json"

    def write(query):
        path.write_text(
            json.dumps([{"intent": "i", "template_text": "count lamps", "query_template": query}])
        )

    write("SELECT 1")
    settings = Settings(_env_file=None, template_file=str(path), path=tmp_path / "cache")
    async with Medha("c", Counting(), settings=settings) as cache:
        assert (await cache.search("count lamps")).generated_query == "SELECT 1"
        assert (await cache.search("count lamps")).strategy is SearchStrategy.L1_CACHE
        write("SELECT 2")
        await cache.load_templates_from_file(path)
        assert (await cache.search("count lamps")).generated_query == "SELECT 2"
    write("SELECT 3")
    async with Medha("c", Counting(), settings=settings) as cache:
        assert (await cache.search("count lamps")).generated_query == "SELECT 3"
    assert Counting.calls == 0
