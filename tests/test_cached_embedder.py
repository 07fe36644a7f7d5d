"""The embedding step: nothing is computed twice, and nobody suffers from another's failure."""

import asyncio
import threading

import numpy as np
import pytest

from medha_core.embedding import CachedEmbedder
from medha_core.embeddings import CallableEmbedder, HashingEmbedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError, DimensionMismatchError, EmbeddingError
from medha_core.interfaces import BaseEmbedder


class Slow(BaseEmbedder):
    """Real vectors from hashed letters, held at a gate and counted."""

    dimension = 16
    model_name = "slow"

    def __init__(self, *, is_open: bool = True):
        self._hashing = HashingEmbedder(16)
        self.gate = threading.Event()
        self.calls: list[list[str]] = []
        self.roles: list[bool] = []
        self.bad: set[str] = set()
        if is_open:
            self.gate.set()

    async def aembed(self, text):
        return (await self.aembed_batch([text]))[0]

    async def aembed_batch(self, texts, **kwargs):
        self.calls.append(list(texts))
        self.roles.append(kwargs.get("is_document", False))
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        if self.bad & set(texts):
            raise EmbeddingError(f"cannot embed {sorted(self.bad)}")
        return self._hashing.embed_batch(texts)

    @property
    def computed(self) -> list[str]:
        return [text for call in self.calls for text in call]


class Returning(BaseEmbedder):
    """Returns or raises what it was given."""

    dimension = 3
    model_name = "returning"

    def __init__(self, answer):
        self.answer = answer

    async def aembed(self, text):
        raise NotImplementedError

    async def aembed_batch(self, texts, **kwargs):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


# remembering


async def test_only_new_texts_are_computed_and_order_is_kept():
    embedder = Slow()
    step = CachedEmbedder(embedder)
    await step.aembed_array(["a1", "b1"])
    vectors = await step.aembed_array(["c1", "b1", "c1", "a1"])
    assert embedder.calls == [["a1", "b1"], ["c1"]]
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, HashingEmbedder(16).embed_array(["c1", "b1", "c1", "a1"]))


async def test_no_texts_give_no_vectors():
    assert (await CachedEmbedder(Slow()).aembed_array([])).shape == (0, 16)


