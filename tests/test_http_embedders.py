"""The embedders behind HTTP services, each against its documented protocol on a real socket."""

import asyncio
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from embedder_contract import EmbedderContract
from embedding_server import DIMENSION, KEY, EmbeddingServer, vector

from medha_core import Medha, RemoteEmbedder, Settings
from medha_core.embedding import CachedEmbedder
from medha_core.embeddings import HashingEmbedder
from medha_core.embeddings.cohere_adapter import CohereAdapter
from medha_core.embeddings.gemini_adapter import GeminiAdapter
from medha_core.embeddings.http import retry_after
from medha_core.embeddings.mistral_adapter import MistralAdapter
from medha_core.embeddings.openai_adapter import OpenAIAdapter
from medha_core.embeddings.openai_compatible_adapter import OpenAICompatibleAdapter
from medha_core.embeddings.registry import embedder_of, is_named, known_models, make_embedder, model_config
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    DimensionMismatchError,
    EmbeddingError,
)

pytest.importorskip("httpx")
stamina = pytest.importorskip("stamina")

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def server():
    running = EmbeddingServer()
    yield running
    running.stop()


@pytest.fixture
def no_waiting(monkeypatch):
    """Retries come at once, so that no test waits."""
    monkeypatch.setattr("medha_core.embeddings.retrying._WAIT_FIRST", 0.0)
    stamina.set_testing(True, attempts=4, cap=True)
    yield
    stamina.set_testing(False)


def unit(texts):
    vectors = np.array([vector(text) for text in texts], np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Service(EmbedderContract):
    """What holds for each service; a subclass says how its embedder is made and what it sends."""

    model = "m"
    key_header = "authorization"
    key_value = f"Bearer {KEY}"
    path = "/v1/embeddings"
    tasks = ("", "")
    batch = 100

    def make(self, server, **options):
        raise NotImplementedError

    def sent(self, body):
        """The texts of a request."""
        return body["input"]

    @pytest.fixture
    def embedder(self, server):
        with self.make(server) as made:
            yield made

    async def test_it_speaks_the_documented_protocol(self, embedder, server):
        texts = ["one", "two", "Ünïcode ☃"]
        found = await embedder.aembed_array(texts)
        assert np.allclose(found, unit([self.tasks[0] + text for text in texts]), atol=1e-6)
        ((path, headers, body),) = server.requests
        assert path == self.path
        assert headers.get(self.key_header) == self.key_value
        assert headers["content-type"].startswith("application/")
        assert self.sent(body) == texts

    async def test_stored_texts_have_their_own_task(self, embedder):
        found = await embedder.aembed_array(["one"], is_document=True)
        assert np.allclose(found, unit([self.tasks[1] + "one"]), atol=1e-6)

    async def test_many_texts_go_in_batches_of_the_services_size(self, embedder, server):
        texts = [f"text {i}" for i in range(self.batch * 2 + 5)]
        found = await embedder.aembed_array(texts)
        assert np.allclose(found, unit([self.tasks[0] + text for text in texts]), atol=1e-6)
        assert sorted(len(self.sent(body)) for body in server.bodies) == [5, self.batch, self.batch]
        assert np.array_equal(embedder.embed_array(texts), found)

    @pytest.mark.usefixtures("no_waiting")
    async def test_what_passes_is_tried_again(self, server):
        server.faults = [
            {"status": 429, "headers": {"retry-after": "0"}, "body": b"{}"},
            {"status": 500, "body": b"<html>"},
            {"close": True},
        ]
        with self.make(server, attempts=4) as embedder:
            assert (await embedder.aembed_array(["one"])).shape == (1, DIMENSION)
        assert len(server.requests) == 4

    @pytest.mark.usefixtures("no_waiting")
    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ({"status": 400, "body": b'{"error": {"message": "too long"}}'}, "400: 'too long'"),
            ({"status": 401, "body": b'{"message": "bad key"}'}, "401.*bad key"),
            ({"body": b"not JSON or msgpack \xff"}, "cannot be read|as documented"),
            ({"body": b"{}"}, "as documented|cannot be read"),
            ({"body": b"[1]"}, "as documented|cannot be read"),
            ({"edit": lambda right: dict.fromkeys(right)}, "as documented"),
        ],
    )
    async def test_what_stays_is_one_error(self, server, fault, words):
        server.faults = [fault]
        with self.make(server) as embedder:
            with pytest.raises(EmbeddingError, match=words) as told:
                await embedder.aembed("one")
            assert type(embedder).__name__ in str(told.value)
            assert KEY not in str(told.value)
        assert len(server.requests) == 1

    @pytest.mark.usefixtures("no_waiting")
    async def test_a_service_that_stays_away_is_given_up(self, server):
        server.faults = [{"status": 503, "body": b"busy"}] * 10
        with self.make(server, attempts=3) as embedder, pytest.raises(EmbeddingError, match="503: 'busy'"):
            await embedder.aembed("one")
        assert len(server.requests) == 3

    async def test_medha_starts_and_answers_with_it(self, embedder):
        async with Medha("c", embedder, settings=SETTINGS) as cache:
            assert await cache.store("How many orders are there?", "SELECT 1")
            assert (await cache.search("How many orders are there?")).generated_query == "SELECT 1"


