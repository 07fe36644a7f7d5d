"""The embedders that run another package's model, each on a small real model made here."""

import json

import numpy as np
import pytest
from embedder_contract import EmbedderContract

from medha_core import CachedEmbedder, ConfigurationError, EmbeddingError, Medha, Settings
from medha_core.embeddings.registry import make_embedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError

WORDS = "how many orders which river is longest one some words".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
DIMENSION = 6


def tiny_model(folder):
    """A sentence encoder as fastembed reads it: token vectors out of a table, and a tokenizer of words."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir()
    table = np.random.default_rng(5).normal(size=(len(VOCABULARY), DIMENSION)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["out"])],
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["a", "b"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(table, "table")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    words = models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64, "pad_token": "[PAD]"}))
    return table


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    pytest.importorskip("fastembed")
    folder = tmp_path_factory.mktemp("fastembed") / "tiny"
    return folder, tiny_model(folder)


def fastembed(tiny, name="tests/tiny", **options):
    from medha_core.embeddings.fastembed_adapter import FastEmbedAdapter

    given = {"model_dir": tiny[0], "model_file": "model.onnx", "pooling": "mean"}
    return FastEmbedAdapter(name, **given | options)


class TestFastEmbed(EmbedderContract):
    """The real package, which registers a model it does not know and reads it from a folder."""

    @pytest.fixture
    def embedder(self, tiny):
        return fastembed(tiny)

    def test_vectors_are_those_of_the_model(self, embedder, tiny):
        words = [VOCABULARY.index(word) for word in ("how", "many", "orders")]
        mean = tiny[1][words].mean(axis=0)
        found = embedder.embed_array(["how many orders", "which river"])[0]
        assert np.allclose(found, mean / np.linalg.norm(mean), atol=1e-5)

    def test_a_model_is_registered_once(self, tiny):
        first, second = fastembed(tiny), fastembed(tiny)
        assert first.embed("how many") == second.embed("how many")
        assert first.fingerprint == "fastembed/tests/tiny:6"

    def test_long_texts_are_cut_where_asked(self, tiny):
        short = fastembed(tiny, max_length=2)
        assert short.embed("how many orders which river") == short.embed("how many")
        assert fastembed(tiny).embed("how many orders") != fastembed(tiny).embed("how many")

    async def test_medha_starts_and_answers_with_it(self, embedder):
        async with Medha("c", embedder, settings=Settings(_env_file=None)) as cache:
            assert await cache.store("how many orders", "SELECT 1")
            assert (await cache.search("how many orders")).generated_query == "SELECT 1"

    def test_a_model_that_cannot_be_had_is_one_error(self, tmp_path):
        from medha_core.embeddings.fastembed_adapter import FastEmbedAdapter

        with pytest.raises(EmbeddingError, match="fastembed cannot load tests/absent"):
            FastEmbedAdapter("tests/absent", model_dir=tmp_path)

    def test_bad_arguments_are_refused(self, tiny):
        with pytest.raises(ArgumentTypeError, match="max_length"):
            fastembed(tiny, max_length="1")
        with pytest.raises(ArgumentValueError, match="max_length"):
            fastembed(tiny, max_length=0)
        with pytest.raises(ArgumentValueError, match="pooling"):
            fastembed(tiny, name="tests/other", pooling="max")


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """A bag of words with weights, which sentence-transformers builds without fetching anything."""
    package = pytest.importorskip("sentence_transformers", reason="torch is too large for every machine")
    from medha_core.embeddings.sentence_transformers_adapter import SentenceTransformersAdapter

    folder = tmp_path_factory.mktemp("sentences") / "tiny"
    bag = pytest.importorskip("sentence_transformers.models").BoW(
        vocab=[*VOCABULARY[4:], "search_query", "search_document"]
    )
    package.SentenceTransformer(modules=[bag], device="cpu").save(str(folder))
    return lambda **options: SentenceTransformersAdapter(str(folder), device="cpu", **options)


class TestSentenceTransformers(EmbedderContract):
    @pytest.fixture
    def embedder(self, sentences):
        return sentences()

    @pytest.mark.skip(reason="a bag of words knows no signs")
    def test_vectors_have_length_one(self):
        pass

    def test_prefixes_stand_before_questions_and_stored_texts(self, sentences):
        plain = sentences()
        roles = sentences(query_prefix="search_query ", document_prefix="search_document ")
        assert roles.embed("orders") == plain.embed("search_query orders")
        assert np.array_equal(
            roles.embed_array(["orders"], is_document=True), plain.embed_array(["search_document orders"])
        )
        assert roles.fingerprint != plain.fingerprint

    def test_a_text_that_gives_no_vector_is_refused(self, embedder):
        with pytest.raises(EmbeddingError, match="zero"):
            embedder.embed("unheard")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("bge-small-en-v1.5", "fastembed", "fastembed"),
        ("all-mpnet-base-v2", "sentence_transformers", "sentence-transformers"),
    ],
)
def test_a_missing_package_is_one_sentence(monkeypatch, name, package, extra):
    import sys

    for module in [module for module in sys.modules if module.endswith(f"embeddings.{package}_adapter")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'medha-core\[{extra}\]'"):
        make_embedder(name)


async def test_a_local_model_is_cached_like_any(tiny, tmp_path):
    with CachedEmbedder(fastembed(tiny), tmp_path / "c.db") as cache:
        first = await cache.aembed_array(["how many", "orders"])
    with CachedEmbedder(fastembed(tiny), tmp_path / "c.db") as cache:
        assert np.array_equal(cache.embed_array(["orders", "how many"]), first[::-1])
        assert cache.stats["computed"] == 0
