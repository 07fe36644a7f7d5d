"""What every embedder promises, as tests that each one's own test class inherits."""

import numpy as np
import pytest

from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.interfaces import BaseEmbedder


class EmbedderContract:
    """What holds for every embedder; a subclass gives one."""

    @pytest.fixture
    def embedder(self) -> BaseEmbedder:
        raise NotImplementedError

    async def test_every_way_of_asking_gives_the_same_vectors(self, embedder):
        texts = ["how many orders", "which river is longest", "how many orders"]
        expected = await embedder.aembed_array(texts)
        assert expected.shape == (3, embedder.dimension)
        assert expected.dtype == np.float32
        assert np.array_equal(np.array(await embedder.aembed_batch(texts), np.float32), expected)
        assert np.array_equal(np.array(await embedder.aembed(texts[1]), np.float32), expected[1])
        assert np.array_equal(embedder.embed_array(texts), expected)
        assert np.array_equal(np.array(embedder.embed_batch(texts), np.float32), expected)
        assert np.array_equal(np.array(embedder.embed(texts[1]), np.float32), expected[1])

    def test_sync_calls_work_without_a_loop(self, embedder):
        assert len(embedder.embed("one")) == embedder.dimension

    async def test_unknown_keywords_are_accepted(self, embedder):
        assert len(await embedder.aembed_batch(["one"], is_document=True, other=1)) == 1

    def test_vectors_have_length_one(self, embedder):
        assert np.allclose(
            np.linalg.norm(embedder.embed_array(["a", "?", "some words"]), axis=1), 1, atol=1e-6
        )

    def test_no_texts_give_no_vectors(self, embedder):
        assert embedder.embed_array([]).shape == (0, embedder.dimension)

    def test_the_fingerprint_names_model_and_dimension(self, embedder):
        assert embedder.model_name in embedder.fingerprint
        assert str(embedder.dimension) in embedder.fingerprint
        assert str(embedder.dimension) in repr(embedder)

    @pytest.mark.parametrize("text", ["", " \n", "a\0", "\ud800"])
    async def test_unreadable_text_is_refused(self, embedder, text):
        with pytest.raises(ArgumentValueError):
            await embedder.aembed(text)
        with pytest.raises(ArgumentValueError, match=r"texts\[1\]"):
            await embedder.aembed_batch(["good", text])

    @pytest.mark.parametrize("text", [None, 1, b"a", ["a"]])
    async def test_what_is_no_text_is_refused(self, embedder, text):
        with pytest.raises(ArgumentTypeError):
            await embedder.aembed(text)