class TestOpenAI(Service):
    def make(self, server, **options):
        return OpenAIAdapter(api_key=KEY, dimensions=DIMENSION, base_url=f"{server.url}/v1", **options)

    async def test_vectors_travel_as_base64_bit_by_bit(self, embedder, server):
        await embedder.aembed("one")
        assert server.bodies[0] == {
            "model": "text-embedding-3-small",
            "input": ["one"],
            "encoding_format": "base64",
            "dimensions": DIMENSION,
        }

    def test_the_dimensions_are_known_before_anything_is_sent(self):
        for name, dimension in (("text-embedding-3-large", 3072), ("text-embedding-ada-002", 1536)):
            with OpenAIAdapter(name, api_key=KEY) as embedder:
                assert embedder.dimension == dimension


class TestOpenAICompatible(Service):
    key_value = None
    batch = 20

    def make(self, server, **options):
        options = {"dimension": DIMENSION} | options
        return OpenAICompatibleAdapter(SETTINGS, base_url=f"{server.url}/v1", model="m", **options)

    async def test_the_dimension_is_learnt_and_medha_starts(self, server):
        with self.make(server, dimension=None) as embedder:
            with pytest.raises(EmbeddingError, match="learns its dimension"):
                embedder.dimension  # noqa: B018
            async with Medha("c", embedder, settings=SETTINGS) as cache:
                assert await cache.store("How many orders are there?", "SELECT 1")
            assert embedder.dimension == DIMENSION

    async def test_prefixes_stand_before_questions_and_stored_texts(self, server):
        prefixes = {"query_prefix": "search_query: ", "document_prefix": "search_document: "}
        with self.make(server, **prefixes) as embedder, self.make(server) as plain:
            await embedder.aembed("one")
            await embedder.aembed_array(["one"], is_document=True)
            assert embedder.fingerprint != plain.fingerprint
        assert [body["input"] for body in server.bodies] == [["search_query: one"], ["search_document: one"]]

    async def test_settings_name_server_model_and_key(self, server):
        settings = Settings(
            _env_file=None,
            oai_compat_base_url=f"{server.url}/v1",
            oai_compat_model="other",
            oai_compat_api_key=KEY,
        )
        with OpenAICompatibleAdapter(settings) as embedder:
            await embedder.aembed("one")
        ((_, headers, body),) = server.requests
        assert headers["authorization"] == f"Bearer {KEY}"
        assert body["model"] == "other"


class TestMistral(Service):
    batch = 50

    def make(self, server, **options):
        options = {"dimension": DIMENSION, "base_url": f"{server.url}/v1"} | options
        return MistralAdapter(Settings(_env_file=None, mistral_api_key=KEY), **options)


