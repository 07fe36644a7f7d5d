"""The embedders that need no model, and what every embedder promises."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from embedder_contract import EmbedderContract
from hypothesis import given
from hypothesis import strategies as st

from medha_core.embeddings import CallableEmbedder, HashingEmbedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError, EmbeddingError
from medha_core.interfaces import BaseEmbedder
from medha_core.interfaces.embedder import as_array

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda text: text.strip()
)


class TestHashing(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        return HashingEmbedder()


class TestFunction(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        return CallableEmbedder(lambda text: [float(len(text)), 1.0], 2, "length-2")


class TestAsyncBatchFunction(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        async def lengths(texts):
            await asyncio.sleep(0)
            return np.array([[len(text), 1, 2] for text in texts])

        return CallableEmbedder(lengths, 3, "length-3", batch=True)


class TestMinimalSubclass(EmbedderContract):
    """Only what the abstract class demands."""

    @pytest.fixture
    def embedder(self):
        class Minimal(BaseEmbedder):
            dimension = 384
            model_name = "minimal"

            def __repr__(self):
                return "<Minimal, 384 dimensions>"

            async def aembed(self, text):
                return HashingEmbedder().embed(text)

            async def aembed_batch(self, texts, **kwargs):
                return HashingEmbedder().embed_batch(texts)

        return Minimal()

    def test_no_texts_give_no_vectors(self, embedder):
        with pytest.raises(EmbeddingError):  # an empty list has no dimension to read off
            embedder.embed_array([])

    @pytest.mark.parametrize("text", ["", " \n", "a\0", "\ud800"])
    async def test_unreadable_text_is_refused(self, embedder, text):
        with pytest.raises(ArgumentValueError):
            await embedder.aembed(text)


# hashed letters


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_hashing_gives_each_text_its_own_unit_vector(texts):
    vectors = HashingEmbedder(64).embed_array(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([HashingEmbedder(64).embed_array([text]) for text in texts])
    assert np.array_equal(vectors, alone)


def test_hashing_is_the_same_in_another_process():
    code = (
        "from medha_core.embeddings import HashingEmbedder\n"
        "print(HashingEmbedder().embed_array(['été 42']).tobytes().hex())"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == HashingEmbedder().embed_array(["été 42"]).tobytes().hex()


def test_hashing_is_the_same_in_every_version():
    vector = HashingEmbedder(8).embed_array(["how many customers in Oslo"])[0]
    assert vector.tolist() == pytest.approx(
        [0.2774, -0.4623, -0.3698, -0.0925, 0.4623, -0.3698, 0.4623, 0.0], abs=1e-4
    )


def test_hashing_sees_letters():
    near, far, same = (
        HashingEmbedder().embed_array(
            ["how many customers in Oslo", "which rivers end in the sea", "HOW MANY CUSTOMERS IN OSLO"]
        )
        @ HashingEmbedder().embed_array(["how many customers in Rome"])[0]
    )
    assert near > 0.6 > 0.3 > far
    assert same == near


@pytest.mark.parametrize(
    ("dimension", "error"),
    [(7, ArgumentValueError), (0, ArgumentValueError), ("8", ArgumentTypeError), (True, ArgumentTypeError)],
)
def test_hashing_refuses_a_bad_dimension(dimension, error):
    with pytest.raises(error, match="dimension"):
        HashingEmbedder(dimension)


# what an embedder returns


@pytest.mark.parametrize(
    "answer", [[], [np.float32(1)], [np.ones(2, "f4"), np.ones(3, "f4")], [np.ones((1, 2), "f4")]]
)
def test_arrays_that_are_no_vectors_of_one_length_are_refused(answer):
    with pytest.raises(EmbeddingError, match="an embedder returned"):
        as_array(answer)


def test_arrays_become_rows_of_their_own():
    given = [np.array([0.6, 0.8], "f4"), np.array([1, 0], "f4")]
    rows = as_array(given)
    assert (rows.dtype, rows.tolist()) == (np.float32, [given[0].tolist(), [1, 0]])
    rows[0] = 0
    assert given[0][0] > 0.5
    assert as_array([np.array([0.5, 2], "f8"), given[1]]).tolist() == [[0.5, 2], [1, 0]]


# the caller's function


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([[1.0, 0.0]], "expected 2 vectors, got 1"),
        ([[1.0, 0.0]] * 3, "expected 2 vectors, got 3"),
        ([[1.0, 0.0], [1.0]], r"vector 1: expected shape \(2,\), got \(1,\)"),
        ([[1.0, 0.0], [float("nan"), 1.0]], "vector 1"),
        ([[float("inf"), 0.0], [1.0, 1.0]], "vector 0"),
        ([[0.0, 0.0], [1.0, 1.0]], "vector 0"),
        ([[1e300, 0.0], [1.0, 1.0]], "vector 0"),
        ([["a", "b"], ["c", "d"]], "no vectors of numbers"),
        (None, "no vectors"),
        (7, "no vectors"),
    ],
)
async def test_a_wrong_answer_is_refused(answer, words):
    embedder = CallableEmbedder(lambda texts: answer, 2, "wrong", batch=True)
    with pytest.raises(EmbeddingError, match=words):
        await embedder.aembed_batch(["one", "two"])


async def test_what_the_function_raises_is_told():
    def broken(text):
        raise KeyError("no such word")

    with pytest.raises(EmbeddingError, match="no such word"):
        await CallableEmbedder(broken, 2, "broken").aembed("one")


async def test_a_blocking_function_does_not_hold_the_loop():
    import threading

    released = threading.Event()

    def blocking(text):
        assert released.wait(5)
        return [1.0, 0.0]

    task = asyncio.create_task(CallableEmbedder(blocking, 2, "blocking").aembed("one"))
    await asyncio.sleep(0)
    released.set()
    assert await task == [1.0, 0.0]


async def test_an_object_with_an_asynchronous_call_serves():
    class Client:
        async def __call__(self, text):
            return [0.0, 2.0]

    assert await CallableEmbedder(Client(), 2, "client").aembed("one") == [0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("no function", 2, "name"), ArgumentTypeError),
        ((len, 2.0, "name"), ArgumentTypeError),
        ((len, 0, "name"), ArgumentValueError),
        ((len, 2, " "), ArgumentValueError),
        ((len, 2, None), ArgumentValueError),
    ],
)
def test_a_callable_embedder_checks_its_arguments(arguments, error):
    with pytest.raises(error):
        CallableEmbedder(*arguments)
