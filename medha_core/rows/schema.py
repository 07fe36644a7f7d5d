"""The tables, their version, and the way from each older version to this one."""

import sqlite3
from collections.abc import Callable

from medha_core.errors import StorageInitializationError
from medha_core.manifest import METRIC, NORMALISATION_1
from medha_core.rows.row import seal_anew, seal_row, seal_vector

FORMAT = 4
"""Version of the tables, in SQLite's `user_version`."""
APPLICATION = 0x4D454448
"""SQLite's `application_id` of our files, from format 2 on."""

_FORMAT_2 = """
CREATE TABLE collections(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    dimension INTEGER NOT NULL,
    model TEXT NOT NULL,
    entries INTEGER NOT NULL,
    uses INTEGER NOT NULL
);
CREATE TABLE entries(
    label INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    question TEXT NOT NULL,
    normalized TEXT NOT NULL,
    query TEXT NOT NULL,
    query_hash TEXT NOT NULL,
    summary TEXT,
    template TEXT,
    metadata TEXT NOT NULL,
    role INTEGER NOT NULL,
    features BLOB,
    created REAL NOT NULL,
    expires REAL,
    usage INTEGER NOT NULL,
    used INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    incorrect INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    vector_seal INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE UNIQUE INDEX entries_id ON entries(collection, id);
CREATE INDEX entries_collection ON entries(collection);
CREATE INDEX entries_normalized ON entries(collection, normalized);
CREATE INDEX entries_query ON entries(collection, query_hash);
CREATE INDEX entries_template ON entries(collection, template) WHERE template IS NOT NULL;
CREATE INDEX entries_expires ON entries(collection, expires) WHERE expires IS NOT NULL;
CREATE TABLE entry_metadata(
    collection INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    label INTEGER NOT NULL,
    PRIMARY KEY(collection, key, value, label)
) WITHOUT ROWID;
CREATE INDEX entry_metadata_label ON entry_metadata(label);
CREATE TABLE removals(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    label INTEGER NOT NULL
);
CREATE TABLE stats(
    collection INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);
"""
_FROM_2 = f"""
ALTER TABLE collections ADD COLUMN metric TEXT NOT NULL DEFAULT '{METRIC}';
ALTER TABLE collections ADD COLUMN normalisation TEXT NOT NULL DEFAULT '{NORMALISATION_1}';
ALTER TABLE entries ADD COLUMN tables TEXT;
DROP INDEX entries_normalized;
CREATE INDEX entries_plain ON entries(collection, normalized) WHERE metadata = '';
CREATE INDEX entries_scoped ON entries(collection, normalized, metadata) WHERE metadata != '';
CREATE INDEX entries_unread ON entries(collection) WHERE tables IS NULL;
CREATE TABLE entry_tables(
    collection INTEGER NOT NULL,
    name TEXT NOT NULL,
    label INTEGER NOT NULL,
    PRIMARY KEY(collection, name, label)
) WITHOUT ROWID;
"""
"""The column of entries stands last, and a row without a value in it keeps its seal: no row is touched."""

_FROM_3 = "ALTER TABLE entries DROP COLUMN features;"
"""Rows in which it was empty keep their seals."""
_SEALED_3 = (
    "collection, id, question, normalized, query, query_hash, summary, template, metadata, role, features, "
    "created, expires"
)

SCHEMA = _FORMAT_2 + _FROM_2 + _FROM_3

EVICTION_INDEXES = {
    "recency": "CREATE INDEX IF NOT EXISTS entries_recency ON entries(collection, used)",
    "use": "CREATE INDEX IF NOT EXISTS entries_use ON entries(collection, usage, used)",
}
"""Made when eviction is first asked for: a cache without a limit does not pay for them."""

_FROM_1 = """
INSERT INTO collections(id, name, dimension, model, entries, uses)
    SELECT id, name, dimension, model,
           (SELECT count(*) FROM entries_1 WHERE collection = collections_1.id),
           (SELECT coalesce(max(label), 0) FROM entries_1)
    FROM collections_1;
INSERT INTO entries(label, collection, id, question, normalized, query, query_hash, summary, template,
                    metadata, role, features, created, expires, usage, used, correct, incorrect, seal,
                    vector_seal, vector)
    SELECT label, collection, id, question, normalized, query, query_hash, summary, template,
           metadata, 2, NULL, created, expires, usage, label, correct, incorrect,
           seal_row(collection, id, question, normalized, query, query_hash, summary, template,
                    metadata, 2, created, expires),
           seal_vector(vector), vector
    FROM entries_1 ORDER BY label;
INSERT INTO entry_metadata SELECT * FROM entry_metadata_1;
INSERT INTO stats SELECT * FROM stats_1;
"""
_TABLES_OF_1 = ("collections", "entries", "entry_metadata", "stats")


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database, in one transaction."""
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring the tables from `version` to `FORMAT`: all of the way, or not at all."""
    for function in (seal_row, seal_vector):
        db.create_function(function.__name__, -1, function, deterministic=True)
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version, FORMAT):
            MIGRATIONS[number](db)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _from_1_to_2(db: sqlite3.Connection) -> None:
    """Adds roles, features, seals, the log of removals, and counts."""
    (newest,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'entries'"
    ).fetchone()
    indexes = db.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for (name,) in indexes:
        db.execute(f"DROP INDEX {name}")
    for table in _TABLES_OF_1:
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    _run(db, _FORMAT_2)
    _run(db, _FROM_1)
    for table in _TABLES_OF_1:
        db.execute(f"DROP TABLE {table}_1")
    # A label is never used twice, those of entries deleted long ago included.
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'entries'")
    db.execute("INSERT INTO sqlite_sequence(name, seq) VALUES ('entries', ?)", (newest,))


def _from_2_to_3(db: sqlite3.Connection) -> None:
    """Adds the tables that a query reads, how vectors are compared and questions normalised, and indexes
    for the same question under many metadata.
    """
    _run(db, _FROM_2)


def _from_3_to_4(db: sqlite3.Connection) -> None:
    """Takes out what could be kept of questions already read, and seals the rows anew that had it."""
    db.text_factory = _decoded
    try:
        found = db.execute(
            f"SELECT label, seal, tables, {_SEALED_3} FROM entries WHERE features IS NOT NULL"  # noqa: S608
        ).fetchall()
    finally:
        db.text_factory = str
    for label, seal, tables, *fields in found:
        db.execute("UPDATE entries SET seal = ? WHERE label = ?", (seal_anew(fields, tables, seal), label))
    _run(db, _FROM_3)


def _decoded(text: bytes) -> str:
    """A text whose damage is marked: no seal is right for it, and the other rows are read."""
    return text.decode(errors="replace")


def _run(db: sqlite3.Connection, script: str) -> None:
    """`executescript` without its COMMIT."""
    for statement in script.split(";"):
        db.execute(statement)


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: _from_1_to_2,
    2: _from_2_to_3,
    3: _from_3_to_4,
}
"""By version: what brings a database to the next one."""


def check_format(db: sqlite3.Connection, where: object) -> int:
    """The version of the tables, 0 for an empty database. Raises `StorageInitializationError`."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (objects,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    # Newer than we are; a database of somebody else's; an older one of ours, or ours.
    if version > FORMAT and application in (0, APPLICATION):
        raise StorageInitializationError(
            f"{where} was written in format {version} by a newer medha_core; "
            f"this version reads up to {FORMAT}"
        )
    expected = APPLICATION if version >= 2 else 0
    if application != expected or (version == 0 and objects) or version < 0:
        raise StorageInitializationError(
            f"{where} is a database of another program (application {application:#x}, format {version})"
        )
    return version