class TestCohere(Service):
    path = "/v2/embed"
    tasks = ("search_query|", "search_document|")
    batch = 96

    def make(self, server, **options):
        return CohereAdapter(KEY, base_url=f"{server.url}/v2", dimension=DIMENSION, **options)

    def sent(self, body):
        return body["texts"]

    async def test_a_text_that_is_too_long_is_not_cut_in_silence(self, embedder, server):
        await embedder.aembed("one")
        assert server.bodies[0]["truncate"] == "NONE"

    def test_types_without_cosines_are_refused(self):
        with pytest.raises(ArgumentValueError, match="embedding_types"):
            CohereAdapter(KEY, embedding_types=["ubinary"])


class TestGemini(Service):
    path = "/v1beta/models/text-embedding-004:batchEmbedContents"
    tasks = ("RETRIEVAL_QUERY|", "RETRIEVAL_DOCUMENT|")
    key_header = "x-goog-api-key"
    key_value = KEY

    def make(self, server, **options):
        return GeminiAdapter(KEY, output_dimensionality=DIMENSION, base_url=f"{server.url}/v1beta", **options)

    def sent(self, body):
        assert all(request["outputDimensionality"] == DIMENSION for request in body["requests"])
        return [request["content"]["parts"][0]["text"] for request in body["requests"]]


class TestRemote(Service):
    """E1, E2: what the client sends and reads is what the written protocol says."""

    path = "/embed"
    tasks = ("query|", "document|")
    batch = 128

    def make(self, server, **options):
        given = {"model": "all-MiniLM-L6-v2", "dimension": DIMENSION, "api_key": KEY}
        return RemoteEmbedder(server.url, **given | options)

    def sent(self, body):
        return body["texts"]

    @pytest.mark.parametrize("ending", ["", "/", "/embed", "/embed/"])
    async def test_the_address_may_end_in_embed(self, server, ending):
        with RemoteEmbedder(server.url + ending) as embedder:
            await embedder.aembed("one")
        assert server.requests[0][0] == "/embed"

    async def test_msgpack_is_spoken_and_json_where_it_must(self, server):
        with self.make(server) as embedder:
            await embedder.aembed("one")
            server.speaks_msgpack = False
            assert np.allclose(await embedder.aembed("two"), unit(["query|two"])[0], atol=1e-6)
            await embedder.aembed("three")
        kinds = [headers["content-type"] for _, headers, _ in server.requests]
        assert kinds == ["application/msgpack", "application/json", "application/json"]

    async def test_json_is_spoken_without_the_package(self, server, monkeypatch):
        monkeypatch.setitem(sys.modules, "msgpack", None)
        with self.make(server) as embedder:
            await embedder.aembed("one")
        assert server.requests[0][1]["content-type"] == "application/json"

    async def test_nothing_is_sent_twice(self, server):
        server.faults = [{"status": 503, "body": b"{}"}]
        with self.make(server) as embedder, pytest.raises(EmbeddingError, match="503"):
            await embedder.aembed("one")
        assert len(server.requests) == 1

    async def test_hits_of_the_service_are_counted_and_computations_are_not(self, server):
        """E11."""
        with self.make(server) as embedder:
            await embedder.aembed_array(["known 1", "new", "known 2"])
            assert embedder.cache_hits == 2

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"model": "other"}, EmbeddingError, "answered with the model 'other'"),
            ({"dimensions": 7}, DimensionMismatchError, "expected dimension 7"),
            (
                {"embeddings": [[1.0] * DIMENSION, [1.0, 2.0]]},
                DimensionMismatchError,
                f"dimension {DIMENSION}, got 2",
            ),
            ({"embeddings": [[1.0] * DIMENSION]}, EmbeddingError, "as documented"),
            ({"embeddings": [[1.0] * DIMENSION], "cache_hits": [False]}, EmbeddingError, "1 vectors for 2"),
            (
                {"embeddings": [[1.0, 2.0]] * 2, "dimensions": 2},
                DimensionMismatchError,
                "dimension 64, got 2",
            ),
            ({"embeddings": [[float("nan")] * DIMENSION] * 2}, EmbeddingError, "not a number"),
            ({"embeddings": [[float("inf")] * DIMENSION] * 2}, EmbeddingError, "infinite"),
            ({"embeddings": [["a"] * DIMENSION] * 2}, EmbeddingError, "no list of vectors"),
            ({"cache_hits": [True]}, EmbeddingError, "as documented"),
        ],
    )
    async def test_an_answer_that_cannot_be_right_is_refused(self, server, change, error, words):
        server.faults = [{"edit": lambda right: right | change}]
        with self.make(server) as embedder, pytest.raises(error, match=words):
            await embedder.aembed_array(["one", "two"])

    async def test_a_service_that_changes_its_default_model_is_noticed(self, server):
        """E4."""
        with RemoteEmbedder(server.url) as embedder:
            await embedder.aembed("one")
            assert embedder.model_name == "all-MiniLM-L6-v2"
            server.faults = [{"edit": lambda right: right | {"model": "other"}}]
            with pytest.raises(EmbeddingError, match="other"):
                await embedder.aembed("two")