async def test_the_cache_is_bounded_and_forgets_the_least_recently_used():
    embedder = Slow()
    step = CachedEmbedder(embedder, memory_entries=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        await step.aembed_array([text])
    assert embedder.computed == ["one", "two", "three", "two"]
    assert len(step) == 2


async def test_a_batch_larger_than_the_cache_is_answered_whole():
    texts = [f"text {i}" for i in range(50)]
    for size in (0, 1, 7):
        vectors = await CachedEmbedder(Slow(), memory_entries=size).aembed_array(texts)
        assert np.array_equal(vectors, HashingEmbedder(16).embed_array(texts))


async def test_clear_forgets():
    embedder = Slow()
    step = CachedEmbedder(embedder)
    await step.aembed_array(["one"])
    step.clear()
    await step.aembed_array(["one"])
    assert embedder.computed == ["one", "one"]


async def test_what_the_caller_does_to_its_vectors_changes_no_memory():
    step = CachedEmbedder(Slow())
    first = await step.aembed_array(["one"])
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(await step.aembed_array(["one"]), kept)


async def test_documents_and_questions_are_remembered_apart():
    embedder = Slow()
    step = CachedEmbedder(embedder)
    await step.aembed_array(["one"])
    await step.aembed_array(["one"], is_document=True)
    await step.aembed_array(["one"], is_document=True)
    assert embedder.roles == [False, True]


async def test_another_fingerprint_is_another_space():
    embedder = Slow()
    step = CachedEmbedder(embedder)
    await step.aembed_array(["one"])
    embedder.model_name = "other"
    await step.aembed_array(["one"])
    assert embedder.computed == ["one", "one"]


# sharing


async def test_tasks_share_what_is_under_way():
    embedder = Slow(is_open=False)
    step = CachedEmbedder(embedder)
    tasks = [asyncio.create_task(step.aembed_array(["one", "two"])) for _ in range(10)]
    tasks.append(asyncio.create_task(step.aembed_array(["two", "three"])))
    await until(lambda: len(embedder.computed) == 3)
    embedder.gate.set()
    await asyncio.gather(*tasks)
    assert embedder.calls == [["one", "two"], ["three"]]


async def test_event_loops_of_several_threads_share_what_is_under_way():
    embedder = Slow(is_open=False)
    step = CachedEmbedder(embedder)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(asyncio.run(step.aembed_array(["one"]))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    await until(lambda: embedder.calls)
    await asyncio.sleep(0.05)
    embedder.gate.set()
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
    assert embedder.computed == ["one"]
    assert len(found) == 6
    assert all(np.array_equal(vectors, found[0]) for vectors in found)


async def test_a_cancelled_owner_leaves_the_work_to_who_waits():
    embedder = Slow(is_open=False)
    step = CachedEmbedder(embedder)
    owner = asyncio.create_task(step.aembed_array(["one"]))
    await until(lambda: embedder.calls)
    waiting = [asyncio.create_task(step.aembed_array(["one"])) for _ in range(3)]
    await asyncio.sleep(0.01)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    embedder.gate.set()
    assert all(vectors.shape == (1, 16) for vectors in await asyncio.gather(*waiting))
    assert embedder.computed == ["one", "one"]
    assert repr(step) == "<CachedEmbedder of slow, 1 vectors in memory, 0 under way>"


async def test_a_cancelled_joiner_harms_neither_owner_nor_others():
    embedder = Slow(is_open=False)
    step = CachedEmbedder(embedder)
    owner, joiner, other = (asyncio.create_task(step.aembed_array(["one"])) for _ in range(3))
    await until(lambda: embedder.calls)
    await asyncio.sleep(0.01)
    joiner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joiner
    embedder.gate.set()
    assert np.array_equal(await owner, await other)
    assert embedder.computed == ["one"]


async def test_an_owner_whose_loop_ends_leaves_the_work_to_who_waits():
    embedder = Slow(is_open=False)
    step = CachedEmbedder(embedder)

    async def abandoned():
        asyncio.create_task(step.aembed_array(["one"]))  # noqa: RUF006 (left alone on purpose)
        await asyncio.sleep(0.02)

    await asyncio.to_thread(asyncio.run, abandoned())
    embedder.gate.set()
    assert (await step.aembed_array(["one"])).shape == (1, 16)


async def test_a_bad_companion_fails_only_those_who_asked_for_it():
    embedder = Slow(is_open=False)
    embedder.bad = {"bad"}
    step = CachedEmbedder(embedder)
    owner = asyncio.create_task(step.aembed_array(["good", "bad"]))
    await until(lambda: embedder.calls)
    joiner = asyncio.create_task(step.aembed_array(["good"]))
    await asyncio.sleep(0.01)
    embedder.gate.set()
    with pytest.raises(EmbeddingError, match="bad"):
        await owner
    assert (await joiner).shape == (1, 16)


async def test_those_who_wait_for_a_failing_text_are_told_without_another_call():
    embedder = Slow(is_open=False)
    embedder.bad = {"bad"}
    step = CachedEmbedder(embedder)
    tasks = [asyncio.create_task(step.aembed_array(["bad"])) for _ in range(8)]
    await until(lambda: embedder.calls)
    await asyncio.sleep(0.01)
    embedder.gate.set()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, EmbeddingError)
    assert embedder.computed == ["bad"]


async def test_a_failure_is_not_remembered():
    embedder = Slow()
    embedder.bad = {"one"}
    step = CachedEmbedder(embedder)
    with pytest.raises(EmbeddingError):
        await step.aembed_array(["one"])
    embedder.bad = set()
    assert (await step.aembed_array(["one"])).shape == (1, 16)


async def test_under_cancellation_and_failure_from_many_threads_every_answer_is_right():
    texts = [f"question {i}" for i in range(12)]
    expected = HashingEmbedder(16).embed_array(texts)
    embedder = Slow()
    embedder.bad = {"bad"}
    step = CachedEmbedder(embedder, memory_entries=5)
    wrong = []

    async def one(rng):
        rows = rng.integers(0, len(texts), rng.integers(1, 6))
        asked = [texts[row] for row in rows] + ["bad"] * int(rng.integers(4) == 0)
        task = asyncio.create_task(step.aembed_array(asked))
        if rng.integers(3) == 0:
            await asyncio.sleep(0)
            task.cancel()
        try:
            if not np.array_equal(await task, expected[rows]):
                wrong.append(rows)
        except (asyncio.CancelledError, EmbeddingError) as error:
            if isinstance(error, EmbeddingError) and "bad" not in asked:
                wrong.append(error)

    async def many(seed):
        rng = np.random.default_rng(seed)
        for _ in range(10):
            await asyncio.gather(*(one(rng) for _ in range(8)))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, many(seed)) for seed in range(6)))
    assert wrong == []
    assert "0 under way" in repr(step)


