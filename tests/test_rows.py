"""The rows: what the statements cost, what older files become, what replaces what, and what makes room."""

import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from medha_core import (
    CacheEntry,
    ConflictError,
    HashingEmbedder,
    Medha,
    NativeBackend,
    PersistedStats,
    Settings,
    StorageError,
    StorageInitializationError,
    VectorRole,
)
from medha_core.embedded.verification import verify
from medha_core.rows import RecentRows, Rows
from medha_core.rows.schema import FORMAT

FORMATS = Path(__file__).parent / "data" / "formats"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def entry(number, **fields):
    given = {
        "id": f"e{number}",
        "vector": np.eye(8, dtype=np.float32)[number % 8],
        "original_question": f"Question {number}?",
        "normalized_question": f"question {number}",
        "generated_query": f"SELECT {number}",
        "query_hash": f"hash{number}",
        **fields,
    }
    return CacheEntry(**given)


def write(rows, collection, entries, **options):
    return rows.write(collection, entries, np.array([e.vector for e in entries], dtype=np.float32), **options)


def settings(**fields):
    """Stored queries answer as they are, not with other values."""
    return Settings(_env_file=None, substitution="off", **fields)


@pytest.fixture
def rows(tmp_path):
    rows = Rows(tmp_path / "entries.db")
    yield rows
    rows.close()


@pytest.fixture
def collection(rows):
    return rows.create_collection("c", 8).id


# rows that were read a short while ago


def test_recent_rows_are_found_by_label_and_id_until_they_are_forgotten(rows, collection):
    labels = write(rows, collection, [entry(i) for i in range(3)]).labels
    recent = RecentRows(limit=3)
    recent.keep(rows.by_labels(labels).values())
    assert [row and row.label for row in recent.of([*labels, 99])] == [*labels, None]
    assert [row.label for row in recent.of_ids(collection, ["e2", "e0", "nobody"]).values()] == [
        labels[2],
        labels[0],
    ]
    assert not recent.of_ids(collection + 1, ["e0"])
    recent.forget([labels[0], 99])
    assert len(recent) == 2
    assert [row and row.label for row in recent.of(labels)] == [None, *labels[1:]]
    assert not recent.of_ids(collection, ["e0"])


def test_recent_rows_all_go_when_there_are_too_many(rows, collection):
    labels = write(rows, collection, [entry(i) for i in range(3)]).labels
    recent = RecentRows(limit=2)
    recent.keep(rows.by_labels(labels).values())
    assert len(recent) == 0
    assert not recent.of_ids(collection, ["e0", "e1", "e2"])


# what statements cost


def everything(rows):
    """Call each method that a store calls, once."""
    first, other = (rows.create_collection(name, 8).id for name in ("first", "other"))
    rows.index_for_eviction("use")
    rows.index_for_eviction("recency")
    scoped = {"metadata": {"tenant": 7, "plan": "gold"}, "template_id": "t", "tables": ("parts", "halls")}
    for owner in (first, other):
        write(rows, owner, [entry(n, expires_at=NOW + timedelta(n), **scoped) for n in range(20)])
    for rule in ("replace", "keep_both", "error"):
        write(rows, first, [entry(3, id=f"new-{rule}", query_hash="hash3", **scoped)], on_conflict=rule)
    for policy in ("use", "recency"):
        write(rows, first, [entry(30)], max_entries=15, eviction=policy, uses={"e9": 2})
    rows.count_uses(first, {"e9": 1})
    rows.add_feedback(first, "e9", True)
    rows.collections(), rows.collection("first"), rows.count(first)
    rows.by_labels([1, 2]), rows.by_normalized(first, "question 9"), rows.labels(first, ["e9"])
    write(rows, first, [entry(n, normalized_question="same", metadata={"n": n}) for n in range(900, 980)])
    write(rows, first, [entry(980, normalized_question="same")], on_conflict="replace")
    (
        rows.by_normalized(first, "same", {"n": 905, "plan": "gold"}),
        rows.by_normalized(first, "same", None, False),
    )
    rows.page(first, 3, 5), rows.vectors(first, 8, after=3, limit=5)
    rows.ids(first, "tables IS NULL", []), rows.ids_of_tables(first, ["parts", "halls"])
    for condition in ("expires <= ?", "query_hash = ?", "template = ?"):
        rows.ids(first, condition, ["t"])
    rows.labels_matching(first, {"tenant": 7, "plan": "gold"})
    rows.expiring(first, 0.0, NOW.timestamp()), rows.expire(first, NOW.timestamp() + 86400)
    rows.last_removal(), rows.removals(first, 1)
    rows.change_stats(first, lambda body: body or "{}"), rows.load_stats(first)
    rows.delete(first, ["e9"])
    rows.drop_collection(other)