# what all of them share


@pytest.fixture
def remote(server):
    with RemoteEmbedder(server.url, model="all-MiniLM-L6-v2") as embedder:
        yield embedder


async def test_connections_are_kept_over_calls_threads_and_loops(remote, server):
    for _ in range(5):
        remote.embed("one")
        await remote.aembed("two")
        await asyncio.to_thread(asyncio.run, remote.aembed("three"))
    assert len(server.requests) == 15
    assert server.connections <= 2


async def test_batches_are_under_way_together(server):
    server.delay = 0.05
    with RemoteEmbedder(server.url, max_batch=1) as embedder:
        await embedder.aembed_array([f"text {i}" for i in range(8)])
    assert server.most_under_way > 3


async def test_long_texts_do_not_share_a_request(server):
    with RemoteEmbedder(server.url, max_characters=10) as embedder:
        await embedder.aembed_array(["12345", "12345", "1", "x" * 50, "1"])
    assert sorted(len(body["texts"]) for body in server.bodies) == [1, 1, 1, 2]


async def test_a_service_that_is_too_slow_is_given_up(server):
    server.faults = [{"delay": 0.5}]
    with (
        RemoteEmbedder(server.url, timeout=0.05) as embedder,
        pytest.raises(EmbeddingError, match="no answer"),
    ):
        await embedder.aembed("one")


def test_nobody_at_the_address_is_one_error(server):
    url = server.url
    server.stop()
    with RemoteEmbedder(url) as embedder, pytest.raises(EmbeddingError, match="no answer"):
        embedder.embed("one")


async def test_a_service_that_asks_for_a_long_wait_is_given_up_at_once(server):
    server.faults = [{"status": 429, "headers": {"retry-after": "3600"}, "body": b"{}"}] * 2
    with (
        OpenAIAdapter(api_key=KEY, base_url=f"{server.url}/v1", wait_max=5) as embedder,
        pytest.raises(EmbeddingError, match="429"),
    ):
        await embedder.aembed("one")
    assert len(server.requests) == 1


async def test_the_time_that_is_asked_for_is_waited(server):
    server.faults = [{"status": 429, "headers": {"retry-after": "0.2"}, "body": b"{}"}]
    started = time.monotonic()
    with OpenAICompatibleAdapter(SETTINGS, base_url=f"{server.url}/v1", model="m") as embedder:
        await embedder.aembed("one")
    assert time.monotonic() - started >= 0.2
    assert len(server.requests) == 2


def test_retry_after_is_a_number_or_a_date():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < retry_after(soon) <= 60
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)) == 0
    assert [retry_after(text) for text in ("7", "0.5", "-3", "nan", "", None, "soon")] == [
        7,
        0.5,
        0,
        None,
        None,
        None,
        None,
    ]


