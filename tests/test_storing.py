"""Storing and exporting: every way has the same effects, and what is exported can be stored again."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    CallableEmbedder,
    ConfigurationError,
    HashingEmbedder,
    InMemoryBackend,
    Medha,
    MedhaError,
    NativeBackend,
    SearchStrategy,
    Settings,
)

PAIRS = [
    {"question": f"how many {w} are there", "generated_query": f"SELECT count(*) FROM {w}"} for w in "abcdefg"
]


def make(name="c", *, embedder=None, backend=None, **settings):
    return Medha(
        name,
        embedder or HashingEmbedder(64),
        backend or InMemoryBackend(),
        Settings(_env_file=None, **settings),
    )


async def store_one_by_one(cache, entries, **options):
    return all([await cache.store(e["question"], e["generated_query"], **options) for e in entries])


async def store_batch(cache, entries, **options):
    return await cache.store_batch(entries, **options)


async def store_many(cache, entries, **options):
    return await cache.store_many(entries, batch_size=3, **options) == len(entries)


async def warm_from_json(cache, entries, *, path, **options):
    path.write_text(json.dumps(entries))
    return await cache.warm_from_file(path, **options) == len(entries)


async def warm_from_jsonl(cache, entries, *, path, **options):
    path.write_text("\n".join(json.dumps(entry) for entry in entries))
    return await cache.warm_from_file(path, batch_size=2, **options) == len(entries)


async def warm_from_frame(cache, entries, **options):
    return await cache.warm_from_dataframe(pd.DataFrame(entries), **options) == len(entries)


WAYS = [store_one_by_one, store_batch, store_many, warm_from_json, warm_from_jsonl, warm_from_frame]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request, tmp_path):
    """Stores entries in one of the ways there are."""

    async def stored(cache, entries, **options):
        where = {"path": tmp_path / "pairs"} if "warm_from_json" in request.param.__name__ else {}
        return await request.param(cache, entries, **where, **options)

    return stored


async def test_each_way_is_found_in_l1_and_in_the_store(way):
    async with make() as cache:
        assert await way(cache, PAIRS)
        assert (await cache.search(PAIRS[3]["question"])).strategy is SearchStrategy.L1_CACHE
        await cache.clear_caches()
        for pair in PAIRS:
            hit = await cache.search(pair["question"])
            assert (hit.strategy, hit.generated_query) == (
                SearchStrategy.EXACT_MATCH,
                pair["generated_query"],
            )


async def test_each_way_gives_the_default_ttl(way):
    async with make(default_ttl_seconds=60) as cache:
        await way(cache, PAIRS)
        rows, _ = await cache._backend.scroll("c")
        for row in rows:
            assert timedelta(seconds=50) < row.expires_at - datetime.now(UTC) <= timedelta(seconds=60)
        assert (await cache.search(PAIRS[0]["question"])).expires_at is not None


async def test_each_way_takes_a_ttl_of_its_own_and_for_ever(way):
    async with make(default_ttl_seconds=60) as cache:
        await way(cache, PAIRS, ttl=None)
        assert {row.expires_at for row in (await cache._backend.scroll("c"))[0]} == {None}
        await way(cache, PAIRS, ttl=3600)
        assert all(
            row.expires_at > datetime.now(UTC) + timedelta(minutes=59)
            for row in (await cache._backend.scroll("c"))[0]
        )
        with pytest.raises(ArgumentValueError, match="ttl"):
            await way(cache, PAIRS, ttl=0)


async def test_each_way_keeps_to_the_limit_of_a_question(way):
    async with make(max_question_length=64) as cache:
        with pytest.raises(ArgumentValueError, match="max_question_length"):
            await way(cache, [{"question": "x" * 65, "generated_query": "SELECT 1"}])
        assert await cache._backend.count("c") == 0


async def test_each_way_stores_in_the_collection_named(way):
    async with make() as cache:
        await way(cache, PAIRS, collection_name="other")
        assert await cache._backend.count("c") == 0
        assert not await cache.search(PAIRS[0]["question"])
        assert await cache.search(PAIRS[0]["question"], collection_name="other")


async def test_each_way_is_refused_where_nothing_may_be_written(way, tmp_path):
    async with make(backend=NativeBackend(tmp_path / "d")):
        pass
    async with make(backend=NativeBackend(tmp_path / "d", mode="r")) as cache:
        with pytest.raises(ConfigurationError, match="read-only"):
            await way(cache, PAIRS)


async def test_a_batch_leaves_out_what_is_blank():
    async with make() as cache:
        assert await cache.store_batch([]) is True
        assert await cache.store_batch([{"question": " ", "generated_query": "SELECT 1"}]) is False
        assert await cache.store_batch([*PAIRS[:2], {"question": "x", "generated_query": ""}]) is True
        assert await cache._backend.count("c") == 2
        with pytest.raises(ArgumentValueError, match=r"entries\[1\]"):
            await cache.store_batch([PAIRS[0], {"question": "no query"}])
        with pytest.raises(ArgumentTypeError, match="entries"):
            await cache.store_batch({"question": "a", "generated_query": "b"})


async def test_a_batch_takes_metadata_and_feeds_one_call_of_the_embedder():
    calls = []

    def embed(texts):
        calls.append(list(texts))
        return [[1.0, float(len(text))] for text in texts]

    async with make(embedder=CallableEmbedder(embed, 2, "lengths", batch=True)) as cache:
        assert await cache.store_batch([entry | {"metadata": {"t": 1}} for entry in PAIRS])
        assert [len(call) for call in calls] == [len(PAIRS)]
        assert not await cache.search(PAIRS[0]["question"])
        assert await cache.search(PAIRS[0]["question"], filters={"t": 1})


async def test_batches_are_embedded_at_once_as_far_as_the_settings_say():
    running, most = 0, 0
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=20)

    def embed(texts):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if len(texts) == 2:  # returns only when another batch is under way
            both.wait()
        with lock:
            running -= 1
        return [[1.0, float(len(text))] for text in texts]

    embedder = CallableEmbedder(embed, 2, "lengths", batch=True)
    async with make(embedder=embedder, batch_embed_concurrency=2, batch_size=2) as cache:
        seen = []
        assert await cache.store_many(PAIRS[:4], on_progress=lambda *now: seen.append(now)) == 4
        assert most == 2
        assert seen == [(2, 4), (4, 4)]


async def test_a_failing_embedder_is_false_or_raised():
    def broken(texts):
        raise RuntimeError("no model")

    async with make(embedder=CallableEmbedder(broken, 2, "broken", batch=True)) as cache:
        assert await cache.store("a question", "SELECT 1") is False
        assert await cache.store_batch(PAIRS) is False
        with pytest.raises(MedhaError, match="no model"):
            await cache.store_many(PAIRS)


# exporting


async def filled(cache):
    """A cache of entries that have everything an entry can have."""
    for word in ("users", "orders"):
        await cache.store(
            f"how many {word} are there",
            f"SELECT count(*) FROM {word}",
            f"The number of {word}; größer",
            f"count-{word}",
            ttl=3600,
            metadata={"tenant": word, "n": 3, "x": 0.5, "flag": True},
        )
    await cache.store("which regions\nare 'open'", "SELECT name FROM regions")
    hit = await cache.search("which regions\nare 'open'")
    await cache.feedback("which regions\nare 'open'", True, entry_id=hit.entry_id)
    await cache.feedback("which regions\nare 'open'", True, entry_id=hit.entry_id)
    await cache.feedback("which regions\nare 'open'", False, entry_id=hit.entry_id)


async def everything(cache):
    """All that is stored, but for what belongs to a collection."""
    rows, _ = await cache._backend.scroll(cache.collection_name, with_vectors=True)
    return [
        row.model_dump(exclude={"id", "vector"}) | {"vector": np.asarray(row.vector).tobytes()}
        for row in rows
    ]


async def test_a_jsonl_export_brings_everything_back(tmp_path):
    path = tmp_path / "all.jsonl"
    async with make("first") as cache:
        await filled(cache)
        before = await everything(cache)
        assert {row["usage_count"] for row in before} == {1, 2}
        assert [(row["feedback_correct"], row["feedback_incorrect"]) for row in before][-1] == (2, 1)
        seen = []
        assert await cache.export_jsonl(path, on_progress=lambda *now: seen.append(now)) == 3
        assert seen == [(3, 3)]
    calls = []

    class Counting(HashingEmbedder):
        async def aembed_array(self, texts, **options):
            calls.append(texts)
            return await super().aembed_array(texts, **options)

    async with make("second", embedder=Counting(64)) as cache:
        assert await cache.warm_from_file(path) == 3
        assert await everything(cache) == before
        assert calls == []
        assert (await cache.search("how many users are there", filters={"tenant": "users"})).expires_at


async def test_vectors_of_another_model_are_computed_anew(tmp_path):
    path = tmp_path / "all.jsonl"
    async with make(embedder=HashingEmbedder(32)) as cache:
        await filled(cache)
        await cache.export_jsonl(path)
    async with make() as cache:
        assert await cache.warm_from_file(path) == 3
        rows, _ = await cache._backend.scroll("c", with_vectors=True)
        assert {len(row.vector) for row in rows} == {64}
        again = HashingEmbedder(64).embed_array(["which regions\nare 'open'"])[0]
        assert np.asarray(rows[-1].vector) == pytest.approx(again, abs=1e-6)


async def test_an_export_without_vectors_is_smaller_and_complete_in_the_rest(tmp_path):
    async with make() as cache:
        await filled(cache)
        await cache.export_jsonl(tmp_path / "with")
        await cache.export_jsonl(tmp_path / "without", include_vectors=False)
        before = await everything(cache)
    assert (tmp_path / "without").stat().st_size < (tmp_path / "with").stat().st_size
    async with make() as cache:
        await cache.warm_from_file(tmp_path / "without")
        assert await everything(cache) == before


async def test_a_ttl_given_overrules_the_file_and_what_has_expired_is_left_out(tmp_path):
    path = tmp_path / "f.jsonl"
    past, future = ((datetime.now(UTC) + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
    lines = [
        PAIRS[0] | {"expires_at": past},
        PAIRS[1] | {"expires_at": future},
        PAIRS[2] | {"expires_at": None},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    async with make(default_ttl_seconds=5) as cache:
        assert await cache.warm_from_file(path) == 2
        expiries = [row.expires_at for row in (await cache._backend.scroll("c"))[0]]
        assert expiries == [datetime.fromisoformat(future), None]
        assert await cache.warm_from_file(path, ttl=7200) == 3
        assert all(row.expires_at.isoformat() > future for row in (await cache._backend.scroll("c"))[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created_at", "yesterday"),
        ("expires_at", 7),
        ("usage_count", -1),
        ("usage_count", True),
        ("feedback_correct", "3"),
        ("vector", "no base64!"),
        ("vector", [0.0] * 64),
        ("vector", [1.0, float("nan")]),
        ("vector", [[1.0]]),
    ],
)
async def test_a_field_that_cannot_be_is_named(field, value):
    async with make() as cache:
        entry = PAIRS[0] | {field: value, "model": HashingEmbedder(64).fingerprint}
        with pytest.raises((ArgumentValueError, ArgumentTypeError), match=rf"entries\[0\]\.{field}"):
            await cache.store_many([entry])


async def test_a_vector_of_another_length_is_refused():
    async with make() as cache:
        entry = PAIRS[0] | {"vector": [1.0, 2.0], "model": HashingEmbedder(64).fingerprint}
        with pytest.raises(MedhaError, match="dimension 64, got 2"):
            await cache.store_many([entry])


async def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_text("old")
    async with make() as cache:
        await filled(cache)

        def stop(done, total):
            raise KeyError("stop")

        with pytest.raises(KeyError):
            await cache.export_jsonl(path, on_progress=stop)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(MedhaError, match="cannot be written"):
            await cache.export_jsonl(tmp_path / "no folder" / "x")


async def test_exports_stay_below_the_allowed_directory(tmp_path):
    (tmp_path / "in").mkdir()
    async with make(allowed_file_dir=str(tmp_path / "in")) as cache:
        await filled(cache)
        assert await cache.export_jsonl(tmp_path / "in" / "a") == 3
        with pytest.raises(ArgumentValueError, match="allowed_file_dir"):
            await cache.export_jsonl(tmp_path / "in" / ".." / "b")


async def test_T11_a_frame_comes_back_with_expiry_feedback_metadata_and_vectors(tmp_path):
    async with make("first") as cache:
        await filled(cache)
        plain = await cache.export_to_dataframe()
        full = await cache.export_to_dataframe(include_vectors=True)
        before = await everything(cache)
    assert "vector" not in plain.columns
    assert list(plain["question"]) == list(plain["original_question"])
    assert np.asarray(full["vector"][0]).dtype == np.float32
    for frame in (plain, full):
        async with make("second") as cache:
            assert await cache.warm_from_dataframe(frame) == 3
            assert await everything(cache) == before


async def test_a_frame_of_ones_own():
    frame = pd.DataFrame(
        {
            "q": ["how many a", "how many b"],
            "sql": ["SELECT 1", "SELECT 2"],
            "note": ["first", None],
            "t": [None, "t2"],
            "tenant": ["x", "y"],
            "year": [2024.0, float("nan")],
        }
    )
    async with make() as cache:
        stored = await cache.warm_from_dataframe(
            frame,
            question_col="q",
            query_col="sql",
            response_col="note",
            template_col="t",
            metadata_cols=["tenant", "year"],
        )
        rows, _ = await cache._backend.scroll("c")
        assert stored == 2
        assert [row.metadata for row in rows] == [{"tenant": "x", "year": 2024}, {"tenant": "y"}]
        assert [(row.response_summary, row.template_id) for row in rows] == [("first", None), (None, "t2")]
        with pytest.raises(ArgumentValueError, match="'question'"):
            await cache.warm_from_dataframe(frame)
        with pytest.raises(ArgumentValueError, match="'nope'"):
            await cache.warm_from_dataframe(frame, question_col="q", query_col="sql", metadata_cols=["nope"])
        with pytest.raises(ArgumentTypeError, match="df"):
            await cache.warm_from_dataframe([{"question": 1}])
        frame.loc[0, "q"] = None
        with pytest.raises(ArgumentTypeError, match=r"entries\[0\].question"):
            await cache.warm_from_dataframe(frame, question_col="q", query_col="sql")


def test_without_pandas_the_extra_is_named_and_the_rest_works():
    code = (
        "import sys, asyncio; sys.modules['pandas'] = None\n"
        "from medha_core import Medha, HashingEmbedder, ConfigurationError, Settings\n"
        "async def main():\n"
        "    async with Medha('c', HashingEmbedder(8), settings=Settings(_env_file=None)) as cache:\n"
        "        await cache.store('q', 'SELECT 1')\n"
        "        for call in (cache.export_to_dataframe(), cache.warm_from_dataframe(None)):\n"
        "            try: await call\n"
        "            except ConfigurationError as error: assert 'medha-core[pandas]' in str(error)\n"
        "            else: raise SystemExit(3)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