def test_no_lookup_scans_all_rows(rows):
    seen = []
    with rows.database.statements() as db:
        db.set_trace_callback(seen.append)
        everything(rows)
        db.set_trace_callback(None)
        asked = [text for text in seen if text.split()[0] in {"SELECT", "UPDATE", "DELETE", "INSERT"}]
        assert len(asked) > 100
        for text in asked:
            plan = [record[3] for record in db.execute(f"EXPLAIN QUERY PLAN {text}")]
            if "normalized = " in text:
                assert any("entries_plain" in step or "entries_scoped" in step for step in plan) or (
                    "CROSS JOIN" in text
                ), (text, plan)
            # Collections are few, and sqlite_sequence has a row a table.
            few = "collections", "sqlite_sequence", "CONSTANT ROWS"  # the last are what is inserted
            scans = [step for step in plan if step.startswith("SCAN")]
            assert not [step for step in scans if not any(name in step for name in few)], (text, plan)


def test_no_lookup_sorts_what_it_finds_in_the_order_it_wants(rows):
    seen = []
    with rows.database.statements() as db:
        db.set_trace_callback(seen.append)
        everything(rows)
        db.set_trace_callback(None)
        for text in (text for text in seen if text.startswith("SELECT") and "LIMIT" in text):
            plan = [record[3] for record in db.execute(f"EXPLAIN QUERY PLAN {text}")]
            assert not [step for step in plan if "TEMP B-TREE" in step], (text, plan)


def test_a_batch_is_one_transaction(rows, collection):
    commits = []
    with rows.database.statements() as db:
        db.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
        write(rows, collection, [entry(n) for n in range(500)])
        db.set_trace_callback(None)
    assert len(commits) == 1


def test_a_batch_that_fails_leaves_nothing(rows, collection):
    write(rows, collection, [entry(1)])
    twice = [entry(2), entry(3), entry(1, id="other", generated_query="SELECT 0", query_hash="x")]
    with pytest.raises(ConflictError, match=r"'SELECT 1'.*'SELECT 0'"):
        write(rows, collection, twice, on_conflict="error")
    assert rows.count(collection) == len(rows.page(collection, 0, 10)) == 1


def test_labels_rise_whatever_failed_was_deleted_or_closed(tmp_path):
    path, given = tmp_path / "entries.db", []
    for _ in range(3):
        rows = Rows(path)
        collection = rows.create_collection("c", 8).id
        given += write(rows, collection, [entry(1), entry(2)], on_conflict="replace").labels
        clash = [*(entry(n) for n in range(10, 3000)), entry(1, id="other", query_hash="x")]
        with pytest.raises(ConflictError):
            write(rows, collection, clash, on_conflict="error")
        given += write(rows, collection, [entry(3)]).labels
        rows.delete(collection, ["e3"])
        given += write(rows, collection, [entry(n) for n in range(4, 10)]).labels
        assert rows.count(collection) == len(rows.page(collection, 0, 99)) == 8
        rows.close()
    assert given == sorted(set(given))


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_a_transaction_that_is_interrupted_anywhere_leaves_a_store_that_writes(rows, collection, steps):
    write(rows, collection, [entry(1)])
    left = [steps]

    def interrupt_once():
        left[0] -= 1
        return left[0] == -1

    with rows.database.statements() as db:
        db.set_progress_handler(interrupt_once, 1)
        with suppress(StorageError):
            write(rows, collection, [entry(2)])
        db.set_progress_handler(None, 0)
        assert not db.in_transaction
    write(rows, collection, [entry(3)])
    assert rows.count(collection) == len(rows.page(collection, 0, 9))