async def test_another_dimension_than_before_is_refused(server):
    with OpenAICompatibleAdapter(SETTINGS, base_url=f"{server.url}/v1", model="m") as embedder:
        await embedder.aembed("one")
        server.faults = [{"edit": lambda right: {"data": [{"index": 0, "embedding": [1.0, 2.0]}]}}]
        with pytest.raises(DimensionMismatchError):
            await embedder.aembed("two")


@pytest.mark.parametrize("indexes", [[0, 0], [1, 2], [0], [0, "a"], [0, None]])
async def test_indexes_that_leave_a_text_out_are_refused(server, indexes):
    data = [{"index": index, "embedding": [1.0] * DIMENSION} for index in indexes]
    server.faults = [{"edit": lambda right: {"data": data}}]
    with (
        OpenAICompatibleAdapter(SETTINGS, base_url=f"{server.url}/v1", model="m") as embedder,
        pytest.raises(EmbeddingError),
    ):
        await embedder.aembed_array(["one", "two"])


def test_a_key_that_is_missing_is_one_sentence(monkeypatch):
    for name in ("OPENAI_API_KEY", "CO_API_KEY", "COHERE_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    for make, name in (
        (OpenAIAdapter, "OPENAI_API_KEY"),
        (CohereAdapter, "CO_API_KEY or COHERE_API_KEY"),
        (GeminiAdapter, "GEMINI_API_KEY or GOOGLE_API_KEY"),
        (lambda: MistralAdapter(SETTINGS), "MISTRAL_API_KEY"),
    ):
        with pytest.raises(ConfigurationError, match=f"api_key: none was given, and {name} is not set"):
            make()
    monkeypatch.setenv("COHERE_API_KEY", KEY)
    CohereAdapter().close()


def test_a_missing_package_is_one_sentence():
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "import medha_core\n"
        "try: medha_core.RemoteEmbedder('http://localhost')\n"
        "except medha_core.ConfigurationError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "RemoteEmbedder needs httpx: pip install 'medha-core[remote]'"


def test_a_password_in_the_address_is_not_shown():
    with RemoteEmbedder("http://me:secret@localhost:1/base", timeout=0.2) as embedder:
        assert "at http://localhost:1/base," in repr(embedder)
        with pytest.raises(EmbeddingError) as told:
            embedder.embed("one")
    assert "secret" not in str(told.value)


def test_questions_and_keys_are_not_logged(server, caplog):
    server.faults = [{"status": 500, "body": b"{}"}]
    with (
        caplog.at_level(logging.INFO),
        OpenAIAdapter(api_key=KEY, dimensions=DIMENSION, base_url=f"{server.url}/v1") as embedder,
    ):
        embedder.embed("a secret question")
    assert "secret" not in caplog.text
    assert KEY not in caplog.text


async def test_a_closed_embedder_says_so(remote):
    remote.close()
    remote.close()
    with pytest.raises(EmbeddingError, match="after close"):
        await remote.aembed("one")


async def test_a_cancelled_call_harms_no_other(remote, server):
    server.delay = 0.1
    cached = CachedEmbedder(remote)
    tasks = [asyncio.create_task(cached.aembed("one")) for _ in range(3)]
    await asyncio.sleep(0.05)
    tasks[1].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[1], asyncio.CancelledError)
    assert done[0] == done[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(remote, server):
    expected = remote.embed("one")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(remote.embed("one")))
    child.start()
    assert answers.get(timeout=30) == expected
    child.join(30)
    assert remote.embed("one") == expected
    assert server.connections == 2


def test_many_threads_share_one_embedder(remote):
    wrong = []

    def ask(seed):
        for i in range(10):
            if not np.allclose(remote.embed(f"{seed} {i}"), unit([f"query|{seed} {i}"])[0], atol=1e-6):
                wrong.append((seed, i))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"url": "localhost"}, ArgumentValueError),
        ({"url": ""}, ArgumentValueError),
        ({"url": 1}, ArgumentTypeError),
        ({"url": "http://h", "timeout": 0}, ArgumentValueError),
        ({"url": "http://h", "max_batch": 0}, ArgumentValueError),
        ({"url": "http://h", "max_batch": "1"}, ArgumentTypeError),
        ({"url": "http://h", "dimension": 0}, ArgumentValueError),
        ({"url": "http://h", "attempts": 0}, ArgumentValueError),
    ],
)
def test_bad_arguments_are_refused(arguments, error):
    with pytest.raises(error):
        RemoteEmbedder(**arguments)


