"""The model in this process: right vectors, the same bits however they are asked for."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medha_core import Medha, Settings
from medha_core.embeddings import OnnxEmbedder, models
from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError, EmbeddingError

pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

DATA = Path(__file__).parent / "data"
QUESTIONS = (DATA / "questions.txt").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def reference():
    with np.load(DATA / "question_vectors.npz", allow_pickle=False) as arrays:
        return arrays["vectors"]


@pytest.fixture(scope="module", params=["int8", "float32"])
def embedder(request):
    with OnnxEmbedder(variant=request.param, threads=2) as embedder:
        yield embedder


@pytest.fixture(scope="module")
def int8():
    with OnnxEmbedder(threads=2) as embedder:
        yield embedder


@pytest.fixture(scope="module")
def alone(embedder):
    """Each question embedded by itself."""
    return np.concatenate([embedder.embed_array([question]) for question in QUESTIONS])


def test_vectors_are_those_of_the_reference(embedder, reference):
    cosines = (embedder.embed_array(QUESTIONS) * reference).sum(axis=1)
    smallest, mean = {"float32": (0.99999, 0.99999), "int8": (0.997, 0.999)}[embedder.variant]
    assert cosines.min() >= smallest
    assert cosines.mean() >= mean


def test_vectors_have_length_one(alone):
    assert np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, len(QUESTIONS) - 1), min_size=1, max_size=40))
def test_a_text_has_the_same_bits_in_any_batch_and_order(embedder, alone, rows):
    assert np.array_equal(embedder.embed_array([QUESTIONS[row] for row in rows]), alone[rows])


def test_many_texts_of_one_length_have_the_same_bits_as_alone(embedder):
    texts = [f"orders of the year {1900 + i}" for i in range(150)]
    together = embedder.embed_array(texts)
    assert all(np.array_equal(together[i], embedder.embed_array([texts[i]])[0]) for i in (0, 1, 63, 149))


async def test_every_way_of_asking_gives_the_same_bits(embedder, alone):
    some = QUESTIONS[:30]
    assert np.array_equal(await embedder.aembed_array(some), alone[:30])
    assert np.array_equal(np.array(await embedder.aembed_batch(some), np.float32), alone[:30])
    assert np.array_equal(np.array(embedder.embed_batch(some), np.float32), alone[:30])
    assert np.array_equal(np.array(await embedder.aembed(some[0]), np.float32), alone[0])
    assert np.array_equal(np.array(embedder.embed(some[0]), np.float32), alone[0])
    assert np.array_equal(await embedder.aembed_array(some, is_document=True), alone[:30])


def test_another_process_gives_the_same_bits(int8):
    code = (
        "import sys; from medha_core.embeddings import OnnxEmbedder\n"
        "texts = sys.stdin.buffer.read().decode().splitlines()\n"
        "sys.stdout.buffer.write(OnnxEmbedder(threads=1).embed_array(texts).tobytes())"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(QUESTIONS[:40]).encode(),
        capture_output=True,
        check=True,
    )
    assert seen.stdout == int8.embed_array(QUESTIONS[:40]).tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_embeds(int8):
    expected = int8.embed_array(QUESTIONS[:20]).tobytes()  # the pool has threads from here on
    code = (
        "import os, sys; from medha_core.embeddings import OnnxEmbedder\n"
        "texts = sys.stdin.buffer.read().decode().splitlines()\n"
        "embedder = OnnxEmbedder(threads=2); embedder.embed_array(texts)\n"
        "if os.fork() == 0:\n"
        "    sys.stdout.buffer.write(embedder.embed_array(texts).tobytes())\n"
        "    sys.stdout.flush(); os._exit(0)\n"
        "os.wait()"
    )
    seen = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input="\n".join(QUESTIONS[:20]).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert seen.stdout == expected


def test_threads_share_one_embedder(int8, alone_int8):
    rows = np.random.default_rng(7).integers(0, len(QUESTIONS), (16, 20))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: int8.embed_array([QUESTIONS[row] for row in part]), rows))
    assert all(np.array_equal(vectors, alone_int8[part]) for vectors, part in zip(found, rows, strict=True))


@pytest.fixture(scope="module")
def alone_int8(int8):
    return np.concatenate([int8.embed_array([question]) for question in QUESTIONS])


class Held:
    """The real session, held at a gate, counting the texts it runs."""

    def __init__(self, session):
        self._session = session
        self.batch_tokens = session.batch_tokens
        self.gate = threading.Event()
        self.texts = 0

    def run(self, ids):
        assert self.gate.wait(10)
        self.texts += len(ids)
        return self._session.run(ids)


@pytest.fixture
def held(int8):
    """An embedder whose runs wait until the gate opens."""
    from dataclasses import replace

    embedder = OnnxEmbedder(threads=2)
    session = Held(embedder._model.session)
    embedder._model = replace(embedder._model, session=session)
    yield embedder, session
    session.gate.set()
    embedder.close()


async def test_equal_texts_under_way_are_computed_once(held):
    embedder, session = held
    tasks = [asyncio.create_task(embedder.aembed("How many orders?")) for _ in range(20)]
    thread = asyncio.create_task(asyncio.to_thread(embedder.embed, "How many orders?"))
    await asyncio.sleep(0.05)
    session.gate.set()
    vectors = await asyncio.gather(*tasks, thread)
    assert session.texts == 1
    assert all(vector == vectors[0] for vector in vectors)


async def test_repeats_in_a_batch_are_computed_once(held):
    embedder, session = held
    session.gate.set()
    vectors = await embedder.aembed_array(["rivers", "lakes", "rivers", "rivers"])
    assert session.texts == 2
    assert np.array_equal(vectors[0], vectors[3])


async def test_cancelling_one_caller_harms_no_other(held):
    embedder, session = held
    first = asyncio.create_task(embedder.aembed("How many orders?"))
    await asyncio.sleep(0)
    second = asyncio.create_task(embedder.aembed("How many orders?"))
    await asyncio.sleep(0.02)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    session.gate.set()
    assert len(await second) == 384
    assert len(embedder._inflight) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ArgumentValueError),
        (" \n\t ", ArgumentValueError),
        ("a\0b", ArgumentValueError),
        ("a\ud800b", ArgumentValueError),
        (None, ArgumentTypeError),
        (b"bytes", ArgumentTypeError),
        (7, ArgumentTypeError),
    ],
)
async def test_bad_text_is_refused(int8, text, error):
    with pytest.raises(error):
        int8.embed(text)
    with pytest.raises(error):
        await int8.aembed(text)
    with pytest.raises(error, match=r"texts\[1\]"):
        int8.embed_batch(["good", text])


def test_a_bare_string_is_no_batch(int8):
    with pytest.raises(ArgumentTypeError, match="texts"):
        int8.embed_array("how many")


def test_no_texts_give_no_vectors(int8):
    assert int8.embed_array([]).shape == (0, 384)
    assert asyncio.run(int8.aembed_array([])).shape == (0, 384)


def test_long_texts_are_cut_at_max_tokens(int8):
    assert int8.max_tokens == 256
    cut, longer = "word " * 254, "word " * 4000
    assert np.array_equal(int8.embed_array([cut]), int8.embed_array([longer]))
    assert not np.array_equal(int8.embed_array(["word " * 253]), int8.embed_array([cut]))


async def test_use_after_close_is_an_error():
    embedder = OnnxEmbedder()
    await embedder.aembed("one")
    embedder.close()
    embedder.close()
    assert "closed" in repr(embedder)
    with pytest.raises(EmbeddingError, match="close"):
        embedder.embed("two")
    with pytest.raises(EmbeddingError, match="close"):
        await embedder.aembed("two")


def test_names_and_fingerprint(embedder):
    assert embedder.dimension == 384
    assert embedder.model_name == "all-MiniLM-L6-v2"
    assert embedder.fingerprint.startswith(f"all-MiniLM-L6-v2/{embedder.variant}/")
    assert "53aa51172d142c89/384/mean/unit" in embedder.fingerprint
    assert repr(embedder) == f"<OnnxEmbedder 'all-MiniLM-L6-v2', {embedder.variant}, 384 dimensions>"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"variant": "int4"}, ArgumentValueError),
        ({"threads": 0}, ArgumentValueError),
        ({"threads": "two"}, ArgumentTypeError),
        ({"model": 5}, ArgumentTypeError),
        ({"model": "no-such-model"}, ConfigurationError),
        ({"model_dir": "no/such/folder"}, ConfigurationError),
    ],
)
def test_bad_arguments_are_refused(arguments, error):
    with pytest.raises(error, match=next(iter(arguments)) if error is not ConfigurationError else "no"):
        OnnxEmbedder(**arguments)


def test_a_pulled_folder_can_be_given(int8):
    with OnnxEmbedder(model_dir=models.model_path()) as embedder:
        assert embedder.fingerprint == int8.fingerprint
        assert np.array_equal(embedder.embed_array(["one"]), int8.embed_array(["one"]))


def test_naming_the_embedder_loads_no_runtime():
    code = (
        "import sys; from medha_core.embeddings import OnnxEmbedder, models; models.list_models()\n"
        "heavy = ('onnx', 'onnxruntime', 'tokenizers', 'safetensors')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


def test_a_missing_package_names_the_extra(int8):
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from medha_core.embeddings import OnnxEmbedder\n"
        "from medha_core.errors import ConfigurationError\n"
        "try:\n    OnnxEmbedder()\nexcept ConfigurationError as error:\n    print(error)"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "medha-core[onnx]" in seen.stdout


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("🚀", "🍕"),
        ("How many 🍎 were sold?", "How many 🍌 were sold?"),
        ("ስንት ደንበኞች አሉን", "የትኛው ምርት ተሸጠ"),
        ("\u200b", "\u200c"),
        ("We sell shoes. " * 120 + "List all customers", "We sell shoes. " * 120 + "Delete every invoice"),
    ],
    ids=["pictures", "a picture", "script", "invisible", "cut end"],
)
async def test_what_the_model_cannot_read_is_no_paraphrase(embedder, stored, asked):
    async with Medha("c", embedder, settings=Settings(_env_file=None)) as cache:
        await cache.store(stored, "SELECT 1")
        assert not await cache.search(asked)
        await cache.clear_caches()
        assert (await cache.search(stored)).generated_query == "SELECT 1"


def test_unread_parts_are_unknown_words_and_the_cut_end(embedder):
    assert embedder.unread("How many customers are there?") == ()
    assert embedder.unread("How many 🍎 and ስንት?") == ("🍎", "ስንት")
    assert embedder.unread("shoe " * 300 + "the end")[-1].endswith("shoe the end")