def test_nothing_is_stored_in_a_collection_that_was_dropped(rows, collection):
    write(rows, collection, [entry(1)])
    rows.drop_collection(collection)
    with pytest.raises(StorageError, match="dropped"):
        write(rows, collection, [entry(2)])
    assert rows.delete(collection, ["e1"]) == rows.page(collection, 0, 9) == []


def test_more_tables_than_sqlite_takes_variables(rows, collection):
    names = tuple(f"t{number}" for number in range(12_000))
    with rows.database.statements() as db:
        db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
        write(rows, collection, [entry(1, tables=names)])
        assert db.execute("SELECT count(*) FROM entry_tables").fetchone() == (len(names),)
    assert rows.ids_of_tables(collection, names[-1:]) == ["e1"]


def test_a_write_changes_no_page_for_its_label(rows, collection):
    """What SQLite knows of the labels that were given is changed for many at once."""
    seen = []
    with rows.database.statements() as db:
        db.set_trace_callback(lambda text: seen.append(text) if "sqlite_sequence" in text else None)
        for number in range(50):
            write(rows, collection, [entry(number)])
        db.set_trace_callback(None)
        (reserved,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        (newest,) = db.execute("SELECT max(label) FROM entries").fetchone()
    assert len(seen) <= 3
    assert newest < reserved


def test_counts_of_a_collection_that_took_the_place_of_another(rows, collection):
    write(rows, collection, [entry(n) for n in range(3)])
    other = rows.create_collection("other", 8).id
    write(rows, other, [entry(1), entry(7)])
    rows.count_uses(collection, {"e0": 1})
    rows.take_place(other, collection)
    write(rows, other, [entry(8)])
    assert rows.count(other) == len(rows.page(other, 0, 9)) == 3
    with rows.database.statements() as db:
        assert db.execute("SELECT uses FROM collections").fetchall() == [(5,)]


def test_a_row_gives_back_what_was_stored(rows, collection):
    write(
        rows,
        collection,
        [entry(1, role=VectorRole.QUESTION, response_summary="", template_id="t")],
    )
    (row,) = rows.by_normalized(collection, "question 1")
    assert (row.role, row.summary, row.template) == (1, "", "t")


async def test_entries_are_found_by_the_tables_of_their_query():
    async with NativeBackend() as store:
        await store.initialize("c", 8)
        named = {1: ("orders", "Kunden"), 2: (), 3: None, 4: ("orders", "orders")}
        await store.upsert("c", [entry(number, tables=tables) for number, tables in named.items()])
        assert await store.find_by_tables("c", ["orders", "absent"]) == ["e1", "e4"]
        assert await store.find_by_tables("c", ["Kunden"]) == ["e1"]
        assert await store.find_unread("c") == ["e3"]
        await store.upsert("c", [entry(1, tables=("customers",)), entry(3, tables=("orders",))])
        await store.delete("c", ["e4"])
        assert await store.find_by_tables("c", ["orders", "Kunden"]) == ["e3"]
        assert await store.find_unread("c") == []
        with store.rows.database.statements() as db:
            assert db.execute("SELECT name FROM entry_tables").fetchall() == [("customers",), ("orders",)]


async def test_entries_are_found_by_their_metadata_and_given_by_id():
    async with NativeBackend(clock=lambda: NOW.timestamp() + 10) as store:
        await store.initialize("c", 8)
        tenants = {1: {"tenant": 7}, 2: {"tenant": 8}, 3: {"tenant": 7, "plan": "gold"}, 4: {}}
        await store.upsert("c", [entry(n, metadata=given, expires_at=NOW) for n, given in tenants.items()])
        assert await store.find_by_filters("c", {"tenant": 7}) == ["e1", "e3"]
        assert await store.find_by_filters("c", {}) == []
        assert [row.id for row in await store.get("c", ["e4", "absent", "e2"])] == ["e4", "e2"]


async def test_statistics_of_several_processes_are_added(tmp_path):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        delta = PersistedStats(total_requests=2, total_hits=1, hits_by_strategy={"l1_cache": 1})
        assert await store.add_stats("c", delta) == delta
        other = Rows(tmp_path / "entries.db")
        seen = []
        other.change_stats(1, lambda body: seen.append(body) or body)
        other.close()
        assert await store.add_stats("c", delta) == await store.load_stats("c") == delta + delta
        assert PersistedStats.model_validate_json(seen[0]) == delta


async def test_the_same_question_of_many_tenants_is_read_for_one():
    async with NativeBackend() as store:
        await store.initialize("c", 8)
        for plan in ("gold", "silver"):
            await store.upsert(
                "c",
                [
                    entry(
                        n, id=f"{plan}{n}", normalized_question="same", metadata={"tenant": n, "plan": plan}
                    )
                    for n in range(200)
                ],
            )
        await store.upsert("c", [entry(1, id="plain", normalized_question="same")])

        async def ids(*arguments):
            return [one.id for one in await store.with_text("c", "same", *arguments)]

        assert await ids({"tenant": 7}) == ["silver7", "gold7"]
        assert await ids({"plan": "gold", "tenant": 7}) == ["gold7"]
        assert await ids({"tenant": 7, "plan": "bronze"}) == await ids({"tenant": 999}) == []
        assert await ids(None, False) == ["plain"]
        assert (await ids())[:2] == ["plain", "silver199"]
        assert len(await ids()) == 65


async def test_uses_are_written_before_there_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr("medha_core.embedded.uses._FOLD_AT", 5)
    monkeypatch.setattr("medha_core.embedded.uses._ENOUGH", 10)
    for path in (None, tmp_path):
        async with NativeBackend(path) as store:
            await store.initialize("c", 8)
            await store.upsert("c", [entry(n) for n in range(20)])
            for number in range(20):
                store.touch("c", f"e{number}")
            store._keeper.wait()
            assert sum(row.usage for row in store.rows.page(1, 0, 100)) == 20 + 20


@pytest.mark.parametrize(("given", "number"), [("NORMAL", 1), ("FULL", 2)])
def test_synchronous_is_what_the_settings_say(tmp_path, given, number):
    rows = Rows(tmp_path / "entries.db", synchronous=given)
    with rows.database.statements() as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == number
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    rows.close()


# files of older versions


async def answers(folder, mode="r+"):
    shop = Medha.open(folder, mode=mode, collection_name="shop", embedder=HashingEmbedder(16))
    async with shop as cache:
        return [
            (await cache.search(question, filters=filters)).generated_query
            for question, filters in (
                ("How many customers are there?", None),
                ("show me all orders of 2023!", None),
                ("Which invoices are overdue?", None),
                ("Total revenue", {"tenant": 7, "plan": "größer"}),
                ("Total revenue", None),
                ("Was kostet das?", None),
            )
        ]


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("version", sorted(path.name for path in FORMATS.iterdir()))
async def test_every_format_that_was_ever_written_loads(tmp_path, version, mode):
    folder = tmp_path / "old"
    shutil.copytree(FORMATS / version, folder)
    assert await answers(folder, mode) == [
        "SELECT count(*) FROM customers",
        "SELECT * FROM orders WHERE year = 2023",
        "SELECT * FROM invoices WHERE due < now()",
        "SELECT sum(total) FROM orders WHERE tenant = 7",
        "",
        "",
    ]


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_reader_of_an_older_format_sees_what_its_writer_changes(tmp_path, version):
    folder, asked = tmp_path / "old", "How many customers are there?"
    shutil.copytree(FORMATS / f"entries-{version}", folder)
    with closing(sqlite3.connect(folder / "entries.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        shop = Medha.open(folder, mode="r", collection_name="shop", embedder=HashingEmbedder(16))
        async with shop as reader:
            assert (await reader.search(asked)).generated_query == "SELECT count(*) FROM customers"
            # As a writer of that version does it.
            ((label, owner),) = db.execute(
                "DELETE FROM entries WHERE question = ? RETURNING label, collection", (asked,)
            ).fetchall()
            if version > 1:
                db.execute("INSERT INTO removals(collection, label) VALUES (?, ?)", (owner, label))
            assert await reader.refresh()
            assert not await reader.search(asked)
            assert not await reader.refresh()
            writing = Medha.open(folder, mode="r+", collection_name="shop", embedder=HashingEmbedder(16))
            async with writing as writer:
                for query in ("SELECT 1", "SELECT 2"):
                    await writer.store(asked, query)
                    await reader.refresh()
                    assert (await reader.search(asked)).generated_query == query


async def test_a_migrated_file_is_like_a_new_one(tmp_path):
    shutil.copytree(FORMATS / "entries-1", tmp_path / "old")
    await answers(tmp_path / "old")
    Rows(tmp_path / "new.db").close()
    made = []
    for path in (tmp_path / "old" / "entries.db", tmp_path / "new.db"):
        with sqlite3.connect(path) as db:
            made.append(db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall())
            assert db.execute("PRAGMA user_version").fetchone()[0] == FORMAT
        db.close()
    assert made[0] == made[1]
    verify(tmp_path / "old")


def test_a_damaged_text_keeps_no_older_file_from_opening(tmp_path):
    shutil.copytree(FORMATS / "entries-3", tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / "entries.db", isolation_level=None)) as db:
        first, *others = [label for (label,) in db.execute("SELECT label FROM entries ORDER BY label")]
        db.execute(
            "UPDATE entries SET features = x'01', question = CAST(x'ff' AS TEXT) WHERE label = ?", (first,)
        )
    rows = Rows(tmp_path / "old" / "entries.db")
    assert list(rows.by_labels(others)) == others
    rows.close()


async def test_a_migrated_file_uses_no_label_twice_and_keeps_counters(tmp_path):
    shutil.copytree(FORMATS / "entries-1", tmp_path / "old")
    with sqlite3.connect(tmp_path / "old" / "entries.db") as db:
        (newest,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        db.execute("DELETE FROM entries WHERE label = ?", (newest,))
    db.close()
    rows = Rows(tmp_path / "old" / "entries.db")
    shop = rows.collection("shop").id
    (row,) = rows.by_normalized(shop, "how many customers are there")
    assert (row.correct, row.usage, row.summary, row.template) == (1, 1, "a number", "count")
    assert rows.load_stats(shop) is not None
    assert write(rows, shop, [entry(1, vector=np.ones(16))]).labels[0] > newest
    rows.close()


def test_a_migration_that_is_cut_off_changes_nothing(tmp_path, monkeypatch):
    shutil.copytree(FORMATS / "entries-1", tmp_path / "old")
    before = (tmp_path / "old" / "entries.db").read_bytes()
    broken = sqlite3.OperationalError("disk full")
    monkeypatch.setattr("medha_core.rows.schema.seal_vector", lambda vector: (_ for _ in ()).throw(broken))
    with pytest.raises(StorageInitializationError):
        Rows(tmp_path / "old" / "entries.db", mode="c")
    assert (tmp_path / "old" / "entries.db").read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA user_version = 99", "format 99 by a newer medha_core"),
        ("CREATE TABLE theirs(x)", "another program"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
def test_files_of_others_and_of_the_future_are_told_apart(tmp_path, statement, message):
    with sqlite3.connect(tmp_path / "entries.db") as db:
        db.execute("CREATE TABLE x(y)")
        db.execute("DROP TABLE x")
        db.execute(statement)
    db.close()
    for mode in ("r", "r+", "c"):
        with pytest.raises(StorageInitializationError, match=message):
            Rows(tmp_path / "entries.db", mode=mode)


# what replaces what

ASKED = "How many orders are open?"


async def stored_queries(cache):
    page, _ = await cache._backend.scroll(cache.collection_name)
    return [row.generated_query for row in page]


@pytest.fixture(params=["memory", "disk"])
async def cache(request, tmp_path):
    given = settings(path=tmp_path if request.param == "disk" else None)
    async with Medha("c", HashingEmbedder(64), settings=given) as cache:
        yield cache


async def test_a_new_query_replaces_the_old_one(cache):
    await cache.store(ASKED, "SELECT 'old'")
    await cache.store("how many orders are Open", "SELECT 'new'")
    assert await stored_queries(cache) == ["SELECT 'new'"]
    await cache.clear_caches()
    assert (await cache.search(ASKED)).generated_query == "SELECT 'new'"


async def test_keep_both_answers_with_the_newest(cache):
    for query in ("SELECT 1", "SELECT 2", "SELECT 1"):
        await cache.store(ASKED, query, on_conflict="keep_both")
        for _ in range(2):
            assert (await cache.search(ASKED)).generated_query == query
            assert (await cache.search(f"{ASKED}!!")).generated_query == query
            await cache.clear_caches()
    assert await stored_queries(cache) == ["SELECT 2", "SELECT 1"]
    await cache.store(ASKED, "SELECT 3", on_conflict="replace")
    assert await stored_queries(cache) == ["SELECT 3"]


async def test_keep_both_forgets_what_a_paraphrase_was_answered():
    given = settings(guard="off", score_threshold_semantic=0.5)
    async with Medha("c", HashingEmbedder(64), settings=given) as cache:
        paraphrase = "How many orders are still open?"
        for query in ("SELECT 1", "SELECT 2"):
            await cache.store(ASKED, query, on_conflict="keep_both")
            assert (await cache.search(paraphrase)).generated_query == query


async def test_error_raises_and_keeps_what_was_there(cache):
    await cache.store(ASKED, "SELECT 1", on_conflict="error")
    await cache.store(ASKED, "SELECT 1", on_conflict="error")
    with pytest.raises(ConflictError, match=r"'SELECT 1'.*'SELECT 2'"):
        await cache.store(ASKED, "SELECT 2", on_conflict="error")
    pairs = [{"question": ASKED, "generated_query": "SELECT 3"}]
    with pytest.raises(ValueError, match="SELECT 3"):
        await cache.store_many(pairs, on_conflict="error")
    assert await stored_queries(cache) == ["SELECT 1"]
    assert (await cache.search(ASKED)).generated_query == "SELECT 1"
    await cache.store(ASKED, "SELECT 4", metadata={"tenant": 1}, on_conflict="error")
    with pytest.raises(ValueError, match="on_conflict"):
        await cache.store(ASKED, "SELECT 5", on_conflict="ask")


@pytest.mark.parametrize("rule", ["replace", "keep_both", "error"])
async def test_questions_that_differ_within_quotes_are_two(rule):
    async with Medha("c", HashingEmbedder(32), settings=settings()) as cache:
        for asked, query in (("Sales in 'US'?", "SELECT 'US'"), ("Sales in 'us'?", "SELECT 'us'")):
            await cache.store(asked, query, on_conflict=rule)
        assert (await cache.stats()).backend_count == 2
        await cache.clear_caches()
        assert (await cache.search("sales in 'US'")).generated_query == "SELECT 'US'"
        assert (await cache.search("sales in 'us'")).generated_query == "SELECT 'us'"


async def test_the_settings_decide_when_the_call_does_not():
    async with Medha("c", HashingEmbedder(16), settings=settings(on_conflict="error")) as cache:
        await cache.store(ASKED, "SELECT 1")
        with pytest.raises(ConflictError):
            await cache.store(ASKED, "SELECT 2")


async def test_what_has_expired_is_no_conflict():
    clock = [NOW.timestamp()]
    async with NativeBackend(clock=lambda: clock[0]) as store:
        await store.initialize("c", 8)
        await store.put("c", [entry(1, expires_at=NOW + timedelta(seconds=5))], "error")
        clock[0] += 6
        assert await store.put("c", [entry(1, id="x", query_hash="other")], "error") == ["e1"]


# what makes room


async def kept(cache):
    page, _ = await cache._backend.scroll(cache.collection_name)
    return {row.original_question for row in page}


async def limited(tmp_path, policy, disk):
    given = settings(max_entries=3, eviction=policy, path=tmp_path if disk else None)
    return Medha("c", HashingEmbedder(64), settings=given)


@pytest.mark.parametrize("disk", [False, True])
async def test_the_least_recently_used_makes_room(tmp_path, disk):
    async with await limited(tmp_path, "recency", disk) as cache:
        for name in "abc":
            await cache.store(f"question {name}", f"SELECT '{name}'")
        await cache.search("question a")
        await cache.store("question d", "SELECT 'd'")
        assert await kept(cache) == {"question a", "question c", "question d"}
        await cache.store("question e", "SELECT 'e'")
        assert await kept(cache) == {"question a", "question d", "question e"}
        assert (await cache.search("question c")).generated_query != "SELECT 'c'"
        assert (await cache.stats()).backend_count == 3


@pytest.mark.parametrize("disk", [False, True])
async def test_the_least_used_makes_room(tmp_path, disk):
    async with await limited(tmp_path, "use", disk) as cache:
        for name in "abc":
            await cache.store(f"question {name}", f"SELECT '{name}'")
            for _ in range("cab".index(name)):
                await cache.search(f"question {name}")
        for name in "de":
            await cache.store(f"question {name}", f"SELECT '{name}'")
        assert await kept(cache) == {"question a", "question b", "question e"}


async def test_use_is_remembered_by_the_next_process(tmp_path):
    for name in "abc":
        async with await limited(tmp_path, "recency", True) as cache:
            await cache.store(f"question {name}", f"SELECT '{name}'")
            if name == "c":
                await cache.search("question a")
    async with await limited(tmp_path, "recency", True) as cache:
        await cache.store("question d", "SELECT 'd'")
        assert await kept(cache) == {"question a", "question c", "question d"}


async def test_of_a_batch_that_is_too_large_the_end_is_kept(tmp_path):
    async with await limited(tmp_path, "use", False) as cache:
        await cache.store("question x", "SELECT 'x'")
        pairs = [{"question": f"question {n}", "generated_query": f"SELECT {n}"} for n in range(10)]
        await cache.store_many(pairs)
        assert await kept(cache) == {"question 7", "question 8", "question 9"}
        hits = await cache.search_batch([f"question {n}" for n in range(10)])
        assert [bool(hit) for hit in hits] == [False] * 7 + [True] * 3


async def test_what_has_expired_makes_room_first():
    clock = [NOW.timestamp()]
    store = NativeBackend(settings=settings(max_entries=3), clock=lambda: clock[0])
    async with store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(1), entry(2), entry(3, expires_at=NOW + timedelta(seconds=5))])
        clock[0] += 6
        await store.upsert("c", [entry(4)])
        page, _ = await store.scroll("c")
        assert [row.id for row in page] == ["e1", "e2", "e4"]


async def test_uses_are_counted_in_each_tier(cache):
    await cache.store(ASKED, "SELECT 1")
    for _ in range(3000):
        cache.peek(ASKED)
    await cache.search(ASKED)
    await cache.clear_caches()
    await cache.search(ASKED)
    page, _ = await cache._backend.scroll("c")
    assert page[0].usage_count == 1 + 3002


# what has expired


async def test_expire_deletes_what_has_expired_and_nothing_else(cache):
    for number in range(20):
        await cache.store(f"question {number}", f"SELECT {number}", ttl=1000 if number % 2 else None)
    clock = cache._backend._clock
    cache._backend._clock = lambda: clock() + 2000
    assert await cache.expire() == 10
    assert await cache.expire() == 0
    assert (await cache.stats()).backend_count == 10
    hits = await cache.search_batch([f"question {n}" for n in range(20)])
    assert Counter(map(bool, hits)) == {True: 10, False: 10}


async def test_a_clock_that_jumps_back_brings_back_nothing_wrong(tmp_path):
    clock = [NOW.timestamp()]
    async with NativeBackend(tmp_path, clock=lambda: clock[0]) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(1, expires_at=NOW + timedelta(seconds=60)), entry(2)])
        clock[0] -= 10 * 365 * 86400
        await store.upsert("c", [entry(3)])
        assert await store.expire("c") == []
        assert {row.id for row in await store.search("c", entry(1).vector, 9)} == {"e1", "e2", "e3"}
        clock[0] = NOW.timestamp() + 61
        assert "e1" not in {row.id for row in await store.search("c", entry(1).vector, 9)}
        clock[0] -= 30
        assert {row.id for row in await store.search("c", entry(1).vector, 9)} == {"e1", "e2", "e3"}
        assert await store.expire("c") == []