# the registry


def test_the_table_has_the_models_and_prices_of_the_service():
    table = {
        model.name: (model.dimension, model.max_batch_size, model.cost_per_1k_tokens)
        for model in known_models()
    }
    assert table["text-embedding-3-small"] == (1536, 100, 0.00002)
    assert table["text-embedding-3-large"] == (3072, 100, 0.00013)
    assert table["text-embedding-ada-002"] == (1536, 100, 0.0001)
    assert table["all-MiniLM-L6-v2"] == (384, 32, None)
    assert table["all-mpnet-base-v2"] == (768, 32, None)


def test_the_registry_makes_the_embedder_of_a_name(server, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    for name, kind in (
        ("text-embedding-3-large", OpenAIAdapter),
        ("openai:text-embedding-9", OpenAIAdapter),
        ("text-embedding-004", GeminiAdapter),
        ("embed-english-v3.0", CohereAdapter),
    ):
        with make_embedder(name, api_key=KEY) as embedder:
            assert type(embedder) is kind
    with make_embedder("nomic-embed-text", base_url=f"{server.url}/v1") as embedder:
        assert embedder.model_name == "nomic-embed-text"
        assert len(embedder.embed("one")) == DIMENSION
    with make_embedder("mistral-embed") as embedder:
        assert embedder.dimension == model_config("mistral-embed").dimension == 1024
    assert model_config("BAAI/bge-small-en-v1.5").name == "bge-small-en-v1.5"


@pytest.mark.parametrize("name", ["gpt-4", "", "pigeon:post"])
def test_an_unknown_model_is_an_error_that_lists_the_known_ones(name):
    with pytest.raises(ConfigurationError, match=r"unknown model .*all-MiniLM-L6-v2.*mistral-embed"):
        make_embedder(name)
    with pytest.raises(ArgumentTypeError):
        make_embedder(None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("openai", OpenAIAdapter),
        ("openai-compatible", OpenAICompatibleAdapter),
        ("cohere", CohereAdapter),
        ("gemini", GeminiAdapter),
        ("mistral", MistralAdapter),
        ("hashing", HashingEmbedder),
    ],
)
def test_the_settings_name_an_embedder(monkeypatch, kind, expected):
    for name in ("OPENAI_API_KEY", "CO_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    made = embedder_of(Settings(_env_file=None, embedder_type=kind, mistral_api_key=KEY))
    assert type(made) is expected


def test_settings_without_an_embedder_say_so():
    with pytest.raises(ConfigurationError, match="MEDHA_EMBEDDER_TYPE"):
        embedder_of(Settings(_env_file=None, embedder_type="_noop"))
    assert [is_named(name) for name in ("mistral:any", "hashing", "any:thing")] == [True, True, False]


def test_the_command_line_asks_with_the_embedder_of_its_settings(server, monkeypatch, tmp_path, capsys):
    pytest.importorskip("typer")
    from medha_core.cli.app import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDHA_EMBEDDER_TYPE", "openai-compatible")
    monkeypatch.setenv("MEDHA_OAI_COMPAT_BASE_URL", f"{server.url}/v1")
    entries = tmp_path / "entries.json"
    entries.write_text('[{"question": "How many orders are there?", "generated_query": "SELECT 1"}]')
    assert run(["search", "How many orders are there?", "--warm", str(entries)]) == 0
    assert "SELECT 1" in capsys.readouterr().out
    assert run(["search", "x", "--warm", str(entries), "--model", "openai-compatible:other"]) == 1
    assert {body["model"] for body in server.bodies} == {"nomic-embed-text", "other"}