# embedders that fail


async def test_a_slow_embedder_is_given_up_after_the_timeout():
    embedder = Slow(is_open=False)
    step = CachedEmbedder(embedder, timeout=0.05)
    tasks = [asyncio.create_task(step.aembed_array(["one"])) for _ in range(3)]
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, EmbeddingError)
        assert "0.05 seconds" in str(outcome)
    embedder.gate.set()
    assert (await step.aembed_array(["one"])).shape == (1, 16)


UNIT = [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ([UNIT], EmbeddingError, "1 vectors for 2 texts"),
        ([UNIT] * 3, EmbeddingError, "3 vectors for 2 texts"),
        ([], EmbeddingError, "shape"),
        ([[1.0, 0.0]] * 2, DimensionMismatchError, "expected dimension 3, got 2"),
        ([UNIT, [0.0, 0.0, 0.0]], EmbeddingError, "vector 1"),
        ([UNIT, [float("nan"), 1.0, 0.0]], EmbeddingError, "vector 1"),
        ([[float("inf"), 1.0, 0.0], UNIT], EmbeddingError, "vector 0"),
        ([[1e300, 1.0, 0.0], UNIT], EmbeddingError, "vector 0"),
        ([UNIT, [1.0, 0.0]], EmbeddingError, "one length"),
        (None, EmbeddingError, "shape"),
        ("vectors", EmbeddingError, "one length"),
        (RuntimeError("out of order"), EmbeddingError, "out of order"),
        (TimeoutError("too late"), EmbeddingError, "too late"),
        (EmbeddingError("as it is"), EmbeddingError, "^as it is$"),
    ],
)
async def test_what_is_no_vector_is_refused(answer, error, words):
    step = CachedEmbedder(Returning(answer), timeout=5)
    with pytest.raises(error, match=words):
        await step.aembed_array(["one", "two"])
    assert len(step) == 0


async def test_vectors_of_any_length_are_scaled_to_one():
    vectors = await CachedEmbedder(Returning([[0.0, 3.0, 4.0]])).aembed_array(["one"])
    assert np.allclose(vectors, [[0, 0.6, 0.8]])


async def test_an_embedder_without_keyword_arguments_works():
    class Plain(Slow):
        async def aembed_batch(self, texts):
            return HashingEmbedder(16).embed_batch(texts)

    assert (await CachedEmbedder(Plain()).aembed_array(["one"], is_document=True)).shape == (1, 16)


async def test_an_unknown_dimension_is_found_by_one_probe():
    class Late(Slow):
        known = None

        @property
        def dimension(self):
            if self.known is None:
                raise RuntimeError("nothing was embedded yet")
            return self.known

        async def aembed_batch(self, texts, **kwargs):
            vectors = await super().aembed_batch(texts, **kwargs)
            self.known = len(vectors[0])
            return vectors

    embedder = Late()
    step = CachedEmbedder(embedder)
    assert await step.probe() == 16
    assert await step.probe() == 16
    assert (await step.aembed_array(["one"])).shape == (1, 16)
    assert len(embedder.calls) == 2


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        (["good", ""], ArgumentValueError),
        (["  "], ArgumentValueError),
        (["a\0"], ArgumentValueError),
        (["\udc80"], ArgumentValueError),
        ([3], ArgumentTypeError),
        ("text", ArgumentTypeError),
    ],
)
async def test_bad_text_is_refused(texts, error):
    with pytest.raises(error):
        await CachedEmbedder(Slow()).aembed_array(texts)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"timeout": 0}, ArgumentValueError),
        ({"timeout": float("nan")}, ArgumentValueError),
        ({"memory_entries": -1}, ArgumentValueError),
        ({"memory_entries": 1.5}, ArgumentTypeError),
        ({"max_entries": 0}, ArgumentValueError),
        ({"max_entries": "many"}, ArgumentTypeError),
        ({"max_bytes": True}, ArgumentTypeError),
        ({"ttl": 0}, ArgumentValueError),
    ],
)
def test_bad_arguments_are_refused(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        CachedEmbedder(Slow(), **arguments)


async def test_a_callers_function_serves():
    embedder = CallableEmbedder(lambda text: [len(text), 1.0], 2, "lengths")
    vectors = await CachedEmbedder(embedder).aembed_array(["a", "abc"])
    assert np.allclose(vectors[0], [0.5**0.5, 0.5**0.5])