async def test_what_has_expired_when_it_is_stored_is_not_found():
    clock = [NOW.timestamp()]
    async with NativeBackend(clock=lambda: clock[0]) as store:
        await store.initialize("c", 8)
        await store.search("c", entry(1).vector)
        await store.upsert("c", [entry(1, expires_at=NOW - timedelta(seconds=5)), entry(2)])
        assert [row.id for row in await store.search("c", entry(1).vector, 9)] == ["e2"]
        clock[0] -= 10
        assert {row.id for row in await store.search("c", entry(1).vector, 9)} == {"e1", "e2"}


async def test_an_index_that_caught_up_hides_what_it_hid():
    async with NativeBackend(clock=NOW.timestamp) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(1, expires_at=NOW)])
        assert await store.search("c", entry(1).vector) == []
        collection = store._collections["c"]
        write(store.rows, collection.id, [entry(2), entry(3, expires_at=NOW)])
        assert collection.catch_up(store.rows) == 2
        assert collection.swept == NOW.timestamp()
        assert len(collection) == 1


async def test_what_could_not_be_deleted_is_still_found(tmp_path, monkeypatch):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(1), entry(2)])
        with monkeypatch.context() as patch:
            full = sqlite3.OperationalError("database or disk is full")
            patch.setattr("medha_core.rows.changes.log_removals", lambda *_: (_ for _ in ()).throw(full))
            with pytest.raises(StorageError):
                await store.delete("c", ["e1"])
        assert {row.id for row in await store.search("c", entry(1).vector, 9)} == {"e1", "e2"}
        await store.delete("c", ["e1"])
        assert [row.id for row in await store.search("c", entry(1).vector, 9)] == ["e2"]


def test_what_a_write_says_of_its_rows_is_what_is_read(rows, collection):
    written = write(
        rows,
        collection,
        [
            entry(1),
            entry(2, metadata={"n": 10.0, "b": True, "t": "\u00e4"}, tables=("orders", "=orders")),
            entry(3, response_summary="all", template_id="t", usage_count=5, expires_at=datetime(2031, 1, 1)),
        ],
    )
    assert {row.label: row for row in written.rows} == rows.by_labels(written.labels)
    assert repr(written.rows) == repr(list(rows.by_labels(written.labels).values()))
