"""Out of a damaged file of rows, a sound one: everything that its seals vouch for, and nothing else.

The damaged file is kept beside it under another name.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from medha_core.manifest import METRIC, NORMALISATION
from medha_core.metadata import filter_value, loads_metadata
from medha_core.rows.pages import Record, records
from medha_core.rows.row import loads_tables, seal_anew, seal_row, sealed_fields
from medha_core.rows.schema import create

__all__ = ["salvage"]

logger = logging.getLogger("medha_core")

_COLUMNS = 21
"""Of entries."""
_TIMES = slice(11, 13)
_FORMER, _SEALED_BEFORE, _SEAL_BEFORE = 11, slice(1, 14), 18
"""Where a row of before format 4 has a field more, and what then stands elsewhere."""
_SEALED, _METADATA, _SEAL, _VECTOR, _USED, _LABEL = slice(1, 13), 9, 17, 19, 14, 0
_INSERT = f"INSERT OR REPLACE INTO entries VALUES ({','.join('?' * _COLUMNS)})"  # noqa: S608


class _Found(NamedTuple):
    """What was read, by the numbers that rows have."""

    entries: dict[int, tuple[Any, ...]]
    collections: dict[int, tuple[Any, ...]]
    removed: dict[int, tuple[int, int]]
    stats: dict[int, str]


def salvage(path: Path) -> int:
    """Put a sound file in the place of the damaged one at `path`; the number of entries in it.

    Where there is no entry, nothing is done. Only for the directory's writer, with the file closed.
    Raises `OSError` and `sqlite3.Error`; then nothing has changed.
    """
    found = _sorted(records(path))
    if not found.entries:
        return 0
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        create(db)
        db.execute("BEGIN")
        _fill(db, found)
        db.execute("COMMIT")
    aside = _set_aside(path)
    fresh.replace(path)
    logger.warning(
        "%s was damaged: %d entries were saved into a new file, the damaged one is %s",
        path,
        len(found.entries),
        aside.name,
    )
    return len(found.entries)


def _sorted(found: Iterable[Record]) -> _Found:
    """Records by the table they must be of; of entries with one id, the newest that was not removed."""
    tables = _Found({}, {}, {}, {})
    for record in found:
        values = _as_columns(record.values)
        # Cases: an entry; a collection; a removal; statistics; something else.
        if len(values) == _COLUMNS and _is_sealed(values):
            tables.entries[record.rowid] = (record.rowid, *values[1:])
        elif len(values) in (6, 8) and _have(values, (None, str, int, str, int, int)):
            tables.collections[record.rowid] = values
        elif len(values) == 3 and _have(values, (None, int, int)):
            tables.removed[record.rowid] = values[1:]  # type: ignore[assignment]
        elif len(values) == 2 and _have(values, (None, str)) and str(values[1]).startswith("{"):
            tables.stats[record.rowid] = str(values[1])
    for collection, label in tables.removed.values():
        if label in tables.entries and tables.entries[label][1] == collection:
            del tables.entries[label]
    newest: dict[tuple[int, str], int] = {}
    for label in sorted(tables.entries):
        row = tables.entries[label]
        older = newest.get((row[1], row[2]))
        if older is not None:
            del tables.entries[older]
        newest[row[1], row[2]] = label
    return tables


def _as_columns(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """As SQLite gives them, after all migrations: it writes times that are whole numbers as such."""
    if len(values) in (_COLUMNS, _COLUMNS + 1) and isinstance(values[_FORMER], bytes | None):
        return _without_former(values)
    return _with_times(values, _TIMES) if len(values) == _COLUMNS else values


def _without_former(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of before format 4; one of before there were tables ends before these."""
    tables = values[_COLUMNS] if len(values) > _COLUMNS else None
    values = _with_times(values, slice(_TIMES.start + 1, _TIMES.stop + 1))
    seal = seal_anew(values[_SEALED_BEFORE], tables, values[_SEAL_BEFORE])
    behind = (*values[_FORMER + 1 : _SEAL_BEFORE], seal, *values[_SEAL_BEFORE + 1 : _COLUMNS])
    return (*values[:_FORMER], *behind, tables)


def _with_times(values: tuple[Any, ...], places: slice) -> tuple[Any, ...]:
    times = (float(value) if isinstance(value, int) else value for value in values[places])
    return (*values[: places.start], *times, *values[places.stop :])


def _is_sealed(values: tuple[Any, ...]) -> bool:
    return (
        seal_row(*sealed_fields(values[_SEALED], values[_COLUMNS - 1])) == values[_SEAL]
        and isinstance(values[1], int)
        and isinstance(values[_VECTOR], bytes)
        and all(isinstance(count, int) for count in values[13:19])
    )


def _have(values: tuple[Any, ...], kinds: tuple[type | None, ...]) -> bool:
    return all(
        value is None if kind is None else isinstance(value, kind)
        for value, kind in zip(values, kinds, strict=False)
    )


def _fill(db: sqlite3.Connection, found: _Found) -> None:
    for row in found.entries.values():
        db.execute(_INSERT, row)
        metadata = loads_metadata(row[_METADATA]) if row[_METADATA] else {}
        pairs = [(row[1], key, filter_value(value), row[_LABEL]) for key, value in metadata.items()]
        db.executemany("INSERT OR IGNORE INTO entry_metadata VALUES (?,?,?,?)", pairs)
        named = [(row[1], name, row[_LABEL]) for name in loads_tables(row[-1])]
        db.executemany("INSERT OR IGNORE INTO entry_tables VALUES (?,?,?)", named)
    for number in sorted(found.collections.keys() | {row[1] for row in found.entries.values()}):
        _fill_collection(db, number, found)
    # A label is never used twice, nor the number of a removal.
    newest = max([*found.entries, *(label for _, label in found.removed.values())], default=0)
    for table, last in (("entries", newest), ("removals", max(found.removed, default=0) + 1)):
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        db.execute("INSERT INTO sqlite_sequence(name, seq) VALUES (?, ?)", (table, last))


def _fill_collection(db: sqlite3.Connection, number: int, found: _Found) -> None:
    """A collection whose own row is lost gets a name that says so, and the dimension its vectors have."""
    rows = [row for row in found.entries.values() if row[1] == number]
    dimension = len(rows[-1][_VECTOR]) // 4 if rows else 1
    known = found.collections.get(number, (None, f"recovered {number}", dimension, "", 0, 0))
    space = known[6:8] if len(known) == 8 and all(isinstance(one, str) for one in known[6:8]) else ()
    uses = max([known[5], *(row[_USED] for row in rows)])
    db.execute(
        "INSERT INTO collections VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, *known[1:4], len(rows), uses, *(space or (METRIC, NORMALISATION))),
    )
    if number in found.stats:
        db.execute("INSERT INTO stats VALUES (?, ?)", (number, found.stats[number]))


def _set_aside(path: Path) -> Path:
    """Rename the damaged file, and the log that belongs to it."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.damaged-{moment}")
    log = path.with_name(f"{path.name}-wal")
    with suppress(FileNotFoundError):
        if log.stat().st_size:
            os.replace(log, aside.with_name(f"{aside.name}-wal"))
        else:
            log.unlink()
    with suppress(FileNotFoundError):
        path.with_name(f"{path.name}-shm").unlink()
    path.replace(aside)
    return aside
